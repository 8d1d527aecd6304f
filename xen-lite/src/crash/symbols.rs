//! Names of functions: what image-builder has packed (`abi::symbols`), looked up for a record.
//!
//! 1. Nothing of the module is trusted: whatever its bytes are, a lookup ends, and finds a name or none.
//! 2. Names are a guest's text: they are shown escaped, and no more than [`MOST_SHOWN`] bytes of them.
use crate::console::text::Safe;
use abi::symbols::{Header, MAGIC, Symbol};
use core::fmt::{self, Display, Formatter};
use core::mem::offset_of;

/// Bytes of a name that are shown.
pub const MOST_SHOWN: usize = 64;

const SYMBOL: usize = size_of::<Symbol>();

/// The functions of one executable.
#[derive(Clone, Copy, Debug)]
pub struct Symbols<'a> {
    symbols: &'a [[u8; SYMBOL]],
    names: &'a [u8],
}

/// A function and a distance from its beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place<'a> {
    /// The function's name, as it was packed.
    pub name: &'a [u8],
    /// Bytes from its beginning.
    pub offset: u64,
}

impl<'a> Symbols<'a> {
    /// No name is known.
    pub const NONE: Self = Self {
        symbols: &[],
        names: &[],
    };

    /// Those of a boot module; none if it is not what it should be.
    #[must_use]
    pub fn parse(module: &'a [u8]) -> Self {
        Self::checked(module).unwrap_or(Self::NONE)
    }

    fn checked(module: &'a [u8]) -> Option<Self> {
        let (header, rest) = module.split_at_checked(size_of::<Header>())?;
        if u64_at(header, offset_of!(Header, magic))? != MAGIC {
            return None;
        }
        let count = u32_at(header, offset_of!(Header, count))? as usize;
        let names_size = u32_at(header, offset_of!(Header, names_size))? as usize;
        let (symbols, rest) = rest.split_at_checked(count.checked_mul(SYMBOL)?)?;
        let names = rest.get(..names_size)?;
        let (symbols, _) = symbols.as_chunks();
        Some(Self { symbols, names })
    }

    /// Whether no name is known.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }

    /// The function that an instruction is part of.
    #[must_use]
    pub fn find(&self, address: u64) -> Option<Place<'a>> {
        let start = |symbol: &[u8; SYMBOL]| u64_at(symbol, offset_of!(Symbol, address)).unwrap_or(0);
        let behind = self.symbols.partition_point(|symbol| start(symbol) <= address);
        let symbol = self.symbols.get(behind.checked_sub(1)?)?;
        let offset = address.checked_sub(start(symbol))?;
        if offset >= u64::from(u32_at(symbol, offset_of!(Symbol, size))?) {
            return None;
        }
        let name = self
            .names
            .get(u32_at(symbol, offset_of!(Symbol, name))? as usize..)?;
        let length = name
            .iter()
            .take(MOST_SHOWN)
            .take_while(|byte| **byte != 0)
            .count();
        let name = name.get(..length).filter(|name| !name.is_empty())?;
        Some(Place { name, offset })
    }

    /// The function that has made the call which returns to an address: a call can be a function's last instruction.
    #[must_use]
    pub fn find_caller(&self, return_address: u64) -> Option<Place<'a>> {
        let place = self.find(return_address.wrapping_sub(1))?;
        let offset = place.offset.wrapping_add(1);
        Some(Place { offset, ..place })
    }
}

/// An address with the name of the function that it is in. Where names are known but none for this address, that is said:
/// the code was put there at run time.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a>(pub &'a Symbols<'a>, pub u64);

impl Display for Named<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(symbols, address) = self;
        match symbols.find(*address) {
            Some(place) => write!(f, "{address:#x} {place}"),
            None if symbols.is_empty() => write!(f, "{address:#x}"),
            None => write!(f, "{address:#x} (in no function of its executable)"),
        }
    }
}

impl Display for Place<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "<{}+{:#x}>", Safe(self.name), self.offset)
    }
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let field = bytes.get(offset..)?.first_chunk()?;
    Some(u32::from_le_bytes(*field))
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    let field = bytes.get(offset..)?.first_chunk()?;
    Some(u64::from_le_bytes(*field))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A module of functions: address, size, name.
    pub(crate) fn module(functions: &[(u64, u32, &str)]) -> Vec<u8> {
        let mut names = Vec::new();
        let mut symbols = Vec::new();
        for (address, size, name) in functions {
            symbols.extend(address.to_le_bytes());
            symbols.extend(size.to_le_bytes());
            symbols.extend((names.len() as u32).to_le_bytes());
            names.extend(name.bytes().chain([0]));
        }
        let mut bytes = MAGIC.to_le_bytes().to_vec();
        bytes.extend((functions.len() as u32).to_le_bytes());
        bytes.extend((names.len() as u32).to_le_bytes());
        bytes.extend(symbols);
        bytes.extend(names);
        bytes
    }

    fn shown(place: Option<Place<'_>>) -> String {
        place.map_or("none".to_owned(), |place| place.to_string())
    }

    #[test]
    fn an_address_has_the_name_of_the_function_that_it_is_in() {
        let module = module(&[
            (0x1000, 0x10, "first"),
            (0x1010, 0x20, "second"),
            (0x2000, 1, "last"),
        ]);
        let symbols = Symbols::parse(&module);
        for (address, name) in [
            (0, "none"),
            (0xfff, "none"),
            (0x1000, "<first+0x0>"),
            (0x100f, "<first+0xf>"),
            (0x1010, "<second+0x0>"),
            (0x102f, "<second+0x1f>"),
            (0x1030, "none"),
            (0x2000, "<last+0x0>"),
            (0x2001, "none"),
            (u64::MAX, "none"),
        ] {
            assert_eq!(shown(symbols.find(address)), name, "{address:#x}");
        }
    }

    #[test]
    fn a_call_at_a_functions_end_is_that_functions() {
        let module = module(&[(0x1000, 0x10, "first"), (0x1010, 0x20, "second")]);
        let symbols = Symbols::parse(&module);
        assert_eq!(shown(symbols.find_caller(0x1010)), "<first+0x10>");
        assert_eq!(shown(symbols.find_caller(0x1000)), "none");
        assert_eq!(shown(symbols.find_caller(0)), "none");
    }

    #[test]
    fn names_are_shown_escaped_and_cut() {
        let long = "n".repeat(200);
        let module = module(&[
            (0x1000, 0x10, "a\x1b[2J\nb"),
            (0x2000, 0x10, &long),
            (0x3000, 0x10, ""),
        ]);
        let symbols = Symbols::parse(&module);
        assert_eq!(shown(symbols.find(0x1001)), "<a\\x1b[2J\\x0ab+0x1>");
        assert_eq!(
            shown(symbols.find(0x2000)),
            format!("<{}+0x0>", "n".repeat(MOST_SHOWN))
        );
        assert_eq!(symbols.find(0x3000), None);
    }

    #[test]
    fn a_module_cut_anywhere_has_no_names() {
        let module = module(&[(0x1000, 0x10, "first"), (0x1010, 0x20, "second")]);
        for length in 0..module.len() {
            assert!(Symbols::parse(&module[..length]).is_empty(), "{length}");
        }
        assert!(!Symbols::parse(&module).is_empty());
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_are_a_lookup_ends(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            count in 0_u32..12,
            names_size in 0_u32..100,
            address: u64,
        ) {
            let mut bytes = bytes;
            let head = [&MAGIC.to_le_bytes()[..], &count.to_le_bytes(), &names_size.to_le_bytes()].concat();
            bytes.splice(0..0, head);
            let symbols = Symbols::parse(&bytes);
            for address in [address, 0, u64::MAX] {
                for place in [symbols.find(address), symbols.find_caller(address)].into_iter().flatten() {
                    prop_assert!(place.name.len() <= MOST_SHOWN && !place.name.is_empty());
                }
            }
        }
    }
}
