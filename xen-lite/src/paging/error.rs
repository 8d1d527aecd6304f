//! Why a change to page tables was refused. A refused change has changed nothing.
use super::PageType;
use crate::addr::Level;
use abi::errno::Errno;
use core::fmt;

/// Why a change to page tables was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PagingError {
    /// Memory that no domain can have: beyond the end, a hole, a device, the hypervisor's image.
    NotRam,
    /// RAM that belongs to another domain, to the hypervisor, or to nobody.
    NotOwned,
    /// The frame is used as something that excludes what was asked.
    InUseAs(PageType),
    /// The frame is not a page table of the level that was asked for.
    NotATable(PageType),
    /// A frame that something still uses cannot be given back.
    StillUsed,
    /// A bit that no present entry may carry: the number of the lowest one.
    BadBit(u8),
    /// A superpage (bit 7 in an L2 or L3 entry).
    Superpage,
    /// The hypervisor's slot of a root is not empty, or a change names it.
    SlotForbidden,
    /// The table is being taken apart; ask again.
    Busy,
    /// The frame is not pinned.
    NotPinned,
    /// The frame is pinned already.
    AlreadyPinned,
    /// More uses of one frame than can be counted.
    CountOverflow,
    /// An entry's index past the end of a table.
    NoSuchEntry,
    /// `update_va_mapping`: the address has no L1 table, because the entry of this level is not present.
    NoTable(Level),
    /// An address that is not canonical.
    NonCanonical,
    /// The domain has no root.
    NoRoot,
}

impl PagingError {
    /// What the guest is told.
    #[must_use]
    #[cold]
    #[inline(never)]
    pub const fn errno(self) -> Errno {
        match self {
            Self::NotOwned | Self::NotRam | Self::SlotForbidden => Errno::Perm,
            Self::InUseAs(_) | Self::StillUsed | Self::CountOverflow => Errno::Busy,
            Self::Busy => Errno::Again,
            Self::AlreadyPinned => Errno::Exists,
            Self::NotPinned | Self::NoTable(_) | Self::NoRoot => Errno::NoEntry,
            Self::NotATable(_)
            | Self::BadBit(_)
            | Self::Superpage
            | Self::NoSuchEntry
            | Self::NonCanonical => Errno::Invalid,
        }
    }
}

impl fmt::Display for PagingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRam => f.write_str("not RAM that a domain can have"),
            Self::NotOwned => f.write_str("the frame is not the domain's own"),
            Self::InUseAs(kind) => write!(f, "the frame is in use as {kind}"),
            Self::NotATable(kind) => write!(f, "the frame is no such table: {kind}"),
            Self::StillUsed => f.write_str("the frame is still used"),
            Self::BadBit(bit) => write!(f, "bit {bit} is not allowed in a present entry"),
            Self::Superpage => f.write_str("superpages are not allowed"),
            Self::SlotForbidden => f.write_str("slot 256 is the hypervisor's"),
            Self::Busy => f.write_str("the table is being taken apart"),
            Self::NotPinned => f.write_str("the frame is not pinned"),
            Self::AlreadyPinned => f.write_str("the frame is pinned already"),
            Self::CountOverflow => f.write_str("the frame has too many uses"),
            Self::NoSuchEntry => f.write_str("a table has 512 entries"),
            Self::NoTable(level) => write!(f, "the {level:?} entry of the address is not present"),
            Self::NonCanonical => f.write_str("the address is not canonical"),
            Self::NoRoot => f.write_str("the domain has no page-table root"),
        }
    }
}

// In registers, not in memory: this is on the way of every page-table update.
const _: () = assert!(size_of::<Result<(), PagingError>>() <= 4);

impl core::error::Error for PagingError {}
