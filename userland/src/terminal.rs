//! Terminals: their modes, their size, who may read from them.
use crate::files::{Fd, Result};
use crate::process::Pid;
use crate::sys::{ask, plain};
use core::mem::MaybeUninit;
use linux_raw_sys::general as raw;
use linux_raw_sys::ioctl;

pub use linux_raw_sys::general::termios as Modes;

fn ask_for<T>(fd: Fd, request: u32) -> Result<T> {
    let mut answer = MaybeUninit::<T>::zeroed();
    // SAFETY: the kernel fills a structure of ours; callers name the one that belongs to the request.
    unsafe {
        ask(
            raw::__NR_ioctl,
            [fd as usize, request as usize, answer.as_mut_ptr() as usize],
        )
    }?;
    // SAFETY: callers ask for plain numbers only.
    Ok(unsafe { answer.assume_init() })
}

fn tell<T>(fd: Fd, request: u32, value: &T) -> Result<()> {
    let pointer = &raw const *value as usize;
    // SAFETY: the kernel reads a structure of ours; callers give the one that belongs to the request.
    unsafe { ask(raw::__NR_ioctl, [fd as usize, request as usize, pointer]) }.map(|_| ())
}

/// The modes of the terminal.
///
/// # Errors
/// `ENOTTY` if it is none, and the kernel's others.
pub fn modes(fd: Fd) -> Result<Modes> {
    ask_for(fd, ioctl::TCGETS)
}

/// Sets the modes, once all output is out; input that came before stays.
///
/// # Errors
/// The kernel's.
pub fn set_modes(fd: Fd, modes: &Modes) -> Result<()> {
    tell(fd, ioctl::TCSETSW, modes)
}

/// Whether `fd` is a terminal.
#[must_use]
pub fn is_terminal(fd: Fd) -> bool {
    modes(fd).is_ok()
}

/// `modes` as a line editor needs them: single keys, no echo, no signals from keys; output stays as it is.
#[must_use]
pub fn raw_modes(modes: &Modes) -> Modes {
    let mut raw_modes = *modes;
    raw_modes.c_lflag &= !(raw::ICANON | raw::ECHO | raw::ISIG | raw::IEXTEN);
    // Enter stays a newline: what is typed ahead may be read in the usual modes.
    raw_modes.c_iflag &= !raw::IXON;
    let mut set = |index: u32, value| {
        if let Some(slot) = raw_modes.c_cc.get_mut(index as usize) {
            *slot = value;
        }
    };
    set(raw::VMIN, 1);
    set(raw::VTIME, 0);
    raw_modes
}

/// `modes` with what is typed shown by the terminal.
#[must_use]
pub fn with_echo(mut modes: Modes) -> Modes {
    modes.c_lflag |= raw::ECHO;
    modes
}

/// `modes` with what is typed not shown.
#[must_use]
pub fn without_echo(mut modes: Modes) -> Modes {
    modes.c_lflag &= !raw::ECHO;
    modes
}

/// How many columns the terminal has, if it says so.
#[must_use]
pub fn columns(fd: Fd) -> Option<usize> {
    let size: raw::winsize = ask_for(fd, ioctl::TIOCGWINSZ).ok()?;
    (size.ws_col > 0).then_some(size.ws_col.into())
}

/// The group that may read from the terminal.
///
/// # Errors
/// The kernel's.
pub fn foreground(fd: Fd) -> Result<Pid> {
    ask_for(fd, ioctl::TIOCGPGRP)
}

/// Lets `group` read from the terminal.
///
/// # Errors
/// The kernel's.
pub fn set_foreground(fd: Fd, group: Pid) -> Result<()> {
    tell(fd, ioctl::TIOCSPGRP, &group)
}

/// Makes the terminal that of this process' session, which has none.
///
/// # Errors
/// The kernel's.
pub fn make_controlling(fd: Fd) -> Result<()> {
    plain(raw::__NR_ioctl, [fd as usize, ioctl::TIOCSCTTY as usize, 0]).map(|_| ())
}
