//! The birth of a process from another.
use crate::context::Context;
use crate::errno::Errno;
use crate::kernel::{Kernel, Machine};
use crate::proc::{Pid, Process, Turn};
use alloc::boxed::Box;

impl<'a, M: Machine> Kernel<'a, M> {
    /// Makes a copy of `parent`, ready to return 0 from its call, on the stack `stack` unless that is 0. Says its number.
    ///
    /// # Errors
    /// `EAGAIN`: too many processes; `ENOMEM`.
    pub fn fork(&mut self, parent: &mut Process<'a>, stack: u64) -> Result<Pid, Errno> {
        self.check_heap()?;
        let pid = self.processes.free_pid()?;
        self.save_user_state(parent);
        let memory = parent
            .memory
            .fork(&mut self.machine, &mut self.frames)
            .map_err(|_| Errno::NO_MEMORY)?;
        let files = self.fork_files(&parent.files);
        let rsp = if stack == 0 { parent.context.rsp } else { stack };
        let child = Process {
            pid,
            memory,
            context: Context {
                rax: 0,
                rsp,
                ..parent.context
            },
            user_state: parent.user_state.clone(),
            signals: parent.signals.clone(),
            turn: Turn::Resume,
            files,
            arguments: parent.arguments.clone(),
            progress: 0,
            deadline_ns: None,
        };
        let name = self.processes.name(parent.pid);
        self.processes
            .insert(Box::new(child), parent.pid, name, Some(parent.pid));
        Ok(pid)
    }
}
