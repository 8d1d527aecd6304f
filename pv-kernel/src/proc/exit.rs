//! The end of a process.
use crate::cause::Cause;
use crate::kernel::{Kernel, Machine};
use crate::proc::table::State;
use crate::proc::{End, News, Pid, Process, Status};
use crate::signal::{Handler, Info, Origin, Signal};
use crate::wait::Channel;
use alloc::boxed::Box;
use linux_raw_sys::general::{SA_NOCLDSTOP, SA_NOCLDWAIT};

impl<'a, M: Machine> Kernel<'a, M> {
    /// Ends a process that was taken out of the table: gives back all that it has, leaves its children to another, tells
    /// its parent.
    pub fn exit(&mut self, process: Box<Process<'a>>, end: End) {
        let pid = process.pid;
        self.report(pid, end);
        let status = match end {
            End::Exited(code) => Status::Exited(code),
            End::Killed { cause, .. } => Status::Killed(cause.signal().number()),
            End::Signalled { signal, .. } => Status::Killed(signal.number()),
            End::Abandoned => Status::Killed(Signal::KILL.number()),
        };
        self.forget_user_state(pid);
        let Process { memory, files, .. } = *process;
        self.destroy(memory);
        self.leave_files(files);
        self.leave_terminal(pid);
        self.processes.ended(pid, status);
        self.wake(Channel::Departed(pid));
        self.leave_children(pid);
        let parent = self
            .processes
            .entry(pid)
            .map_or(Pid::KERNEL, |entry| entry.parent);
        self.tell(parent, pid, status);
    }

    /// Tells `parent` that its child `pid` has ended.
    fn tell(&mut self, parent: Pid, pid: Pid, status: Status) {
        if parent == Pid::KERNEL {
            if self.started == Some(pid) {
                self.ended = Some(status);
            }
            self.processes.remove(pid);
            return;
        }
        if self.discards_children(parent) {
            self.processes.reap(pid);
        }
        self.signal(parent, Info::of_child(Origin::Ended(pid, status)));
        self.wake(Channel::Child(parent));
    }

    /// Whether a process has said that it does not care for its children's ends.
    fn discards_children(&self, parent: Pid) -> bool {
        let parent = self.processes.entry(parent).and_then(|entry| entry.process());
        parent.is_some_and(|parent| {
            let action = parent.signals.action(Signal::CHILD);
            action.handler == Handler::Ignore || action.has(SA_NOCLDWAIT)
        })
    }

    /// Something has happened to a process that lives: its parent may want to know.
    pub(crate) fn tell_news(&mut self, pid: Pid, news: News, origin: Origin) {
        let Some(entry) = self.processes.entry_mut(pid) else {
            return;
        };
        entry.news = Some(news);
        let parent = entry.parent;
        let process = self.processes.entry(parent).and_then(|entry| entry.process());
        let quiet = process.is_some_and(|parent| parent.signals.action(Signal::CHILD).has(SA_NOCLDSTOP));
        if !quiet {
            self.signal(parent, Info::of_child(origin));
        }
        self.wake(Channel::Child(parent));
    }

    /// Stops a process.
    pub(crate) fn stop(&mut self, process: Box<Process<'a>>, signal: Signal) {
        let pid = process.pid;
        self.processes.put_stopped(process, signal);
        self.tell_news(pid, News::Stopped(signal), Origin::Stopped(pid, signal));
    }

    /// The children of `pid` become those of the first process, or the kernel's where there is none.
    fn leave_children(&mut self, pid: Pid) {
        let heir = self.init.filter(|init| *init != pid).unwrap_or(Pid::KERNEL);
        while let Some(child) = self
            .processes
            .entries()
            .iter()
            .find(|entry| entry.parent == pid)
            .map(|entry| entry.pid)
        {
            let state = self.processes.entry_mut(child).map(|entry| {
                entry.parent = heir;
                entry.state()
            });
            if let Some(State::Zombie(status)) = state {
                self.tell(heir, child, status);
            }
        }
    }

    /// Ends every process that is left.
    pub fn end_all(&mut self) {
        while let Some(pid) = self.processes.entries().first().map(|entry| entry.pid) {
            match self.processes.take(pid) {
                Some(process) => self.exit(process, End::Abandoned),
                None => self.processes.remove(pid),
            }
        }
    }

    /// Says how a program of the list ended, if that is worth a word. What a first process's children do is its affair.
    fn report(&mut self, pid: Pid, end: End) {
        let name = self.processes.name(pid);
        let is_told = self.init.is_none_or(|init| init == pid);
        match end {
            End::Killed {
                cause: cause @ Cause::OutOfMemory,
                rip,
            } => self.say(format_args!("{name}: killed by {cause} at rip {rip:#x}")),
            End::Killed { cause, rip } if is_told => {
                self.say(format_args!("{name}: killed by {cause} at rip {rip:#x}"));
            }
            End::Signalled { signal, rip } if self.started == Some(pid) => {
                self.say(format_args!("{name}: killed by {signal} at rip {rip:#x}"));
            }
            End::Exited(code) if code != 0 && self.started == Some(pid) && self.init.is_none() => {
                self.say(format_args!("{name}: exited with code {code}"));
            }
            _ => {}
        }
    }
}
