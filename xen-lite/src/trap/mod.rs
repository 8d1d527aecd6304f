//! Traps: what a guest may register, which gate that gives a vector, and what a fault inside a delivery means.
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

pub mod frame;
pub mod gates;
pub mod table;
pub mod verdict;
