//! Numbers of frames and the bounds of a program's addresses.
use abi::layout::PAGE_SIZE;

/// A frame by the domain's own numbering, 0 to `nr_pages - 1`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Pfn(pub u64);

/// A frame by the machine's numbering: what page tables hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Mfn(pub u64);

/// First address that a program may use: the first 64 KiB stay empty, so that a null pointer is one.
pub const USER_START: u64 = 0x1_0000;
/// First address past a program's. The last page below the canonical edge stays empty, as on Linux: an instruction
/// that ends at the edge would leave an address that cannot be returned to.
pub const USER_END: u64 = 0x7fff_ffff_f000;
/// Root-table slots from this one on are the kernel's (one of them the hypervisor's).
pub const FIRST_KERNEL_SLOT: u16 = 256;

/// `address` rounded down to its page.
#[must_use]
pub const fn page_floor(address: u64) -> u64 {
    address & !(PAGE_SIZE - 1)
}

/// `address` rounded up to a page; nothing when that is past the last one.
#[must_use]
pub const fn page_ceil(address: u64) -> Option<u64> {
    match address.checked_add(PAGE_SIZE - 1) {
        Some(sum) => Some(page_floor(sum)),
        None => None,
    }
}

/// Whether `address` is the first of a page.
#[must_use]
pub const fn is_page_aligned(address: u64) -> bool {
    address & (PAGE_SIZE - 1) == 0
}

/// A non-empty range of whole pages inside a program's addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageRange {
    start: u64,
    end: u64,
}

impl PageRange {
    /// The range, if it is page-aligned, not empty, and the program's to use.
    #[must_use]
    pub const fn new(start: u64, end: u64) -> Option<Self> {
        let aligned = is_page_aligned(start) && is_page_aligned(end);
        if aligned && start < end && start >= USER_START && end <= USER_END {
            Some(Self { start, end })
        } else {
            None
        }
    }

    /// The pages that hold the `length` bytes at `address`.
    #[must_use]
    pub fn covering(address: u64, length: u64) -> Option<Self> {
        Self::new(page_floor(address), page_ceil(address.checked_add(length)?)?)
    }

    /// First address.
    #[must_use]
    pub const fn start(self) -> u64 {
        self.start
    }

    /// First address past the range.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.end
    }

    /// How many pages it has.
    #[must_use]
    pub const fn pages(self) -> u64 {
        (self.end - self.start) / PAGE_SIZE
    }

    /// Whether `address` lies in it.
    #[must_use]
    pub const fn contains(self, address: u64) -> bool {
        self.start <= address && address < self.end
    }

    /// What both ranges have.
    #[must_use]
    pub fn intersection(self, other: Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_outside_the_program_s_addresses_is_none() {
        assert_eq!(PageRange::new(0, 0x1000), None);
        assert_eq!(PageRange::new(USER_END, USER_END + 0x1000), None);
        assert_eq!(PageRange::new(0x40_0000, 0x40_0000), None);
        assert_eq!(PageRange::new(0x40_0800, 0x40_1000), None);
    }

    #[test]
    fn covering_never_wraps() {
        assert_eq!(PageRange::covering(u64::MAX, 1), None);
        assert_eq!(PageRange::covering(0x40_0000, u64::MAX), None);
        let range = PageRange::covering(0x40_0fff, 2).unwrap();
        assert_eq!(
            (range.start(), range.end(), range.pages()),
            (0x40_0000, 0x40_2000, 2)
        );
    }
}
