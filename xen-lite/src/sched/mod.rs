//! Who gets the CPU next, and whether a domain that has ended starts again.
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

pub mod account;
pub mod restart;
pub mod set;
pub mod turn;

#[cfg(test)]
mod simulation;
