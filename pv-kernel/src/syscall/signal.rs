//! Signals.
use super::{Arguments, Made, Stop};
use crate::errno::Errno;
use crate::kernel::{Kernel, Machine};
use crate::proc::{Pid, Process};
use crate::signal::{Action, AlternateStack, Info, Origin, Signal, SignalSet, frame};
use crate::wait::Wait;
use linux_raw_sys::general as linux;

/// Bytes of a set of signals.
const SET_SIZE: u64 = 8;

pub(super) fn check_set_size(size: u64) -> Result<(), Errno> {
    if size == SET_SIZE {
        Ok(())
    } else {
        Err(Errno::INVALID)
    }
}

/// `rt_sigaction(signal, new, old, set_size)`.
pub(super) fn rt_sigaction<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [number, new_at, old_at, size, ..]: Arguments,
) -> Made {
    check_set_size(size)?;
    let signal = Signal::new(number).ok_or(Errno::INVALID)?;
    if new_at != 0 && SignalSet::ABSOLUTE.has(signal) {
        return Err(Errno::INVALID.into());
    }
    let old = process.signals.action(signal);
    if new_at != 0 {
        let mut bytes = [0; 32];
        kernel.copy_in(process, new_at, &mut bytes)?;
        process.signals.set_action(signal, Action::from_bytes(&bytes));
        if process.signals.ignores(signal)
            && let Some(entry) = kernel.processes.entry_mut(process.pid)
        {
            entry.pending.drop_signal(signal);
        } else if signal == Signal::ALARM {
            // It may rest because nobody wanted its signal.
            kernel.resume_alarm(process.pid);
        }
    }
    if old_at != 0 {
        kernel.copy_out(process, old_at, &old.to_bytes())?;
    }
    Ok(0)
}

/// `rt_sigprocmask(how, new, old, set_size)`.
pub(super) fn rt_sigprocmask<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [how, new_at, old_at, size, ..]: Arguments,
) -> Made {
    check_set_size(size)?;
    let old = process.signals.blocked;
    if new_at != 0 {
        let given = read_set(kernel, process, new_at)?;
        let blocked = match how as u32 {
            linux::SIG_BLOCK => old.union(given),
            linux::SIG_UNBLOCK => old.without(given),
            linux::SIG_SETMASK => given,
            _ => return Err(Errno::INVALID.into()),
        };
        process.signals.blocked = blocked.without(SignalSet::ABSOLUTE);
    }
    if old_at != 0 {
        kernel.copy_out(process, old_at, &old.bits().to_le_bytes())?;
    }
    Ok(0)
}

pub(super) fn read_set<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    address: u64,
) -> Result<SignalSet, Errno> {
    let mut bytes = [0; 8];
    kernel.copy_in(process, address, &mut bytes)?;
    Ok(SignalSet::from_bits(u64::from_le_bytes(bytes)))
}

/// `rt_sigpending(set, set_size)`.
pub(super) fn rt_sigpending<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [set_at, size, ..]: Arguments,
) -> Made {
    if size > SET_SIZE {
        return Err(Errno::INVALID.into());
    }
    let entry = kernel.processes.entry(process.pid);
    let pending = entry.map_or(0, |entry| entry.pending.set().bits());
    let bytes = (pending & process.signals.blocked.bits()).to_le_bytes();
    let bytes = usize::try_from(size).ok().and_then(|size| bytes.get(..size));
    kernel.copy_out(process, set_at, bytes.unwrap_or(&[]))?;
    Ok(0)
}

/// `rt_sigsuspend(set, set_size)`.
pub(super) fn rt_sigsuspend<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [set_at, size, ..]: Arguments,
) -> Made {
    check_set_size(size)?;
    let set = read_set(kernel, process, set_at)?;
    let signals = &mut process.signals;
    // Made again, the mask is the given one already.
    signals.saved.get_or_insert(signals.blocked);
    signals.blocked = set.without(SignalSet::ABSOLUTE);
    Err(Stop::Wait(Wait::SIGNAL))
}

/// `pause()`.
pub(super) fn pause<M>(_: &mut Kernel<'_, M>, _: &mut Process<'_>, _: Arguments) -> Made {
    Err(Stop::Wait(Wait::SIGNAL))
}

/// `rt_sigreturn()`: the end of a handler.
pub(super) fn rt_sigreturn<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    _: Arguments,
) -> Made {
    match kernel.leave_handler(process) {
        Ok(()) => Err(Stop::Replaced),
        Err(_) => Err(Stop::Signal(Signal::SEGMENT)),
    }
}

/// `sigaltstack(new, old)`.
pub(super) fn sigaltstack<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [new_at, old_at, ..]: Arguments,
) -> Made {
    let rsp = process.context.rsp;
    let old = process.signals.stack;
    if new_at != 0 {
        let mut bytes = [0; 24];
        kernel.copy_in(process, new_at, &mut bytes)?;
        let word = |index: usize| {
            let word = bytes.get(index * 8..).and_then(<[u8]>::first_chunk);
            word.copied().map_or(0, u64::from_le_bytes)
        };
        let stack = AlternateStack {
            start: word(0),
            size: word(2),
        };
        if old.is_some_and(|old| old.contains(rsp)) {
            return Err(Errno::NOT_PERMITTED.into());
        }
        process.signals.stack = match word(1) as u32 {
            linux::SS_DISABLE => None,
            0 | linux::SS_ONSTACK if stack.size < u64::from(linux::MINSIGSTKSZ) => {
                return Err(Errno::NO_MEMORY.into());
            }
            0 | linux::SS_ONSTACK => Some(stack),
            _ => return Err(Errno::INVALID.into()),
        };
    }
    if old_at != 0 {
        let mut bytes = [0; 24];
        for (target, word) in bytes.chunks_exact_mut(8).zip(frame::stack_words(old, rsp)) {
            target.copy_from_slice(&word.to_le_bytes());
        }
        kernel.copy_out(process, old_at, &bytes)?;
    }
    Ok(0)
}

/// The signal of that number; nothing for 0, which only asks whether the process is there.
fn signal_or_none(number: u64) -> Result<Option<Signal>, Errno> {
    match number as u32 {
        0 => Ok(None),
        number => Signal::new(u64::from(number)).map(Some).ok_or(Errno::INVALID),
    }
}

/// `kill(pid, signal)`.
pub(super) fn kill<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [target, number, ..]: Arguments,
) -> Made {
    let own = process.pid;
    let own_group = kernel.processes.entry(own).map_or(own, |entry| entry.group);
    let signal = signal_or_none(number)?;
    let wanted = |group: Pid, pid: Pid| match target as i32 {
        0 => group == own_group,
        -1 => pid != Pid::INIT && pid != own,
        target @ 1.. => pid == Pid(target as u32),
        target => group == Pid(target.unsigned_abs()),
    };
    let count = match signal {
        Some(signal) => {
            let origin = Origin::Kill(own);
            kernel.signal_all(wanted, Info { signal, origin })
        }
        None => {
            let mut entries = kernel.processes.entries().iter();
            usize::from(entries.any(|entry| wanted(entry.group, entry.pid)))
        }
    };
    if count == 0 {
        return Err(Errno::NO_PROCESS.into());
    }
    Ok(0)
}

/// `tkill(tid, signal)`.
pub(super) fn tkill<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [target, number, ..]: Arguments,
) -> Made {
    let signal = signal_or_none(number)?;
    let target = match target as i32 {
        target @ 1.. => Pid(target as u32),
        _ => return Err(Errno::INVALID.into()),
    };
    kernel.processes.entry(target).ok_or(Errno::NO_PROCESS)?;
    if let Some(signal) = signal {
        let origin = Origin::ThreadKill(process.pid);
        kernel.signal(target, Info { signal, origin });
    }
    Ok(0)
}

/// `tgkill(pid, tid, signal)`: a process's only thread has its number.
pub(super) fn tgkill<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [target, thread, number, ..]: Arguments,
) -> Made {
    if target as i32 <= 0 {
        return Err(Errno::INVALID.into());
    }
    if target as u32 != thread as u32 {
        return Err(Errno::NO_PROCESS.into());
    }
    tkill(kernel, process, [thread, number, 0, 0, 0, 0])
}
