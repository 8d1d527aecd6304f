//! Terminals: what is one, its modes, its foreground.
use crate::check::{Check, Works, expect, same, tests};
use crate::raw;
use linux_raw_sys::general as linux;
use linux_raw_sys::ioctl;
use userland::files::{self, File};
use userland::{Errno, process, terminal};

tests! {
    pipes_and_files_are_no_terminals
    a_terminal_has_modes
    a_terminal_has_a_foreground
    ioctls_have_rules
}

/// This session's terminal, if it has one: elsewhere there is nothing to test.
fn terminal_here() -> Option<File> {
    File::open(b"/dev/tty", linux::O_RDWR | linux::O_NOCTTY).ok()
}

fn pipes_and_files_are_no_terminals() -> Check {
    let (reader, _writer) = files::pipe(0).works("pipe")?;
    let null = File::open(b"/dev/null", linux::O_RDWR).works("open")?;
    for fd in [reader.fd(), null.fd()] {
        same(terminal::modes(fd).map(|_| ()), Err(Errno::ENOTTY), "modes")?;
        same(terminal::foreground(fd), Err(Errno::ENOTTY), "the foreground")?;
    }
    same(terminal::modes(777).map(|_| ()), Err(Errno::EBADF), "of nothing")
}

fn a_terminal_has_modes() -> Check {
    let Some(tty) = terminal_here() else { return Ok(()) };
    // We are not in its foreground: changing modes would stop us.
    userland::signal::set(userland::signal::SIGTTOU, userland::signal::Action::Ignore).works("sigaction")?;
    let modes = terminal::modes(tty.fd()).works("TCGETS")?;
    expect(
        modes.c_lflag & linux::ICANON != 0 && modes.c_lflag & linux::ISIG != 0,
        "lines and signals",
    )?;
    terminal::set_modes(tty.fd(), &terminal::raw_modes(&modes)).works("TCSETSW")?;
    let raw_modes = terminal::modes(tty.fd()).works("TCGETS")?;
    terminal::set_modes(tty.fd(), &modes).works("TCSETSW")?;
    same(
        raw_modes.c_lflag & (linux::ICANON | linux::ECHO | linux::ISIG),
        0,
        "raw modes",
    )?;
    let back = terminal::modes(tty.fd()).works("TCGETS")?;
    same(
        (back.c_lflag, back.c_iflag),
        (modes.c_lflag, modes.c_iflag),
        "as before",
    )
}

fn a_terminal_has_a_foreground() -> Check {
    let Some(tty) = terminal_here() else { return Ok(()) };
    let foreground = terminal::foreground(tty.fd()).works("TIOCGPGRP")?;
    expect(foreground > 0, "a group")?;
    userland::signal::set(userland::signal::SIGTTOU, userland::signal::Action::Ignore).works("sigaction")?;
    terminal::set_foreground(tty.fd(), process::group()).works("TIOCSPGRP")?;
    let ours = terminal::foreground(tty.fd());
    terminal::set_foreground(tty.fd(), foreground).works("TIOCSPGRP")?;
    same(ours, Ok(process::group()), "our group")?;
    same(
        terminal::set_foreground(tty.fd(), 0x7fff_0000),
        Err(Errno::ESRCH),
        "no such group",
    )
}

fn ioctls_have_rules() -> Check {
    let Some(tty) = terminal_here() else { return Ok(()) };
    for bad in raw::BAD {
        let result = raw::call(
            linux::__NR_ioctl,
            [tty.fd() as usize, ioctl::TCGETS as usize, bad],
        );
        same(result, Err(Errno::EFAULT), "a bad pointer")?;
    }
    let unknown = raw::call(linux::__NR_ioctl, [tty.fd() as usize, 0x1234_5678, 0]);
    expect(
        matches!(unknown, Err(Errno::ENOTTY | Errno::EINVAL)),
        "an unknown request",
    )
}
