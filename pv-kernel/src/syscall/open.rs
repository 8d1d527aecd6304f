//! Descriptors: opened, closed, copied, changed; pipes.
use super::paths::{path_at, start_at};
use super::{Arguments, Made, Stop, strings};
use crate::errno::Errno;
use crate::fs::descriptors::{MAX_DESCRIPTORS, OnExec};
use crate::fs::device::Device;
use crate::fs::{Endpoint, FileId, OpenFlags};
use crate::kernel::{Kernel, Machine};
use crate::proc::Process;
use crate::wait::Channel;
use linux_raw_sys::general as linux;

/// Linux's flag of `close_range`.
const CLOSE_RANGE_CLOEXEC: u64 = 1 << 2;
const AT_FDCWD: u64 = linux::AT_FDCWD as i64 as u64;

/// `open(path, flags, mode)`.
pub(super) fn open<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [path, flags, mode, ..]: Arguments,
) -> Made {
    openat(kernel, process, [AT_FDCWD, path, flags, mode, 0, 0])
}

/// `creat(path, mode)`.
pub(super) fn creat<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [path, mode, ..]: Arguments,
) -> Made {
    let flags = linux::O_CREAT | linux::O_WRONLY | linux::O_TRUNC;
    openat(kernel, process, [AT_FDCWD, path, u64::from(flags), mode, 0, 0])
}

/// `openat(directory, path, flags, mode)`.
pub(super) fn openat<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [directory, path, bits, mode, ..]: Arguments,
) -> Made {
    const TMPFILE: u32 = linux::O_TMPFILE & !linux::O_DIRECTORY;
    let bits = bits as u32;
    if bits & TMPFILE != 0 {
        return Err(Errno::NOT_SUPPORTED.into());
    }
    kernel.check_heap()?;
    let path = strings::path(kernel, process, path)?;
    let start = start_at(kernel, process, directory, &path)?;
    if !process.files.descriptors.has_room_for(1) {
        return Err(Errno::TOO_MANY_FILES.into());
    }
    let flags = OpenFlags::from_bits_truncate(bits);
    let file = kernel.with_files(process, |vfs, caller, store| {
        vfs.open(start, &path, flags, mode as u16, caller, store)
    })?;
    if let Err(errno) = kernel.opened(process, file) {
        kernel.close(process, file);
        return Err(errno.into());
    }
    install(kernel, process, file, 0, on_exec(bits))
}

/// What a flag of `open` and its like says of an exec.
fn on_exec(bits: u32) -> OnExec {
    if bits & linux::O_CLOEXEC != 0 {
        OnExec::Close
    } else {
        OnExec::Keep
    }
}

/// Gives an open file a number; closes it if there is none.
fn install<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    file: FileId,
    lowest: usize,
    on_exec: OnExec,
) -> Made {
    let installed = process.files.descriptors.insert(file, lowest, on_exec);
    if installed.is_err() {
        kernel.close(process, file);
    }
    Ok(installed?)
}

impl<'a, M: Machine> Kernel<'a, M> {
    /// Ends a share of an open file.
    pub(super) fn close(&mut self, process: &Process<'a>, file: FileId) {
        let closed = self.with_files(process, |vfs, _, store| vfs.close(file, store));
        if let Some(pipe) = closed.pipe {
            self.wake(Channel::Pipe(pipe));
        }
    }

    /// What follows the opening of a terminal: it may become the session's.
    fn opened(&mut self, process: &Process<'a>, file: FileId) -> Result<(), Errno> {
        let entry = self.processes.entry(process.pid).ok_or(Errno::NO_PROCESS)?;
        let controls = self.tty.session == Some(entry.session);
        match self.vfs.endpoint(file)? {
            Endpoint::Device(Device::Terminal) if !controls => Err(Errno::NO_SUCH_DEVICE),
            _ => Ok(()),
        }
    }
}

/// `close(fd)`.
pub(super) fn close<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [descriptor, ..]: Arguments,
) -> Made {
    let file = process.files.descriptors.remove(descriptor)?;
    kernel.close(process, file);
    Ok(0)
}

/// `close_range(first, last, flags)`.
pub(super) fn close_range<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [first, last, flags, ..]: Arguments,
) -> Made {
    let (first, last) = (first as u32, last as u32);
    if first > last || flags & !CLOSE_RANGE_CLOEXEC != 0 {
        return Err(Errno::INVALID.into());
    }
    let mut next = first as usize;
    while let Some((number, file)) = process.files.descriptors.next(next) {
        if number > last as usize {
            break;
        }
        if flags == 0 {
            process.files.descriptors.remove(number as u64)?;
            kernel.close(process, file);
        } else {
            process
                .files
                .descriptors
                .set_on_exec(number as u64, OnExec::Close)?;
        }
        next = number + 1;
    }
    Ok(0)
}

/// `dup(fd)`.
pub(super) fn dup<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [descriptor, ..]: Arguments,
) -> Made {
    duplicate(kernel, process, descriptor, 0, OnExec::Keep)
}

fn duplicate<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    descriptor: u64,
    lowest: u64,
    on_exec: OnExec,
) -> Made {
    let file = process.files.descriptors.get(descriptor)?;
    let lowest = usize::try_from(lowest)
        .ok()
        .filter(|lowest| *lowest < MAX_DESCRIPTORS);
    let lowest = lowest.ok_or(Errno::INVALID)?;
    kernel.vfs.share(file);
    install(kernel, process, file, lowest, on_exec)
}

/// `dup2(old, new)`.
pub(super) fn dup2<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [old, new, ..]: Arguments,
) -> Made {
    if old == new {
        process.files.descriptors.get(old)?;
        return Ok(new);
    }
    dup3(kernel, process, [old, new, 0, 0, 0, 0])
}

/// `dup3(old, new, flags)`.
pub(super) fn dup3<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [old, new, flags, ..]: Arguments,
) -> Made {
    if flags & !u64::from(linux::O_CLOEXEC) != 0 || old == new {
        return Err(Errno::INVALID.into());
    }
    let file = process.files.descriptors.get(old)?;
    let replaced = process
        .files
        .descriptors
        .replace(new, file, on_exec(flags as u32))?;
    kernel.vfs.share(file);
    if let Some(replaced) = replaced {
        kernel.close(process, replaced);
    }
    Ok(new)
}

/// `pipe(descriptors)`.
pub(super) fn pipe<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [address, ..]: Arguments,
) -> Made {
    pipe2(kernel, process, [address, 0, 0, 0, 0, 0])
}

/// `pipe2(descriptors, flags)`.
pub(super) fn pipe2<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [address, flags, ..]: Arguments,
) -> Made {
    let bits = flags as u32;
    if bits & !(linux::O_CLOEXEC | linux::O_NONBLOCK | linux::O_DIRECT) != 0 {
        return Err(Errno::INVALID.into());
    }
    kernel.check_heap()?;
    if !process.files.descriptors.has_room_for(2) {
        return Err(Errno::TOO_MANY_FILES.into());
    }
    kernel.make_writable(process, address, 8)?;
    let (read, write) = kernel.vfs.make_pipe(OpenFlags::from_bits_truncate(bits))?;
    let read = install(kernel, process, read, 0, on_exec(bits))?;
    let write = install(kernel, process, write, 0, on_exec(bits))?;
    let both = read | write << 32;
    kernel.copy_out(process, address, &both.to_le_bytes())?;
    Ok(0)
}

/// `fcntl(fd, command, argument)`. There is one user, and locks are always granted.
pub(super) fn fcntl<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [descriptor, command, argument, ..]: Arguments,
) -> Made {
    let file = process.files.descriptors.get(descriptor)?;
    let command = u32::try_from(command).map_err(|_| Errno::INVALID)?;
    match command {
        linux::F_DUPFD => duplicate(kernel, process, descriptor, argument, OnExec::Keep),
        linux::F_DUPFD_CLOEXEC => duplicate(kernel, process, descriptor, argument, OnExec::Close),
        linux::F_GETFD => Ok(match process.files.descriptors.on_exec(descriptor)? {
            OnExec::Close => u64::from(linux::FD_CLOEXEC),
            OnExec::Keep => 0,
        }),
        linux::F_SETFD => {
            let on_exec = if argument & u64::from(linux::FD_CLOEXEC) != 0 {
                OnExec::Close
            } else {
                OnExec::Keep
            };
            process.files.descriptors.set_on_exec(descriptor, on_exec)?;
            Ok(0)
        }
        linux::F_GETFL => Ok(u64::from(kernel.vfs.flags(file)?.bits() | linux::O_LARGEFILE)),
        linux::F_SETFL => {
            kernel
                .vfs
                .set_flags(file, OpenFlags::from_bits_truncate(argument as u32))?;
            Ok(0)
        }
        linux::F_SETLK | linux::F_SETLKW => Ok(0),
        linux::F_GETLK => {
            // `l_type`, the first field: nobody holds a lock that would be in the way.
            kernel.copy_out(process, argument, &(linux::F_UNLCK as u16).to_le_bytes())?;
            Ok(0)
        }
        linux::F_GETPIPE_SZ if matches!(kernel.vfs.endpoint(file)?, Endpoint::Pipe(..)) => {
            Ok(crate::fs::pipe::CAPACITY as u64)
        }
        _ => Err(Stop::Error(Errno::INVALID)),
    }
}

/// `flock(fd, operation)`: granted.
pub(super) fn flock<M>(
    _: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [descriptor, ..]: Arguments,
) -> Made {
    process.files.descriptors.get(descriptor)?;
    Ok(0)
}

/// `chdir(path)`.
pub(super) fn chdir<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [path, ..]: Arguments,
) -> Made {
    let node = path_at(kernel, process, AT_FDCWD, path, crate::fs::Follow::Yes)?;
    enter(kernel, process, node)
}

/// `fchdir(fd)`.
pub(super) fn fchdir<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [descriptor, ..]: Arguments,
) -> Made {
    let file = process.files.descriptors.get(descriptor)?;
    let node = kernel.vfs.node_of(file)?;
    enter(kernel, process, node)
}

fn enter<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    node: crate::fs::Node,
) -> Made {
    if !kernel.vfs.is_directory(node) {
        return Err(Errno::NOT_DIRECTORY.into());
    }
    kernel.vfs.hold(node);
    let old = core::mem::replace(&mut process.files.directory, node);
    kernel.with_files(process, |vfs, _, store| vfs.let_go(old, store));
    Ok(0)
}

/// `getcwd(buffer, size)`.
pub(super) fn getcwd<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [address, size, ..]: Arguments,
) -> Made {
    let mut path = kernel.vfs.path_of(process.files.directory)?;
    path.push(0);
    if path.len() as u64 > size {
        return Err(Errno::RANGE.into());
    }
    kernel.copy_out(process, address, &path)?;
    Ok(path.len() as u64)
}

/// `umask(mask)`.
pub(super) fn umask<M>(_: &mut Kernel<'_, M>, process: &mut Process<'_>, [mask, ..]: Arguments) -> Made {
    let old = core::mem::replace(&mut process.files.umask, mask as u16 & 0o777);
    Ok(u64::from(old))
}
