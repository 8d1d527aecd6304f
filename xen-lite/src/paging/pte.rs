//! The page-table entry: what a guest may write into one, and what it then uses.
//!
//! Trusts nothing but the level, which the frame table knows. SDM vol. 3A, 4.5, tables 4-15 to 4-20.
use super::error::PagingError;
use super::frame_table::{PageType, Use};
use crate::addr::{Level, Mfn};
use abi::layout::PAGE_SHIFT;
use abi::mmu::{PTE_FRAME, PteFlags};

const PRESENT: u64 = PteFlags::PRESENT.bits();
const WRITABLE: u64 = PteFlags::WRITABLE.bits();
/// In an L2 or L3 entry; the same bit is PAT in an L1 entry and reserved in an L4 entry.
const PAGE_SIZE_BIT: u64 = 1 << 7;
/// All that a present entry may carry. Cache attributes are not among it (a new owner could read around the
/// scrub), nor are global pages (they would outlive a CR3 write).
const ALLOWED: u64 = PteFlags::all().bits() | PTE_FRAME;
/// Bits of a frame number beyond 32: such a frame is none of ours.
const BEYOND: u64 = PTE_FRAME & !((u32::MAX as u64) << PAGE_SHIFT);

/// An entry that may stand in a live table: not present, or with allowed bits only and a frame number of 32
/// bits. Whether the frame may be named is for the frame table to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pte(u64);

impl Pte {
    /// Checks what a guest wants to write into a table of `level`.
    #[inline]
    pub fn from_guest(raw: u64, level: Level) -> Result<Self, PagingError> {
        if raw & PRESENT != 0 {
            let bad = raw & (!ALLOWED | BEYOND);
            if bad != 0 {
                return Err(refusal(bad & !ALLOWED, level));
            }
        }
        Ok(Self(raw))
    }

    /// An entry read from a live table: it was checked when it was written, and the CPU changes A and D alone.
    #[inline]
    #[must_use]
    pub const fn from_live_table(raw: u64) -> Self {
        Self(raw)
    }

    /// The entry as the CPU sees it.
    #[inline]
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// Whether the CPU follows it.
    #[inline]
    #[must_use]
    pub const fn is_present(self) -> bool {
        self.0 & PRESENT != 0
    }

    /// The frame it names, if it is present.
    #[inline]
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "an entry of a live table has a frame number of 32 bits"
    )]
    pub const fn frame(self) -> Mfn {
        Mfn(((self.0 & PTE_FRAME) >> PAGE_SHIFT) as u32)
    }

    /// Whether both use the same frame for the same purpose, or nothing: they differ in flags alone.
    #[inline]
    #[must_use]
    pub const fn uses_the_same(self, other: Self, level: Level) -> bool {
        let decides = match level {
            Level::L1 => PTE_FRAME | PRESENT | WRITABLE,
            Level::L2 | Level::L3 | Level::L4 => PTE_FRAME | PRESENT,
        };
        (self.0 ^ other.0) & decides == 0 || (self.0 | other.0) & PRESENT == 0
    }

    /// What the entry uses when it stands in a table of `level`.
    #[inline]
    #[must_use]
    pub const fn used(self, level: Level) -> Option<Use> {
        if !self.is_present() {
            return None;
        }
        let kind = match level {
            Level::L1 if self.0 & WRITABLE != 0 => PageType::Writable,
            Level::L1 => PageType::None,
            Level::L2 => PageType::L1,
            Level::L3 => PageType::L2,
            Level::L4 => PageType::L3,
        };
        Some(Use {
            mfn: self.frame(),
            kind,
        })
    }
}

#[cold]
#[allow(clippy::cast_possible_truncation, reason = "at most 64")]
fn refusal(bad: u64, level: Level) -> PagingError {
    match level {
        _ if bad == 0 => PagingError::NotRam,
        Level::L2 | Level::L3 if bad == PAGE_SIZE_BIT => PagingError::Superpage,
        _ => PagingError::BadBit(bad.trailing_zeros() as u8),
    }
}
