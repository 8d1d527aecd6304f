//! The address map of a guest.
//!
//! ```text
//! 0x0000_0000_0000_0000 .. 0x0000_7fff_ffff_ffff   the guest's (user programs, by convention)
//! 0xffff_8000_0000_0000 .. 0xffff_807f_ffff_ffff   L4 slot 256: xen-lite's, in every address space
//! 0xffff_8080_0000_0000 .. 0xffff_ffff_ffff_ffff   the guest's (its kernel, by convention)
//! 0xffff_8800_0000_0000 + pfn * 4096               at start of day: every frame of the domain
//! ```
//!
//! In slot 256 (the rest of it, both ends included, is never mapped):
//! ```text
//! base + 0x20_0000   switcher text           read, execute
//! base + 0x20_4000   switcher read-only data read        GDT, IDT, TSS, trap table, syscall frame
//! base + 0x20_8000   switcher data           read, write the CPU's stacks, scratch, `GuestWords`
//! base + 0x20_9000   time page               read
//! base + 0x20_a000   shared_info             read, write
//! base + 0x4000_0000 machine-to-pfn table    read        one u64 per machine frame
//! ```
//! Rings 0 to 2 are all "supervisor" to paging: a ring-1 kernel can read whatever is mapped here, and
//! write what is marked so. Ring 3 can reach none of it.

/// Size of a page and of a machine frame, in bytes.
pub const PAGE_SIZE: u64 = 4096;
/// log2 of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;
/// Entries of a page table.
pub const ENTRIES: usize = 512;

/// The L4 slot that belongs to xen-lite in every root table.
pub const HYPERVISOR_SLOT: usize = 256;
/// First address of [`HYPERVISOR_SLOT`].
pub const SLOT_BASE: u64 = 0xffff_8000_0000_0000;
/// First address past [`HYPERVISOR_SLOT`].
pub const SLOT_END: u64 = 0xffff_8080_0000_0000;

/// Switcher text.
pub const SWITCHER_TEXT: u64 = SLOT_BASE + 0x20_0000;
/// Most pages that the switcher's text may take.
pub const SWITCHER_TEXT_PAGES: u64 = 4;
/// Switcher read-only data.
pub const SWITCHER_RO: u64 = SLOT_BASE + 0x20_4000;
/// Switcher read-write data; [`GuestWords`] are at its start.
pub const SWITCHER_RW: u64 = SLOT_BASE + 0x20_8000;
/// The time page: [`crate::time::TimeInfo`].
pub const TIME_PAGE: u64 = SLOT_BASE + 0x20_9000;
/// [`crate::event::SharedInfo`].
pub const SHARED_INFO: u64 = SLOT_BASE + 0x20_a000;
/// The machine-to-pfn table: entry `mfn` is the pfn by which its owner knows that frame.
pub const MACHINE_TO_PFN: u64 = SLOT_BASE + 0x4000_0000;

/// At start of day frame `pfn` of the domain is mapped at `PHYSMAP + pfn * PAGE_SIZE`: page tables
/// read-only, all else read-write, none executable.
pub const PHYSMAP: u64 = 0xffff_8800_0000_0000;

/// Words in the switcher's read-write page that tell a handler what registers cannot.
///
/// An upcall may overwrite both before a handler has read them: the upcall entry saves and restores them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct GuestWords {
    /// CR2 of the last page fault that was bounced to the guest.
    pub cr2: u64,
    /// The stack pointer that the last `syscall` instruction came with.
    pub user_rsp: u64,
}

/// Where [`GuestWords::cr2`] is.
pub const CR2_WORD: u64 = SWITCHER_RW;
/// Where [`GuestWords::user_rsp`] is.
pub const USER_RSP_WORD: u64 = SWITCHER_RW + 8;
const _: () = assert!(core::mem::offset_of!(GuestWords, user_rsp) == 8);

/// Whether bits 47 to 63 of `address` are equal (4-level paging, SDM vol. 1, 3.3.7.1).
#[must_use]
pub const fn is_canonical(address: u64) -> bool {
    ((address as i64) << 16 >> 16) as u64 == address
}

/// Whether `address` is one that a guest may use: canonical, and not in xen-lite's slot.
///
/// Both at once: the guest's addresses follow each other, from [`SLOT_END`] over 0 up to the end of the lower half.
#[must_use]
pub const fn is_guest_address(address: u64) -> bool {
    const LOWER_HALF: u64 = 1 << 47;
    address.wrapping_sub(SLOT_END) < LOWER_HALF.wrapping_sub(SLOT_END)
}

/// Whether `address` lies in xen-lite's slot.
#[must_use]
pub const fn in_hypervisor_slot(address: u64) -> bool {
    address >= SLOT_BASE && address < SLOT_END
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_addresses_are_the_canonical_ones_outside_the_slot() {
        let edges = [
            0,
            1 << 47,
            SLOT_BASE,
            SLOT_END,
            1 << 63,
            SLOT_BASE + (1 << 38),
            1 << 48,
        ];
        let near = |edge: u64| (-2..=2_i64).map(move |step| edge.wrapping_add_signed(step));
        for address in edges
            .into_iter()
            .flat_map(near)
            .chain((0..64).map(|bit| 1 << bit))
        {
            let expected = is_canonical(address) && !in_hypervisor_slot(address);
            assert_eq!(is_guest_address(address), expected, "{address:#x}");
        }
    }
}
