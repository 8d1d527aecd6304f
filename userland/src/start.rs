//! The first instruction of a program, and its last words when it panics.
use crate::{Arguments, io, process};
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
    process::exit(code)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    io::print(io::STDERR, format_args!("{info}\n"));
    process::exit(101)
}

/// What a host's ready-made core library expects of a C library, of which there is none here.
#[cfg(all(feature = "linux", not(target_os = "none")))]
mod host {
    use core::arch::global_asm;

    // Called by nothing: programs abort when they panic.
    #[unsafe(no_mangle)]
    extern "C" fn rust_eh_personality() {}

    #[unsafe(no_mangle)]
    extern "C" fn _Unwind_Resume() -> ! {
        crate::process::exit(101)
    }

    // rdi, rsi, rdx: as in C. The direction flag is clear at every call.
    global_asm!(
        ".global memcpy, memmove, memset, memcmp, bcmp, strlen",
        "memmove:",
        "mov rax, rdi",
        "mov rcx, rdi",
        "sub rcx, rsi",
        "cmp rcx, rdx",
        "jae 2f",
        // The destination begins within the source: from the end.
        "mov rcx, rdx",
        "lea rdi, [rdi + rdx - 1]",
        "lea rsi, [rsi + rdx - 1]",
        "std",
        "rep movsb",
        "cld",
        "ret",
        "memcpy:",
        "mov rax, rdi",
        "2: mov rcx, rdx",
        "rep movsb",
        "ret",
        "memset:",
        "mov r8, rdi",
        "mov eax, esi",
        "mov rcx, rdx",
        "rep stosb",
        "mov rax, r8",
        "ret",
        "memcmp:",
        "bcmp:",
        "xor eax, eax",
        "xor ecx, ecx",
        "3: cmp rcx, rdx",
        "je 4f",
        "movzx eax, byte ptr [rdi + rcx]",
        "movzx r8d, byte ptr [rsi + rcx]",
        "inc rcx",
        "sub eax, r8d",
        "jz 3b",
        "4: ret",
        "strlen:",
        "xor eax, eax",
        "5: cmp byte ptr [rdi + rax], 0",
        "je 6f",
        "inc rax",
        "jmp 5b",
        "6: ret",
    );
}
