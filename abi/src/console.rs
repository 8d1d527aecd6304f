//! `console_io`: the domain's console.
use crate::numbered::numbered;

numbered! {
    /// The command in rdi. Numbers are Xen's.
    pub enum ConsoleIo: u64 {
        /// `(count, buffer)`: write; returns how many bytes were taken, which may be fewer (even 0) when the ring is full.
        Write = 0, "write";
        /// `(count, buffer)`: read what has been typed; returns how many bytes, 0 when nothing waits.
        Read = 1, "read";
    }
}

/// Most bytes that one call moves; a larger count is cut to it.
pub const MAX_TRANSFER: u64 = 4096;
