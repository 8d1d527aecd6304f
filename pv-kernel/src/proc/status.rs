//! How a process ended, or what else has happened to it, as its parent learns it.
use crate::proc::News;

/// What wait4 tells of a child.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// It ended with this code.
    Exited(u8),
    /// This signal ended it.
    Killed(u8),
}

impl Status {
    /// Linux's encoding.
    #[must_use]
    pub const fn to_wait(self) -> u32 {
        match self {
            Self::Exited(code) => (code as u32) << 8,
            Self::Killed(signal) => (signal & 0x7f) as u32,
        }
    }

    /// What a shell makes of it, and the kernel when its first process ends: the code, or 128 and the signal.
    #[must_use]
    pub const fn to_code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Killed(signal) => 128 | signal,
        }
    }
}

impl News {
    /// Linux's encoding.
    #[must_use]
    pub const fn to_wait(self) -> u32 {
        match self {
            Self::Stopped(signal) => (signal.number() as u32) << 8 | 0x7f,
            Self::Continued => 0xffff,
        }
    }
}
