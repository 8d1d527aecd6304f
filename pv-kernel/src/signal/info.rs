//! What a process learns of a signal: Linux's `siginfo_t`.
use crate::proc::{Pid, Status};
use crate::signal::Signal;
use linux_raw_sys::general as linux;

/// Bytes of a `siginfo_t`.
pub(super) const INFO_SIZE: usize = 128;

/// A signal, and where it comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Info {
    /// The signal.
    pub signal: Signal,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a signal comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A process, by `kill`.
    Kill(Pid),
    /// A process, by `tkill` or `tgkill`.
    ThreadKill(Pid),
    /// The kernel: the terminal, a timer, a pipe.
    Kernel,
    /// An instruction: `si_code`, and the address that it was about.
    Fault(i32, u64),
    /// A child that has ended.
    Ended(Pid, Status),
    /// A child that was stopped by this signal.
    Stopped(Pid, Signal),
    /// A child that goes on.
    Continued(Pid),
}

impl Info {
    /// A signal from the kernel.
    #[must_use]
    pub const fn from_kernel(signal: Signal) -> Self {
        Self {
            signal,
            origin: Origin::Kernel,
        }
    }

    /// What a child's parent learns.
    #[must_use]
    pub const fn of_child(origin: Origin) -> Self {
        Self {
            signal: Signal::CHILD,
            origin,
        }
    }

    /// As a handler finds it.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; INFO_SIZE] {
        // si_signo, si_errno, si_code, padding, then what the code says.
        let mut bytes = [0; INFO_SIZE];
        let mut put = |at: usize, value: u32| {
            if let Some(target) = bytes.get_mut(at..at + 4) {
                target.copy_from_slice(&value.to_le_bytes());
            }
        };
        put(0, u32::from(self.signal.number()));
        let mut child = |code: u32, pid: Pid, status: u32| {
            put(8, code);
            put(16, pid.0);
            put(24, status);
        };
        match self.origin {
            Origin::Kill(pid) => {
                put(8, linux::SI_USER);
                put(16, pid.0);
            }
            Origin::ThreadKill(pid) => {
                put(8, linux::SI_TKILL as u32);
                put(16, pid.0);
            }
            Origin::Kernel => put(8, linux::SI_KERNEL),
            Origin::Fault(code, address) => {
                put(8, code as u32);
                put(16, address as u32);
                put(20, (address >> 32) as u32);
            }
            Origin::Ended(pid, Status::Exited(code)) => child(linux::CLD_EXITED, pid, u32::from(code)),
            Origin::Ended(pid, Status::Killed(signal)) => child(linux::CLD_KILLED, pid, u32::from(signal)),
            Origin::Stopped(pid, signal) => child(linux::CLD_STOPPED, pid, u32::from(signal.number())),
            Origin::Continued(pid) => child(linux::CLD_CONTINUED, pid, linux::SIGCONT),
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_where_linux_has_them() {
        let info = Info {
            signal: Signal::SEGMENT,
            origin: Origin::Fault(2, 0x1122_3344_5566_7788),
        };
        let bytes = info.to_bytes();
        assert_eq!((bytes[0], bytes[8]), (11, 2));
        assert_eq!(bytes[16..24], 0x1122_3344_5566_7788_u64.to_le_bytes());
        let bytes = Info::of_child(Origin::Ended(Pid(7), Status::Exited(3))).to_bytes();
        assert_eq!((bytes[0], bytes[8], bytes[16], bytes[24]), (17, 1, 7, 3));
    }
}
