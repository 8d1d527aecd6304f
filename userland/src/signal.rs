//! Signals: their names, sets of them, what is done when one comes.
//!
//! Two kinds of handlers: [`Action::Note`] only notes that the signal came, which is all that safe programs need, and
//! [`set_handler`] takes any function, for the tests of the kernel.
use crate::files::Result;
use crate::sys::{ask, plain};
use core::arch::global_asm;
use core::sync::atomic::{AtomicU64, Ordering};
use linux_raw_sys::general as raw;

pub use raw::{
    SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGPIPE, SIGQUIT, SIGSEGV, SIGSTOP, SIGTERM, SIGTSTP,
    SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2,
};

/// Names without `SIG`, from 1 on.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// What a shell says of a program that one of these ended; from 1 on.
const TEXTS: [&str; 31] = [
    "Hangup",
    "Interrupt",
    "Quit",
    "Illegal instruction",
    "Trace/breakpoint trap",
    "Aborted",
    "Bus error",
    "Floating point exception",
    "Killed",
    "User defined signal 1",
    "Segmentation fault",
    "User defined signal 2",
    "Broken pipe",
    "Alarm clock",
    "Terminated",
    "Stack fault",
    "Child exited",
    "Continued",
    "Stopped (signal)",
    "Stopped",
    "Stopped (tty input)",
    "Stopped (tty output)",
    "Urgent I/O condition",
    "CPU time limit exceeded",
    "File size limit exceeded",
    "Virtual timer expired",
    "Profiling timer expired",
    "Window changed",
    "I/O possible",
    "Power failure",
    "Bad system call",
];

/// The highest signal.
pub const LAST: u32 = 64;

/// The name of a signal, without `SIG`.
#[must_use]
pub fn name(signal: u32) -> Option<&'static str> {
    NAMES.get(signal.checked_sub(1)? as usize).copied()
}

/// What to say of a program that this signal ended or stopped.
#[must_use]
pub fn text(signal: u32) -> &'static str {
    let index = signal.checked_sub(1).map(|index| index as usize);
    index
        .and_then(|index| TEXTS.get(index).copied())
        .unwrap_or("Real-time signal")
}

/// A signal by number or name, with or without `SIG`, in any case.
#[must_use]
pub fn parse(text: &[u8]) -> Option<u32> {
    if let Some(number) = crate::text::number(text) {
        return u32::try_from(number).ok().filter(|number| *number <= LAST);
    }
    let text = core::str::from_utf8(text).ok()?;
    let bare = match text.get(..3) {
        Some(prefix) if prefix.eq_ignore_ascii_case("SIG") => text.get(3..)?,
        _ => text,
    };
    let place = NAMES.iter().position(|name| name.eq_ignore_ascii_case(bare))?;
    Some(place as u32 + 1)
}

/// A set of signals.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Set(pub u64);

impl Set {
    /// No signal.
    pub const EMPTY: Self = Self(0);
    /// All signals.
    pub const ALL: Self = Self(u64::MAX);

    /// These signals.
    #[must_use]
    pub fn of(signals: &[u32]) -> Self {
        let bits = signals.iter().filter(|signal| (1..=LAST).contains(*signal));
        Self(bits.fold(0, |set, signal| set | 1 << (signal - 1)))
    }

    /// Whether `signal` is in it.
    #[must_use]
    pub fn has(self, signal: u32) -> bool {
        self.0 & Self::of(&[signal]).0 != 0
    }
}

/// What is done when a signal comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// What the system does by itself.
    Default,
    /// Nothing.
    Ignore,
    /// It is noted, see [`take_noted`]. A call that waits ends with `EINTR`.
    Note,
}

/// Signals that came since they were last taken.
static NOTED: AtomicU64 = AtomicU64::new(0);

extern "C" fn note(signal: i32) {
    NOTED.fetch_or(Set::of(&[signal as u32]).0, Ordering::Relaxed);
}

/// The noted signals that came since the last call.
pub fn take_noted() -> Set {
    Set(NOTED.swap(0, Ordering::Relaxed))
}

/// The noted signals that came and were not taken.
#[must_use]
pub fn noted() -> Set {
    Set(NOTED.load(Ordering::Relaxed))
}

/// Whether a noted signal came that was not taken.
#[must_use]
pub fn any_noted() -> bool {
    NOTED.load(Ordering::Relaxed) != 0
}

// Where a handler returns to: the kernel puts every register back from the frame on the stack.
#[cfg(any(feature = "linux", not(target_os = "none")))]
global_asm!(
    "userland_sigreturn:",
    "mov eax, {number}",
    "syscall",
    "ud2",
    number = const raw::__NR_rt_sigreturn,
);
#[cfg(not(any(feature = "linux", not(target_os = "none"))))]
global_asm!(
    "userland_sigreturn:",
    "mov eax, {number}",
    "int 0x80",
    "ud2",
    number = const raw::__NR_rt_sigreturn,
);

unsafe extern "C" {
    fn userland_sigreturn();
}

/// `struct sigaction` of the kernel.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RawAction {
    /// `SIG_DFL` (0), `SIG_IGN` (1), or a function's address.
    pub handler: usize,
    /// `SA_RESTART`, ...
    pub flags: u64,
    /// Where the handler returns to.
    pub restorer: usize,
    /// What else is blocked while the handler runs.
    pub mask: Set,
}

const _: () = assert!(size_of::<RawAction>() == size_of::<raw::kernel_sigaction>());
const SET_SIZE: usize = size_of::<Set>();

/// `rt_sigaction`: sets what is done on `signal`, if `new` is given; says what was.
///
/// # Safety
/// A handler is sound wherever the program may be when it is called.
///
/// # Errors
/// The kernel's.
pub unsafe fn set_raw(signal: u32, new: Option<RawAction>) -> Result<RawAction> {
    let mut old = RawAction {
        handler: 0,
        flags: 0,
        restorer: 0,
        mask: Set::EMPTY,
    };
    let new_pointer = new.as_ref().map_or(0, |new| &raw const *new as usize);
    // SAFETY: the kernel reads one structure of ours and writes the other; the handler is the caller's duty.
    unsafe {
        ask(
            raw::__NR_rt_sigaction,
            [signal as usize, new_pointer, &raw mut old as usize, SET_SIZE],
        )
    }?;
    Ok(old)
}

/// Sets a handler with flags such as `SA_RESTART`.
///
/// # Safety
/// As for [`set_raw`].
///
/// # Errors
/// The kernel's.
pub unsafe fn set_handler(signal: u32, handler: usize, flags: u32, mask: Set) -> Result<RawAction> {
    let action = RawAction {
        handler,
        flags: u64::from(flags | raw::SA_RESTORER),
        restorer: userland_sigreturn as *const () as usize,
        mask,
    };
    // SAFETY: the caller's duty.
    unsafe { set_raw(signal, Some(action)) }
}

/// Sets what is done on `signal`.
///
/// # Errors
/// The kernel's.
pub fn set(signal: u32, action: Action) -> Result<()> {
    let handler = match action {
        Action::Default => 0,
        Action::Ignore => 1,
        Action::Note => note as *const () as usize,
    };
    // SAFETY: the handler changes one atomic word and nothing else.
    unsafe { set_handler(signal, handler, 0, Set::EMPTY) }.map(|_| ())
}

/// Whether `signal` is ignored.
#[must_use]
pub fn is_ignored(signal: u32) -> bool {
    // SAFETY: nothing is set.
    unsafe { set_raw(signal, None) }.is_ok_and(|action| action.handler == 1)
}

/// How [`change_mask`] uses its set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Block these as well.
    Block,
    /// Block these no longer.
    Unblock,
    /// Block these alone.
    Set,
}

/// Changes which signals wait; says which waited.
///
/// # Errors
/// The kernel's.
pub fn change_mask(change: Change, set: Set) -> Result<Set> {
    let how = match change {
        Change::Block => raw::SIG_BLOCK,
        Change::Unblock => raw::SIG_UNBLOCK,
        Change::Set => raw::SIG_SETMASK,
    };
    let mut old = Set::EMPTY;
    let (new, old_pointer) = (&raw const set as usize, &raw mut old as usize);
    // SAFETY: the kernel reads one word of ours and writes the other.
    unsafe {
        ask(
            raw::__NR_rt_sigprocmask,
            [how as usize, new, old_pointer, SET_SIZE],
        )
    }?;
    Ok(old)
}

/// Lets all signals wait, as long as it lives.
#[must_use]
pub struct Held(Set);

impl Held {
    /// From now on.
    ///
    /// # Errors
    /// The kernel's.
    pub fn all() -> Result<Self> {
        change_mask(Change::Block, Set::ALL).map(Self)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The mask was the kernel's own.
        let _ = change_mask(Change::Set, self.0);
    }
}

/// The signals that came and wait.
///
/// # Errors
/// The kernel's.
pub fn pending() -> Result<Set> {
    let mut set = Set::EMPTY;
    // SAFETY: the kernel writes one word of ours.
    unsafe { ask(raw::__NR_rt_sigpending, [&raw mut set as usize, SET_SIZE]) }?;
    Ok(set)
}

/// Waits until a signal comes that is not in `mask` and has been handled.
pub fn suspend(mask: Set) {
    // It always ends with EINTR.
    // SAFETY: the kernel reads one word of ours.
    let _ = unsafe { ask(raw::__NR_rt_sigsuspend, [&raw const mask as usize, SET_SIZE]) };
}

/// Asks for SIGALRM in so many seconds (0: not any more); says how many were left.
pub fn alarm(seconds: u32) -> u32 {
    plain(raw::__NR_alarm, [seconds as usize]).unwrap_or(0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_numbers_and_names() {
        assert_eq!(parse(b"9"), Some(9));
        assert_eq!(parse(b"KILL"), Some(SIGKILL));
        assert_eq!(parse(b"sigterm"), Some(SIGTERM));
        assert_eq!(parse(b"nonsense"), None);
        assert_eq!(parse(b"65"), None);
        assert_eq!(name(SIGCHLD), Some("CHLD"));
        assert_eq!(name(0), None);
        assert_eq!(name(40), None);
        assert_eq!(text(SIGSEGV), "Segmentation fault");
        assert!(Set::of(&[1, 64]).has(64));
        assert!(!Set::of(&[0, 65]).has(64));
    }
}
