//! `update_descriptor`, and what runs on its segments.
use abi::selector::{FIRST_GUEST_DESCRIPTOR, GDT_ENTRIES};
use abi::trap::vector;
use guests::runtime::frame::Frame;
use guests::runtime::{call, code, memory, trap};
use guests::{check, check_eq};

use super::Run;
use super::raise::{CODE_RING_1, DATA_RING_1, own_segment, own_selector};

pub(crate) const CASES: &[(&str, Run)] = &[
    ("refuses-privileged-descriptors", privileged),
    ("refuses-32-bit-code", narrow_code),
    ("refuses-reserved-slots", reserved_slots),
    ("accessed-is-forced", accessed),
    ("own-segments-survive-a-switch", survive),
    ("data-selectors-become-null", become_null),
];

const ACCESS: u32 = 40;
const S: u64 = 1 << 44;
const LONG: u64 = 1 << 53;
const BIG: u64 = 1 << 54;
const CONFORMING: u64 = 1 << 42;

fn dpl(dpl: u64) -> u64 {
    dpl << 45
}

fn is_refused(selector: u64, descriptor: u64) {
    let done = call::update_descriptor(selector, descriptor);
    check!(
        done.is_err(),
        "{descriptor:#018x} at selector {selector:#x} is refused: {done:?}"
    );
}

fn privileged(_: u32) {
    let own = u64::from(own_selector(0) & !7);
    for base in [CODE_RING_1, DATA_RING_1] {
        for ring in [0, 2] {
            is_refused(own, base & !dpl(3) | dpl(ring));
        }
    }
    // S=0: every system type (LDT, TSS, call, interrupt, trap, task gates) with every DPL, present or not.
    for kind in 0..16 {
        for ring in 0..4 {
            for present in [1 << 47, 0] {
                // All zero is an empty slot.
                let descriptor =
                    CODE_RING_1 & !(S | 0xf << ACCESS | dpl(3) | 1 << 47) | kind << ACCESS | dpl(ring);
                is_refused(own, descriptor | present);
            }
        }
    }
    // A 64-bit call gate to the hypervisor's code, by its first half.
    is_refused(own, 0x0000_ec00_0008_0000);
}

fn narrow_code(_: u32) {
    let own = u64::from(own_selector(0) & !7);
    for ring in 0..4 {
        let base = CODE_RING_1 & !dpl(3) | dpl(ring);
        is_refused(own, base & !LONG);
        is_refused(own, base & !LONG | BIG);
        is_refused(own, base | BIG);
        is_refused(own, base | CONFORMING);
        is_refused(own, base & !LONG & !(1 << 47));
    }
}

fn reserved_slots(_: u32) {
    let selector = |index: usize| (index as u64) << 3;
    for index in (0..FIRST_GUEST_DESCRIPTOR).chain(GDT_ENTRIES..GDT_ENTRIES + 4) {
        is_refused(selector(index), DATA_RING_1);
        is_refused(selector(index), 0);
    }
    // RPL and table bit are 0.
    for low in 1..8 {
        is_refused(selector(FIRST_GUEST_DESCRIPTOR) | low, DATA_RING_1);
    }
    is_refused(0xfff8, DATA_RING_1);
    is_refused(0x1_0000 | selector(FIRST_GUEST_DESCRIPTOR), DATA_RING_1);
    is_refused(!7, DATA_RING_1);
    let last = call::update_descriptor(selector(GDT_ENTRIES - 1), DATA_RING_1);
    check!(last.is_ok(), "the last slot is the guest's: {last:?}");
}

fn accessed(_: u32) {
    own_segment(0, CODE_RING_1 & !(1 << ACCESS));
    own_segment(1, DATA_RING_1 & !(1 << ACCESS));
    let (cs, ss) = (own_selector(0), own_selector(1));
    // mov eax, ss; mov ds, ax; mov es, ax
    let rip = code::kernel(&[0x8c, 0xd0, 0x8e, 0xd8, 0x8e, 0xc0]);
    let mut frame = Frame::ring1(rip, memory::stack(1));
    frame.cs = u64::from(cs);
    frame.ss = u64::from(ss);
    let found = trap::run(&frame);
    check_eq!(
        (found.vector, found.rip),
        (u64::from(vector::UD), rip + 6),
        "segments without the accessed bit load"
    );
}

/// int 0x82 with the registers as they are, then ud2.
fn call_on(cs: u16, ss: u16) -> Frame {
    let mut frame = Frame::ring1(code::kernel(&[0xcd, 0x82]), memory::stack(1));
    frame.cs = u64::from(cs);
    frame.ss = u64::from(ss);
    frame.rax = abi::hypercall::Hypercall::SchedOp.raw();
    frame.rdi = abi::sched::SchedOp::Block.raw();
    frame.rsi = 20_000_000;
    trap::run(&frame)
}

fn survive(_: u32) {
    own_segment(0, CODE_RING_1);
    own_segment(1, DATA_RING_1);
    let (cs, ss) = (own_selector(0), own_selector(1));
    for _ in 0..4 {
        let found = call_on(cs, ss);
        check_eq!(
            (found.vector, found.cs, found.ss),
            (u64::from(vector::UD), u64::from(cs), u64::from(ss)),
            "own segments after a switch"
        );
    }
}

fn become_null(_: u32) {
    own_segment(1, DATA_RING_1);
    let selector = u64::from(own_selector(1));
    // mov ds, ecx; mov es, ecx; mov fs, ecx; mov gs, ecx; int 0x82; mov ecx, ds; mov edx, es; mov ebx, fs; mov ebp, gs
    let rip = code::kernel(&[
        0x8e, 0xd9, 0x8e, 0xc1, 0x8e, 0xe1, 0x8e, 0xe9, 0xcd, 0x82, 0x8c, 0xd9, 0x8c, 0xc2, 0x8c, 0xe3, 0x8c,
        0xed,
    ]);
    let mut frame = Frame::ring1(rip, memory::stack(1));
    frame.rcx = selector;
    frame.rax = abi::hypercall::Hypercall::SchedOp.raw();
    frame.rdi = abi::sched::SchedOp::Block.raw();
    frame.rsi = 20_000_000;
    let found = trap::run(&frame);
    check_eq!(found.vector, u64::from(vector::UD), "the guest lives");
    let seen = [found.rcx, found.rdx, found.rbx, found.rbp].map(|selector| selector & 0xffff);
    // Unless nobody else ran meanwhile.
    check!(
        seen == [0; 4] || seen == [selector; 4],
        "data selectors after a switch are null: {seen:x?}"
    );
}
