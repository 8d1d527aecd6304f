//! What disturbs others, if anything can: timers, ticks, events.
//!
//! `mode=timers` sets its one-shot timer anew in each upcall, to `delay` nanoseconds from then (0: to the past).
//! `mode=alarms` sleeps, and is woken by that timer. `mode=ticks` leaves the CPU in a hypercall in which its timer strikes,
//! so that the tick finds whoever comes next, and sleeps for `sleep`. `mode=storm` sends to domain `peer` without end;
//! `mode=ping` sends to it and waits for the answer of its `mode=pong`.
use abi::errno::Errno;
use abi::event::EventChannelOp;
use abi::sched::WAKE_EVENT;
use core::sync::atomic::{AtomicU64, Ordering};
use guests::check_eq;
use guests::runtime::event::{self, channel, channel_done, send};
use guests::runtime::time::{now_ns, set_timer, wait_until};
use guests::runtime::{call, upcall};

use super::number;

/// The port that [`offer`] opens.
const FIRST: u64 = 1;
/// How long one side of a pair waits for the other, at most.
const PATIENCE_NS: u64 = 1_000_000;

/// What a mode does until a system time.
pub(crate) fn named(mode: &str) -> Option<fn(u64)> {
    Some(match mode {
        "timers" => timers,
        "alarms" => alarms,
        "ticks" => ticks,
        "storm" => storm,
        "ping" => ping,
        "pong" => pong,
        _ => return None,
    })
}

/// Lets another domain send events to this one.
pub(crate) fn offer(other: u64) {
    upcall::install();
    let port = channel_done(EventChannelOp::AllocUnbound, &[other]);
    check_eq!(port, FIRST, "the first port, as the other assumes");
}

fn bind(other: u64) -> u64 {
    loop {
        match channel(EventChannelOp::BindInterdomain, &[other, FIRST]).ok() {
            Ok(port) => return port,
            Err(errno) => check_eq!(errno, Errno::Invalid, "not offered yet"),
        }
        let _ = call::yield_now();
    }
}

fn delay() -> u64 {
    number("delay").unwrap_or(0)
}

static UNTIL: AtomicU64 = AtomicU64::new(0);

fn timers(until: u64) {
    UNTIL.store(until, Ordering::Relaxed);
    upcall::install();
    let _ = event::timer_port();
    fn again() {
        let (now, _) = now_ns();
        if now < UNTIL.load(Ordering::Relaxed) {
            set_timer(match delay() {
                0 => 1,
                delay => now + delay,
            });
        }
    }
    upcall::hook(Some(|_| again()));
    again();
    wait_until(until);
}

fn alarms(until: u64) {
    upcall::install();
    let _ = event::timer_port();
    while now_ns().0 < until {
        event::mask(1);
        set_timer(now_ns().0 + delay());
        let _ = call::block(PATIENCE_NS, WAKE_EVENT);
    }
}

fn ticks(until: u64) {
    let sleep = number("sleep").unwrap_or(1);
    while now_ns().0 < until {
        set_timer(now_ns().0 + delay());
        let _ = call::block(sleep, WAKE_EVENT);
    }
}

fn storm(until: u64) {
    let port = bind(number("peer").unwrap_or(0));
    while now_ns().0 < until {
        send(port);
    }
}

fn ping(until: u64) {
    upcall::install();
    let port = bind(number("peer").unwrap_or(0));
    answer(port, until);
}

fn pong(until: u64) {
    offer(number("peer").unwrap_or(0));
    answer(FIRST, until);
}

fn answer(port: u64, until: u64) {
    while now_ns().0 < until {
        event::mask(1);
        send(port);
        let _ = call::block(PATIENCE_NS, WAKE_EVENT);
    }
}
