//! Counts of handovers between two domains that yield to each other without end, on one CPU.
//!
//! The guest that counts and its peer do nothing but yield, so each yield of one lets the other run until it yields. A round
//! is two handovers: from a yield's instruction until the one behind it, the peer's loop included. Both count their yields;
//! the peer ends badly unless its are as many as this guest's, so yields that came back at once would show.
use super::calls::rdtsc;
use abi::event::EventChannelOp;
use abi::hypercall::Hypercall;
use abi::sched::SchedOp;
use guests::runtime::time::wait_until;
use guests::runtime::{call, event, start_info};
use guests::{check, println};

/// Rounds before anything is counted, so that the two have come into step: who was woken is ahead at first.
const WARM_UP: usize = 4000;
/// Rounds that are counted, an odd number.
const ROUNDS: usize = 201;
/// The first port that the peer opens; it is the next domain.
const PORT: u64 = 1;
/// By how much the counts of yields may differ, at both ends together.
const SLACK: u64 = 8;

fn give_way() {
    // SAFETY: ring 1 of a xen-lite guest; a yield changes nothing of it.
    let _ = unsafe { abi::stub::hypercall(Hypercall::SchedOp, [SchedOp::Yield.raw(), 0, 0, 0, 0]) };
}

fn own_id() -> u64 {
    u64::from(start_info().domain_id)
}

/// The one that counts: half the median of all rounds. It begins after so many milliseconds of system time.
pub(super) fn count(after: u64) {
    wait_until(after * 1_000_000);
    let port = loop {
        let bound = event::channel(EventChannelOp::BindInterdomain, &[own_id() + 1, PORT]).ok();
        match bound {
            Ok(port) => break port,
            Err(_) => give_way(),
        }
    };
    event::channel_done(EventChannelOp::Send, &[port]);
    let mut rounds = [0; ROUNDS];
    (0..WARM_UP).for_each(|_| give_way());
    event::channel_done(EventChannelOp::Send, &[port]);
    for round in &mut rounds {
        let start = rdtsc();
        give_way();
        *round = rdtsc() - start;
    }
    event::channel_done(EventChannelOp::Send, &[port]);
    rounds.sort_unstable();
    println!("bench vcpu-switch {}", rounds[ROUNDS / 2] / 2);
}

/// The other one.
pub(super) fn answer() {
    check!(own_id() > 0, "the peer is domain 0");
    let offered = event::channel_done(EventChannelOp::AllocUnbound, &[own_id() - 1]);
    check!(offered == PORT, "the first port is {offered}");
    let wait = || {
        while !event::has_fired(PORT) {
            let _ = call::block(0, abi::sched::WAKE_EVENT);
        }
        event::clear(PORT);
    };
    wait();
    let yields_until_next = || {
        let mut yields = 0_u64;
        while !event::has_fired(PORT) {
            give_way();
            yields += 1;
        }
        event::clear(PORT);
        yields
    };
    let _ = yields_until_next();
    let yields = yields_until_next();
    let expected = ROUNDS as u64;
    check!(
        yields.abs_diff(expected) <= SLACK,
        "{yields} yields answer {expected}"
    );
}
