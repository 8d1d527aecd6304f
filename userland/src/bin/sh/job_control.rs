//! Processes that belong together: starting them, waiting for them, the terminal's foreground.
use crate::flow::{Flow, Outcome};
use crate::shell::Shell;
use alloc::vec::Vec;
use linux_raw_sys::general as raw;
use userland::process::{self, Fork, Pid, Status};
use userland::sh::ast::Mode;
use userland::sh::jobs::State;
use userland::signal::{self, Action, Held};
use userland::{Errno, eprintln, files, io, terminal};

/// Processes of a job that is being started.
#[derive(Debug)]
pub(crate) struct Starting {
    mode: Mode,
    /// Their group, once there is one; with job control it is that of the first.
    group: Pid,
    pids: Vec<Pid>,
}

impl Starting {
    pub(crate) fn new(mode: Mode) -> Self {
        Self {
            mode,
            group: 0,
            pids: Vec::new(),
        }
    }
}

impl Shell {
    /// Makes a process of a job. The child has to run and to exit.
    pub(crate) fn spawn(&mut self, starting: &mut Starting) -> files::Result<Fork> {
        let has_jobs = self.has_jobs();
        // One for the child that comes before the child has its own actions would be met by the shell's, and lost.
        let _held = Held::all()?;
        let fork = process::fork()?;
        match fork {
            Fork::Child => {
                if has_jobs {
                    self.join_group(starting);
                } else if starting.mode == Mode::Background {
                    self.detach();
                }
                self.enter_subshell();
                if !has_jobs && starting.mode == Mode::Background {
                    for number in [signal::SIGINT, signal::SIGQUIT] {
                        // Both can be ignored.
                        let _ = signal::set(number, Action::Ignore);
                    }
                }
            }
            Fork::Parent(pid) => {
                if has_jobs {
                    if starting.group == 0 {
                        starting.group = pid;
                    }
                    // The child does the same: whoever comes first. It may have ended or become a program already.
                    let _ = process::set_group(pid, starting.group);
                }
                starting.pids.push(pid);
            }
        }
        Ok(fork)
    }

    /// In a child: into the job's group, and that to the foreground.
    fn join_group(&self, starting: &Starting) {
        // Its parent does the same; see there.
        let _ = process::set_group(0, starting.group);
        if let (Mode::Foreground, Some(terminal)) = (starting.mode, self.terminal) {
            let _ = terminal::set_foreground(terminal.fd, process::group());
        }
    }

    /// In a child that runs in the background without job control: it must not take the input of others.
    fn detach(&self) {
        if let Ok(null) = files::File::open(b"/dev/null", files::READ) {
            // It keeps the input that it has if that fails.
            let _ = files::duplicate_to(null.fd(), io::STDIN);
        }
    }

    /// Waits for a job in the foreground; its code.
    pub(crate) fn wait_for_job(&mut self, starting: Starting, text: &[u8]) -> Outcome {
        let number = self.jobs.add(starting.group, &starting.pids, text);
        self.wait_in_foreground(number)
    }

    /// Keeps a job in the background.
    pub(crate) fn leave_in_background(&mut self, starting: Starting, text: &[u8]) {
        let number = self.jobs.add(starting.group, &starting.pids, text);
        self.last_background = starting.pids.last().copied();
        if let (true, Some(pid)) = (self.options.interactive, self.last_background) {
            eprintln!("[{number}] {pid}");
        }
    }

    /// Waits until the job has ended or stopped, and takes the terminal back.
    pub(crate) fn wait_in_foreground(&mut self, number: usize) -> Outcome {
        let options = if self.has_jobs() { raw::WUNTRACED } else { 0 };
        while let Some(State::Running) = self.jobs.get(number).map(|job| job.state()) {
            match process::wait(-1, options) {
                Ok(Some((pid, status))) => self.jobs.update(pid, status),
                Ok(None) | Err(Errno::EINTR) => {}
                Err(_) => break,
            }
        }
        let state = self.jobs.get(number).map_or(State::Running, |job| job.state());
        if let (true, Some(terminal)) = (self.has_jobs(), self.terminal) {
            // The terminal is ours; if it is gone, reading says so.
            let _ = terminal::set_foreground(terminal.fd, terminal.group);
            if !matches!(state, State::Done(Status::Exited(_))) {
                let _ = terminal::set_modes(terminal.fd, &terminal.modes);
            }
        }
        let status = match state {
            State::Stopped(signal) => {
                eprintln!("");
                Status::Stopped(signal)
            }
            State::Done(status) => {
                self.jobs.remove(number);
                status
            }
            State::Running => {
                self.jobs.remove(number);
                Status::Exited(127)
            }
        };
        self.tell_of_death(status);
        if status == Status::Killed(signal::SIGINT) && self.options.interactive {
            return Err(Flow::Abort(status.code()));
        }
        Ok(status.code())
    }

    /// Says what killed a program, unless it is what its user did.
    fn tell_of_death(&self, status: Status) {
        match status {
            Status::Killed(signal::SIGINT) if self.options.interactive => eprintln!(""),
            Status::Killed(signal::SIGINT | signal::SIGPIPE) => {}
            Status::Killed(signal) => eprintln!("{}", signal::text(signal)),
            _ => {}
        }
    }

    /// Learns what has become of the jobs in the background.
    pub(crate) fn look_at_jobs(&mut self) {
        let options = raw::WNOHANG
            | if self.has_jobs() {
                raw::WUNTRACED | raw::WCONTINUED
            } else {
                0
            };
        while let Ok(Some((pid, status))) = process::wait(-1, options) {
            self.jobs.update(pid, status);
        }
    }

    /// Tells of jobs whose state has changed, at a prompt.
    pub(crate) fn tell_of_jobs(&mut self) {
        self.look_at_jobs();
        for line in self.jobs.news() {
            eprintln!("{line}");
        }
    }

    /// Lets a stopped job go on, in the foreground or in the background.
    pub(crate) fn go_on(&mut self, number: usize, mode: Mode) -> Outcome {
        let Some(job) = self.jobs.get(number) else {
            return Ok(1);
        };
        let (group, text) = (job.group, job.text.clone());
        match mode {
            Mode::Foreground => io::print(io::STDOUT, format_args!("{}\n", userland::text::Text(&text))),
            Mode::Background => {
                io::print(
                    io::STDOUT,
                    format_args!("[{number}] {}\n", userland::text::Text(&text)),
                );
            }
        }
        if let (Mode::Foreground, Some(terminal)) = (mode, self.terminal) {
            // As in `wait_in_foreground`.
            let _ = terminal::set_foreground(terminal.fd, group);
        }
        self.jobs.resume(number);
        if let Err(error) = process::kill(-group, signal::SIGCONT) {
            self.complain(error);
        }
        match mode {
            Mode::Foreground => self.wait_in_foreground(number),
            Mode::Background => Ok(0),
        }
    }
}
