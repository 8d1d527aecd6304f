//! `memory_op`: giving frames up, and asking for them back (the paper's balloon).
use crate::numbered::numbered;

numbered! {
    /// The command in rdi. Numbers are Xen's.
    pub enum MemoryOp: u64 {
        /// `(frames, count)`: writes `count` machine frame numbers of new frames, all zero. Returns how many were
        /// had, which may be fewer. Never more than [`MemoryOp::MaximumReservation`] in all.
        IncreaseReservation = 0, "increase_reservation";
        /// `(frames, count)`: gives these machine frames up. They are mapped nowhere and no page tables.
        /// Returns how many were given up: all before the first that is in use or not one's own.
        DecreaseReservation = 1, "decrease_reservation";
        /// `()`: returns how many frames the domain has.
        CurrentReservation = 3, "current_reservation";
        /// `()`: returns how many frames it may have: as many as at its start.
        MaximumReservation = 4, "maximum_reservation";
    }
}

/// Most frames of one call.
pub const MAX_FRAMES: u64 = 512;
