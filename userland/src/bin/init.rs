//! init: the first process. Sets up the session and the terminal, says what `/etc/motd` says, runs `/etc/rc` if it is
//! there and then the shell (or what it was called with), and reaps whatever becomes an orphan. When the shell has
//! ended, everything else is ended too, and the shell's exit code is that of the machine.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::ffi::CString;
use alloc::vec::Vec;
use core::time::Duration;
use linux_raw_sys::general::{O_RDWR, WNOHANG};
use userland::files;
use userland::process::{self, Fork, Pid, Status};
use userland::signal::{self, Action, Change, Set};
use userland::text::Text;
use userland::{Arguments, Errno, eprintln, io, terminal, time};

userland::program!(main);

/// What programs find in their environment.
const ENVIRONMENT: [&[u8]; 6] = [
    b"PATH=/bin:/usr/bin:/sbin",
    b"HOME=/root",
    b"USER=root",
    b"LOGNAME=root",
    b"SHELL=/bin/sh",
    b"TERM=linux",
];
/// How often, and how long each time, is waited for processes that were asked to end.
const PATIENCE: (usize, Duration) = (20, Duration::from_millis(10));

fn main(arguments: Arguments) -> i32 {
    // A session and a terminal: it may be that of another session, and there may be none.
    let _ = process::new_session();
    open_console();
    let _ = terminal::make_controlling(io::STDIN);
    // The keys' signals are for others.
    for number in [
        signal::SIGINT,
        signal::SIGQUIT,
        signal::SIGTSTP,
        signal::SIGTTOU,
        signal::SIGTTIN,
    ] {
        let _ = signal::set(number, Action::Ignore);
    }
    if let Ok(text) = files::content(b"/etc/motd") {
        // It is not worth more than trying.
        let _ = files::write_all(io::STDOUT, &text);
    }
    if files::access(b"/etc/rc", 0).is_ok() {
        run(&[b"/bin/sh", b"/etc/rc"]);
    }
    let command = match arguments.list().as_slice() {
        [] => Vec::from([b"/bin/sh".as_slice()]),
        command => command.to_vec(),
    };
    let code = run(&command);
    end_all();
    code
}

/// Descriptors 0, 1 and 2, if the kernel has not opened them.
fn open_console() {
    while files::fstat(io::STDERR).is_err() {
        match files::open(b"/dev/console", O_RDWR, 0) {
            Ok(fd) if fd <= io::STDERR => {}
            // There is none: nothing can be said either.
            _ => return,
        }
    }
}

/// Runs a program with the terminal and waits for it; meanwhile orphans are reaped. Its code.
fn run(command: &[&[u8]]) -> i32 {
    let pid = match process::fork() {
        Ok(Fork::Child) => become_program(command),
        Ok(Fork::Parent(pid)) => pid,
        Err(error) => {
            eprintln!("init: cannot fork: {error}");
            return 1;
        }
    };
    let code = wait_for(pid);
    // The terminal comes back, for whoever is next.
    let _ = terminal::set_foreground(io::STDIN, process::group());
    code
}

fn become_program(command: &[&[u8]]) -> ! {
    for number in 1..=signal::LAST {
        // Some cannot be set.
        let _ = signal::set(number, Action::Default);
    }
    let _ = process::set_group(0, 0);
    // Until the terminal is ours, taking it would stop us.
    let _ = signal::change_mask(Change::Block, Set::of(&[signal::SIGTTOU]));
    let _ = terminal::set_foreground(io::STDIN, process::group());
    let _ = signal::change_mask(Change::Set, Set::EMPTY);
    let strings = |slices: &[&[u8]]| -> Vec<CString> {
        slices
            .iter()
            .map(|slice| CString::new(*slice).unwrap_or_default())
            .collect()
    };
    let name = command.first().copied().unwrap_or(b"");
    let error = process::execute(name, &strings(command), &strings(&ENVIRONMENT));
    eprintln!("init: {}: {error}", Text(name));
    process::exit(127)
}

/// Reaps until `pid` has ended.
fn wait_for(pid: Pid) -> i32 {
    loop {
        match process::wait(-1, 0) {
            Ok(Some((ended, status @ (Status::Exited(_) | Status::Killed(_))))) if ended == pid => {
                return status.code();
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => {
                eprintln!("init: cannot wait: {error}");
                return 1;
            }
        }
    }
}

/// Ends all other processes: first they are asked to, then they must.
fn end_all() {
    // A test may run init where it is not the first process: then others are not its to end.
    if process::id() != 1 {
        return;
    }
    for number in [signal::SIGTERM, signal::SIGKILL] {
        // Nobody may be left.
        let _ = process::kill(-1, number);
        let _ = process::kill(-1, signal::SIGCONT);
        let (times, pause) = PATIENCE;
        for _ in 0..times {
            match process::wait(-1, WNOHANG) {
                Err(_) => return,
                Ok(Some(_)) => {}
                Ok(None) => {
                    let _ = time::sleep(pause);
                }
            }
        }
    }
}
