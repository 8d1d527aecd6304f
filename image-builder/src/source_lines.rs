//! Which line of which source file an address of an executable comes from, by its line tables.
use gimli::{Dwarf, EndianArcSlice, LittleEndian};
use object::{Object, ObjectSection};
use std::sync::Arc;

use crate::workspace;

/// The line tables of one executable.
pub struct SourceLines {
    context: addr2line::Context<EndianArcSlice<LittleEndian>>,
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
        let context = addr2line::Context::from_dwarf(Dwarf::load(load).ok()?).ok()?;
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

fn shown(location: &addr2line::Location<'_>) -> Option<String> {
    let file = portable(location.file?);
    Some(match location.line {
        Some(line) => format!("{file}:{line}"),
        None => file,
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
}
