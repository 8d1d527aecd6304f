//! The page that a domain's last short list lay in: most guests lay each of them in the same place.
//!
//! What is kept is good for as long as two things are as they were:
//! 1. the entry of the current root that leads to the page, bit for bit: it was present and marked as accessed, and the CPU
//!    changes nothing about such an entry. Hence a list is still found when the domain goes over to another root, as long as
//!    both have the tables below in common, as those of a guest's kernel are;
//! 2. [`FrameTable::table_generation`]: since then, no entry of a live table has changed, and no table has become one or was
//!    taken apart. So the table that the root's entry names is the one that it was, its entries and those below lead to the
//!    same frame, all are marked as accessed, and that frame is the domain's still, since one that is mapped is not given back.
//!
//! It belongs to one domain: what it says of another one's tables means nothing.
use super::copy::{CopyFault, Target, first_word, read_array};
use super::walk::Access;
use crate::addr::{Level, Mfn};
use crate::paging::{DomainMemory, FrameTable};
use crate::platform::PhysMem;
use abi::layout::PAGE_SIZE;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct LastPage {
    page: u64,
    frame: Mfn,
    /// The root's entry.
    top: u64,
    tables: u64,
}

impl LastPage {
    /// Nothing was read yet.
    pub const NONE: Self = Self {
        page: 0,
        frame: Mfn(0),
        top: 0,
        // More changes than anyone makes.
        tables: u64::MAX,
    };

    /// `N` words at `va`, as [`read_array`] would read them, if they lie in the page that is known. It changes nothing.
    #[inline(always)]
    pub fn read<const N: usize>(
        &self,
        ft: &FrameTable<'_>,
        mem: &impl PhysMem,
        dom: &DomainMemory,
        va: u64,
    ) -> Option<[u64; N]> {
        // More than any page has, if it is another page.
        let offset = va.wrapping_sub(self.page);
        let last = PAGE_SIZE.checked_sub(size_of::<[u64; N]>() as u64)?;
        if self.tables != ft.table_generation() || offset > last || !offset.is_multiple_of(8) {
            return None;
        }
        if mem.read(dom.root()?, Level::L4.index_of(va)) != self.top {
            return None;
        }
        Some(mem.read_array(self.frame, (offset / 8) as usize))
    }

    /// [`read_array`], after which the page is known, if all of its entries were marked as accessed before.
    ///
    /// # Errors
    /// As [`read_array`].
    #[inline(never)]
    pub fn read_anew<const N: usize>(
        &mut self,
        ft: &FrameTable<'_>,
        mem: &mut impl PhysMem,
        dom: &DomainMemory,
        va: u64,
    ) -> Result<[u64; N], CopyFault> {
        let Some(first) = first_word(va, N) else {
            return read_elsewhere(ft, mem, dom, va);
        };
        let Some(target) = Target::find(ft, mem, dom, va, Access::Read).filter(Target::is_marked) else {
            return read_elsewhere(ft, mem, dom, va);
        };
        *self = Self {
            page: va & !PAGE_SIZE.wrapping_sub(1),
            frame: target.mfn,
            top: mem.read(target.root, Level::L4.index_of(va)),
            tables: ft.table_generation(),
        };
        Ok(mem.read_array(target.mfn, first))
    }
}

/// What is found only by [`read_array`] itself.
#[cold]
#[inline(never)]
fn read_elsewhere<const N: usize>(
    ft: &FrameTable<'_>,
    mem: &mut impl PhysMem,
    dom: &DomainMemory,
    va: u64,
) -> Result<[u64; N], CopyFault> {
    read_array(ft, mem, dom, va)
}

#[cfg(test)]
mod tests;
