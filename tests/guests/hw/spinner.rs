//! Guests that do not give way: `mode=loop` (the default) never makes a call between its rare lines, `mode=hlt` lets its
//! #GP handler return to the same `hlt` for ever, `mode=yield` yields without end, `mode=secret` keeps one value in
//! all its registers.
#![no_std]
#![no_main]

use abi::trap::vector;
use guests::runtime::frame::Frame;
use guests::runtime::trap::Hooked;
use guests::runtime::{call, code, memory, start_info, tcg_null_ss, trap};
use guests::{SECRET_MASK, SECRET_MASKED, command_line, println, program};

program!(main);

/// Yields between two lines: with other spinners about, each takes as long as their turns.
const YIELDS: u64 = 10;

fn main() {
    trap::install();
    let line = command_line::text(&start_info().command_line);
    let mode = command_line::value(line, "mode").unwrap_or("loop");
    println!("spinning, mode={mode}");
    // A faithful emulator is a hundred times slower.
    let rounds: u64 = if tcg_null_ss() { 50_000_000 } else { 1_000_000 };
    for turn in 0_u64.. {
        match mode {
            "hlt" => hlt_storm(rounds / 500),
            "yield" => (0..YIELDS).for_each(|_| {
                let _ = call::yield_now();
            }),
            "secret" => secret(rounds),
            _ => spin(rounds),
        }
        println!("still spinning {turn}");
    }
}

fn spin(rounds: u64) {
    for round in 0..rounds {
        core::hint::black_box(round);
    }
}

fn hlt_storm(rounds: u64) {
    use core::sync::atomic::{AtomicU64, Ordering};
    static LEFT: AtomicU64 = AtomicU64::new(0);
    fn again(frame: &mut Frame) -> Hooked {
        if frame.vector == u64::from(vector::GP) && LEFT.fetch_sub(1, Ordering::Relaxed) > 1 {
            return Hooked::Resume;
        }
        Hooked::Pass
    }
    static PLACE: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
    if PLACE[0].load(Ordering::Relaxed) == 0 {
        PLACE[0].store(code::kernel(&[0xf4]), Ordering::Relaxed);
        PLACE[1].store(memory::stack(2), Ordering::Relaxed);
    }
    LEFT.store(rounds, Ordering::Relaxed);
    trap::hook(Some(again));
    let frame = Frame::ring1(PLACE[0].load(Ordering::Relaxed), PLACE[1].load(Ordering::Relaxed));
    let _ = trap::run(&frame);
    trap::hook(None);
}

fn secret(rounds: u64) {
    use core::sync::atomic::{AtomicU64, Ordering};
    static PLACE: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
    if PLACE[0].load(Ordering::Relaxed) == 0 {
        // dec rcx; jnz
        PLACE[0].store(code::kernel(&[0x48, 0xff, 0xc9, 0x75, 0xfb]), Ordering::Relaxed);
        PLACE[1].store(memory::stack(2), Ordering::Relaxed);
    }
    let secret = core::hint::black_box(SECRET_MASKED) ^ core::hint::black_box(SECRET_MASK);
    let mut frame = Frame::ring1(PLACE[0].load(Ordering::Relaxed), PLACE[1].load(Ordering::Relaxed));
    for register in [
        &mut frame.rax,
        &mut frame.rdx,
        &mut frame.rbx,
        &mut frame.rbp,
        &mut frame.rsi,
        &mut frame.rdi,
        &mut frame.r8,
        &mut frame.r9,
        &mut frame.r10,
        &mut frame.r11,
        &mut frame.r12,
        &mut frame.r13,
        &mut frame.r14,
        &mut frame.r15,
    ] {
        *register = secret;
    }
    frame.rcx = rounds;
    let _ = trap::run(&frame);
}
