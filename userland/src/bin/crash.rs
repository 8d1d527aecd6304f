//! crash KIND: dies of what it is told to.
#![no_std]
#![no_main]

use core::arch::asm;
use core::hint::black_box;
use userland::{Arguments, eprintln, print};

userland::program!(main);

/// A way to die.
struct Kind {
    name: &'static str,
    /// Returns only if the program survived.
    die: fn(),
}

/// Instructions that the program does not survive.
macro_rules! instructions {
    ($name:literal, $($text:literal),+) => {
        Kind {
            name: $name,
            die: || {
                // SAFETY: the kernel ends the program here; whatever the registers hold afterwards is not used.
                unsafe { asm!($($text),+, clobber_abi("C")) }
            },
        }
    };
}

/// What each dies of is said by the kernel.
static KINDS: &[Kind] = &[
    instructions!("divide", "xor ecx, ecx", "xor edx, edx", "mov eax, 1", "div ecx"),
    instructions!("null", "xor eax, eax", "mov rax, [rax]"),
    instructions!("null-write", "mov eax, 8", "mov [rax], rax"),
    instructions!("null-call", "xor eax, eax", "call rax"),
    instructions!("privileged", "hlt"),
    instructions!("cli", "cli"),
    instructions!("port", "mov dx, 0x3f8", "out dx, al"),
    instructions!("cr3", "mov rax, cr3"),
    instructions!("wrmsr", "xor ecx, ecx", "wrmsr"),
    instructions!("lgdt", "lgdt [rsp]"),
    instructions!("hypercall", "int 0x82"),
    instructions!("software-interrupt", "int 14"),
    instructions!("int3", "int3"),
    instructions!("into", "int 4"),
    instructions!("ud2", "ud2"),
    instructions!(
        "single-step",
        "pushfq",
        "or qword ptr [rsp], 0x100",
        "popfq",
        "nop"
    ),
    instructions!("write-text", "lea rax, [rip + 0]", "mov byte ptr [rax], 0x90"),
    instructions!(
        "exec-stack",
        "mov word ptr [rsp - 8], 0x9090",
        "lea rax, [rsp - 8]",
        "jmp rax"
    ),
    instructions!("wild-jump", "mov rax, 0x500000000", "jmp rax"),
    instructions!("non-canonical", "mov rax, 0x8000000000000000", "mov rax, [rax]"),
    instructions!("non-canonical-stack", "mov rsp, 0x8000000000000000", "push rax"),
    instructions!("kernel-read", "mov rax, 0xffffffff80000000", "mov rax, [rax]"),
    instructions!("switcher-read", "mov rax, 0xffff800000200000", "mov rax, [rax]"),
    instructions!("switcher-jump", "mov rax, 0xffff800000200000", "jmp rax"),
    instructions!("selector", "mov ax, 0xfff3", "mov fs, ax"),
    instructions!(
        "simd",
        "mov dword ptr [rsp - 8], 0x1d80",
        "ldmxcsr [rsp - 8]",
        "mov dword ptr [rsp - 8], 0",
        "xorps xmm0, xmm0",
        "mov eax, 1",
        "cvtsi2ss xmm1, eax",
        "divss xmm1, xmm0"
    ),
    instructions!(
        "x87",
        "mov word ptr [rsp - 8], 0x37b",
        "fldcw [rsp - 8]",
        "fld1",
        "fldz",
        "fdivp st(1), st",
        "fwait"
    ),
    instructions!(
        "misaligned",
        "pushfq",
        "or qword ptr [rsp], 0x40000",
        "popfq",
        "mov rax, [rsp + 1]"
    ),
    instructions!(
        "step-int80",
        "mov eax, 39",
        "pushfq",
        "or qword ptr [rsp], 0x100",
        "popfq",
        "int 0x80",
        "nop"
    ),
    instructions!(
        "step-syscall",
        "mov eax, 39",
        "pushfq",
        "or qword ptr [rsp], 0x100",
        "popfq",
        "syscall",
        "nop"
    ),
    Kind {
        name: "stack-overflow",
        die: || overflow_stack(0),
    },
    Kind {
        name: "panic",
        die: || panic!("as it was told to"),
    },
];

fn main(arguments: Arguments) -> i32 {
    let wanted = arguments.text(1).unwrap_or("");
    let Some(kind) = KINDS.iter().find(|kind| kind.name == wanted) else {
        eprintln!("usage: crash KIND, where KIND is one of");
        KINDS.iter().for_each(|kind| print!("  {}\n", kind.name));
        return 2;
    };
    (kind.die)();
    eprintln!("crash: survived {wanted}");
    3
}

#[allow(unconditional_recursion, reason = "that is what it is for")]
fn overflow_stack(depth: u64) {
    let frame = black_box([depth; 64]);
    overflow_stack(depth + 1);
    black_box(frame);
}
