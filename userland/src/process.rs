//! Processes: making them, waiting for them, their groups and sessions.
//!
//! Programs have one thread, so that all of this is safe: a forked child is a whole copy.
use crate::Errno;
use crate::files::{Fd, Result, name};
use crate::sys::{ask, plain};
use alloc::ffi::CString;
use alloc::vec::Vec;
use core::ffi::c_char;
use core::mem::MaybeUninit;
use core::ptr;
use core::time::Duration;
use linux_raw_sys::general as raw;
use linux_raw_sys::system;

/// A process' number.
pub type Pid = i32;

/// Which of the two a process is after a fork.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fork {
    /// The new one.
    Child,
    /// The old one; the number is the child's.
    Parent(Pid),
}

/// What became of a child.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// It ended with this code.
    Exited(u8),
    /// A signal ended it.
    Killed(u32),
    /// A signal stopped it.
    Stopped(u32),
    /// It goes on.
    Continued,
}

impl Status {
    /// Of the word that `wait4` gives.
    #[must_use]
    pub fn from_word(word: u32) -> Self {
        match (word & 0x7f, word >> 8 & 0xff) {
            (_, _) if word == 0xffff => Self::Continued,
            (0, code) => Self::Exited(code as u8),
            (0x7f, signal) => Self::Stopped(signal),
            (signal, _) => Self::Killed(signal),
        }
    }

    /// What a shell makes of it: the exit code, or 128 and the signal.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Exited(code) => code.into(),
            Self::Killed(signal) | Self::Stopped(signal) => 128 + signal as i32,
            Self::Continued => 0,
        }
    }
}

/// Ends the program.
pub fn exit(code: i32) -> ! {
    loop {
        // The call does not return.
        let _ = plain(raw::__NR_exit_group, [code as usize]);
    }
}

/// Makes a copy of this process.
///
/// # Errors
/// The kernel's.
pub fn fork() -> Result<Fork> {
    Ok(match plain(raw::__NR_fork, [])? {
        0 => Fork::Child,
        pid => Fork::Parent(pid as Pid),
    })
}

/// Becomes another program; comes back only with an error.
#[must_use]
pub fn execute(path: &[u8], arguments: &[CString], environment: &[CString]) -> Errno {
    let path = match name(path) {
        Ok(path) => path,
        Err(error) => return error,
    };
    let pointers = |strings: &[CString]| -> Vec<*const c_char> {
        let strings = strings.iter().map(|string| string.as_ptr());
        strings.chain([ptr::null()]).collect()
    };
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: the strings and both lists, which end in NULL, live until the call comes back.
    let result = unsafe {
        ask(
            raw::__NR_execve,
            [
                path.as_ptr() as usize,
                arguments.as_ptr() as usize,
                environment.as_ptr() as usize,
            ],
        )
    };
    result.err().unwrap_or(Errno::ENOSYS)
}

/// Waits for a child: `pid`, any (-1), or one of a group (0: ours, below -1: that group). `options` are 0 or
/// `WNOHANG`, `WUNTRACED`, `WCONTINUED`; `None` if none has changed and we don't wait.
///
/// # Errors
/// The kernel's.
pub fn wait(pid: Pid, options: u32) -> Result<Option<(Pid, Status)>> {
    let mut word = 0u32;
    let word_pointer = &raw mut word as usize;
    // SAFETY: the kernel writes one word; usage is not asked for.
    let found = unsafe { ask(raw::__NR_wait4, [pid as usize, word_pointer, options as usize, 0]) }?;
    Ok((found != 0).then(|| (found as Pid, Status::from_word(word))))
}

/// Waits until `pid` has ended.
///
/// # Errors
/// The kernel's, but never `EINTR`.
pub fn wait_for(pid: Pid) -> Result<Status> {
    loop {
        match wait(pid, 0) {
            Ok(Some((_, status))) => return Ok(status),
            Ok(None) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Sends a signal: to a process, or to a group (negative, or 0 for ours), or to all (-1). Signal 0 only asks.
///
/// # Errors
/// The kernel's.
pub fn kill(pid: Pid, signal: u32) -> Result<()> {
    plain(raw::__NR_kill, [pid as usize, signal as usize]).map(|_| ())
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $function:ident, $number:ident;)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $function() -> Pid {
                plain(raw::$number, []).unwrap_or(0) as Pid
            }
        )*
    };
}

numbers! {
    /// This process' number.
    id, __NR_getpid;
    /// The parent's.
    parent, __NR_getppid;
    /// This process' group.
    group, __NR_getpgrp;
    /// The user: 0 is root.
    user, __NR_geteuid;
}

/// The group of `pid` (0: this process).
///
/// # Errors
/// The kernel's.
pub fn group_of(pid: Pid) -> Result<Pid> {
    plain(raw::__NR_getpgid, [pid as usize]).map(|group| group as Pid)
}

/// Moves `pid` (0: this process) to a group (0: one of its own).
///
/// # Errors
/// The kernel's.
pub fn set_group(pid: Pid, group: Pid) -> Result<()> {
    plain(raw::__NR_setpgid, [pid as usize, group as usize]).map(|_| ())
}

/// Begins a session, with this process as its only member.
///
/// # Errors
/// The kernel's.
pub fn new_session() -> Result<Pid> {
    plain(raw::__NR_setsid, []).map(|session| session as Pid)
}

/// Sets the mask of permissions that new files do not get; says what it was.
pub fn set_mask(mask: u32) -> u32 {
    plain(raw::__NR_umask, [mask as usize]).unwrap_or(0) as u32
}

/// Whose processor time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// This process'.
    Own,
    /// That of its children that were waited for.
    Children,
}

/// Processor time, in the program and in the kernel.
///
/// # Errors
/// The kernel's.
pub fn times(whose: Whose) -> Result<(Duration, Duration)> {
    let who = match whose {
        Whose::Own => raw::RUSAGE_SELF as usize,
        Whose::Children => raw::RUSAGE_CHILDREN as usize,
    };
    let mut usage = MaybeUninit::<raw::rusage>::zeroed();
    // SAFETY: the kernel fills a structure of ours.
    unsafe { ask(raw::__NR_getrusage, [who, usage.as_mut_ptr() as usize]) }?;
    // SAFETY: all zeros are such a structure, and so is what the kernel made of them.
    let usage = unsafe { usage.assume_init() };
    let time = |time: raw::__kernel_old_timeval| {
        Duration::from_secs(time.tv_sec as u64).saturating_add(Duration::from_micros(time.tv_usec as u64))
    };
    Ok((time(usage.ru_utime), time(usage.ru_stime)))
}

/// Gives way to others.
pub fn give_way() {
    // It cannot fail.
    let _ = plain(raw::__NR_sched_yield, []);
}

/// Pages of zeros, readable and writable, where nothing is; they stay until they are unmapped.
///
/// # Errors
/// The kernel's.
pub fn map_anonymous(length: usize) -> Result<*mut u8> {
    let protection = raw::PROT_READ | raw::PROT_WRITE;
    let flags = raw::MAP_PRIVATE | raw::MAP_ANONYMOUS;
    // SAFETY: the kernel picks addresses where nothing is.
    let address = unsafe {
        ask(
            raw::__NR_mmap,
            [0, length, protection as usize, flags as usize, usize::MAX, 0],
        )
    }?;
    Ok(address as *mut u8)
}

/// Gives pages back.
///
/// # Safety
/// Nothing of the program's uses them any more.
///
/// # Errors
/// The kernel's.
pub unsafe fn unmap(address: *mut u8, length: usize) -> Result<()> {
    // SAFETY: the caller's duty.
    unsafe { ask(raw::__NR_munmap, [address as usize, length]) }.map(|_| ())
}

/// The system's names.
///
/// # Errors
/// The kernel's.
pub fn system_names() -> Result<system::new_utsname> {
    let mut names = MaybeUninit::<system::new_utsname>::zeroed();
    // SAFETY: the kernel fills a structure of ours.
    unsafe { ask(raw::__NR_uname, [names.as_mut_ptr() as usize]) }?;
    // SAFETY: all zeros are such a structure, and so is what the kernel made of them.
    Ok(unsafe { names.assume_init() })
}

/// What is to be waited for at a descriptor (`POLLIN`, ...), and what is so.
pub use linux_raw_sys::general::pollfd as PollFd;

/// Waits until something is so at one of the descriptors, or for so many milliseconds (-1: for ever).
///
/// # Errors
/// The kernel's.
pub fn poll(wanted: &mut [PollFd], timeout_ms: i32) -> Result<usize> {
    // SAFETY: the kernel reads and writes a list of ours.
    unsafe {
        ask(
            raw::__NR_poll,
            [wanted.as_mut_ptr() as usize, wanted.len(), timeout_ms as usize],
        )
    }
}

/// Whether `fd` can be read without waiting.
#[must_use]
pub fn can_read(fd: Fd) -> bool {
    let mut wanted = [PollFd {
        fd,
        events: raw::POLLIN as i16,
        revents: 0,
    }];
    poll(&mut wanted, 0) == Ok(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_words_are_those_of_linux() {
        assert_eq!(Status::from_word(0x0300), Status::Exited(3));
        assert_eq!(Status::from_word(11), Status::Killed(11));
        assert_eq!(Status::from_word(0x80 | 11), Status::Killed(11));
        assert_eq!(Status::from_word(0x137f), Status::Stopped(19));
        assert_eq!(Status::from_word(0xffff), Status::Continued);
        assert_eq!(Status::Killed(9).code(), 137);
    }
}
