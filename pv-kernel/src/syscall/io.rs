//! Reading and writing: file descriptors 0, 1 and 2 are the console.
use super::{Arguments, Stop};
use crate::console::Read;
use crate::errno::Errno;
use crate::kernel::{Kernel, Machine};
use crate::proc::Process;
use crate::wait::{Channel, Wait};

/// Bytes that pass through the kernel at once.
const CHUNK: usize = 512;
/// Most buffers of one writev, and most bytes of one call, as on Linux.
const MAX_BUFFERS: u64 = 1024;
const MAX_BYTES: u64 = 0x7fff_f000;
/// Bytes of a `struct iovec`.
const BUFFER_RECORD: u64 = 16;

/// `read(fd, buffer, count)`.
pub(super) fn read<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [descriptor, address, count, ..]: Arguments,
) -> Result<u64, Stop> {
    check_descriptor(descriptor)?;
    let mut buffer = [0; CHUNK];
    let wanted = usize::try_from(count).unwrap_or(CHUNK).min(CHUNK);
    // A buffer that cannot be written must not cost the program its input.
    let buffer = &mut buffer[..wanted];
    if buffer.is_empty() {
        return Ok(0);
    }
    process
        .memory
        .make_writable(&mut kernel.machine, &mut kernel.frames, address, buffer.len())?;
    // There may be room for more of what was typed now.
    kernel.keys_typed();
    // What was typed after a Ctrl-C is not for the program that it ends.
    if kernel.has_deadly_signal(process) {
        return Err(Stop::Wait(Wait::on(Channel::Input)));
    }
    match kernel.console.read(buffer) {
        Read::Nothing => Err(Stop::Wait(Wait::on(Channel::Input))),
        Read::End => Ok(0),
        Read::Bytes(count) => {
            kernel.copy_out(process, address, buffer.get(..count).unwrap_or(&[]))?;
            Ok(count as u64)
        }
    }
}

/// `write(fd, buffer, count)`.
pub(super) fn write<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [descriptor, address, count, ..]: Arguments,
) -> Result<u64, Stop> {
    check_descriptor(descriptor)?;
    print(kernel, process, address, count.min(MAX_BYTES)).map_err(Stop::from)
}

/// `writev(fd, buffers, count)`.
pub(super) fn writev<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [descriptor, records, count, ..]: Arguments,
) -> Result<u64, Stop> {
    check_descriptor(descriptor)?;
    if count > MAX_BUFFERS {
        return Err(Errno::INVALID.into());
    }
    let mut done = 0;
    for index in 0..count {
        let mut record = [0; BUFFER_RECORD as usize];
        let at = records.checked_add(index * BUFFER_RECORD).ok_or(Errno::FAULT)?;
        let printed = kernel.copy_in(process, at, &mut record).and_then(|()| {
            let (address, length) = split_record(record);
            print(kernel, process, address, length.min(MAX_BYTES - done))
        });
        match printed {
            Ok(count) => done += count,
            Err(_) if done > 0 => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(done)
}

fn split_record(record: [u8; BUFFER_RECORD as usize]) -> (u64, u64) {
    let both = u128::from_le_bytes(record);
    (both as u64, (both >> 64) as u64)
}

/// Prints bytes of the program; how many, when a later one could not be read.
fn print<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    address: u64,
    count: u64,
) -> Result<u64, Errno> {
    let mut done = 0;
    while done < count {
        let mut chunk = [0; CHUNK];
        let length = usize::try_from(count - done).unwrap_or(CHUNK).min(CHUNK);
        let chunk = &mut chunk[..length];
        let at = address.checked_add(done).ok_or(Errno::FAULT)?;
        match kernel.copy_in(process, at, chunk) {
            Ok(()) => kernel.console.write_all(&mut kernel.machine, chunk),
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
        done += length as u64;
    }
    Ok(done)
}

fn check_descriptor(descriptor: u64) -> Result<(), Stop> {
    if descriptor <= 2 {
        Ok(())
    } else {
        Err(Errno::BAD_FILE.into())
    }
}
