//! Direct paging: guests' page tables are the hardware's, and xen-lite checks every change to them.
//!
//! - [`frame_table`] counts who uses which frame as what; it knows no entry format. Its head states the invariants.
//! - [`pte`] knows the entry format and no counts: which bits a guest may set, what an entry uses.
//! - [`domain`] is what is kept for each domain: its root, its worklist, how much it owns.
//! - [`validate`] makes a frame a page table and unmakes it again, one table at a time.
//! - [`update`] changes one entry.
//! - [`teardown`] takes back all that a dead domain had.
//! - [`mod@audit`] recomputes everything from the tables themselves; [`sampling`] says how often.
//!
//! # Why a frame may change its type without a flush of its own
//! A stale translation could let a guest write to a frame that has become a page table. There is none: every
//! entry to the hypervisor writes CR3, with CR4.PGE = 0 and no PCID, so that no translation of the guest is
//! left when any function here runs; a root is live on at most one vCPU and a domain has one vCPU, so no other
//! CPU holds one either; and the guest's tables are not walked, not even speculatively, before the way out
//! writes CR3 again. [`Flush`] marks each change that relies on this: whoever changes one of the three
//! (PCID, global pages, a second vCPU) must make that token do something.
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

pub mod audit;
pub mod domain;
mod error;
pub mod frame_table;
pub mod pte;
pub mod sampling;
pub mod teardown;
pub mod update;
pub mod validate;

#[cfg(test)]
mod tests;

pub use audit::{AuditFault, AuditReport, audit};
pub use domain::DomainMemory;
pub use error::PagingError;
pub use frame_table::{FrameInfo, FrameTable, Owner, PageType, Use};
pub use pte::Pte;
pub use sampling::Sampling;
pub use teardown::{Teardown, TeardownProgress};
pub use update::{update_entry, update_va_mapping};
pub use validate::{Progress, drop_root, pin, set_root, take_apart_one, unpin};

/// The guest may hold translations from before a change; see the module's head for why none is left.
#[must_use = "translations from before the change must be gone before the guest runs again"]
#[derive(PartialEq, Eq, Debug)]
pub struct Flush(());

impl Flush {
    pub(crate) const NEEDED: Self = Self(());

    /// The guest's CR3 was replaced on the way in and is written on the way out: nothing else is to be done.
    #[inline]
    pub fn by_cr3_write(self) {}
}
