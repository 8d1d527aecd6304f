//! Page tables by hypercall (direct paging, the paper's section 3.3.3).
use crate::numbered::numbered;
use bitflags::bitflags;

bitflags! {
    /// A page-table entry's bits that a guest may set while the entry is present (SDM vol. 3A, 4.5), all
    /// others but the frame number are refused: no PWT, PCD, PAT, PS, G, protection keys.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct PteFlags: u64 {
        /// The entry is valid.
        const PRESENT = 1 << 0;
        /// Writes are allowed.
        const WRITABLE = 1 << 1;
        /// Ring 3 is allowed.
        const USER = 1 << 2;
        /// The CPU has used it.
        const ACCESSED = 1 << 5;
        /// The CPU has written through it (L1).
        const DIRTY = 1 << 6;
        /// Free for the guest, low part.
        const AVAILABLE_LOW = 0b111 << 9;
        /// Free for the guest, high part.
        const AVAILABLE_HIGH = 0x7f << 52;
        /// No instruction may be fetched.
        const NO_EXECUTE = 1 << 63;
    }
}

/// The frame number's bits of an entry.
pub const PTE_FRAME: u64 = 0x000f_ffff_ffff_f000;

/// One request of `mmu_update`: write `value` into the entry at machine address `pointer`.
///
/// Bits 0 to 2 of `pointer` are the command; [`MMU_NORMAL_PT_UPDATE`] or [`MMU_MACHPHYS_UPDATE`].
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MmuUpdate {
    /// Machine address of the entry, with the command in its low bits.
    pub pointer: u64,
    /// The new entry.
    pub value: u64,
}

/// Write a checked entry; accessed and dirty bits are taken from `value`.
pub const MMU_NORMAL_PT_UPDATE: u64 = 0;
/// Say by which pfn one knows a frame of one's own: `pointer` is its machine address, `value` the pfn.
pub const MMU_MACHPHYS_UPDATE: u64 = 1;
/// Most requests of one `mmu_update` or `mmuext_op` call.
pub const MAX_BATCH: u64 = 512;

/// `update_va_mapping`: nothing to flush.
pub const UVMF_NONE: u64 = 0;
/// `update_va_mapping`: flush all of this vCPU's translations.
pub const UVMF_TLB_FLUSH: u64 = 1;
/// `update_va_mapping`: flush the translation of the address.
pub const UVMF_INVLPG: u64 = 2;

/// One operation of `mmuext_op`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MmuextOp {
    /// A [`MmuextCommand`].
    pub command: u32,
    /// Must be 0.
    pub pad: u32,
    /// A machine frame number, or (invlpg) an address.
    pub arg1: u64,
    /// new_baseptr: the new kernel stack, as for `stack_switch`, or 0 to keep it. Else 0.
    pub arg2: u64,
}
const _: () = assert!(size_of::<MmuextOp>() == 24);

numbered! {
    /// What `mmuext_op` does. Numbers are Xen's.
    pub enum MmuextCommand: u32 {
        /// Validate the frame as an L1 table and keep it one.
        PinL1 = 0, "pin-l1";
        /// Validate the frame as an L2 table; the L1 tables it names must be L1 tables already.
        PinL2 = 1, "pin-l2";
        /// The same, one level up.
        PinL3 = 2, "pin-l3";
        /// The same for a root; its slot 256 must be empty and becomes xen-lite's.
        PinL4 = 3, "pin-l4";
        /// Undo a pin.
        Unpin = 4, "unpin";
        /// Switch to another root (an L4 table).
        NewBaseptr = 5, "new-baseptr";
        /// Flush this vCPU's translations.
        TlbFlushLocal = 6, "tlb-flush-local";
        /// Flush one address's translation.
        InvlpgLocal = 7, "invlpg-local";
    }
}
