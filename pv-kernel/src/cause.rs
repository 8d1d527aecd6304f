//! Why a program died, in words.
use crate::mm::area::Access;
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
    /// The user's Ctrl-C.
    Interrupted,
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
    /// The signal that Linux sends for it.
    #[must_use]
    pub const fn signal(&self) -> u8 {
        (match self {
            Self::DivideError | Self::FloatingPoint | Self::SimdFloatingPoint => linux::SIGFPE,
            Self::Debug | Self::Breakpoint => linux::SIGTRAP,
            Self::InvalidOpcode => linux::SIGILL,
            Self::Segment | Self::Stack | Self::Alignment => linux::SIGBUS,
            Self::Overflow
            | Self::BoundRange
            | Self::NoCoprocessor
            | Self::PrivilegedInstruction(_)
            | Self::GeneralProtection
            | Self::Unexpected(_)
            | Self::NullDereference { .. }
            | Self::StackOverflow { .. }
            | Self::Access { .. } => linux::SIGSEGV,
            Self::OutOfMemory => linux::SIGKILL,
            Self::Interrupted => linux::SIGINT,
        }) as u8
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
            Self::Interrupted => f.write_str("interrupt from the keyboard"),
        }
    }
}
