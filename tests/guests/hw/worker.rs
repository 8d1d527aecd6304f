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

use abi::layout::PAGE_SIZE;
use abi::sched::WAKE_EVENT;
use guests::runtime::memory::{self, KERNEL_DATA};
use guests::runtime::time::now_ns;
use guests::runtime::{call, start_info, trap};
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

    let (now, _) = now_ns();
    check!(now < from, "at {now} it is ready to work");
    sleep_for(from - now);

    let (mut before, virtual_before) = now_ns();
    check!(before >= from, "it has slept");
    let (mut pieces, mut least, mut awake) = (0, 0, 0);
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
    let (_, virtual_after) = now_ns();
    println!(
        "worked {} ns, virtual {} ns",
        pieces * least,
        virtual_after - virtual_before
    );
}

/// No event port is bound and no upcall registered, so nothing else ends this.
fn sleep_for(ns: u64) {
    let slept = call::block(ns, WAKE_EVENT);
    check!(slept.ok().is_ok(), "the sleep: {slept:x?}");
}
