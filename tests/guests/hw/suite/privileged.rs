//! Instructions that ring 0 alone may execute.
use abi::layout::PAGE_SIZE;
use abi::start_info::flags;
use abi::trap::vector;
use core::ops::Range;
use guests::runtime::frame::{Frame, IF};
use guests::runtime::memory::{self, KERNEL_DATA, USER_DATA};
use guests::runtime::{code, start_info, tcg_null_ss, trap};
use guests::{check, check_eq};

use super::Run;
use super::raise::int;

pub(crate) const CASES: &[(&str, Run)] = &[
    ("privileged-in-ring-1", in_ring_1),
    ("privileged-in-ring-3", in_ring_3),
    ("every-msr", every_msr),
    ("silent-flags", silent),
    ("software-interrupts", software),
    ("null-stack-segment", null_ss),
];

/// Name and bytes; rax, rsi and rdi hold a good data address, rdx a port, rcx an MSR.
const INSTRUCTIONS: &[(&str, &[u8])] = &[
    ("cli", &[0xfa]),
    ("sti", &[0xfb]),
    ("hlt", &[0xf4]),
    ("lgdt", &[0x0f, 0x01, 0x10]),
    ("lidt", &[0x0f, 0x01, 0x18]),
    ("ltr", &[0x0f, 0x00, 0xd8]),
    ("lldt", &[0x0f, 0x00, 0xd0]),
    ("lmsw", &[0x0f, 0x01, 0xf0]),
    ("clts", &[0x0f, 0x06]),
    ("mov cr0, rax", &[0x0f, 0x22, 0xc0]),
    ("mov cr2, rax", &[0x0f, 0x22, 0xd0]),
    ("mov cr3, rax", &[0x0f, 0x22, 0xd8]),
    ("mov cr4, rax", &[0x0f, 0x22, 0xe0]),
    ("mov cr8, rax", &[0x44, 0x0f, 0x22, 0xc0]),
    ("mov rax, cr0", &[0x0f, 0x20, 0xc0]),
    ("mov rax, cr2", &[0x0f, 0x20, 0xd0]),
    ("mov rax, cr3", &[0x0f, 0x20, 0xd8]),
    ("mov rax, cr4", &[0x0f, 0x20, 0xe0]),
    ("mov rax, cr8", &[0x44, 0x0f, 0x20, 0xc0]),
    ("mov dr0, rax", &[0x0f, 0x23, 0xc0]),
    ("mov dr3, rax", &[0x0f, 0x23, 0xd8]),
    ("mov dr6, rax", &[0x0f, 0x23, 0xf0]),
    ("mov dr7, rax", &[0x0f, 0x23, 0xf8]),
    ("mov rax, dr0", &[0x0f, 0x21, 0xc0]),
    ("mov rax, dr6", &[0x0f, 0x21, 0xf0]),
    ("mov rax, dr7", &[0x0f, 0x21, 0xf8]),
    ("rdmsr", &[0x0f, 0x32]),
    ("wrmsr", &[0x0f, 0x30]),
    ("rdpmc", &[0x0f, 0x33]),
    ("invlpg", &[0x0f, 0x01, 0x38]),
    ("invd", &[0x0f, 0x08]),
    ("wbinvd", &[0x0f, 0x09]),
    ("xsetbv", &[0x0f, 0x01, 0xd1]),
    ("swapgs", &[0x0f, 0x01, 0xf8]),
    ("sysret", &[0x0f, 0x07]),
    ("sysretq", &[0x48, 0x0f, 0x07]),
    ("sysenter", &[0x0f, 0x34]),
    ("sysexit", &[0x0f, 0x35]),
    ("sysexitq", &[0x48, 0x0f, 0x35]),
    ("in al, dx", &[0xec]),
    ("in eax, dx", &[0xed]),
    ("in al, 0x60", &[0xe4, 0x60]),
    ("out dx, al", &[0xee]),
    ("out dx, eax", &[0xef]),
    ("out 0x80, al", &[0xe6, 0x80]),
    ("insb", &[0x6c]),
    ("insd", &[0x6d]),
    ("outsb", &[0x6e]),
    ("outsd", &[0x6f]),
    ("stac", &[0x0f, 0x01, 0xcb]),
    ("clac", &[0x0f, 0x01, 0xca]),
    ("monitor", &[0x0f, 0x01, 0xc8]),
    ("mwait", &[0x0f, 0x01, 0xc9]),
    ("vmcall", &[0x0f, 0x01, 0xc1]),
    ("vmlaunch", &[0x0f, 0x01, 0xc2]),
    ("vmresume", &[0x0f, 0x01, 0xc3]),
    ("vmxoff", &[0x0f, 0x01, 0xc4]),
    ("vmxon", &[0xf3, 0x0f, 0xc7, 0x30]),
    ("vmrun", &[0x0f, 0x01, 0xd8]),
    ("vmmcall", &[0x0f, 0x01, 0xd9]),
    ("vmload", &[0x0f, 0x01, 0xda]),
    ("vmsave", &[0x0f, 0x01, 0xdb]),
    ("stgi", &[0x0f, 0x01, 0xdc]),
    ("clgi", &[0x0f, 0x01, 0xdd]),
    ("skinit", &[0x0f, 0x01, 0xde]),
    ("invlpga", &[0x0f, 0x01, 0xdf]),
    ("invept", &[0x66, 0x0f, 0x38, 0x80, 0x00]),
    ("invpcid", &[0x66, 0x0f, 0x38, 0x82, 0x00]),
    ("xsaves", &[0x0f, 0xc7, 0x28]),
    ("xrstors", &[0x0f, 0xc7, 0x18]),
    ("rsm", &[0x0f, 0xaa]),
    ("encls", &[0x0f, 0x01, 0xcf]),
];

/// Not privileged, but refused where user-mode instruction prevention is on.
const UMIP: &[(&str, &[u8])] = &[
    ("sgdt", &[0x0f, 0x01, 0x00]),
    ("sidt", &[0x0f, 0x01, 0x08]),
    ("sldt", &[0x0f, 0x00, 0xc0]),
    ("str", &[0x0f, 0x00, 0xc8]),
    ("smsw", &[0x0f, 0x01, 0xe0]),
];

fn each(page: u64, frame: &Frame, data: u64) {
    let umip = start_info().flags & flags::UMIP != 0;
    let refused = INSTRUCTIONS.iter().chain(UMIP.iter().filter(|_| umip));
    for (name, bytes) in refused {
        code::place(page, bytes);
        let mut before = frame.with_pattern(0x1234_5678);
        (before.rax, before.rsi, before.rdi) = (data, data, data);
        (before.rdx, before.rcx) = (0x3f8, 0x10);
        let faults = || trap::count(vector::GP) + trap::count(vector::UD);
        let count = faults();
        let after = trap::run(&before);
        check!(
            matches!(after.vector as u8, vector::GP | vector::UD),
            "{name} in ring {} is #GP or #UD, not {}",
            frame.ring(),
            after.vector
        );
        check_eq!(faults() - count, 1, "{name}: delivered once");
        check_eq!(after.error, 0, "{name}: error code");
        check_eq!(
            (after.rip, after.cs, after.rsp, after.ss),
            (page, frame.cs, frame.rsp, frame.ss),
            "{name}: where"
        );
        check_eq!(after.general(), before.general(), "{name}: registers");
        check_eq!(after.rflags & 0xffff, before.rflags & 0xffff, "{name}: flags");
    }
}

/// Indices of model-specific registers: the architectural ones, those that hypervisors invent, AMD's and the syscall's.
const MSRS: &[Range<u64>] = &[
    0..0x2000,
    0x4000_0000..0x4000_0200,
    0xc000_0000..0xc000_0200,
    0xc001_0000..0xc001_0200,
    0xffff_ff00..0x1_0000_0000,
];

fn every_msr(_: u32) {
    for bytes in [[0x0f, 0x32], [0x0f, 0x30]] {
        let kernel = Frame::ring1(code::kernel(&bytes), memory::stack(1));
        let user = Frame::ring3(code::user(&bytes), memory::user_stack());
        for frame in [kernel, user] {
            for index in MSRS.iter().cloned().flatten() {
                let mut before = frame.with_pattern(0x1234_5678);
                before.rcx = index;
                let after = trap::run(&before);
                check_eq!(
                    (after.vector as u8, after.error, after.rip),
                    (vector::GP, 0, frame.rip),
                    "MSR {index:#x}"
                );
                check_eq!(after.general(), before.general(), "MSR {index:#x}: registers");
            }
        }
    }
}

fn in_ring_1(_: u32) {
    let data = memory::kernel_pages(1, KERNEL_DATA);
    let page = code::kernel(&[]);
    each(page, &Frame::ring1(page, memory::stack(1)), data);
    let untouched = (0..PAGE_SIZE).step_by(8).all(|at| memory::peek(data + at) == 0);
    check!(untouched, "nothing was stored");
}

fn in_ring_3(_: u32) {
    let data = memory::user_pages(1, USER_DATA);
    let page = code::user(&[]);
    each(page, &Frame::ring3(page, memory::user_stack()), data);
    let untouched = (0..PAGE_SIZE).step_by(8).all(|at| memory::peek(data + at) == 0);
    check!(untouched, "nothing was stored");
}

const IOPL: u64 = 0x3000;

fn silent(_: u32) {
    // push 0x3002; popfq; pushfq; pop rax; then the same by iretq's image.
    let bytes = [0x68, 0x02, 0x30, 0, 0, 0x9d, 0x9c, 0x58];
    for found in [code::run_in_ring1(&bytes), code::run_in_ring3(&bytes)] {
        check_eq!(found.vector, u64::from(vector::UD), "popf does not fault");
        check_eq!(
            found.rax & (IF | IOPL),
            IF,
            "IF and IOPL after popf, ring {}",
            found.ring()
        );
        check_eq!(found.rflags & (IF | IOPL), IF, "and at the next fault");
    }
    for mut frame in [
        Frame::ring1(code::kernel(&[]), memory::stack(1)),
        Frame::ring3(code::user(&[]), memory::user_stack()),
    ] {
        frame.rflags = IOPL | 2;
        let found = trap::run(&frame);
        check_eq!(
            found.rflags & (IF | IOPL),
            IF,
            "IF and IOPL after iretq to ring {}",
            found.ring()
        );
    }
}

fn software(run: u32) {
    let (page, frame) = if run == 0 {
        let page = code::kernel(&[]);
        (page, Frame::ring1(page, memory::stack(1)))
    } else {
        let page = code::user(&[]);
        (page, Frame::ring3(page, memory::user_stack()))
    };
    for n in 0..=255_u8 {
        code::place(page, &int(n));
        let before = trap::count(vector::GP);
        let mut frame = frame;
        // No hypercall has this number.
        frame.rax = 0x7777;
        let found = trap::run(&frame);
        match n {
            vector::BP | vector::OF => {
                check_eq!((found.vector, found.rip), (u64::from(n), page + 2), "int {n}");
            }
            0x82 if run == 0 => check_eq!((found.vector, found.rip), (6, page + 2), "the hypercall returns"),
            _ => {
                check_eq!(
                    (found.vector, found.rip),
                    (u64::from(vector::GP), page),
                    "int {n}"
                );
                // By the manual n * 8 + 2; QEMU's TCG in long mode says n * 16 + 2.
                let n = u64::from(n);
                check!(
                    [n * 8 + 2, n * 16 + 2].contains(&found.error),
                    "int {n}: error {:#x}",
                    found.error
                );
                check_eq!(trap::count(vector::GP) - before, 1, "int {n}: once");
            }
        }
        check_eq!(found.ring(), frame.ring(), "int {n}: the ring");
    }
}

fn null_ss(_: u32) {
    if tcg_null_ss() {
        return;
    }
    // mov ss, ecx; then a privileged instruction
    let bytes = [0x8e, 0xd1, 0x0f, 0x20, 0xd8];
    for selector in 0..4 {
        let mut frame = Frame::ring1(code::kernel(&bytes), memory::stack(1));
        frame.rcx = selector;
        let found = trap::run(&frame);
        let at = if selector == 1 { 2 } else { 0 };
        check_eq!(
            (found.vector, found.error, found.rip, found.ring()),
            (u64::from(vector::GP), 0, frame.rip + at, 1),
            "mov ss, {selector}"
        );
    }
}
