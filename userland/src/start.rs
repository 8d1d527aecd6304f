//! The first instruction of a program, and its last words when it panics.
use crate::{Arguments, io, sys};
use core::arch::global_asm;
use core::panic::PanicInfo;

unsafe extern "Rust" {
    fn userland_main(arguments: Arguments) -> i32;
}

// The kernel leaves the argument count at rsp, the pointers above it.
global_asm!(
    ".global _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {begin}",
    "ud2",
    begin = sym begin,
);

extern "C" fn begin(stack: *const usize) -> ! {
    // SAFETY: the kernel's layout: a count, then so many pointers to strings that end in NUL.
    let arguments = unsafe { Arguments::from_stack(stack) };
    // SAFETY: `program!` defines it with this signature.
    let code = unsafe { userland_main(arguments) };
    sys::exit(code)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    io::print(io::STDERR, format_args!("{info}\n"));
    sys::exit(101)
}
