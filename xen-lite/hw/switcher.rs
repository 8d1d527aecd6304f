//! The switcher's assembly and the addresses in it.
use crate::{entry, stacks};
use abi::layout::{GuestWords, SWITCHER_RO, SWITCHER_RW, SWITCHER_TEXT};
use core::arch::global_asm;
use core::mem::offset_of;
use xen_lite::switcher::{
    ENTRY_FLAGS, MISSING_SYSCALL_VECTOR, ReadOnly, ReadWrite, Registers, TSS_OFFSET, Tss,
};

/// Flags of a guest that a hypercall keeps: all that ring 1 can set but NT.
const FLAGS_KEPT: u32 = 0x0025_0fd7 & !0x3000 & !0x4000;

global_asm!(
    include_str!("switcher/switcher.S"),
    TRAPS = const offset_of!(ReadOnly, traps),
    RSP0 = const TSS_OFFSET + offset_of!(Tss, rsp),
    RSP1 = const TSS_OFFSET + offset_of!(Tss, rsp) + 8,
    SYSCALL_FRAME = const offset_of!(ReadOnly, syscall_frame),
    HYPERVISOR_CR3 = const offset_of!(ReadOnly, hypervisor_cr3),
    GUEST_CR3 = const offset_of!(ReadOnly, guest_cr3),
    STACK = const offset_of!(ReadOnly, stack),
    FAULT_STACK = const offset_of!(ReadOnly, fault_stack),
    NMI_STACK = const offset_of!(ReadOnly, nmi_stack),
    REGISTERS_END = const offset_of!(ReadOnly, registers_end),
    INJECT_SLOT = const offset_of!(ReadOnly, inject_slot),
    UPCALL = const offset_of!(ReadOnly, upcall),
    CR2 = const offset_of!(GuestWords, cr2),
    USER_RSP = const offset_of!(GuestWords, user_rsp),
    SCRATCH_RCX = const offset_of!(ReadWrite, scratch_rcx),
    SCRATCH_RDX = const offset_of!(ReadWrite, scratch_rdx),
    SCRATCH_RSP = const offset_of!(ReadWrite, scratch_rsp),
    UPCALL_MASK = const offset_of!(abi::event::SharedInfo, upcall_mask),
    KERNEL_SS = const abi::selector::KERNEL_SS,
    FLAGS = const ENTRY_FLAGS,
    FLAGS_KEPT = const FLAGS_KEPT,
    MISSING_SYSCALL_VECTOR = const MISSING_SYSCALL_VECTOR,
    REG_RAX = const offset_of!(Registers, rax),
    REG_RCX = const offset_of!(Registers, rcx),
    REG_RDX = const offset_of!(Registers, rdx),
    REG_RBX = const offset_of!(Registers, rbx),
    REG_RBP = const offset_of!(Registers, rbp),
    REG_RSI = const offset_of!(Registers, rsi),
    REG_RDI = const offset_of!(Registers, rdi),
    REG_R8 = const offset_of!(Registers, r8),
    REG_R9 = const offset_of!(Registers, r9),
    REG_R10 = const offset_of!(Registers, r10),
    REG_R11 = const offset_of!(Registers, r11),
    REG_R12 = const offset_of!(Registers, r12),
    REG_R13 = const offset_of!(Registers, r13),
    REG_R14 = const offset_of!(Registers, r14),
    REG_R15 = const offset_of!(Registers, r15),
    REG_ERROR = const offset_of!(Registers, error),
    REG_RIP = const offset_of!(Registers, rip),
    REG_CS = const offset_of!(Registers, cs),
    REG_RFLAGS = const offset_of!(Registers, rflags),
    REG_RSP = const offset_of!(Registers, rsp),
    REG_SS = const offset_of!(Registers, ss),
    HYPERCALL = sym entry::hypercall,
    GUEST_TRAP = sym entry::guest_trap,
    RING0_FAULT = sym entry::ring0_fault,
    NMI = sym entry::nmi,
    IDLE_INTERRUPT = sym entry::IDLE_INTERRUPT,
);
global_asm!(
    include_str!("boot.S"),
    BOOT = sym crate::boot,
    BOOT_STACK = sym stacks::MAIN,
    BOOT_STACK_SIZE = const stacks::TOP_OFFSET,
);

unsafe extern "C" {
    static sw_text: u8;
    static sw_copy_start: u8;
    static sw_copy_end: u8;
    static sw_bounce_iret: u8;
    static sw_exit_iret: u8;
    static sw_syscall: u8;
    static sw_no_syscall: u8;
    static sw_no_syscall_end: u8;
    static switcher_physical: u8;
    static switcher_size: u8;
    static sw_stubs: [u64; 35];
    static sw_masked_stubs: [u64; 32];
    fn sw_resume(registers: *const Registers) -> !;
    fn sw_inject(registers: *const Registers) -> !;
    fn sw_return_to_upcall();
}

/// Places in the switcher's text.
#[derive(Clone, Copy)]
pub(crate) enum Label {
    /// Start of the text.
    Text,
    /// First store of the bounce.
    CopyStart,
    /// Behind its last store.
    CopyEnd,
    /// The bounce's iretq.
    BounceIret,
    /// The iretq to a guest.
    ExitIret,
    /// Where `syscall` enters.
    Syscall,
    /// Where it leads when nothing is registered.
    NoSyscall,
    /// Behind that instruction.
    NoSyscallEnd,
}

/// The address of a label, the same under both CR3s.
pub(crate) fn text_address(label: Label) -> u64 {
    (match label {
        Label::Text => &raw const sw_text,
        Label::CopyStart => &raw const sw_copy_start,
        Label::CopyEnd => &raw const sw_copy_end,
        Label::BounceIret => &raw const sw_bounce_iret,
        Label::ExitIret => &raw const sw_exit_iret,
        Label::Syscall => &raw const sw_syscall,
        Label::NoSyscall => &raw const sw_no_syscall,
        Label::NoSyscallEnd => &raw const sw_no_syscall_end,
    }) as u64
}

/// First physical address and bytes of the text, whole pages.
pub(crate) fn text_physical() -> (u64, u64) {
    debug_assert!(text_address(Label::Text) == SWITCHER_TEXT);
    (
        (&raw const switcher_physical) as u64,
        (&raw const switcher_size) as u64,
    )
}

/// Addresses of the stubs: 32 exceptions, hypercall, missing syscall, first of the interrupts (8 bytes apart).
pub(crate) fn stubs() -> &'static [u64; 35] {
    // SAFETY: a constant table of the image.
    unsafe { &sw_stubs }
}

/// Addresses of the stubs that also mask events, by exception; 0 where there is none.
pub(crate) fn masked_stubs() -> &'static [u64; 32] {
    // SAFETY: a constant table of the image.
    unsafe { &sw_masked_stubs }
}

/// Address of the GDT.
pub(crate) const fn gdt_address() -> u64 {
    SWITCHER_RO + offset_of!(ReadOnly, gdt) as u64
}

/// Address of the IDT.
pub(crate) const fn idt_address() -> u64 {
    SWITCHER_RO + offset_of!(ReadOnly, idt) as u64
}

/// rcx and rdx of a guest whose bounce faulted in the middle.
pub(crate) fn scratch() -> (u64, u64) {
    let word = |offset: usize| {
        let address = (SWITCHER_RW + offset as u64) as *const u64;
        // SAFETY: the current vCPU's read-write page is mapped there.
        unsafe { address.read_volatile() }
    };
    (
        word(offset_of!(ReadWrite, scratch_rcx)),
        word(offset_of!(ReadWrite, scratch_rdx)),
    )
}

/// Goes on with a guest.
///
/// # Safety
/// Slot 256 of the hypervisor's root names the set of the vCPU whose registers these are; its guest root is valid.
pub(crate) unsafe fn resume(registers: *const Registers) -> ! {
    // SAFETY: the caller's duty.
    unsafe { sw_resume(registers) }
}

/// The same, after the trap whose slot stands in the read-only page; its error code is in the registers.
///
/// # Safety
/// As for [`resume`].
pub(crate) unsafe fn inject(registers: *const Registers) -> ! {
    // SAFETY: the caller's duty.
    unsafe { sw_inject(registers) }
}

/// Goes on with a guest behind its hypercall, with these in rax and rdx, after its upcall.
///
/// # Safety
/// As for [`resume`]; it was entered by that hypercall and has not gone on since.
#[inline(always)]
pub(crate) unsafe fn return_to_upcall(value: u64, detail: u64) -> ! {
    // SAFETY: the caller's duty; the stack is abandoned. The text is too far away for a direct jump.
    unsafe {
        core::arch::asm!(
            "movabs rcx, offset {}",
            "jmp rcx",
            sym sw_return_to_upcall,
            in("rax") value,
            in("rdx") detail,
            options(noreturn),
        )
    }
}
