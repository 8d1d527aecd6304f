//! A program's memory.
use super::{Arguments, Stop};
use crate::addr::{PageRange, is_page_aligned};
use crate::errno::Errno;
use crate::kernel::{Kernel, Machine};
use crate::mm::area::Protection;
use crate::mm::user_mem::Place;
use crate::proc::Process;
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

/// `mmap(address, length, protection, flags, fd, offset)`: private and anonymous only, there are no files to map.
pub(super) fn mmap<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [address, length, protection, flags, ..]: Arguments,
) -> Result<u64, Stop> {
    kernel.check_heap()?;
    let protection = protection_from(protection)?;
    let has = |flag: u32| flags & u64::from(flag) != 0;
    if !has(linux::MAP_ANONYMOUS) || has(linux::MAP_SHARED) {
        return Err(Errno::NO_DEVICE.into());
    }
    if !has(linux::MAP_PRIVATE) {
        return Err(Errno::INVALID.into());
    }
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
    let memory = &mut process.memory;
    let mapped = memory.map_zero(&mut kernel.machine, &mut kernel.frames, place, length, protection);
    mapped.map_err(Stop::from)
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
