//! File names from patterns.
use super::Bytes;
use super::split::bytes_of;
use crate::pattern::{Char, Pattern, is_special};
use alloc::vec::Vec;

/// What there is in the file system.
pub trait Directories {
    /// The names in a directory (empty: the current one), without `.` and `..`; none if it cannot be read.
    fn names_in(&self, directory: &[u8]) -> Vec<Bytes>;
    /// Whether there is something at `path`.
    fn exists(&self, path: &[u8]) -> bool;
}

/// Adds the files that `field` is a pattern of, sorted; `field` itself if nothing in it is special, or there are none.
pub fn expand(directories: &(impl Directories + ?Sized), field: &[Char], found: &mut Vec<Bytes>) {
    if is_special(field) {
        let mut paths = Vec::from([Bytes::new()]);
        let mut parts = field.split(|char| char.byte == b'/').peekable();
        while let Some(part) = parts.next() {
            paths = paths
                .iter()
                .flat_map(|path| within(directories, path, part))
                .collect();
            if parts.peek().is_some() {
                paths.iter_mut().for_each(|path| path.push(b'/'));
            }
        }
        paths.sort();
        if !paths.is_empty() {
            found.extend(paths);
            return;
        }
    }
    found.push(bytes_of(field));
}

/// The paths of `part` in `path`, which is empty or ends in a slash.
fn within(directories: &(impl Directories + ?Sized), path: &[u8], part: &[Char]) -> Vec<Bytes> {
    if !is_special(part) {
        let path = [path, &bytes_of(part)].concat();
        // What comes before a special part is found out there.
        let is_there = path.is_empty() || path.ends_with(b"/") || directories.exists(&path);
        return is_there.then_some(path).into_iter().collect();
    }
    let pattern = Pattern::new(part);
    let names = directories.names_in(path).into_iter();
    let shown = names.filter(|name| !name.starts_with(b".") || pattern.begins_with_dot());
    shown
        .filter(|name| pattern.matches(name))
        .map(|name| [path, name.as_slice()].concat())
        .collect()
}
