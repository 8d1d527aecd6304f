//! Descriptors, loads of segment registers, far transfers.
use abi::selector::FIRST_GUEST_DESCRIPTOR;
use guests::runtime::code::{self, UD2};
use guests::runtime::frame::Frame;
use guests::runtime::memory;
use guests::runtime::{call, tcg_null_ss};

use super::floor;
use super::world::World;

/// `mov ds, ecx` and so on; `lfs`, `lgs` of [rdx]; `verr`, `verw`, `lar`, `lsl`.
const LOADS: [&[u8]; 10] = [
    &[0x8e, 0xd9],
    &[0x8e, 0xc1],
    &[0x8e, 0xe1],
    &[0x8e, 0xe9],
    &[0x48, 0x0f, 0xb4, 0x02],
    &[0x48, 0x0f, 0xb5, 0x02],
    &[0x0f, 0x00, 0xe1],
    &[0x0f, 0x00, 0xe9],
    &[0x0f, 0x02, 0xc1],
    &[0x0f, 0x03, 0xc1],
];
/// `mov ss, ecx`, `lss rax, [rdx]`.
const STACK_LOADS: [&[u8]; 2] = [&[0x8e, 0xd1], &[0x48, 0x0f, 0xb2, 0x02]];
/// Far `jmp [rdx]`, `call [rdx]`, with 64-bit and 32-bit offset; `push rcx; push rax; retfq`.
const TRANSFERS: [&[u8]; 5] = [
    &[0x48, 0xff, 0x2a],
    &[0x48, 0xff, 0x1a],
    &[0xff, 0x2a],
    &[0xff, 0x1a],
    &[0x51, 0x50, 0x48, 0xcb],
];
/// What is done with the segments loaded: a use of FS and ES, a hypercall, a yield's way round.
const USES: [&[u8]; 4] = [
    &[0x64, 0x48, 0x8b, 0x03],
    &[0x26, 0x8a, 0x03],
    &[0xcc],
    &[0xcd, 0x82],
];

pub(crate) fn step(world: &mut World) {
    floor::lay();
    let slot = FIRST_GUEST_DESCRIPTOR as u64 + world.lot.below(16);
    let descriptor = world.descriptor();
    let done = call::update_descriptor(slot << 3, descriptor);
    let own = slot << 3 | world.lot.of(&[1, 3]);
    let selector = if done.is_ok() && !world.lot.one_in(3) {
        own
    } else {
        world.selector()
    };
    let is_null = selector & 0xfffc == 0;
    let bytes = match world.lot.below(8) {
        0..4 => world.lot.of(&LOADS),
        4 if !(is_null && tcg_null_ss()) => world.lot.of(&STACK_LOADS),
        4 => world.lot.of(&LOADS),
        _ => world.lot.of(&TRANSFERS),
    };
    let target = world.place();
    // A far pointer for all that takes one. The selector is behind an offset of 32 bits too, where that is what is taken: so TCG
    // does in all loads, and a selector of 0 there would be a null stack segment.
    let pointer = world.buffer + 64;
    memory::poke(pointer, target);
    memory::poke(pointer + 8, selector);
    if !bytes.starts_with(&[0x48, 0xff]) {
        memory::poke(pointer, target & 0xffff_ffff | selector << 32);
    }
    let ring_1 = world.lot.one_in(2);
    let frame = if ring_1 { world.frame_1() } else { world.frame_3() };
    let (rax, rflags) = (target, world.flags());
    let frame = Frame {
        rcx: selector,
        rdx: pointer,
        rax,
        rflags: if world.lot.one_in(4) {
            rflags & !(1 << 14)
        } else {
            0x202
        },
        ..frame
    };
    let mut all = [0x90; 16];
    let tail = world.lot.of(&USES);
    all[..bytes.len()].copy_from_slice(bytes);
    all[bytes.len()..bytes.len() + tail.len()].copy_from_slice(tail);
    let _ = if ring_1 {
        world.run_1(&all, frame)
    } else {
        world.run_3(&all, frame)
    };
    // What is there next time may be run with other registers: a null stack segment then makes TCG take it for ring 0.
    code::place(world.code_1, &UD2);
    code::place(world.code_3, &UD2);
    if world.lot.one_in(4) {
        let _ = call::yield_now();
    }
    if !world.deadly && world.lot.one_in(2) {
        let _ = call::update_descriptor(slot << 3, 0);
    }
}
