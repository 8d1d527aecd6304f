//! Trees of files: what is in them, and what is removed with them.
use crate::directory;
use crate::files::{self, Result, join};
use alloc::vec::Vec;
use linux_raw_sys::general as raw;

/// When a visitor sees a directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Before what is in it.
    Before,
    /// After what is in it.
    After,
}

/// Whether `path` is a directory, and no link to one.
#[must_use]
pub fn is_real_directory(path: &[u8]) -> bool {
    files::lstat(path).is_ok_and(|stat| files::is_kind(stat.st_mode, raw::S_IFDIR))
}

/// Calls `visit` for `path` and all that is below it, sorted; links are not followed. A directory that cannot be read
/// is told of by `visit_error`.
pub fn tree(
    path: &[u8],
    order: Order,
    visit: &mut dyn FnMut(&[u8]),
    visit_error: &mut dyn FnMut(&[u8], crate::Errno),
) {
    // A list in place of recursion: trees may be deeper than the stack.
    let mut open: Vec<(Vec<u8>, bool)> = Vec::from([(path.to_vec(), false)]);
    while let Some((path, is_done)) = open.pop() {
        if is_done || !is_real_directory(&path) {
            visit(&path);
            continue;
        }
        match order {
            Order::Before => visit(&path),
            Order::After => open.push((path.clone(), true)),
        }
        match directory::names(&path) {
            Ok(names) => open.extend(names.iter().rev().map(|name| (join(&path, name), false))),
            Err(error) => visit_error(&path, error),
        }
    }
}

/// Removes a file, a link or an empty directory.
///
/// # Errors
/// The kernel's.
pub fn remove(path: &[u8]) -> Result<()> {
    if is_real_directory(path) {
        files::remove_directory(path)
    } else {
        files::unlink(path)
    }
}

/// Whether `inner` is `outer` or below it, as they are written.
#[must_use]
pub fn is_within(inner: &[u8], outer: &[u8]) -> bool {
    let outer = outer.strip_suffix(b"/").unwrap_or(outer);
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}
