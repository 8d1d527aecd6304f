//! Code and frames: returns to anywhere, jumps into the switcher, random bytes, ways into ring 0 with odd flags.
use abi::layout::{PAGE_SIZE, SWITCHER_RO, SWITCHER_TEXT};
use guests::runtime::code::UD2;
use guests::runtime::frame::{Frame, TF};
use guests::runtime::{code, memory, tcg_null_ss, trap};

use super::entries::RAISERS;
use super::floor;
use super::world::World;

/// `mov rsp, rbx`: a stack again, wherever rsp was.
const REPAIR: [u8; 3] = [0x48, 0x89, 0xdc];

/// Gives every register but rsp and rbx a word.
fn any_registers(world: &mut World, frame: Frame) -> Frame {
    let mut frame = frame;
    for register in [
        &mut frame.rax,
        &mut frame.rcx,
        &mut frame.rdx,
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
        *register = world.register();
    }
    frame
}

/// An iretq of the guest's own to a frame of any kind.
pub(crate) fn frame(world: &mut World) {
    floor::lay();
    code::place(world.code_1, &REPAIR);
    code::place(world.code_3, &[0xcc]);
    let to_1 = world.lot.one_in(2);
    let good = if to_1 { world.frame_1() } else { world.frame_3() };
    let flags = world.flags();
    let mut frame = Frame {
        rflags: if world.deadly { flags } else { flags & !TF },
        ..good
    };
    for _ in 0..1 + world.lot.below(2) {
        match world.lot.below(5) {
            0 => frame.cs = world.selector(),
            1 => frame.ss = world.selector(),
            2 => {
                frame.rip = match world.lot.below(3) {
                    0 if world.deadly => world.edge(),
                    0 => world.lot.of(&[1 << 47, 0xffff_7fff_ffff_ffff, 0, SWITCHER_RO]),
                    _ => world.place(),
                }
            }
            // Where the code does not put the stack right, a trap would find none.
            3 if frame.rip == world.code_1 || !to_1 => frame.rsp = world.stack(),
            _ => frame.rflags ^= 1 << world.lot.below(22),
        }
    }
    // A bad stack and a single step are the end, in ring 1.
    if !world.deadly && frame.rsp != good.rsp {
        frame.rflags &= !TF;
        frame.rip = good.rip;
        frame.cs = good.cs;
    }
    let _ = trap::run(&frame);
}

/// A jump into what is executable of the switcher, with registers and a stack of one's own making.
pub(crate) fn jump(world: &mut World) {
    // The text is half a page; the rest of it is no code, and is tried less often.
    let offset = if world.lot.one_in(16) {
        world.lot.below(5 * PAGE_SIZE)
    } else {
        world.lot.below(0x900)
    };
    if offset < PAGE_SIZE && !world.deadly && loses_stack(SWITCHER_TEXT + offset) {
        return;
    }
    let rsp = world.stack_1 - 0x800 + 8 * world.lot.below(4);
    for n in 0..48 {
        let word = match world.lot.below(6) {
            0 => u64::from(abi::selector::KERNEL_CS),
            1 => u64::from(abi::selector::KERNEL_SS),
            2 => 0x202,
            3 => world.place(),
            4 => world.stack_1 - 0x400,
            _ => world.word(),
        };
        memory::poke(rsp + n * 8, World::tame(word));
    }
    let frame = any_registers(world, world.frame_1());
    let step = if world.lot.one_in(3) { TF } else { 0 };
    floor::lay();
    let _ = trap::run(&Frame {
        rip: SWITCHER_TEXT + offset,
        rsp,
        rflags: 0x202 | step,
        ..frame
    });
}

/// Whether code there takes its stack from a word of the guest's, or half of the pointer to one of ring 0's: the next trap
/// is the end.
fn loses_stack(at: u64) -> bool {
    const POP_RSP: u8 = 0x5c;
    const MOV_ESP: u64 = 0x258b;
    memory::peek(at) & 0xffff == MOV_ESP || (at..at + 24).any(|at| memory::peek_byte(at) == POP_RSP)
}

const LENGTH: usize = 24;

/// What TCG takes for a promotion: `mov ss, r/m` and `lss` of a null selector; `iret`, which may enter virtual-8086 mode with
/// interrupts off. And prefixes of vector instructions and the two maps of three-byte opcodes (0F 38, 0F 3A): its translator
/// ends QEMU at some that it does not know, and at some that have a vector form alone (0F 38 0C).
fn fools_tcg(bytes: &[u8]) -> bool {
    let fools = |pair: &[u8]| {
        let loads_ss = pair[0] == 0x8e && pair[1] & 0x38 == 0x10;
        loads_ss || matches!(pair, [0x0f, 0xb2 | 0x38 | 0x3a])
    };
    bytes.windows(2).any(fools) || bytes.iter().any(|byte| matches!(byte, 0xcf | 0xc4 | 0xc5))
}

/// Random bytes, behind a beginning that random bytes seldom have.
pub(crate) fn random(world: &mut World) {
    let mut bytes = [0_u8; LENGTH + 2];
    for chunk in bytes.chunks_mut(8) {
        let word = world.lot.word().to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
    let start: &[u8] = world.lot.of(&[
        &[],
        &[],
        &[0x0f],
        &[0x0f, 0x01],
        &[0x0f, 0xae],
        &[0x0f, 0xc7],
        &[0x48, 0x0f],
        &[0xcd],
        &[0xf3, 0x0f],
        &[0x66, 0x0f],
    ]);
    bytes[..start.len()].copy_from_slice(start);
    bytes[LENGTH..].copy_from_slice(&UD2);
    if tcg_null_ss() && fools_tcg(&bytes) {
        return;
    }
    floor::lay();
    // In ring 1 it takes its stack away now and then, and that is the end.
    let in_ring_1 = world.lot.one_in(if world.deadly { 1 } else { 6 });
    let frame = if in_ring_1 {
        world.frame_1()
    } else {
        world.frame_3()
    };
    let mut frame = any_registers(world, frame);
    if !world.lot.one_in(4) {
        frame.rflags |= TF;
    }
    let _ = if in_ring_1 {
        world.run_1(&bytes, frame)
    } else {
        world.run_3(&bytes, frame)
    };
}

/// An instruction that enters ring 0, with odd flags, in either ring.
pub(crate) fn entry(world: &mut World) {
    floor::lay();
    let vector = world.lot.below(256) as u8;
    let int = [0xcd, vector];
    let bytes: &[u8] = match world.lot.below(8) {
        0..3 => &int,
        3 => &[0x0f, 0x05],
        4 => &[0x0f, 0x34],
        5 => &[0xf1],
        6 => &[0xcd, 0x82],
        _ => world.lot.of(&RAISERS),
    };
    let flags = world.flags();
    let in_ring_1 = world.lot.one_in(2);
    let frame = if in_ring_1 {
        world.frame_1()
    } else {
        world.frame_3()
    };
    // The hypercall's number is one that ends nothing.
    let frame = Frame {
        rflags: flags,
        rax: world.lot.of(&[17, 29, 99]),
        rdi: 0,
        ..frame
    };
    let _ = if in_ring_1 {
        world.run_1(bytes, frame)
    } else {
        world.run_3(bytes, frame)
    };
}
