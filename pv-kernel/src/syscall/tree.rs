//! Names: made, moved, taken away, listed.
use super::paths::{path_at, place_at};
use super::{Arguments, Made, strings};
use crate::errno::Errno;
use crate::fs::{Follow, Listing, New, Replace};
use crate::kernel::{Kernel, Machine};
use crate::proc::Process;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;

const AT_FDCWD: u64 = linux::AT_FDCWD as i64 as u64;
/// Most bytes of names that one call lists.
const LISTED_MAX: usize = 16 * 1024;

/// `mkdir(path, mode)`.
pub(super) fn mkdir<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [path, mode, ..]: Arguments,
) -> Made {
    mkdirat(kernel, process, [AT_FDCWD, path, mode, 0, 0, 0])
}

/// `mkdirat(directory, path, mode)`.
pub(super) fn mkdirat<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [directory, path, mode, ..]: Arguments,
) -> Made {
    make(kernel, process, directory, path, New::Directory, mode)
}

/// `mknod(path, mode, device)`.
pub(super) fn mknod<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [path, mode, device, ..]: Arguments,
) -> Made {
    mknodat(kernel, process, [AT_FDCWD, path, mode, device, 0, 0])
}

/// `mknodat(directory, path, mode, device)`: regular files and character devices.
pub(super) fn mknodat<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [directory, path, mode, device, ..]: Arguments,
) -> Made {
    let new = match mode as u32 & linux::S_IFMT {
        0 | linux::S_IFREG => New::File,
        linux::S_IFCHR => New::Device(device),
        linux::S_IFIFO | linux::S_IFBLK | linux::S_IFSOCK => return Err(Errno::NOT_PERMITTED.into()),
        _ => return Err(Errno::INVALID.into()),
    };
    make(kernel, process, directory, path, new, mode)
}

fn make<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    directory: u64,
    path: u64,
    new: New<'_>,
    mode: u64,
) -> Made {
    kernel.check_heap()?;
    let (start, path) = place_at(kernel, process, directory, path)?;
    kernel.with_files(process, |vfs, caller, _| {
        vfs.make(start, &path, new, mode as u16, caller)
    })?;
    Ok(0)
}

/// `symlink(target, path)`.
pub(super) fn symlink<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [target, path, ..]: Arguments,
) -> Made {
    symlinkat(kernel, process, [target, AT_FDCWD, path, 0, 0, 0])
}

/// `symlinkat(target, directory, path)`.
pub(super) fn symlinkat<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [target, directory, path, ..]: Arguments,
) -> Made {
    let target = strings::path(kernel, process, target)?;
    make(kernel, process, directory, path, New::Symlink(&target), 0o777)
}

/// `link(old, new)`.
pub(super) fn link<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [old, new, ..]: Arguments,
) -> Made {
    linkat(kernel, process, [AT_FDCWD, old, AT_FDCWD, new, 0, 0])
}

/// `linkat(old_directory, old, new_directory, new, flags)`.
pub(super) fn linkat<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [old_directory, old, new_directory, new, flags, ..]: Arguments,
) -> Made {
    if flags & !u64::from(linux::AT_SYMLINK_FOLLOW) != 0 {
        return Err(Errno::INVALID.into());
    }
    let follow = if flags == 0 {
        Follow::BeforeSlash
    } else {
        Follow::Yes
    };
    kernel.check_heap()?;
    let existing = path_at(kernel, process, old_directory, old, follow)?;
    let (start, path) = place_at(kernel, process, new_directory, new)?;
    kernel.with_files(process, |vfs, caller, _| vfs.link(existing, start, &path, caller))?;
    Ok(0)
}

/// `unlink(path)`.
pub(super) fn unlink<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [path, ..]: Arguments,
) -> Made {
    unlinkat(kernel, process, [AT_FDCWD, path, 0, 0, 0, 0])
}

/// `rmdir(path)`.
pub(super) fn rmdir<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [path, ..]: Arguments,
) -> Made {
    let flags = u64::from(linux::AT_REMOVEDIR);
    unlinkat(kernel, process, [AT_FDCWD, path, flags, 0, 0, 0])
}

/// `unlinkat(directory, path, flags)`.
pub(super) fn unlinkat<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [directory, path, flags, ..]: Arguments,
) -> Made {
    if flags & !u64::from(linux::AT_REMOVEDIR) != 0 {
        return Err(Errno::INVALID.into());
    }
    let (start, path) = place_at(kernel, process, directory, path)?;
    kernel.with_files(process, |vfs, caller, store| {
        if flags == 0 {
            vfs.unlink(start, &path, caller, store)
        } else {
            vfs.remove_directory(start, &path, caller, store)
        }
    })?;
    Ok(0)
}

/// `rename(old, new)`.
pub(super) fn rename<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [old, new, ..]: Arguments,
) -> Made {
    renameat2(kernel, process, [AT_FDCWD, old, AT_FDCWD, new, 0, 0])
}

/// `renameat(old_directory, old, new_directory, new)`.
pub(super) fn renameat<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [old_directory, old, new_directory, new, ..]: Arguments,
) -> Made {
    renameat2(kernel, process, [old_directory, old, new_directory, new, 0, 0])
}

/// `renameat2(old_directory, old, new_directory, new, flags)`.
pub(super) fn renameat2<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [old_directory, old, new_directory, new, flags, ..]: Arguments,
) -> Made {
    let replace = match u32::try_from(flags) {
        Ok(0) => Replace::Allowed,
        Ok(linux::RENAME_NOREPLACE) => Replace::Refused,
        _ => return Err(Errno::INVALID.into()),
    };
    kernel.check_heap()?;
    let (old_start, old) = place_at(kernel, process, old_directory, old)?;
    let (new_start, new) = place_at(kernel, process, new_directory, new)?;
    kernel.with_files(process, |vfs, caller, store| {
        vfs.rename((old_start, &old), (new_start, &new), replace, caller, store)
    })?;
    Ok(0)
}

/// `readlink(path, buffer, size)`.
pub(super) fn readlink<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [path, address, size, ..]: Arguments,
) -> Made {
    readlinkat(kernel, process, [AT_FDCWD, path, address, size, 0, 0])
}

/// `readlinkat(directory, path, buffer, size)`.
pub(super) fn readlinkat<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [directory, path, address, size, ..]: Arguments,
) -> Made {
    if size as i32 <= 0 {
        return Err(Errno::INVALID.into());
    }
    let node = path_at(kernel, process, directory, path, Follow::BeforeSlash)?;
    let target = kernel.with_files(process, |vfs, caller, _| vfs.target(node, caller))?;
    let size = usize::try_from(size).unwrap_or(usize::MAX).min(target.len());
    kernel.copy_out(process, address, target.get(..size).unwrap_or(&[]))?;
    Ok(size as u64)
}

/// `getdents64(fd, buffer, size)`.
pub(super) fn getdents64<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [descriptor, address, size, ..]: Arguments,
) -> Made {
    let file = process.files.descriptors.get(descriptor)?;
    let room = usize::try_from(size).unwrap_or(LISTED_MAX).min(LISTED_MAX);
    kernel.make_writable(process, address, room)?;
    let mut listed: Vec<u8> = Vec::new();
    let mut was_full = Listing::More;
    kernel.with_files(process, |vfs, caller, _| {
        vfs.list(file, caller, &mut |entry| {
            // Inode, position, length of the record, kind, name with its NUL, up to a multiple of 8.
            let length = (19 + entry.name.len() + 1).next_multiple_of(8);
            if listed.len() + length > room {
                was_full = Listing::Full;
                return Listing::Full;
            }
            let end = listed.len() + length;
            listed.extend_from_slice(&entry.number.to_le_bytes());
            listed.extend_from_slice(&entry.next.to_le_bytes());
            listed.extend_from_slice(&(length as u16).to_le_bytes());
            listed.push(entry.kind.entry_type());
            listed.extend_from_slice(entry.name);
            listed.resize(end, 0);
            Listing::More
        })
    })?;
    if listed.is_empty() && was_full == Listing::Full {
        return Err(Errno::INVALID.into());
    }
    kernel.copy_out(process, address, &listed)?;
    Ok(listed.len() as u64)
}
