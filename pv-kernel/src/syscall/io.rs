//! Reading and writing: `read`, `write` and their like, on files, pipes, devices and the terminal.
//!
//! A write that has to wait in the middle says so with what it has done so far in `process.progress`, and goes on from
//! there when it is made again. So does any transfer that takes longer than its process's turn.
use super::segments::Segments;
use super::{Arguments, Made, Stop};
use crate::errno::Errno;
use crate::fs::device::Device;
use crate::fs::pipe::{ATOMIC, Transfer};
use crate::fs::{DomainFrames, Endpoint, FileId, OpenFlags, PipeEnd, Whence};
use crate::kernel::{Kernel, Machine};
use crate::proc::Process;
use crate::signal::{Info, Signal};
use crate::tty::{Leave, Read, Use};
use crate::wait::{Channel, Wait};
use linux_raw_sys::general as linux;

/// Bytes that pass through the kernel at once: a write to a pipe that must not be torn apart fits.
const CHUNK: usize = ATOMIC;
/// The same for short transfers, which most are.
const SHORT: usize = 256;

/// Where in a file bytes go or come from.
#[derive(Clone, Copy)]
enum At {
    /// At its position, which moves.
    Position,
    /// There; the position stays.
    Offset(u64),
}

impl At {
    fn from_argument(offset: u64) -> Result<Self, Errno> {
        if offset > i64::MAX as u64 {
            return Err(Errno::INVALID);
        }
        Ok(Self::Offset(offset))
    }

    fn after(self, done: u64) -> Self {
        match self {
            Self::Position => self,
            Self::Offset(offset) => Self::Offset(offset.saturating_add(done)),
        }
    }
}

/// `read(fd, buffer, count)`.
pub(super) fn read<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [descriptor, address, count, ..]: Arguments,
) -> Made {
    let file = process.files.descriptors.get(descriptor)?;
    let segments = Segments::one(address, count)?;
    read_segments(kernel, process, file, &segments, At::Position)
}

/// `pread64(fd, buffer, count, offset)`.
pub(super) fn pread64<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [descriptor, address, count, offset, ..]: Arguments,
) -> Made {
    let file = process.files.descriptors.get(descriptor)?;
    let segments = Segments::one(address, count)?;
    read_segments(kernel, process, file, &segments, At::from_argument(offset)?)
}

/// `readv(fd, buffers, count)`.
pub(super) fn readv<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [descriptor, records, count, ..]: Arguments,
) -> Made {
    let file = process.files.descriptors.get(descriptor)?;
    let segments = Segments::from_user(kernel, process, records, count)?;
    read_segments(kernel, process, file, &segments, At::Position)
}

/// `write(fd, buffer, count)`.
pub(super) fn write<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [descriptor, address, count, ..]: Arguments,
) -> Made {
    let file = process.files.descriptors.get(descriptor)?;
    let segments = Segments::one(address, count)?;
    write_segments(kernel, process, file, &segments, At::Position)
}

/// `pwrite64(fd, buffer, count, offset)`.
pub(super) fn pwrite64<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [descriptor, address, count, offset, ..]: Arguments,
) -> Made {
    let file = process.files.descriptors.get(descriptor)?;
    let segments = Segments::one(address, count)?;
    write_segments(kernel, process, file, &segments, At::from_argument(offset)?)
}

/// `writev(fd, buffers, count)`.
pub(super) fn writev<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [descriptor, records, count, ..]: Arguments,
) -> Made {
    let file = process.files.descriptors.get(descriptor)?;
    let segments = Segments::from_user(kernel, process, records, count)?;
    write_segments(kernel, process, file, &segments, At::Position)
}

/// `sendfile(out, in, offset, count)`: at most one chunk at a time, as it may.
pub(super) fn sendfile<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [out, input, offset_at, count, ..]: Arguments,
) -> Made {
    let to = process.files.descriptors.get(out)?;
    let from = process.files.descriptors.get(input)?;
    if !matches!(kernel.vfs.endpoint(from)?, Endpoint::File(_)) {
        return Err(Errno::INVALID.into());
    }
    if !kernel.vfs.flags(from)?.can_read() || !kernel.vfs.flags(to)?.can_write() {
        return Err(Errno::BAD_FILE.into());
    }
    let offset = if offset_at == 0 {
        kernel.with_files(process, |vfs, _, store| vfs.seek(from, 0, Whence::Current, store))?
    } else {
        let mut offset = [0; 8];
        kernel.copy_in(process, offset_at, &mut offset)?;
        u64::from_le_bytes(offset)
    };
    let mut chunk = [0; CHUNK];
    let wanted = usize::try_from(count).unwrap_or(CHUNK).min(CHUNK);
    let chunk = chunk.get_mut(..wanted).unwrap_or(&mut []);
    let read = kernel.with_files(process, |vfs, caller, store| {
        vfs.read_at(from, offset, chunk, caller, store)
    })?;
    if read == 0 {
        return Ok(0);
    }
    let sent = write_some(
        kernel,
        process,
        to,
        chunk.get(..read).unwrap_or(&[]),
        At::Position,
    )?;
    let after = offset.saturating_add(sent as u64);
    if offset_at == 0 {
        let after = i64::try_from(after).map_err(|_| Errno::INVALID)?;
        kernel.with_files(process, |vfs, _, store| {
            vfs.seek(from, after, Whence::Start, store)
        })?;
    } else {
        kernel.copy_out(process, offset_at, &after.to_le_bytes())?;
    }
    Ok(sent as u64)
}

/// `lseek(fd, offset, whence)`.
pub(super) fn lseek<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [descriptor, by, whence, ..]: Arguments,
) -> Made {
    let file = process.files.descriptors.get(descriptor)?;
    let whence = match u32::try_from(whence).map_err(|_| Errno::INVALID)? {
        linux::SEEK_SET => Whence::Start,
        linux::SEEK_CUR => Whence::Current,
        linux::SEEK_END => Whence::End,
        linux::SEEK_DATA => Whence::Data,
        linux::SEEK_HOLE => Whence::Hole,
        _ => return Err(Errno::INVALID.into()),
    };
    if let Endpoint::Device(Device::Terminal | Device::Console) = kernel.vfs.endpoint(file)? {
        return Err(Errno::NO_SEEK.into());
    }
    let to = kernel.with_files(process, |vfs, _, store| vfs.seek(file, by as i64, whence, store))?;
    Ok(to)
}

fn read_segments<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    file: FileId,
    segments: &Segments,
    at: At,
) -> Made {
    if !kernel.vfs.flags(file)?.can_read() {
        return Err(Errno::BAD_FILE.into());
    }
    if segments.length() <= SHORT as u64 {
        read_chunks(kernel, process, file, segments, at, &mut [0; SHORT])
    } else {
        read_chunks(kernel, process, file, segments, at, &mut [0; CHUNK])
    }
}

fn read_chunks<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    file: FileId,
    segments: &Segments,
    at: At,
    buffer: &mut [u8],
) -> Made {
    let mut done = process.progress;
    // An empty read is made too: it may be an error.
    loop {
        let wanted = segments.piece(done, buffer.len());
        let chunk = buffer.get_mut(..wanted).unwrap_or(&mut []);
        // A buffer that cannot be written must not cost the program its input.
        let read = segments
            .make_writable(kernel, process, done, wanted)
            .map_err(Stop::from)
            .and_then(|()| read_some(kernel, process, file, chunk, at.after(done)));
        let count = match read {
            Ok(count) => count,
            Err(_) if done > 0 => break,
            Err(stop) => return Err(stop),
        };
        segments.copy_out(kernel, process, done, chunk.get(..count).unwrap_or(&[]))?;
        done += count as u64;
        if count < wanted || done >= segments.length() || is_by_line(kernel, file) {
            break;
        }
        give_way(kernel, process, done)?;
    }
    Ok(done)
}

/// Lets others have their turns when the process's own is over; the call goes on behind the first `done` bytes.
fn give_way<M: Machine>(kernel: &Kernel<'_, M>, process: &mut Process<'_>, done: u64) -> Result<(), Stop> {
    if !kernel.turn_is_over() {
        return Ok(());
    }
    process.progress = done;
    Err(Stop::Again)
}

/// Whether one read returns one line at most.
fn is_by_line<M>(kernel: &Kernel<'_, M>, file: FileId) -> bool {
    matches!(
        kernel.vfs.endpoint(file),
        Ok(Endpoint::Device(Device::Terminal | Device::Console))
    )
}

/// Reads as much as there is at once.
fn read_some<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    file: FileId,
    buffer: &mut [u8],
    at: At,
) -> Result<usize, Stop> {
    match (kernel.vfs.endpoint(file)?, at) {
        (Endpoint::Pipe(number, PipeEnd::Read), At::Position) => read_pipe(kernel, file, number, buffer),
        (Endpoint::Pipe(..), At::Offset(_)) => Err(Errno::NO_SEEK.into()),
        (Endpoint::Pipe(..), At::Position) => Err(Errno::BAD_FILE.into()),
        (Endpoint::Device(Device::Terminal | Device::Console), At::Position) => {
            read_terminal(kernel, process, file, buffer)
        }
        (Endpoint::Device(Device::Terminal | Device::Console), At::Offset(_)) => Err(Errno::NO_SEEK.into()),
        (Endpoint::Device(Device::Random), _) => {
            for part in buffer.chunks_mut(16) {
                for (target, byte) in part.iter_mut().zip(kernel.machine.random()) {
                    *target = byte;
                }
            }
            Ok(buffer.len())
        }
        (_, at) => Ok(kernel.with_files(process, |vfs, caller, store| match at {
            At::Position => vfs.read(file, buffer, caller, store),
            At::Offset(offset) => vfs.read_at(file, offset, buffer, caller, store),
        })?),
    }
}

fn read_pipe<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    file: FileId,
    number: u32,
    buffer: &mut [u8],
) -> Result<usize, Stop> {
    let mut store = DomainFrames {
        memory: &mut kernel.machine,
        frames: &mut kernel.frames,
    };
    let pipe = kernel.vfs.pipe(number).ok_or(Errno::BAD_FILE)?;
    match pipe.read(&mut store, buffer) {
        Transfer::Bytes(0) => Ok(0),
        Transfer::Bytes(count) => {
            kernel.wake(Channel::Pipe(number));
            Ok(count)
        }
        Transfer::NotNow => not_now(kernel, file, Wait::on(Channel::Pipe(number))),
    }
}

/// What becomes of a transfer that finds nothing to do: an error for who does not wait.
fn not_now<M>(kernel: &Kernel<'_, M>, file: FileId, wait: Wait) -> Result<usize, Stop> {
    if kernel.vfs.flags(file)?.contains(OpenFlags::NON_BLOCKING) {
        Err(Errno::AGAIN.into())
    } else {
        Err(Stop::Wait(wait))
    }
}

fn read_terminal<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    file: FileId,
    buffer: &mut [u8],
) -> Result<usize, Stop> {
    use_terminal(kernel, process, Use::Read)?;
    if buffer.is_empty() {
        return Ok(0);
    }
    kernel.poll_terminal();
    // What was typed after a Ctrl-C is not for the program that it ends.
    if kernel.has_deadly_signal(process) {
        return Err(Stop::Wait(Wait::on(Channel::Input)));
    }
    if kernel.vfs.flags(file)?.contains(OpenFlags::NON_BLOCKING) {
        return kernel.tty.read_now(buffer).ok_or(Stop::Error(Errno::AGAIN));
    }
    let now_ns = kernel.machine.now_ns();
    let deadline_ns = kernel
        .tty
        .read_timeout_ns()
        .map(|timeout_ns| process.deadline(now_ns, timeout_ns));
    match kernel.tty.read(buffer, now_ns, deadline_ns) {
        Read::Bytes(count) => Ok(count),
        Read::Later(None) => Err(Stop::Wait(Wait::on(Channel::Input))),
        Read::Later(Some(until_ns)) => Err(Stop::Wait(Wait::on(Channel::Input).or_until(until_ns))),
    }
}

/// Lets a process use the terminal, or stops it as job control says.
pub(super) fn use_terminal<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &Process<'a>,
    used: Use,
) -> Result<(), Stop> {
    let user = kernel.terminal_user(process, used);
    match kernel.tty.leave(&user, used) {
        Leave::Granted => Ok(()),
        Leave::Refused => Err(Errno::IO.into()),
        Leave::Stop => {
            kernel.stop_background(process, used);
            // The signal is there already: it stops the process, or the call is made again.
            Err(Stop::Wait(Wait::on(Channel::Input)))
        }
    }
}

fn write_segments<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    file: FileId,
    segments: &Segments,
    at: At,
) -> Made {
    if !kernel.vfs.flags(file)?.can_write() {
        return Err(Errno::BAD_FILE.into());
    }
    if segments.length() <= SHORT as u64 {
        write_chunks(kernel, process, file, segments, at, &mut [0; SHORT])
    } else {
        write_chunks(kernel, process, file, segments, at, &mut [0; CHUNK])
    }
}

fn write_chunks<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    file: FileId,
    segments: &Segments,
    at: At,
    buffer: &mut [u8],
) -> Made {
    let mut done = process.progress;
    while done < segments.length() {
        let wanted = segments.piece(done, buffer.len());
        let chunk = buffer.get_mut(..wanted).unwrap_or(&mut []);
        let written = segments
            .copy_in(kernel, process, done, chunk)
            .map_err(Stop::from)
            .and_then(|copied| {
                let bytes = chunk.get(..copied).unwrap_or(&[]);
                write_some(kernel, process, file, bytes, at.after(done))
            });
        match written {
            Ok(count) => {
                done += count as u64;
                if done < segments.length() {
                    give_way(kernel, process, done)?;
                }
            }
            Err(Stop::Wait(wait)) => {
                process.progress = done;
                return Err(Stop::Wait(wait));
            }
            Err(_) if done > 0 => break,
            Err(stop) => return Err(stop),
        }
    }
    Ok(done)
}

/// Writes as much as there is room for at once.
fn write_some<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    file: FileId,
    bytes: &[u8],
    at: At,
) -> Result<usize, Stop> {
    match (kernel.vfs.endpoint(file)?, at) {
        (Endpoint::Pipe(number, PipeEnd::Write), At::Position) => {
            write_pipe(kernel, process, file, number, bytes)
        }
        (Endpoint::Pipe(..), At::Offset(_)) => Err(Errno::NO_SEEK.into()),
        (Endpoint::Pipe(..), At::Position) => Err(Errno::BAD_FILE.into()),
        (Endpoint::Device(Device::Terminal | Device::Console), At::Position) => {
            use_terminal(kernel, process, Use::Write)?;
            match kernel.tty.write(&mut kernel.machine, bytes) {
                0 => not_now(kernel, file, Wait::on(Channel::Output)),
                count => Ok(count),
            }
        }
        (Endpoint::Device(Device::Terminal | Device::Console), At::Offset(_)) => Err(Errno::NO_SEEK.into()),
        (Endpoint::Device(Device::Random), _) => Ok(bytes.len()),
        (_, at) => Ok(kernel.with_files(process, |vfs, caller, store| match at {
            At::Position => vfs.write(file, bytes, caller, store),
            At::Offset(offset) => vfs.write_at(file, offset, bytes, caller, store),
        })?),
    }
}

fn write_pipe<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &Process<'a>,
    file: FileId,
    number: u32,
    bytes: &[u8],
) -> Result<usize, Stop> {
    let mut store = DomainFrames {
        memory: &mut kernel.machine,
        frames: &mut kernel.frames,
    };
    let pipe = kernel.vfs.pipe(number).ok_or(Errno::BAD_FILE)?;
    match pipe.write(&mut store, bytes) {
        Ok(Transfer::Bytes(count)) => {
            kernel.wake(Channel::Pipe(number));
            Ok(count)
        }
        Ok(Transfer::NotNow) => not_now(kernel, file, Wait::on(Channel::Pipe(number))),
        Err(Errno::BROKEN_PIPE) => {
            kernel.signal(process.pid, Info::from_kernel(Signal::PIPE));
            Err(Errno::BROKEN_PIPE.into())
        }
        Err(errno) => Err(errno.into()),
    }
}
