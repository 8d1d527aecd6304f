//! Guest memory by guest address: the one way in which the hypervisor touches it.
//!
//! The hypervisor never dereferences a guest pointer. [`walk`] reads the guest's page tables as the CPU would;
//! [`copy_from_guest`] and [`copy_to_guest`] copy through the direct map what a walk allows; [`read_array`] and
//! [`read_words`] are the same for words. A [`Window`] keeps one page's translation while nothing changes, and a [`LastPage`]
//! from one call to the next.
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

mod copy;
mod last_page;
mod walk;

pub use copy::{CopyFault, Window, copy_from_guest, copy_to_guest, read_array, read_words};
pub use last_page::LastPage;
pub use walk::{Access, Outcome, Refusal, Rights, Smep, Step, Walk, walk};

#[cfg(test)]
mod tests;
