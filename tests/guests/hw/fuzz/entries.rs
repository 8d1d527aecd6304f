//! Where control goes: trap entries, the upcall, the syscall entry, and what tries them.
use abi::callback::{CallbackOp, CallbackType};
use abi::event::EventChannelOp;
use abi::hypercall::Hypercall;
use guests::runtime::{call, event, memory, upcall};

use super::calls::Call;
use super::floor;
use super::world::World;

/// Each raises something: `ud2`, `int3`, `hlt`, a division by 0, a load from nowhere, a single step, a null segment's load, a
/// bad selector, `int 4`, `int 0x40`, `int 0x41`, `int 0x80`, `syscall`, `bound`'s vector, x87's and an alignment check.
pub(crate) const RAISERS: [&[u8]; 16] = [
    &[0x0f, 0x0b],
    &[0xcc],
    &[0xf4],
    &[0x31, 0xc9, 0xf7, 0xf1],
    &[0x31, 0xc9, 0x48, 0x8b, 0x09],
    &[0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d, 0x90, 0x90],
    &[0x31, 0xc0, 0x8e, 0xd8, 0x0f, 0x0b],
    &[0x66, 0xb8, 0x38, 0, 0x8e, 0xd8],
    &[0xcd, 4],
    &[0xcd, 0x40],
    &[0xcd, 0x41],
    &[0xcd, 0x80],
    &[0x0f, 0x05],
    &[0xcd, 5],
    &[
        0xdb, 0xe3, 0x68, 0x7b, 3, 0, 0, 0xd9, 0x2c, 0x24, 0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9, 0x9b,
    ],
    &[
        0x9c, 0x81, 0x0c, 0x24, 0, 0, 4, 0, 0x9d, 0x48, 0x8b, 0x44, 0x24, 1,
    ],
];

pub(crate) fn traps(world: &mut World) {
    floor::lay();
    let count = 1 + world.lot.below(5);
    for n in 0..count {
        let [first, second] = world.trap_entry();
        memory::poke(world.buffer + n * 16, first);
        memory::poke(world.buffer + n * 16 + 8, second);
    }
    Call {
        number: Hypercall::SetTrapTable.raw(),
        arguments: [world.buffer, count, 0, 0, 0],
    }
    .make();
    for _ in 0..1 + world.lot.below(3) {
        let raiser = world.lot.of(&RAISERS);
        let _ = world.run_somewhere(raiser);
    }
    floor::lay();
}

pub(crate) fn callbacks(world: &mut World) {
    floor::lay();
    let command = world.lot.of(&[0, 0, 0, 1, 2]);
    let kind = world.lot.of(&[
        CallbackType::Event.raw(),
        CallbackType::Event.raw(),
        CallbackType::Syscall.raw(),
        1,
        3,
    ]);
    let address = match world.lot.below(6) {
        0 if world.deadly => world.address(),
        0 => world
            .lot
            .of(&[0, 1 << 47, abi::layout::SWITCHER_TEXT, u64::MAX >> 1]),
        1 => upcall::address(),
        _ => world.handler(),
    };
    let region = world.region();
    Call {
        number: Hypercall::CallbackOp.raw(),
        arguments: [command, kind, address, region[0], region[1]],
    }
    .make();
    debug_assert_eq!(CallbackOp::Register.raw(), 0);
    // An event that is due at once, or inside the region, or at a return from ring 3; and a syscall.
    event::clear_mask();
    let own = u64::from(guests::runtime::start_info().domain_id);
    if let Ok(port) = event::channel(EventChannelOp::AllocUnbound, &[own]).ok() {
        let other = event::channel(EventChannelOp::BindInterdomain, &[own, port]).ok();
        if let Ok(other) = other {
            event::channel(EventChannelOp::Send, &[other]);
            call::call(Hypercall::SetTimerOp, &[1]);
            let raiser = world.lot.of(&RAISERS);
            let _ = world.run_somewhere(raiser);
            let _ = world.run_somewhere(&[0x0f, 0x05]);
            event::channel(EventChannelOp::Close, &[other]);
        }
        event::channel(EventChannelOp::Close, &[port]);
    }
    floor::lay();
}
