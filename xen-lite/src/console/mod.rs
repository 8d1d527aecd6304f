//! Consoles: what guests' bytes become on the terminal, and the rings between.
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod line;
pub mod ring;
pub mod terminal;
pub mod text;
