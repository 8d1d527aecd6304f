//! What a handler finds.
#![allow(
    unsafe_code,
    reason = "vector registers are saved and loaded by instructions of their own"
)]
use abi::layout::PAGE_SIZE;
use abi::selector::KERNEL_CS;
use abi::trap::{TrapInfo, vector};
use core::sync::atomic::{AtomicU64, Ordering};
use guests::runtime::code::{self, Slot};
use guests::runtime::frame::{AC, BOUNCED_AT, FLAGS, Frame, IF, NT, TF};
use guests::runtime::memory::{self, KERNEL_CODE, KERNEL_DATA, NX, USER_DATA};
use guests::runtime::trap::{self, Hooked, bounced, direct, register};
use guests::runtime::{call, start_info, tcg_null_ss};
use guests::{check, check_eq, println};

use super::Run;
use super::raise::{BY_ITSELF, instructions, int, own_selector, works};

pub(crate) const CASES: &[(&str, Run)] = &[
    ("bounced-frames-from-ring-1", from_ring_1),
    ("bounced-frames-from-ring-3", from_ring_3),
    ("direct-frames", direct_frames),
    ("error-codes", error_codes),
    ("page-fault-address", page_fault_address),
    ("entry-flags", entry_flags),
    ("restarted-faults", restarted),
    ("null-call", null_call),
    ("handler-writes-to-itself", writes_to_itself),
    ("handler-made-executable-without-flush", without_flush),
    ("other-handler-straddles", straddles),
    ("stack-on-user-page", on_user_page),
    ("vector-state", vector_state),
    ("extended-vector-state", extended_state),
    ("registers-survive-preemption", preemption),
];

const DF: u64 = 1 << 10;
/// Carry, parity, adjust, zero, sign, direction, overflow.
const ARITHMETIC: u64 = 0xcd5;

fn same_registers(found: &Frame, before: &Frame, what: &str) {
    check_eq!(found.general(), before.general(), "{what}: registers");
    check_eq!(
        (found.rip, found.cs, found.rsp, found.ss),
        (before.rip, before.cs, before.rsp, before.ss),
        "{what}: where"
    );
    check_eq!(found.rflags & 0xffff, before.rflags & 0xffff, "{what}: flags");
}

fn from_ring_1(_: u32) {
    const FILL: u64 = 0x0123_4567_89ab_cdef;
    let rip = code::kernel(&code::UD2);
    let stack = memory::stack(2);
    for offset in 0..40 {
        let rsp = stack - 512 - offset;
        for word in (0..2 * PAGE_SIZE).step_by(8) {
            memory::poke(stack - 2 * PAGE_SIZE + word, FILL);
        }
        let mut before = Frame::ring1(rip, rsp).with_pattern(offset + 1);
        before.rflags |= ARITHMETIC & !TF;
        let found = trap::run(&before);
        check_eq!(found.vector, u64::from(vector::UD), "the trap");
        same_registers(&found, &before, "ring 1");
        check_eq!(found.error, 0, "the error slot");
        check_eq!(
            found.at + BOUNCED_AT as u64,
            trap::bounced_from_ring1_at(rsp),
            "the frame for rsp {rsp:#x}"
        );
        let zone = (rsp - 128 + 7) & !7;
        let kept = (zone..stack - 8).step_by(8).all(|at| memory::peek(at) == FILL);
        check!(kept, "the red zone of rsp {rsp:#x} is as it was");
    }
}

fn from_ring_3(_: u32) {
    let rip = code::user(&code::UD2);
    let user_stack = memory::user_stack();
    let stack = memory::stack(2);
    for step in 0..16 {
        let rsp1 = stack - 16 * step;
        let switched = call::stack_switch(rsp1);
        check!(switched.is_ok(), "stack_switch: {switched:?}");
        let mut before = Frame::ring3(rip, user_stack - step).with_pattern(step + 99);
        before.rflags |= ARITHMETIC & !TF;
        let found = trap::run(&before);
        check_eq!(
            (found.vector, found.error),
            (u64::from(vector::UD), 0),
            "the trap"
        );
        same_registers(&found, &before, "ring 3");
        check_eq!(
            found.at + 22 * 8,
            rsp1,
            "the frame ends at the stack of stack_switch"
        );
    }
}

static NESTED_SS: AtomicU64 = AtomicU64::new(u64::MAX);

fn nesting(frame: &mut Frame) -> Hooked {
    if frame.vector == u64::from(vector::UD) && frame.ring() == 1 {
        NESTED_SS.store(frame.ss, Ordering::Relaxed);
        frame.rip += 2;
        return Hooked::Resume;
    }
    if frame.vector == 0x80 {
        // SAFETY: the hook skips it.
        unsafe { core::arch::asm!("ud2") };
    }
    Hooked::Pass
}

fn direct_frames(_: u32) {
    register(direct(0x80, code::handler(0x80, Slot::Missing)));
    let stack = memory::stack(2);
    for offset in 0..24 {
        let mut before =
            Frame::ring1(code::kernel(&int(0x80)), stack - 256 - offset).with_pattern(offset + 7);
        before.rflags |= ARITHMETIC & !TF;
        let found = trap::run(&before);
        check_eq!(found.vector, 0x80, "the trap");
        same_registers(
            &found,
            &Frame {
                rip: before.rip + 2,
                ..before
            },
            "direct, ring 1",
        );
        check_eq!(
            found.at + 22 * 8,
            before.rsp & !15,
            "the frame is right below rsp"
        );
    }
    let switched = call::stack_switch(stack);
    check!(switched.is_ok(), "stack_switch: {switched:?}");
    let mut before = Frame::ring3(code::user(&int(0x80)), memory::user_stack()).with_pattern(5);
    before.rflags |= ARITHMETIC & !TF;
    for hook in [None, Some(nesting as trap::Hook)] {
        trap::hook(hook);
        let found = trap::run(&before);
        check_eq!(found.vector, 0x80, "the trap");
        same_registers(
            &found,
            &Frame {
                rip: before.rip + 2,
                ..before
            },
            "direct, ring 3",
        );
        check_eq!(
            found.at + 22 * 8,
            stack,
            "the frame ends at the stack of stack_switch"
        );
    }
    check_eq!(
        NESTED_SS.load(Ordering::Relaxed),
        1,
        "a direct trap from ring 3 leaves a null SS with RPL 1"
    );
    trap::hook(None);
    for vector in [vector::UD, vector::DE, vector::BP] {
        register(direct(vector, code::handler(vector, Slot::Missing)));
        check_eq!(
            code::run_in_ring3(&instructions(vector)).vector,
            u64::from(vector),
            "direct, from ring 3"
        );
        check_eq!(
            code::run_in_ring1(&instructions(vector)).vector,
            u64::from(vector),
            "direct, from ring 1"
        );
    }
}

fn error_codes(_: u32) {
    let absent_data = u64::from(own_selector(15) & !3);
    for vector in BY_ITSELF {
        let bytes = instructions(vector);
        let rip = code::kernel(&bytes);
        let found = trap::run(&Frame::ring1(rip, memory::stack(1)));
        let (error, at) = match vector {
            vector::DE => (0, 2),
            vector::DB => (0, 10),
            vector::BP => (0, 1),
            vector::OF => (0, 2),
            vector::NP | vector::SS => (absent_data, 4),
            vector::MF => (0, 16),
            _ => (0, 0),
        };
        check_eq!(
            (found.vector, found.error, found.rip - rip),
            (u64::from(vector), error, at),
            "vector, error code and place of vector {vector}"
        );
    }
    for vector in [
        vector::DE,
        vector::DB,
        vector::BP,
        vector::OF,
        vector::UD,
        vector::GP,
    ] {
        let found = code::run_in_ring3(&instructions(vector));
        check_eq!(
            (found.vector, found.error, found.ring()),
            (u64::from(vector), 0, 3),
            "vector {vector} from ring 3"
        );
    }
}

fn page_fault_address(_: u32) {
    // mov rax, [rbx]; then mov [rbx], rax
    let (load, store) = ([0x48, 0x8b, 0x03], [0x48, 0x89, 0x03]);
    let hole = memory::kernel_area(1) + 0x123;
    let user_hole = memory::user_area(1) + 0x456;
    for (bytes, access) in [(load, 0), (store, 2)] {
        let mut frame = Frame::ring1(code::kernel(&bytes), memory::stack(1));
        frame.rbx = hole;
        let found = trap::run(&frame);
        check_eq!(
            (found.vector, found.error, found.cr2),
            (14, access, hole),
            "ring 1"
        );
        let mut frame = Frame::ring3(code::user(&bytes), memory::user_stack());
        frame.rbx = user_hole;
        let found = trap::run(&frame);
        check_eq!(
            (found.vector, found.error, found.cr2),
            (14, access | 4, user_hole),
            "ring 3"
        );
    }
    let found = trap::run(&Frame::ring1(hole, memory::stack(1)));
    check_eq!(
        (found.vector, found.error, found.cr2, found.rip),
        (14, 0x10, hole, hole),
        "a fetch in ring 1"
    );
    let found = trap::run(&Frame::ring3(user_hole, memory::user_stack()));
    check_eq!(
        (found.vector, found.error, found.cr2, found.rip),
        (14, 0x14, user_hole, user_hole),
        "in ring 3"
    );
    // A user that jumps to a handler's address gets an ordinary page fault.
    let handler = trap::bounced_handler(vector::UD);
    let found = trap::run(&Frame::ring3(handler, memory::user_stack()));
    check_eq!(
        (found.vector, found.error, found.cr2),
        (14, 0x15, handler),
        "a handler's address in ring 3"
    );
}

fn entry_flags(_: u32) {
    // The #GP handler says its flags and stops: pushfq; pop rax; ud2
    register(bounced(vector::GP, code::kernel(&[0x9c, 0x58, 0x0f, 0x0b])));
    let hlt = instructions(vector::GP);
    for mut frame in [
        Frame::ring1(code::kernel(&hlt), memory::stack(1)),
        Frame::ring3(code::user(&hlt), memory::user_stack()),
    ] {
        frame.rflags = FLAGS | TF | NT | AC | DF | ARITHMETIC;
        let found = trap::run(&frame);
        check_eq!(
            (found.vector, found.ring()),
            (u64::from(vector::UD), 1),
            "the handler ran to its end"
        );
        check_eq!(
            found.rax & (IF | TF | NT | AC | DF | 0x3000),
            IF,
            "flags at the handler's entry"
        );
    }
}

static TARGET: AtomicU64 = AtomicU64::new(0);
static MAPPING: AtomicU64 = AtomicU64::new(0);

fn mend(frame: &mut Frame) -> Hooked {
    let target = TARGET.load(Ordering::Relaxed);
    if frame.vector != u64::from(vector::PF) || frame.cr2 != target {
        return Hooked::Pass;
    }
    memory::set(target, MAPPING.load(Ordering::Relaxed));
    Hooked::Resume
}

fn restarted(_: u32) {
    trap::hook(Some(mend));
    let load = [0x48, 0x8b, 0x03];
    let (kernel, user) = (
        memory::kernel_pages(1, KERNEL_DATA),
        memory::user_pages(1, USER_DATA),
    );
    let frames = [
        (kernel, Frame::ring1(code::kernel(&load), memory::stack(2))),
        (user, Frame::ring3(code::user(&load), memory::user_stack())),
    ];
    for round in 0..100 {
        for (target, frame) in frames {
            memory::poke(target, round);
            TARGET.store(target, Ordering::Relaxed);
            MAPPING.store(memory::unmap(target), Ordering::Relaxed);
            let before = trap::count(vector::PF);
            let mut frame = frame;
            frame.rbx = target;
            let found = trap::run(&frame);
            check_eq!(
                (found.vector, found.rax),
                (u64::from(vector::UD), round),
                "the load went through"
            );
            check_eq!(trap::count(vector::PF) - before, 1, "after one fault");
        }
    }
}

fn null_call(_: u32) {
    for vector in (0..32).filter(|v| abi::trap::is_guest_exception(*v) && *v != vector::PF) {
        register(TrapInfo {
            vector,
            cs: KERNEL_CS,
            ..TrapInfo::default()
        });
    }
    for _ in 0..3 {
        let found = trap::run(&Frame::ring1(0, memory::stack(1)));
        check_eq!(
            (found.vector, found.error, found.rip, found.cr2),
            (14, 0x10, 0, 0),
            "a jump to address 0"
        );
    }
}

fn writes_to_itself(_: u32) {
    // mov [rip - 6], al: its own first byte
    let handler = code::kernel(&[0x88, 0x05, 0xfa, 0xff, 0xff, 0xff]);
    register(bounced(vector::UD, handler));
    let found = code::run_in_ring1(&code::UD2);
    check_eq!(
        (found.vector, found.error, found.rip, found.cr2),
        (u64::from(vector::PF), 3, handler, handler),
        "a data fault at a handler's own address"
    );
}

fn without_flush(_: u32) {
    let page = memory::kernel_pages(1, KERNEL_CODE);
    code::place(page, code::Handler::new(vector::UD, Slot::There).bytes());
    register(bounced(vector::UD, page));
    works(&code::UD2, vector::UD);
    let value = memory::leaf(page).value;
    for _ in 0..10 {
        memory::set(page, value | NX);
        // The translation is in the TLB, no-execute.
        let _ = memory::peek(page);
        let done = call::update_va_mapping(page, value, abi::mmu::UVMF_NONE);
        check!(done.is_ok(), "executable again: {done:?}");
        works(&code::UD2, vector::UD);
    }
}

fn straddles(_: u32) {
    let page = code::kernel(&[]);
    let at = page + PAGE_SIZE - 4;
    memory::poke_bytes(memory::alias(at), &[0x48, 0xb8, 1, 2]);
    register(bounced(vector::UD, at));
    let found = code::run_in_ring1(&code::UD2);
    check_eq!(
        (found.vector, found.rip, found.cr2),
        (u64::from(vector::PF), at, page + PAGE_SIZE),
        "the second half of the handler's first instruction"
    );
}

fn on_user_page(_: u32) {
    let page = memory::user_pages(1, USER_DATA);
    for flags in [FLAGS, FLAGS | AC] {
        let mut frame = Frame::ring1(code::kernel(&code::UD2), page + PAGE_SIZE - 64);
        frame.rflags = flags;
        let found = trap::run(&frame);
        check_eq!(
            (found.vector, found.rsp),
            (u64::from(vector::UD), frame.rsp),
            "a kernel stack on a user page"
        );
    }
    let switched = call::stack_switch(page + PAGE_SIZE);
    check!(switched.is_ok(), "stack_switch: {switched:?}");
    let found = code::run_in_ring3(&code::UD2);
    check_eq!(
        (found.vector, found.at + 22 * 8),
        (u64::from(vector::UD), page + PAGE_SIZE),
        "the same from ring 3"
    );
}

/// XCR0 and XSTATE_BV: x87, SSE, AVX.
const STATES: u32 = 7;
const AVX: u64 = 4;
/// Where the upper halves of the YMM registers lie in the standard format, and where they end.
const YMM_HIGH: core::ops::Range<u64> = 576..832;

fn enabled_states() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the caller has seen the flag that says so.
    unsafe {
        core::arch::asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack))
    };
    u64::from(low) | u64::from(high) << 32
}

fn save_extended(at: u64) {
    // SAFETY: `at` is a zeroed page of this guest; these three components take less.
    unsafe { core::arch::asm!("xsave64 [{}]", in(reg) at, in("eax") STATES, in("edx") 0, options(nostack)) };
}

fn load_extended(at: u64) {
    // SAFETY: `at` holds an image that xsave64 wrote, with other register values; Rust uses no vector registers.
    unsafe { core::arch::asm!("xrstor64 [{}]", in(reg) at, in("eax") STATES, in("edx") 0, options(nostack)) };
}

fn extended_state(_: u32) {
    const STATE_BV: u64 = 512;
    if start_info().flags & abi::start_info::flags::XSAVE == 0 || enabled_states() & AVX == 0 {
        println!("this CPU has no AVX state");
        return;
    }
    let (start, other) = (
        memory::kernel_pages(1, KERNEL_DATA),
        memory::kernel_pages(1, KERNEL_DATA),
    );
    save_extended(start);
    let clean = YMM_HIGH.step_by(8).all(|at| memory::peek(start + at) == 0);
    check!(clean, "the upper halves are zero at the start");
    for round in 1..=20_u64 {
        for at in YMM_HIGH.step_by(8) {
            memory::poke(start + at, round.wrapping_mul(0x0303_0505_0707_0b0b) ^ at);
        }
        memory::poke(start + STATE_BV, u64::from(STATES));
        load_extended(start);
        call::block(1_000_000, 0);
        for _ in 0..20 {
            let _ = call::yield_now();
        }
        save_extended(other);
        for at in YMM_HIGH.step_by(8) {
            check_eq!(
                memory::peek(other + at),
                memory::peek(start + at),
                "upper half at {at}, round {round}"
            );
        }
    }
}

fn save_vectors(at: u64) {
    // SAFETY: `at` is the start of a page of this guest.
    unsafe { core::arch::asm!("fxsave64 [{}]", in(reg) at, options(nostack)) };
}

fn load_vectors(at: u64) {
    // SAFETY: `at` holds an image that fxsave64 wrote, with other register values; Rust uses no vector registers.
    unsafe { core::arch::asm!("fxrstor64 [{}]", in(reg) at, options(nostack)) };
}

/// Where the XMM registers lie in the image, and where they end.
const XMM: core::ops::Range<u64> = 160..416;

fn vector_state(_: u32) {
    let (start, other) = (
        memory::kernel_pages(1, KERNEL_DATA),
        memory::kernel_pages(1, KERNEL_DATA),
    );
    save_vectors(start);
    check_eq!(
        memory::peek(start) & 0xffff,
        0x37f,
        "the x87 control word at the start"
    );
    check_eq!(
        (memory::peek(start + 8), memory::peek(start + 16)),
        (0, 0),
        "x87 pointers at the start"
    );
    check_eq!(
        memory::peek(start + 24) & 0xffff_ffff,
        0x1f80,
        "MXCSR at the start"
    );
    let clean = (32..416).step_by(8).all(|at| memory::peek(start + at) == 0);
    check!(clean, "all vector registers are zero at the start");
    for round in 1..=20_u64 {
        for at in XMM.step_by(8) {
            memory::poke(start + at, round.wrapping_mul(0x0101_0101_0101_0101) ^ at);
        }
        load_vectors(start);
        call::block(1_000_000, 0);
        for _ in 0..20 {
            let _ = call::yield_now();
        }
        save_vectors(other);
        for at in XMM.step_by(8) {
            check_eq!(
                memory::peek(other + at),
                memory::peek(start + at),
                "vector word {at}, round {round}"
            );
        }
    }
}

fn preemption(_: u32) {
    // dec rcx; jnz; a few million times
    let rounds = if tcg_null_ss() { 30_000_000 } else { 2_000_000 };
    let bytes = [0x48, 0xff, 0xc9, 0x75, 0xfb];
    for frame in [
        Frame::ring1(code::kernel(&bytes), memory::stack(1)),
        Frame::ring3(code::user(&bytes), memory::user_stack()),
    ] {
        let mut before = frame.with_pattern(0xabcd);
        before.rcx = rounds;
        let found = trap::run(&before);
        check_eq!(found.vector, u64::from(vector::UD), "the loop ends");
        check_eq!(
            Frame { rcx: 0, ..found }.general(),
            Frame { rcx: 0, ..before }.general(),
            "registers"
        );
        check_eq!(
            (found.rcx, found.rsp),
            (0, before.rsp),
            "the counter and the stack pointer"
        );
    }
}
