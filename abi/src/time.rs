//! Time: real, virtual and wall-clock, on a read-only page, and `set_timer_op`.
//!
//! `set_timer_op(deadline)`: fires [`crate::event::Virq::Timer`] once when the system time reaches `deadline`, at once when
//! it has; replaces what was set; 0 sets nothing. Time goes on while the domain does not run.

/// The page at [`crate::layout::TIME_PAGE`]. It changes only while the guest does not run, so that one read of
/// `version` before and one after tell whether all fields belong together.
///
/// ```text
/// system time now = system_time_ns + ((rdtsc - tsc_timestamp) * tsc_to_ns_mul >> 32)
/// ```
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct TimeInfo {
    /// Grows with each change, by 2.
    pub version: u64,
    /// The TSC when the other fields were taken.
    pub tsc_timestamp: u64,
    /// Real time: nanoseconds since the machine started, then.
    pub system_time_ns: u64,
    /// Nanoseconds per TSC tick, times 2^32.
    pub tsc_to_ns_mul: u64,
    /// Virtual time: nanoseconds for which this vCPU has run, then; it advances only while it runs.
    pub virtual_time_ns: u64,
    /// Wall clock at system time 0: seconds since 1970-01-01 UTC.
    pub wall_clock_s: u64,
}
