//! Ways to change the ring, and ways back.
use abi::selector::{GDT_ENTRIES, HYPERVISOR_CS, HYPERVISOR_DS, KERNEL_CS, KERNEL_SS, TSS, USER_CS, USER_SS};
use abi::trap::vector;
use guests::runtime::frame::{AC, FLAGS, Frame, NT, TF};
use guests::runtime::memory::{self, KERNEL_DATA, P, U, W};
use guests::runtime::trap::SYSCALL_VECTOR;
use guests::runtime::{call, code, trap};
use guests::{check, check_eq};

use super::Run;

pub(crate) const CASES: &[(&str, Run)] = &[
    ("iretq-to-ring-0", to_ring_0),
    ("iretq-with-odd-frames", odd_frames),
    ("far-transfers", far_transfers),
    ("call-gate-at-address-0", call_gate),
    ("syscall-without-entry", syscall_without_entry),
    ("syscall-with-flags", syscall_with_flags),
    ("syscall-from-ring-1", syscall_from_ring_1),
    ("syscall-words", syscall_words),
];

const SYSCALL: [u8; 2] = [0x0f, 0x05];
const DF: u64 = 1 << 10;
const VM: u64 = 1 << 17;
const VIF: u64 = 1 << 19;

fn good() -> Frame {
    Frame::ring1(code::kernel(&[]), memory::stack(1))
}

/// #GP at the guest's own iretq.
fn refused(frame: &Frame, what: &str) -> Frame {
    let found = trap::run(frame);
    check_eq!(
        (found.vector, found.rip, found.cs),
        (u64::from(vector::GP), trap::iretq_address(), u64::from(KERNEL_CS)),
        "iretq with {what}"
    );
    found
}

fn to_ring_0(_: u32) {
    let good = good();
    for cs in [
        HYPERVISOR_CS,
        HYPERVISOR_CS | 1,
        HYPERVISOR_CS | 3,
        KERNEL_CS & !3,
        KERNEL_CS & !3 | 2,
        TSS,
        TSS | 1,
    ] {
        for ss in [KERNEL_SS, HYPERVISOR_DS, 0] {
            let frame = Frame {
                cs: u64::from(cs),
                ss: u64::from(ss),
                ..good
            };
            let found = refused(&frame, "a code selector that is not for ring 1");
            check_eq!(found.error, u64::from(cs & !3), "the error names the selector");
        }
    }
}

fn odd_frames(_: u32) {
    let good = good();
    let user = Frame::ring3(code::user(&[]), memory::user_stack());
    for cs in [
        0,
        1,
        3,
        u64::from(KERNEL_SS),
        u64::from(USER_SS),
        u64::from(USER_CS) & !3,
        0x3f9,
        0xffff,
    ] {
        refused(
            &Frame { cs, ..good },
            "a selector that names no code for that ring",
        );
    }
    refused(
        &Frame {
            ss: u64::from(USER_SS),
            ..good
        },
        "a user stack segment for ring 1",
    );
    refused(
        &Frame {
            ss: u64::from(HYPERVISOR_DS),
            ..good
        },
        "the hypervisor's stack segment",
    );
    refused(
        &Frame {
            ss: u64::from(KERNEL_CS),
            ..good
        },
        "a code segment as stack segment",
    );
    refused(
        &Frame {
            ss: u64::from(KERNEL_SS),
            ..user
        },
        "a kernel stack segment for ring 3",
    );
    for ss in 0..4 {
        refused(&Frame { ss, ..user }, "a null stack segment for ring 3");
    }
    // NT set before the iretq: pushfq; or dword [rsp], NT; popfq; iretq
    let found = code::run_in_ring1(&[0x9c, 0x81, 0x0c, 0x24, 0, 0x40, 0, 0, 0x9d, 0x48, 0xcf]);
    check_eq!(
        (found.vector, found.error),
        (u64::from(vector::GP), 0),
        "iretq with NT set"
    );
    check_eq!(found.rflags & NT, NT, "the fault is at the iretq");
    // A null SS with RPL 1: what a direct handler's frame may hold.
    let found = trap::run(&Frame { ss: 1, ..good });
    check_eq!(
        (found.vector, found.ss, found.ring()),
        (u64::from(vector::UD), 1, 1),
        "a null SS with RPL 1"
    );
    for rip in [0x0000_8000_0000_0000, 0xffff_7fff_ffff_ffff] {
        for frame in [Frame { rip, ..good }, Frame { rip, ..user }] {
            let found = trap::run(&frame);
            // TCG checks after the iretq.
            check_eq!(found.vector, u64::from(vector::GP), "iretq to {rip:#x}");
            check!(
                found.rip == rip || found.rip == trap::iretq_address(),
                "the fault is there, or at the iretq"
            );
            check!(found.ring() != 0, "not in ring 0");
        }
    }
    for flag in [VM, VIF, 1 << 20, 0x3000] {
        for frame in [good, user] {
            let found = trap::run(&Frame {
                rflags: FLAGS | flag,
                ..frame
            });
            check_eq!(
                (found.vector, found.cs),
                (u64::from(vector::UD), frame.cs),
                "flag {flag:#x} in the image"
            );
            check_eq!(found.rflags & flag, 0, "flag {flag:#x} is ignored");
        }
    }
    let nops = [0x90, 0x90];
    for frame in [
        Frame {
            rip: code::kernel(&nops),
            rflags: FLAGS | TF,
            ..good
        },
        Frame {
            rip: code::user(&nops),
            rflags: FLAGS | TF,
            ..user
        },
    ] {
        let found = trap::run(&frame);
        check_eq!(
            (found.vector, found.rip),
            (u64::from(vector::DB), frame.rip + 1),
            "a single step"
        );
    }
}

fn far_transfers(_: u32) {
    let pointer = memory::kernel_pages(1, KERNEL_DATA);
    let target = code::kernel(&[]);
    // A return to an outer ring finds zeros for its stack.
    let stack = memory::stack(1) - 64;
    // lcall m16:64 [rax]; ljmp m16:64 [rax]; push rcx; push rax; lretq
    let transfers: [&[u8]; 3] = [
        &[0x48, 0xff, 0x18],
        &[0x48, 0xff, 0x28],
        &[0x51, 0x50, 0x48, 0xcb],
    ];
    for bytes in transfers {
        let page = code::kernel(bytes);
        for index in 0..GDT_ENTRIES as u64 + 2 {
            for low in 0..8 {
                let selector = index << 3 | low;
                memory::poke(pointer, target);
                memory::poke(pointer + 8, selector);
                let mut frame = Frame::ring1(page, stack);
                (frame.rax, frame.rcx) = (if bytes.len() == 3 { pointer } else { target }, selector);
                let found = trap::run(&frame);
                let same_ring = selector & !3 == u64::from(KERNEL_CS) & !3;
                if same_ring && found.vector == u64::from(vector::UD) {
                    check_eq!(
                        (found.rip, found.cs),
                        (target, u64::from(KERNEL_CS)),
                        "a far transfer within ring 1"
                    );
                } else {
                    check!(
                        matches!(found.vector as u8, vector::GP | vector::NP | vector::SS),
                        "a far transfer to {selector:#x}: {found:x?}"
                    );
                    check_eq!(found.cs, u64::from(KERNEL_CS), "still in ring 1");
                }
            }
        }
    }
}

fn call_gate(_: u32) {
    // A 64-bit call gate, DPL 3, to the hypervisor's code; in entries 1 and 2 of a table at address 0.
    memory::map(0, memory::allocate(), P | W | U);
    let target = code::user(&[]);
    let low = target & 0xffff | u64::from(HYPERVISOR_CS) << 16 | 0xec00 << 32 | (target >> 16 & 0xffff) << 48;
    memory::poke(8, low);
    memory::poke(16, target >> 32);
    // A plain code segment of ring 0 in entry 3, for good measure.
    memory::poke(24, 0x00af_9b00_0000_ffff);
    let pointer = memory::user_pages(1, P | W | U);
    for selector in [0x0c, 0x0d, 0x0f, 0x1c, 0x1d, 0x1f] {
        memory::poke(pointer, target);
        memory::poke(pointer + 8, selector);
        let bytes = [0x48, 0xff, 0x18];
        for mut frame in [
            Frame::ring1(code::kernel(&bytes), memory::stack(1)),
            Frame::ring3(code::user(&bytes), memory::user_stack()),
        ] {
            frame.rax = pointer;
            let found = trap::run(&frame);
            check_eq!(
                (found.vector, found.error, found.rip, found.cs),
                (u64::from(vector::GP), selector & !3, frame.rip, frame.cs),
                "a far call of {selector:#x}"
            );
        }
        refused(
            &Frame {
                cs: selector,
                ..good()
            },
            "an LDT selector",
        );
    }
}

fn syscall_without_entry(_: u32) {
    for frame in [
        Frame::ring3(code::user(&SYSCALL), memory::user_stack()),
        Frame::ring1(code::kernel(&SYSCALL), memory::stack(1)),
    ] {
        for _ in 0..3 {
            let before = trap::count(vector::UD);
            let found = trap::run(&frame);
            check_eq!(
                found.vector,
                u64::from(vector::UD),
                "syscall without an entry, ring {}",
                frame.ring()
            );
            check_eq!(trap::count(vector::UD) - before, 1, "once");
        }
    }
}

fn with_entry() {
    let done = call::register_syscall(trap::syscall_entry_address());
    check!(done.is_ok(), "a syscall entry is taken: {done:?}");
}

fn syscall_with_flags(_: u32) {
    with_entry();
    let page = code::user(&SYSCALL);
    let stack = memory::user_stack();
    for flags in [TF, NT, AC, DF, 0x3000, TF | NT | AC | DF, 0xcd5] {
        let mut frame = Frame::ring3(page, stack);
        frame.rflags |= flags;
        for _ in 0..4 {
            let found = trap::run(&frame);
            check!(
                found.vector == SYSCALL_VECTOR || flags & TF != 0 && found.vector == u64::from(vector::DB),
                "syscall with flags {flags:#x}: {found:x?}"
            );
        }
        check_eq!(
            code::run_in_ring1(&[]).vector,
            u64::from(vector::UD),
            "traps go on"
        );
    }
}

fn syscall_from_ring_1(_: u32) {
    with_entry();
    let found = code::run_in_ring1(&SYSCALL);
    check_eq!(
        found.vector,
        SYSCALL_VECTOR,
        "syscall in ring 1 enters like a user's"
    );
}

fn syscall_words(_: u32) {
    with_entry();
    let mut frame = Frame::ring3(code::user(&SYSCALL), memory::user_stack() - 24).with_pattern(0xca11);
    frame.rflags |= 0x8d5;
    let found = trap::run(&frame);
    check_eq!(found.vector, SYSCALL_VECTOR, "the entry runs");
    check_eq!(
        (found.user_rsp, found.rsp),
        (frame.rsp, frame.rsp),
        "the user's stack pointer"
    );
    check_eq!(
        (found.rcx, found.r11 & 0xffff),
        (frame.rip + 2, frame.rflags & 0xffff),
        "rip and flags"
    );
    let others = |f: &Frame| Frame { rcx: 0, r11: 0, ..*f }.general();
    check_eq!(others(&found), others(&frame), "all else is untouched");
    check_eq!(
        found.at,
        trap::trap_stack() - 22 * 8,
        "on the stack of stack_switch"
    );
}
