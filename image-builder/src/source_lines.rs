//! Which line of which source file an address of an executable comes from, by its line tables.
//!
//! The executable is anybody's. What is read of it ends, and what is shown of it does no harm at a terminal: names of files
//! are shown as the hypervisor shows any text of a guest's, and not too much of them.
use crate::workspace;
use gimli::{Dwarf, EndianArcSlice, LittleEndian};
use object::{Object, ObjectSection};
use std::sync::Arc;
use xen_lite::console::text::Safe;

/// Bytes of a file's name that are shown: the last ones.
const MOST_SHOWN: usize = 200;
/// How deep entries may be nested. What looks them up calls itself for each call that was inlined into another one, and
/// compilers nest no more than some tens of these.
const MOST_NESTED: isize = 200;

type Reader = EndianArcSlice<LittleEndian>;

/// The line tables of one executable.
pub struct SourceLines {
    context: addr2line::Context<Reader>,
}

impl SourceLines {
    /// Those of an ELF file; none if it has none, or what it has makes no sense.
    #[must_use]
    pub fn of(elf: &[u8]) -> Option<Self> {
        let file = object::File::parse(elf).ok()?;
        file.section_by_name(gimli::SectionId::DebugLine.name())?;
        let load = |id: gimli::SectionId| -> Result<_, gimli::Error> {
            let section = file.section_by_name(id.name());
            let data = section
                .and_then(|section| section.data().ok())
                .unwrap_or_default();
            Ok(EndianArcSlice::new(Arc::from(data), LittleEndian))
        };
        let dwarf = Dwarf::load(load).ok()?;
        if !is_flat(&dwarf).ok()? {
            return None;
        }
        let context = addr2line::Context::from_dwarf(dwarf).ok()?;
        Some(Self { context })
    }

    /// `tests/guests/hw/witness.rs:17`: the file without what depends on this machine. Where calls were inlined, the
    /// innermost that is not Rust's own library.
    #[must_use]
    pub fn place(&self, address: u64) -> Option<String> {
        let mut frames = self.context.find_frames(address).skip_all_loads().ok()?;
        let mut innermost = None;
        while let Ok(Some(frame)) = frames.next() {
            let Some(place) = frame.location.as_ref().and_then(shown) else {
                continue;
            };
            if !place.starts_with("library/") {
                return Some(place);
            }
            innermost = innermost.or(Some(place));
        }
        innermost
    }
}

/// Whether no entry is nested deeper than [`MOST_NESTED`].
fn is_flat(dwarf: &Dwarf<Reader>) -> gimli::Result<bool> {
    let mut headers = dwarf.units();
    while let Some(header) = headers.next()? {
        let abbreviations = dwarf.abbreviations(&header)?;
        let mut entries = header.entries_raw(&abbreviations, None)?;
        while !entries.is_empty() {
            if entries.next_depth() > MOST_NESTED {
                return Ok(false);
            }
            if let Some(entry) = entries.read_abbreviation()? {
                entries.skip_attributes(entry.attributes())?;
            }
        }
    }
    Ok(true)
}

fn shown(location: &addr2line::Location<'_>) -> Option<String> {
    let file = portable(location.file?);
    let end = file.get(file.ceil_char_boundary(file.len().saturating_sub(MOST_SHOWN))..);
    let file = Safe(end.unwrap_or_default().as_bytes());
    Some(match location.line {
        Some(line) => format!("{file}:{line}"),
        None => file.to_string(),
    })
}

/// A path without the directories that are of this machine alone: the workspace's own files are relative to it, those of
/// Rust's library begin with `library/`, those of a dependency with its name and version; of any other only the name is left.
fn portable(path: &str) -> String {
    inside(&without_detours(path)).to_owned()
}

/// `a/b/../c` is `a/c`.
fn without_detours(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            ".." if parts.last().is_some_and(|last| !last.is_empty() && *last != "..") => {
                parts.pop();
            }
            "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn inside(path: &str) -> &str {
    let root = workspace::root().to_str().unwrap_or_default();
    let inside = path
        .strip_prefix(root)
        .and_then(|rest| rest.strip_prefix('/'))
        .filter(|rest| !rest.starts_with("target/"));
    if let Some(inside) = inside {
        return inside;
    }
    if !path.starts_with('/') && !path.contains("..") {
        return path;
    }
    if let Some(at) = path.find("/library/") {
        return &path[at + 1..];
    }
    if let Some((_, rest)) = path.split_once("/registry/src/") {
        return rest.split_once('/').map_or(rest, |(_, inside)| inside);
    }
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_do_not_tell_where_anything_lies_on_this_machine() {
        let own = workspace::root().join("tests/guests/hw/witness.rs");
        assert_eq!(portable(&own.to_string_lossy()), "tests/guests/hw/witness.rs");
        assert_eq!(portable("xen-lite/hw/main.rs"), "xen-lite/hw/main.rs");
        assert_eq!(portable("tests/guests/src/../hw/./a.rs"), "tests/guests/hw/a.rs");
        let core = "/rustc/0123/library/core/src/fmt/mod.rs";
        assert_eq!(portable(core), "library/core/src/fmt/mod.rs");
        let dependency = "/home/me/.cargo/registry/src/index-0123/spin-0.12.0/src/mutex.rs";
        assert_eq!(portable(dependency), "spin-0.12.0/src/mutex.rs");
        assert_eq!(portable("/home/me/kernel/main.c"), "main.c");
        assert_eq!(portable("../../kernel/main.c"), "main.c");
    }

    #[test]
    fn our_own_lines_are_found() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let lines = SourceLines::of(&own).unwrap();
        let here = crate::symbols::functions(&own)
            .into_iter()
            .find(|function| function.name.ends_with("our_own_lines_are_found"));
        let place = lines.place(here.unwrap().address).unwrap();
        assert!(place.starts_with("image-builder/src/source_lines.rs:"), "{place}");
    }

    #[test]
    fn what_has_no_line_tables_has_no_lines() {
        assert!(SourceLines::of(b"").is_none());
        assert!(SourceLines::of(b"\x7fELF").is_none());
    }

    /// Sections of an ELF file, by name.
    fn elf(sections: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let (mut bytes, mut names, mut headers) = (vec![0; 64], vec![0], vec![0; 64]);
        let mut add = |name: &str, kind: u32, content: &[u8], names: &mut Vec<u8>| {
            headers.extend((names.len() as u32).to_le_bytes());
            names.extend(name.bytes().chain([0]));
            let content = if name == ".shstrtab" {
                names.clone()
            } else {
                content.to_vec()
            };
            headers.extend(kind.to_le_bytes());
            headers.extend([0; 16]); // flags, address
            headers.extend((bytes.len() as u64).to_le_bytes());
            headers.extend((content.len() as u64).to_le_bytes());
            headers.extend([0; 24]); // link, info, alignment, size of an entry
            bytes.extend(content);
        };
        for (name, content) in sections {
            add(name, 1, content, &mut names);
        }
        add(".shstrtab", 3, &[], &mut names);
        let count = sections.len() as u16 + 2;
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let start = bytes.len() as u64;
        bytes.extend(headers);
        bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        bytes[0x10..0x14].copy_from_slice(&[2, 0, 62, 0]); // an executable, for x86-64
        bytes[0x14] = 1;
        bytes[0x28..0x30].copy_from_slice(&start.to_le_bytes());
        bytes[0x34..0x36].copy_from_slice(&64_u16.to_le_bytes());
        bytes[0x3a..0x3c].copy_from_slice(&64_u16.to_le_bytes());
        bytes[0x3c..0x3e].copy_from_slice(&count.to_le_bytes());
        bytes[0x3e..0x40].copy_from_slice(&(count - 1).to_le_bytes());
        bytes
    }

    /// A function at 0x1000, line 17 of a file; so many calls were inlined in it, each into the one before.
    fn function(file: &str, inlined: usize) -> Vec<u8> {
        const RANGE: [u8; 4] = [0x11, 0x01, 0x12, 0x07]; // low_pc: addr, high_pc: data8
        let at = [0x1000_u64.to_le_bytes(), 0x1000_u64.to_le_bytes()].concat();
        let abbreviations = [
            &[1, 0x11, 1][..], // compile unit, has children
            &RANGE,
            &[0x10, 0x17, 0, 0, 2, 0x2e, 1], // stmt_list: sec_offset; subprogram
            &RANGE,
            &[0, 0, 3, 0x1d, 1, 0, 0, 0], // inlined subroutine
        ];
        let entries = [
            &[4, 0, 0, 0, 0, 0, 8, 1][..], // version, abbreviations, size of an address; the unit
            &at,
            &[0, 0, 0, 0, 2],
            &at,
            &vec![3; inlined],
            &vec![0; inlined + 2],
        ];
        let header = [
            &[1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0][..],
            file.as_bytes(),
            &[0, 0, 0, 0, 0],
        ];
        let program = [
            &[0, 9, 2][..], // set the address
            &0x1000_u64.to_le_bytes(),
            &[3, 16, 1, 2, 0x80, 0x20, 0, 1, 1], // line 17; 0x1000 bytes; the end
        ];
        let header = header.concat();
        let lines = [
            &[4, 0][..],
            &(header.len() as u32).to_le_bytes(),
            &header,
            &program.concat(),
        ];
        let sized = |content: Vec<u8>| [&(content.len() as u32).to_le_bytes()[..], &content].concat();
        elf(&[
            (".debug_abbrev", abbreviations.concat()),
            (".debug_info", sized(entries.concat())),
            (".debug_line", sized(lines.concat())),
        ])
    }

    fn place(file: &str, inlined: usize) -> Option<String> {
        SourceLines::of(&function(file, inlined))?.place(0x1000)
    }

    #[test]
    fn no_name_of_a_file_does_harm_at_a_terminal() {
        assert_eq!(place("main.c", 0).as_deref(), Some("main.c:17"));
        assert_eq!(
            place("\x1b]52;c;aGk=\x07\n(xen-lite) \u{9b}6n\u{202e}", 0).as_deref(),
            Some("\\x1b]52;c;aGk=\\x07\\x0a(xen-lite) \\u{9b}6n\\u{202e}:17")
        );
        let long = format!("{}main.c", "\u{e4}".repeat(100_000));
        let shown = place(&long, 0).unwrap();
        assert!(
            shown.ends_with("\u{e4}main.c:17") && shown.len() <= MOST_SHOWN + 3,
            "{shown}"
        );
    }

    #[test]
    fn entries_nested_without_an_end_have_no_lines() {
        assert_eq!(place("main.c", 100).as_deref(), Some("main.c:17"));
        assert_eq!(place("main.c", 1_000_000), None);
    }
}
