//! The counter-example: a guest kernel that pages itself, all but what the rule asks it to keep.
//!
//! Every page of its image but [`resident`], and a working area, goes to a compressed store in its own memory when room is
//! short; the frame is used for another page at once; a page fault brings a page back. It runs all the while, reads
//! everything back and finds the right checksums. What stays: the page-fault handler with the pager, their data,
//! and the stack.
#![no_std]
#![no_main]

use abi::trap::vector;
use guests::runtime::memory::{self, KERNEL_DATA};
use guests::runtime::{start_info, trap};
use guests::{check, check_eq, command_line, println, program};

mod resident;

program!(main);

/// Pages of the working area.
const WORK: usize = 96;
/// Frames for pages that are in; everything else is in the store.
const ROOM: usize = 24;
/// Visits where the command line says no other number.
const VISITS: u64 = 6_000;
const PAGE: u64 = abi::layout::PAGE_SIZE;

unsafe extern "C" {
    static image_start: u8;
    static image_end: u8;
    static resident_text_start: u8;
    static resident_text_end: u8;
    static resident_data_start: u8;
    static resident_data_end: u8;
}

/// Code in many pages: each function has one of its own.
macro_rules! pages_of_code {
    ($($name:ident $section:literal $number:literal;)+) => {
        $(
            #[unsafe(link_section = $section)]
            #[inline(never)]
            extern "C" fn $name(value: u64) -> u64 {
                core::hint::black_box(value).wrapping_mul($number).rotate_left($number % 64)
            }
        )+
        const CODE: &[(extern "C" fn(u64) -> u64, u64)] = &[$(($name, $number)),+];
    };
}
pages_of_code! {
    a ".page_of_text.a" 3; b ".page_of_text.b" 5; c ".page_of_text.c" 7; d ".page_of_text.d" 11;
    e ".page_of_text.e" 13; f ".page_of_text.f" 17; g ".page_of_text.g" 19; h ".page_of_text.h" 23;
}

/// Constants in pages of their own.
#[repr(align(4096))]
struct Constants([u64; 2048]);
static CONSTANTS: Constants = {
    let mut words = [0; 2048];
    let mut n = 0;
    while n < words.len() {
        words[n] = (n as u64 / 7).wrapping_mul(0x0101_0101_0101);
        n += 1;
    }
    Constants(words)
};

struct Sums([core::sync::atomic::AtomicU64; WORK]);
/// In the pageable data itself.
static SUMS: Sums = Sums([const { core::sync::atomic::AtomicU64::new(0) }; WORK]);

fn checksum(page: u64) -> u64 {
    (0..PAGE / 8).fold(0xcbf2_9ce4_8422_2325, |sum, word| {
        (sum ^ memory::peek(page + word * 8)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Fills a page with something that compresses well, badly, or not at all.
fn fill(page: u64, kind: u64, seed: u64) {
    let mut state = seed | 1;
    for word in 0..PAGE / 8 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let value = match kind % 4 {
            0 => seed,
            1 => (word / 9).wrapping_mul(seed),
            2 => state & 0xff00_ff00,
            _ => state ^ state >> 29,
        };
        memory::poke(page + word * 8, value);
    }
}

fn main() {
    trap::register(trap::bounced(vector::PF, resident::handler()));
    let line = command_line::text(&start_info().command_line);
    let visits = command_line::value(line, "visits")
        .and_then(|text| text.parse().ok())
        .unwrap_or(VISITS);
    let work = memory::kernel_pages(WORK as u64, KERNEL_DATA);
    for n in 0..WORK {
        let page = work + n as u64 * PAGE;
        fill(page, n as u64, n as u64 * 77 + 5);
        SUMS.0[n].store(checksum(page), core::sync::atomic::Ordering::Relaxed);
    }
    let arena_pages = 128;
    let arena = memory::kernel_pages(arena_pages, KERNEL_DATA);
    resident::set_arena(arena, arena_pages);

    let (start, end) = ((&raw const image_start) as u64, (&raw const image_end) as u64);
    let keep = [
        (
            (&raw const resident_text_start) as u64,
            (&raw const resident_text_end) as u64,
        ),
        (
            (&raw const resident_data_start) as u64,
            (&raw const resident_data_end) as u64,
        ),
    ];
    let kept = |page: u64| keep.iter().any(|(from, to)| page >= *from && page < *to);
    let mut image_pages = 0;
    for page in (start..end).step_by(PAGE as usize).filter(|page| !kept(*page)) {
        add(page);
        image_pages += 1;
    }
    for n in 0..WORK as u64 {
        add(work + n * PAGE);
    }
    println!("{image_pages} pages of this kernel's image and {WORK} more share {ROOM} frames");
    // From here on nothing but the resident pages and the stack is sure to be there.
    resident::begin(ROOM);
    run(work, visits);
    let counts = resident::counts();
    println!(
        "paged out {} paged in {} faults {} stored {} bytes of {}",
        counts.out, counts.into, counts.faults, counts.stored, counts.paged
    );
    check!(
        counts.out > visits / 2 && counts.into > visits / 2,
        "the pager had work"
    );
    check!(
        counts.image_in > 20,
        "pages of the image came and went: {}",
        counts.image_in
    );
}

fn add(page: u64) {
    let entry = memory::leaf(page);
    resident::add(
        page,
        entry.value,
        memory::physmap(memory::pfn(entry.mfn())),
        page >> 31 == u64::MAX >> 31,
    );
}

fn run(work: u64, visits: u64) {
    use core::sync::atomic::Ordering::Relaxed;
    let mut state = u64::from(start_info().domain_id) + 88_172_645_463_325_252;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for visit in 0..visits {
        let n = next() as usize % WORK;
        let page = work + n as u64 * PAGE;
        check_eq!(
            checksum(page),
            SUMS.0[n].load(Relaxed),
            "checksum of page {n} at visit {visit}"
        );
        if next() % 3 == 0 {
            fill(page, next(), next());
            SUMS.0[n].store(checksum(page), Relaxed);
        }
        let (function, number) = CODE[next() as usize % CODE.len()];
        let value = next();
        check_eq!(
            function(value),
            value.wrapping_mul(number).rotate_left(number as u32 % 64),
            "code at visit {visit}"
        );
        let word = next() as usize % CONSTANTS.0.len();
        check_eq!(
            core::hint::black_box(&CONSTANTS.0)[word],
            (word as u64 / 7).wrapping_mul(0x0101_0101_0101),
            "constant {word} at visit {visit}"
        );
        if visit % 1500 == 0 {
            println!("visit {visit}: all as it was");
        }
    }
    for n in 0..WORK {
        check_eq!(
            checksum(work + n as u64 * PAGE),
            SUMS.0[n].load(Relaxed),
            "checksum of page {n} at the end"
        );
    }
}
