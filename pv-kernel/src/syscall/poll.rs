//! `poll`, `select` and their like: waiting for any of several files.
use super::signal::{check_set_size, read_set};
use super::{Arguments, Made, Stop};
use crate::errno::Errno;
use crate::fs::descriptors::MAX_DESCRIPTORS;
use crate::fs::device::Device;
use crate::fs::{Endpoint, FileId, PipeEnd};
use crate::kernel::{Kernel, Machine};
use crate::proc::Process;
use crate::signal::SignalSet;
use crate::wait::{Channel, Wait};
use alloc::vec::Vec;
use linux_raw_sys::general as linux;

const IN: u16 = (linux::POLLIN | linux::POLLRDNORM) as u16;
const OUT: u16 = (linux::POLLOUT | linux::POLLWRNORM) as u16;
const ERROR: u16 = linux::POLLERR as u16;
const HANG_UP: u16 = linux::POLLHUP as u16;
const INVALID: u16 = linux::POLLNVAL as u16;
/// Bytes of a `struct pollfd`.
const RECORD: usize = 8;
/// Most descriptors of a `select`, as of Linux's `fd_set`.
const SELECT_MAX: usize = 1024;
const MS: u64 = 1_000_000;
const NS: u64 = 1_000_000_000;

/// What can be done with a file now, and what changes that.
fn readiness<M: Machine>(kernel: &mut Kernel<'_, M>, file: FileId) -> Result<(u16, Option<Channel>), Errno> {
    Ok(match kernel.vfs.endpoint(file)? {
        Endpoint::File(_) | Endpoint::Device(Device::Null | Device::Zero | Device::Full | Device::Random) => {
            (IN | OUT, None)
        }
        Endpoint::Device(Device::Terminal | Device::Console) => {
            kernel.poll_terminal();
            let mut events = 0;
            if kernel.tty.is_readable() {
                events |= IN;
            }
            if kernel.tty.is_writable() {
                events |= OUT;
            }
            (events, Some(Channel::Input))
        }
        Endpoint::Pipe(number, end) => {
            let pipe = kernel.vfs.pipe(number).ok_or(Errno::BAD_FILE)?;
            let mut events = 0;
            match end {
                PipeEnd::Read => {
                    if pipe.length() > 0 {
                        events |= IN;
                    }
                    if !pipe.has_writers() {
                        events |= HANG_UP;
                    }
                }
                PipeEnd::Write => {
                    if pipe.has_room() {
                        events |= OUT;
                    }
                    if !pipe.has_readers() {
                        events |= ERROR;
                    }
                }
            }
            (events, Some(Channel::Pipe(number)))
        }
    })
}

/// What a call waits for while none of its files is ready.
struct Watch {
    wait: Wait,
    ready: u64,
}

impl Watch {
    const fn new() -> Self {
        Self {
            wait: Wait::SIGNAL,
            ready: 0,
        }
    }

    /// What of `wanted` the descriptor is ready for; errors are always wanted.
    fn look<M: Machine>(
        &mut self,
        kernel: &mut Kernel<'_, M>,
        process: &Process<'_>,
        descriptor: u64,
        wanted: u16,
    ) -> u16 {
        let file = process.files.descriptors.get(descriptor);
        let Ok((events, channel)) = file.and_then(|file| readiness(kernel, file)) else {
            self.ready += 1;
            return INVALID;
        };
        let events = events & (wanted | ERROR | HANG_UP);
        if events != 0 {
            self.ready += 1;
        }
        if let Some(channel) = channel {
            self.wait = self.wait.or(channel);
            if channel == Channel::Input && wanted & OUT != 0 {
                self.wait = self.wait.or(Channel::Output);
            }
        }
        events
    }

    /// Whether the call returns now; if not, what it waits for.
    fn over<M: Machine>(
        &self,
        kernel: &Kernel<'_, M>,
        process: &mut Process<'_>,
        timeout_ns: Option<u64>,
    ) -> Result<(), Stop> {
        if self.ready > 0 {
            return Ok(());
        }
        let Some(timeout_ns) = timeout_ns else {
            return Err(Stop::Wait(self.wait));
        };
        let now_ns = kernel.machine.now_ns();
        let deadline_ns = process.deadline(now_ns, timeout_ns);
        if now_ns >= deadline_ns {
            return Ok(());
        }
        Err(Stop::Wait(self.wait.or_until(deadline_ns)))
    }
}

/// `poll(files, count, timeout_ms)`.
pub(super) fn poll<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [files, count, timeout_ms, ..]: Arguments,
) -> Made {
    let timeout = u64::try_from(timeout_ms as i32).ok();
    poll_until(kernel, process, files, count, timeout.map(|timeout| timeout * MS))
}

/// `ppoll(files, count, timeout, mask)`.
pub(super) fn ppoll<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [files, count, timeout, mask, size, ..]: Arguments,
) -> Made {
    let timeout_ns = read_time(kernel, process, timeout, 1)?;
    block_meanwhile(kernel, process, mask, size)?;
    let made = poll_until(kernel, process, files, count, timeout_ns);
    unblock(process, made)
}

/// Blocks the signals of the set at `mask` until the call returns, if there is one.
fn block_meanwhile<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    mask: u64,
    size: u64,
) -> Result<(), Stop> {
    if mask == 0 {
        return Ok(());
    }
    check_set_size(size)?;
    let set = read_set(kernel, process, mask)?;
    let signals = &mut process.signals;
    // Made again, the mask is the given one already.
    signals.saved.get_or_insert(signals.blocked);
    signals.blocked = set.without(SignalSet::ABSOLUTE);
    Ok(())
}

/// Blocks what was blocked before the call, unless it waits.
fn unblock(process: &mut Process<'_>, made: Made) -> Made {
    if !matches!(made, Err(Stop::Wait(_)))
        && let Some(saved) = process.signals.saved.take()
    {
        process.signals.blocked = saved;
    }
    made
}

fn poll_until<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    files: u64,
    count: u64,
    timeout_ns: Option<u64>,
) -> Made {
    let count = usize::try_from(count)
        .ok()
        .filter(|count| *count <= MAX_DESCRIPTORS);
    let mut records = alloc::vec![0; count.ok_or(Errno::INVALID)? * RECORD];
    kernel.copy_in(process, files, &mut records)?;
    let mut watch = Watch::new();
    for record in records.chunks_exact_mut(RECORD) {
        let &mut [a, b, c, d, wanted_low, wanted_high, ref mut low, ref mut high] = record else {
            continue;
        };
        let descriptor = i32::from_le_bytes([a, b, c, d]);
        let wanted = u16::from_le_bytes([wanted_low, wanted_high]);
        let events = match u64::try_from(descriptor) {
            Ok(descriptor) => watch.look(kernel, process, descriptor, wanted),
            Err(_) => 0,
        };
        [*low, *high] = events.to_le_bytes();
    }
    watch.over(kernel, process, timeout_ns)?;
    kernel.copy_out(process, files, &records)?;
    Ok(watch.ready)
}

/// `select(count, readable, writable, exceptional, timeout)`.
pub(super) fn select<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [count, readable, writable, exceptional, timeout, ..]: Arguments,
) -> Made {
    let timeout_ns = read_time(kernel, process, timeout, 1000)?;
    select_until(
        kernel,
        process,
        count,
        [readable, writable, exceptional],
        timeout_ns,
    )
}

/// `pselect6(count, readable, writable, exceptional, timeout, mask)`.
pub(super) fn pselect6<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [count, readable, writable, exceptional, timeout, mask]: Arguments,
) -> Made {
    let timeout_ns = read_time(kernel, process, timeout, 1)?;
    let (mut set, mut size) = (0, 0);
    if mask != 0 {
        let mut both = [0; 16];
        kernel.copy_in(process, mask, &mut both)?;
        let both = u128::from_le_bytes(both);
        (set, size) = (both as u64, (both >> 64) as u64);
    }
    block_meanwhile(kernel, process, set, size)?;
    let made = select_until(
        kernel,
        process,
        count,
        [readable, writable, exceptional],
        timeout_ns,
    );
    unblock(process, made)
}

fn select_until<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    count: u64,
    addresses: [u64; 3],
    timeout_ns: Option<u64>,
) -> Made {
    const WANTED: [u16; 3] = [IN | HANG_UP, OUT | ERROR, 0];
    let count = usize::try_from(count as i32)
        .map_err(|_| Errno::INVALID)?
        .min(SELECT_MAX);
    let mut sets: [Vec<u8>; 3] = [const { Vec::new() }; 3];
    for (set, address) in sets.iter_mut().zip(addresses) {
        set.resize(count.div_ceil(64) * 8, 0);
        if address != 0 {
            kernel.copy_in(process, address, set)?;
        }
    }
    let mut watch = Watch::new();
    let mut ready = 0;
    for descriptor in 0..count {
        let (byte, bit) = (descriptor / 8, 1u8 << (descriptor % 8));
        let wanted: u16 = sets
            .iter()
            .zip(WANTED)
            .filter(|(set, _)| set.get(byte).is_some_and(|bits| bits & bit != 0))
            .fold(0, |all, (_, wanted)| all | wanted);
        let is_named = sets
            .iter()
            .any(|set| set.get(byte).is_some_and(|bits| bits & bit != 0));
        if !is_named {
            continue;
        }
        let events = watch.look(kernel, process, descriptor as u64, wanted);
        if events == INVALID {
            return Err(Errno::BAD_FILE.into());
        }
        for (set, wanted) in sets.iter_mut().zip(WANTED) {
            if let Some(bits) = set.get_mut(byte).filter(|bits| **bits & bit != 0) {
                if events & wanted == 0 {
                    *bits &= !bit;
                } else {
                    ready += 1;
                }
            }
        }
    }
    watch.ready = ready;
    watch.over(kernel, process, timeout_ns)?;
    for (set, address) in sets.iter().zip(addresses) {
        if address != 0 {
            kernel.copy_out(process, address, set)?;
        }
    }
    Ok(ready)
}

/// A time-out of seconds and parts of `unit_ns` each; nothing if there is none.
fn read_time<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    address: u64,
    unit_ns: u64,
) -> Result<Option<u64>, Errno> {
    if address == 0 {
        return Ok(None);
    }
    let mut bytes = [0; 16];
    kernel.copy_in(process, address, &mut bytes)?;
    let both = u128::from_le_bytes(bytes);
    let (seconds, parts) = (both as u64, (both >> 64) as u64);
    // Of microseconds there may be more than a second's.
    let most = if unit_ns == 1 { NS - 1 } else { i64::MAX as u64 };
    if seconds > i64::MAX as u64 || parts > most {
        return Err(Errno::INVALID);
    }
    let parts_ns = parts.saturating_mul(unit_ns);
    Ok(Some(seconds.saturating_mul(NS).saturating_add(parts_ns)))
}
