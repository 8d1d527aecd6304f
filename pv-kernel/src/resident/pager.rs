//! What to do about a page fault of the kernel itself: it has a heap whose pages appear at their first touch, and
//! code that can be paged out.
//!
//! Everything here runs on the kernel's stack, above whatever code was interrupted: it takes no lock of
//! that code, allocates nothing, and touches only resident memory.
use abi::mmu::PteFlags;

/// First address of the kernel's lazily mapped heap: root slot 400, which no boot table uses.
pub const HEAP_BASE: u64 = 0xffff_c800_0000_0000;
/// Most pages of the heap: sixteen L1 tables' worth, 32 MiB.
pub const HEAP_MAX_PAGES: u64 = 8192;
/// Frames that lie ready for heap pages that are touched first, as far as the domain has them.
pub const HEAP_POOL: usize = 128;
/// The mark of an L1 entry whose page is the kernel's own code, paged out: not present, its frame still in the entry.
pub const PAGED_OUT: u64 = 1 << 9;
/// The rights of a heap page.
pub const HEAP_FLAGS: PteFlags = PteFlags::PRESENT
    .union(PteFlags::WRITABLE)
    .union(PteFlags::NO_EXECUTE);
const _: () = assert!(PAGED_OUT & PteFlags::AVAILABLE_LOW.bits() != 0);

/// Bits of a page fault's error code (SDM vol. 3A, 4.7).
pub mod error {
    /// The entry was present: what it forbids was tried.
    pub const PRESENT: u64 = 1 << 0;
    /// A write.
    pub const WRITE: u64 = 1 << 1;
    /// From ring 3.
    pub const USER: u64 = 1 << 2;
    /// An instruction fetch.
    pub const FETCH: u64 = 1 << 4;
}

/// Where the kernel's pageable parts are.
#[derive(Clone, Copy, Debug)]
pub struct Pageable {
    /// First address of the pageable code.
    pub text_start: u64,
    /// First address past it.
    pub text_end: u64,
    /// How many pages the heap may have.
    pub heap_pages: u64,
}

/// How the heap stands, in pages.
#[derive(Clone, Copy, Debug)]
pub struct HeapState {
    /// Pages that are there.
    pub touched: u64,
    /// Frames that lie ready for others.
    pub ready: u64,
    /// How many pages there can be.
    pub limit: u64,
}

impl HeapState {
    /// A heap that is not there yet.
    pub const NONE: Self = Self {
        touched: 0,
        ready: 0,
        limit: 0,
    };

    /// How many more frames may lie ready: a pool of them, and no more than there are pages to come.
    #[must_use]
    pub const fn wants(&self) -> u64 {
        let room = (HEAP_POOL as u64).saturating_sub(self.ready);
        let to_come = self.limit.saturating_sub(self.touched + self.ready);
        if room < to_come { room } else { to_come }
    }

    /// Whether a frame lies ready for each of the next `pages` pages that are touched first, or for all that can be.
    #[must_use]
    pub const fn serves(&self, pages: u64) -> bool {
        self.ready >= pages || self.touched + self.ready >= self.limit
    }
}

/// What a page fault of ring 1 calls for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KernelFault {
    /// Map an empty frame there.
    Heap,
    /// Make the page's old entry present again: this value.
    Text(u64),
    /// Nothing has its place there: the kernel is wrong.
    Bug,
}

/// Decides about a page fault of ring 1 at `address`, whose L1 entry is `entry`.
#[must_use]
pub const fn decide(pageable: &Pageable, address: u64, error: u64, entry: u64) -> KernelFault {
    if error & (error::PRESENT | error::USER) != 0 {
        return KernelFault::Bug;
    }
    let heap_end = HEAP_BASE + pageable.heap_pages * abi::layout::PAGE_SIZE;
    if HEAP_BASE <= address && address < heap_end && entry == 0 && error & error::FETCH == 0 {
        return KernelFault::Heap;
    }
    let in_text = pageable.text_start <= address && address < pageable.text_end;
    if in_text && entry & PAGED_OUT != 0 && error & error::WRITE == 0 {
        return KernelFault::Text(page_in(entry));
    }
    KernelFault::Bug
}

/// The entry of a kernel page, paged out.
#[must_use]
pub const fn page_out(entry: u64) -> u64 {
    (entry & !PteFlags::PRESENT.bits()) | PAGED_OUT
}

/// The entry of a kernel page, back again.
#[must_use]
pub const fn page_in(entry: u64) -> u64 {
    (entry | PteFlags::PRESENT.bits()) & !PAGED_OUT
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGEABLE: Pageable = Pageable {
        text_start: 0xffff_ffff_8000_0000,
        text_end: 0xffff_ffff_8000_3000,
        heap_pages: 4,
    };
    const CODE: u64 = 0x1234_5021;

    #[test]
    fn the_first_touch_of_a_heap_page_maps_one() {
        let first = decide(&PAGEABLE, HEAP_BASE + 0x3ff8, error::WRITE, 0);
        assert_eq!(first, KernelFault::Heap);
        assert_eq!(
            decide(&PAGEABLE, HEAP_BASE + 0x4000, error::WRITE, 0),
            KernelFault::Bug
        );
        assert_eq!(decide(&PAGEABLE, HEAP_BASE, error::FETCH, 0), KernelFault::Bug);
    }

    #[test]
    fn code_that_was_paged_out_comes_back_as_it_was() {
        let fault = decide(&PAGEABLE, 0xffff_ffff_8000_2123, error::FETCH, page_out(CODE));
        assert_eq!(fault, KernelFault::Text(CODE));
    }

    #[test]
    fn a_write_to_code_is_a_bug() {
        let out = page_out(CODE);
        assert_eq!(
            decide(&PAGEABLE, 0xffff_ffff_8000_2123, error::WRITE, out),
            KernelFault::Bug
        );
        let present = error::WRITE | error::PRESENT;
        assert_eq!(
            decide(&PAGEABLE, 0xffff_ffff_8000_2123, present, CODE),
            KernelFault::Bug
        );
    }

    #[test]
    fn an_address_with_no_place_is_a_bug() {
        assert_eq!(decide(&PAGEABLE, 0, 0, 0), KernelFault::Bug);
        assert_eq!(
            decide(&PAGEABLE, 0xffff_ffff_8000_3000, error::FETCH, 0),
            KernelFault::Bug
        );
    }

    #[test]
    fn a_heap_whose_last_pages_all_have_their_frames_serves_whatever_can_be() {
        let state = |touched, ready| HeapState {
            touched,
            ready,
            limit: 1000,
        };
        for (touched, ready, wants) in [
            (0, 0, 128),
            (0, 100, 28),
            (900, 40, 60),
            (960, 40, 0),
            (1000, 0, 0),
        ] {
            assert_eq!(state(touched, ready).wants(), wants, "{touched} {ready}");
        }
        assert!(state(0, 64).serves(64) && !state(0, 63).serves(64));
        // Near its end there are not 64 pages to come.
        assert!(state(960, 40).serves(64) && !state(960, 39).serves(64));
        assert!(state(1000, 0).serves(64));
    }
}
