//! A program's memory.
use super::{Arguments, Stop};
use crate::addr::{PageRange, is_page_aligned};
use crate::errno::Errno;
use crate::fs::{Endpoint, FileId};
use crate::kernel::{Kernel, Machine};
use crate::mm::area::Protection;
use crate::mm::user_mem::Place;
use crate::proc::Process;
use abi::layout::PAGE_SIZE;
use linux_raw_sys::general as linux;

/// `brk(end)`.
pub(super) fn brk<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [end, ..]: Arguments,
) -> Result<u64, Stop> {
    kernel.check_last_heap()?;
    let memory = &mut process.memory;
    Ok(memory.set_break(&mut kernel.machine, &mut kernel.frames, end))
}

/// `mmap(address, length, protection, flags, fd, offset)`: private only. A file is copied when it is mapped.
pub(super) fn mmap<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [address, length, protection, flags, descriptor, offset]: Arguments,
) -> Result<u64, Stop> {
    kernel.check_heap()?;
    let protection = protection_from(protection)?;
    let has = |flag: u32| flags & u64::from(flag) != 0;
    if has(linux::MAP_SHARED) {
        return Err(Errno::NO_DEVICE.into());
    }
    if !has(linux::MAP_PRIVATE) {
        return Err(Errno::INVALID.into());
    }
    let file = if has(linux::MAP_ANONYMOUS) {
        None
    } else {
        Some(file_to_map(kernel, process, descriptor, offset)?)
    };
    let fixed = has(linux::MAP_FIXED) || has(linux::MAP_FIXED_NOREPLACE);
    if fixed && !is_page_aligned(address) {
        return Err(Errno::INVALID.into());
    }
    let place = if has(linux::MAP_FIXED_NOREPLACE) {
        Place::FixedIfFree(address)
    } else if fixed {
        Place::Fixed(address)
    } else {
        Place::Hint(address)
    };
    let at_first = file.map_or(protection, |_| Protection::READ | Protection::WRITE);
    let memory = &mut process.memory;
    let start = memory.map_zero(&mut kernel.machine, &mut kernel.frames, place, length, at_first)?;
    if let Some(file) = file {
        let range = PageRange::covering(start, length).ok_or(Errno::NO_MEMORY)?;
        let copied = copy_file(kernel, process, file, offset, range);
        let memory = &mut process.memory;
        let made =
            copied.and_then(|()| memory.protect(&mut kernel.machine, &kernel.frames, range, protection));
        if let Err(errno) = made {
            memory.unmap(&mut kernel.machine, &mut kernel.frames, range)?;
            return Err(errno.into());
        }
    }
    Ok(start)
}

/// The open file that a mapping names.
fn file_to_map<M: Machine>(
    kernel: &Kernel<'_, M>,
    process: &Process<'_>,
    descriptor: u64,
    offset: u64,
) -> Result<FileId, Errno> {
    let file = process.files.descriptors.get(u64::from(descriptor as u32))?;
    if !is_page_aligned(offset) {
        return Err(Errno::INVALID);
    }
    if !kernel.vfs.flags(file)?.can_read() {
        return Err(Errno::ACCESS);
    }
    match kernel.vfs.endpoint(file)? {
        Endpoint::File(node) if !kernel.vfs.is_directory(node) => Ok(file),
        _ => Err(Errno::NO_DEVICE),
    }
}

/// Copies a file from `offset` on to `range`, as far as both go.
fn copy_file<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    file: FileId,
    offset: u64,
    range: PageRange,
) -> Result<(), Errno> {
    let mut bytes = [0; PAGE_SIZE as usize];
    for page in 0..range.pages() {
        let from = offset.checked_add(page * PAGE_SIZE).ok_or(Errno::INVALID)?;
        let read = kernel.with_files(process, |vfs, caller, store| {
            vfs.read_at(file, from, &mut bytes, caller, store)
        })?;
        if read == 0 {
            break;
        }
        let bytes = bytes.get(..read).unwrap_or(&[]);
        kernel.copy_out(process, range.start() + page * PAGE_SIZE, bytes)?;
    }
    Ok(())
}

/// `munmap(address, length)`.
pub(super) fn munmap<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [address, length, ..]: Arguments,
) -> Result<u64, Stop> {
    let range = range(address, length)?;
    kernel.check_last_heap()?;
    process
        .memory
        .unmap(&mut kernel.machine, &mut kernel.frames, range)?;
    Ok(0)
}

/// `mprotect(address, length, protection)`.
pub(super) fn mprotect<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [address, length, protection, ..]: Arguments,
) -> Result<u64, Stop> {
    let protection = protection_from(protection)?;
    if length == 0 && is_page_aligned(address) {
        return Ok(0);
    }
    let range = range(address, length)?;
    kernel.check_last_heap()?;
    process
        .memory
        .protect(&mut kernel.machine, &kernel.frames, range, protection)?;
    Ok(0)
}

fn range(address: u64, length: u64) -> Result<PageRange, Errno> {
    if !is_page_aligned(address) {
        return Err(Errno::INVALID);
    }
    PageRange::covering(address, length).ok_or(Errno::INVALID)
}

fn protection_from(bits: u64) -> Result<Protection, Errno> {
    let known = linux::PROT_READ | linux::PROT_WRITE | linux::PROT_EXEC;
    if bits & !u64::from(known) != 0 {
        return Err(Errno::INVALID);
    }
    // Linux's three bits are ours.
    const _: () = assert!(linux::PROT_READ == Protection::READ.bits() as u32);
    const _: () = assert!(linux::PROT_WRITE == Protection::WRITE.bits() as u32);
    const _: () = assert!(linux::PROT_EXEC == Protection::EXECUTE.bits() as u32);
    Ok(Protection::from_bits_truncate(bits as u8))
}
