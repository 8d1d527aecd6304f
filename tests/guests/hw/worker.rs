//! A guest whose work can be counted: what share of the CPU it got, and how it tries to get more.
//!
//! It works from one system time to another (`from` and `until`, in milliseconds: the same moments for all domains), in
//! pieces that always take the same number of instructions, and prints `worked N ns, virtual V ns`: what its whole pieces
//! would take undisturbed, and by how much its virtual time went on meanwhile.
//!
//! `mode=spin` (the default) does nothing else, `mode=yield` yields after each piece, `mode=nap` sleeps for `sleep`
//! nanoseconds after each `run` of them, `mode=calls` makes hypercalls and changes page tables, `mode=touch` writes to all
//! its memory. `mode=crash` dies at once.
#![no_std]
#![no_main]

use abi::layout::{PAGE_SIZE, TIME_PAGE};
use abi::sched::WAKE_EVENT;
use abi::time::TimeInfo;
use core::mem::offset_of;
use guests::runtime::memory::{self, KERNEL_DATA};
use guests::runtime::{self, call, start_info, trap};
use guests::{check, command_line, println, program};

program!(main);

const MS: u64 = 1_000_000;
/// Rounds of a loop in one piece of work: about a microsecond.
const ROUNDS: u64 = 200;
/// Pages that `mode=calls` maps and unmaps, and `mode=touch` writes to.
const PAGES: u64 = 128;
/// An address at which nothing is mapped.
const NOWHERE: u64 = 8;

/// What it does between two pieces of work.
enum Habit {
    Spin,
    Yield,
    Nap,
    Calls,
    Touch,
}

fn main() {
    let line = command_line::text(&start_info().command_line);
    let number = |key| command_line::value(line, key).and_then(|text| text.parse::<u64>().ok());
    let habit = match command_line::value(line, "mode").unwrap_or("spin") {
        "spin" => Habit::Spin,
        "yield" => Habit::Yield,
        "nap" => Habit::Nap,
        "calls" => Habit::Calls,
        "touch" => Habit::Touch,
        "crash" => return memory::poke(NOWHERE, 0),
        other => return check!(false, "a mode {other}"),
    };
    trap::install();
    let pages = memory::kernel_pages(PAGES, KERNEL_DATA);
    let entry = memory::leaf(pages).value;
    let (run, sleep) = (number("run").unwrap_or(0), number("sleep").unwrap_or(1));
    let from = number("from").unwrap_or(0) * MS;
    let until = number("until").unwrap_or(1_000) * MS;

    let clock = Clock::new();
    let now = clock.at(runtime::tsc());
    check!(now < from, "at {now} it is ready to work");
    sleep_for(from - now);
    check!(clock.at(runtime::tsc()) >= from, "it has slept");

    let virtual_before = virtual_time();
    let (mut pieces, mut least, mut awake) = (0, 0, 0);
    let mut before = runtime::tsc();
    loop {
        for round in 0..ROUNDS {
            core::hint::black_box(round);
        }
        let after = runtime::tsc();
        if clock.at(after) >= until {
            break;
        }
        let taken = after.wrapping_sub(before);
        // The first piece is shorter: nothing of an earlier round comes before it.
        least = if pieces < 2 { taken } else { least.min(taken) };
        before = after;
        pieces += 1;
        awake += 1;
        match habit {
            Habit::Spin => continue,
            Habit::Nap if clock.ns(awake * least) < run => continue,
            Habit::Nap => {
                awake = 0;
                sleep_for(sleep);
            }
            Habit::Yield => {
                let _ = call::yield_now();
            }
            Habit::Calls => {
                let va = pages + pieces % PAGES * PAGE_SIZE;
                for value in [0, entry] {
                    let _ = memory::try_set(va, value);
                }
            }
            Habit::Touch => (0..PAGES).for_each(|page| memory::poke(pages + page * PAGE_SIZE, pieces)),
        }
        before = runtime::tsc();
    }
    let virtual_after = virtual_time();
    println!(
        "worked {} ns, virtual {} ns",
        clock.ns(pieces * least),
        virtual_after - virtual_before
    );
}

/// No event port is bound and no upcall registered, so nothing else ends this.
fn sleep_for(ns: u64) {
    let slept = call::block(ns, WAKE_EVENT);
    check!(slept.ok().is_ok(), "the sleep: {slept:x?}");
}

/// System time from the TSC. Its rate does not change, so the page is read once.
struct Clock {
    tsc: u64,
    system_time_ns: u64,
    ns_per_tick: u64,
}

fn time_word(offset: usize) -> u64 {
    memory::peek(TIME_PAGE + offset as u64)
}

/// Reads something that may change between two of this domain's instructions.
fn consistent<T>(read: impl Fn() -> T) -> T {
    loop {
        let version = time_word(offset_of!(TimeInfo, version));
        let value = read();
        if time_word(offset_of!(TimeInfo, version)) == version {
            return value;
        }
    }
}

fn virtual_time() -> u64 {
    consistent(|| {
        let since = runtime::tsc().wrapping_sub(time_word(offset_of!(TimeInfo, tsc_timestamp)));
        time_word(offset_of!(TimeInfo, virtual_time_ns)) + Clock::new().ns(since)
    })
}

impl Clock {
    fn new() -> Self {
        consistent(|| Self {
            tsc: time_word(offset_of!(TimeInfo, tsc_timestamp)),
            system_time_ns: time_word(offset_of!(TimeInfo, system_time_ns)),
            ns_per_tick: time_word(offset_of!(TimeInfo, tsc_to_ns_mul)),
        })
    }

    fn ns(&self, ticks: u64) -> u64 {
        ((u128::from(ticks) * u128::from(self.ns_per_tick)) >> 32) as u64
    }

    fn at(&self, tsc: u64) -> u64 {
        self.system_time_ns + self.ns(tsc.wrapping_sub(self.tsc))
    }
}
