//! Why a program died, in words.
use crate::mm::area::Access;
use crate::signal::Signal;
use core::fmt;
use linux_raw_sys::general as linux;

/// What made the kernel end a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// #DE.
    DivideError,
    /// #DB.
    Debug,
    /// #BP.
    Breakpoint,
    /// #OF.
    Overflow,
    /// #BR.
    BoundRange,
    /// #UD.
    InvalidOpcode,
    /// #NM.
    NoCoprocessor,
    /// #TS, #NP: a segment.
    Segment,
    /// #SS: an address of the stack that is not canonical.
    Stack,
    /// #GP of an instruction that ring 3 may not execute.
    PrivilegedInstruction(&'static str),
    /// Any other #GP.
    GeneralProtection,
    /// #MF.
    FloatingPoint,
    /// #AC.
    Alignment,
    /// #XM.
    SimdFloatingPoint,
    /// A vector that no program should be able to raise.
    Unexpected(u64),
    /// An address of the first 64 KiB.
    NullDereference {
        /// The address.
        address: u64,
        /// What was tried.
        access: Access,
    },
    /// Just below the stack.
    StackOverflow {
        /// The address.
        address: u64,
    },
    /// Any other page fault.
    Access {
        /// The address.
        address: u64,
        /// What was tried.
        access: Access,
        /// Why it was not to be.
        denial: Denial,
    },
    /// No frame was left for a page that it may use.
    OutOfMemory,
}

/// Why an access was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Denial {
    /// The program has nothing there.
    NothingThere,
    /// The area forbids it.
    NotPermitted,
}

impl Cause {
    /// The signal that Linux sends for it, and its code; nothing for what no handler can mend.
    #[must_use]
    pub const fn signal_and_code(&self) -> Option<(Signal, i32)> {
        let (signal, code) = match self {
            Self::DivideError => (Signal::ARITHMETIC, linux::FPE_INTDIV),
            Self::FloatingPoint | Self::SimdFloatingPoint => (Signal::ARITHMETIC, linux::FPE_FLTUNK),
            Self::Debug => (Signal::TRAP, linux::TRAP_TRACE),
            Self::Breakpoint => (Signal::TRAP, linux::SI_KERNEL),
            Self::InvalidOpcode => (Signal::ILLEGAL, linux::ILL_ILLOPN),
            Self::Segment | Self::Stack => (Signal::BUS, linux::SI_KERNEL),
            Self::Alignment => (Signal::BUS, linux::BUS_ADRALN),
            Self::Overflow
            | Self::BoundRange
            | Self::NoCoprocessor
            | Self::PrivilegedInstruction(_)
            | Self::GeneralProtection
            | Self::Unexpected(_) => (Signal::SEGMENT, linux::SI_KERNEL),
            Self::Access {
                denial: Denial::NotPermitted,
                ..
            } => (Signal::SEGMENT, linux::SEGV_ACCERR),
            Self::NullDereference { .. } | Self::StackOverflow { .. } | Self::Access { .. } => {
                (Signal::SEGMENT, linux::SEGV_MAPERR)
            }
            Self::OutOfMemory => return None,
        };
        Some((signal, code as i32))
    }

    /// The signal that its parent learns of.
    #[must_use]
    pub const fn signal(&self) -> Signal {
        match self.signal_and_code() {
            Some((signal, _)) => signal,
            None => Signal::KILL,
        }
    }

    /// The address that a handler is told, for a trap of the instruction at `rip`.
    #[must_use]
    pub const fn address(&self, rip: u64) -> u64 {
        match self {
            Self::NullDereference { address, .. }
            | Self::StackOverflow { address }
            | Self::Access { address, .. } => *address,
            Self::DivideError
            | Self::InvalidOpcode
            | Self::FloatingPoint
            | Self::SimdFloatingPoint
            | Self::Debug => rip,
            _ => 0,
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read of",
            Self::Write => "write to",
            Self::Execute => "execution of",
        })
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NothingThere => "nothing is mapped there",
            Self::NotPermitted => "not permitted",
        })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DivideError => f.write_str("divide error"),
            Self::Debug => f.write_str("debug trap"),
            Self::Breakpoint => f.write_str("breakpoint"),
            Self::Overflow => f.write_str("overflow trap"),
            Self::BoundRange => f.write_str("bound range exceeded"),
            Self::InvalidOpcode => f.write_str("invalid opcode"),
            Self::NoCoprocessor => f.write_str("device not available"),
            Self::Segment => f.write_str("segment not present"),
            Self::Stack => f.write_str("stack fault"),
            Self::PrivilegedInstruction(name) => write!(f, "privileged instruction ({name})"),
            Self::GeneralProtection => f.write_str("general protection fault"),
            Self::FloatingPoint => f.write_str("x87 floating-point error"),
            Self::Alignment => f.write_str("alignment check"),
            Self::SimdFloatingPoint => f.write_str("SIMD floating-point error"),
            Self::Unexpected(vector) => write!(f, "unexpected trap {vector}"),
            Self::NullDereference { address, access } => {
                write!(f, "null dereference ({access} {address:#x})")
            }
            Self::StackOverflow { address } => write!(f, "stack overflow (at {address:#x})"),
            Self::Access {
                address,
                access,
                denial,
            } => {
                write!(f, "page fault ({access} {address:#x}: {denial})")
            }
            Self::OutOfMemory => f.write_str("out of memory"),
        }
    }
}
