//! Two domains that know each other by the command line: `role=...` and `peer=NUMBER`.
use abi::errno::Errno;
use abi::event::{EventChannelOp, PORTS, PortStatus};
use abi::layout::PAGE_SIZE;
use abi::sched::{ShutdownReason, WAKE_EVENT};
use core::sync::atomic::Ordering;
use guests::runtime::event::{self, channel, channel_done, send, served};
use guests::runtime::time::set_timer;
use guests::runtime::{call, code, memory, start_info, upcall};
use guests::{check, check_eq, command_line};

use super::Run;

pub(crate) const CASES: &[(&str, Run)] = &[
    ("event-peer", peer),
    ("events-to-the-mortal", mortal),
    ("events-to-the-paused", paused),
];

const ROUNDS: u64 = 300;
const STORM: u64 = 500;
/// The other's first port.
const FIRST: u64 = 1;

fn role() -> (&'static str, u64) {
    let line = command_line::text(&start_info().command_line);
    let other = command_line::value(line, "peer").and_then(|text| text.parse().ok());
    check!(other.is_some(), "peer=NUMBER");
    (
        command_line::value(line, "role").unwrap_or(""),
        other.unwrap_or_default(),
    )
}

fn wait_for(port: u64, count: u64) {
    while served(port) < count {
        let woken = call::block(1_000_000_000, WAKE_EVENT);
        check!(woken.ok().is_ok(), "a wait for events: {woken:x?}");
    }
}

/// The first port, offered to the other domain.
fn offer(other: u64) -> u64 {
    let port = channel_done(EventChannelOp::AllocUnbound, &[other]);
    check_eq!(port, FIRST, "the first port, as the other assumes");
    port
}

/// Binds to the other's first port as soon as it is offered; `None`: the other has ended for good.
fn bind(other: u64) -> Option<u64> {
    loop {
        match channel(EventChannelOp::BindInterdomain, &[other, FIRST]).ok() {
            Ok(port) => return Some(port),
            Err(Errno::NoDomain) => return None,
            Err(errno) => check_eq!(errno, Errno::Invalid, "not offered yet"),
        }
        let _ = call::yield_now();
    }
}

fn is_bound(port: u64) -> bool {
    let status = channel(EventChannelOp::Status, &[port]).ok();
    status == Ok(PortStatus::Interdomain.raw())
}

/// `role=echo` answers each event of the other, which then storms it and ends.
fn peer(_: u32) {
    upcall::install();
    match role() {
        ("echo", other) => echo(other),
        (_, other) => storm(other),
    }
}

fn echo(other: u64) {
    let port = offer(other);
    for round in 1..=ROUNDS {
        wait_for(port, round);
        send(port);
    }
    // Now the storm: this domain's own work goes on.
    let mut work = 0_u64;
    while is_bound(port) {
        for _ in 0..100 {
            work = core::hint::black_box(work + 1);
        }
    }
    let status = channel(EventChannelOp::Status, &[port]);
    check_eq!(
        (status.value, status.detail),
        (PortStatus::Unbound.raw(), other),
        "offered to the other's next incarnation"
    );
    guests::println!("worked {work} during a storm of {} events", served(port));
    check!(work > 0, "the receiver runs");
    send(port);
}

fn storm(other: u64) {
    let port = bind(other).unwrap_or_default();
    for round in 1..=ROUNDS {
        send(port);
        wait_for(port, round);
    }
    for _ in 0..STORM {
        send(port);
    }
}

/// `role=mortal` dies in many ways, as often as it is restarted; the other sends to it all the time.
fn mortal(run: u32) {
    match role() {
        ("mortal", other) => die_somehow(other, run),
        (_, other) => send_for_ever(other),
    }
}

fn die_somehow(other: u64, run: u32) {
    for offset in (0..PAGE_SIZE as usize).step_by(8) {
        let word = event::word(offset).load(Ordering::SeqCst);
        check_eq!(word, 0, "nothing of the last incarnation's is at {offset}");
    }
    for port in 1..PORTS as u64 {
        let status = channel(EventChannelOp::Status, &[port]).ok();
        check_eq!(status, Ok(PortStatus::Closed.raw()), "nor is port {port} open");
    }
    if run.is_multiple_of(2) {
        upcall::install();
    }
    let port = offer(other);
    while !is_bound(port) {
        let _ = call::yield_now();
    }
    if run.is_multiple_of(2) {
        wait_for(port, 3);
    } else {
        // With no upcall the bits tell, and stay.
        while !event::has_fired(port) {
            let _ = call::block(1_000_000, 0);
        }
    }
    set_timer(u64::MAX - 1);
    match run % 4 {
        0 => {}
        1 => {
            call::shutdown(ShutdownReason::Reboot.raw(), 0);
        }
        2 => {
            call::shutdown(ShutdownReason::Crash.raw(), 7);
        }
        _ => {
            let page = code::kernel(&code::UD2);
            event::mask(1);
            upcall::register(page, 0, 0);
            memory::unmap(page);
            loop {
                // It unmasks, and the next event enters.
                let _ = call::block(1_000_000, WAKE_EVENT);
            }
        }
    }
}

fn send_for_ever(other: u64) {
    upcall::install();
    let (mut lives, mut voids) = (0, 0);
    while let Some(port) = bind(other) {
        lives += 1;
        while is_bound(port) {
            send(port);
        }
        // Its end is dying, or being built again: an event into the void, and no error.
        for _ in 0..20 {
            send(port);
            voids += 1;
        }
        channel_done(EventChannelOp::Close, &[port]);
    }
    guests::println!("{lives} lives, {voids} events into the void");
    check!(lives >= 8, "the other lived {lives} times");
}

/// `role=paused` waits for events while a person pauses it; the other sends all the same.
fn paused(_: u32) {
    upcall::install();
    match role() {
        ("paused", other) => {
            let port = offer(other);
            // It cannot know when it is paused. The last event of all is the end.
            wait_for(port, 1);
            while is_bound(port) {
                let _ = call::block(1_000_000, WAKE_EVENT);
            }
            let count = served(port);
            guests::println!("served {count} events");
            check!(
                (1..=STORM).contains(&count),
                "those before the pause, and what became of the rest"
            );
        }
        (_, other) => {
            let port = bind(other).unwrap_or_default();
            for _ in 0..STORM {
                send(port);
                let _ = call::block(500_000, WAKE_EVENT);
            }
            guests::println!("sent {STORM} events");
        }
    }
}
