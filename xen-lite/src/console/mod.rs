//! Consoles: what guests' bytes become on the terminal, the rings between, and the monitor that the user talks to.
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

pub mod command;
mod line;
pub mod log;
pub mod monitor;
pub mod port;
pub mod ring;
pub mod terminal;
pub mod text;
pub mod turns;
pub mod waiting;
