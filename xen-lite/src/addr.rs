//! Machine frames, domains, page-table levels.
use abi::layout::PAGE_SHIFT;
use core::fmt;

/// A machine frame number: physical address / 4096.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Mfn(pub u32);

impl Mfn {
    /// The frame that holds physical address `address`; none above 16 TiB.
    #[must_use]
    pub fn containing(address: u64) -> Option<Self> {
        u32::try_from(address >> PAGE_SHIFT).ok().map(Self)
    }

    /// The frame's first physical address.
    #[must_use]
    pub const fn address(self) -> u64 {
        (self.0 as u64) << PAGE_SHIFT
    }

    /// The frame's place in a table of all frames.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for Mfn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mfn {:#x}", self.0)
    }
}

/// The number of a domain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DomainId(pub u16);

impl fmt::Display for DomainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d{}", self.0)
    }
}

/// The level of a page table; an L1 entry names a page, an L4 table is a root.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Level {
    /// Page table.
    L1 = 1,
    /// Page directory.
    L2 = 2,
    /// Page-directory-pointer table.
    L3 = 3,
    /// PML4 table.
    L4 = 4,
}

impl Level {
    /// All levels, from the pages up.
    pub const ALL: [Self; 4] = [Self::L1, Self::L2, Self::L3, Self::L4];

    /// The level whose tables this level's entries name; none for L1.
    #[must_use]
    pub const fn below(self) -> Option<Self> {
        match self {
            Self::L1 => None,
            Self::L2 => Some(Self::L1),
            Self::L3 => Some(Self::L2),
            Self::L4 => Some(Self::L3),
        }
    }

    /// Which entry of a table of this level translates `va`.
    #[must_use]
    pub const fn index_of(self, va: u64) -> usize {
        (va >> (PAGE_SHIFT + 9 * (self as u32 - 1))) as usize & 511
    }
}
