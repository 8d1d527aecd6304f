//! Stack pointers, and what uses them.
use abi::hypercall::Hypercall;
use abi::sched::SchedOp;
use guests::runtime::frame::Frame;
use guests::runtime::{call, event};

use super::entries::RAISERS;
use super::floor;
use super::world::World;

/// `int 0x82`; `mov rsp, rbx`: a hypercall does not touch the stack, so none need be there.
const CALL_AND_REPAIR: [u8; 5] = [0xcd, 0x82, 0x48, 0x89, 0xdc];

pub(crate) fn step(world: &mut World) {
    floor::lay();
    match world.lot.below(4) {
        0 => {
            let rsp = world.good_stack();
            let raiser = world.lot.of(&RAISERS);
            let frame = Frame {
                rsp,
                ..world.frame_1()
            };
            let _ = world.run_1(raiser, frame);
        }
        1 => {
            let rsp = world.stack();
            if !world.deadly {
                event::mask(1);
            }
            let frame = Frame {
                rsp,
                rax: world
                    .lot
                    .of(&[Hypercall::XenVersion.raw(), Hypercall::SchedOp.raw(), 99]),
                rdi: SchedOp::Yield.raw(),
                ..world.frame_1()
            };
            let _ = world.run_1(&CALL_AND_REPAIR, frame);
        }
        2 => {
            let top = if world.deadly {
                world.stack()
            } else {
                world.good_stack()
            };
            let top = if world.lot.one_in(4) { top } else { top & !15 };
            let _ = call::stack_switch(top);
            let raiser = world.lot.of(&RAISERS);
            let frame = world.frame_3();
            let _ = world.run_3(raiser, frame);
        }
        _ => {
            // A user's stack pointer is a register like any other.
            let rsp = world.stack();
            let raiser = world
                .lot
                .of::<&[u8]>(&[&[0x0f, 0x05], &[0xcc], &[0x0f, 0x0b], &[0xcd, 0x80]]);
            let (frame, deadly) = (world.frame_3(), world.deadly);
            let _ = world.run_3(raiser, Frame { rsp, ..frame });
            if deadly {
                let frame = world.frame_1();
                let _ = world.run_1(raiser, Frame { rsp, ..frame });
            }
        }
    }
}
