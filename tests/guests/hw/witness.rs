//! The guest that must not notice what happens to the others.
//!
//! It waits, looks whether its memory is what it wrote, and prints a heartbeat now and then; it never ends.
#![no_std]
#![no_main]

use guests::runtime::memory::{self, KERNEL_DATA};
use guests::runtime::{call, trap};
use guests::{check, check_eq, command_line, println, program};

program!(main);

const PAGES: u64 = 8;
const WORDS: u64 = PAGES * 512;
const WAIT_NS: u64 = 20_000_000;
/// Waits between two lines.
const QUIET: u64 = 10;

fn main() {
    trap::install();
    let line = command_line::text(&guests::runtime::start_info().command_line);
    let quiet = command_line::value(line, "quiet")
        .and_then(|text| text.parse().ok())
        .unwrap_or(QUIET);
    let memory = memory::kernel_pages(PAGES, KERNEL_DATA);
    for beat in 0.. {
        fill(memory, beat);
        for _ in 0..quiet.max(1) {
            let waited = call::block(WAIT_NS, 0);
            check!(waited.ok().is_ok(), "a wait: {waited:x?}");
            discard_keys();
            verify(memory, beat);
        }
        println!("beat {beat}");
    }
}

/// A key that waits ends every wait at once, so this guest reads what is typed to it.
fn discard_keys() {
    let buffer = [0_u8; 64];
    while call::console_read(buffer.len() as u64, buffer.as_ptr() as u64).is_ok_and(|count| count > 0) {}
}

fn word(beat: u64, n: u64) -> u64 {
    (beat << 32 | n).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn fill(memory: u64, beat: u64) {
    for n in 0..WORDS {
        memory::poke(memory + n * 8, word(beat, n));
    }
}

fn verify(memory: u64, beat: u64) {
    for n in 0..WORDS {
        check_eq!(
            memory::peek(memory + n * 8),
            word(beat, n),
            "word {n} of this domain's memory"
        );
    }
}
