//! What paging keeps for each domain.
use super::frame_table::END;
use crate::addr::{DomainId, Mfn};

/// A domain's memory: what it owns, its root, the tables that wait to be taken apart.
///
/// Its numbers are kept by [`super::FrameTable`] and the functions of [`super::validate`]; nothing else
/// changes them.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone, PartialEq, Eq, Hash))]
pub struct DomainMemory {
    pub(super) id: DomainId,
    pub(super) slot_entry: u64,
    pub(super) root: Option<Mfn>,
    /// First table that waits to be taken apart; the others hang on its frame's link.
    pub(super) leaving: u32,
    pub(super) owned: u32,
    pub(super) pins: u32,
}

impl DomainMemory {
    /// A domain without memory. `slot_entry` is what slot 256 of each of its roots holds, all its life: the
    /// entry that names its vCPU's part of the address space.
    #[must_use]
    pub const fn new(id: DomainId, slot_entry: u64) -> Self {
        Self {
            id,
            slot_entry,
            root: None,
            leaving: END,
            owned: 0,
            pins: 0,
        }
    }

    /// Whose memory it is.
    #[must_use]
    pub const fn id(&self) -> DomainId {
        self.id
    }

    /// The entry in slot 256 of all its roots.
    #[must_use]
    pub const fn slot_entry(&self) -> u64 {
        self.slot_entry
    }

    /// The root that its vCPU runs on.
    #[must_use]
    pub const fn root(&self) -> Option<Mfn> {
        self.root
    }

    /// How many frames it owns.
    #[must_use]
    pub const fn owned(&self) -> u32 {
        self.owned
    }

    /// How many of its tables are pinned.
    #[must_use]
    pub const fn pins(&self) -> u32 {
        self.pins
    }

    /// Whether tables wait to be taken apart: [`super::take_apart_one`] is due.
    #[must_use]
    pub const fn has_leaving_tables(&self) -> bool {
        self.leaving != END
    }
}
