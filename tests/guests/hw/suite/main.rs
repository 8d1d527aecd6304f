//! All cases of [`guests::catalogue`] in one kernel: the command line and the restart count pick one.
#![no_std]
#![no_main]
#![allow(
    clippy::wildcard_imports,
    reason = "a case file speaks the runtime's whole vocabulary"
)]

use guests::catalogue::{self, Case};
use guests::runtime::{UNKNOWN_CASE, end, start_info, trap};
use guests::{command_line, println, program};

mod attacks;
mod backtraces;
mod calls;
mod console;
mod descriptors;
mod exits;
mod frames;
mod handlers;
mod nonsense;
mod paging;
mod peers;
mod ports;
mod privileged;
mod raise;
mod registration;
mod returns;
mod segments;
mod stacks;
mod switcher;
mod timers;
mod upcall_kills;
mod upcalls;
mod windows;

program!(main);

/// A case's code; the number is its run.
type Run = fn(u32);

const CODE: &[&[(&str, Run)]] = &[
    handlers::CASES,
    segments::CASES,
    stacks::CASES,
    exits::CASES,
    registration::CASES,
    descriptors::CASES,
    calls::CASES,
    paging::CASES,
    upcalls::CASES,
    upcall_kills::CASES,
    ports::CASES,
    timers::CASES,
    windows::CASES,
    peers::CASES,
    privileged::CASES,
    returns::CASES,
    frames::CASES,
    switcher::CASES,
    console::CASES,
    attacks::CASES,
    backtraces::CASES,
    nonsense::CASES,
];

fn main() {
    let line = command_line::text(&start_info().command_line);
    let Some((case, run)) = picked(line, start_info().restart_count) else {
        println!("no such case: {line}");
        end(UNKNOWN_CASE)
    };
    let Some(code) = code_of(case) else {
        println!("{}: no code", case.name);
        end(UNKNOWN_CASE)
    };
    if run == 0 {
        println!("{}: {}", case.name, case.story);
    }
    trap::install();
    code(run);
    println!("{} run {run}: passed", case.name);
}

fn picked(line: &str, incarnation: u32) -> Option<(&'static Case, u32)> {
    if let Some(name) = command_line::value(line, "group") {
        return catalogue::pick(catalogue::group(name)?.cases.iter(), incarnation);
    }
    let names = command_line::value(line, "cases")?;
    catalogue::pick(names.split(',').filter_map(catalogue::case), incarnation)
}

fn code_of(case: &Case) -> Option<Run> {
    CODE.iter()
        .copied()
        .flatten()
        .find(|(name, _)| *name == case.name)
        .map(|(_, run)| *run)
}
