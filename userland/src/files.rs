//! Files, directories and pipes by name and by descriptor.
//!
//! Names are bytes without a NUL. Every error is the kernel's unless it says otherwise.
use crate::Errno;
use crate::sys::{ask, plain};
use alloc::ffi::CString;
use alloc::vec::Vec;
use core::mem::MaybeUninit;
use linux_raw_sys::general as raw;

pub use linux_raw_sys::general::stat as Stat;

/// A file descriptor: the number of an open file of this process.
pub type Fd = i32;
/// The result of a system call.
pub type Result<T> = core::result::Result<T, Errno>;

/// Open for reading.
pub const READ: u32 = raw::O_RDONLY;
/// Open for writing: made if it is not there, emptied if it is.
pub const CREATE: u32 = raw::O_WRONLY | raw::O_CREAT | raw::O_TRUNC;
/// Open for writing at the end: made if it is not there.
pub const APPEND: u32 = raw::O_WRONLY | raw::O_CREAT | raw::O_APPEND;

/// A name as the kernel takes it.
///
/// # Errors
/// `ENOENT` if there is a NUL in it: no such file can exist.
pub fn name(path: &[u8]) -> Result<CString> {
    CString::new(path).map_err(|_| Errno::ENOENT)
}

/// An open file, closed when it is dropped.
#[derive(PartialEq, Eq, Debug)]
pub struct File(Fd);

impl File {
    /// Opens with flags such as [`READ`] and, for a new file, the permissions 666 less the process' mask. The
    /// descriptor is closed by exec.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(path: &[u8], flags: u32) -> Result<Self> {
        open(path, flags | raw::O_CLOEXEC, 0o666).map(Self)
    }

    /// The descriptor.
    #[must_use]
    pub fn fd(&self) -> Fd {
        self.0
    }

    /// Takes charge of an open descriptor.
    #[must_use]
    pub fn from_fd(fd: Fd) -> Self {
        Self(fd)
    }

    /// The descriptor, which stays open.
    #[must_use]
    pub fn into_fd(self) -> Fd {
        let fd = self.0;
        core::mem::forget(self);
        fd
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // Nobody could do anything about an error.
        let _ = close(self.0);
    }
}

/// Opens.
///
/// # Errors
/// The kernel's.
pub fn open(path: &[u8], flags: u32, mode: u32) -> Result<Fd> {
    let path = name(path)?;
    // SAFETY: the name is a string of ours that ends in NUL.
    let fd = unsafe {
        ask(
            raw::__NR_open,
            [path.as_ptr() as usize, flags as usize, mode as usize],
        )
    }?;
    Ok(fd as Fd)
}

/// Closes.
///
/// # Errors
/// The kernel's.
pub fn close(fd: Fd) -> Result<()> {
    plain(raw::__NR_close, [fd as usize]).map(|_| ())
}

/// Reads some bytes; 0 at the end.
///
/// # Errors
/// The kernel's.
pub fn read(fd: Fd, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: the kernel writes into a buffer of ours.
    unsafe {
        ask(
            raw::__NR_read,
            [fd as usize, buffer.as_mut_ptr() as usize, buffer.len()],
        )
    }
}

/// Writes some bytes.
///
/// # Errors
/// The kernel's.
pub fn write(fd: Fd, bytes: &[u8]) -> Result<usize> {
    // SAFETY: the kernel reads a buffer of ours.
    unsafe {
        ask(
            raw::__NR_write,
            [fd as usize, bytes.as_ptr() as usize, bytes.len()],
        )
    }
}

/// Writes all of `bytes`; a signal in between does not matter.
///
/// # Errors
/// The kernel's; some bytes may have been written then.
pub fn write_all(fd: Fd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match write(fd, bytes) {
            Ok(0) => return Err(Errno::EIO),
            Ok(count) => bytes = bytes.get(count..).unwrap_or(&[]),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// All that is left to read.
///
/// # Errors
/// The kernel's.
pub fn read_to_end(fd: Fd) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match read(fd, &mut buffer) {
            Ok(0) => return Ok(content),
            Ok(count) => content.extend_from_slice(buffer.get(..count).unwrap_or(&[])),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The content of a file.
///
/// # Errors
/// The kernel's.
pub fn content(path: &[u8]) -> Result<Vec<u8>> {
    let file = File::open(path, READ)?;
    read_to_end(file.fd())
}

/// Moves the position; `whence` is one of `SEEK_SET`, `SEEK_CUR`, `SEEK_END`.
///
/// # Errors
/// The kernel's.
pub fn seek(fd: Fd, offset: i64, whence: u32) -> Result<u64> {
    let place = plain(raw::__NR_lseek, [fd as usize, offset as usize, whence as usize])?;
    Ok(place as u64)
}

/// Makes `to` the same open file as `from`.
///
/// # Errors
/// The kernel's.
pub fn duplicate_to(from: Fd, to: Fd) -> Result<()> {
    plain(raw::__NR_dup2, [from as usize, to as usize]).map(|_| ())
}

/// A copy of `fd`, numbered `lowest` or above, that exec closes.
///
/// # Errors
/// The kernel's.
pub fn duplicate_above(fd: Fd, lowest: Fd) -> Result<Fd> {
    control(fd, raw::F_DUPFD_CLOEXEC, lowest as usize)
}

/// `fcntl` with an argument that is a number.
///
/// # Errors
/// The kernel's.
pub fn control(fd: Fd, command: u32, argument: usize) -> Result<Fd> {
    let result = plain(raw::__NR_fcntl, [fd as usize, command as usize, argument])?;
    Ok(result as Fd)
}

/// A pipe: the end to read from, the end to write to. `flags` is 0 or, say, `O_CLOEXEC`.
///
/// # Errors
/// The kernel's.
pub fn pipe(flags: u32) -> Result<(File, File)> {
    let mut ends = [0 as Fd; 2];
    // SAFETY: the kernel writes two numbers.
    unsafe { ask(raw::__NR_pipe2, [ends.as_mut_ptr() as usize, flags as usize]) }?;
    let [reader, writer] = ends;
    Ok((File(reader), File(writer)))
}

fn stat_by(number: u32, first: usize) -> Result<Stat> {
    let mut stat = MaybeUninit::<Stat>::zeroed();
    // SAFETY: the kernel fills a structure of ours; `first` is a descriptor or a name that the caller keeps.
    unsafe { ask(number, [first, stat.as_mut_ptr() as usize]) }?;
    // SAFETY: all zeros are a `Stat`, and so is what the kernel made of them.
    Ok(unsafe { stat.assume_init() })
}

/// What is known of the file at `path`, links followed.
///
/// # Errors
/// The kernel's.
pub fn stat(path: &[u8]) -> Result<Stat> {
    stat_by(raw::__NR_stat, name(path)?.as_ptr() as usize)
}

/// What is known of the file or link at `path`.
///
/// # Errors
/// The kernel's.
pub fn lstat(path: &[u8]) -> Result<Stat> {
    stat_by(raw::__NR_lstat, name(path)?.as_ptr() as usize)
}

/// What is known of an open file.
///
/// # Errors
/// The kernel's.
pub fn fstat(fd: Fd) -> Result<Stat> {
    stat_by(raw::__NR_fstat, fd as usize)
}

/// Whether `mode`, of a [`Stat`], is of this kind (`S_IFDIR`, ...).
#[must_use]
pub fn is_kind(mode: u32, kind: u32) -> bool {
    mode & raw::S_IFMT == kind
}

/// Whether there is a directory at `path`, links followed.
#[must_use]
pub fn is_directory(path: &[u8]) -> bool {
    stat(path).is_ok_and(|stat| is_kind(stat.st_mode, raw::S_IFDIR))
}

macro_rules! by_name {
    ($($(#[$doc:meta])* $function:ident, $number:ident $(, $more:ident)?;)*) => {
        $(
            $(#[$doc])*
            ///
            /// # Errors
            /// The kernel's.
            pub fn $function(path: &[u8] $(, $more: u32)?) -> Result<()> {
                let path = name(path)?;
                // SAFETY: the name is a string of ours that ends in NUL.
                unsafe { ask(raw::$number, [path.as_ptr() as usize $(, $more as usize)?]) }.map(|_| ())
            }
        )*
    };
}

by_name! {
    /// Makes a directory.
    make_directory, __NR_mkdir, mode;
    /// Removes an empty directory.
    remove_directory, __NR_rmdir;
    /// Removes a name of a file.
    unlink, __NR_unlink;
    /// Changes permissions.
    change_mode, __NR_chmod, mode;
    /// Asks whether the file may be read (4), written (2), run (1), or is there at all (0).
    access, __NR_access, mode;
    /// Changes the process' directory.
    change_directory, __NR_chdir;
}

fn by_two_names(number: u32, from: &[u8], to: &[u8]) -> Result<()> {
    let (from, to) = (name(from)?, name(to)?);
    // SAFETY: both names are strings of ours that end in NUL.
    unsafe { ask(number, [from.as_ptr() as usize, to.as_ptr() as usize]) }.map(|_| ())
}

/// Gives a file another name, in place of what had it.
///
/// # Errors
/// The kernel's.
pub fn rename(from: &[u8], to: &[u8]) -> Result<()> {
    by_two_names(raw::__NR_rename, from, to)
}

/// Gives a file one more name.
///
/// # Errors
/// The kernel's.
pub fn link(from: &[u8], to: &[u8]) -> Result<()> {
    by_two_names(raw::__NR_link, from, to)
}

/// Makes a symbolic link at `at` that says `target`.
///
/// # Errors
/// The kernel's.
pub fn symlink(target: &[u8], at: &[u8]) -> Result<()> {
    by_two_names(raw::__NR_symlink, target, at)
}

/// What a symbolic link says.
///
/// # Errors
/// The kernel's.
pub fn read_link(path: &[u8]) -> Result<Vec<u8>> {
    let path = name(path)?;
    let mut buffer = alloc::vec![0; raw::PATH_MAX as usize];
    // SAFETY: the name is ours, and so is the buffer.
    let length = unsafe {
        ask(
            raw::__NR_readlink,
            [path.as_ptr() as usize, buffer.as_mut_ptr() as usize, buffer.len()],
        )
    }?;
    buffer.truncate(length);
    Ok(buffer)
}

/// The process' directory.
///
/// # Errors
/// The kernel's.
pub fn current_directory() -> Result<Vec<u8>> {
    let mut buffer = alloc::vec![0; raw::PATH_MAX as usize];
    // SAFETY: the buffer is ours.
    let length = unsafe { ask(raw::__NR_getcwd, [buffer.as_mut_ptr() as usize, buffer.len()]) }?;
    // The kernel counts the NUL.
    buffer.truncate(length.saturating_sub(1));
    Ok(buffer)
}

/// Makes an open file so long.
///
/// # Errors
/// The kernel's.
pub fn truncate(fd: Fd, length: u64) -> Result<()> {
    plain(raw::__NR_ftruncate, [fd as usize, length as usize]).map(|_| ())
}

/// Sets the times of a file to now.
///
/// # Errors
/// The kernel's.
pub fn touch(path: &[u8]) -> Result<()> {
    let path = name(path)?;
    // SAFETY: the name is ours; no times given are the time now.
    unsafe {
        ask(
            raw::__NR_utimensat,
            [raw::AT_FDCWD as usize, path.as_ptr() as usize, 0, 0],
        )
    }
    .map(|_| ())
}

/// `path` within `directory`.
#[must_use]
pub fn join(directory: &[u8], path: &[u8]) -> Vec<u8> {
    let mut joined = directory.to_vec();
    if !joined.is_empty() && !joined.ends_with(b"/") {
        joined.push(b'/');
    }
    joined.extend_from_slice(path);
    joined
}

/// The last part of a path: `c` of `/a/b/c` and of `/a/b/c/`.
#[must_use]
pub fn base_name(path: &[u8]) -> &[u8] {
    let end = path
        .iter()
        .rposition(|byte| *byte != b'/')
        .map_or(0, |last| last + 1);
    let trimmed = path.get(..end).unwrap_or(path);
    if trimmed.is_empty() {
        return path.get(..1).unwrap_or(path);
    }
    trimmed.rsplit(|byte| *byte == b'/').next().unwrap_or(trimmed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_last_part() {
        assert_eq!(base_name(b"/a/b/c"), b"c");
        assert_eq!(base_name(b"c/"), b"c");
        assert_eq!(base_name(b"///"), b"/");
        assert_eq!(base_name(b""), b"");
        assert_eq!(join(b"/", b"a"), b"/a");
        assert_eq!(join(b"a", b"b"), b"a/b");
        assert_eq!(join(b"", b"b"), b"b");
    }

    #[test]
    fn a_pipe_carries_bytes_and_ends() {
        let (reader, writer) = pipe(0).unwrap();
        write_all(writer.fd(), b"through").unwrap();
        drop(writer);
        assert_eq!(read_to_end(reader.fd()).unwrap(), b"through");
    }

    #[test]
    fn errors_are_the_kernels() {
        assert_eq!(File::open(b"/does/not/exist", READ), Err(Errno::ENOENT));
        assert_eq!(File::open(b"a\0b", READ), Err(Errno::ENOENT));
        assert_eq!(read(-1, &mut [0]), Err(Errno::EBADF));
    }
}
