//! `multicall(list, count)`: several hypercalls for the price of one entry.
//!
//! Entries are done in order. Each entry's result is written into it; an entry that is refused does not stop the others.
//! Calls that may not come back, and a multicall itself, are refused with -EPERM: `sched_op`, `multicall`.
//! An entry is copied before it is carried out, so what it was checked for is what is done.

/// One call. Xen's `struct multicall_entry`, with one argument less and a second result word.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MulticallEntry {
    /// Number of the hypercall.
    pub number: u64,
    /// Written: rax.
    pub result: u64,
    /// Written: rdx.
    pub detail: u64,
    /// Its arguments.
    pub arguments: [u64; 5],
}
const _: () = assert!(size_of::<MulticallEntry>() == 64);

/// Most entries of one call.
pub const MAX_ENTRIES: u64 = 64;
