//! How processes and the terminal act on each other: keys that are signals, job control, who has the terminal.
use crate::errno::Errno;
use crate::kernel::{Kernel, Machine};
use crate::proc::{Pid, Process};
use crate::signal::Signal;
use crate::tty::{self, Termios, Use, User, When, Window};
use crate::wait::Channel;
use alloc::vec::Vec;

const fn signal_of(key: tty::Signal) -> Signal {
    match key {
        tty::Signal::Interrupt => Signal::INTERRUPT,
        tty::Signal::Quit => Signal::QUIT,
        tty::Signal::Suspend => Signal::TERMINAL_STOP,
    }
}

impl<'a, M: Machine> Kernel<'a, M> {
    /// Takes the keys that were typed, and hands on what waits to get out.
    pub(crate) fn poll_terminal(&mut self) {
        let now_ns = self.machine.now_ns();
        let mut pressed = Vec::new();
        self.tty
            .poll(&mut self.machine, now_ns, &mut |key| pressed.push(key));
        self.signal_foreground(&pressed);
    }

    fn signal_foreground(&mut self, pressed: &[tty::Signal]) {
        let Some(group) = self.tty.foreground else {
            return;
        };
        for key in pressed {
            self.signal_group(group, signal_of(*key));
        }
    }

    /// The console has keys for somebody.
    pub(crate) fn keys_typed(&mut self) {
        self.poll_terminal();
        self.wake(Channel::Input);
    }

    /// Hands on what waits to get out; who waits for room goes on when there is some.
    pub(crate) fn flush_terminal(&mut self) {
        if self.tty.is_pending() {
            self.tty.flush(&mut self.machine);
            if self.tty.is_writable() {
                self.wake(Channel::Output);
            }
        }
    }

    /// What job control has to know of a process.
    pub(crate) fn terminal_user(&self, process: &Process<'a>, used: Use) -> User {
        let entry = self.processes.entry(process.pid);
        let (session, group) = entry.map_or((Pid::KERNEL, Pid::KERNEL), |entry| (entry.session, entry.group));
        let signal = background_signal(used);
        User {
            session,
            group,
            ignores: process.signals.ignores(signal) || process.signals.blocked.has(signal),
            orphaned: self.is_orphaned(group, session),
        }
    }

    /// Whether nobody in `session` outside of `group` is a parent of one in it, so that nobody could make it go on.
    pub(crate) fn is_orphaned(&self, group: Pid, session: Pid) -> bool {
        let entries = self.processes.entries();
        !entries
            .iter()
            .filter(|member| member.group == group)
            .any(|member| {
                let parent = entries.iter().find(|entry| entry.pid == member.parent);
                parent.is_some_and(|parent| parent.group != group && parent.session == session)
            })
    }

    /// Stops a process, and its group, that uses the terminal from the background.
    pub(crate) fn stop_background(&mut self, process: &Process<'a>, used: Use) {
        if let Some(group) = self.processes.entry(process.pid).map(|entry| entry.group) {
            self.signal_group(group, background_signal(used));
        }
    }

    /// Changes the terminal's settings.
    pub(crate) fn set_termios(&mut self, termios: Termios, when: When) {
        let mut pressed = Vec::new();
        self.tty.set_termios(termios, when, &mut |key| pressed.push(key));
        self.signal_foreground(&pressed);
        self.wake(Channel::Input);
    }

    /// Changes what is believed about the terminal's size.
    pub(crate) fn set_window(&mut self, window: Window) {
        let is_new = self.tty.window != window;
        self.tty.window = window;
        if let Some(group) = self.tty.foreground.filter(|_| is_new) {
            self.signal_group(group, Signal::WINDOW);
        }
    }

    /// The terminal becomes that of the session that `process` leads. The first process gives way to anyone.
    ///
    /// # Errors
    /// `EPERM`: it leads none, or another session has the terminal and `take` does not say to take it away.
    pub(crate) fn take_terminal(&mut self, process: &Process<'a>, take: Take) -> Result<(), Errno> {
        let entry = self.processes.entry(process.pid).ok_or(Errno::NO_PROCESS)?;
        let (session, group) = (entry.session, entry.group);
        let holder = self.tty.session;
        let is_held = holder.is_some_and(|held| held != session && Some(held) != self.init);
        if session != process.pid || is_held && take == Take::IfFree {
            return Err(Errno::NOT_PERMITTED);
        }
        if holder != Some(session) {
            (self.tty.session, self.tty.foreground) = (Some(session), Some(group));
        }
        Ok(())
    }

    /// A process that leads the terminal's session gives it up.
    pub(crate) fn leave_terminal(&mut self, pid: Pid) {
        if self.tty.session != Some(pid) {
            return;
        }
        if let Some(group) = self.tty.foreground {
            self.signal_group(group, Signal::HANGUP);
            self.signal_group(group, Signal::CONTINUE);
        }
        (self.tty.session, self.tty.foreground) = (None, None);
    }
}

/// Whether a terminal is taken from another session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Take {
    /// It is not.
    IfFree,
    /// It is.
    Anyway,
}

const fn background_signal(used: Use) -> Signal {
    match used {
        Use::Read => Signal::TERMINAL_INPUT,
        Use::Write | Use::Change => Signal::TERMINAL_OUTPUT,
    }
}
