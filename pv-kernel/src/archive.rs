//! The archive that is the domain's module: cpio, format "newc", as `find | cpio -o -H newc` writes it.
//!
//! A file is a header of [`HEADER`] bytes of ASCII hexadecimal, its name with a NUL, its bytes; name and bytes each padded to 4.
//! The archive is not trusted: every bound is checked, and a broken one ends the search with an error.

const HEADER: usize = 110;
const TRAILER: &[u8] = b"TRAILER!!!";

/// The archive is cut short or is no archive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

/// One file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct File<'a> {
    /// Its name, without the NUL.
    pub name: &'a [u8],
    /// Its kind and permissions, as `stat` has them.
    pub mode: u32,
    /// When it was changed, in seconds since 1970.
    pub modified: u32,
    /// Its bytes; where a symbolic link leads.
    pub bytes: &'a [u8],
}

/// The bytes of the file `name`, if the archive has it.
///
/// # Errors
/// [`Malformed`]: the archive is broken before that file.
pub fn find<'a>(archive: &'a [u8], name: &[u8]) -> Result<Option<&'a [u8]>, Malformed> {
    let mut rest = archive;
    while let Some((file, next)) = split_file(rest)? {
        if file.name == name {
            return Ok(Some(file.bytes));
        }
        rest = next;
    }
    Ok(None)
}

/// The first file and what follows it; nothing at the archive's end.
///
/// # Errors
/// [`Malformed`].
pub fn split_file(archive: &[u8]) -> Result<Option<(File<'_>, &[u8])>, Malformed> {
    let header = archive.get(..HEADER).ok_or(Malformed)?;
    if !header.starts_with(b"070701") {
        return Err(Malformed);
    }
    let (mode, modified) = (field(header, 1)?, field(header, 5)?);
    let size = field(header, 6)? as usize;
    let name_size = field(header, 11)? as usize;
    let name_end = HEADER.checked_add(name_size).ok_or(Malformed)?;
    let (terminator, name) = archive
        .get(HEADER..name_end)
        .and_then(<[u8]>::split_last)
        .ok_or(Malformed)?;
    if *terminator != 0 {
        return Err(Malformed);
    }
    if name == TRAILER {
        return Ok(None);
    }
    let start = padded(name_end).ok_or(Malformed)?;
    let end = start.checked_add(size).ok_or(Malformed)?;
    let bytes = archive.get(start..end).ok_or(Malformed)?;
    let rest = padded(end)
        .and_then(|next| archive.get(next..))
        .ok_or(Malformed)?;
    let file = File {
        name,
        mode,
        modified,
        bytes,
    };
    Ok(Some((file, rest)))
}

fn padded(offset: usize) -> Option<usize> {
    offset.checked_next_multiple_of(4)
}

/// Field `index` of the header, eight hexadecimal digits each, after the magic.
fn field(header: &[u8], index: usize) -> Result<u32, Malformed> {
    let digits = header.get(6 + index * 8..14 + index * 8).ok_or(Malformed)?;
    digits.iter().try_fold(0u32, |value, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or(Malformed)?;
        Ok(value << 4 | digit)
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let files: Vec<_> = files
            .iter()
            .map(|(name, bytes)| (*name, 0o100_755, *bytes))
            .collect();
        archive_with_modes(&files)
    }

    pub(crate) fn archive_with_modes(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, mode, bytes) in files.iter().chain([&("TRAILER!!!", 0, &b""[..])]) {
            let name_size = name.len() + 1;
            out.extend(b"070701");
            for index in 0..13 {
                let value = match index {
                    1 => *mode as usize,
                    6 => bytes.len(),
                    11 => name_size,
                    _ => 0,
                };
                out.extend(format!("{value:08x}").bytes());
            }
            out.extend(name.bytes().chain([0]));
            out.resize(out.len().next_multiple_of(4), 0);
            out.extend(*bytes);
            out.resize(out.len().next_multiple_of(4), 0);
        }
        out
    }

    #[test]
    fn files_are_found_by_name() {
        let archive = archive(&[("bin/a", b"first"), ("etc/programs", b""), ("bin/b", b"second!!")]);
        assert_eq!(find(&archive, b"bin/a"), Ok(Some(&b"first"[..])));
        assert_eq!(find(&archive, b"bin/b"), Ok(Some(&b"second!!"[..])));
        assert_eq!(find(&archive, b"etc/programs"), Ok(Some(&b""[..])));
        assert_eq!(find(&archive, b"bin"), Ok(None));
    }

    #[test]
    fn an_archive_that_is_cut_short_is_malformed_wherever_it_is_cut() {
        let archive = archive(&[("bin/a", b"first")]);
        let trailer_end = HEADER + TRAILER.len() + 1;
        let last = archive.len().next_multiple_of(4) - trailer_end.next_multiple_of(4) + trailer_end;
        for length in 0..last {
            assert_eq!(find(&archive[..length], b"none"), Err(Malformed), "{length}");
        }
    }

    #[test]
    fn sizes_that_wrap_are_malformed() {
        let mut archive = archive(&[("bin/a", b"first")]);
        archive[54..62].copy_from_slice(b"ffffffff");
        assert_eq!(find(&archive, b"none"), Err(Malformed));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(
            at in 0usize..300, noise in prop::collection::vec(any::<u8>(), 0..32),
        ) {
            let mut archive = archive(&[("bin/a", b"first"), ("bin/b", &[7; 50])]);
            for (offset, byte) in noise.iter().enumerate() {
                if let Some(slot) = archive.get_mut(at + offset) {
                    *slot = *byte;
                }
            }
            let _ = find(&archive, b"none");
            let _ = find(&noise, b"none");
        }
    }
}
