//! Places that ring 0 cannot return to.
use abi::hypercall::Hypercall;
use abi::trap::vector;
use guests::runtime::frame::Frame;
use guests::runtime::{code, memory, trap};
use guests::{check, check_eq};

use super::Run;
use super::raise::{CODE_RING_1, DATA_RING_1, PRESENT, own_segment, own_selector};

pub(crate) const CASES: &[(&str, Run)] = &[
    ("hypercall-at-the-canonical-edge", canonical_edge),
    ("own-code-segment-removed", code_removed),
    ("own-code-segment-becomes-data", code_becomes_data),
    ("own-stack-segment-removed", stack_removed),
];

const INT_82: [u8; 2] = [0xcd, 0x82];

fn canonical_edge(_: u32) {
    const LAST_PAGE: u64 = 0x0000_7fff_ffff_f000;
    let at = LAST_PAGE + 0xffe;
    memory::map(LAST_PAGE, memory::allocate(), memory::KERNEL_CODE);
    memory::poke_bytes(memory::alias(at), &INT_82);
    let mut frame = Frame::ring1(at, memory::stack(1));
    frame.rax = Hypercall::XenVersion.raw();
    let found = trap::run(&frame);
    // A CPU that checks after the iretq: the fault is the guest's, at the address that is none.
    check_eq!(
        found.vector,
        u64::from(vector::GP),
        "the return to a non-canonical address faults"
    );
    check_eq!(found.rip, at + 2, "the fault is past the hypercall");
    check_eq!(found.ring(), 1, "the fault is the guest kernel's");
}

/// A call of update_descriptor, made from code and stack segments of the guest's own.
fn call_from(cs: u16, ss: u16, slot: u16, descriptor: u64) {
    let mut frame = Frame::ring1(code::kernel(&INT_82), memory::stack(1));
    frame.cs = u64::from(cs);
    frame.ss = u64::from(ss);
    frame.rax = Hypercall::UpdateDescriptor.raw();
    frame.rdi = u64::from(own_selector(slot) & !7);
    frame.rsi = descriptor;
    let found = trap::run(&frame);
    check!(false, "the guest is dead, yet it went on: {found:x?}");
}

fn on_own_segments() -> (u16, u16) {
    own_segment(0, CODE_RING_1);
    own_segment(1, DATA_RING_1);
    let (cs, ss) = (own_selector(0), own_selector(1));
    let mut frame = Frame::ring1(code::kernel(&code::UD2), memory::stack(1));
    frame.cs = u64::from(cs);
    frame.ss = u64::from(ss);
    let found = trap::run(&frame);
    check_eq!(
        (found.vector, found.cs, found.ss),
        (6, u64::from(cs), u64::from(ss)),
        "own segments serve"
    );
    (cs, ss)
}

fn code_removed(_: u32) {
    let (cs, ss) = on_own_segments();
    call_from(cs, ss, 0, CODE_RING_1 & !PRESENT);
}

fn code_becomes_data(_: u32) {
    let (cs, ss) = on_own_segments();
    call_from(cs, ss, 0, DATA_RING_1);
}

fn stack_removed(_: u32) {
    let (cs, ss) = on_own_segments();
    call_from(cs, ss, 1, DATA_RING_1 & !PRESENT);
}
