//! A copy of an address space that shares its pages: what fork needs.
//!
//! Every page is write-protected on both sides and its frame has one use more; whoever writes first gets a copy
//! ([`crate::mm::fault::Verdict::Unshare`]).
use crate::addr::{FIRST_KERNEL_SLOT, Pfn};
use crate::machine::Memory;
use crate::mm::batch::Batch;
use crate::mm::frames::{FrameTable, OutOfFrames};
use crate::mm::space::{
    AddressSpace, PhysmapAccess, TABLE_FLAGS, mmuext, new_root, physmap_update, pin, write_word,
};
use crate::resident::walk::{self, ROOT_LEVEL, entry_for, update};
use abi::layout::ENTRIES;
use abi::mmu::{MmuextCommand, PteFlags};

struct Copier<'c, 'f, M> {
    memory: &'c mut M,
    frames: &'c mut FrameTable<'f>,
    kernel_root: Pfn,
    batch: Batch,
    /// Frames ran out. What has been made until then is finished all the same: it is a space that can be destroyed.
    ran_out: Option<OutOfFrames>,
}

/// Copies `space`, whose pages both sides share from now on. The CPU may be in it.
///
/// # Errors
/// [`OutOfFrames`]; no frame is kept, but pages may be write-protected until they are written next.
pub(super) fn fork<M: Memory>(
    space: &AddressSpace,
    memory: &mut M,
    frames: &mut FrameTable<'_>,
) -> Result<AddressSpace, OutOfFrames> {
    let kernel_root = space.kernel_root();
    let root = new_root(memory, frames, kernel_root)?;
    let mut copier = Copier {
        memory,
        frames,
        kernel_root,
        batch: Batch::new(),
        ran_out: None,
    };
    copier.copy_children(space.root(), root, ROOT_LEVEL);
    copier.make_table(root, ROOT_LEVEL);
    let flush = mmuext(MmuextCommand::TlbFlushLocal, 0);
    copier.batch.operation(copier.memory, flush);
    copier.batch.flush(copier.memory);
    let ran_out = copier.ran_out;
    let copy = space.with_root(root);
    match ran_out {
        None => Ok(copy),
        Some(error) => {
            copy.destroy(memory, frames);
            Err(error)
        }
    }
}

impl<M: Memory> Copier<'_, '_, M> {
    /// A copy of a table below the root, which is a table then, or nothing when there was no frame for it.
    fn copy(&mut self, table: Pfn, level: u8) -> Option<Pfn> {
        let copy = match self.frames.take() {
            Ok(copy) => copy,
            Err(error) => {
                self.ran_out = Some(error);
                return None;
            }
        };
        self.memory.page(copy).fill(0);
        if level == 1 {
            self.share_pages(table, copy);
        } else {
            self.copy_children(table, copy, level);
        }
        self.make_table(copy, level);
        Some(copy)
    }

    fn copy_children(&mut self, table: Pfn, copy: Pfn, level: u8) {
        let entries = if level == ROOT_LEVEL {
            FIRST_KERNEL_SLOT
        } else {
            ENTRIES as u16
        };
        let mut next = 0;
        while let Some((index, entry)) = self.memory.next_entry(table, next, entries) {
            next = index + 1;
            if !walk::is_present(entry) || self.ran_out.is_some() {
                continue;
            }
            let child = walk::frame_of(self.memory, entry);
            if let Some(child) = self.copy(child, level - 1) {
                let entry = entry_for(self.memory, child, TABLE_FLAGS);
                write_word(self.memory, copy, index, entry);
            }
        }
    }

    fn share_pages(&mut self, table: Pfn, copy: Pfn) {
        let writable = PteFlags::WRITABLE.bits();
        let mut next = 0;
        while let Some((index, entry)) = self.memory.next_entry(table, next, ENTRIES as u16) {
            next = index + 1;
            let shared = self.frames.share(walk::frame_of(self.memory, entry));
            assert!(shared.is_ok(), "a page of a program is a frame in use");
            let read_only = entry & !writable;
            write_word(self.memory, copy, index, read_only);
            if read_only != entry {
                let location = walk::location(self.memory, table, index);
                self.batch.update(self.memory, update(location, read_only));
            }
        }
    }

    fn make_table(&mut self, table: Pfn, level: u8) {
        let lock = physmap_update(self.memory, self.kernel_root, table, PhysmapAccess::ReadOnly);
        self.batch.update(self.memory, lock);
        let pin = pin(self.memory, table, level);
        self.batch.operation(self.memory, pin);
    }
}
