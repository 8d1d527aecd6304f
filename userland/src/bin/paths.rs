//! paths: the same system calls by `int 0x80` and by `syscall`: same results, and no register lost.
#![no_std]
#![no_main]

use core::arch::asm;
use linux_raw_sys::general::{__NR_getpid, __NR_write};
use userland::sys::{Way, call};
use userland::{Arguments, Errno, eprintln, println};

userland::program!(main);

/// In the hypervisor's slot.
const KERNEL_ADDRESS: usize = 0xffff_8000_0020_8000;

fn main(_: Arguments) -> i32 {
    for way in [Way::Interrupt, Way::Syscall] {
        // SAFETY: none of the calls below changes memory.
        let ask = |number, arguments| unsafe { call(way, number, arguments) };
        let pid = ask(__NR_getpid, [0; 6]);
        let bad_file = ask(__NR_write, [99, 0, 0, 0, 0, 0]);
        let bad_pointer = ask(__NR_write, [1, KERNEL_ADDRESS, 8, 0, 0, 0]);
        let unknown = ask(999, [0; 6]);
        let results = (bad_file, bad_pointer, unknown);
        if pid.is_err() || results != (Err(Errno::EBADF), Err(Errno::EFAULT), Err(Errno::ENOSYS)) {
            eprintln!("paths: {way:?}: {pid:?} {results:?}");
            return 1;
        }
    }
    if !registers_survive() {
        eprintln!("paths: a register was lost");
        return 1;
    }
    if !flags_survive() {
        eprintln!("paths: a flag was lost");
        return 1;
    }
    println!("paths: int 0x80 and syscall do the same");
    0
}

/// Whether every register but the documented ones (rax; rcx and r11 by `syscall`) is as it was.
fn registers_survive() -> bool {
    let mut changed = 0u64;
    macro_rules! check {
        ($instruction:literal) => {
            // SAFETY: the call is getpid; rbx and rbp are put back.
            unsafe {
                asm!(
                    "push rbx",
                    "push rbp",
                    "mov rbx, 0x1111",
                    "mov rbp, 0x2222",
                    "mov eax, 39",
                    $instruction,
                    "xor rbx, 0x1111",
                    "xor rbp, 0x2222",
                    "or rbx, rbp",
                    "xor r8, 0x3333",
                    "or rbx, r8",
                    "xor r9, 0x4444",
                    "or rbx, r9",
                    "xor r12, 0x5555",
                    "or rbx, r12",
                    "xor r13, 0x6666",
                    "or rbx, r13",
                    "xor r15, 0x7777",
                    "or r15, rbx",
                    "pop rbp",
                    "pop rbx",
                    inout("r8") 0x3333u64 => _,
                    inout("r9") 0x4444u64 => _,
                    inout("r12") 0x5555u64 => _,
                    inout("r13") 0x6666u64 => _,
                    inout("r15") 0x7777u64 => changed,
                    out("rax") _,
                    out("rcx") _,
                    out("r11") _,
                );
            }
        };
    }
    check!("int 0x80");
    let by_interrupt = changed;
    check!("syscall");
    by_interrupt == 0 && changed == 0
}

/// Whether the flags that a program may set are kept: carry, direction, nested task, alignment check, identification.
fn flags_survive() -> bool {
    const FLAGS: u64 = 0x24_4401;
    macro_rules! kept {
        ($instruction:literal) => {{
            let flags: u64;
            // SAFETY: the call is getpid; the flags are put back, and nothing is read or written meanwhile but the
            // aligned stack.
            unsafe {
                asm!(
                    "pushfq",
                    "push {set}",
                    "popfq",
                    "mov eax, 39",
                    $instruction,
                    "pushfq",
                    "pop {set}",
                    "popfq",
                    set = inout(reg) FLAGS | 0x202 => flags,
                    out("rax") _,
                    out("rcx") _,
                    out("r11") _,
                );
            }
            flags & FLAGS == FLAGS
        }};
    }
    kept!("int 0x80") && kept!("syscall")
}
