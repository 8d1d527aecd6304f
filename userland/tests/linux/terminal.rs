//! The shell at a terminal: a pseudo-terminal of the host's, with somebody who types.
use crate::programs::{self, Scratch};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

/// A shell at a terminal.
struct Session {
    keys: File,
    shell: Child,
    seen: String,
    /// How much of what was seen has been waited for.
    past: usize,
    _scratch: Scratch,
}

impl Session {
    fn start(name: &str) -> Self {
        let scratch = Scratch::new(name);
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).expect("the terminal's rights");
        unlockpt(&master).expect("the terminal");
        let path = ptsname(&master, Vec::new()).expect("the terminal's name");
        let open = || {
            File::options()
                .read(true)
                .write(true)
                .open(path.to_str().expect("a name"))
                .expect("the terminal")
        };
        let mut command = Command::new(programs::path("sh"));
        command
            .env_clear()
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", programs::directory().display()),
            )
            .env("PS1", "% ")
            .current_dir(scratch.path())
            .stdin(open())
            .stdout(open())
            .stderr(open());
        let take_terminal = || {
            rustix::process::setsid()?;
            rustix::process::ioctl_tiocsctty(std::io::stdin().as_fd())?;
            Ok(())
        };
        // SAFETY: two system calls, and nothing that a lock could be held for.
        unsafe { command.pre_exec(take_terminal) };
        let shell = command.spawn().expect("the shell can be run");
        rustix::io::ioctl_fionbio(&master, true).expect("the terminal");
        let keys = File::from(master);
        Self {
            keys,
            shell,
            seen: String::new(),
            past: 0,
            _scratch: scratch,
        }
    }

    /// Waits until `wanted` is seen after what was waited for before.
    fn wait_for(&mut self, wanted: &str) {
        let start = Instant::now();
        loop {
            if let Some(place) = self.seen[self.past..].find(wanted) {
                self.past += place + wanted.len();
                return;
            }
            assert!(
                start.elapsed() < LIMIT,
                "{wanted:?} does not come:\n{:?}",
                self.seen
            );
            let mut buffer = [0; 4096];
            match self.keys.read(&mut buffer) {
                Ok(count) => self.seen.push_str(&String::from_utf8_lossy(&buffer[..count])),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(2))
                }
                Err(error) => panic!("{error}: {wanted:?} does not come:\n{:?}", self.seen),
            }
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("keys can be pressed");
    }

    /// Types a line at the prompt.
    fn line(&mut self, text: &str) {
        self.wait_for("% ");
        self.press(&format!("{text}\r"));
    }

    fn end(mut self) -> (i32, String) {
        let start = Instant::now();
        loop {
            let mut buffer = [0; 4096];
            if let Ok(count) = self.keys.read(&mut buffer) {
                self.seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
            if let Some(status) = self.shell.try_wait().expect("a child") {
                return (status.code().unwrap_or(-1), core::mem::take(&mut self.seen));
            }
            assert!(
                start.elapsed() < LIMIT,
                "the shell does not end:\n{:?}",
                self.seen
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

#[test]
fn lines_are_edited_recalled_and_completed() {
    let mut session = Session::start("edit");
    session.line("echo one twx\x7fo");
    session.wait_for("one two\r\n");
    // The line before, with another beginning.
    session.line("\x1b[A\x01\x1b[3~\x1b[3~\x1b[3~\x1b[3~printf '<%s>'\x05 three");
    session.wait_for("<one><two><three>");
    session.line("touch unusual-name; mkdir dir");
    session.wait_for("% ");
    session.press("echo unus\t");
    session.wait_for("echo unusual-name ");
    session.press("d\t");
    session.wait_for("dir/");
    session.press("\r");
    session.wait_for("unusual-name dir/\r\n");
    session.wait_for("% ");
    session.press("half a line\x03");
    session.wait_for("^C\r\n% ");
    session.press(":() { echo function; }; :\r");
    session.wait_for("\r\nfunction\r\n");
    session.line("exit 5");
    assert_eq!(session.end().0, 5);
}

#[test]
fn a_job_is_ended_by_a_signal_however_young_it_is() {
    let mut session = Session::start("young-jobs");
    session.line(
        "for n in 1 2 3 4 5 6 7 8; do for m in 1 2 3 4 5; do sleep 1000 & kill $!; wait $!; done; done",
    );
    session.line("echo ended $?");
    session.wait_for("ended 143\r\n");
}

#[test]
fn jobs_stop_and_go_on() {
    let mut session = Session::start("jobs");
    session.line("sleep 1000");
    session.wait_for("\n");
    // Once it reads the terminal's signals, it is in the foreground.
    session.until_foreground_is_not_the_shell();
    session.press("\x1a");
    session.wait_for("[1] + Stopped");
    session.line("bg");
    session.wait_for("[1] sleep 1000");
    session.line("jobs");
    session.wait_for("[1] + Running");
    session.wait_for("% ");
    session.press("fg\r");
    session.wait_for("sleep 1000\r\n");
    session.until_foreground_is_not_the_shell();
    session.press("\x03");
    session.line("echo code $?");
    session.wait_for("code 130\r\n");
    session.line("sleep 1000 &");
    session.wait_for("[1] ");
    session.line("kill %1; wait %1; echo ended $?");
    session.wait_for("ended 143\r\n");
    session.line("while :; do :; done");
    session.wait_for("\n");
    session.press("\x03");
    session.line("nosuch; fg; kill %7; kill nobody");
    for message in [
        "nosuch: not found",
        "fg: there is no job",
        "kill: %7: no such job",
        "kill: nobody: neither a process nor a job",
    ] {
        session.wait_for(&format!("/sh: {message}\r\n"));
    }
    session.line("echo still here");
    session.wait_for("still here\r\n");
    session.wait_for("% ");
    session.press("\x04");
    assert_eq!(session.end().0, 0);
}

impl Session {
    /// Waits until a program has the terminal.
    fn until_foreground_is_not_the_shell(&self) {
        let start = Instant::now();
        let shell = self.shell.id() as i32;
        while rustix::termios::tcgetpgrp(&self.keys).map(|group| group.as_raw_nonzero().get()) == Ok(shell) {
            assert!(start.elapsed() < LIMIT, "no program gets the terminal");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// What is typed before the shell reads it is neither lost nor shown in the midst of other output.
#[test]
fn typed_ahead_lines_are_run_in_their_order() {
    let mut session = Session::start("ahead");
    session.press("echo first\nread x\nan answer\necho \"<$x>\"\ncat <<E\nin here\nE\nif true\nthen echo yes; fi\nexit 3\n");
    session.wait_for("\nfirst\r\n");
    session.wait_for("<an answer>\r\n");
    session.wait_for("\nin here\r\n");
    session.wait_for("\nyes\r\n");
    let (code, seen) = session.end();
    assert_eq!(code, 3, "{seen}");
}
