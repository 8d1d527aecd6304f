//! What a process waits for.
//!
//! Nothing of a process is left on the kernel's stack while it waits. Its system call returned a [`Wait`]; when one of the
//! channels is woken, the time has come or a signal arrives, the call is *made again* from its beginning and finds out for
//! itself what has happened. So a wake that was not needed does no harm, and one that is missing does.
use crate::proc::Pid;

/// Something that can happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Channel {
    /// Keys were typed, or lines became ready to be read.
    Input,
    /// The terminal takes output again.
    Output,
    /// A child of this process has changed its state.
    Child(Pid),
    /// This process has left the memory that it was begun with: it runs another program, or has ended.
    Departed(Pid),
    /// The pipe of this number can be read or written again, or an end of it was closed.
    Pipe(u32),
}

/// Channels that one call can name.
const CHANNELS: usize = 4;

/// What happens to a waiting call when a handler for a signal has run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restart {
    /// It is made again if the handler was installed with `SA_RESTART`, else it ends with `EINTR`: read, write, wait4.
    AsHandlerSays,
    /// It ends with `EINTR` in any case: poll, pause, nanosleep.
    Never,
}

/// When a call is to be made again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wait {
    channels: [Option<Channel>; CHANNELS],
    /// More channels than fit: any of them wakes.
    any: Option<()>,
    until_ns: Option<u64>,
    restart: Restart,
}

impl Wait {
    /// For a signal, and nothing else.
    pub const SIGNAL: Self = Self {
        channels: [None; CHANNELS],
        any: None,
        until_ns: None,
        restart: Restart::Never,
    };

    /// For `channel`.
    #[must_use]
    pub const fn on(channel: Channel) -> Self {
        let mut channels = [None; CHANNELS];
        channels[0] = Some(channel);
        Self {
            channels,
            any: None,
            until_ns: None,
            restart: Restart::AsHandlerSays,
        }
    }

    /// For the system time `deadline_ns`.
    #[must_use]
    pub const fn until(deadline_ns: u64) -> Self {
        Self::SIGNAL.or_until(deadline_ns)
    }

    /// Also for `channel`.
    #[must_use]
    pub fn or(mut self, channel: Channel) -> Self {
        match self.channels.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some(channel),
            None => self.any = Some(()),
        }
        self
    }

    /// Also for the system time `deadline_ns`.
    #[must_use]
    pub const fn or_until(mut self, deadline_ns: u64) -> Self {
        self.until_ns = Some(deadline_ns);
        self
    }

    /// The same, but a handler that runs meanwhile ends the call.
    #[must_use]
    pub const fn never_restarted(mut self) -> Self {
        self.restart = Restart::Never;
        self
    }

    /// Whether `channel` wakes it.
    #[must_use]
    pub fn is_for(&self, channel: Channel) -> bool {
        self.any.is_some() || self.channels.contains(&Some(channel))
    }

    /// The time that wakes it.
    #[must_use]
    pub const fn until_ns(&self) -> Option<u64> {
        self.until_ns
    }

    /// What a handler does to the call.
    #[must_use]
    pub const fn restart(&self) -> Restart {
        self.restart
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_for_the_channels_it_names() {
        let wait = Wait::on(Channel::Pipe(3)).or(Channel::Input).or_until(7);
        assert!(wait.is_for(Channel::Pipe(3)) && wait.is_for(Channel::Input));
        assert!(!wait.is_for(Channel::Pipe(4)) && !wait.is_for(Channel::Output));
        assert_eq!(wait.until_ns(), Some(7));
    }

    #[test]
    fn a_wait_for_more_channels_than_it_holds_misses_none() {
        let wait = (0..6).map(Channel::Pipe).fold(Wait::SIGNAL, Wait::or);
        assert!((0..6).all(|pipe| wait.is_for(Channel::Pipe(pipe))));
    }
}
