//! The entries of a directory.
use crate::files::{File, READ, Result};
use crate::sys::ask;
use alloc::vec::Vec;
use linux_raw_sys::general as raw;

/// An entry, as `getdents64` tells of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Entry {
    /// The name: one part of a path.
    pub name: Vec<u8>,
    /// The file's number.
    pub inode: u64,
    /// `DT_DIR`, `DT_REG`, ...; `DT_UNKNOWN` is possible.
    pub kind: u8,
}

/// All entries of the directory at `path`, `.` and `..` among them, as they come.
///
/// # Errors
/// The kernel's.
pub fn entries(path: &[u8]) -> Result<Vec<Entry>> {
    let directory = File::open(path, READ | raw::O_DIRECTORY)?;
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match read_some(&directory, &mut buffer)? {
            0 => return Ok(all),
            count => all.extend(parse(buffer.get(..count).unwrap_or(&[]))),
        }
    }
}

/// The names of the directory at `path`, sorted, without `.` and `..`.
///
/// # Errors
/// The kernel's.
pub fn names(path: &[u8]) -> Result<Vec<Vec<u8>>> {
    let entries = entries(path)?.into_iter();
    let mut names: Vec<_> = entries
        .map(|entry| entry.name)
        .filter(|name| name != b"." && name != b"..")
        .collect();
    names.sort();
    Ok(names)
}

/// `getdents64`: how many bytes of records it wrote; 0 at the end.
///
/// # Errors
/// The kernel's.
pub fn read_some(directory: &File, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: the kernel writes into a buffer of ours.
    unsafe {
        ask(
            raw::__NR_getdents64,
            [
                directory.fd() as usize,
                buffer.as_mut_ptr() as usize,
                buffer.len(),
            ],
        )
    }
}

/// Where a record's fields are: `linux_dirent64`.
mod field {
    use core::mem::offset_of;
    use linux_raw_sys::general::linux_dirent64 as Record;

    pub(super) const LENGTH: usize = offset_of!(Record, d_reclen);
    pub(super) const KIND: usize = offset_of!(Record, d_type);
    pub(super) const NAME: usize = offset_of!(Record, d_name);
}

/// The entries in what the kernel wrote; stops at what makes no sense.
pub fn parse(mut records: &[u8]) -> impl Iterator<Item = Entry> {
    core::iter::from_fn(move || {
        let inode = u64::from_ne_bytes(records.get(..8)?.try_into().ok()?);
        let length = records.get(field::LENGTH..field::LENGTH + 2)?;
        let length = usize::from(u16::from_ne_bytes(length.try_into().ok()?));
        let kind = *records.get(field::KIND)?;
        let name = records.get(field::NAME..length)?;
        let name = name.split(|byte| *byte == 0).next()?.to_vec();
        records = records.get(length..)?;
        Some(Entry { name, inode, kind })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_directory_is_listed() {
        let names = names(b"/proc/self").unwrap();
        assert!(names.is_sorted());
        assert!(names.contains(&b"fd".to_vec()));
        assert_eq!(entries(b"/proc/self/stat"), Err(crate::Errno::ENOTDIR));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic_or_go_on_for_ever(bytes: Vec<u8>) {
            prop_assert!(parse(&bytes).count() <= bytes.len());
        }
    }
}
