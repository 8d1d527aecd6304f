//! A program's page tables, changed by hypercall (direct paging).
//!
//! A frame becomes a table in this order: filled through the physmap, made read-only there, pinned at its level (its
//! children are tables already), linked. It stops being one the other way round. Kernel entries of the root are
//! copied from the boot root and never change after boot.
//!
//! Invariant: an L1 entry of a program that is not 0 names a frame that this space holds one use of, present or not
//! (an area without any access keeps its pages in entries that are not present).
use crate::addr::{FIRST_KERNEL_SLOT, PageRange, Pfn};
use crate::machine::{Memory, Tables};
use crate::mm::area::Protection;
use crate::mm::batch::{BATCH, Batch};
use crate::mm::fork;
use crate::mm::frames::{FrameTable, OutOfFrames};
use crate::resident::walk::{self, ROOT_LEVEL, Slot, entry_for, update};
use abi::layout::{ENTRIES, HYPERVISOR_SLOT, PAGE_SHIFT};
use abi::mmu::{MmuUpdate, MmuextCommand, MmuextOp, PTE_FRAME, PteFlags};

/// Tables below the root.
const LOWER_LEVELS: usize = ROOT_LEVEL as usize - 1;
/// The rights of entries above the lowest tables: those of the lowest count.
pub(super) const TABLE_FLAGS: PteFlags = PteFlags::PRESENT
    .union(PteFlags::WRITABLE)
    .union(PteFlags::USER)
    .union(PteFlags::ACCESSED);

/// An address space.
#[derive(Debug)]
pub struct AddressSpace {
    /// Entries of the lowest tables that are not 0.
    pages: u64,
    /// Tables, the root among them.
    tables: u64,
    root: Pfn,
    kernel_root: Pfn,
}

impl AddressSpace {
    /// A space with nothing but the kernel in it.
    ///
    /// # Errors
    /// [`OutOfFrames`].
    pub fn new(
        memory: &mut impl Memory,
        frames: &mut FrameTable<'_>,
        kernel_root: Pfn,
    ) -> Result<Self, OutOfFrames> {
        let root = new_root(memory, frames, kernel_root)?;
        make_tables(memory, kernel_root, &[(root, ROOT_LEVEL)]);
        Ok(Self {
            pages: 0,
            tables: 1,
            root,
            kernel_root,
        })
    }

    /// A space like this one, whose root is a table already.
    pub(super) const fn with_root(&self, root: Pfn) -> Self {
        Self { root, ..*self }
    }

    /// A space with the same pages, which both share: whoever writes to one first gets a copy of it.
    ///
    /// # Errors
    /// [`OutOfFrames`]; no frame is kept.
    pub fn fork(
        &mut self,
        memory: &mut impl Memory,
        frames: &mut FrameTable<'_>,
    ) -> Result<Self, OutOfFrames> {
        fork::fork(self, memory, frames)
    }

    /// The frame of the root table.
    #[must_use]
    pub const fn root(&self) -> Pfn {
        self.root
    }

    /// How many pages it has, shared ones included.
    #[must_use]
    pub const fn pages(&self) -> u64 {
        self.pages
    }

    /// How many frames it holds: pages, shared ones included, and tables.
    #[must_use]
    pub const fn frames(&self) -> u64 {
        self.pages + self.tables
    }

    /// The frame of the root table that maps the kernel alone.
    #[must_use]
    pub const fn kernel_root(&self) -> Pfn {
        self.kernel_root
    }

    /// The L1 entry for `address`, 0 where there is none or where the address is not a program's: tables in the
    /// hypervisor's slot are not ours to follow.
    pub fn entry(&self, memory: &impl Memory, address: u64) -> u64 {
        let slot = PageRange::covering(address, 1).and_then(|_| walk::leaf(memory, self.root, address));
        slot.map_or(0, |slot| slot.entry)
    }

    /// Maps `frame`, whose use passes to this space, at the page of `address`, which has no entry yet.
    ///
    /// # Errors
    /// [`OutOfFrames`]: a table would be needed; nothing has changed.
    pub fn map(
        &mut self,
        memory: &mut impl Memory,
        frames: &mut FrameTable<'_>,
        address: u64,
        frame: Pfn,
        protection: Protection,
    ) -> Result<(), OutOfFrames> {
        let entry = entry_for(memory, frame, protection.entry_flags());
        self.tables += link(memory, frames, (self.root, self.kernel_root), address, entry)?;
        self.pages += 1;
        Ok(())
    }

    /// Takes every page out of `range` and gives its frame back.
    pub fn unmap(&mut self, memory: &mut impl Memory, frames: &mut FrameTable<'_>, range: PageRange) {
        let mut gone = 0;
        self.rewrite(
            memory,
            range,
            |_, _| 0,
            |memory, old| {
                release(frames, walk::frame_of(memory, old));
                gone += 1;
            },
        );
        self.pages = self.pages.saturating_sub(gone);
    }

    /// Changes what is allowed on the pages of `range` that are there. Pages that others use too stay read-only.
    pub fn protect(
        &mut self,
        memory: &mut impl Memory,
        frames: &FrameTable<'_>,
        range: PageRange,
        protection: Protection,
    ) {
        self.rewrite(
            memory,
            range,
            |memory, old| {
                let frame = walk::frame_of(memory, old);
                (old & PTE_FRAME) | page_flags(frames, frame, protection).bits()
            },
            |_, _| (),
        );
    }

    /// Puts `frame`, whose use passes to this space, in the place of the page at `address`, which is there.
    pub fn replace(
        &mut self,
        memory: &mut impl Memory,
        frames: &mut FrameTable<'_>,
        page: PageRange,
        frame: Pfn,
        protection: Protection,
    ) {
        let entry = entry_for(memory, frame, protection.entry_flags());
        self.rewrite(
            memory,
            page,
            |_, _| entry,
            |memory, old| release(frames, walk::frame_of(memory, old)),
        );
    }

    /// Gives back every page and every table. The CPU is on another root.
    pub fn destroy(self, memory: &mut impl Memory, frames: &mut FrameTable<'_>) {
        let mut batch = Batch::new();
        each_table(memory, self.root, ROOT_LEVEL, &mut |memory, table, _| {
            let operation = mmuext(MmuextCommand::Unpin, memory.mfn_of(table).0);
            batch.operation(memory, operation);
        });
        batch.flush(memory);

        each_table(memory, self.root, ROOT_LEVEL, &mut |memory, table, level| {
            if level == 1 {
                let mut next = 0;
                while let Some((index, entry)) = memory.next_entry(table, next, ENTRIES as u16) {
                    next = index + 1;
                    release(frames, walk::frame_of(memory, entry));
                }
            }
            let unlock = physmap_update(memory, self.kernel_root, table, PhysmapAccess::ReadWrite);
            batch.update(memory, unlock);
            release(frames, table);
        });
        batch.flush(memory);
    }

    fn rewrite<M: Memory>(
        &mut self,
        memory: &mut M,
        range: PageRange,
        new_entry: impl Fn(&M, u64) -> u64,
        mut after: impl FnMut(&M, u64),
    ) {
        let mut rest = Some(range);
        while let Some(range) = rest {
            let mut updates = [MmuUpdate::default(); BATCH];
            let mut old = [0; BATCH];
            let mut count = 0;
            rest = Some(range);
            for (request, old) in updates.iter_mut().zip(old.iter_mut()) {
                let found = rest.and_then(|rest| walk::first_leaf(memory, self.root, rest));
                let Some((
                    address,
                    Slot {
                        table, index, entry, ..
                    },
                )) = found
                else {
                    rest = None;
                    break;
                };
                *request = update(walk::location(memory, table, index), new_entry(memory, entry));
                *old = entry;
                count += 1;
                rest = PageRange::new(address + (1 << PAGE_SHIFT), range.end());
            }
            let (updates, old) = (
                updates.get(..count).unwrap_or(&[]),
                old.get(..count).unwrap_or(&[]),
            );
            if !updates.is_empty() {
                memory.mmu_update(updates);
                memory.mmuext(&[mmuext(MmuextCommand::TlbFlushLocal, 0)]);
            }
            old.iter().for_each(|old| after(memory, *old));
        }
    }
}

/// Makes the tables for the kernel's `address`, in the root that maps the kernel and no program.
///
/// # Errors
/// [`OutOfFrames`]: nothing has changed.
pub fn make_kernel_tables(
    memory: &mut impl Memory,
    frames: &mut FrameTable<'_>,
    kernel_root: Pfn,
    address: u64,
) -> Result<(), OutOfFrames> {
    link(memory, frames, (kernel_root, kernel_root), address, 0).map(|_| ())
}

/// Writes the L1 entry for `address` in the tables of `root`, making the tables that are missing; how many these were.
fn link(
    memory: &mut impl Memory,
    frames: &mut FrameTable<'_>,
    (root, kernel_root): (Pfn, Pfn),
    address: u64,
    leaf: u64,
) -> Result<u64, OutOfFrames> {
    let slot = walk::walk(memory, root, address);
    let missing = usize::from(slot.level - 1);
    let tables = take_several(frames, missing)?;
    let mut made = [(Pfn(0), 0); LOWER_LEVELS];
    let mut entry = leaf;
    for ((table, level), made) in tables.into_iter().flatten().zip(1..).zip(made.iter_mut()) {
        memory.page(table).fill(0);
        write_word(memory, table, walk::index(address, level), entry);
        entry = entry_for(memory, table, TABLE_FLAGS);
        *made = (table, level);
    }
    make_tables(memory, kernel_root, made.get(..missing).unwrap_or(&[]));
    memory.mmu_update(&[update(walk::location(memory, slot.table, slot.index), entry)]);
    Ok(missing as u64)
}

/// A frame filled as a root with the kernel's entries alone; it is no table yet.
pub(super) fn new_root(
    memory: &mut impl Memory,
    frames: &mut FrameTable<'_>,
    kernel_root: Pfn,
) -> Result<Pfn, OutOfFrames> {
    let root = frames.take()?;
    memory.page(root).fill(0);
    let mut next = FIRST_KERNEL_SLOT;
    while let Some((index, entry)) = memory.next_entry(kernel_root, next, ENTRIES as u16) {
        next = index + 1;
        if usize::from(index) != HYPERVISOR_SLOT {
            write_word(memory, root, index, entry);
        }
    }
    Ok(root)
}

/// The rights of an entry for a page with `protection`: a frame that others use too is never writable.
fn page_flags(frames: &FrameTable<'_>, frame: Pfn, protection: Protection) -> PteFlags {
    let mut flags = protection.entry_flags();
    if frames.uses(frame) > 1 {
        flags.remove(PteFlags::WRITABLE);
    }
    flags
}

/// Turns filled frames into page tables, children first.
fn make_tables(memory: &mut impl Memory, kernel_root: Pfn, tables: &[(Pfn, u8)]) {
    if tables.is_empty() {
        return;
    }
    let mut locks = [MmuUpdate::default(); LOWER_LEVELS];
    let mut pins = [MmuextOp::default(); LOWER_LEVELS];
    let slots = locks.iter_mut().zip(pins.iter_mut());
    for ((table, level), (lock, slot)) in tables.iter().zip(slots) {
        *lock = physmap_update(memory, kernel_root, *table, PhysmapAccess::ReadOnly);
        *slot = pin(memory, *table, *level);
    }
    memory.change_tables(
        locks.get(..tables.len()).unwrap_or(&[]),
        pins.get(..tables.len()).unwrap_or(&[]),
    );
}

/// The operation that makes a filled frame, read-only in the physmap, a table of `level`.
pub(super) fn pin(memory: &impl Tables, table: Pfn, level: u8) -> MmuextOp {
    let command = match level {
        1 => MmuextCommand::PinL1,
        2 => MmuextCommand::PinL2,
        3 => MmuextCommand::PinL3,
        _ => MmuextCommand::PinL4,
    };
    mmuext(command, memory.mfn_of(table).0)
}

/// How a frame is mapped in the physmap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PhysmapAccess {
    /// As every page table is.
    ReadOnly,
    /// As all else.
    ReadWrite,
}

/// The request that changes how `frame` is mapped in the physmap.
pub fn physmap_update(memory: &impl Tables, root: Pfn, frame: Pfn, access: PhysmapAccess) -> MmuUpdate {
    let slot = walk::walk(memory, root, abi::layout::PHYSMAP + (frame.0 << PAGE_SHIFT));
    let writable = PteFlags::WRITABLE.bits();
    let entry = match access {
        PhysmapAccess::ReadOnly => slot.entry & !writable,
        PhysmapAccess::ReadWrite => slot.entry | writable,
    };
    update(walk::location(memory, slot.table, slot.index), entry)
}

/// An operation on a machine frame.
#[must_use]
pub const fn mmuext(command: MmuextCommand, argument: u64) -> MmuextOp {
    MmuextOp {
        command: command.raw(),
        pad: 0,
        arg1: argument,
        arg2: 0,
    }
}

/// Writes a word of a frame that is no table yet.
pub(super) fn write_word(memory: &mut impl Memory, frame: Pfn, index: u16, word: u64) {
    let at = usize::from(index) * 8;
    if let Some(bytes) = memory.page(frame).get_mut(at..at + 8) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
}

fn take_several(
    frames: &mut FrameTable<'_>,
    count: usize,
) -> Result<[Option<Pfn>; LOWER_LEVELS], OutOfFrames> {
    let mut taken = [None; LOWER_LEVELS];
    for index in 0..count.min(LOWER_LEVELS) {
        match frames.take() {
            Ok(frame) => taken[index] = Some(frame),
            Err(error) => {
                taken
                    .into_iter()
                    .flatten()
                    .for_each(|frame| release(frames, frame));
                return Err(error);
            }
        }
    }
    Ok(taken)
}

/// Ends one use of a frame that is known to be in use.
pub fn release(frames: &mut FrameTable<'_>, frame: Pfn) {
    let released = frames.release(frame);
    assert!(released.is_ok(), "frame {frame:?} was given back twice");
}

fn each_table<M: Memory>(memory: &mut M, table: Pfn, level: u8, visit: &mut dyn FnMut(&mut M, Pfn, u8)) {
    visit(memory, table, level);
    if level == 1 {
        return;
    }
    let entries = if level == ROOT_LEVEL {
        FIRST_KERNEL_SLOT
    } else {
        ENTRIES as u16
    };
    let mut next = 0;
    while let Some((index, entry)) = memory.next_entry(table, next, entries) {
        next = index + 1;
        if walk::is_present(entry) {
            let child = walk::frame_of(memory, entry);
            each_table(memory, child, level - 1, visit);
        }
    }
}
