//! Frames and page tables: the physmap, the walk, and changes by hypercall.
//!
//! Tables are read through the physmap and written by `update_va_mapping` and `mmu_update` alone. New tables are
//! made bottom-up: zeroed frame, read-only in the physmap, pinned at its level, then named by its parent.
use abi::errno::Errno;
use abi::layout::{MACHINE_TO_PFN, PAGE_SHIFT, PAGE_SIZE, PHYSMAP};
use abi::mmu::{MmuextCommand, PTE_FRAME, PteFlags, UVMF_INVLPG};
use core::sync::atomic::{AtomicU64, Ordering};

use super::{call, start_info};

/// Present.
pub const P: u64 = PteFlags::PRESENT.bits();
/// Writable.
pub const W: u64 = PteFlags::WRITABLE.bits();
/// For ring 3 too.
pub const U: u64 = PteFlags::USER.bits();
/// Not executable.
pub const NX: u64 = PteFlags::NO_EXECUTE.bits();
/// Accessed.
pub const A: u64 = PteFlags::ACCESSED.bits();
/// Dirty.
pub const D: u64 = PteFlags::DIRTY.bits();
/// Data of the guest kernel.
pub const KERNEL_DATA: u64 = P | W | NX;
/// Code of the guest kernel.
pub const KERNEL_CODE: u64 = P;
/// Data of user programs.
pub const USER_DATA: u64 = P | W | U | NX;
/// Code of user programs.
pub const USER_CODE: u64 = P | U;

const KERNEL_AREA: u64 = 0xffff_c000_0000_0000;
const USER_AREA: u64 = 0x40_0000;
/// Pages between two areas stay unmapped.
const GUARD: u64 = 1;

static NEXT_PFN: AtomicU64 = AtomicU64::new(0);
static NEXT_KERNEL_VA: AtomicU64 = AtomicU64::new(KERNEL_AREA);
static NEXT_USER_VA: AtomicU64 = AtomicU64::new(USER_AREA);
static ROOT: AtomicU64 = AtomicU64::new(0);

/// Reads a word; a fault is the case's.
#[must_use]
pub fn peek(address: u64) -> u64 {
    // SAFETY: a guest's own address, or one whose fault the case is about; volatile, since others may write it.
    unsafe { (address as *const u64).read_volatile() }
}

/// Writes a word; a fault is the case's.
pub fn poke(address: u64, value: u64) {
    // SAFETY: as for `peek`; Rust's own memory is not among the addresses that cases write.
    unsafe { (address as *mut u64).write_volatile(value) };
}

/// Reads a byte; a fault is the case's.
#[must_use]
pub fn peek_byte(address: u64) -> u8 {
    // SAFETY: as for `peek`.
    unsafe { (address as *const u8).read_volatile() }
}

/// Writes bytes; a fault is the case's.
pub fn poke_bytes(address: u64, bytes: &[u8]) {
    for (n, byte) in bytes.iter().enumerate() {
        // SAFETY: as for `poke`.
        unsafe { ((address + n as u64) as *mut u8).write_volatile(*byte) };
    }
}

/// A frame that nothing uses, zeroed, writable in the physmap.
pub fn allocate() -> u64 {
    let first = start_info().first_free_pfn;
    let pfn = NEXT_PFN.load(Ordering::Relaxed).max(first);
    crate::check!(pfn < start_info().nr_pages, "a free frame is left");
    NEXT_PFN.store(pfn + 1, Ordering::Relaxed);
    pfn
}

/// Where the physmap has a frame. A frame that the guest knows by no pfn, or by none that there is, is nowhere.
#[must_use]
pub fn physmap(pfn: u64) -> u64 {
    PHYSMAP.wrapping_add(pfn.wrapping_mul(PAGE_SIZE))
}

/// The machine frame of a pfn.
#[must_use]
pub fn mfn(pfn: u64) -> u64 {
    peek(start_info().mfn_list + pfn * 8)
}

/// The pfn of a machine frame.
#[must_use]
pub fn pfn(mfn: u64) -> u64 {
    peek(MACHINE_TO_PFN.wrapping_add(mfn.wrapping_mul(8)))
}

/// The current root table.
#[must_use]
pub fn root_mfn() -> u64 {
    match ROOT.load(Ordering::Relaxed) {
        0 => start_info().root_mfn,
        root => root,
    }
}

/// Says which root table is current, after a switch.
pub fn set_root_mfn(mfn: u64) {
    ROOT.store(mfn, Ordering::Relaxed);
}

/// One entry of a page table.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its machine address, as `mmu_update` wants it.
    pub machine: u64,
    /// Its address in the physmap (which has it read-only).
    pub at: u64,
    /// What it held when it was read.
    pub value: u64,
}

impl Entry {
    /// Entry `index` of the table in `table_mfn`.
    #[must_use]
    pub fn of(table_mfn: u64, index: u64) -> Self {
        let offset = index * 8;
        let at = physmap(pfn(table_mfn)).wrapping_add(offset);
        Self {
            machine: (table_mfn << PAGE_SHIFT) + offset,
            at,
            value: peek(at),
        }
    }

    /// Whether it is valid.
    #[must_use]
    pub fn is_present(self) -> bool {
        self.value & P != 0
    }

    /// The machine frame that it names.
    #[must_use]
    pub fn mfn(self) -> u64 {
        (self.value & PTE_FRAME) >> PAGE_SHIFT
    }
}

fn index(va: u64, level: u32) -> u64 {
    va >> (PAGE_SHIFT + 9 * (level - 1)) & 511
}

/// The entry that maps `va` at a level (4 to 1); none where a level above is not present.
#[must_use]
pub fn entry(va: u64, level: u32) -> Option<Entry> {
    let mut found = Entry::of(root_mfn(), index(va, 4));
    for below in (level..4).rev() {
        if !found.is_present() {
            return None;
        }
        found = Entry::of(found.mfn(), index(va, below));
    }
    Some(found)
}

/// The L1 entry of an address that has an L1 table.
#[must_use]
pub fn leaf(va: u64) -> Entry {
    let found = entry(va, 1);
    crate::check!(found.is_some(), "{va:#x} has an L1 table");
    found.unwrap_or(Entry {
        machine: 0,
        at: 0,
        value: 0,
    })
}

/// Writes an L1 entry and flushes its translation.
///
/// # Errors
/// What the hypervisor said.
pub fn try_set(va: u64, value: u64) -> Result<u64, Errno> {
    call::update_va_mapping(va, value, UVMF_INVLPG)
}

/// [`try_set`] that must succeed.
pub fn set(va: u64, value: u64) {
    let done = try_set(va, value);
    crate::check!(done.is_ok(), "entry of {va:#x} becomes {value:#x}: {done:?}");
}

/// Takes a page away; returns the entry that mapped it.
pub fn unmap(va: u64) -> u64 {
    let value = leaf(va).value;
    set(va, 0);
    value
}

/// Makes a page read-only.
pub fn make_read_only(va: u64) {
    set(va, leaf(va).value & !W);
}

/// A zeroed frame that is a pinned table of this level; returns its machine frame.
pub fn make_table(level: u32) -> u64 {
    let frame = allocate();
    make_read_only(physmap(frame));
    let command = match level {
        1 => MmuextCommand::PinL1,
        2 => MmuextCommand::PinL2,
        3 => MmuextCommand::PinL3,
        _ => MmuextCommand::PinL4,
    };
    let pinned = call::mmuext(command, mfn(frame), 0);
    crate::check!(pinned.is_ok(), "an empty frame is pinned as L{level}: {pinned:?}");
    mfn(frame)
}

/// Makes sure that `va` has an L1 table. Lower-half tables are for ring 3 too.
pub fn make_tables(va: u64) {
    for level in [4, 3, 2] {
        let Some(parent) = entry(va, level) else { return };
        if parent.is_present() {
            continue;
        }
        let user = if va >> 63 == 0 { U } else { 0 };
        let child = make_table(level - 1);
        let linked = call::mmu_update(parent.machine, child << PAGE_SHIFT | P | W | user);
        crate::check!(linked.is_ok(), "an L{level} entry takes a new table: {linked:?}");
    }
}

/// Maps a frame, making tables where they are missing.
pub fn map(va: u64, pfn: u64, flags: u64) {
    make_tables(va);
    set(va, mfn(pfn) << PAGE_SHIFT | flags);
}

/// Unused kernel addresses for so many pages, unmapped on both sides.
pub fn kernel_area(pages: u64) -> u64 {
    (NEXT_KERNEL_VA.fetch_add((pages + 2 * GUARD) * PAGE_SIZE, Ordering::Relaxed)) + GUARD * PAGE_SIZE
}

/// The same in the lower half.
pub fn user_area(pages: u64) -> u64 {
    (NEXT_USER_VA.fetch_add((pages + 2 * GUARD) * PAGE_SIZE, Ordering::Relaxed)) + GUARD * PAGE_SIZE
}

/// Maps fresh frames at a fresh kernel area; returns its address.
pub fn kernel_pages(pages: u64, flags: u64) -> u64 {
    fill(kernel_area(pages), pages, flags)
}

/// The same in the lower half.
pub fn user_pages(pages: u64, flags: u64) -> u64 {
    fill(user_area(pages), pages, flags)
}

fn fill(area: u64, pages: u64, flags: u64) -> u64 {
    for page in 0..pages {
        map(area + page * PAGE_SIZE, allocate(), flags);
    }
    area
}

/// A stack of so many pages with an unmapped page below; returns its top.
pub fn stack(pages: u64) -> u64 {
    kernel_pages(pages, KERNEL_DATA) + pages * PAGE_SIZE
}

/// A user stack; returns its top.
pub fn user_stack() -> u64 {
    user_pages(1, USER_DATA) + PAGE_SIZE
}

/// The physmap's alias of a mapped address: written there whatever the mapping itself allows.
#[must_use]
pub fn alias(va: u64) -> u64 {
    physmap(pfn(leaf(va).mfn())) + va % PAGE_SIZE
}
