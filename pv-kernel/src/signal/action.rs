//! What a process does about a signal.
use crate::signal::{Signal, SignalSet};
use linux_raw_sys::general as linux;

/// Bytes of the kernel's `struct sigaction`.
pub(super) const ACTION_SIZE: usize = 32;

/// What happens when a signal is delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, core::default::Default)]
pub enum Handler {
    /// What the signal does by default.
    #[default]
    Default,
    /// Nothing.
    Ignore,
    /// The program's function at this address is called.
    At(u64),
}

/// What a process has said about a signal: Linux's `struct sigaction`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, core::default::Default)]
pub struct Action {
    /// What happens.
    pub handler: Handler,
    /// `SA_*`.
    pub flags: u64,
    /// Where a handler returns to.
    pub restorer: u64,
    /// What is blocked meanwhile.
    pub mask: SignalSet,
}

impl Action {
    /// Whether it has the flag `SA_*`.
    #[must_use]
    pub const fn has(&self, flag: u32) -> bool {
        self.flags & flag as u64 != 0
    }

    /// What a program has handed over.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; ACTION_SIZE]) -> Self {
        let word = |index: usize| {
            let word = bytes.get(index * 8..).and_then(<[u8]>::first_chunk);
            word.copied().map_or(0, u64::from_le_bytes)
        };
        Self {
            handler: match word(0) {
                0 => Handler::Default,
                1 => Handler::Ignore,
                address => Handler::At(address),
            },
            flags: word(1),
            restorer: word(2),
            mask: SignalSet::from_bits(word(3)).without(SignalSet::ABSOLUTE),
        }
    }

    /// What a program is told.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; ACTION_SIZE] {
        let handler = match self.handler {
            Handler::Default => 0,
            Handler::Ignore => 1,
            Handler::At(address) => address,
        };
        let words = [handler, self.flags, self.restorer, self.mask.bits()];
        let mut bytes = [0; ACTION_SIZE];
        for (target, word) in bytes.chunks_exact_mut(8).zip(words) {
            target.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

/// What a signal does by default (signal(7)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Default {
    /// It ends the process.
    End,
    /// Nothing.
    Ignore,
    /// It stops the process.
    Stop,
}

impl Signal {
    /// What it does by default.
    #[must_use]
    pub const fn default_action(self) -> Default {
        if SignalSet::STOPS.has(self) {
            return Default::Stop;
        }
        match self {
            Self::CHILD | Self::CONTINUE | Self::WINDOW | Self::URGENT => Default::Ignore,
            _ => Default::End,
        }
    }
}

const _: () = assert!(linux::SIGSYS == 31 && linux::SIGRTMIN == 32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_survives_the_way_there_and_back() {
        let mut bytes = [0; ACTION_SIZE];
        bytes[0] = 0x10;
        bytes[8..12].copy_from_slice(&linux::SA_RESTORER.to_le_bytes());
        bytes[24..].fill(0xff);
        let action = Action::from_bytes(&bytes);
        assert_eq!(action.handler, Handler::At(0x10));
        assert!(action.has(linux::SA_RESTORER) && !action.has(linux::SA_SIGINFO));
        assert!(!action.mask.has(Signal::KILL) && action.mask.has(Signal::INTERRUPT));
        assert_eq!(Action::from_bytes(&action.to_bytes()), action);
    }
}
