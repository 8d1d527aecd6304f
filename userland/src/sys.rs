//! System calls: Linux's numbers and registers, by `int 0x80` or by the `syscall` instruction.
use core::arch::asm;

/// Which instruction asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// `int 0x80`: the CPU goes straight to the kernel in ring 1.
    Interrupt,
    /// `syscall`: by way of the hypervisor.
    Syscall,
}

/// Numbers, from Linux's table for x86-64.
#[allow(missing_docs, reason = "the names are Linux's")]
pub mod number {
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const MMAP: usize = 9;
    pub const MPROTECT: usize = 10;
    pub const MUNMAP: usize = 11;
    pub const BRK: usize = 12;
    pub const GETPID: usize = 39;
    pub const EXIT_GROUP: usize = 231;
}

/// An error, as Linux numbers them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno(pub i32);

/// Makes a system call.
///
/// # Safety
/// What the call does to the program's memory is the caller's duty.
pub unsafe fn call(way: Way, number: usize, arguments: [usize; 6]) -> Result<usize, Errno> {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    let result: isize;
    match way {
        // SAFETY: registers as the kernel expects them; the rest is the caller's duty.
        Way::Interrupt => unsafe {
            asm!(
                "int 0x80",
                inlateout("rax") number => result,
                in("rdi") first, in("rsi") second, in("rdx") third,
                in("r10") fourth, in("r8") fifth, in("r9") sixth,
                options(nostack)
            );
        },
        // SAFETY: likewise; the instruction itself overwrites rcx and r11.
        Way::Syscall => unsafe {
            asm!(
                "syscall",
                inlateout("rax") number => result,
                in("rdi") first, in("rsi") second, in("rdx") third,
                in("r10") fourth, in("r8") fifth, in("r9") sixth,
                lateout("rcx") _, lateout("r11") _,
                options(nostack)
            );
        },
    }
    match result {
        -4095..0 => Err(Errno(-result as i32)),
        value => Ok(value as usize),
    }
}

fn ordinary(number: usize, first: usize, second: usize, third: usize) -> Result<usize, Errno> {
    // SAFETY: callers pass buffers of their own.
    unsafe { call(Way::Interrupt, number, [first, second, third, 0, 0, 0]) }
}

/// Ends the program.
pub fn exit(code: i32) -> ! {
    loop {
        // The call does not return.
        let _ = ordinary(number::EXIT_GROUP, code as usize, 0, 0);
    }
}

/// Reads some bytes; 0 at the end of input.
///
/// # Errors
/// The kernel's.
pub fn read(descriptor: usize, buffer: &mut [u8]) -> Result<usize, Errno> {
    ordinary(
        number::READ,
        descriptor,
        buffer.as_mut_ptr() as usize,
        buffer.len(),
    )
}

/// Writes some bytes.
///
/// # Errors
/// The kernel's.
pub fn write(descriptor: usize, bytes: &[u8]) -> Result<usize, Errno> {
    ordinary(number::WRITE, descriptor, bytes.as_ptr() as usize, bytes.len())
}

/// Pages of zeros, readable and writable.
///
/// # Errors
/// The kernel's.
pub fn map(length: usize) -> Result<*mut u8, Errno> {
    const READ_WRITE: usize = 3;
    const PRIVATE_ANONYMOUS: usize = 0x22;
    // SAFETY: the kernel picks addresses where nothing is.
    let address = unsafe {
        call(
            Way::Interrupt,
            number::MMAP,
            [0, length, READ_WRITE, PRIVATE_ANONYMOUS, usize::MAX, 0],
        )
    }?;
    Ok(address as *mut u8)
}

/// Gives pages back.
///
/// # Safety
/// Nothing of the program's uses them any more.
///
/// # Errors
/// The kernel's.
pub unsafe fn unmap(address: *mut u8, length: usize) -> Result<(), Errno> {
    ordinary(number::MUNMAP, address as usize, length, 0).map(|_| ())
}

/// Moves the end of the heap; says where it is.
///
/// # Safety
/// Nothing of the program's uses what lies above the new end.
pub unsafe fn set_break(end: usize) -> usize {
    ordinary(number::BRK, end, 0, 0).unwrap_or(0)
}
