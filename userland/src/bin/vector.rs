//! vector: the vector registers are empty when a program begins, and keep what it puts there across system calls and
//! page faults. Leaves them full: run it twice, and the second finds what the kernel let through.
#![no_std]
#![no_main]

use core::arch::asm;
use userland::{Arguments, eprintln, println, process};

userland::program!(main);

/// xmm0 to xmm15.
type Registers = [[u64; 2]; 16];

macro_rules! each_register {
    ($instruction:literal, $pointer:expr) => {
        asm!(
            concat!($instruction, " 0"), concat!($instruction, " 1"), concat!($instruction, " 2"),
            concat!($instruction, " 3"), concat!($instruction, " 4"), concat!($instruction, " 5"),
            concat!($instruction, " 6"), concat!($instruction, " 7"), concat!($instruction, " 8"),
            concat!($instruction, " 9"), concat!($instruction, " 10"), concat!($instruction, " 11"),
            concat!($instruction, " 12"), concat!($instruction, " 13"), concat!($instruction, " 14"),
            concat!($instruction, " 15"),
            in("rdi") $pointer,
            options(nostack)
        )
    };
}

core::arch::global_asm!(
    ".macro save_xmm n",
    "movups [rdi + 16 * \\n], xmm\\n",
    ".endm",
    ".macro load_xmm n",
    "movups xmm\\n, [rdi + 16 * \\n]",
    ".endm",
);

fn main(_: Arguments) -> i32 {
    let mut registers: Registers = [[1; 2]; 16];
    // SAFETY: sixteen registers fit.
    unsafe { each_register!("save_xmm", &raw mut registers) };
    if registers != [[0; 2]; 16] {
        eprintln!("vector: something was left over: {registers:x?}");
        return 1;
    }
    let full: Registers = core::array::from_fn(|index| [index as u64 + 1, !(index as u64)]);
    // SAFETY: the program is built without vector registers.
    unsafe { each_register!("load_xmm", &raw const full) };
    let Ok(page) = process::map_anonymous(1) else {
        eprintln!("vector: mmap failed");
        return 1;
    };
    // SAFETY: the page is ours.
    unsafe { page.write_volatile(1) };
    // SAFETY: sixteen registers fit.
    unsafe { each_register!("save_xmm", &raw mut registers) };
    if registers != full {
        eprintln!("vector: a register has changed: {registers:x?}");
        return 1;
    }
    println!("vector: clean at first, kept afterwards");
    0
}
