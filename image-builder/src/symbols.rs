//! The names of an executable's functions, for records of kills and panics: found here, demangled and sorted, so that the
//! hypervisor parses no symbol table.
use abi::symbols::{Header, MAGIC, Symbol};
use object::{Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind};
use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Display, Write};

/// Names are cut after so many bytes: the hypervisor shows no more.
const MAX_NAME: usize = 64;

/// A function, or a label of an assembly source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Function {
    /// Its first byte.
    pub address: u64,
    /// Its length; a label reaches to the next one, or to its section's end.
    pub size: u64,
    /// For people.
    pub name: String,
}

/// The functions of an ELF file by ascending address, one for each; none if it has no symbol table, or is no ELF file.
#[must_use]
pub fn functions(elf: &[u8]) -> Vec<Function> {
    let Ok(file) = object::File::parse(elf) else {
        return Vec::new();
    };
    // What a file claims is not relied on: sections may overlap, sizes reach anywhere.
    let mut ends = HashMap::new();
    for section in file
        .sections()
        .filter(|section| section.kind() == SectionKind::Text)
    {
        ends.insert(section.index(), section.address().saturating_add(section.size()));
    }
    let mut found: BTreeMap<u64, (Rank, Function, u64)> = BTreeMap::new();
    for symbol in file.symbols() {
        let end = symbol.section_index().and_then(|section| ends.get(&section));
        let (Some(end), Some(rank), Ok(name)) = (end, Rank::of(&symbol), symbol.name()) else {
            continue;
        };
        let function = Function {
            address: symbol.address(),
            size: symbol.size(),
            name: readable(name),
        };
        let is_better = |(other, _, _): &(Rank, Function, u64)| rank < *other;
        if !function.name.is_empty() && found.get(&symbol.address()).is_none_or(is_better) {
            found.insert(symbol.address(), (rank, function, *end));
        }
    }
    let mut functions: Vec<Function> = Vec::with_capacity(found.len());
    let mut next = u64::MAX;
    for (_, mut function, end) in found.into_values().rev() {
        if function.size == 0 {
            function.size = end.min(next).saturating_sub(function.address);
        }
        next = function.address;
        functions.push(function);
    }
    functions.reverse();
    functions
}

/// Which of several names of one address is taken: the least.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    GlobalFunction,
    Function,
    GlobalLabel,
    Label,
}

impl Rank {
    fn of<'a>(symbol: &impl ObjectSymbol<'a>) -> Option<Self> {
        match (symbol.kind(), symbol.is_global()) {
            (SymbolKind::Text, true) => Some(Self::GlobalFunction),
            (SymbolKind::Text, false) => Some(Self::Function),
            (SymbolKind::Unknown | SymbolKind::Label, true) => Some(Self::GlobalLabel),
            (SymbolKind::Unknown | SymbolKind::Label, false) => Some(Self::Label),
            _ => None,
        }
    }
}

/// A name as its author wrote it, without the hash behind it, and not too long.
fn readable(name: &str) -> String {
    cut(&rustc_demangle::demangle(name))
}

/// The beginning of what something shows. No more of it is made: a few bytes of a mangled name can stand for a megabyte.
fn cut(name: &impl Display) -> String {
    let mut beginning = Beginning(String::new());
    // The end of the room is no mistake.
    let _ = write!(beginning, "{name:#}");
    beginning.0
}

/// Takes [`MAX_NAME`] bytes, and what would begin another one no more.
struct Beginning(String);

impl Write for Beginning {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let fits = text.get(..text.floor_char_boundary(MAX_NAME - self.0.len()));
        let fits = fits.unwrap_or_default();
        self.0.push_str(fits);
        if fits.len() == text.len() {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}

/// The boot module that `abi::symbols` describes.
#[must_use]
pub fn to_bytes(functions: &[Function]) -> Vec<u8> {
    let mut symbols = Vec::with_capacity(functions.len() * size_of::<Symbol>());
    let mut names = Vec::new();
    for function in functions {
        let size = u32::try_from(function.size).unwrap_or(u32::MAX);
        symbols.extend(function.address.to_le_bytes());
        symbols.extend(size.to_le_bytes());
        symbols.extend((names.len() as u32).to_le_bytes());
        names.extend(function.name.bytes().filter(|byte| *byte != 0));
        names.push(0);
    }
    let mut bytes = Vec::with_capacity(size_of::<Header>() + symbols.len() + names.len());
    bytes.extend(MAGIC.to_le_bytes());
    bytes.extend((functions.len() as u32).to_le_bytes());
    bytes.extend((names.len() as u32).to_le_bytes());
    bytes.extend(symbols);
    bytes.extend(names);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_functions_are_found_by_name() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let functions = functions(&own);
        assert!(functions.is_sorted_by(|a, b| a.address < b.address));
        let named = |part: &str| functions.iter().any(|function| function.name.contains(part));
        assert!(named("symbols::tests::our_own_functions_are_found"));
        assert!(functions.iter().all(|function| function.name.len() <= MAX_NAME));
    }

    #[test]
    fn what_is_no_elf_file_has_none() {
        for bytes in [&b""[..], b"\x7fELF", &[0xff; 100]] {
            assert_eq!(functions(bytes), []);
        }
    }

    #[test]
    fn names_are_demangled_and_cut_between_characters() {
        assert_eq!(
            readable("_ZN4core3fmt5write17h0123456789abcdefE"),
            "core::fmt::write"
        );
        assert_eq!(readable("_start"), "_start");
        assert_eq!(readable(&"\u{e4}".repeat(40)).chars().count(), 32);
        assert_eq!(readable(&format!("a{}", "\u{e4}".repeat(40))).len(), 63);
    }

    #[test]
    fn no_more_of_a_name_is_made_than_is_kept() {
        struct Endless;
        impl Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("abc")?;
                }
            }
        }
        let name = cut(&Endless);
        assert_eq!((name.len(), &name[60..]), (MAX_NAME, "abca"));
    }

    #[test]
    fn the_module_has_its_arrays_one_behind_the_other() {
        let function = |address, name: &str| Function {
            address,
            size: 16,
            name: name.to_owned(),
        };
        let bytes = to_bytes(&[function(0x1000, "a"), function(0x2000, "bc")]);
        assert_eq!(&bytes[..8], b"xl-names");
        assert_eq!(bytes[8..16], [2, 0, 0, 0, 5, 0, 0, 0]);
        assert_eq!(
            bytes[16..32],
            [0, 0x10, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(
            bytes[32..48],
            [0, 0x20, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 2, 0, 0, 0]
        );
        assert_eq!(&bytes[48..], b"a\0bc\0");
    }
}
