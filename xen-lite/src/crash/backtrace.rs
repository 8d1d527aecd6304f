//! Who called whom: the chain of frame pointers of a kernel, read with its own rights.
//!
//! ```text
//!   rbp ──▶ │ the caller's rbp │ ──▶ │ its caller's rbp │ ──▶ 0
//!           │ return address   │     │ return address   │
//! ```
//!
//! 1. It ends: a frame lies above the one before it, and no more than [`MOST_FRAMES`] are followed.
//! 2. What is shown as a frame is one as far as that can be seen: it lies above the stack pointer, is aligned, can be
//!    read by the kernel itself, and its return address is code. The stack is not searched for what looks like an address.
//! 3. How it ended is said: a kernel that is built without frame pointers has a short backtrace, not a false one.
use super::Registers;
use super::symbols::{Named, Symbols};
use crate::guest_mem::{Access, Smep, read_array, walk};
use crate::paging::{DomainMemory, FrameTable};
use crate::platform::PhysMem;
use core::fmt::{self, Display, Formatter};

/// Most frames.
pub const MOST_FRAMES: usize = 16;

/// What a chain leads through.
pub trait Stack {
    /// The two words at an address, if those whose stack it is could read them.
    fn frame(&mut self, at: u64) -> Option<[u64; 2]>;
    /// Whether a call can return to an address.
    fn is_code(&self, address: u64) -> bool;
}

/// A guest kernel's, through its page tables. What is read counts as accessed by the guest.
pub struct GuestStack<'a, 'f, M> {
    /// The machine's frames.
    pub frames: &'a FrameTable<'f>,
    /// The machine's memory.
    pub mem: &'a mut M,
    /// Whose stack it is.
    pub domain: &'a DomainMemory,
    /// Names of its functions.
    pub symbols: Symbols<'a>,
}

impl<M: PhysMem> Stack for GuestStack<'_, '_, M> {
    fn frame(&mut self, at: u64) -> Option<[u64; 2]> {
        read_array(self.frames, self.mem, self.domain, at).ok()
    }

    /// One of the kernel's functions, where these are known; else whatever ring 1 may execute.
    fn is_code(&self, address: u64) -> bool {
        if !self.symbols.is_empty() {
            return self.symbols.find_caller(address).is_some();
        }
        self.domain.root().is_some_and(|root| {
            let walk = walk(self.frames, self.mem, root, address);
            walk.check(Access::Fetch(Smep::Off)).is_ok()
        })
    }
}

/// Where a backtrace begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start {
    /// The instruction; `None` if it is not known any more.
    pub rip: Option<u64>,
    /// What was interrupted by the trap whose handler begins at `rip`.
    pub interrupted: Option<u64>,
    /// Whose code the innermost of the two is part of.
    pub ring: Ring,
    /// The stack pointer: frames lie above it.
    pub rsp: u64,
    /// The frame pointer.
    pub rbp: u64,
}

/// How an entry point of the kernel's was reached that then could not be fetched: where what it interrupted is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// By a bounce, or with an error code: `abi::trap::BounceFrame` lies at the stack pointer.
    WithErrorCode,
    /// By the CPU, without an error code: rip, cs, ... lie at the stack pointer.
    WithoutErrorCode,
    /// By `syscall`: rcx has the program's next instruction.
    Syscall,
}

impl Start {
    /// Where the backtrace of a guest begins, from what is left of its registers; `None` if too little is.
    #[must_use]
    pub fn of(registers: &Registers, arrival: Option<Arrival>, stack: &mut impl Stack) -> Option<Self> {
        let [_, _, rcx, _, _, _, rbp, ..] = registers.general;
        let rsp = registers.rsp?;
        let came_from = match arrival {
            None => None,
            Some(Arrival::Syscall) => rcx.map(|rip| [rip, u64::from(abi::selector::USER_CS)]),
            Some(Arrival::WithoutErrorCode) => stack.frame(rsp),
            Some(Arrival::WithErrorCode) => stack.frame(rsp.wrapping_add(8)),
        };
        let cs = match came_from {
            Some([_, cs]) => cs,
            None => registers.cs?,
        };
        Some(Self {
            rip: registers.rip,
            interrupted: came_from.map(|[rip, _]| rip),
            ring: if cs & 3 == 1 { Ring::Kernel } else { Ring::Program },
            rsp,
            rbp: rbp?,
        })
    }
}

/// Whose code it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ring {
    /// A kernel's: frames are followed.
    Kernel,
    /// A program's in ring 3: its calls are its kernel's affair.
    Program,
}

/// How a chain ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// It did not begin: the registers that it would begin with are gone.
    Gone,
    /// At the outermost frame: a frame pointer, or a return address, of 0.
    Outermost,
    /// At once: it was a program that was interrupted.
    Program,
    /// It goes on, but no more is shown.
    Long,
    /// There is no frame at this frame pointer: it is misaligned, or not above the last frame.
    NoFrame(u64),
    /// What this frame pointer points to cannot be read.
    Unreadable(u64),
    /// This return address is no code.
    NotCode(u64),
}

/// Instructions and the calls that led there, the innermost first.
#[derive(Clone, Copy, Debug)]
pub struct Backtrace {
    rip: Option<u64>,
    interrupted: Option<u64>,
    callers: [u64; MOST_FRAMES],
    count: usize,
    end: End,
}

impl Backtrace {
    /// That of a guest whose registers do not tell where to begin.
    pub const GONE: Self = Self {
        rip: None,
        interrupted: None,
        callers: [0; MOST_FRAMES],
        count: 0,
        end: End::Gone,
    };

    /// Follows the chain.
    #[must_use]
    pub fn follow(start: Start, stack: &mut impl Stack) -> Self {
        let mut found = Self {
            rip: start.rip,
            interrupted: start.interrupted,
            callers: [0; MOST_FRAMES],
            count: 0,
            end: End::Long,
        };
        if start.ring == Ring::Program {
            found.end = End::Program;
            return found;
        }
        let mut lowest = Some(start.rsp);
        let mut frame = start.rbp;
        for caller in &mut found.callers {
            let above = lowest.is_some_and(|lowest| frame >= lowest);
            if frame != 0 && !(above && frame.is_multiple_of(8)) {
                found.end = End::NoFrame(frame);
                return found;
            }
            if frame == 0 {
                found.end = End::Outermost;
                return found;
            }
            let Some([next, return_address]) = stack.frame(frame) else {
                found.end = End::Unreadable(frame);
                return found;
            };
            if return_address == 0 {
                found.end = End::Outermost;
                return found;
            }
            if !stack.is_code(return_address) {
                found.end = End::NotCode(return_address);
                return found;
            }
            *caller = return_address;
            found.count = found.count.saturating_add(1);
            lowest = frame.checked_add(1);
            frame = next;
        }
        if frame == 0 {
            found.end = End::Outermost;
        }
        found
    }

    /// Where the calls return to.
    #[must_use]
    pub fn callers(&self) -> &[u64] {
        self.callers.get(..self.count).unwrap_or(&[])
    }

    /// How it ended.
    #[must_use]
    pub const fn end(&self) -> End {
        self.end
    }

    /// The lines of a record, each ended by a newline.
    #[must_use]
    pub const fn lines<'a>(&'a self, symbols: Symbols<'a>) -> Lines<'a> {
        Lines {
            backtrace: self,
            symbols,
        }
    }
}

/// [`Backtrace::lines`].
#[derive(Clone, Copy)]
pub struct Lines<'a> {
    backtrace: &'a Backtrace,
    symbols: Symbols<'a>,
}

impl Display for Lines<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { backtrace, symbols } = self;
        if backtrace.end == End::Gone {
            return writeln!(f, "  backtrace  none: {}", End::Gone);
        }
        match backtrace.rip {
            Some(rip) => writeln!(f, "  backtrace  at {}", Named(symbols, rip))?,
            None => writeln!(f, "  backtrace  at an address that is gone")?,
        }
        if let Some(rip) = backtrace.interrupted {
            // Names are the kernel's: a program has addresses of its own.
            match backtrace.end {
                End::Program => writeln!(f, "             interrupted {rip:#x}, a program in ring 3")?,
                _ => writeln!(f, "             interrupted {}", Named(symbols, rip))?,
            }
        }
        for caller in backtrace.callers() {
            write!(f, "             called from {caller:#x}")?;
            match symbols.find_caller(*caller) {
                Some(place) => writeln!(f, " {place}")?,
                None => writeln!(f)?,
            }
        }
        writeln!(f, "             ends: {}", backtrace.end)
    }
}

impl Display for End {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => write!(f, "the registers that it would begin with are gone"),
            Self::Outermost => write!(f, "the outermost frame"),
            Self::Program => write!(f, "a program's calls are its kernel's affair"),
            Self::Long => write!(f, "no more than {MOST_FRAMES} frames are shown"),
            Self::NoFrame(at) => write!(f, "frame pointer {at:#x} points to no frame further up the stack"),
            Self::Unreadable(at) => write!(f, "frame pointer {at:#x} points to nothing that can be read"),
            Self::NotCode(at) => write!(f, "return address {at:#x} is no code"),
        }
    }
}

#[cfg(test)]
mod tests;
