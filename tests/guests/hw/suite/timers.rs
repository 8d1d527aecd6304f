//! The one-shot timer and the time page.
use abi::errno::Errno;
use abi::hypercall::Hypercall;
use abi::layout::{PAGE_SIZE, TIME_PAGE};
use abi::multicall::MulticallEntry;
use abi::sched::WAKE_EVENT;
use abi::time::TimeInfo;
use core::sync::atomic::{AtomicU64, Ordering};
use guests::runtime::time::{self, now_ns, set_timer, wait_until};
use guests::runtime::{call, event, memory, trap, upcall};
use guests::{check, check_eq};

use super::Run;

pub(crate) const CASES: &[(&str, Run)] = &[
    ("one-shot-timer", timer),
    ("time-page", page),
    ("time-page-is-never-torn", never_torn),
];

const MS: u64 = 1_000_000;
const SOON_NS: u64 = MS / 5;
/// Longer than all others' turns between two calls.
const LONG_NS: u64 = 200 * MS;

fn timer(_: u32) {
    upcall::install();
    let port = event::timer_port();
    let fired = || event::served(port);
    static AT: AtomicU64 = AtomicU64::new(0);
    upcall::hook(Some(|_| AT.store(now_ns().0, Ordering::Relaxed)));
    let mut expected = 0;
    let mut once = |deadline: u64, what: &str| {
        wait_until(deadline + LONG_NS);
        expected += 1;
        check_eq!(fired(), expected, "{what}: once");
        let at = AT.load(Ordering::Relaxed);
        check!(at >= deadline, "{what}: at {at}, not before {deadline}");
    };
    let deadline = now_ns().0 + SOON_NS;
    set_timer(deadline);
    once(deadline, "set");
    // Others may run for long between two calls.
    let later = now_ns().0 + 2 * LONG_NS;
    set_timer(now_ns().0 + LONG_NS);
    set_timer(later);
    once(later, "replaced by a later one");
    let sooner = now_ns().0 + SOON_NS;
    set_timer(sooner + LONG_NS);
    set_timer(sooner);
    once(sooner, "replaced by a sooner one");
    set_timer(now_ns().0 + LONG_NS);
    set_timer(0);
    wait_until(now_ns().0 + 2 * LONG_NS);
    check_eq!(fired(), 3, "cancelled");
    for past in [1, now_ns().0] {
        let before = fired();
        set_timer(past);
        check_eq!(
            fired(),
            before + 1,
            "a deadline that is over, before the call returns"
        );
    }
    let mut entry = MulticallEntry {
        number: Hypercall::SetTimerOp.raw(),
        ..MulticallEntry::default()
    };
    entry.arguments[0] = 1;
    let list = [entry];
    let done = call::call(Hypercall::Multicall, &[list.as_ptr() as u64, 1]).ok();
    check_eq!((done, fired()), (Ok(0), 6), "the same from inside a multicall");
    waits(&fired);
}

fn waits(fired: &impl Fn() -> u64) {
    for n in 1..10 {
        let deadline = now_ns().0 + 2 * MS;
        // Masked until it waits: it may fire before, when others have long turns.
        event::mask(1);
        set_timer(deadline);
        let blocked = call::block(0, WAKE_EVENT);
        check!(
            blocked.ok().is_ok() && now_ns().0 >= deadline,
            "a wait ends by the timer: {blocked:x?}"
        );
        check_eq!(fired(), 6 + n, "the upcall comes before the wait returns");
    }
    for deadline in [u64::MAX, u64::MAX - 1, 1 << 63] {
        set_timer(deadline);
        let _ = call::block(2 * MS, WAKE_EVENT);
    }
    check_eq!(fired(), 15, "a deadline beyond all time never comes");
    set_timer(0);
}

fn page(_: u32) {
    const YEAR_2025: u64 = 1_735_689_600;
    let first = time::page();
    check!(
        first.wall_clock_s > YEAR_2025,
        "the wall clock has been set: {}",
        first.wall_clock_s
    );
    let (mut last, mut last_now) = (first, now_ns());
    for n in 0..500 {
        match n % 50 {
            0 => {
                call::block(MS, 0);
            }
            1..25 => {}
            _ => {
                let _ = call::yield_now();
            }
        }
        let (info, now) = (time::page(), now_ns());
        check!(
            now.0 >= last_now.0 && now.1 >= last_now.1,
            "time goes forward: {now:?} after {last_now:?}"
        );
        check!(
            now.1 - last_now.1 <= now.0 - last_now.0 + 1000,
            "virtual time runs no faster: {now:?} after {last_now:?}"
        );
        check!(info.version >= last.version, "the version, too: {info:?}");
        check!(
            info.system_time_ns >= last.system_time_ns && info.virtual_time_ns >= last.virtual_time_ns,
            "and so does the page: {info:?} after {last:?}"
        );
        check!(
            info.virtual_time_ns <= info.system_time_ns,
            "virtual time is at most real time: {info:?}"
        );
        check_eq!(info.wall_clock_s, first.wall_clock_s, "the wall clock's start");
        (last, last_now) = (info, now);
    }
    check!(last.version > first.version, "the page was brought up to date");
    let before = now_ns();
    let blocked = call::block(20 * MS, WAKE_EVENT);
    check!(blocked.ok().is_ok(), "a wait: {blocked:x?}");
    let after = now_ns();
    check!(after.0 - before.0 >= 20 * MS, "it took its time");
    check!(
        after.1 - before.1 < 10 * MS,
        "virtual time stands still meanwhile: {before:?} {after:?}"
    );
    nobody_sets_it(first.wall_clock_s);
}

/// Xen's `platform_op`, by which its first domain sets the wall clock.
const PLATFORM_OP: u64 = 7;

fn nobody_sets_it(wall_clock_s: u64) {
    for offset in (0..PAGE_SIZE).step_by(8) {
        let stored = trap::attempt(|| memory::poke(TIME_PAGE + offset, 0));
        check!(
            stored.is_err_and(|found| found.vector == 14 && found.error == 3),
            "a store at {offset} faults"
        );
    }
    let settime = [17_u32, 0, 0, 0, 0, 0];
    let done = call::raw(PLATFORM_OP, [settime.as_ptr() as u64, 0, 0, 0, 0]).ok();
    check_eq!(done, Err(Errno::NoSys), "there is no call that sets the clock");
    let done = call::update_va_mapping(TIME_PAGE, 0, 0);
    check!(done.is_err(), "nor is its page the guest's to unmap: {done:?}");
    check_eq!(time::page().wall_clock_s, wall_clock_s, "it is as it was");
}

/// Reads of the page with turns of others between any two of its fields.
fn never_torn(_: u32) {
    let differ = |one: &TimeInfo, other: &TimeInfo| {
        one.system_time_ns != other.system_time_ns || one.tsc_timestamp != other.tsc_timestamp
    };
    let (mut changed, mut same) = (0, 0);
    for n in 0..400 {
        let before = time::fields();
        check!(
            before.version.is_multiple_of(2),
            "a guest sees no page that is being written"
        );
        if n % 2 == 0 {
            let _ = call::block(MS / 10, 0);
        }
        let torn = time::fields();
        let after = time::version();
        if before.version == after {
            check!(
                !differ(&before, &torn),
                "one version, one page: {before:?} {torn:?}"
            );
            same += 1;
        } else {
            check!(after > before.version, "versions go up");
            changed += 1;
        }
    }
    check!(
        changed >= 200 && same > 0,
        "the page changed {changed} times between two reads, and {same} times it did not"
    );
}
