//! Clocks, sleep, timers.
use super::{Arguments, Made, Stop};
use crate::errno::Errno;
use crate::exec::stack::CLOCK_TICKS;
use crate::kernel::{Kernel, Machine};
use crate::proc::Process;
use crate::proc::table::{Alarm, Phase};
use crate::wait::Wait;
use linux_raw_sys::general as linux;

const SECOND_NS: u64 = 1_000_000_000;
const MICROSECOND_NS: u64 = 1000;

/// A `struct timespec` or `struct timeval`: seconds, then parts of `unit_ns` each.
fn pair(ns: u64, unit_ns: u64) -> [u8; 16] {
    let (seconds, rest) = (ns / SECOND_NS, ns % SECOND_NS / unit_ns);
    (u128::from(seconds) | u128::from(rest) << 64).to_le_bytes()
}

/// The nanoseconds that such a pair stands for, as many as fit.
fn from_pair(bytes: [u8; 16], unit_ns: u64) -> Result<u64, Errno> {
    let both = u128::from_le_bytes(bytes);
    let (seconds, parts) = (both as u64, (both >> 64) as u64);
    if (seconds as i64) < 0 || parts >= SECOND_NS / unit_ns {
        return Err(Errno::INVALID);
    }
    Ok(seconds.saturating_mul(SECOND_NS).saturating_add(parts * unit_ns))
}

fn read_pair<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    address: u64,
    unit_ns: u64,
) -> Result<u64, Errno> {
    let mut bytes = [0; 16];
    kernel.copy_in(process, address, &mut bytes)?;
    from_pair(bytes, unit_ns)
}

/// What a clock shows, in nanoseconds.
fn read_clock<M: Machine>(kernel: &Kernel<'_, M>, process: &Process<'_>, clock: u64) -> Result<u64, Errno> {
    let now_ns = kernel.machine.now_ns();
    Ok(match clock as u32 {
        linux::CLOCK_REALTIME | linux::CLOCK_REALTIME_COARSE | linux::CLOCK_TAI => {
            kernel.machine.wall_clock_base_ns().saturating_add(now_ns)
        }
        linux::CLOCK_MONOTONIC
        | linux::CLOCK_MONOTONIC_RAW
        | linux::CLOCK_MONOTONIC_COARSE
        | linux::CLOCK_BOOTTIME => now_ns,
        linux::CLOCK_PROCESS_CPUTIME_ID | linux::CLOCK_THREAD_CPUTIME_ID => kernel.cpu_ns(process),
        _ => return Err(Errno::INVALID),
    })
}

/// `clock_gettime(clock, time)`.
pub(super) fn clock_gettime<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [clock, at, ..]: Arguments,
) -> Made {
    let ns = read_clock(kernel, process, clock)?;
    kernel.copy_out(process, at, &pair(ns, 1))?;
    Ok(0)
}

/// `clock_getres(clock, time)`.
pub(super) fn clock_getres<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [clock, at, ..]: Arguments,
) -> Made {
    read_clock(kernel, process, clock)?;
    if at != 0 {
        kernel.copy_out(process, at, &pair(1, 1))?;
    }
    Ok(0)
}

/// `gettimeofday(time, zone)`.
pub(super) fn gettimeofday<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [at, zone_at, ..]: Arguments,
) -> Made {
    let ns = read_clock(kernel, process, u64::from(linux::CLOCK_REALTIME))?;
    if at != 0 {
        kernel.copy_out(process, at, &pair(ns, MICROSECOND_NS))?;
    }
    if zone_at != 0 {
        kernel.copy_out(process, zone_at, &[0; 8])?;
    }
    Ok(0)
}

/// `time(seconds)`.
pub(super) fn time<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [at, ..]: Arguments,
) -> Made {
    let seconds = read_clock(kernel, process, u64::from(linux::CLOCK_REALTIME))? / SECOND_NS;
    if at != 0 {
        kernel.copy_out(process, at, &seconds.to_le_bytes())?;
    }
    Ok(seconds)
}

/// `nanosleep(time, rest)`.
pub(super) fn nanosleep<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [at, rest_at, ..]: Arguments,
) -> Made {
    let arguments = [u64::from(linux::CLOCK_MONOTONIC), 0, at, rest_at, 0, 0];
    clock_nanosleep(kernel, process, arguments)
}

/// `clock_nanosleep(clock, flags, time, rest)`. The rest is kept up to date while the call waits, as nobody can look at
/// it before a signal ends it.
pub(super) fn clock_nanosleep<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [clock, flags, at, rest_at, ..]: Arguments,
) -> Made {
    let base_ns = match clock as u32 {
        linux::CLOCK_REALTIME => kernel.machine.wall_clock_base_ns(),
        linux::CLOCK_MONOTONIC | linux::CLOCK_BOOTTIME => 0,
        _ => return Err(Errno::INVALID.into()),
    };
    let ns = read_pair(kernel, process, at, 1)?;
    let now_ns = kernel.machine.now_ns();
    let absolute = flags & u64::from(linux::TIMER_ABSTIME) != 0;
    let deadline = if absolute {
        ns.saturating_sub(base_ns)
    } else {
        process.deadline(now_ns, ns)
    };
    if now_ns >= deadline {
        return Ok(0);
    }
    if !absolute && rest_at != 0 {
        kernel.copy_out(process, rest_at, &pair(deadline - now_ns, 1))?;
    }
    Err(Stop::Wait(Wait::until(deadline)))
}

/// `alarm(seconds)`.
pub(super) fn alarm<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [seconds, ..]: Arguments,
) -> Made {
    let ns = (seconds & 0xffff_ffff).saturating_mul(SECOND_NS);
    let (left_ns, _) = set_alarm(kernel, process, ns, 0);
    // A part of a second counts as one, so that 0 means none.
    Ok(left_ns.div_ceil(SECOND_NS))
}

/// Sets the timer; what was left of the old one, and its interval.
fn set_alarm<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &Process<'_>,
    ns: u64,
    interval_ns: u64,
) -> (u64, u64) {
    let old = old_alarm(kernel, process);
    let at_ns = kernel.machine.now_ns().saturating_add(ns);
    let alarm = (ns != 0).then_some(Alarm {
        at_ns,
        interval_ns,
        phase: Phase::Running,
    });
    kernel.processes.set_alarm(process.pid, alarm);
    old
}

fn old_alarm<M: Machine>(kernel: &Kernel<'_, M>, process: &Process<'_>) -> (u64, u64) {
    let alarm = kernel.processes.entry(process.pid).and_then(|entry| entry.alarm);
    let now_ns = kernel.machine.now_ns();
    alarm.map_or((0, 0), |alarm| {
        let left_ns = alarm
            .due_ns()
            .map_or(0, |due_ns| due_ns.saturating_sub(now_ns).max(1));
        (left_ns, alarm.interval_ns)
    })
}

fn write_timer<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    at: u64,
    (left_ns, interval_ns): (u64, u64),
) -> Result<(), Errno> {
    let mut bytes = [0; 32];
    let (interval, left) = bytes.split_at_mut(16);
    interval.copy_from_slice(&pair(interval_ns, MICROSECOND_NS));
    left.copy_from_slice(&pair(left_ns, MICROSECOND_NS));
    kernel.copy_out(process, at, &bytes)
}

/// `setitimer(which, new, old)`.
pub(super) fn setitimer<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [which, new_at, old_at, ..]: Arguments,
) -> Made {
    if which != u64::from(linux::ITIMER_REAL) {
        return Err(Errno::INVALID.into());
    }
    let (mut interval_ns, mut ns) = (0, 0);
    if new_at != 0 {
        interval_ns = read_pair(kernel, process, new_at, MICROSECOND_NS)?;
        let value_at = new_at.checked_add(16).ok_or(Errno::FAULT)?;
        ns = read_pair(kernel, process, value_at, MICROSECOND_NS)?;
    }
    let old = set_alarm(kernel, process, ns, interval_ns);
    if old_at != 0 {
        write_timer(kernel, process, old_at, old)?;
    }
    Ok(0)
}

/// `getitimer(which, value)`.
pub(super) fn getitimer<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [which, at, ..]: Arguments,
) -> Made {
    if which != u64::from(linux::ITIMER_REAL) {
        return Err(Errno::INVALID.into());
    }
    let old = old_alarm(kernel, process);
    write_timer(kernel, process, at, old)?;
    Ok(0)
}

/// `times(buffer)`: all time counts as the program's.
pub(super) fn times<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [at, ..]: Arguments,
) -> Made {
    let ticks = |ns: u64| ns / (SECOND_NS / CLOCK_TICKS);
    if at != 0 {
        let own = ticks(kernel.cpu_ns(process));
        let children = ticks(kernel.children_cpu_ns(process));
        let mut bytes = [0; 32];
        for (target, word) in bytes.chunks_exact_mut(8).zip([own, 0, children, 0]) {
            target.copy_from_slice(&word.to_le_bytes());
        }
        kernel.copy_out(process, at, &bytes)?;
    }
    Ok(ticks(kernel.machine.now_ns()))
}

/// `getrusage(who, usage)`: time alone; all of it counts as the program's.
pub(super) fn getrusage<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [who, at, ..]: Arguments,
) -> Made {
    let ns = match who as i32 {
        0 | 1 => kernel.cpu_ns(process),
        -1 => kernel.children_cpu_ns(process),
        _ => return Err(Errno::INVALID.into()),
    };
    kernel.copy_out(process, at, &usage(ns))?;
    Ok(0)
}

/// A `struct rusage` with nothing but the program's time.
pub(super) fn usage(ns: u64) -> [u8; size_of::<linux::rusage>()] {
    let mut bytes = [0; size_of::<linux::rusage>()];
    for (target, byte) in bytes.iter_mut().zip(pair(ns, MICROSECOND_NS)) {
        *target = byte;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_pairs_and_bad_pairs_are_refused() {
        assert_eq!(from_pair(pair(1_500_000_000, 1), 1), Ok(1_500_000_000));
        assert_eq!(from_pair(pair(1_500_000_000, 1000), 1000), Ok(1_500_000_000));
        let bad = |seconds: u64, parts: u64| {
            from_pair((u128::from(seconds) | u128::from(parts) << 64).to_le_bytes(), 1)
        };
        assert_eq!(bad(u64::MAX, 0), Err(Errno::INVALID));
        assert_eq!(bad(0, 1_000_000_000), Err(Errno::INVALID));
        assert_eq!(bad(i64::MAX as u64, 0), Ok(u64::MAX));
    }
}
