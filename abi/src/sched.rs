//! `sched_op`: giving up the CPU, waiting, ending.
use crate::numbered::numbered;

numbered! {
    /// The command in rdi. Numbers are Xen's.
    pub enum SchedOp: u64 {
        /// `()`: let others run.
        Yield = 0, "yield";
        /// `(timeout_ns, wake_mask)`: sleep until a wake condition holds or, where `timeout_ns` is not 0, that much
        /// time has passed. Returns at once when a condition holds already. rdx: all conditions that
        /// hold, those of the mask and others.
        Block = 1, "block";
        /// `(reason, code)`: end this domain. Does not return.
        Shutdown = 2, "shutdown";
    }
}

/// Wake condition: console input waits to be read.
pub const WAKE_INPUT: u64 = 1;
/// Wake condition: the console's output ring has room.
pub const WAKE_OUTPUT: u64 = 2;
/// Wake condition: an event is pending. Waiting for it clears the upcall mask, so that the upcall comes first.
pub const WAKE_EVENT: u64 = 4;
/// What a wake mask of 0 means.
pub const WAKE_DEFAULT: u64 = WAKE_INPUT | WAKE_EVENT;

numbered! {
    /// Why a domain ends itself. Numbers are Xen's.
    pub enum ShutdownReason: u64 {
        /// Done.
        Poweroff = 0, "poweroff";
        /// Start again, at once.
        Reboot = 1, "reboot";
        /// The guest kernel has panicked: recorded like a kill, reason `guest-panic`.
        Crash = 3, "crash";
    }
}
