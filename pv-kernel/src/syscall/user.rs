//! Who a process acts for. There is root and nobody else.
use super::{Arguments, Made};
use crate::errno::Errno;
use crate::kernel::{Kernel, Machine};
use crate::proc::Process;

/// `getuid()` and its like: 0. So is the number of groups.
pub(super) fn root<M>(_: &mut Kernel<'_, M>, _: &mut Process<'_>, _: Arguments) -> Made {
    Ok(0)
}

/// `getresuid(real, effective, saved)`, `getresgid`.
pub(super) fn three_roots<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    [real, effective, saved, ..]: Arguments,
) -> Made {
    for at in [real, effective, saved] {
        kernel.copy_out(process, at, &[0; 4])?;
    }
    Ok(0)
}

/// `setuid(user)` and its like: the first argument is 0, or -1 where that means no change.
pub(super) fn become_root<M>(_: &mut Kernel<'_, M>, _: &mut Process<'_>, [user, ..]: Arguments) -> Made {
    match user as i32 {
        0 | -1 => Ok(0),
        _ => Err(Errno::NOT_PERMITTED.into()),
    }
}
