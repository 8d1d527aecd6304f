//! Who is there, and the thread's base registers.
use super::{Arguments, Stop, strings};
use crate::addr::USER_END;
use crate::errno::Errno;
use crate::fs::descriptors::MAX_DESCRIPTORS;
use crate::kernel::{Kernel, Machine};
use crate::mm::layout::STACK_LIMIT;
use crate::proc::table::MAX_PROCESSES;
use crate::proc::{Name, Pid, Process};
use abi::layout::PAGE_SIZE;
use linux_raw_sys::general::{self as linux, ARCH_SET_FS};
use linux_raw_sys::prctl;

// Linux's asm/prctl.h; the crate has only the first of the four.
const ARCH_SET_GS: u32 = 0x1001;
const ARCH_GET_FS: u32 = 0x1003;
const ARCH_GET_GS: u32 = 0x1004;

/// The release is Linux's because the interface is; C libraries refuse to start on an old one.
pub const RELEASE: &str = "6.1.0-pv-kernel";
/// The kernel's own version.
pub const VERSION: &str = "pv-kernel 0.1 on xen-lite";

/// Bytes of each of the six fields of `struct utsname`.
const FIELD: usize = 65;

/// `uname(buffer)`.
pub(super) fn uname<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [address, ..]: Arguments,
) -> Result<u64, Stop> {
    let fields = ["Linux", kernel.host_name, RELEASE, VERSION, "x86_64", "(none)"];
    let mut buffer = [0; FIELD * 6];
    for (target, text) in buffer.chunks_exact_mut(FIELD).zip(fields) {
        // The last byte stays 0.
        for (byte, value) in target.iter_mut().take(FIELD - 1).zip(text.bytes()) {
            *byte = value;
        }
    }
    kernel.copy_out(process, address, &buffer)?;
    Ok(0)
}

/// `arch_prctl(code, address)`.
pub(super) fn arch_prctl<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [code, address, ..]: Arguments,
) -> Result<u64, Stop> {
    let code = u32::try_from(code).map_err(|_| Errno::INVALID)?;
    let is_set = matches!(code, ARCH_SET_FS | ARCH_SET_GS);
    if is_set && address >= USER_END {
        return Err(Errno::NOT_PERMITTED.into());
    }
    match code {
        ARCH_SET_FS => kernel.machine.set_fs_base(address),
        ARCH_SET_GS => kernel.machine.set_gs_base(address),
        ARCH_GET_FS => {
            let base = kernel.machine.fs_base();
            kernel.copy_out(process, address, &base.to_le_bytes())?;
        }
        ARCH_GET_GS => {
            let base = kernel.machine.gs_base();
            kernel.copy_out(process, address, &base.to_le_bytes())?;
        }
        _ => return Err(Errno::INVALID.into()),
    }
    Ok(0)
}

/// `prctl(option, address)`.
pub(super) fn prctl<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [option, address, ..]: Arguments,
) -> Result<u64, Stop> {
    match option as u32 {
        prctl::PR_SET_NAME => {
            let name = strings::prefix(kernel, process, address, Name::LONGEST)?;
            if let Some(entry) = kernel.processes.entry_mut(process.pid) {
                entry.name = Name::new(&name);
            }
        }
        prctl::PR_GET_NAME => {
            let name = kernel.processes.name(process.pid);
            kernel.copy_out(process, address, name.padded())?;
        }
        _ => return Err(Errno::INVALID.into()),
    }
    Ok(0)
}

/// Soft and hard limit of a resource.
fn limit(resource: u64) -> Result<[u64; 2], Errno> {
    const NONE: u64 = u64::MAX;
    match u32::try_from(resource).map_err(|_| Errno::INVALID)? {
        linux::RLIMIT_STACK => Ok([STACK_LIMIT, STACK_LIMIT]),
        linux::RLIMIT_NPROC => Ok([MAX_PROCESSES as u64; 2]),
        linux::RLIMIT_CORE => Ok([0, 0]),
        linux::RLIMIT_NOFILE => Ok([MAX_DESCRIPTORS as u64; 2]),
        0..linux::RLIM_NLIMITS => Ok([NONE, NONE]),
        _ => Err(Errno::INVALID),
    }
}

/// `prlimit64(pid, resource, new, old)`.
pub(super) fn prlimit64<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [pid, resource, new_at, old_at, ..]: Arguments,
) -> Result<u64, Stop> {
    if pid != 0 && kernel.processes.entry(Pid(pid as u32)).is_none() {
        return Err(Errno::NO_PROCESS.into());
    }
    let limits = limit(resource)?;
    if new_at != 0 {
        let mut bytes = [0; 16];
        kernel.copy_in(process, new_at, &mut bytes)?;
        // What asks for no more than there is may have it: nothing changes.
        let soft = u128::from_le_bytes(bytes) as u64;
        if soft > limits[1] {
            return Err(Errno::NOT_PERMITTED.into());
        }
    }
    if old_at != 0 {
        write_limit(kernel, process, old_at, limits)?;
    }
    Ok(0)
}

/// `getrlimit(resource, limit)`.
pub(super) fn getrlimit<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [resource, at, ..]: Arguments,
) -> Result<u64, Stop> {
    let limits = limit(resource)?;
    write_limit(kernel, process, at, limits)?;
    Ok(0)
}

fn write_limit<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    at: u64,
    [soft, hard]: [u64; 2],
) -> Result<(), Errno> {
    let both = u128::from(soft) | u128::from(hard) << 64;
    kernel.copy_out(process, at, &both.to_le_bytes())
}

/// `sched_getaffinity(pid, size, mask)`: there is one CPU. Says how many bytes it has written.
pub(super) fn sched_getaffinity<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [pid, size, at, ..]: Arguments,
) -> Result<u64, Stop> {
    const MASK: [u8; 8] = 1u64.to_le_bytes();
    if pid != 0 && kernel.processes.entry(Pid(pid as u32)).is_none() {
        return Err(Errno::NO_PROCESS.into());
    }
    if size < MASK.len() as u64 || size % 8 != 0 {
        return Err(Errno::INVALID.into());
    }
    kernel.copy_out(process, at, &MASK)?;
    Ok(MASK.len() as u64)
}

/// `getrandom(buffer, count, flags)`.
pub(super) fn getrandom<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [at, count, ..]: Arguments,
) -> Result<u64, Stop> {
    /// More would keep all others waiting; Linux promises no more either.
    const MOST: u64 = 256;
    let count = count.min(MOST);
    let mut done = 0;
    while done < count {
        let bytes = kernel.machine.random();
        let length = (count - done).min(bytes.len() as u64);
        let part = usize::try_from(length)
            .ok()
            .and_then(|length| bytes.get(..length));
        let to = at.checked_add(done).ok_or(Errno::FAULT)?;
        kernel.copy_out(process, to, part.unwrap_or(&[]))?;
        done += length;
    }
    Ok(count)
}

/// `sysinfo(buffer)`.
pub(super) fn sysinfo<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [at, ..]: Arguments,
) -> Result<u64, Stop> {
    let uptime_s = kernel.machine.now_ns() / 1_000_000_000;
    let (total, free) = (kernel.frames.len(), kernel.frames.free());
    let processes = kernel.processes.entries().len() as u64;
    // Uptime, three loads, memory: total, free, shared, buffers; swap: total, free; processes; high memory; the unit.
    let mut bytes = [0; 112];
    let words = [
        uptime_s,
        0,
        0,
        0,
        total,
        free,
        0,
        0,
        0,
        0,
        processes & 0xffff,
        0,
        0,
        PAGE_SIZE,
    ];
    for (target, word) in bytes.chunks_exact_mut(8).zip(words) {
        target.copy_from_slice(&word.to_le_bytes());
    }
    kernel.copy_out(process, at, &bytes)?;
    Ok(0)
}
