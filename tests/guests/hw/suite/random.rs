//! Calls drawn by lot, from what makes sense and what does not. The sequence is fixed by the run's number.
use abi::event::EventChannelOp;
use abi::hypercall::Hypercall;
use abi::layout::{PAGE_SHIFT, PAGE_SIZE, SHARED_INFO, SLOT_BASE, SLOT_END, SWITCHER_RO, SWITCHER_RW};
use abi::mmu::{MmuUpdate, MmuextCommand, MmuextOp};
use abi::multicall::MulticallEntry;
use abi::trap::TrapInfo;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};
use guests::println;
use guests::runtime::frame::Frame;
use guests::runtime::memory::{self, A, D, KERNEL_DATA, NX, P, U, W};
use guests::runtime::trap::Hooked;
use guests::runtime::{call, end, start_info, tcg_null_ss, trap};

use super::Run;
use super::raise::{CODE_RING_1, DATA_RING_1, own_selector};

pub(crate) const CASES: &[(&str, Run)] = &[("random-calls", random)];

/// xorshift64: small, and the same everywhere.
struct Lot(u64);

impl Lot {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn of(&mut self, choices: &[u64]) -> u64 {
        choices[self.below(choices.len() as u64) as usize]
    }
}

const SWITCH: u64 = MmuextCommand::NewBaseptr.raw() as u64;
const ARGUMENTS: u64 = offset_of!(MulticallEntry, arguments) as u64;
const PAGES: usize = 12;
const TABLES: usize = 12;
const FRAMES: usize = PAGES + TABLES + 2;

/// What the calls are about.
struct World {
    lot: Lot,
    pages: [u64; PAGES],
    frames: [u64; FRAMES],
    /// Where structures for calls are put.
    buffer: u64,
    /// The end of a mapping.
    buffer_end: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let area = memory::kernel_pages(PAGES as u64, KERNEL_DATA);
        let pages = core::array::from_fn(|n| area + n as u64 * PAGE_SIZE);
        let mut frames = [memory::root_mfn(); FRAMES];
        for (frame, page) in frames.iter_mut().zip(pages) {
            *frame = memory::leaf(page).mfn();
        }
        for (n, frame) in frames[PAGES..PAGES + TABLES].iter_mut().enumerate() {
            *frame = memory::make_table(1 + n as u32 % 4);
        }
        frames[FRAMES - 1] = memory::mfn(memory::allocate());
        Self {
            lot: Lot(seed),
            pages,
            frames,
            buffer: memory::kernel_pages(1, KERNEL_DATA),
            buffer_end: memory::kernel_pages(1, KERNEL_DATA) + PAGE_SIZE,
        }
    }

    fn frame(&mut self) -> u64 {
        if self.lot.one_in(12) {
            return self
                .lot
                .of(&[0, 1, 0x100, 0x400, 0xfee00, 1 << 20, 1 << 40, u64::MAX]);
        }
        let frames = self.frames;
        self.lot.of(&frames)
    }

    fn entry(&mut self) -> u64 {
        if self.lot.one_in(8) {
            return self.lot.of(&[0, 2, u64::MAX, u64::MAX - 1]);
        }
        let flags = [P, P | W, P | W | NX, P | NX, P | U, P | W | U | A | D, W | U];
        let odd = [1 << 3, 1 << 4, 1 << 7, 1 << 8, 1 << 9, 1 << 52, 1 << 59, 1 << 62];
        let strange = if self.lot.one_in(6) { self.lot.of(&odd) } else { 0 };
        (self.frame() << PAGE_SHIFT) | self.lot.of(&flags) | strange
    }

    fn address(&mut self) -> u64 {
        let odd = [
            0,
            8,
            SLOT_BASE,
            SLOT_END - 8,
            SLOT_END,
            SWITCHER_RO,
            SWITCHER_RW + 0x100,
            SHARED_INFO,
            0x0000_7fff_ffff_fff8,
            0x0000_8000_0000_0000,
            u64::MAX - 7,
            self.buffer_end - 8,
        ];
        if self.lot.one_in(5) {
            return self.lot.of(&odd);
        }
        let pages = self.pages;
        let inside = self.lot.below(512) * 8;
        self.lot.of(&pages) + if self.lot.one_in(2) { inside } else { 0 }
    }

    fn entry_address(&mut self) -> u64 {
        let command = if self.lot.one_in(8) { self.lot.below(8) } else { 0 };
        ((self.frame() << PAGE_SHIFT) + self.lot.below(512) * 8) | command
    }

    fn word(&mut self) -> u64 {
        match self.lot.below(6) {
            0 => self.frame(),
            1 => self.entry(),
            2 => self.address(),
            3 => self.lot.below(40),
            4 => self.entry_address(),
            _ => self.lot.next(),
        }
    }

    fn put(&self, words: impl Iterator<Item = u64>) {
        for (n, word) in words.enumerate() {
            memory::poke(self.buffer + n as u64 * 8, word);
        }
    }

    /// A number and arguments of a call that does not end the guest, does not wait, and prints little.
    fn call(&mut self) -> (u64, [u64; 5]) {
        let number = if self.lot.one_in(20) {
            self.lot.next()
        } else {
            self.lot.below(40)
        };
        let mut arguments = [0; 5].map(|_: u64| self.word());
        if number == Hypercall::SchedOp.raw() {
            arguments[0] = 0;
        }
        if number == Hypercall::ConsoleIo.raw() {
            arguments[1] &= 15;
        }
        (number, arguments)
    }

    fn step(&mut self) {
        let buffer = self.buffer;
        match self.lot.below(16) {
            0..3 => {
                let (va, entry, flags) = (self.address() & !(PAGE_SIZE - 1), self.entry(), self.lot.below(4));
                let _ = call::update_va_mapping(va, entry, flags);
            }
            3..6 => {
                let count = 1 + self.lot.below(4);
                for n in 0..count {
                    let at = buffer + n * size_of::<MmuUpdate>() as u64;
                    memory::poke(at, self.entry_address());
                    memory::poke(at + 8, self.entry());
                }
                call::call(Hypercall::MmuUpdate, &[buffer, count]);
            }
            6..9 => {
                let count = 1 + self.lot.below(3);
                for n in 0..count {
                    let at = buffer + n * size_of::<MmuextOp>() as u64;
                    // A switch to an empty root would end the run.
                    let command = match self.lot.below(9) {
                        SWITCH if !self.lot.one_in(500) => 0,
                        command => command,
                    };
                    memory::poke(at, command);
                    memory::poke(at + 8, self.frame());
                    memory::poke(at + 16, if self.lot.one_in(4) { self.address() } else { 0 });
                }
                call::call(Hypercall::MmuextOp, &[buffer, count]);
            }
            9 => {
                let entries = 1 + self.lot.below(4);
                for n in 0..entries {
                    let at = buffer + n * size_of::<TrapInfo>() as u64;
                    let cs = self.lot.of(&[0x19, 0x19, 0x08, 0x21, 0x81, 0, 0x1a]);
                    memory::poke(at, self.lot.below(0x88) | self.lot.below(16) << 8 | cs << 16);
                    memory::poke(at + 8, self.address());
                }
                call::call(Hypercall::SetTrapTable, &[buffer, entries]);
                trap::install();
            }
            10 => {
                let bits = 1 << self.lot.below(64);
                let descriptor = self.lot.of(&[0, CODE_RING_1, DATA_RING_1]) ^ bits;
                let _ = call::update_descriptor(
                    u64::from(own_selector(self.lot.below(18) as u16) & !7),
                    descriptor,
                );
            }
            11 => {
                let frames = [self.frame(), self.frame(), self.frame()];
                self.put(frames.into_iter());
                call::call(
                    Hypercall::MemoryOp,
                    &[self.lot.below(6), buffer, self.lot.below(4)],
                );
            }
            12 => {
                let count = 1 + self.lot.below(4);
                for n in 0..count {
                    let (number, arguments) = self.call();
                    let at = buffer + n * size_of::<MulticallEntry>() as u64;
                    memory::poke(at, number);
                    for (word, argument) in arguments.into_iter().enumerate() {
                        memory::poke(at + ARGUMENTS + word as u64 * 8, argument);
                    }
                }
                call::call(Hypercall::Multicall, &[buffer, count]);
                trap::install();
            }
            13 => {
                let arguments = [self.lot.below(11), self.lot.below(5), self.lot.below(70)];
                call::call(Hypercall::EventChannelOp, &arguments);
                let _ = (
                    EventChannelOp::ALL,
                    call::call(Hypercall::EventChannelOp, &[6, self.lot.below(3)]),
                );
            }
            _ => {
                let (number, arguments) = self.call();
                call::raw(number, arguments);
                trap::install();
            }
        }
    }
}

static STEP: AtomicU64 = AtomicU64::new(0);

/// A guest that draws lots may take its own memory away: then this incarnation is over.
fn over(frame: &mut Frame) -> Hooked {
    println!(
        "over at step {}: vector {} at {:#x}, {:#x}",
        STEP.load(Ordering::Relaxed),
        frame.vector,
        frame.rip,
        frame.cr2
    );
    end(0)
}

fn random(run: u32) {
    let steps = if tcg_null_ss() { 3000 } else { 150 };
    let mut world =
        World::new(0x9e37_79b9_7f4a_7c15 ^ u64::from(run + 1) << 32 ^ u64::from(start_info().domain_id));
    trap::hook(Some(over));
    for step in 0..steps {
        STEP.store(step, Ordering::Relaxed);
        world.step();
    }
}
