//! Page tables by hypercall, and read through the physmap.
use abi::errno::Errno;
use abi::hypercall::Hypercall;
use abi::layout::{ENTRIES, MACHINE_TO_PFN, PAGE_SHIFT, PHYSMAP};
use abi::mmu::{MAX_BATCH, MmuUpdate, MmuextOp};
use abi::multicall::MulticallEntry;
use abi::stub::{Returned, hypercall};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};
use pv_kernel::addr::{Mfn, Pfn};
use pv_kernel::machine::Tables;
use volatile::VolatilePtr;

/// Access to the page tables; needs no more than the frame list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DirectTables {
    frame_list: &'static [AtomicU64],
}

impl DirectTables {
    /// # Safety
    /// `frame_list` is the domain's. Only the boot path and whoever it hands this to may change page tables.
    pub(crate) const unsafe fn new(frame_list: &'static [AtomicU64]) -> Self {
        Self { frame_list }
    }

    /// The frame has another machine frame from now on.
    pub(crate) fn set_mfn(&self, frame: Pfn, mfn: Mfn) {
        let place = usize::try_from(frame.0)
            .ok()
            .and_then(|index| self.frame_list.get(index));
        if let Some(place) = place {
            place.store(mfn.0, Ordering::Relaxed);
        }
    }

    fn is_ours(&self, frame: Pfn) -> bool {
        usize::try_from(frame.0).is_ok_and(|pfn| pfn < self.frame_list.len())
    }
}

/// Address of a frame in the physmap.
pub(crate) const fn physmap(frame: Pfn) -> u64 {
    PHYSMAP + (frame.0 << PAGE_SHIFT)
}

fn load(word: &AtomicU64) -> u64 {
    word.load(Ordering::Relaxed)
}

/// Reads a word that the hypervisor maps: it may change at any time.
fn read_word(address: u64) -> u64 {
    let pointer = NonNull::new(address as *mut u64).unwrap_or(NonNull::dangling());
    // SAFETY: callers pass addresses of the physmap or of the machine-to-pfn table, which are mapped and aligned.
    let word = unsafe { VolatilePtr::new_read_only(pointer) };
    word.read()
}

impl Tables for DirectTables {
    fn mfn_of(&self, frame: Pfn) -> Mfn {
        let mfn = usize::try_from(frame.0)
            .ok()
            .and_then(|index| self.frame_list.get(index));
        Mfn(load(
            mfn.unwrap_or_else(|| panic!("{frame:?} is not the domain's")),
        ))
    }

    fn pfn_of(&self, frame: Mfn) -> Pfn {
        Pfn(read_word(MACHINE_TO_PFN + frame.0 * 8))
    }

    fn entry(&self, table: Pfn, index: u16) -> u64 {
        assert!(self.is_ours(table), "{table:?}");
        read_word(physmap(table) + u64::from(index) * 8)
    }

    fn next_entry(&self, table: Pfn, index: u16, end: u16) -> Option<(u16, u64)> {
        assert!(self.is_ours(table), "{table:?}");
        let words = physmap(table) as *const [AtomicU64; ENTRIES];
        // SAFETY: the physmap maps the frame; the CPU and the hypervisor write there by single instructions.
        let words = unsafe { &*words };
        let (mut index, end) = (usize::from(index), usize::from(end).min(ENTRIES));
        while let Some(word) = words.get(index..end).and_then(<[AtomicU64]>::first) {
            // Eight at a time while they are all 0.
            if let Some(eight) = words.get(index..index + 8).filter(|_| index % 8 == 0)
                && let [a, b, c, d, e, f, g, h] = eight
                && load(a) | load(b) | load(c) | load(d) | load(e) | load(f) | load(g) | load(h) == 0
            {
                index += 8;
                continue;
            }
            let entry = load(word);
            if entry != 0 {
                return Some((index as u16, entry));
            }
            index += 1;
        }
        None
    }

    fn mmu_update(&mut self, requests: &[MmuUpdate]) {
        batched(Hypercall::MmuUpdate, requests);
    }

    fn mmuext(&mut self, operations: &[MmuextOp]) {
        batched(Hypercall::MmuextOp, operations);
    }

    fn change_tables(&mut self, updates: &[MmuUpdate], operations: &[MmuextOp]) {
        if updates.is_empty() || operations.is_empty() {
            batched(Hypercall::MmuUpdate, updates);
            batched(Hypercall::MmuextOp, operations);
            return;
        }
        let mut calls = [
            entry(Hypercall::MmuUpdate, updates),
            entry(Hypercall::MmuextOp, operations),
        ];
        let arguments = [calls.as_mut_ptr() as u64, calls.len() as u64, 0, 0, 0];
        // SAFETY: the entries are ours; what they do to page tables is sound by the library's rules.
        let _ = unsafe { hypercall(Hypercall::Multicall, arguments) };
        let [updated, operated] = calls.map(|call| Returned {
            value: call.result,
            detail: call.detail,
        });
        // What one call leaves undone is asked for again. Operations that came before their updates may have been refused.
        let updates = rest(Hypercall::MmuUpdate, updated, updates);
        let operations = if updates.is_empty() {
            rest(Hypercall::MmuextOp, operated, operations)
        } else {
            let done = usize::try_from(operated.detail).unwrap_or(0);
            operations.get(done..).unwrap_or(&[])
        };
        batched(Hypercall::MmuUpdate, updates);
        batched(Hypercall::MmuextOp, operations);
    }
}

/// The entry of a multicall that asks for all of `items`, which are not more than one call takes.
fn entry<T>(number: Hypercall, items: &[T]) -> MulticallEntry {
    MulticallEntry {
        number: number.raw(),
        // What stands here when the entry was not reached: ask again, nothing is done.
        result: Errno::Again.to_rax(),
        detail: 0,
        arguments: [
            items.as_ptr() as u64,
            (items.len() as u64).min(MAX_BATCH),
            0,
            0,
            0,
        ],
    }
}

/// What is left to do of `items` after a call.
fn rest<T: core::fmt::Debug>(number: Hypercall, returned: Returned, items: &[T]) -> &[T] {
    let count = (items.len() as u64).min(MAX_BATCH);
    let done = progress(returned, count);
    assert!(
        done.is_some(),
        "{} refused: {:?}, first of the rest {:x?}",
        number.name(),
        returned.ok(),
        items.get(usize::try_from(returned.detail).unwrap_or(0))
    );
    items.get(done.unwrap_or(0)..).unwrap_or(&[])
}

/// Makes the calls that it takes to do all of `items`.
fn batched<T: core::fmt::Debug>(number: Hypercall, items: &[T]) {
    let mut left = items;
    while !left.is_empty() {
        let count = (left.len() as u64).min(MAX_BATCH);
        // SAFETY: the items are valid for the call; what they do to page tables is sound by the library's rules: frames
        // that it maps are its own, and memory in use is never taken away.
        let returned = unsafe { hypercall(number, [left.as_ptr() as u64, count, 0, 0, 0]) };
        left = rest(number, returned, left);
    }
}

/// How far a batch came; nothing if it was refused for good.
fn progress(returned: Returned, count: u64) -> Option<usize> {
    match returned.ok() {
        Ok(_) => usize::try_from(count).ok(),
        // More work than one call does: the rest is asked for again.
        Err(Errno::Again) => usize::try_from(returned.detail.min(count)).ok(),
        Err(_) => None,
    }
}
