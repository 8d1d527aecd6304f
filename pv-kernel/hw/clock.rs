//! Time, from the page that the hypervisor keeps.
use abi::hypercall::Hypercall;
use abi::layout::TIME_PAGE;
use abi::stub::hypercall;
use abi::time::TimeInfo;
use core::arch::x86_64::_rdtsc;
use core::ptr::NonNull;
use volatile::VolatilePtr;

/// The page as it is now, and the time-stamp counter with it.
fn read() -> (TimeInfo, u64) {
    let page = NonNull::new(TIME_PAGE as *mut TimeInfo).unwrap_or(NonNull::dangling());
    // SAFETY: the hypervisor maps the page for good, and only it writes there.
    let page = unsafe { VolatilePtr::new_read_only(page) };
    let version = NonNull::new(TIME_PAGE as *mut u64).unwrap_or(NonNull::dangling());
    // SAFETY: the version is the page's first word.
    let version = unsafe { VolatilePtr::new_read_only(version) };
    loop {
        let info = page.read();
        // SAFETY: reading the counter changes nothing.
        let counter = unsafe { _rdtsc() };
        if version.read() == info.version {
            return (info, counter);
        }
    }
}

/// System time in nanoseconds.
pub(crate) fn now_ns() -> u64 {
    let (info, counter) = read();
    let ticks = u128::from(counter.saturating_sub(info.tsc_timestamp));
    info.system_time_ns
        .saturating_add(((ticks * u128::from(info.tsc_to_ns_mul)) >> 32) as u64)
}

/// Nanoseconds since 1970 at system time 0.
pub(crate) fn wall_clock_base_ns() -> u64 {
    let (info, _) = read();
    info.wall_clock_s.saturating_mul(1_000_000_000)
}

/// Has the timer fire at a system time.
pub(crate) fn set_timer(deadline_ns: u64) {
    // SAFETY: it only has an event happen. 0 would set nothing.
    unsafe { hypercall(Hypercall::SetTimerOp, [deadline_ns.max(1), 0, 0, 0, 0]) };
}
