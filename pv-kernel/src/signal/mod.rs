//! Signals: Linux's numbers and rules (signal(7)), delivery frames as Linux for x86-64 lays them out.
//!
//! A signal is *posted* to a process ([`post`](crate::kernel::Kernel::signal)) and stays pending in its table entry, until
//! it is *delivered* when the process is about to go on in ring 3 ([`deliver`]).
mod action;
mod deliver;
mod float;
pub mod frame;
mod info;
mod pending;
mod post;
mod state;

pub use action::{Action, Default, Handler};
pub use deliver::Delivered;
pub use info::{Info, Origin};
pub use pending::Pending;
pub use state::{AlternateStack, SignalState};

use linux_raw_sys::general as linux;

/// A signal's number: 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Signal(u8);

macro_rules! signals {
    ($($(#[$doc:meta])* $name:ident = $linux:ident;)*) => {
        impl Signal {
            $($(#[$doc])* pub const $name: Self = Self(linux::$linux as u8);)*
        }
    };
}

signals! {
    /// The terminal is gone.
    HANGUP = SIGHUP;
    /// Ctrl-C.
    INTERRUPT = SIGINT;
    /// Ctrl-\.
    QUIT = SIGQUIT;
    /// A bad instruction.
    ILLEGAL = SIGILL;
    /// A breakpoint.
    TRAP = SIGTRAP;
    /// A bad access to memory that is there.
    BUS = SIGBUS;
    /// Bad arithmetic.
    ARITHMETIC = SIGFPE;
    /// The end, in any case.
    KILL = SIGKILL;
    /// A bad access to memory.
    SEGMENT = SIGSEGV;
    /// A pipe without readers was written.
    PIPE = SIGPIPE;
    /// A timer.
    ALARM = SIGALRM;
    /// A child has changed its state.
    CHILD = SIGCHLD;
    /// Go on.
    CONTINUE = SIGCONT;
    /// Stop, in any case.
    STOP = SIGSTOP;
    /// Ctrl-Z.
    TERMINAL_STOP = SIGTSTP;
    /// A process in the background reads from its terminal.
    TERMINAL_INPUT = SIGTTIN;
    /// A process in the background writes to its terminal.
    TERMINAL_OUTPUT = SIGTTOU;
    /// The terminal has another size.
    WINDOW = SIGWINCH;
    /// Something urgent at a socket.
    URGENT = SIGURG;
}

impl Signal {
    /// Highest number.
    pub const LAST: u8 = 64;
    /// From this number on signals are queued.
    const FIRST_QUEUED: u8 = linux::SIGRTMIN as u8;

    /// The signal of that number.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        if number >= 1 && number <= Self::LAST as u64 {
            Some(Self(number as u8))
        } else {
            None
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Whether several of them can be pending.
    #[must_use]
    pub const fn is_queued(self) -> bool {
        self.0 >= Self::FIRST_QUEUED
    }

    const fn bit(self) -> u64 {
        1 << (self.0 - 1)
    }
}

impl core::fmt::Display for Signal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if *self == Self::INTERRUPT {
            f.write_str("interrupt from the keyboard")
        } else {
            write!(f, "signal {}", self.0)
        }
    }
}

/// A set of signals: Linux's `sigset_t`, bit `number - 1` for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, core::default::Default)]
pub struct SignalSet(u64);

impl SignalSet {
    /// No signal.
    pub const EMPTY: Self = Self(0);
    /// What nobody can block, catch or ignore.
    pub const ABSOLUTE: Self = Self(Signal::KILL.bit() | Signal::STOP.bit());
    /// What stops a process unless it says otherwise.
    pub const STOPS: Self = Self(
        Signal::STOP.bit()
            | Signal::TERMINAL_STOP.bit()
            | Signal::TERMINAL_INPUT.bit()
            | Signal::TERMINAL_OUTPUT.bit(),
    );
    /// What an instruction raises; delivered before all others.
    const SYNCHRONOUS: Self = Self(
        Signal::ILLEGAL.bit()
            | Signal::TRAP.bit()
            | Signal::BUS.bit()
            | Signal::ARITHMETIC.bit()
            | Signal::SEGMENT.bit(),
    );

    /// The set of those bits.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Its bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether it has `signal`.
    #[must_use]
    pub const fn has(self, signal: Signal) -> bool {
        self.0 & signal.bit() != 0
    }

    /// The same with `signal`.
    #[must_use]
    pub const fn with(self, signal: Signal) -> Self {
        Self(self.0 | signal.bit())
    }

    /// The same with all of `other`.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The same with nothing of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether it is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The signal that is delivered first.
    #[must_use]
    pub const fn first(self) -> Option<Signal> {
        let synchronous = self.0 & Self::SYNCHRONOUS.0;
        let of = if synchronous != 0 { synchronous } else { self.0 };
        if of == 0 {
            None
        } else {
            Some(Signal(of.trailing_zeros() as u8 + 1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_1_to_64() {
        assert_eq!(Signal::new(0), None);
        assert_eq!(Signal::new(65), None);
        assert_eq!(Signal::new(9), Some(Signal::KILL));
        assert!(Signal::new(64).unwrap().is_queued() && !Signal::new(31).unwrap().is_queued());
    }

    #[test]
    fn faults_come_before_lower_numbers() {
        let both = SignalSet::EMPTY.with(Signal::HANGUP).with(Signal::SEGMENT);
        assert_eq!(both.first(), Some(Signal::SEGMENT));
        let rest = both.without(SignalSet::EMPTY.with(Signal::SEGMENT));
        assert_eq!(rest.first(), Some(Signal::HANGUP));
        assert_eq!(SignalSet::EMPTY.first(), None);
    }
}
