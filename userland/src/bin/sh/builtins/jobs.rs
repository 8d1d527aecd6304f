//! Builtins about jobs and processes: `jobs`, `fg`, `bg`, `wait`, `kill`.
use super::{operands, rest};
use crate::flow::Outcome;
use crate::shell::Shell;
use userland::process::{self, Pid};
use userland::sh::Bytes;
use userland::sh::ast::Mode;
use userland::sh::jobs::{Job, State};
use userland::text::{Text, number};
use userland::{Errno, println, signal};

pub(super) fn list(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    shell.look_at_jobs();
    let shows_pids = rest(words).iter().any(|word| word == b"-p");
    for job in shell.jobs.all() {
        match shows_pids {
            true => println!("{}", job.processes.first().map_or(0, |(pid, _)| *pid)),
            false => println!("{}", shell.jobs.line(job)),
        }
    }
    // Everybody knows now.
    shell.jobs.news();
    Ok(0)
}

fn go_on(shell: &mut Shell, words: &[Bytes], mode: Mode) -> Outcome {
    let name = operands(words).first().cloned().unwrap_or_default();
    if !shell.has_jobs() {
        shell.complain(format_args!(
            "{}: no job control",
            Text(words.first().map_or(b"", |word| word))
        ));
        return Ok(1);
    }
    shell.look_at_jobs();
    match shell.jobs.find(&name).map(|job| (job.number, job.state())) {
        Some((number, State::Running | State::Stopped(_))) => shell.go_on(number, mode),
        _ => {
            let command = Text(words.first().map_or(b"", |word| word));
            match name.is_empty() {
                true => shell.complain(format_args!("{command}: there is no job")),
                false => shell.complain(format_args!("{command}: {}: no such job", Text(&name))),
            }
            Ok(1)
        }
    }
}

pub(super) fn foreground(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    go_on(shell, words, Mode::Foreground)
}

pub(super) fn background(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    go_on(shell, words, Mode::Background)
}

pub(super) fn wait(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    let names = operands(words);
    if names.is_empty() {
        while shell.jobs.all().iter().any(|job| job.state() == State::Running) {
            if let Some(code) = wait_once(shell)? {
                return Ok(code);
            }
        }
        if !shell.options.interactive {
            shell.jobs.clear();
        }
        return Ok(0);
    }
    let mut code = 0;
    for name in names {
        let pid = number(name).and_then(|pid| Pid::try_from(pid).ok());
        let job = match pid {
            Some(pid) => shell.jobs.of_process(pid),
            None => shell.jobs.find(name),
        };
        let Some(job_number) = job.map(|job| job.number) else {
            code = 127;
            continue;
        };
        code = loop {
            match shell.jobs.get(job_number).map(|job| job.state()) {
                Some(State::Running) => {
                    if let Some(code) = wait_once(shell)? {
                        return Ok(code);
                    }
                }
                Some(State::Stopped(signal)) => break 128 + signal as i32,
                Some(State::Done(status)) => {
                    shell.jobs.remove(job_number);
                    break status.code();
                }
                None => break 127,
            }
        };
    }
    Ok(code)
}

/// Waits until something happens to a child; a code if a trap or Ctrl-C came instead.
fn wait_once(shell: &mut Shell) -> Result<Option<i32>, crate::flow::Flow> {
    let options = if shell.has_jobs() {
        linux_raw_sys::general::WUNTRACED
    } else {
        0
    };
    match process::wait(-1, options) {
        Ok(Some((pid, status))) => shell.jobs.update(pid, status),
        Ok(None) => {}
        Err(Errno::EINTR) => {
            let came = signal::noted();
            shell.check_signals()?;
            let first = (1..=signal::LAST).find(|number| came.has(*number));
            return Ok(first.map(|number| 128 + number as i32));
        }
        // There are no children: somebody else has waited for them.
        Err(_) => return Ok(Some(127)),
    }
    Ok(None)
}

pub(super) fn kill(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    let words = rest(words);
    let (number_wanted, targets) = match words {
        [option, names @ ..] if option == b"-l" => return Ok(list_signals(shell, names)),
        [option, name, targets @ ..] if option == b"-s" => (signal::parse(name), targets),
        [dashes, targets @ ..] if dashes == b"--" => (Some(signal::SIGTERM), targets),
        [option, targets @ ..] if option.starts_with(b"-") => {
            (signal::parse(option.get(1..).unwrap_or(b"")), targets)
        }
        targets => (Some(signal::SIGTERM), targets),
    };
    let Some(wanted) = number_wanted else {
        shell.complain("kill: bad signal");
        return Ok(2);
    };
    if targets.is_empty() {
        shell.complain("usage: kill [-s SIGNAL | -SIGNAL] PID | %JOB ..., kill -l");
        return Ok(2);
    }
    let mut code = 0;
    for target in targets {
        let job = shell.jobs.find(target).filter(|_| target.starts_with(b"%"));
        let job_number = job.map(|job| job.number);
        let pid = match (target.starts_with(b"%"), job) {
            (true, Some(job)) if job.group != 0 => Some(-job.group),
            (true, job) => job.map(Job::last_pid),
            (false, _) => number(target).and_then(|pid| Pid::try_from(pid).ok()),
        };
        let sent = pid.ok_or(Errno::ESRCH).and_then(|pid| process::kill(pid, wanted));
        if let Err(error) = sent {
            let target_text = Text(target);
            match (pid, target.starts_with(b"%")) {
                (Some(_), _) => shell.complain(format_args!("kill: {target_text}: {error}")),
                (None, true) => shell.complain(format_args!("kill: {target_text}: no such job")),
                (None, false) => {
                    shell.complain(format_args!("kill: {target_text}: neither a process nor a job"))
                }
            }
            code = 1;
        } else if let (Some(pid), Some(job)) = (pid, job_number)
            && matches!(wanted, signal::SIGTERM | signal::SIGHUP)
        {
            // One that is stopped would not notice; whoever waits for it waits for its end.
            let _ = process::kill(pid, signal::SIGCONT);
            shell.jobs.resume(job);
        }
    }
    Ok(code)
}

fn list_signals(shell: &Shell, names: &[Bytes]) -> i32 {
    if names.is_empty() {
        let all = (1..=signal::LAST).filter_map(signal::name);
        all.for_each(|name| println!("{name}"));
        return 0;
    }
    for name in names {
        // A code above 128 is a program's that a signal ended.
        let plain = number(name).map(|number| if number > 128 { number - 128 } else { number });
        let found = match plain {
            Some(plain) => u32::try_from(plain).ok().and_then(signal::name),
            None => None,
        };
        match (found, signal::parse(name)) {
            (Some(found), _) => println!("{found}"),
            (None, Some(found)) => println!("{found}"),
            (None, None) => {
                shell.complain(format_args!("kill: {}: bad signal", Text(name)));
                return 2;
            }
        }
    }
    0
}
