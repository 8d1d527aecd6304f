//! Random code, from fixed seeds.
use abi::layout::{MACHINE_TO_PFN, SHARED_INFO, SWITCHER_RO, SWITCHER_RW, SWITCHER_TEXT, TIME_PAGE};
use core::sync::atomic::{AtomicU64, Ordering};
use guests::command_line;
use guests::runtime::frame::{Frame, TF};
use guests::runtime::memory;
use guests::runtime::trap::Hooked;
use guests::runtime::{code, start_info, tcg_null_ss, trap};

use super::Run;

pub(crate) const CASES: &[(&str, Run)] = &[
    ("random-code-in-ring-1", code_in_ring_1),
    ("random-code-in-ring-3", code_in_ring_3),
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
/// interrupts off. And prefixes of vector instructions, for its translator ends QEMU at some that it does not know.
fn fools_tcg(bytes: &[u8]) -> bool {
    let loads_ss = |pair: &[u8]| (pair[0] == 0x8e && pair[1] & 0x38 == 0x10) || pair == [0x0f, 0xb2];
    bytes.windows(2).any(loads_ss) || bytes.iter().any(|byte| matches!(byte, 0xcf | 0xc4 | 0xc5))
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
    // Another seed on the command line makes another run of the same length.
    let line = command_line::text(&start_info().command_line);
    let seed = command_line::value(line, "seed").and_then(|text| text.parse::<u32>().ok());
    let mut dice = Dice::new(run + 1000 * seed.unwrap_or(0));
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
