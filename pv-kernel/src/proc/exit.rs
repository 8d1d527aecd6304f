//! The end of a process.
use crate::kernel::{Kernel, Machine};
use crate::proc::table::State;
use crate::proc::{End, Pid, Process, Status};
use crate::wait::Channel;
use alloc::boxed::Box;
use linux_raw_sys::general::SIGKILL as SIGKILL_NUMBER;

/// The signal that ends what is left at the end.
const SIGKILL: u8 = SIGKILL_NUMBER as u8;

impl<'a, M: Machine> Kernel<'a, M> {
    /// Ends a process that was taken out of the table: gives back all that it has, leaves its children to another, tells
    /// its parent.
    pub fn exit(&mut self, process: Box<Process<'a>>, end: End) {
        let pid = process.pid;
        self.report(pid, end);
        let status = match end {
            End::Exited(code) => Status::Exited(code),
            End::Killed { cause, .. } => Status::Killed(cause.signal()),
            End::Signalled(signal) => Status::Killed(signal),
        };
        self.forget_user_state(pid);
        let Process { memory, .. } = *process;
        self.destroy(memory);
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
        } else {
            self.wake(Channel::Child(parent));
        }
    }

    /// The children of `pid` become those of the first process, or the kernel's where there is none.
    fn leave_children(&mut self, pid: Pid) {
        let heir = self.init().filter(|init| *init != pid).unwrap_or(Pid::KERNEL);
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
                Some(process) => self.exit(process, End::Signalled(SIGKILL)),
                None => self.processes.remove(pid),
            }
        }
    }

    fn report(&mut self, pid: Pid, end: End) {
        if self.started != Some(pid) && self.init().is_some() {
            return;
        }
        let name = self.processes.name(pid);
        match end {
            End::Exited(0) | End::Signalled(_) => {}
            End::Exited(_) if self.started != Some(pid) => {}
            End::Exited(code) => self.say(format_args!("{name}: exited with code {code}")),
            End::Killed { cause, rip } => {
                self.say(format_args!("{name}: killed by {cause} at rip {rip:#x}"));
            }
        }
    }
}
