//! Handlers whose code segment the CPU refuses.
use abi::selector::{GDT_ENTRIES, KERNEL_CS, KERNEL_SS, USER_CS};
use abi::trap::{TrapInfo, vector};
use guests::runtime::code::UD2;
use guests::runtime::trap::{bounced_handler, register};

use super::Run;
use super::raise::{CODE_RING_1, CODE_RING_3, DATA_RING_1, PRESENT, dies, own_segment, own_selector, works};

pub(crate) const CASES: &[(&str, Run)] = &[
    ("handler-segment-removed", removed),
    ("handler-segment-absent", absent),
    ("handler-segment-data", data),
    ("handler-segment-ring-3", ring_3),
    ("handler-segment-beyond", beyond),
    ("handler-segment-empty", empty),
];

/// Registers the runtime's #UD handler on another segment.
fn on_segment(cs: u16) {
    register(TrapInfo {
        vector: vector::UD,
        flags: 0,
        cs,
        pad: 0,
        address: bounced_handler(vector::UD),
    });
}

fn removed(_: u32) {
    own_segment(0, CODE_RING_1);
    on_segment(own_selector(0));
    works(&UD2, vector::UD);
    own_segment(0, CODE_RING_1 & !PRESENT);
    dies(&UD2);
}

fn absent(_: u32) {
    own_segment(0, CODE_RING_1 & !PRESENT);
    on_segment(own_selector(0));
    dies(&UD2);
}

fn data(run: u32) {
    own_segment(0, DATA_RING_1);
    on_segment(if run == 0 { own_selector(0) } else { KERNEL_SS });
    dies(&UD2);
}

fn ring_3(run: u32) {
    own_segment(0, CODE_RING_3);
    on_segment(if run == 0 {
        own_selector(0)
    } else {
        USER_CS & !3 | 1
    });
    dies(&UD2);
}

fn beyond(run: u32) {
    on_segment(if run == 0 {
        (GDT_ENTRIES as u16) << 3 | 1
    } else {
        0xfff8 | 1
    });
    dies(&UD2);
}

fn empty(_: u32) {
    on_segment(own_selector(7));
    debug_assert!(own_selector(7) != KERNEL_CS);
    dies(&UD2);
}
