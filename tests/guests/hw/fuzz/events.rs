//! Ports, timers and waits; and junk in what guest and hypervisor share.
use abi::event::SharedInfo;
use abi::hypercall::Hypercall;
use abi::layout::{PAGE_SIZE, SHARED_INFO, SWITCHER_RO, SWITCHER_RW, SWITCHER_TEXT};
use abi::selector::{HYPERVISOR_CS, HYPERVISOR_DS};
use guests::runtime::{call, event, memory, time};

use super::calls::Call;
use super::entries::RAISERS;
use super::floor;
use super::world::World;

pub(crate) fn step(world: &mut World) {
    for _ in 0..1 + world.lot.below(4) {
        match world.lot.below(8) {
            0..4 => {
                let arguments = world.channel();
                Call {
                    number: Hypercall::EventChannelOp.raw(),
                    arguments,
                }
                .make();
            }
            4 => {
                let deadline = match world.lot.below(6) {
                    0 => world.lot.of(&[0, 1, u64::MAX, 1 << 63]),
                    _ => time::now_ns().0.wrapping_add(world.lot.below(100_000)),
                };
                call::call(Hypercall::SetTimerOp, &[deadline]);
            }
            5 => {
                floor::arm();
                call::block(1 + world.lot.below(30_000), world.lot.below(8));
            }
            6 => {
                let _ = call::yield_now();
            }
            _ => {
                let word = world.lot.below(size_of::<SharedInfo>() as u64 / 8 + 4);
                let value = world.lot.of(&[0, 1, 0x100, 0x101, u64::MAX, 1 << 63]);
                let any = world.lot.word();
                let value = if world.lot.one_in(3) { any } else { value };
                memory::poke(SHARED_INFO + word * 8, value);
            }
        }
    }
    if !world.lot.one_in(4) {
        event::clear_mask();
    }
}

/// Fills what ring 1 can write of the slot, and enters ring 0 by every door.
pub(crate) fn scribble(world: &mut World) {
    let ring_0 = [
        world.code_1,
        u64::from(HYPERVISOR_CS),
        0x202,
        world.stack_1,
        u64::from(HYPERVISOR_DS),
    ];
    let in_text = [SWITCHER_TEXT, u64::from(HYPERVISOR_CS), 2, SWITCHER_RW + 0x800, 0];
    let words: [u64; 5] = match world.lot.below(6) {
        0 => ring_0,
        1 => in_text,
        2 => [0; 5],
        3 => [u64::MAX; 5],
        4 => [(); 5].map(|()| world.lot.of(&[SWITCHER_RO, SWITCHER_RW, 1 << 47, 0x19, 0x202])),
        _ => [(); 5].map(|()| world.register()),
    };
    let page = world.lot.of(&[SWITCHER_RW, SWITCHER_RW, SHARED_INFO]);
    let (first, shift) = (world.lot.below(512), world.lot.below(5));
    let length = 1 + world.lot.below(512 - first);
    floor::lay();
    for n in first..first + length {
        let word = World::tame(words[((n + shift) % 5) as usize]);
        memory::poke(page + n * 8, word);
    }
    debug_assert!(length * 8 <= PAGE_SIZE);
    let [one, two] = [world.lot.of(&RAISERS), world.lot.of(&RAISERS)];
    let _ = world.run_somewhere(one);
    let _ = call::yield_now();
    let _ = world.run_somewhere(&[0x0f, 0x05]);
    let _ = world.run_somewhere(two);
    floor::arm();
    call::block(20_000, 0);
}
