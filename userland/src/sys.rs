//! System calls: Linux's numbers and registers, by `int 0x80` or by the `syscall` instruction.
use crate::Errno;
use core::arch::asm;

/// Which instruction asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// `int 0x80`: the CPU goes straight to the kernel in ring 1.
    Interrupt,
    /// `syscall`: by way of the hypervisor; on Linux the only way for 64-bit programs.
    Syscall,
}

/// The way that the programs use.
pub const WAY: Way = if cfg!(any(feature = "linux", not(target_os = "none"))) {
    Way::Syscall
} else {
    Way::Interrupt
};

/// Makes a system call.
///
/// # Safety
/// What the call does to the program's memory is the caller's duty.
///
/// # Errors
/// The kernel's.
pub unsafe fn call(way: Way, number: u32, arguments: [usize; 6]) -> Result<usize, Errno> {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    let result: isize;
    match way {
        // SAFETY: registers as the kernel expects them; the rest is the caller's duty.
        Way::Interrupt => unsafe {
            asm!(
                "int 0x80",
                inlateout("rax") number as usize => result,
                in("rdi") first, in("rsi") second, in("rdx") third,
                in("r10") fourth, in("r8") fifth, in("r9") sixth,
                options(nostack)
            );
        },
        // SAFETY: likewise; the instruction itself overwrites rcx and r11.
        Way::Syscall => unsafe {
            asm!(
                "syscall",
                inlateout("rax") number as usize => result,
                in("rdi") first, in("rsi") second, in("rdx") third,
                in("r10") fourth, in("r8") fifth, in("r9") sixth,
                lateout("rcx") _, lateout("r11") _,
                options(nostack)
            );
        },
    }
    match result {
        -4095..0 => Err(Errno(-result as u32)),
        value => Ok(value as usize),
    }
}

/// A call with up to six arguments in the ordinary way.
///
/// # Safety
/// As for [`call`].
///
/// # Errors
/// The kernel's.
pub unsafe fn ask<const N: usize>(number: u32, arguments: [usize; N]) -> Result<usize, Errno> {
    const { assert!(N <= 6) };
    let mut all = [0; 6];
    for (slot, argument) in all.iter_mut().zip(arguments) {
        *slot = argument;
    }
    // SAFETY: the caller's duty.
    unsafe { call(WAY, number, all) }
}

/// A call none of whose arguments is a pointer, and that changes no memory of the program's.
pub(crate) fn plain<const N: usize>(number: u32, arguments: [usize; N]) -> Result<usize, Errno> {
    // SAFETY: the calls that this module's neighbours make so do not touch memory.
    unsafe { ask(number, arguments) }
}
