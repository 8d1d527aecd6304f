//! Processes: birth, programs, ends, groups.
use super::{Arguments, Made, Stop, strings, time};
use crate::addr::USER_END;
use crate::errno::Errno;
use crate::kernel::{Kernel, Machine};
use crate::proc::table::{self, Entry, State};
use crate::proc::{Found, News, Pid, Process, Program, Selector, Wanted};
use crate::signal::{Info, Origin};
use crate::wait::{Channel, Wait};
use linux_raw_sys::general as linux;

/// `fork()`.
pub(super) fn fork<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    _: Arguments,
) -> Made {
    let pid = kernel.fork(process, 0)?;
    Ok(u64::from(pid.0))
}

/// `vfork()`: the parent goes on when the child has another program, or has ended.
pub(super) fn vfork<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    _: Arguments,
) -> Made {
    let pid = kernel.fork(process, 0)?;
    Err(Stop::Pause(u64::from(pid.0), Wait::on(Channel::Departed(pid))))
}

/// `clone(flags, stack, parent_tid, child_tid, tls)`.
pub(super) fn clone<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [flags, stack, parent_tid, child_tid, ..]: Arguments,
) -> Made {
    let has = |flag: u32| flags & u64::from(flag) != 0;
    let signal = (flags & u64::from(linux::CSIGNAL)) as u32;
    let shares_memory = has(linux::CLONE_VM) && !has(linux::CLONE_VFORK);
    let known = linux::CSIGNAL
        | linux::CLONE_VM
        | linux::CLONE_VFORK
        | linux::CLONE_PARENT_SETTID
        | linux::CLONE_CHILD_SETTID
        | linux::CLONE_CHILD_CLEARTID;
    if flags & !u64::from(known) != 0 || signal != linux::SIGCHLD || shares_memory || stack >= USER_END {
        return Err(Errno::INVALID.into());
    }
    if has(linux::CLONE_PARENT_SETTID) {
        kernel.make_writable(process, parent_tid, 4)?;
    }
    let pid = kernel.fork(process, stack)?;
    if has(linux::CLONE_PARENT_SETTID) {
        kernel.copy_out(process, parent_tid, &pid.0.to_le_bytes())?;
    }
    if has(linux::CLONE_CHILD_SETTID)
        && let Some(mut child) = kernel.processes.take(pid)
    {
        // Linux ignores a bad address here too.
        let _ = kernel.copy_out(&mut child, child_tid, &pid.0.to_le_bytes());
        kernel.processes.put_ready(child);
    }
    if has(linux::CLONE_VFORK) {
        return Err(Stop::Pause(u64::from(pid.0), Wait::on(Channel::Departed(pid))));
    }
    Ok(u64::from(pid.0))
}

/// `execve(path, arguments, environment)`.
pub(super) fn execve<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [path, arguments, environment, ..]: Arguments,
) -> Made {
    kernel.check_heap()?;
    let program = Program {
        path: strings::path(kernel, process, path)?,
        arguments: strings::list(kernel, process, arguments)?,
        environment: strings::list(kernel, process, environment)?,
    };
    kernel.exec(process, program).map_err(Errno::from)?;
    Err(Stop::Replaced)
}

/// `exit(code)`, `exit_group(code)`.
pub(super) fn exit<M>(_: &mut Kernel<'_, M>, _: &mut Process<'_>, [code, ..]: Arguments) -> Made {
    Err(Stop::Exit(code.to_le_bytes()[0]))
}

/// `wait4(pid, status, options, usage)`.
pub(super) fn wait4<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [pid, status_at, options, usage_at, ..]: Arguments,
) -> Made {
    const KNOWN: u32 = linux::WNOHANG
        | linux::WUNTRACED
        | linux::WCONTINUED
        | linux::__WALL
        | linux::__WCLONE
        | linux::__WNOTHREAD;
    let options = options as u32;
    if options & !KNOWN != 0 {
        return Err(Errno::INVALID.into());
    }
    let selector = Selector::from_wait(pid as i32, own_group(kernel, process)).ok_or(Errno::NO_PROCESS)?;
    let wanted = Wanted {
        ended: true,
        stopped: options & linux::WUNTRACED != 0,
        continued: options & linux::WCONTINUED != 0,
    };
    let (child, status) = match kernel.processes.news_of_children(process.pid, selector, wanted) {
        Found::NoChild => return Err(Errno::NO_CHILD.into()),
        Found::Nothing if options & linux::WNOHANG != 0 => return Ok(0),
        Found::Nothing => return Err(Stop::Wait(Wait::on(Channel::Child(process.pid)))),
        Found::Ended(child, status) => (child, status.to_wait()),
        Found::News(child, news) => (child, news.to_wait()),
    };
    if status_at != 0 {
        kernel.copy_out(process, status_at, &status.to_le_bytes())?;
    }
    if usage_at != 0 {
        let entry = kernel.processes.entry(child);
        let usage = time::usage(entry.map_or(0, |entry| entry.cpu_ns));
        kernel.copy_out(process, usage_at, &usage)?;
    }
    take_note(kernel, child);
    Ok(u64::from(child.0))
}

fn own_group<M>(kernel: &Kernel<'_, M>, process: &Process<'_>) -> Pid {
    let entry = kernel.processes.entry(process.pid);
    entry.map_or(process.pid, |entry| entry.group)
}

/// The caller has learned what there was to learn of `child`.
fn take_note<M>(kernel: &mut Kernel<'_, M>, child: Pid) {
    let state = kernel.processes.entry(child).map(Entry::state);
    if matches!(state, Some(State::Zombie(_))) {
        kernel.processes.reap(child);
    } else {
        kernel.processes.told(child);
    }
}

/// `waitid(kind, number, info, options, usage)`.
pub(super) fn waitid<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [kind, number, info_at, options, usage_at, ..]: Arguments,
) -> Made {
    let options = options as u32;
    let has = |flag: u32| options & flag != 0;
    let wanted = Wanted {
        ended: has(linux::WEXITED),
        stopped: has(linux::WSTOPPED),
        continued: has(linux::WCONTINUED),
    };
    if wanted == Wanted::default() {
        return Err(Errno::INVALID.into());
    }
    let selector = match (kind as u32, number as u32) {
        (linux::P_ALL, _) => Selector::Any,
        (linux::P_PID, pid @ 1..) => Selector::One(Pid(pid)),
        (linux::P_PGID, 0) => Selector::Group(own_group(kernel, process)),
        (linux::P_PGID, group) => Selector::Group(Pid(group)),
        _ => return Err(Errno::INVALID.into()),
    };
    let (child, origin) = match kernel.processes.news_of_children(process.pid, selector, wanted) {
        Found::NoChild => return Err(Errno::NO_CHILD.into()),
        Found::Nothing if has(linux::WNOHANG) => {
            if info_at != 0 {
                kernel.copy_out(process, info_at, &[0; 128])?;
            }
            return Ok(0);
        }
        Found::Nothing => return Err(Stop::Wait(Wait::on(Channel::Child(process.pid)))),
        Found::Ended(child, status) => (child, Origin::Ended(child, status)),
        Found::News(child, News::Stopped(signal)) => (child, Origin::Stopped(child, signal)),
        Found::News(child, News::Continued) => (child, Origin::Continued(child)),
    };
    if info_at != 0 {
        kernel.copy_out(process, info_at, &Info::of_child(origin).to_bytes())?;
    }
    if usage_at != 0 {
        let entry = kernel.processes.entry(child);
        let usage = time::usage(entry.map_or(0, |entry| entry.cpu_ns));
        kernel.copy_out(process, usage_at, &usage)?;
    }
    if !has(linux::WNOWAIT) {
        take_note(kernel, child);
    }
    Ok(0)
}

/// `getpid()`, `gettid()`.
pub(super) fn getpid<M>(_: &mut Kernel<'_, M>, process: &mut Process<'_>, _: Arguments) -> Made {
    Ok(u64::from(process.pid.0))
}

/// `getppid()`.
pub(super) fn getppid<M>(kernel: &mut Kernel<'_, M>, process: &mut Process<'_>, _: Arguments) -> Made {
    let entry = kernel.processes.entry(process.pid);
    Ok(entry.map_or(0, |entry| u64::from(entry.parent.0)))
}

/// The process that an argument names, 0 for the caller.
fn named(process: &Process<'_>, pid: u64) -> Result<Pid, Errno> {
    match pid as i32 {
        0 => Ok(process.pid),
        1.. => Ok(Pid(pid as u32)),
        _ => Err(Errno::INVALID),
    }
}

/// `getpgid(pid)`.
pub(super) fn getpgid<M>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [pid, ..]: Arguments,
) -> Made {
    let pid = named(process, pid).map_err(|_| Errno::NO_PROCESS)?;
    let entry = kernel.processes.entry(pid).ok_or(Errno::NO_PROCESS)?;
    Ok(u64::from(entry.group.0))
}

/// `getpgrp()`.
pub(super) fn getpgrp<M>(kernel: &mut Kernel<'_, M>, process: &mut Process<'_>, _: Arguments) -> Made {
    getpgid(kernel, process, [0; 6])
}

/// `getsid(pid)`.
pub(super) fn getsid<M>(kernel: &mut Kernel<'_, M>, process: &mut Process<'_>, [pid, ..]: Arguments) -> Made {
    let pid = named(process, pid).map_err(|_| Errno::NO_PROCESS)?;
    let entry = kernel.processes.entry(pid).ok_or(Errno::NO_PROCESS)?;
    Ok(u64::from(entry.session.0))
}

/// `setpgid(pid, group)`.
pub(super) fn setpgid<M>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [pid, group, ..]: Arguments,
) -> Made {
    let pid = named(process, pid)?;
    let group = match group as i32 {
        0 => pid,
        1.. => Pid(group as u32),
        _ => return Err(Errno::INVALID.into()),
    };
    let own = kernel.processes.entry(process.pid).ok_or(Errno::NO_PROCESS)?;
    let session = own.session;
    let target = kernel.processes.entry(pid).ok_or(Errno::NO_PROCESS)?;
    let is_child = target.parent == process.pid;
    if pid != process.pid && !is_child || matches!(target.state(), State::Zombie(_)) {
        return Err(Errno::NO_PROCESS.into());
    }
    if is_child && target.program == table::Origin::Executed {
        return Err(Errno::ACCESS.into());
    }
    let leads = target.session == target.pid;
    let mut entries = kernel.processes.entries().iter();
    let in_session = group == pid || entries.any(|entry| entry.group == group && entry.session == session);
    if target.session != session || leads || !in_session {
        return Err(Errno::NOT_PERMITTED.into());
    }
    if let Some(entry) = kernel.processes.entry_mut(pid) {
        entry.group = group;
    }
    Ok(0)
}

/// `setsid()`.
pub(super) fn setsid<M>(kernel: &mut Kernel<'_, M>, process: &mut Process<'_>, _: Arguments) -> Made {
    let pid = process.pid;
    if kernel.processes.entries().iter().any(|entry| entry.group == pid) {
        return Err(Errno::NOT_PERMITTED.into());
    }
    if let Some(entry) = kernel.processes.entry_mut(pid) {
        (entry.group, entry.session) = (pid, pid);
    }
    Ok(u64::from(pid.0))
}

/// `sched_yield()`.
pub(super) fn sched_yield<M: Machine>(kernel: &mut Kernel<'_, M>, _: &mut Process<'_>, _: Arguments) -> Made {
    if kernel.processes.anyone_ready() {
        return Err(Stop::Yield);
    }
    kernel.machine.yield_now();
    Ok(0)
}
