//! The names of an executable's functions, as image-builder packs them for records of kills and panics: sorted, so that a
//! lookup is a binary search, and demangled, so that ring 0 parses no text.
//!
//! A boot module of this kind is a [`Header`], [`Header::count`] [`Symbol`]s by ascending address, and
//! [`Header::names_size`] bytes of names. The names are a guest's text.

/// "xl-names" in memory order.
pub const MAGIC: u64 = u64::from_le_bytes(*b"xl-names");

/// First bytes of the module.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: u64,
    /// How many symbols follow.
    pub count: u32,
    /// How many bytes of names follow them.
    pub names_size: u32,
}
const _: () = assert!(size_of::<Header>() == 16);

/// One function.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Symbol {
    /// Its first byte.
    pub address: u64,
    /// Its length in bytes.
    pub size: u32,
    /// Where its name begins among the names; it ends with a NUL.
    pub name: u32,
}
const _: () = assert!(size_of::<Symbol>() == 16);
