//! What the paging state machine promises, row by row, against a model, and on worlds small enough to exhaust.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod adversary;
mod auditing;
mod exhaustive;
mod model;
mod sequences;
