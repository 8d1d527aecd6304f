//! The errors of system calls: Linux's numbers.
use linux_raw_sys::errno as linux;

/// An error that a system call returns, negated, in rax.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno(u32);

impl Errno {
    /// A bad address.
    pub const FAULT: Self = Self(linux::EFAULT);
    /// Not an open file.
    pub const BAD_FILE: Self = Self(linux::EBADF);
    /// Not a program.
    pub const NOT_EXECUTABLE: Self = Self(linux::ENOEXEC);
    /// No memory.
    pub const NO_MEMORY: Self = Self(linux::ENOMEM);
    /// No such call.
    pub const NO_SYSTEM_CALL: Self = Self(linux::ENOSYS);
    /// A bad argument.
    pub const INVALID: Self = Self(linux::EINVAL);
    /// Something is there already.
    pub const EXISTS: Self = Self(linux::EEXIST);
    /// Not allowed.
    pub const NOT_PERMITTED: Self = Self(linux::EPERM);
    /// No such device: what is asked for cannot be mapped.
    pub const NO_DEVICE: Self = Self(linux::ENODEV);
    /// The arguments of a program are too long.
    pub const TOO_BIG: Self = Self(linux::E2BIG);
    /// No such file.
    pub const NO_ENTRY: Self = Self(linux::ENOENT);

    /// What rax holds.
    #[must_use]
    pub const fn to_rax(self) -> u64 {
        (self.0 as u64).wrapping_neg()
    }
}
