//! The first instructions, the way into ring 3, and the ways back.
//!
//! A program's registers travel through [`TRAP_AREA`]: its end is the stack on which traps from ring 3 arrive, so the CPU's
//! frame (or the hypervisor's) and the stubs' pushes fill in a [`Context`] there, lowest field last. [`ring3_enter`] is
//! a function for its caller: it returns at the program's next trap. Traps of the kernel itself arrive on
//! whatever stack it runs on and return to where they struck.
//!
//! Events are masked whenever the kernel runs: the stubs mask them, [`ring3_enter`] lets them in with its last
//! instructions, in the region that abi/README.md describes. An event that strikes ring 3, or that region, is a trap of the
//! program ([`EVENT_VECTOR`]); one that strikes before a stub has masked events only leaves them masked: whoever was
//! interrupted looks for events later. Nothing here can fault or make a system call, so the switcher's words for CR2
//! and the user's stack pointer are whole when a stub reads them.
//!
//! No instruction here loads SS: with a null selector QEMU's TCG would change the privilege level.
use crate::boot;
use crate::stack::{KERNEL_STACK, STACK_SIZE};
use crate::traps::kernel_trap;
use abi::event::SharedInfo;
use abi::layout::{CR2_WORD, SHARED_INFO, USER_RSP_WORD};
use abi::selector::{USER_CS, USER_SS};
use core::arch::global_asm;
use core::cell::UnsafeCell;
use pv_kernel::context::{Context, EVENT_VECTOR, INT80_VECTOR, SYSCALL_VECTOR};

/// Words below the context: were the return to ring 3 to fault, the frame would lie there.
const SLACK: usize = 129;

/// Where the registers of the running program are saved.
#[repr(C, align(64))]
pub(crate) struct TrapArea {
    slack: [u64; SLACK],
    context: Context,
}
// The end is the stack for traps from ring 3: 16-aligned, so that no padding comes between it and the frame.
const _: () = assert!((SLACK * 8 + size_of::<Context>()).is_multiple_of(16));
const CONTEXT_OFFSET: usize = core::mem::offset_of!(TrapArea, context);

/// Shared with the stubs, on the one CPU: they write it between [`ring3_enter`] and its return, Rust at all other times.
#[repr(transparent)]
pub(crate) struct Shared<T>(UnsafeCell<T>);
// SAFETY: one CPU, and no interrupt handlers: Rust and the stubs never use it at the same time.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    pub(crate) const fn get(&self) -> *mut T {
        self.0.get()
    }
}

pub(crate) static TRAP_AREA: Shared<TrapArea> = Shared::new(TrapArea {
    slack: [0; SLACK],
    context: Context {
        cr2: 0,
        r15: 0,
        r14: 0,
        r13: 0,
        r12: 0,
        r11: 0,
        r10: 0,
        r9: 0,
        r8: 0,
        rdi: 0,
        rsi: 0,
        rbp: 0,
        rbx: 0,
        rdx: 0,
        rcx: 0,
        rax: 0,
        vector: 0,
        error: 0,
        rip: 0,
        cs: 0,
        rflags: 0,
        rsp: 0,
        ss: 0,
    },
});

/// The kernel's stack pointer while a program runs.
static KERNEL_RSP: Shared<u64> = Shared::new(0);

/// rax, while the return to ring 3 needs it for something else.
static SAVED_RAX: Shared<u64> = Shared::new(0);

/// Where the upcall mask is.
const UPCALL_MASK: u64 = SHARED_INFO + core::mem::offset_of!(SharedInfo, upcall_mask) as u64;
// The region reads the flag and writes the mask by one register.
const _: () = assert!(core::mem::offset_of!(SharedInfo, upcall_pending) == 0);
const _: () = assert!(core::mem::offset_of!(SharedInfo, upcall_mask) == 1);

/// The stack on which traps from ring 3 arrive.
pub(crate) fn trap_stack() -> u64 {
    TRAP_AREA.get() as u64 + (CONTEXT_OFFSET + size_of::<Context>()) as u64
}

/// The context in the trap area.
pub(crate) fn trap_context() -> *mut Context {
    TRAP_AREA.get().wrapping_byte_add(CONTEXT_OFFSET).cast()
}

unsafe extern "C" {
    /// Runs the program whose registers are in the trap area until its next trap.
    pub(crate) fn ring3_enter();
    /// Where the `syscall` instruction of a program leads.
    pub(crate) fn syscall_entry();
    /// The stub of vector 0; each other exception's is so many times [`STUB_SIZE`] further.
    pub(crate) fn trap_stubs();
    /// Where events arrive.
    pub(crate) fn event_upcall();
    /// In the region from here on, an event is entered on the frame that lies there.
    pub(crate) fn event_region_start();
    /// The region's end.
    pub(crate) fn event_region_end();
    /// The stub of `int 0x80`.
    pub(crate) fn int80_stub();
}

/// Bytes from the stub of one exception to the next.
pub(crate) const STUB_SIZE: u64 = 16;

global_asm!(
    r#"
    .section .text.entry, "ax"

    # From the hypervisor: rsi = start_info, on a stack that is given up here.
    .global _start
_start:
    lea     rsp, [rip + {kernel_stack} + {stack_size}]
    xor     ebp, ebp
    mov     rdi, rsi
    call    {boot}
    ud2

    # From a context at rsp to the frame above it.
    .macro restore_registers
    add     rsp, 8                  # cr2
    pop     r15
    pop     r14
    pop     r13
    pop     r12
    pop     r11
    pop     r10
    pop     r9
    pop     r8
    pop     rdi
    pop     rsi
    pop     rbp
    pop     rbx
    pop     rdx
    pop     rcx
    pop     rax
    add     rsp, 16                 # vector, error code
    .endm

    # Two shapes of frames: with an error code (every bounced one, and #AC) and without.
    .macro plain vector
    .balign {stub_size}
    push    0
    push    \vector
    jmp     trap_common
    .endm
    .macro with_error vector
    .balign {stub_size}
    push    \vector
    jmp     trap_common
    .endm

    .balign {stub_size}
    .global trap_stubs
trap_stubs:
    plain       0       # DE
    with_error  1       # DB, bounced
    plain       2       # NMI: not ours
    plain       3       # BP
    plain       4       # OF
    plain       5       # BR
    plain       6       # UD
    plain       7       # NM
    with_error  8       # DF: not ours
    plain       9
    with_error  10      # TS, bounced
    with_error  11      # NP, bounced
    with_error  12      # SS, bounced
    with_error  13      # GP, bounced
    with_error  14      # PF, bounced
    plain       15
    plain       16      # MF
    with_error  17      # AC
    plain       18      # MC: not ours
    plain       19      # XM

    .balign {stub_size}
    .global int80_stub
int80_stub:
    plain       {int80}

    # On the stack for traps from ring 3; rcx = the program's rip, r11 = its flags, its rsp in a word of the switcher.
    .balign {stub_size}
    .global syscall_entry
syscall_entry:
    push    {user_ss}
    push    r11                     # place of rsp
    push    r11
    push    {user_cs}
    push    rcx
    push    0
    push    {syscall}
    push    rax
    movabs  rax, [{user_rsp_word}]
    mov     [rsp + 48], rax
    jmp     trap_mask

    # rsp: error code, rip, cs, rflags, rsp, ss. The error code is not 0 when the region was interrupted, whose rax is kept.
    .balign {stub_size}
    .global event_upcall
event_upcall:
    cmp     qword ptr [rsp], 0
    cmovne  rax, [rip + {saved_rax}]
    test    byte ptr [rsp + 16], 2
    jnz     event_trap
    add     rsp, 8
    iretq                           # to a stub that has not masked events yet: they are masked now
event_trap:
    push    {event}

    # The frame, an error code and the vector are on the stack. User AC and DF may be set after a direct trap.
trap_common:
    push    rax
trap_mask:
    mov     al, 1
    movabs  [{upcall_mask}], al
    push    rcx
    push    rdx
    push    rbx
    push    rbp
    push    rsi
    push    rdi
    push    r8
    push    r9
    push    r10
    push    r11
    push    r12
    push    r13
    push    r14
    push    r15
    movabs  rax, [{cr2_word}]
    push    rax
    cld
    push    2
    popfq                           # clears AC; IF and IOPL are not ours to change
    test    byte ptr [rsp + {cs}], 2
    jz      from_kernel

    # From ring 3: ring3_enter returns.
    mov     rsp, [rip + {kernel_rsp}]
    pop     r15
    pop     r14
    pop     r13
    pop     r12
    pop     rbp
    pop     rbx
    ret

from_kernel:
    mov     rdi, rsp
    mov     rbx, rsp
    and     rsp, -16
    call    {kernel_trap}
    mov     rsp, rbx
    restore_registers
    iretq

    .global ring3_enter
ring3_enter:
    push    rbx
    push    rbp
    push    r12
    push    r13
    push    r14
    push    r15
    mov     [rip + {kernel_rsp}], rsp
    lea     rsp, [rip + {trap_area} + {context}]
    restore_registers
    mov     [rip + {saved_rax}], rax
    movabs  rax, {shared_info}
    mov     byte ptr [rax + 1], 0   # upcall_mask
    .global event_region_start
event_region_start:
    cmp     byte ptr [rax], 0       # upcall_pending
    jne     1f
    mov     rax, [rip + {saved_rax}]
    iretq
1:  mov     byte ptr [rax + 1], 1
    .global event_region_end
event_region_end:
    mov     rax, [rip + {saved_rax}]
    push    0
    jmp     event_trap
    "#,
    kernel_stack = sym KERNEL_STACK,
    stack_size = const STACK_SIZE,
    boot = sym boot::boot,
    kernel_trap = sym kernel_trap,
    kernel_rsp = sym KERNEL_RSP,
    trap_area = sym TRAP_AREA,
    context = const CONTEXT_OFFSET,
    cs = const core::mem::offset_of!(Context, cs),
    stub_size = const STUB_SIZE,
    int80 = const INT80_VECTOR,
    syscall = const SYSCALL_VECTOR,
    user_ss = const USER_SS,
    user_cs = const USER_CS,
    user_rsp_word = const USER_RSP_WORD,
    cr2_word = const CR2_WORD,
    event = const EVENT_VECTOR,
    saved_rax = sym SAVED_RAX,
    shared_info = const SHARED_INFO,
    upcall_mask = const UPCALL_MASK,
);
