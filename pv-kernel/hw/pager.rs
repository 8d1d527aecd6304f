//! Paging for the kernel itself: its heap appears at its first touch, its pageable code goes out and comes back.
//!
//! The fault handler may interrupt any pageable code. It uses nothing but the state here, which is locked only while
//! resident code runs that touches resident memory alone.
use crate::tables::DirectTables;
use abi::layout::PAGE_SIZE;
use abi::mmu::{MmuUpdate, MmuextCommand, MmuextOp};
use pv_kernel::addr::Pfn;
use pv_kernel::machine::Tables;
use pv_kernel::resident::pager::{self, HEAP_FLAGS, HEAP_POOL, HeapState, KernelFault, PAGED_OUT, Pageable};
use pv_kernel::resident::walk;
use spin::Mutex;

/// How often the pager has worked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Heap pages that have appeared.
    pub(crate) heap: u64,
    /// Code pages that have come back.
    pub(crate) text: u64,
}

struct Pager {
    tables: DirectTables,
    root: Pfn,
    pageable: Pageable,
    /// Empty frames for the heap: the first so many.
    pool: [Pfn; HEAP_POOL],
    ready: usize,
    counts: Counts,
}

static PAGER: Mutex<Option<Pager>> = Mutex::new(None);

unsafe extern "C" {
    static pageable_text_start: u8;
    static pageable_text_end: u8;
}

/// Where the pageable code is: first address, first address past it.
fn pageable_text() -> (u64, u64) {
    (
        &raw const pageable_text_start as u64,
        &raw const pageable_text_end as u64,
    )
}

/// Begins to page: the heap has its tables, no page, and may have up to `heap_pages`.
pub(crate) fn open(tables: DirectTables, root: Pfn, heap_pages: u64) {
    let (text_start, text_end) = pageable_text();
    let pageable = Pageable {
        text_start,
        text_end,
        heap_pages,
    };
    *PAGER.lock() = Some(Pager {
        tables,
        root,
        pageable,
        pool: [Pfn(0); HEAP_POOL],
        ready: 0,
        counts: Counts::default(),
    });
}

/// How the heap stands.
pub(crate) fn heap_state() -> HeapState {
    PAGER.lock().as_ref().map_or(HeapState::NONE, |pager| HeapState {
        touched: pager.counts.heap,
        ready: pager.ready as u64,
        limit: pager.pageable.heap_pages,
    })
}

/// How many more frames may lie ready for the heap.
pub(crate) fn heap_wants() -> usize {
    heap_state().wants() as usize
}

/// A frame for the heap.
pub(crate) fn grow_heap(frame: Pfn) {
    if let Some(pager) = PAGER.lock().as_mut()
        && let Some(slot) = pager.pool.get_mut(pager.ready)
    {
        *slot = frame;
        pager.ready += 1;
    }
}

/// Serves a page fault of ring 1.
pub(crate) fn fault(address: u64, error: u64) -> KernelFault {
    // The lock is taken where no fault can be served: a fault that finds it taken is a bug.
    let Some(mut pager) = PAGER.try_lock() else {
        return KernelFault::Bug;
    };
    pager
        .as_mut()
        .map_or(KernelFault::Bug, |pager| pager.serve(address, error))
}

/// What has been paged so far.
pub(crate) fn counts() -> Counts {
    PAGER
        .lock()
        .as_ref()
        .map_or(Counts::default(), |pager| pager.counts)
}

/// Pages all pageable code out.
pub(crate) fn page_out_text() {
    if let Some(pager) = PAGER.lock().as_mut() {
        pager.page_out_text();
    }
}

impl Pager {
    fn serve(&mut self, address: u64, error: u64) -> KernelFault {
        let Some(slot) = walk::leaf(&self.tables, self.root, address) else {
            return KernelFault::Bug;
        };
        let fault = pager::decide(&self.pageable, address, error, slot.entry);
        let location = walk::location(&self.tables, slot.table, slot.index);
        let entry = match fault {
            KernelFault::Heap => {
                let last = self.ready.checked_sub(1);
                let Some((last, frame)) = last.and_then(|last| Some((last, *self.pool.get(last)?))) else {
                    return KernelFault::Bug;
                };
                self.ready = last;
                self.counts.heap += 1;
                walk::entry_for(&self.tables, frame, HEAP_FLAGS)
            }
            KernelFault::Text(entry) => {
                self.counts.text += 1;
                entry
            }
            KernelFault::Bug => return fault,
        };
        self.tables.mmu_update(&[walk::update(location, entry)]);
        fault
    }

    fn page_out_text(&mut self) {
        let mut updates = [MmuUpdate::default(); 64];
        let mut address = self.pageable.text_start;
        while address < self.pageable.text_end {
            let mut count = 0;
            while count < updates.len() && address < self.pageable.text_end {
                if let Some(slot) = walk::leaf(&self.tables, self.root, address)
                    && slot.entry & PAGED_OUT == 0
                {
                    let location = walk::location(&self.tables, slot.table, slot.index);
                    updates[count] = walk::update(location, pager::page_out(slot.entry));
                    count += 1;
                }
                address += PAGE_SIZE;
            }
            self.tables.mmu_update(updates.get(..count).unwrap_or(&[]));
        }
        let flush = MmuextOp {
            command: MmuextCommand::TlbFlushLocal.raw(),
            ..MmuextOp::default()
        };
        self.tables.mmuext(&[flush]);
    }
}
