//! The allocator: a buddy system over pages that are asked of the kernel as they are needed. None goes back.
//!
//! Programs have one thread, and signal handlers (see [`crate::signal`]) do not allocate, so nothing is locked.
use crate::process;
use buddy_system_allocator::Heap;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::{self, NonNull};

/// Bytes that are asked for at least.
const CHUNK: usize = 64 << 10;

struct Global(UnsafeCell<Heap<40>>);

// SAFETY: programs have one thread.
unsafe impl Sync for Global {}

#[global_allocator]
static HEAP: Global = Global(UnsafeCell::new(Heap::empty()));

/// Pages for `layout`. A buddy block is aligned to its own size, and lies somewhere within twice that.
fn grow(heap: &mut Heap<40>, layout: Layout) -> Option<()> {
    let block = layout.size().max(layout.align()).checked_next_power_of_two()?;
    let length = block.checked_mul(2)?.max(CHUNK);
    let start = process::map_anonymous(length).ok()? as usize;
    // SAFETY: the pages are new, and nobody else's.
    unsafe { heap.add_to_heap(start, start.checked_add(length)?) };
    Some(())
}

// SAFETY: blocks come from a heap of pages of its own.
unsafe impl GlobalAlloc for Global {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: programs have one thread, and nothing below allocates.
        let heap = unsafe { &mut *self.0.get() };
        if let Ok(block) = heap.alloc(layout) {
            return block.as_ptr();
        }
        match grow(heap, layout).map(|()| heap.alloc(layout)) {
            Some(Ok(block)) => block.as_ptr(),
            _ => ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: programs have one thread, and nothing below allocates.
        let heap = unsafe { &mut *self.0.get() };
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the block came from this heap with this layout.
            unsafe { heap.dealloc(block, layout) };
        }
    }
}
