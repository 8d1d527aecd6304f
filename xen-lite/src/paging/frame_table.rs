//! Who owns each machine frame, who uses it, and as what.
//!
//! This is the ground that isolation stands on: a guest reaches memory through page tables alone, a frame that
//! is a page table is never mapped writable, and a page table names the domain's own frames only.
//!
//! # What the counts mean
//! `uses` counts every use of a frame: each present entry of a live table that names it, each pin, each root
//! that a vCPU runs on. `type_uses` counts those among them that use it *as* its type:
//!
//! | a use | counts in `uses` | counts in `type_uses`, as |
//! |---|---|---|
//! | an L1 entry, read-only | yes | no |
//! | an L1 entry, writable | yes | `Writable` |
//! | an L2, L3, L4 entry | yes | `L1`, `L2`, `L3` |
//! | a pin of a table | yes | that table's level |
//! | the root a vCPU runs on | yes | `L4` |
//!
//! A table is *live* from the moment it was validated until it has been taken apart, and exactly in that time
//! do its entries count as uses.
//!
//! # Invariants
//! 1. The type is `None` or `Writable` exactly as `type_uses` is 0 or not; a table type has `type_uses` > 0,
//!    or the frame is *leaving*: its last type use is gone and it waits on its domain's worklist, still live.
//! 2. A type changes only from or to `None`, hence only while nobody uses the frame as its type: a frame is
//!    never a page table and mapped writable at once.
//! 3. Only frames that a domain owns are used, and by that domain's tables alone.
//! 4. A frame with uses is never given back. So nothing maps a free frame.
//! 5. Type uses run from a level to the one below: there are no cycles, and taking apart always ends. (A
//!    read-only mapping of a table in itself is a plain use; it goes when the table is taken apart.)
//! 6. A free frame is on the free list, once; a leaving table is on its domain's worklist, once. One link in
//!    [`FrameInfo`] serves both, since no frame is both.
//! 7. A frame handed out is zero.
//!
//! A count that would fall below zero means that xen-lite has lost track of memory: it stops at once.
use super::domain::DomainMemory;
use super::error::PagingError;
use crate::addr::{DomainId, Level, Mfn};
use crate::platform::PhysMem;
use core::fmt;

/// What a frame is used as.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum PageType {
    /// Nothing in particular; it may be mapped read-only.
    None = 0,
    /// An L1 table.
    L1 = 1,
    /// An L2 table.
    L2 = 2,
    /// An L3 table.
    L3 = 3,
    /// A root.
    L4 = 4,
    /// Mapped writable somewhere.
    Writable = 5,
}

impl PageType {
    /// The type of a table of this level.
    #[must_use]
    #[inline]
    pub const fn table(level: Level) -> Self {
        match level {
            Level::L1 => Self::L1,
            Level::L2 => Self::L2,
            Level::L3 => Self::L3,
            Level::L4 => Self::L4,
        }
    }

    /// The level, if it is a table.
    #[must_use]
    #[inline]
    pub const fn level(self) -> Option<Level> {
        match self {
            Self::None | Self::Writable => None,
            Self::L1 => Some(Level::L1),
            Self::L2 => Some(Level::L2),
            Self::L3 => Some(Level::L3),
            Self::L4 => Some(Level::L4),
        }
    }
}

impl fmt::Display for PageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Writable => "writable",
            Self::L1 => "l1",
            Self::L2 => "l2",
            Self::L3 => "l3",
            Self::L4 => "l4",
        })
    }
}

/// Whose a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// Not ours to give: holes, devices, the hypervisor's image, boot modules; and whatever is past the end.
    Reserved,
    /// The hypervisor's, taken from the free list.
    Hypervisor,
    /// Nobody's.
    Free,
    /// A domain's.
    Domain(DomainId),
}

/// The life of a frame. From `Owned` on a domain owns it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub(super) enum State {
    Reserved = 0,
    Hypervisor = 1,
    /// Free and zero.
    Free = 2,
    /// Free, and holds what the firmware left: zeroed when it is handed out.
    FreeDirty = 3,
    Owned = 4,
    /// A pinned table.
    Pinned = 5,
    /// A table whose last type use is gone, on its domain's worklist.
    Leaving = 6,
}

/// The end of a list of frames.
pub(super) const END: u32 = u32::MAX;

/// What is known about one frame. All-zero bytes are [`FrameInfo::RESERVED`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(test, derive(PartialEq, Eq, Hash))]
pub struct FrameInfo {
    pub(super) uses: u32,
    pub(super) type_uses: u32,
    /// The next frame of the free list or of a worklist, or [`END`]; meaningless off a list.
    pub(super) link: u32,
    /// Meaningful from [`State::Owned`] on.
    pub(super) domain: DomainId,
    pub(super) state: State,
    pub(super) kind: PageType,
}
const _: () = assert!(size_of::<FrameInfo>() == 16);

impl FrameInfo {
    /// Not RAM for anyone.
    pub const RESERVED: Self = Self::unused(State::Reserved, DomainId(0));

    const fn unused(state: State, domain: DomainId) -> Self {
        Self {
            uses: 0,
            type_uses: 0,
            link: 0,
            domain,
            state,
            kind: PageType::None,
        }
    }

    #[inline]
    pub(super) fn is_owned_by(&self, domain: DomainId) -> bool {
        self.state >= State::Owned && self.domain == domain
    }

    fn owner(&self) -> Owner {
        match self.state {
            State::Reserved => Owner::Reserved,
            State::Hypervisor => Owner::Hypervisor,
            State::Free | State::FreeDirty => Owner::Free,
            State::Owned | State::Pinned | State::Leaving => Owner::Domain(self.domain),
        }
    }

    #[cold]
    fn refusal(&self) -> PagingError {
        if self.state == State::Reserved {
            PagingError::NotRam
        } else {
            PagingError::NotOwned
        }
    }
}

/// One use of a frame: as a type, or (`PageType::None`) just a mapping that nothing is written through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Use {
    /// The frame.
    pub mfn: Mfn,
    /// What it is used as.
    pub kind: PageType,
}

/// All machine frames, by number.
#[derive(Debug)]
pub struct FrameTable<'a> {
    frames: &'a mut [FrameInfo],
    free_head: u32,
    free_count: u32,
    generation: u64,
    /// How many steps of the generation were a domain's going over to another root, and nothing else.
    root_changes: u64,
}

impl<'a> FrameTable<'a> {
    /// A table in which every frame is reserved.
    #[must_use]
    pub fn new(frames: &'a mut [FrameInfo]) -> Self {
        frames.fill(FrameInfo::RESERVED);
        Self {
            frames,
            free_head: END,
            free_count: 0,
            generation: 0,
            root_changes: 0,
        }
    }

    /// Another number after every change of an entry of a live table, of a root, and of any frame's owner or type. While
    /// it is the same, an address of a guest's leads to where it led, with the same rights.
    #[must_use]
    #[inline]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The same, but for changes of roots: another number after every change of an entry of a live table, and of which tables
    /// are live. While it is the same, an entry of a live root leads to what it led to.
    #[must_use]
    #[inline(always)]
    pub const fn table_generation(&self) -> u64 {
        self.generation.wrapping_sub(self.root_changes)
    }

    /// What is known of translations is out of date.
    #[inline(always)]
    pub(super) const fn outdate(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    /// The same, but what is known of the tables below a root still holds.
    #[inline(always)]
    pub(super) const fn outdate_root(&mut self) {
        self.root_changes = self.root_changes.wrapping_add(1);
        self.outdate();
    }

    /// Makes frames free, to be zeroed when they are handed out. Frames that are not reserved, or past the end
    /// of the table, are left as they are.
    pub fn add_ram(&mut self, first: Mfn, count: u32) {
        let end = first.0.saturating_add(count).min(self.frame_count());
        // From the top, so that the lowest is handed out first.
        for mfn in (first.0..end).rev() {
            if self
                .get(Mfn(mfn))
                .is_some_and(|info| info.state == State::Reserved)
            {
                self.push_free(Mfn(mfn), State::FreeDirty);
            }
        }
    }

    /// Gives a frame of zeros to a domain.
    pub fn alloc(&mut self, mem: &mut impl PhysMem, dom: &mut DomainMemory) -> Option<Mfn> {
        let mfn = self.pop_free(mem, FrameInfo::unused(State::Owned, dom.id))?;
        dom.owned = dom.owned.saturating_add(1);
        Some(mfn)
    }

    /// Takes back a frame that its domain no longer uses: scrubs it and makes it free.
    pub fn release(
        &mut self,
        mem: &mut impl PhysMem,
        dom: &mut DomainMemory,
        mfn: Mfn,
    ) -> Result<(), PagingError> {
        let info = self.owned(dom.id, mfn)?;
        if info.uses != 0 || info.state != State::Owned {
            return Err(PagingError::StillUsed);
        }
        mem.zero(mfn);
        self.push_free(mfn, State::Free);
        dom.owned = dom.owned.saturating_sub(1);
        Ok(())
    }

    /// Takes a frame of zeros for the hypervisor. No domain can ever name it in a page table.
    pub fn alloc_hypervisor(&mut self, mem: &mut impl PhysMem) -> Option<Mfn> {
        self.pop_free(mem, FrameInfo::unused(State::Hypervisor, DomainId(0)))
    }

    /// Gives back a frame that [`Self::alloc_hypervisor`] gave; any other is left as it is.
    pub fn free_hypervisor(&mut self, mem: &mut impl PhysMem, mfn: Mfn) {
        if self.owner(mfn) == Owner::Hypervisor {
            mem.zero(mfn);
            self.push_free(mfn, State::Free);
        }
    }

    /// How many frames are free.
    #[must_use]
    pub const fn free_count(&self) -> u32 {
        self.free_count
    }

    /// How many frames the table knows: all frame numbers are below.
    #[must_use]
    pub fn frame_count(&self) -> u32 {
        u32::try_from(self.frames.len()).unwrap_or(u32::MAX)
    }

    /// Whose a frame is.
    #[must_use]
    pub fn owner(&self, mfn: Mfn) -> Owner {
        self.get(mfn).map_or(Owner::Reserved, FrameInfo::owner)
    }

    /// What a frame is used as.
    #[must_use]
    #[inline]
    pub fn page_type(&self, mfn: Mfn) -> PageType {
        self.get(mfn).map_or(PageType::None, |info| info.kind)
    }

    /// Whether a frame is a domain's.
    #[must_use]
    #[inline]
    pub fn is_owned_by(&self, mfn: Mfn, domain: DomainId) -> bool {
        self.owned(domain, mfn).is_ok()
    }

    /// Whether a frame is a domain's, and of this type.
    #[must_use]
    #[inline]
    pub fn is_used_as(&self, mfn: Mfn, domain: DomainId, kind: PageType) -> bool {
        self.owned(domain, mfn).is_ok_and(|info| info.kind == kind)
    }

    /// How many uses a frame has.
    #[must_use]
    pub fn uses(&self, mfn: Mfn) -> u32 {
        self.get(mfn).map_or(0, |info| info.uses)
    }

    /// How many of them use it as its type.
    #[must_use]
    pub fn type_uses(&self, mfn: Mfn) -> u32 {
        self.get(mfn).map_or(0, |info| info.type_uses)
    }

    /// Whether a frame is a pinned table.
    #[must_use]
    pub fn is_pinned(&self, mfn: Mfn) -> bool {
        self.get(mfn).is_some_and(|info| info.state == State::Pinned)
    }

    /// Takes one use of a domain's own frame. A page-table type must be there already. Whoever changes what uses it says that
    /// translations are out of date.
    #[inline(always)]
    pub(super) fn take(&mut self, domain: DomainId, wanted: Use) -> Result<(), PagingError> {
        let info = self.owned_mut(domain, wanted.mfn)?;
        let uses = info.uses.checked_add(1).ok_or(PagingError::CountOverflow)?;
        if wanted.kind != PageType::None {
            if info.kind != wanted.kind {
                // `Writable` is the one type that its first use makes.
                if wanted.kind != PageType::Writable {
                    return Err(PagingError::NotATable(info.kind));
                }
                if info.kind != PageType::None {
                    return Err(PagingError::InUseAs(info.kind));
                }
                info.kind = PageType::Writable;
            } else if wanted.kind != PageType::Writable && info.state == State::Leaving {
                // Tables alone leave.
                return Err(PagingError::Busy);
            }
            // Never more than `uses`, so it cannot overflow.
            info.type_uses = info.type_uses.wrapping_add(1);
        }
        info.uses = uses;
        Ok(())
    }

    /// Drops one use, as [`Self::take`] takes one. A table that loses its last type use goes on the domain's worklist.
    #[inline(always)]
    pub(super) fn put(&mut self, dom: &mut DomainMemory, dropped: Use) {
        let Some(info) = self.frames.get_mut(dropped.mfn.index()) else {
            miscounted(dropped.mfn)
        };
        let Some(uses) = info.uses.checked_sub(1) else {
            miscounted(dropped.mfn)
        };
        info.uses = uses;
        if dropped.kind == PageType::None {
            return;
        }
        let Some(type_uses) = info.type_uses.checked_sub(1) else {
            miscounted(dropped.mfn)
        };
        info.type_uses = type_uses;
        if type_uses != 0 {
            return;
        }
        if info.kind == PageType::Writable {
            info.kind = PageType::None;
        } else {
            info.state = State::Leaving;
            info.link = dom.leaving;
            dom.leaving = dropped.mfn.0;
        }
    }

    /// Makes an unused type a table type, with one use for the pin that asks for it.
    pub(super) fn begin_table(
        &mut self,
        domain: DomainId,
        mfn: Mfn,
        level: Level,
    ) -> Result<(), PagingError> {
        self.outdate();
        let info = self.owned_mut(domain, mfn)?;
        if info.kind != PageType::None {
            return Err(PagingError::InUseAs(info.kind));
        }
        info.uses = info.uses.checked_add(1).ok_or(PagingError::CountOverflow)?;
        info.type_uses = 1;
        info.kind = PageType::table(level);
        Ok(())
    }

    /// Undoes [`Self::begin_table`]: the frame was found not to be a table.
    pub(super) fn abandon_table(&mut self, mfn: Mfn) {
        self.outdate();
        if let Some(info) = self.frames.get_mut(mfn.index()) {
            info.uses = info.uses.saturating_sub(1);
            info.type_uses = 0;
            info.kind = PageType::None;
        }
    }

    /// The next table of a domain to be taken apart, off the worklist. Until [`Self::end_table`] it stays what
    /// it is.
    pub(super) fn pop_leaving(&mut self, dom: &mut DomainMemory) -> Option<(Mfn, Level)> {
        let mfn = Mfn(dom.leaving);
        let info = self.get(mfn)?;
        dom.leaving = info.link;
        info.kind.level().map(|level| (mfn, level))
    }

    /// A leaving table's entries no longer count: it is an ordinary frame again.
    pub(super) fn end_table(&mut self, mfn: Mfn) {
        self.outdate();
        if let Some(info) = self.frames.get_mut(mfn.index()) {
            info.kind = PageType::None;
            info.state = State::Owned;
        }
    }

    pub(super) fn set_state(&mut self, mfn: Mfn, state: State) {
        self.outdate();
        if let Some(info) = self.frames.get_mut(mfn.index()) {
            info.state = state;
        }
    }

    #[inline]
    pub(super) fn get(&self, mfn: Mfn) -> Option<&FrameInfo> {
        self.frames.get(mfn.index())
    }

    #[inline]
    pub(super) fn owned(&self, domain: DomainId, mfn: Mfn) -> Result<&FrameInfo, PagingError> {
        let info = self.get(mfn).ok_or(PagingError::NotRam)?;
        if info.is_owned_by(domain) {
            Ok(info)
        } else {
            Err(info.refusal())
        }
    }

    #[inline]
    fn owned_mut(&mut self, domain: DomainId, mfn: Mfn) -> Result<&mut FrameInfo, PagingError> {
        let info = self.frames.get_mut(mfn.index()).ok_or(PagingError::NotRam)?;
        if info.is_owned_by(domain) {
            Ok(info)
        } else {
            Err(info.refusal())
        }
    }

    /// All frames, for the audit alone.
    pub(super) fn all_mut(&mut self) -> &mut [FrameInfo] {
        self.frames
    }

    /// First frame of the free list, for the audit.
    pub(super) const fn free_head(&self) -> u32 {
        self.free_head
    }

    /// All that the table holds, to come back to.
    #[cfg(test)]
    pub(super) fn snapshot(&self) -> (Vec<FrameInfo>, u32, u32) {
        (self.frames.to_vec(), self.free_head, self.free_count)
    }

    #[cfg(test)]
    pub(super) fn restore(&mut self, (frames, free_head, free_count): &(Vec<FrameInfo>, u32, u32)) {
        self.outdate();
        self.frames.copy_from_slice(frames);
        self.free_head = *free_head;
        self.free_count = *free_count;
    }

    fn push_free(&mut self, mfn: Mfn, state: State) {
        self.outdate();
        if let Some(info) = self.frames.get_mut(mfn.index()) {
            *info = FrameInfo {
                link: self.free_head,
                ..FrameInfo::unused(state, DomainId(0))
            };
            self.free_head = mfn.0;
            self.free_count = self.free_count.saturating_add(1);
        }
    }

    fn pop_free(&mut self, mem: &mut impl PhysMem, becomes: FrameInfo) -> Option<Mfn> {
        self.outdate();
        let mfn = Mfn(self.free_head);
        let info = self.frames.get_mut(mfn.index())?;
        if info.state == State::FreeDirty {
            mem.zero(mfn);
        }
        self.free_head = info.link;
        self.free_count = self.free_count.saturating_sub(1);
        *info = becomes;
        Some(mfn)
    }
}

/// A use was dropped that was never taken: going on would hand out memory that is in use.
#[cold]
#[allow(
    clippy::panic,
    reason = "a lost count is a defect of the hypervisor, and isolation rests on the counts"
)]
fn miscounted(mfn: Mfn) -> ! {
    panic!("{mfn} lost a use that nobody had")
}
