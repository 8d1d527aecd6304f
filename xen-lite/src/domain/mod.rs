//! Domains: how one is laid out in memory before its first instruction, and what it is told.
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

pub mod layout;
pub mod start_info;
