//! Segment selectors. The GDT is the vCPU's own, in the switcher's read-only page.

/// Hypervisor code, ring 0.
pub const HYPERVISOR_CS: u16 = 0x08;
/// Hypervisor data, ring 0.
pub const HYPERVISOR_DS: u16 = 0x10;
/// Flat 64-bit code of the guest kernel, ring 1.
pub const KERNEL_CS: u16 = 0x19;
/// Flat data of the guest kernel, ring 1.
pub const KERNEL_SS: u16 = 0x21;
/// Flat data of user programs, ring 3.
pub const USER_SS: u16 = 0x2b;
/// Flat 64-bit code of user programs, ring 3.
pub const USER_CS: u16 = 0x33;
/// The task-state segment; it takes two entries.
pub const TSS: u16 = 0x38;

/// Entries of the GDT.
pub const GDT_ENTRIES: usize = 32;
/// First GDT entry that `update_descriptor` may set; the last one is `GDT_ENTRIES - 1`.
pub const FIRST_GUEST_DESCRIPTOR: usize = 16;

/// The GDT entry that a selector names.
#[must_use]
pub const fn index(selector: u16) -> usize {
    (selector >> 3) as usize
}

/// The requested privilege level of a selector.
#[must_use]
pub const fn rpl(selector: u16) -> u16 {
    selector & 3
}
