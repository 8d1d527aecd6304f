//! What ring 1 can do to the switcher, which is mapped around it.
use abi::layout::{MACHINE_TO_PFN, PAGE_SIZE, SHARED_INFO, SWITCHER_RO, SWITCHER_RW, SWITCHER_TEXT};
use abi::layout::{SWITCHER_TEXT_PAGES, TIME_PAGE};
use abi::selector::{HYPERVISOR_CS, HYPERVISOR_DS};
use abi::trap::vector;
use core::hint::black_box;
use guests::catalogue::{JUMPS, JUMPS_EACH};
use guests::runtime::frame::{FLAGS, Frame};
use guests::runtime::memory;
use guests::runtime::trap::{SYSCALL_VECTOR, attempt};
use guests::runtime::{call, code, trap};
use guests::{SECRET_MASK, SECRET_MASKED, check, check_eq};

use super::Run;

pub(crate) const CASES: &[(&str, Run)] = &[
    ("slot-is-read-only", read_only),
    ("junk-in-the-switchers-data", junk),
    ("secrets-of-others", secrets),
    ("jumps-into-the-switcher", jumps),
];

/// Whether ring 1 can read there.
fn readable(va: u64) -> bool {
    attempt(|| {
        let _ = memory::peek(va);
    })
    .is_ok()
}

fn read_only(_: u32) {
    let text = (0..SWITCHER_TEXT_PAGES).map(|n| SWITCHER_TEXT + n * PAGE_SIZE);
    let data = (SWITCHER_RO..SWITCHER_RW).step_by(PAGE_SIZE as usize);
    let rest = [TIME_PAGE, MACHINE_TO_PFN, MACHINE_TO_PFN + PAGE_SIZE];
    let user_load = code::user(&[0x48, 0x8b, 0x03]);
    let user_stack = memory::user_stack();
    for page in text.chain(data).chain(rest) {
        for at in [0, 8, 0x80, 0x7f8, 0x800, 0xff8] {
            let va = page + at;
            if !readable(va) {
                check!(
                    page != SWITCHER_TEXT && page != SWITCHER_RO,
                    "the first pages are there"
                );
                continue;
            }
            let value = memory::peek(va);
            let stored = attempt(|| memory::poke(va, value));
            check!(
                stored.is_err_and(|f| f.vector == 14 && f.error == 3 && f.cr2 == va),
                "a store to {va:#x} faults: {stored:x?}"
            );
            let mut frame = Frame::ring3(user_load, user_stack);
            frame.rbx = va;
            let found = trap::run(&frame);
            check_eq!(
                (found.vector, found.error, found.cr2),
                (14, 5, va),
                "a load in ring 3"
            );
        }
    }
}

/// Everything that enters and leaves ring 0 still works.
fn all_ways_work() {
    check_eq!(
        code_run(Ring::One, &code::UD2),
        u64::from(vector::UD),
        "a trap from ring 1"
    );
    check_eq!(
        code_run(Ring::Three, &code::UD2),
        u64::from(vector::UD),
        "a trap from ring 3"
    );
    check_eq!(code_run(Ring::Three, &[0x0f, 0x05]), SYSCALL_VECTOR, "a syscall");
    check!(call::yield_now().is_ok(), "a hypercall");
    let blocked = call::block(300_000, 0);
    check!(blocked.ok().is_ok(), "a wait: {blocked:x?}");
}

#[derive(Clone, Copy, PartialEq)]
enum Ring {
    One,
    Three,
}

fn code_run(ring: Ring, bytes: &[u8]) -> u64 {
    use core::sync::atomic::{AtomicU64, Ordering};
    // One page and one stack for each ring, made at the first call.
    static PAGES: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];
    if PAGES[0].load(Ordering::Relaxed) == 0 {
        for (page, address) in PAGES.iter().zip([
            code::kernel(&[]),
            memory::stack(2),
            code::user(&[]),
            memory::user_stack(),
        ]) {
            page.store(address, Ordering::Relaxed);
        }
    }
    let page = |n: usize| PAGES[n].load(Ordering::Relaxed);
    let frame = match ring {
        Ring::One => Frame::ring1(code::place(page(0), bytes), page(1)),
        Ring::Three => Frame::ring3(code::place(page(2), bytes), page(3)),
    };
    trap::run(&frame).vector
}

fn junk(_: u32) {
    let done = call::register_syscall(trap::syscall_entry_address());
    check!(done.is_ok(), "a syscall entry: {done:?}");
    all_ways_work();
    let target = code::kernel(&[0x0f, 0x20, 0xd8]);
    let stack = memory::stack(1);
    // Ring-0 frames: rip, cs, rflags, rsp, ss; with and without an error code before them.
    let ring_0 = [
        target,
        u64::from(HYPERVISOR_CS),
        FLAGS,
        stack,
        u64::from(HYPERVISOR_DS),
    ];
    let in_text = [SWITCHER_TEXT, u64::from(HYPERVISOR_CS), 2, SWITCHER_RW + 0x800, 0];
    let plain: [[u64; 1]; 6] = [
        [0],
        [u64::MAX],
        [0x0000_8000_0000_0000],
        [SWITCHER_RO],
        [SWITCHER_RW],
        [0x5555_5555_5555_5555],
    ];
    let patterns = plain
        .iter()
        .map(|words| words.as_slice())
        .chain([ring_0.as_slice(), in_text.as_slice()]);
    for pattern in patterns {
        for shift in 0..pattern.len() {
            for page in [SWITCHER_RW, SHARED_INFO]
                .into_iter()
                .filter(|page| readable(*page))
            {
                for (n, word) in (page..page + PAGE_SIZE).step_by(8).enumerate() {
                    memory::poke(word, pattern[(n + shift) % pattern.len()]);
                }
            }
            all_ways_work();
        }
    }
}

fn secrets(_: u32) {
    let scan = |page: u64| {
        for word in (page..page + PAGE_SIZE).step_by(8) {
            let value = memory::peek(word);
            check!(
                value ^ black_box(SECRET_MASK) != black_box(SECRET_MASKED),
                "another domain's value is at {word:#x}"
            );
        }
    };
    for round in 0..100 {
        let data = (SWITCHER_RO..=SHARED_INFO).step_by(PAGE_SIZE as usize);
        data.filter(|page| readable(*page)).for_each(scan);
        if round % 2 == 0 {
            call::block(2_000_000, 0);
        } else {
            let _ = call::yield_now();
        }
    }
}

fn jumps(run: u32) {
    let stack = memory::stack(2);
    // mov rax, cr3
    let privileged = Frame::ring1(code::kernel(&[0x0f, 0x20, 0xd8]), memory::stack(1));
    let first = u64::from(run * JUMPS_EACH);
    let last = if run == JUMPS - 1 {
        PAGE_SIZE
    } else {
        first + u64::from(JUMPS_EACH)
    };
    for offset in first..last {
        let rip = SWITCHER_TEXT + offset;
        for seed in [0, 0x5eed] {
            let mut frame = Frame::ring1(rip, stack - 512);
            if seed != 0 {
                frame = frame.with_pattern(seed);
            }
            // The bounce's own code in ring 1 is a way to call one's own handler with a frame of one's own making:
            // what the frame says means nothing. What the CPU says does.
            let _ = trap::run(&frame);
            let found = trap::run(&privileged);
            check_eq!(
                (found.vector, found.rip),
                (u64::from(vector::GP), privileged.rip),
                "a privileged instruction after a jump to {rip:#x}"
            );
        }
    }
}
