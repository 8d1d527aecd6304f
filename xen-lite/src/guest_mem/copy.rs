//! Copying to and from a guest's address space, with the rights of its kernel.
//!
//! 1. The whole range lies outside the hypervisor's slot and is canonical; it does not wrap. (Its last byte may
//!    be the last of the address space.)
//! 2. Every page of it is looked at before the first byte is copied: a copy that is refused has changed
//!    nothing, neither memory nor an accessed bit.
//! 3. Each page is translated through the domain's current root, and its frame must be the domain's own. To be
//!    written, it must be mapped so at every level and be of type `Writable`: never a page table.
//! 4. Accessed and dirty bits are set as the CPU would, or the guest's pager would take the page for clean.
//! 5. Memory that the guest can change is read once. What was copied is what is checked.
//!
//! Why the second look cannot fail: a copy writes to frames of type `Writable`, which are no page tables, and
//! accessed and dirty bits decide nothing.
use super::walk::{Access, DOWN, Refusal, walk};
use crate::addr::{Level, Mfn};
use crate::paging::{DomainMemory, FrameTable, PageType, Pte};
use crate::platform::PhysMem;
use abi::errno::Errno;
use abi::layout::{PAGE_SIZE, SLOT_BASE, SLOT_END, in_hypervisor_slot, is_canonical, is_guest_address};
use abi::mmu::PteFlags;
use abi::reason::Reason;

/// Why a copy was refused. Nothing was copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CopyFault {
    /// The range goes past the end of the address space.
    Wraps,
    /// The range is not canonical throughout.
    NonCanonical,
    /// The range touches the hypervisor's slot.
    HypervisorSlot,
    /// The guest itself could not access this page of the range so.
    Refused(u64, Refusal),
    /// This page of the range is mapped to a frame that is not the domain's, or not to be written.
    WrongFrame(u64),
    /// The domain has no page-table root.
    NoRoot,
}

impl CopyFault {
    /// What the guest is told.
    #[must_use]
    pub const fn errno(self) -> Errno {
        Errno::Fault
    }

    /// What a guest is killed for whose kernel stack cannot take what belongs on it.
    #[must_use]
    pub const fn as_stack(self) -> Reason {
        match self {
            Self::Wraps | Self::NonCanonical | Self::Refused(_, Refusal::NonCanonical) => {
                Reason::KernelStackNonCanonical
            }
            Self::HypervisorSlot | Self::Refused(_, Refusal::HypervisorSlot) => Reason::KernelStackForbidden,
            Self::NoRoot | Self::Refused(_, Refusal::NotPresent(_) | Refusal::NotATable(_)) => {
                Reason::KernelStackNotPresent
            }
            Self::WrongFrame(_)
            | Self::Refused(_, Refusal::ReadOnly(_) | Refusal::NoExecute(_) | Refusal::UserPage) => {
                Reason::KernelStackReadOnly
            }
        }
    }
}

/// Fills `into` from the domain's memory at `va`.
pub fn copy_from_guest(
    ft: &FrameTable<'_>,
    mem: &mut impl PhysMem,
    dom: &DomainMemory,
    va: u64,
    into: &mut [u8],
) -> Result<(), CopyFault> {
    let pages = Pages::from_guest(va, into.len())?;
    pages.check(ft, mem, dom, Access::Read)?;
    let mut rest = into;
    for page in pages {
        let Some((now, later)) = rest.split_at_mut_checked(page.len) else {
            break;
        };
        let target = Target::at(ft, mem, dom, page.va, Access::Read)?;
        target.mark(ft, mem);
        mem.read_bytes(target.mfn, page.offset, now);
        rest = later;
    }
    Ok(())
}

/// Writes `from` into the domain's memory at `va`.
pub fn copy_to_guest(
    ft: &FrameTable<'_>,
    mem: &mut impl PhysMem,
    dom: &DomainMemory,
    va: u64,
    from: &[u8],
) -> Result<(), CopyFault> {
    let pages = Pages::from_guest(va, from.len())?;
    pages.check(ft, mem, dom, Access::Write)?;
    let mut rest = from;
    for page in pages {
        let Some((now, later)) = rest.split_at_checked(page.len) else {
            break;
        };
        let target = Target::at(ft, mem, dom, page.va, Access::Write)?;
        target.mark(ft, mem);
        mem.write_bytes(target.mfn, page.offset, now);
        rest = later;
    }
    Ok(())
}

/// Reads `N` words at `va`: [`copy_from_guest`] for what is nearly always aligned and on one page.
#[inline(always)]
pub fn read_array<const N: usize>(
    ft: &FrameTable<'_>,
    mem: &mut impl PhysMem,
    dom: &DomainMemory,
    va: u64,
) -> Result<[u64; N], CopyFault> {
    match first_word(va, N) {
        Some(first) => {
            let target = Target::at(ft, mem, dom, va, Access::Read)?;
            target.mark(ft, mem);
            Ok(mem.read_array(target.mfn, first))
        }
        None => {
            let mut words = [0; N];
            read_odd_words(ft, mem, dom, va, &mut words)?;
            Ok(words)
        }
    }
}

/// Fills `into` from the domain's memory at `va`: [`copy_from_guest`] for words.
#[inline(always)]
pub fn read_words(
    ft: &FrameTable<'_>,
    mem: &mut impl PhysMem,
    dom: &DomainMemory,
    va: u64,
    into: &mut [u64],
) -> Result<(), CopyFault> {
    match first_word(va, into.len()) {
        Some(first) => {
            let target = Target::at(ft, mem, dom, va, Access::Read)?;
            target.mark(ft, mem);
            mem.read_words(target.mfn, first, into);
            Ok(())
        }
        None => read_odd_words(ft, mem, dom, va, into),
    }
}

/// Which words of its page `count` words at `va` are, if they are aligned, on one page, and a guest's: as this is decided by
/// pages, the first address speaks for all.
#[inline(always)]
pub(super) fn first_word(va: u64, count: usize) -> Option<usize> {
    const WORDS: usize = PAGE_SIZE as usize / 8;
    let first = (va % PAGE_SIZE / 8) as usize;
    let fits = count <= WORDS && first <= WORDS.wrapping_sub(count);
    (fits && count != 0 && va.is_multiple_of(8) && is_guest_address(va)).then_some(first)
}

/// Words across pages, or at odd addresses, or nowhere at all. The whole range is looked at before the first is read.
#[inline(never)]
fn read_odd_words(
    ft: &FrameTable<'_>,
    mem: &mut impl PhysMem,
    dom: &DomainMemory,
    va: u64,
    into: &mut [u64],
) -> Result<(), CopyFault> {
    let pages = Pages::from_guest(va, size_of_val(into))?;
    pages.check(ft, mem, dom, Access::Read)?;
    if va.is_multiple_of(8) {
        let mut rest = into;
        for page in pages {
            let Some((now, later)) = rest.split_at_mut_checked(page.len / 8) else {
                break;
            };
            let target = Target::at(ft, mem, dom, page.va, Access::Read)?;
            target.mark(ft, mem);
            mem.read_words(target.mfn, page.offset / 8, now);
            rest = later;
        }
        return Ok(());
    }
    let mut at = va;
    for word in into {
        let mut bytes = [0; 8];
        copy_from_guest(ft, mem, dom, at, &mut bytes)?;
        *word = u64::from_le_bytes(bytes);
        at = at.wrapping_add(8);
    }
    Ok(())
}

/// A page of the domain's that it may write to, translated once for several accesses. It is good for as long as nothing has
/// changed that a translation rests on ([`FrameTable::generation`]), and is made anew when something has.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// The page's address; `None`: nothing was translated yet.
    page: Option<u64>,
    generation: u64,
    mfn: Mfn,
}

impl Window {
    /// No page.
    pub const NONE: Self = Self {
        page: None,
        generation: 0,
        mfn: Mfn(0),
    };

    /// The frame and the first word of `count` words at `va`. `None` where they are not aligned, not on one page, or cannot
    /// be written: [`copy_from_guest`] and [`copy_to_guest`] can say why, and may do one of the two all the same.
    #[inline(always)]
    pub fn words(
        &mut self,
        ft: &FrameTable<'_>,
        mem: &mut impl PhysMem,
        dom: &DomainMemory,
        va: u64,
        count: usize,
    ) -> Option<(Mfn, usize)> {
        let first = first_word(va, count)?;
        let page = va & !PAGE_SIZE.wrapping_sub(1);
        if self.page != Some(page) || !self.is_good(ft) {
            self.open(ft, mem, dom, page)?;
        }
        Some((self.mfn, first))
    }

    /// Whether nothing has changed since the page was translated.
    #[must_use]
    #[inline(always)]
    pub const fn is_good(&self, ft: &FrameTable<'_>) -> bool {
        self.generation == ft.generation()
    }

    #[inline(never)]
    fn open(
        &mut self,
        ft: &FrameTable<'_>,
        mem: &mut impl PhysMem,
        dom: &DomainMemory,
        page: u64,
    ) -> Option<()> {
        self.page = None;
        let target = Target::at(ft, mem, dom, page, Access::Write).ok()?;
        target.mark(ft, mem);
        *self = Self {
            page: Some(page),
            generation: ft.generation(),
            mfn: target.mfn,
        };
        Some(())
    }
}

const PRESENT: u64 = PteFlags::PRESENT.bits();
const WRITABLE: u64 = PteFlags::WRITABLE.bits();
const ACCESSED: u64 = PteFlags::ACCESSED.bits();
const DIRTY: u64 = PteFlags::DIRTY.bits();

/// A page that may be accessed.
pub(super) struct Target {
    pub(super) mfn: Mfn,
    pub(super) root: Mfn,
    va: u64,
    /// What the CPU would have set in the L1 entry, and is not set there or above.
    missing: u64,
    access: Access,
}

impl Target {
    /// Translates `va`. What is refused is walked again by [`walk`], which can say why.
    #[inline(always)]
    fn at(
        ft: &FrameTable<'_>,
        mem: &impl PhysMem,
        dom: &DomainMemory,
        va: u64,
        access: Access,
    ) -> Result<Self, CopyFault> {
        let root = dom.root().ok_or(CopyFault::NoRoot)?;
        Self::find(ft, mem, dom, va, access).ok_or_else(|| refusal(ft, mem, root, va, access))
    }

    /// Translates `va`, which is a guest's, as the CPU would, four reads and no record of them: the domain's root is a live
    /// root, and in a live tree every entry names a live table of the level below.
    #[inline(always)]
    pub(super) fn find(
        ft: &FrameTable<'_>,
        mem: &impl PhysMem,
        dom: &DomainMemory,
        va: u64,
        access: Access,
    ) -> Option<Self> {
        let root = dom.root()?;
        let wants = match access {
            Access::Write => PRESENT | WRITABLE,
            Access::Read | Access::Fetch(_) => PRESENT,
        };
        let mut mfn = root;
        let mut all = u64::MAX;
        let mut leaf = 0;
        for level in DOWN {
            let entry = mem.read(mfn, level.index_of(va));
            if entry & wants != wants {
                return None;
            }
            all &= entry;
            leaf = entry;
            mfn = Pte::from_live_table(entry).frame();
        }
        let (owned, missing) = match access {
            Access::Write => (
                ft.is_used_as(mfn, dom.id(), PageType::Writable),
                (ACCESSED & !all) | (DIRTY & !leaf),
            ),
            Access::Read | Access::Fetch(_) => (ft.is_owned_by(mfn, dom.id()), ACCESSED & !all),
        };
        owned.then_some(Self {
            mfn,
            root,
            va,
            missing,
            access,
        })
    }

    /// Whether all bits are set that the CPU would set.
    #[inline(always)]
    pub(super) const fn is_marked(&self) -> bool {
        self.missing == 0
    }

    /// Sets the bits that the CPU would set.
    #[inline(always)]
    fn mark(&self, ft: &FrameTable<'_>, mem: &mut impl PhysMem) {
        if !self.is_marked() {
            mark(ft, mem, self.root, self.va, self.access);
        }
    }
}

/// Why ring 1 may not access `va` so; where it may, the frame is to blame.
#[cold]
fn refusal(ft: &FrameTable<'_>, mem: &impl PhysMem, root: Mfn, va: u64, access: Access) -> CopyFault {
    match walk(ft, mem, root, va).check(access) {
        Err(refusal) => CopyFault::Refused(va, refusal),
        Ok(_) => CopyFault::WrongFrame(va),
    }
}

#[cold]
fn mark(ft: &FrameTable<'_>, mem: &mut impl PhysMem, root: Mfn, va: u64, access: Access) {
    for step in walk(ft, mem, root, va).steps() {
        let dirties = step.level == Level::L1 && access == Access::Write;
        let bits = if dirties { ACCESSED | DIRTY } else { ACCESSED };
        if step.entry & bits != bits {
            mem.set_bits(step.table, step.index, bits);
        }
    }
}

/// The part of a range that lies in one page.
pub(super) struct Page {
    va: u64,
    offset: usize,
    len: usize,
}

/// A range of guest addresses that is canonical, does not wrap and stays clear of slot 256, page by page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pages {
    va: u64,
    left: usize,
}

impl Pages {
    #[inline]
    pub(super) fn from_guest(va: u64, len: usize) -> Result<Self, CopyFault> {
        let Some(before_last) = (len as u64).checked_sub(1) else {
            return Ok(Self { va, left: 0 });
        };
        let last = va.checked_add(before_last).ok_or(CopyFault::Wraps)?;
        if in_hypervisor_slot(va) || in_hypervisor_slot(last) || (va < SLOT_BASE && last >= SLOT_END) {
            return Err(CopyFault::HypervisorSlot);
        }
        if !is_canonical(va) || !is_canonical(last) {
            return Err(CopyFault::NonCanonical);
        }
        Ok(Self { va, left: len })
    }

    /// Looks at every page of a range that has more than one: the copy itself looks at its first page before it
    /// copies anything.
    #[inline]
    fn check(
        self,
        ft: &FrameTable<'_>,
        mem: &impl PhysMem,
        dom: &DomainMemory,
        access: Access,
    ) -> Result<(), CopyFault> {
        let in_page = self.va & PAGE_SIZE.wrapping_sub(1);
        if in_page.saturating_add(self.left as u64) > PAGE_SIZE {
            for page in self {
                Target::at(ft, mem, dom, page.va, access)?;
            }
        }
        Ok(())
    }
}

impl Iterator for Pages {
    type Item = Page;

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "an offset in a page")]
    fn next(&mut self) -> Option<Page> {
        if self.left == 0 {
            return None;
        }
        let offset = (self.va & PAGE_SIZE.wrapping_sub(1)) as usize;
        let len = self.left.min((PAGE_SIZE as usize).saturating_sub(offset));
        let page = Page {
            va: self.va,
            offset,
            len,
        };
        // Past the last page this may wrap to 0, and is not used.
        self.va = self.va.wrapping_add(len as u64);
        self.left = self.left.saturating_sub(len);
        Some(page)
    }
}
