//! What is known of files, and changes of it.
use super::paths::{path_at, start_at};
use super::{Arguments, Made, strings};
use crate::errno::Errno;
use crate::fs::{Attributes, FileId, Follow, Kind, NAME_MAX, Node, PageStore};
use crate::kernel::{Kernel, Machine};
use crate::proc::Process;
use abi::layout::PAGE_SIZE;
use linux_raw_sys::general as linux;

const AT_FDCWD: u64 = linux::AT_FDCWD as i64 as u64;
const NO_FOLLOW: u64 = linux::AT_SYMLINK_NOFOLLOW as u64;
const EMPTY_PATH: u64 = linux::AT_EMPTY_PATH as u64;
/// Unit of `st_blocks`, in bytes.
const BLOCK: u64 = 512;
const NS: u64 = 1_000_000_000;

/// What a call names by a descriptor, a path, or both.
enum Named {
    Node(Node),
    /// A file that may be no place in the tree.
    File(FileId),
}

fn follow(flags: u64) -> Follow {
    if flags & NO_FOLLOW != 0 {
        Follow::BeforeSlash
    } else {
        Follow::Yes
    }
}

/// The file that `directory`, the path at `address` and `flags` name.
fn named<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    directory: u64,
    address: u64,
    flags: u64,
) -> Result<Named, Errno> {
    let path = if address == 0 && flags & EMPTY_PATH != 0 {
        alloc::vec::Vec::new()
    } else {
        strings::string(kernel, process, address, strings::PATH_MAX, Errno::NAME_TOO_LONG)?
    };
    if path.is_empty() && flags & EMPTY_PATH != 0 {
        if directory as i32 == linux::AT_FDCWD {
            return Ok(Named::Node(process.files.directory));
        }
        let file = process.files.descriptors.get(u64::from(directory as u32))?;
        return Ok(Named::File(file));
    }
    let start = start_at(kernel, process, directory, &path)?;
    let found = kernel.with_files(process, |vfs, caller, _| {
        vfs.find(start, &path, follow(flags), caller)
    });
    found.map(Named::Node)
}

fn attributes<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &Process<'a>,
    named: &Named,
) -> Result<Attributes, Errno> {
    kernel.with_files(process, |vfs, caller, _| match named {
        Named::Node(node) => vfs.attributes(*node, caller),
        Named::File(file) => vfs.file_attributes(*file, caller),
    })
}

/// `stat(path, buffer)`.
pub(super) fn stat<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [path, buffer, ..]: Arguments,
) -> Made {
    newfstatat(kernel, process, [AT_FDCWD, path, buffer, 0, 0, 0])
}

/// `lstat(path, buffer)`.
pub(super) fn lstat<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [path, buffer, ..]: Arguments,
) -> Made {
    newfstatat(kernel, process, [AT_FDCWD, path, buffer, NO_FOLLOW, 0, 0])
}

/// `fstat(fd, buffer)`.
pub(super) fn fstat<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [descriptor, buffer, ..]: Arguments,
) -> Made {
    let file = process.files.descriptors.get(descriptor)?;
    let about = attributes(kernel, process, &Named::File(file))?;
    kernel.copy_out(process, buffer, &stat_bytes(&about))?;
    Ok(0)
}

/// `newfstatat(directory, path, buffer, flags)`.
pub(super) fn newfstatat<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [directory, path, buffer, flags, ..]: Arguments,
) -> Made {
    let named = named(kernel, process, directory, path, flags)?;
    let about = attributes(kernel, process, &named)?;
    kernel.copy_out(process, buffer, &stat_bytes(&about))?;
    Ok(0)
}

/// `statx(directory, path, flags, mask, buffer)`.
pub(super) fn statx<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [directory, path, flags, _, buffer, ..]: Arguments,
) -> Made {
    let named = named(kernel, process, directory, path, flags)?;
    let about = attributes(kernel, process, &named)?;
    kernel.copy_out(process, buffer, &statx_bytes(&about))?;
    Ok(0)
}

fn mode(about: &Attributes) -> u32 {
    about.kind.mode() | u32::from(about.permissions)
}

/// Linux's `struct stat`.
fn stat_bytes(about: &Attributes) -> [u8; size_of::<linux::stat>()] {
    let words = [
        about.device,
        about.number,
        u64::from(about.links),
        u64::from(mode(about)) | u64::from(about.owner) << 32,
        u64::from(about.group),
        about.which,
        about.size,
        PAGE_SIZE,
        about.held / BLOCK,
        about.accessed / NS,
        about.accessed % NS,
        about.modified / NS,
        about.modified % NS,
        about.changed / NS,
        about.changed % NS,
    ];
    let mut bytes = [0; size_of::<linux::stat>()];
    for (target, word) in bytes.chunks_exact_mut(8).zip(words) {
        target.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}
const _: () = assert!(core::mem::offset_of!(linux::stat, st_mode) == 24);
const _: () = assert!(core::mem::offset_of!(linux::stat, st_rdev) == 40);
const _: () = assert!(core::mem::offset_of!(linux::stat, st_ctime_nsec) == 112);

/// Linux's `struct statx`.
fn statx_bytes(about: &Attributes) -> [u8; size_of::<linux::statx>()] {
    let time = |ns: u64| [ns / NS, ns % NS];
    let [accessed, modified, changed] = [about.accessed, about.modified, about.changed].map(time);
    let [major, minor] = [about.which >> 8, about.which & 0xff];
    let words = [
        u64::from(linux::STATX_BASIC_STATS) | PAGE_SIZE << 32,
        0,
        u64::from(about.links) | u64::from(about.owner) << 32,
        u64::from(about.group) | u64::from(mode(about)) << 32,
        about.number,
        about.size,
        about.held / BLOCK,
        0,
        accessed[0],
        accessed[1],
        0,
        0,
        changed[0],
        changed[1],
        modified[0],
        modified[1],
        major | minor << 32,
        about.device << 32,
    ];
    let mut bytes = [0; size_of::<linux::statx>()];
    for (target, word) in bytes.chunks_exact_mut(8).zip(words) {
        target.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}
const _: () = assert!(core::mem::offset_of!(linux::statx, stx_mode) == 28);
const _: () = assert!(core::mem::offset_of!(linux::statx, stx_atime) == 64);
const _: () = assert!(core::mem::offset_of!(linux::statx, stx_ctime) == 96);
const _: () = assert!(core::mem::offset_of!(linux::statx, stx_mtime) == 112);
const _: () = assert!(core::mem::offset_of!(linux::statx, stx_rdev_major) == 128);

/// `access(path, mode)`.
pub(super) fn access<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [path, wanted, ..]: Arguments,
) -> Made {
    faccessat2(kernel, process, [AT_FDCWD, path, wanted, 0, 0, 0])
}

/// `faccessat(directory, path, mode)`.
pub(super) fn faccessat<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [directory, path, wanted, ..]: Arguments,
) -> Made {
    faccessat2(kernel, process, [directory, path, wanted, 0, 0, 0])
}

/// `faccessat2(directory, path, mode, flags)`: the one user may all, but execute what nobody may.
pub(super) fn faccessat2<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [directory, path, wanted, flags, ..]: Arguments,
) -> Made {
    if wanted & !u64::from(linux::R_OK | linux::W_OK | linux::X_OK) != 0 {
        return Err(Errno::INVALID.into());
    }
    let named = named(kernel, process, directory, path, flags)?;
    let about = attributes(kernel, process, &named)?;
    let runs = about.kind == Kind::Directory || about.permissions & 0o111 != 0;
    if wanted & u64::from(linux::X_OK) != 0 && !runs {
        return Err(Errno::ACCESS.into());
    }
    Ok(0)
}

/// `chmod(path, mode)`.
pub(super) fn chmod<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [path, mode, ..]: Arguments,
) -> Made {
    fchmodat(kernel, process, [AT_FDCWD, path, mode, 0, 0, 0])
}

/// `fchmodat(directory, path, mode)`.
pub(super) fn fchmodat<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [directory, path, mode, ..]: Arguments,
) -> Made {
    let node = path_at(kernel, process, directory, path, Follow::Yes)?;
    kernel.with_files(process, |vfs, caller, _| {
        vfs.set_permissions(node, mode as u16, caller)
    })?;
    Ok(0)
}

/// `fchmod(fd, mode)`.
pub(super) fn fchmod<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [descriptor, mode, ..]: Arguments,
) -> Made {
    let node = node_of(kernel, process, descriptor)?;
    kernel.with_files(process, |vfs, caller, _| {
        vfs.set_permissions(node, mode as u16, caller)
    })?;
    Ok(0)
}

/// The place in the tree of an open file; `EINVAL` for a pipe.
fn node_of<M>(kernel: &Kernel<'_, M>, process: &Process<'_>, descriptor: u64) -> Result<Node, Errno> {
    let file = process.files.descriptors.get(descriptor)?;
    kernel.vfs.node_of(file).map_err(|errno| match errno {
        Errno::NOT_DIRECTORY => Errno::INVALID,
        errno => errno,
    })
}

/// `chown(path, owner, group)`.
pub(super) fn chown<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [path, owner, group, ..]: Arguments,
) -> Made {
    fchownat(kernel, process, [AT_FDCWD, path, owner, group, 0, 0])
}

/// `lchown(path, owner, group)`.
pub(super) fn lchown<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [path, owner, group, ..]: Arguments,
) -> Made {
    fchownat(kernel, process, [AT_FDCWD, path, owner, group, NO_FOLLOW, 0])
}

/// `fchownat(directory, path, owner, group, flags)`.
pub(super) fn fchownat<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [directory, path, owner, group, flags, ..]: Arguments,
) -> Made {
    let node = match named(kernel, process, directory, path, flags)? {
        Named::Node(node) => node,
        Named::File(file) => kernel.vfs.node_of(file)?,
    };
    set_owner(kernel, process, node, owner, group)
}

/// `fchown(fd, owner, group)`.
pub(super) fn fchown<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [descriptor, owner, group, ..]: Arguments,
) -> Made {
    let node = node_of(kernel, process, descriptor)?;
    set_owner(kernel, process, node, owner, group)
}

fn set_owner<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &Process<'a>,
    node: Node,
    owner: u64,
    group: u64,
) -> Made {
    let [owner, group] = [owner, group].map(|id| Some(id as u32).filter(|id| *id != u32::MAX));
    kernel.with_files(process, |vfs, caller, _| {
        vfs.set_owner(node, owner, group, caller)
    })?;
    Ok(0)
}

/// `utimensat(directory, path, times, flags)`.
pub(super) fn utimensat<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [directory, path, times, flags, ..]: Arguments,
) -> Made {
    let node = if path == 0 && flags & EMPTY_PATH == 0 {
        node_of(kernel, process, u64::from(directory as u32))?
    } else {
        match named(kernel, process, directory, path, flags)? {
            Named::Node(node) => node,
            Named::File(file) => kernel.vfs.node_of(file)?,
        }
    };
    let now = kernel.wall_clock_ns();
    let [accessed, modified] = if times == 0 {
        [Some(now); 2]
    } else {
        let mut bytes = [0; 32];
        kernel.copy_in(process, times, &mut bytes)?;
        let (words, _) = bytes.as_chunks::<8>();
        let word = |index: usize| words.get(index).map_or(0, |word| u64::from_le_bytes(*word));
        [time(word(0), word(1), now)?, time(word(2), word(3), now)?]
    };
    kernel.with_files(process, |vfs, caller, _| {
        vfs.set_times(node, accessed, modified, caller)
    })?;
    Ok(0)
}

/// A time of `utimensat`; nothing if it stays as it is.
fn time(seconds: u64, ns: u64, now: u64) -> Result<Option<u64>, Errno> {
    match ns {
        ns if ns == u64::from(linux::UTIME_OMIT) => Ok(None),
        ns if ns == u64::from(linux::UTIME_NOW) => Ok(Some(now)),
        NS.. => Err(Errno::INVALID),
        // Before 1970, or after 2554: as near as can be kept.
        _ if seconds > i64::MAX as u64 => Ok(Some(0)),
        ns => Ok(Some(seconds.saturating_mul(NS).saturating_add(ns))),
    }
}

/// `truncate(path, size)`.
pub(super) fn truncate<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [path, size, ..]: Arguments,
) -> Made {
    let node = path_at(kernel, process, AT_FDCWD, path, Follow::Yes)?;
    kernel.with_files(process, |vfs, caller, store| {
        vfs.set_size(node, size, caller, store)
    })?;
    Ok(0)
}

/// `ftruncate(fd, size)`.
pub(super) fn ftruncate<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [descriptor, size, ..]: Arguments,
) -> Made {
    let file = process.files.descriptors.get(descriptor)?;
    if size > i64::MAX as u64 {
        return Err(Errno::INVALID.into());
    }
    kernel.with_files(process, |vfs, caller, store| {
        vfs.set_file_size(file, size, caller, store)
    })?;
    Ok(0)
}

/// `fsync(fd)`, `fdatasync(fd)`: there is no disk to write to.
pub(super) fn fsync<M>(
    _: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [descriptor, ..]: Arguments,
) -> Made {
    process.files.descriptors.get(descriptor)?;
    Ok(0)
}

/// `sync()`.
pub(super) fn sync<M>(_: &mut Kernel<'_, M>, _: &mut Process<'_>, _: Arguments) -> Made {
    Ok(0)
}

/// `statfs(path, buffer)`.
pub(super) fn statfs<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [path, buffer, ..]: Arguments,
) -> Made {
    let node = path_at(kernel, process, AT_FDCWD, path, Follow::Yes)?;
    tell_usage(kernel, process, node, buffer)
}

/// `fstatfs(fd, buffer)`.
pub(super) fn fstatfs<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [descriptor, buffer, ..]: Arguments,
) -> Made {
    let node = node_of(kernel, process, descriptor)?;
    tell_usage(kernel, process, node, buffer)
}

fn tell_usage<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    node: Node,
    buffer: u64,
) -> Made {
    /// Linux's `PROC_SUPER_MAGIC`.
    const PROC_MAGIC: u64 = 0x9fa0;
    let (usage, free) = kernel.with_files(process, |vfs, _, store: &mut dyn PageStore| {
        (vfs.usage(), store.free())
    });
    let (magic, blocks) = match node {
        Node::Tree(_) => (u64::from(linux::TMPFS_MAGIC), kernel.frames.len()),
        Node::Proc(_) => (PROC_MAGIC, 0),
    };
    let free = free.min(blocks);
    let (inodes, used) = (usage.inodes as u64, usage.used as u64);
    let words = [
        magic,
        PAGE_SIZE,
        blocks,
        free,
        free,
        inodes,
        inodes.saturating_sub(used),
        0,
        NAME_MAX as u64,
        PAGE_SIZE,
    ];
    let mut bytes = [0; size_of::<linux::statfs>()];
    for (target, word) in bytes.chunks_exact_mut(8).zip(words) {
        target.copy_from_slice(&word.to_le_bytes());
    }
    kernel.copy_out(process, buffer, &bytes)?;
    Ok(0)
}
