//! Clocks, sleep, alarms.
use crate::check::{Check, Works, child, ends, ends_well, expect, same, tests};
use crate::raw;
use core::time::Duration;
use linux_raw_sys::general as linux;
use userland::Errno;
use userland::process::{self, Status};
use userland::signal::{self, Action};
use userland::time::{self, Clock};

tests! {
    clocks_go_forward
    clocks_agree
    sleep_lasts
    sleep_has_rules
    many_sleep_at_once
    alarm_comes
    interval_timers_come_again
    a_timer_without_rest_stops_nobody
    processor_time_is_counted
}

fn now() -> Result<Duration, alloc::string::String> {
    time::now(Clock::Monotonic).works("the clock")
}

fn clocks_go_forward() -> Check {
    let mut last = now()?;
    for _ in 0..1000 {
        let next = now()?;
        expect(next >= last, "the clock went back")?;
        last = next;
    }
    let start = now()?;
    while now()? == start {}
    let mut resolution = [0u64; 2];
    same(
        raw::call(linux::__NR_clock_getres, [1, raw::address_mut(&mut resolution)]),
        Ok(0),
        "clock_getres",
    )?;
    let mut time = [0u64; 2];
    let unknown = raw::call(linux::__NR_clock_gettime, [99, raw::address_mut(&mut time)]);
    same(unknown, Err(Errno::EINVAL), "an unknown clock")
}

fn clocks_agree() -> Check {
    let real = time::now(Clock::Real).works("the clock")?;
    let mut day = [0u64; 2];
    same(
        raw::call(linux::__NR_gettimeofday, [raw::address_mut(&mut day), 0]),
        Ok(0),
        "gettimeofday",
    )?;
    let seconds = raw::call(linux::__NR_time, [0]).works("time")? as u64;
    expect(
        day[0] - real.as_secs() <= 2 && seconds - real.as_secs() <= 2,
        "seconds since 1970",
    )?;
    expect(day[1] < 1_000_000, "microseconds")
}

fn sleep_lasts() -> Check {
    for length in [Duration::from_millis(1), Duration::from_millis(50)] {
        let before = now()?;
        time::sleep(length).works("nanosleep")?;
        expect(now()?.saturating_sub(before) >= length, "it was too short")?;
    }
    same(time::sleep(Duration::ZERO), Ok(()), "no time at all")
}

fn sleep_has_rules() -> Check {
    for bad in [[0i64, -1], [0, 1_000_000_000], [-1, 0]] {
        let result = raw::call(linux::__NR_nanosleep, [raw::address(&bad), 0]);
        same(result, Err(Errno::EINVAL), "a time that is none")?;
    }
    signal::set(signal::SIGALRM, Action::Note).works("sigaction")?;
    same(signal::alarm(1), 0, "alarm")?;
    let (wanted, mut left) = ([100i64, 0], [0i64; 2]);
    let result = raw::call(
        linux::__NR_nanosleep,
        [raw::address(&wanted), raw::address_mut(&mut left)],
    );
    same(result, Err(Errno::EINTR), "nanosleep")?;
    expect((90..100).contains(&left[0]), "what was left")
}

fn many_sleep_at_once() -> Check {
    let pids: alloc::vec::Vec<_> = (0..10u64)
        .map(|number| child(|| i32::from(time::sleep(Duration::from_millis(10 + number % 3)).is_err())))
        .collect::<Result<_, _>>()?;
    pids.into_iter().try_for_each(ends_well)
}

fn alarm_comes() -> Check {
    let pid = child(|| {
        signal::alarm(1);
        loop {
            signal::suspend(signal::Set::EMPTY);
        }
    })?;
    ends(pid, Status::Killed(signal::SIGALRM))?;
    signal::alarm(100);
    let left = signal::alarm(0);
    expect((99..=100).contains(&left), "what was left")?;
    same(signal::alarm(0), 0, "nothing is left")?;
    // It is the parent's alone.
    signal::alarm(100);
    let pid = child(|| signal::alarm(0) as i32)?;
    ends_well(pid)?;
    signal::alarm(0);
    Ok(())
}

fn interval_timers_come_again() -> Check {
    signal::set(signal::SIGALRM, Action::Note).works("sigaction")?;
    // Every 20 ms; the first after 10.
    let timer = [0u64, 20_000, 0, 10_000];
    same(
        raw::call(linux::__NR_setitimer, [0, raw::address(&timer), 0]),
        Ok(0),
        "setitimer",
    )?;
    for _ in 0..3 {
        while !signal::take_noted().has(signal::SIGALRM) {
            process::give_way();
        }
    }
    let (none, mut old) = ([0u64; 4], [0u64; 4]);
    let result = raw::call(
        linux::__NR_setitimer,
        [0, raw::address(&none), raw::address_mut(&mut old)],
    );
    same(result, Ok(0), "setitimer")?;
    same(old[1], 20_000, "the interval")
}

/// A timer whose signals come faster than anybody could take note of them takes time from its own process alone.
fn a_timer_without_rest_stops_nobody() -> Check {
    for action in [Action::Ignore, Action::Note] {
        let pid = child(|| {
            let timer = [0u64, 1, 0, 1];
            let is_set = signal::set(signal::SIGALRM, action).is_ok()
                && raw::call(linux::__NR_setitimer, [0, raw::address(&timer), 0]).is_ok();
            if !is_set {
                return 1;
            }
            loop {
                process::give_way();
            }
        })?;
        for _ in 0..10 {
            time::sleep(Duration::from_millis(2)).works("nanosleep")?;
        }
        process::kill(pid, signal::SIGKILL).works("kill")?;
        ends(pid, Status::Killed(signal::SIGKILL))?;
    }
    Ok(())
}

fn processor_time_is_counted() -> Check {
    let (own, system) = process::times(process::Whose::Own).works("getrusage")?;
    let before = own + system;
    let start = now()?;
    while now()?.saturating_sub(start) < Duration::from_millis(60) {}
    let (own, system) = process::times(process::Whose::Own).works("getrusage")?;
    expect(own + system > before, "it has not grown")
}
