//! The kernel's heap: a buddy allocator over addresses whose pages appear as they are touched.
use crate::pager;
use abi::layout::PAGE_SIZE;
use alloc::alloc::{GlobalAlloc, Layout};
use buddy_system_allocator::Heap;
use core::ptr::{NonNull, null_mut};
use pv_kernel::resident::pager::HEAP_BASE;
use spin::Mutex;

/// Blocks of up to 2^24 bytes.
const ORDER: usize = 25;

struct LazyHeap(Mutex<Heap<ORDER>>);

#[global_allocator]
static HEAP: LazyHeap = LazyHeap(Mutex::new(Heap::empty()));

/// Opens the heap: `size` bytes from its base on, which the pager is ready to serve.
pub(crate) fn open(size: usize) {
    let mut heap = HEAP.0.lock();
    // SAFETY: nothing else lies there, and the pager brings the pages.
    unsafe { heap.init(HEAP_BASE as usize, size) };
}

/// Whether `bytes` can be allocated for sure, in pieces of up to half of that: the allocator has two such blocks, and
/// there is a frame for each of their pages.
pub(crate) fn has(bytes: usize) -> bool {
    let state = pager::heap_state();
    let mut heap = HEAP.0.lock();
    let backed = (state.touched + state.ready) * PAGE_SIZE;
    let left = backed.saturating_sub(heap.stats_alloc_actual() as u64);
    if left < bytes as u64 || !state.serves((bytes as u64).div_ceil(PAGE_SIZE)) {
        return false;
    }
    let Ok(half) = Layout::from_size_align(bytes / 2, 1) else {
        return false;
    };
    let first = heap.alloc(half);
    let second = heap.alloc(half);
    let fits = first.is_ok() && second.is_ok();
    for block in [first, second].into_iter().flatten() {
        // SAFETY: it was allocated just now, with this layout, and nobody knows of it.
        unsafe { heap.dealloc(block, half) };
    }
    fits
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
