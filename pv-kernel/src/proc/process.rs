//! A program that runs.
use crate::cause::Cause;
use crate::context::Context;
use crate::mm::user_mem::UserMemory;
use crate::proc::files::ProcessFiles;
use crate::proc::{Pid, UserState};
use crate::signal::{Signal, SignalState};
use crate::wait::Wait;
use alloc::boxed::Box;

/// What belongs to one process alone, and is needed only while it is worked on. What others may ask for at any time is
/// in its [`crate::proc::table::Entry`].
#[derive(Debug)]
pub struct Process<'a> {
    /// Its number.
    pub pid: Pid,
    /// Its memory.
    pub memory: UserMemory<'a>,
    /// Its registers while the kernel runs.
    pub context: Context,
    /// The rest of its registers, while they are not in the CPU.
    pub user_state: UserState,
    /// What it has said about signals.
    pub signals: SignalState,
    /// What it does when it gets the CPU next.
    pub turn: Turn,
    /// Its files.
    pub files: ProcessFiles,
    /// Its program's arguments, as much as is kept of them, each with a NUL.
    pub arguments: Box<[u8]>,
    /// Bytes that the call that waits, or takes long, has transferred already. It is kept while the call is made again and again.
    pub progress: u64,
    /// System time at which the call that waits gives up. It is kept while the call is made again and again.
    pub deadline_ns: Option<u64>,
}

impl Process<'_> {
    /// The deadline of a call that waits for `timeout_ns` in all: counted from `now_ns` when it is made first.
    pub fn deadline(&mut self, now_ns: u64, timeout_ns: u64) -> u64 {
        *self.deadline_ns.get_or_insert(now_ns.saturating_add(timeout_ns))
    }
}

/// How a process goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// In ring 3.
    Resume,
    /// Its system call is made again.
    Repeat,
}

/// How a program ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// It said so.
    Exited(u8),
    /// A signal ended it.
    Signalled {
        /// Which.
        signal: Signal,
        /// The instruction.
        rip: u64,
    },
    /// The kernel ended it for what it did.
    Killed {
        /// Why.
        cause: Cause,
        /// The instruction.
        rip: u64,
    },
    /// All ends, and it with all.
    Abandoned,
}

/// What follows a trap of a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// It goes on.
    Resume,
    /// It goes on after the others.
    Yield,
    /// Its system call is made again then.
    Wait(Wait),
    /// Its system call is made again after the others: it has taken long and is not done.
    Again,
    /// It goes on then; its system call has been made.
    Pause(Wait),
    /// It is stopped, until it is told to go on.
    Stop(Signal),
    /// It has ended.
    End(End),
}
