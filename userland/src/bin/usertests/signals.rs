//! Signals: what they do by themselves, who gets them, what blocks them.
use crate::check::{Check, Works, checked_child, child, ends, ends_well, expect, same, tests};
use crate::raw;
use linux_raw_sys::general as linux;
use linux_raw_sys::general::WUNTRACED;
use userland::process::{self, Status};
use userland::signal::{self, Action, Change, Set};
use userland::{Errno, files};

tests! {
    signals_end_processes
    signals_can_be_ignored
    signals_can_be_blocked
    pending_signals_are_merged
    kill_has_rules
    kill_reaches_groups
    stop_and_continue
    a_group_without_a_parent_is_not_stopped_from_the_terminal
    a_stopped_process_can_be_killed
    sigchld_comes
    ignoring_sigchld_reaps
    suspend_waits_for_a_signal
    handlers_and_masks_are_inherited
    kill_and_stop_cannot_be_handled
}

/// A child that waits for signals for ever.
fn sleeper() -> Result<process::Pid, alloc::string::String> {
    child(|| {
        loop {
            signal::suspend(Set::EMPTY);
        }
    })
}

fn signals_end_processes() -> Check {
    for number in [
        signal::SIGTERM,
        signal::SIGKILL,
        signal::SIGHUP,
        signal::SIGUSR1,
        signal::SIGALRM,
        40,
    ] {
        let pid = sleeper()?;
        process::kill(pid, number).works("kill")?;
        ends(pid, Status::Killed(number))?;
    }
    for number in [signal::SIGCHLD, signal::SIGCONT, linux::SIGURG, linux::SIGWINCH] {
        let pid = checked_child(|| process::kill(process::id(), number).works("kill"))?;
        ends_well(pid)?;
    }
    // One that never calls the kernel ends as well.
    let pid = child(|| {
        loop {
            core::hint::spin_loop();
        }
    })?;
    process::kill(pid, signal::SIGTERM).works("kill")?;
    ends(pid, Status::Killed(signal::SIGTERM))
}

fn signals_can_be_ignored() -> Check {
    signal::set(signal::SIGUSR1, Action::Ignore).works("sigaction")?;
    process::kill(process::id(), signal::SIGUSR1).works("kill")?;
    expect(signal::is_ignored(signal::SIGUSR1), "what is set")?;
    signal::set(signal::SIGUSR1, Action::Note).works("sigaction")?;
    process::kill(process::id(), signal::SIGUSR1).works("kill")?;
    same(signal::take_noted(), Set::of(&[signal::SIGUSR1]), "what came")
}

fn signals_can_be_blocked() -> Check {
    let set = Set::of(&[signal::SIGUSR1]);
    signal::set(signal::SIGUSR1, Action::Note).works("sigaction")?;
    same(
        signal::change_mask(Change::Block, set),
        Ok(Set::EMPTY),
        "the mask before",
    )?;
    process::kill(process::id(), signal::SIGUSR1).works("kill")?;
    same(signal::take_noted(), Set::EMPTY, "it waits")?;
    same(signal::pending(), Ok(set), "it is pending")?;
    same(signal::change_mask(Change::Unblock, set), Ok(set), "the mask")?;
    same(signal::take_noted(), set, "it comes")?;
    same(signal::pending(), Ok(Set::EMPTY), "nothing is pending")?;
    // What is ignored while it is pending is gone.
    signal::change_mask(Change::Block, set).works("the mask")?;
    process::kill(process::id(), signal::SIGUSR1).works("kill")?;
    signal::set(signal::SIGUSR1, Action::Ignore).works("sigaction")?;
    same(signal::pending(), Ok(Set::EMPTY), "ignored while pending")?;
    // KILL and STOP cannot be blocked.
    signal::change_mask(Change::Set, Set::ALL).works("the mask")?;
    let mask = signal::change_mask(Change::Set, Set::EMPTY).works("the mask")?;
    expect(
        !mask.has(signal::SIGKILL) && !mask.has(signal::SIGSTOP) && mask.has(64),
        "all but two",
    )
}

fn pending_signals_are_merged() -> Check {
    let set = Set::of(&[signal::SIGUSR1, signal::SIGUSR2]);
    let pid = checked_child(|| {
        crate::handlers::count(signal::SIGUSR1)?;
        crate::handlers::count(signal::SIGUSR2)?;
        signal::change_mask(Change::Block, set).works("the mask")?;
        for _ in 0..5 {
            process::kill(process::id(), signal::SIGUSR1).works("kill")?;
        }
        process::kill(process::id(), signal::SIGUSR2).works("kill")?;
        signal::change_mask(Change::Set, Set::EMPTY).works("the mask")?;
        same(crate::handlers::counted(), 2, "each came once")
    })?;
    ends_well(pid)
}

fn kill_has_rules() -> Check {
    same(process::kill(process::id(), 0), Ok(()), "signal 0")?;
    same(process::kill(process::id(), 65), Err(Errno::EINVAL), "signal 65")?;
    same(
        process::kill(process::id(), u32::MAX),
        Err(Errno::EINVAL),
        "signal -1",
    )?;
    same(
        process::kill(0x7fff_0000, 0),
        Err(Errno::ESRCH),
        "no such process",
    )?;
    same(process::kill(-0x7fff_0000, 0), Err(Errno::ESRCH), "no such group")
}

fn kill_reaches_groups() -> Check {
    let leader = sleeper()?;
    process::set_group(leader, leader).works("setpgid")?;
    let others = [sleeper()?, sleeper()?];
    for pid in others {
        process::set_group(pid, leader).works("setpgid")?;
    }
    let outsider = sleeper()?;
    process::kill(-leader, signal::SIGTERM).works("kill")?;
    for pid in [leader, others[0], others[1]] {
        ends(pid, Status::Killed(signal::SIGTERM))?;
    }
    same(
        process::wait(outsider, linux::WNOHANG),
        Ok(None),
        "another group's",
    )?;
    process::kill(outsider, signal::SIGKILL).works("kill")?;
    ends(outsider, Status::Killed(signal::SIGKILL))
}

fn stop_and_continue() -> Check {
    let (reader, writer) = files::pipe(0).works("pipe")?;
    let (ready, is_ready) = files::pipe(0).works("pipe")?;
    let pid = child(|| {
        let _ = files::write_all(is_ready.fd(), b"r");
        let mut byte = [0];
        i32::from(files::read(reader.fd(), &mut byte) != Ok(1))
    })?;
    files::read(ready.fd(), &mut [0]).works("read")?;
    for number in [signal::SIGTSTP, signal::SIGSTOP, signal::SIGTTIN] {
        // A group without a parent in its session is not stopped from the terminal; ours has one.
        process::kill(pid, number).works("stop")?;
        same(
            process::wait(pid, WUNTRACED),
            Ok(Some((pid, Status::Stopped(number)))),
            "the stop",
        )?;
        process::kill(pid, signal::SIGCONT).works("continue")?;
    }
    files::write_all(writer.fd(), b"x").works("write")?;
    ends_well(pid)
}

/// Nobody of its session could make it go on.
fn a_group_without_a_parent_is_not_stopped_from_the_terminal() -> Check {
    let pid = checked_child(|| {
        process::new_session().works("setsid")?;
        for number in [signal::SIGTSTP, signal::SIGTTIN, signal::SIGTTOU] {
            process::kill(process::id(), number).works("kill")?;
        }
        Ok(())
    })?;
    ends_well(pid)
}

fn a_stopped_process_can_be_killed() -> Check {
    let pid = sleeper()?;
    process::kill(pid, signal::SIGSTOP).works("stop")?;
    same(
        process::wait(pid, WUNTRACED),
        Ok(Some((pid, Status::Stopped(signal::SIGSTOP)))),
        "the stop",
    )?;
    // A signal waits until it goes on.
    process::kill(pid, signal::SIGTERM).works("kill")?;
    same(process::wait(pid, linux::WNOHANG), Ok(None), "it is stopped")?;
    process::kill(pid, signal::SIGCONT).works("continue")?;
    ends(pid, Status::Killed(signal::SIGTERM))?;
    let pid = sleeper()?;
    process::kill(pid, signal::SIGSTOP).works("stop")?;
    process::kill(pid, signal::SIGKILL).works("kill")?;
    ends(pid, Status::Killed(signal::SIGKILL))
}

fn sigchld_comes() -> Check {
    signal::set(signal::SIGCHLD, Action::Note).works("sigaction")?;
    let pid = child(|| 0)?;
    while !signal::any_noted() {
        process::give_way();
    }
    same(signal::take_noted(), Set::of(&[signal::SIGCHLD]), "what came")?;
    ends_well(pid)
}

fn ignoring_sigchld_reaps() -> Check {
    signal::set(signal::SIGCHLD, Action::Ignore).works("sigaction")?;
    child(|| 3)?;
    same(
        process::wait(-1, 0),
        Err(Errno::ECHILD),
        "there is nothing to wait for",
    )
}

fn suspend_waits_for_a_signal() -> Check {
    signal::set(signal::SIGUSR1, Action::Note).works("sigaction")?;
    let set = Set::of(&[signal::SIGUSR1]);
    signal::change_mask(Change::Block, set).works("the mask")?;
    let parent = process::id();
    let pid = child(|| i32::from(process::kill(parent, signal::SIGUSR1).is_err()))?;
    let result = raw::call(linux::__NR_rt_sigsuspend, [raw::address(&Set::EMPTY), 8]);
    same(result, Err(Errno::EINTR), "sigsuspend")?;
    same(signal::take_noted(), set, "what came")?;
    same(
        signal::change_mask(Change::Set, Set::EMPTY),
        Ok(set),
        "the mask is back",
    )?;
    ends_well(pid)
}

fn handlers_and_masks_are_inherited() -> Check {
    let set = Set::of(&[signal::SIGUSR2]);
    signal::set(signal::SIGUSR1, Action::Note).works("sigaction")?;
    signal::change_mask(Change::Block, set).works("the mask")?;
    process::kill(process::id(), signal::SIGUSR2).works("kill")?;
    let pid = checked_child(|| {
        same(
            signal::pending(),
            Ok(Set::EMPTY),
            "what is pending is not inherited",
        )?;
        same(
            signal::change_mask(Change::Block, Set::EMPTY),
            Ok(set),
            "the mask is",
        )?;
        process::kill(process::id(), signal::SIGUSR1).works("kill")?;
        same(
            signal::take_noted(),
            Set::of(&[signal::SIGUSR1]),
            "the handler is",
        )
    })?;
    ends_well(pid)
}

fn kill_and_stop_cannot_be_handled() -> Check {
    for number in [signal::SIGKILL, signal::SIGSTOP, 0, 65] {
        for action in [Action::Ignore, Action::Note] {
            same(signal::set(number, action), Err(Errno::EINVAL), "sigaction")?;
        }
    }
    let size = raw::call(linux::__NR_rt_sigaction, [1, 0, 0, 4]);
    same(size, Err(Errno::EINVAL), "a set of another size")
}
