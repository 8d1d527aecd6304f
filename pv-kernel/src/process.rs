//! A program that runs.
use crate::cause::Cause;
use crate::context::Context;
use crate::mm::user_mem::UserMemory;
use alloc::string::String;

/// A process.
#[derive(Debug)]
pub struct Process<'a> {
    /// Its number.
    pub pid: u32,
    /// Name of its program, for messages.
    pub name: String,
    /// Its memory.
    pub memory: UserMemory<'a>,
    /// Its registers while the kernel runs.
    pub context: Context,
}

/// How a program ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// It said so.
    Exited(u8),
    /// The kernel ended it.
    Killed {
        /// Why.
        cause: Cause,
        /// The instruction.
        rip: u64,
    },
}

/// What follows a trap of a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// It goes on.
    Resume,
    /// Its system call is tried again when one of these conditions (`abi::sched::WAKE_*`) holds.
    Wait(u64),
    /// It has ended.
    End(End),
}

/// A program's name for messages: not more of it than the kernel's heap should hold.
#[must_use]
pub fn short_name(name: &[u8]) -> String {
    const LONGEST: usize = 64;
    String::from_utf8_lossy(name.get(..LONGEST).unwrap_or(name)).into_owned()
}
