//! The kernel's heap: a buddy allocator over addresses whose pages appear as they are touched.
use alloc::alloc::{GlobalAlloc, Layout};
use buddy_system_allocator::Heap;
use core::ptr::{NonNull, null_mut};
use pv_kernel::resident::pager::HEAP_BASE;
use spin::Mutex;

/// Blocks of up to 2^21 bytes: all that an L1 table can map.
const ORDER: usize = 22;

struct LazyHeap(Mutex<Heap<ORDER>>);

#[global_allocator]
static HEAP: LazyHeap = LazyHeap(Mutex::new(Heap::empty()));

/// Opens the heap: `size` bytes from its base on, which the pager is ready to serve.
pub(crate) fn open(size: usize) {
    let mut heap = HEAP.0.lock();
    // SAFETY: nothing else lies there, and the pager brings the pages.
    unsafe { heap.init(HEAP_BASE as usize, size) };
}

/// Bytes that can still be allocated, in whatever pieces.
pub(crate) fn left() -> u64 {
    let heap = HEAP.0.lock();
    heap.stats_total_bytes().saturating_sub(heap.stats_alloc_actual()) as u64
}

// SAFETY: blocks are the buddy allocator's. The pager, which may run in the middle of it, never allocates.
unsafe impl GlobalAlloc for LazyHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.lock().alloc(layout).map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if let Some(pointer) = NonNull::new(pointer) {
            let mut heap = self.0.lock();
            // SAFETY: the caller's duty: the block came from here, with this layout.
            unsafe { heap.dealloc(pointer, layout) };
        }
    }
}
