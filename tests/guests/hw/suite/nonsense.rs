//! Random code and random calls, from fixed seeds.
use abi::hypercall::Hypercall;
use abi::layout::{
    MACHINE_TO_PFN, PAGE_SIZE, SHARED_INFO, SWITCHER_RO, SWITCHER_RW, SWITCHER_TEXT, TIME_PAGE,
};
use abi::mmu::MmuextCommand;
use abi::selector::KERNEL_CS;
use core::sync::atomic::{AtomicU64, Ordering};
use guests::runtime::frame::{Frame, TF};
use guests::runtime::memory::{self, Entry, KERNEL_DATA};
use guests::runtime::trap::{Hooked, attempt};
use guests::runtime::{call, code, start_info, tcg_null_ss, trap};

use super::Run;
use super::raise::{CODE_RING_1, CODE_RING_3, DATA_RING_1};

pub(crate) const CASES: &[(&str, Run)] = &[
    ("random-code-in-ring-1", code_in_ring_1),
    ("random-code-in-ring-3", code_in_ring_3),
    ("random-calls", calls),
];

/// Marsaglia's xorshift.
struct Dice(u64);

impl Dice {
    fn new(seed: u32) -> Self {
        Self(0x9e37_79b9_7f4a_7c15 ^ u64::from(seed) << 7)
    }

    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    fn pick(&mut self, from: &[u64]) -> u64 {
        from[self.below(from.len() as u64) as usize]
    }
}

/// A faithful emulator is a hundred times slower.
fn rounds(many: u64) -> u64 {
    if tcg_null_ss() { many } else { many / 20 }
}

/// What TCG takes for a promotion: `mov ss, r/m` and `lss` of a null selector; `iret`, which may enter virtual-8086 mode with
/// interrupts off.
fn fools_tcg(bytes: &[u8]) -> bool {
    let loads_ss = |pair: &[u8]| (pair[0] == 0x8e && pair[1] & 0x38 == 0x10) || pair == [0x0f, 0xb2];
    bytes.windows(2).any(loads_ss) || bytes.contains(&0xcf)
}

/// A step is a trap, and so many of them end what was begun: no random loop goes on for ever.
fn count_steps(frame: &mut Frame) -> Hooked {
    if frame.vector == 1 && STEPS.fetch_add(1, Ordering::Relaxed) < 60 {
        frame.rflags |= TF;
        return Hooked::Resume;
    }
    Hooked::Pass
}

static STEPS: AtomicU64 = AtomicU64::new(0);

const LENGTH: usize = 24;

fn random_code(run: u32, place: u64, make: impl Fn() -> Frame) {
    let mut dice = Dice::new(run);
    trap::hook(Some(count_steps));
    for _ in 0..rounds(4000) {
        let mut bytes = [0_u8; LENGTH + 2];
        for chunk in bytes.chunks_mut(8) {
            let word = dice.roll().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        // Prefixes and escapes that random bytes seldom begin with.
        let starts: [&[u8]; 8] = [
            &[],
            &[],
            &[0x0f],
            &[0x0f, 0x01],
            &[0x0f, 0xae],
            &[0x48, 0x0f],
            &[0xcd],
            &[0xf3, 0x0f],
        ];
        let start = starts[dice.below(8) as usize];
        bytes[..start.len()].copy_from_slice(start);
        bytes[LENGTH..].copy_from_slice(&code::UD2);
        if tcg_null_ss() && fools_tcg(&bytes) {
            continue;
        }
        memory::poke_bytes(memory::alias(place), &bytes);
        let mut frame = make();
        let pool = [
            0,
            1,
            8,
            0x21,
            place,
            frame.rsp - 64,
            SWITCHER_TEXT,
            SWITCHER_RO,
            SWITCHER_RW + 0x800,
            SHARED_INFO,
            TIME_PAGE,
            MACHINE_TO_PFN,
            1 << 47,
            u64::MAX,
            0x1b,
            0xc000_0080,
        ];
        for register in [
            &mut frame.rax,
            &mut frame.rcx,
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
            *register = dice.pick(&pool);
        }
        frame.rflags |= TF;
        STEPS.store(0, Ordering::Relaxed);
        let _ = trap::run(&frame);
    }
    trap::hook(None);
}

fn code_in_ring_1(run: u32) {
    let (place, stack) = (code::kernel(&[]), memory::stack(2));
    random_code(run, place, || Frame::ring1(place, stack - 256));
}

fn code_in_ring_3(run: u32) {
    let (place, stack) = (code::user(&[]), memory::user_stack());
    random_code(run, place, || Frame::ring3(place, stack - 256));
}

fn calls(run: u32) {
    // What a call did to the guest itself ends the case, and that is all.
    let _ = attempt(|| random_calls(run));
}

fn random_calls(run: u32) {
    let mut dice = Dice::new(0x1000 + run);
    let page = memory::kernel_pages(4, KERNEL_DATA);
    let tables = [1, 2, 3, 4].map(memory::make_table);
    let spare: [u64; 4] = [(); 4].map(|()| memory::mfn(memory::allocate()));
    let info = start_info();
    for _ in 0..rounds(20_000) {
        let own = memory::mfn(dice.below(info.nr_pages));
        let table = dice.pick(&tables);
        let index = dice.below(512);
        let entry = if dice.below(8) == 0 {
            Entry::of(
                memory::mfn(info.page_tables_pfn + dice.below(info.nr_page_tables)),
                index,
            )
            .machine
        } else {
            table << 12 | index << 3
        };
        let bits = dice.pick(&[
            0,
            1,
            3,
            5,
            7,
            0x21,
            0x63,
            0x80 | 3,
            8 | 1,
            1 << 63 | 3,
            1 << 63 | 7,
        ]);
        let named = match dice.below(8) {
            0 => own,
            1 | 2 => dice.pick(&spare),
            3..=5 => dice.pick(&tables),
            6 => dice.roll() >> 44,
            _ => dice.roll() >> 20,
        };
        let pool = [
            0,
            1,
            2,
            7,
            511,
            513,
            u64::MAX,
            page,
            page + PAGE_SIZE * 4 - 8,
            SWITCHER_RW,
            SHARED_INFO,
            1 << 47,
            own,
            named << 12 | bits,
            entry,
            page + dice.below(PAGE_SIZE),
            u64::from(KERNEL_CS),
            16 << 3 | dice.below(16) << 3,
            dice.pick(&[CODE_RING_1, CODE_RING_3, DATA_RING_1, 0]) ^ 1 << dice.below(64),
            dice.roll(),
        ];
        // Arguments in memory: requests, operations, entries, all the same words.
        for at in (page..page + 24 * 16).step_by(8) {
            memory::poke(at, dice.pick(&pool));
        }
        let number = dice.pick(&[
            0, 1, 1, 1, 3, 10, 12, 13, 14, 14, 15, 17, 18, 25, 26, 26, 26, 30, 32, 99,
        ]);
        let mut arguments = [(); 5].map(|()| dice.pick(&pool));
        match Hypercall::from_raw(number) {
            Some(Hypercall::MmuUpdate) => {
                for n in 0..8 {
                    memory::poke(page + 16 * n, entry ^ n << 3);
                    memory::poke(page + 16 * n + 8, named << 12 | bits);
                }
                arguments[0] = page;
                arguments[1] = 1 + dice.below(8);
            }
            Some(Hypercall::MmuextOp) => {
                let command = dice.pick(&[0, 1, 2, 3, 4, 4, 6]);
                memory::poke(page, command);
                memory::poke(page + 8, named);
                memory::poke(page + 16, 0);
                let root = u64::from(MmuextCommand::NewBaseptr.raw());
                debug_assert!(command != root);
                arguments[0] = page;
                arguments[1] = 1;
            }
            _ => {}
        }
        // The trap table stays: without it nobody could go on.
        if number != 0 || dice.below(4) != 0 {
            let _ = call::raw(number, arguments);
        }
    }
}
