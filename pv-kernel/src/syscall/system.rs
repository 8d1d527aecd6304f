//! Who is there, and the thread's base registers.
use super::{Arguments, Stop};
use crate::addr::USER_END;
use crate::errno::Errno;
use crate::kernel::{Kernel, Machine};
use crate::proc::Process;
use linux_raw_sys::general::ARCH_SET_FS;

// Linux's asm/prctl.h; the crate has only the first of the four.
const ARCH_SET_GS: u32 = 0x1001;
const ARCH_GET_FS: u32 = 0x1003;
const ARCH_GET_GS: u32 = 0x1004;

/// Bytes of each of the six fields of `struct utsname`.
const FIELD: usize = 65;

/// `uname(buffer)`.
pub(super) fn uname<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [address, ..]: Arguments,
) -> Result<u64, Stop> {
    // The name and release are Linux's because the interface is; C libraries refuse to start on an old release.
    let fields = [
        "Linux",
        kernel.host_name,
        "6.1.0-pv-kernel",
        "pv-kernel 0.1 on xen-lite",
        "x86_64",
        "(none)",
    ];
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
