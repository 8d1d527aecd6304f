//! The pages that a vCPU shares with the switcher, as data.
//!
//! Three kinds, at fixed addresses under both CR3s (`abi::layout`): text, read-only data ([`ReadOnly`]) and
//! read-write data ([`ReadWrite`]). The set belongs to the vCPU, not to the CPU: what an entry stores there only the same
//! guest can read. The hypervisor changes it through the direct map, word by word, at the offsets below; the assembly
//! takes the same offsets.
use crate::trap::frame::ReturnFrame;
use abi::layout::{GuestWords, PAGE_SIZE, SWITCHER_RO, SWITCHER_RW};
use abi::selector::GDT_ENTRIES;
use abi::trap::EXCEPTIONS;
use core::mem::offset_of;

/// Vectors that have a gate: 0 to the hypercall's.
pub const IDT_ENTRIES: usize = crate::trap::gates::GATES;
/// First interrupt vector; there are 32.
pub const FIRST_INTERRUPT: u8 = 0x20;
/// Vector of the APIC timer.
pub const TIMER_VECTOR: u8 = 0x30;
/// Vector of the APIC's spurious interrupt; its low four bits are set, as old APICs want.
pub const SPURIOUS_VECTOR: u8 = 0x3f;
/// The gate through which an unregistered `syscall` comes back into ring 0; DPL 1.
pub const MISSING_SYSCALL_VECTOR: u8 = 0x81;
/// Flags with which a trap handler, upcall or syscall entry starts.
pub const ENTRY_FLAGS: u64 = 0x202;

/// A trap-table entry as the bounce reads it: the two words that it pushes.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct TrapSlot {
    /// Handler; 0 with `cs` 0 is the sentinel that iretq refuses.
    pub address: u64,
    /// Its selector.
    pub cs: u64,
}

/// SDM vol. 3A, figure 8-11, cut at its fixed part.
#[repr(C, packed(4))]
#[derive(Clone, Copy)]
pub struct Tss {
    reserved0: u32,
    /// Stacks for entries to rings 0, 1 and 2.
    pub rsp: [u64; 3],
    reserved1: u64,
    /// Interrupt stacks 1 to 7.
    pub ist: [u64; 7],
    reserved2: u64,
    reserved3: u16,
    /// At or beyond the limit: no I/O map.
    pub io_map: u16,
}
const _: () = assert!(size_of::<Tss>() == 104);

/// The read-only page: what the guest may read and only the hypervisor writes.
#[repr(C)]
pub struct ReadOnly {
    /// Gates, two words each.
    pub idt: [[u64; 2]; IDT_ENTRIES],
    /// Descriptors.
    pub gdt: [u64; GDT_ENTRIES],
    /// What bounces read.
    pub traps: [TrapSlot; EXCEPTIONS],
    /// What the delivery of an event reads.
    pub upcall: TrapSlot,
    /// rip, cs, rflags, rsp, ss for the syscall entry's iretq.
    pub syscall_frame: [u64; 5],
    /// Root of the hypervisor's own address space.
    pub hypervisor_cr3: u64,
    /// Root of the guest's.
    pub guest_cr3: u64,
    /// Top of the hypervisor's stack.
    pub stack: u64,
    /// Top of its stack for faults in ring 0.
    pub fault_stack: u64,
    /// Top of its stack for NMIs.
    pub nmi_stack: u64,
    /// End of the vCPU's `Registers`.
    pub registers_end: u64,
    /// The slot of a trap that the hypervisor injects.
    pub inject_slot: u64,
    tss_alignment: u32,
    /// The task-state segment; its 64-bit fields are 4 past a multiple of 8, so it starts there.
    pub tss: Tss,
}
const _: () = assert!(size_of::<ReadOnly>() as u64 <= PAGE_SIZE);
const _: () = assert!(TSS_OFFSET % 8 == 4);

/// Where the TSS starts in the page.
pub const TSS_OFFSET: usize = offset_of!(ReadOnly, tss);
/// Address of the TSS.
pub const TSS_ADDRESS: u64 = SWITCHER_RO + TSS_OFFSET as u64;
/// Offset of RSP0 in the page.
pub const RSP0_OFFSET: usize = TSS_OFFSET + offset_of!(Tss, rsp);
/// Offset of RSP1, the guest's kernel stack, in the page.
pub const RSP1_OFFSET: usize = RSP0_OFFSET + 8;
const _: () = assert!(RSP1_OFFSET.is_multiple_of(8));

/// The read-write page: ring 1 can write every byte of it.
#[repr(C)]
pub struct ReadWrite {
    /// For the guest.
    pub words: GuestWords,
    /// Registers of a bounce under way.
    pub scratch_rcx: u64,
    /// The same.
    pub scratch_rdx: u64,
    /// The guest stack pointer that the range check works on.
    pub scratch_rsp: u64,
    unused: [u64; 3],
    /// Stack of #DB.
    pub debug_stack: [u64; 60],
    /// Stack of NMI.
    pub nmi_stack: [u64; 64],
    /// Stack of #DF.
    pub double_fault_stack: [u64; 64],
    /// Stack of #MC.
    pub machine_check_stack: [u64; 64],
    /// RSP0: everything else.
    pub stack: [u64; 252],
}
const _: () = assert!(size_of::<ReadWrite>() as u64 == PAGE_SIZE);

/// Top of the stack that ring 0 is entered on.
pub const RSP0: u64 = SWITCHER_RW + PAGE_SIZE;
/// Tops of interrupt stacks 1 to 4, in the order of [`crate::trap::gates::ist`].
pub const IST_TOPS: [u64; 4] = [
    SWITCHER_RW + offset_of!(ReadWrite, nmi_stack) as u64,
    SWITCHER_RW + offset_of!(ReadWrite, double_fault_stack) as u64,
    SWITCHER_RW + offset_of!(ReadWrite, machine_check_stack) as u64,
    SWITCHER_RW + offset_of!(ReadWrite, stack) as u64,
];
const _: () = assert!(
    IST_TOPS[0].is_multiple_of(16) && IST_TOPS[1].is_multiple_of(16) && IST_TOPS[2].is_multiple_of(16)
);
const _: () = assert!(IST_TOPS[3].is_multiple_of(16));

/// Address of the slot of `vector` in the read-only page.
#[must_use]
pub const fn slot_address(vector: u8) -> u64 {
    SWITCHER_RO + offset_of!(ReadOnly, traps) as u64 + 16 * (vector as u64 & 31)
}

/// Address of the event upcall's slot in the read-only page.
pub const UPCALL_SLOT: u64 = SWITCHER_RO + offset_of!(ReadOnly, upcall) as u64;

/// What a slot's address stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slot {
    /// A trap.
    Vector(u8),
    /// The event upcall.
    Upcall,
}

impl Slot {
    /// The slot with this address, if it is one.
    #[must_use]
    pub const fn at(address: u64) -> Option<Self> {
        match slot_vector(address) {
            Some(vector) => Some(Self::Vector(vector)),
            None if address == UPCALL_SLOT => Some(Self::Upcall),
            None => None,
        }
    }

    /// The trap, if it is one.
    #[must_use]
    pub const fn vector(self) -> Option<u8> {
        match self {
            Self::Vector(vector) => Some(vector),
            Self::Upcall => None,
        }
    }
}

/// The vector whose slot has this address.
#[must_use]
pub const fn slot_vector(address: u64) -> Option<u8> {
    let offset = address.wrapping_sub(slot_address(0));
    if offset < 16 * EXCEPTIONS as u64 && offset.is_multiple_of(16) {
        Some((offset / 16) as u8)
    } else {
        None
    }
}

/// A guest's registers as every entry from it saves them (`switcher.S` counts on the order).
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct Registers {
    #[allow(missing_docs, reason = "a register")]
    pub r15: u64,
    #[allow(missing_docs, reason = "a register")]
    pub r14: u64,
    #[allow(missing_docs, reason = "a register")]
    pub r13: u64,
    #[allow(missing_docs, reason = "a register")]
    pub r12: u64,
    #[allow(missing_docs, reason = "a register")]
    pub r11: u64,
    #[allow(missing_docs, reason = "a register")]
    pub r10: u64,
    #[allow(missing_docs, reason = "a register")]
    pub r9: u64,
    #[allow(missing_docs, reason = "a register")]
    pub r8: u64,
    #[allow(missing_docs, reason = "a register")]
    pub rdi: u64,
    #[allow(missing_docs, reason = "a register")]
    pub rsi: u64,
    #[allow(missing_docs, reason = "a register")]
    pub rbp: u64,
    #[allow(missing_docs, reason = "a register")]
    pub rbx: u64,
    #[allow(missing_docs, reason = "a register")]
    pub rdx: u64,
    #[allow(missing_docs, reason = "a register")]
    pub rcx: u64,
    #[allow(missing_docs, reason = "a register")]
    pub rax: u64,
    /// The vector that led here, or a slot's address.
    pub vector: u64,
    /// Its error code.
    pub error: u64,
    /// The frame that the CPU pushed.
    pub rip: u64,
    #[allow(missing_docs, reason = "a register")]
    pub cs: u64,
    #[allow(missing_docs, reason = "a register")]
    pub rflags: u64,
    #[allow(missing_docs, reason = "a register")]
    pub rsp: u64,
    #[allow(missing_docs, reason = "a register")]
    pub ss: u64,
}
const _: () = assert!(size_of::<Registers>() == 22 * 8);
const _: () = assert!(offset_of!(Registers, rip) - offset_of!(Registers, rbx) == 48);
const _: () = assert!(offset_of!(Registers, rip) - offset_of!(Registers, r15) == 136);

impl Registers {
    /// Nothing in any of them.
    pub const ZERO: Self = Self {
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
    };

    /// The ring that was interrupted.
    #[must_use]
    pub const fn cpl(&self) -> u64 {
        self.cs & 3
    }

    /// The frame alone.
    #[must_use]
    pub const fn frame(&self) -> ReturnFrame {
        ReturnFrame {
            rip: self.rip,
            cs: self.cs,
            rflags: self.rflags,
            rsp: self.rsp,
            ss: self.ss,
        }
    }

    /// Replaces the frame.
    pub const fn set_frame(&mut self, frame: ReturnFrame) {
        ReturnFrame {
            rip: self.rip,
            cs: self.cs,
            rflags: self.rflags,
            rsp: self.rsp,
            ss: self.ss,
        } = frame;
    }
}
