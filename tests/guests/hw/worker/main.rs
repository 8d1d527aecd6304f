//! A guest whose work can be counted: what share of the CPU it got, and how it tries to get more.
//!
//! It works from one system time to another (`from` and `until`, in milliseconds: the same moments for all domains), in
//! pieces that always take the same number of instructions, and prints `worked N ns, virtual V ns, longest L ns`: what its
//! whole pieces would take undisturbed, by how much its virtual time went on meanwhile, and how long the longest piece took,
//! others' turns included.
//!
//! `mode=spin` (the default) does nothing else, `mode=yield` yields after each piece, `mode=nap` sleeps for `sleep`
//! nanoseconds after each `run` of them, `mode=calls` makes hypercalls and changes page tables, `mode=touch` writes to all
//! its memory. `mode=crash` dies at once, `mode=mumbles` begins a line and sleeps. Those of [`nuisance`] do no work: they disturb others. With `offers=N` domain N
//! can send events to this one.
#![no_std]
#![no_main]

use abi::layout::PAGE_SIZE;
use abi::sched::WAKE_EVENT;
use core::fmt::Write as _;
use guests::runtime::console::Console;
use guests::runtime::memory::{self, KERNEL_DATA};
use guests::runtime::time::now_ns;
use guests::runtime::{call, start_info, trap};
use guests::{check, command_line, println, program};

mod nuisance;

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

/// A number of the command line.
fn number(key: &str) -> Option<u64> {
    let line = command_line::text(&start_info().command_line);
    command_line::value(line, key)?.parse().ok()
}

fn main() {
    let line = command_line::text(&start_info().command_line);
    let mode = command_line::value(line, "mode").unwrap_or("spin");
    let from = number("from").unwrap_or(0) * MS;
    let until = number("until").unwrap_or(1_000) * MS;
    let habit = match mode {
        "spin" => Habit::Spin,
        "yield" => Habit::Yield,
        "nap" => Habit::Nap,
        "calls" => Habit::Calls,
        "touch" => Habit::Touch,
        "crash" => return memory::poke(NOWHERE, 0),
        "mumbles" => return mumble(from),
        other => {
            let nuisance = nuisance::named(other);
            return check!(
                nuisance.is_some_and(|disturb| rest_of(disturb, from, until)),
                "a mode {other}"
            );
        }
    };
    trap::install();
    if let Some(other) = number("offers") {
        nuisance::offer(other);
    }
    let pages = memory::kernel_pages(PAGES, KERNEL_DATA);
    let entry = memory::leaf(pages).value;
    let (run, sleep) = (number("run").unwrap_or(0), number("sleep").unwrap_or(1));

    let (mut before, virtual_before) = sleep_until(from);
    let (mut pieces, mut least, mut awake, mut longest) = (0, 0, 0, 0);
    loop {
        for round in 0..ROUNDS {
            core::hint::black_box(round);
        }
        let (after, _) = now_ns();
        if after >= until {
            break;
        }
        let taken = after - before;
        // The first piece is shorter: nothing of an earlier round comes before it.
        least = if pieces < 2 { taken } else { least.min(taken) };
        longest = taken.max(longest);
        before = after;
        pieces += 1;
        awake += 1;
        match habit {
            Habit::Spin => continue,
            Habit::Nap if awake * least < run => continue,
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
        (before, _) = now_ns();
    }
    report(pieces * least, virtual_before, longest);
}

fn report(worked: u64, virtual_before: u64, longest: u64) {
    let (_, virtual_after) = now_ns();
    println!(
        "worked {worked} ns, virtual {} ns, longest {longest} ns",
        virtual_after - virtual_before
    );
}

/// Leaves a line unfinished until a system time.
fn mumble(until: u64) {
    let mut console = Console::new();
    // Writing to the console cannot fail.
    let _ = console.write_str("one more word, and ");
    console.flush();
    sleep_until(until);
}

/// Disturbs others in the span.
fn rest_of(disturb: fn(u64), from: u64, until: u64) -> bool {
    trap::install();
    let (_, virtual_before) = sleep_until(from);
    disturb(until);
    report(0, virtual_before, 0);
    true
}

/// An event may end the sleep early. Returns the time.
fn sleep_until(from: u64) -> (u64, u64) {
    check!(now_ns().0 < from, "at {} it is ready to work", now_ns().0);
    loop {
        let (now, ran) = now_ns();
        if now >= from {
            return (now, ran);
        }
        sleep_for(from - now);
    }
}

fn sleep_for(ns: u64) {
    let slept = call::block(ns, WAKE_EVENT);
    check!(slept.ok().is_ok(), "the sleep: {slept:x?}");
}
