//! Time: the page that tells it, the one-shot timer.
use abi::hypercall::Hypercall;
use abi::layout::TIME_PAGE;
use abi::time::TimeInfo;
use core::mem::offset_of;

use super::{call, memory, tsc};

/// A field of the time page by its offset.
fn field(offset: usize) -> u64 {
    memory::peek(TIME_PAGE + offset as u64)
}

/// The page's version.
#[must_use]
pub fn version() -> u64 {
    field(offset_of!(TimeInfo, version))
}

/// The page's fields, read one by one, whatever happens in between.
#[must_use]
pub fn fields() -> TimeInfo {
    TimeInfo {
        version: field(offset_of!(TimeInfo, version)),
        tsc_timestamp: field(offset_of!(TimeInfo, tsc_timestamp)),
        system_time_ns: field(offset_of!(TimeInfo, system_time_ns)),
        tsc_to_ns_mul: field(offset_of!(TimeInfo, tsc_to_ns_mul)),
        virtual_time_ns: field(offset_of!(TimeInfo, virtual_time_ns)),
        wall_clock_s: field(offset_of!(TimeInfo, wall_clock_s)),
    }
}

/// The page as it was at one moment.
#[must_use]
pub fn page() -> TimeInfo {
    loop {
        let info = fields();
        if info.version.is_multiple_of(2) && version() == info.version {
            return info;
        }
    }
}

/// System time and virtual time now, in nanoseconds.
#[must_use]
pub fn now_ns() -> (u64, u64) {
    loop {
        let info = page();
        let ticks = tsc().wrapping_sub(info.tsc_timestamp);
        let since = ((u128::from(ticks) * u128::from(info.tsc_to_ns_mul)) >> 32) as u64;
        if version() == info.version {
            return (info.system_time_ns + since, info.virtual_time_ns + since);
        }
    }
}

/// Works until then.
pub fn wait_until(end: u64) {
    while now_ns().0 < end {
        core::hint::spin_loop();
    }
}

/// `set_timer_op`.
pub fn set_timer(deadline_ns: u64) {
    let done = call::call(Hypercall::SetTimerOp, &[deadline_ns]).ok();
    crate::check!(done == Ok(0), "a timer is set to {deadline_ns}: {done:?}");
}
