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
    /// No such process.
    pub const NO_PROCESS: Self = Self(linux::ESRCH);
    /// A signal came first.
    pub const INTERRUPTED: Self = Self(linux::EINTR);
    /// Something cannot be read.
    pub const IO: Self = Self(linux::EIO);
    /// Not now: too many of them.
    pub const AGAIN: Self = Self(linux::EAGAIN);
    /// The caller may not.
    pub const ACCESS: Self = Self(linux::EACCES);
    /// No child.
    pub const NO_CHILD: Self = Self(linux::ECHILD);
    /// A number that is too large.
    pub const RANGE: Self = Self(linux::ERANGE);
    /// A name that is too long.
    pub const NAME_TOO_LONG: Self = Self(linux::ENAMETOOLONG);
    /// Names lead round in a circle.
    pub const LOOP: Self = Self(linux::ELOOP);

    /// No such device.
    pub const NO_SUCH_DEVICE: Self = Self(linux::ENXIO);
    /// In use, as the place where something is mounted.
    pub const BUSY: Self = Self(linux::EBUSY);
    /// On another file system.
    pub const CROSS_DEVICE: Self = Self(linux::EXDEV);
    /// Not a directory.
    pub const NOT_DIRECTORY: Self = Self(linux::ENOTDIR);
    /// A directory.
    pub const IS_DIRECTORY: Self = Self(linux::EISDIR);
    /// As many open files in all as there can be.
    pub const FILE_TABLE_FULL: Self = Self(linux::ENFILE);
    /// As many open files as the process may have.
    pub const TOO_MANY_FILES: Self = Self(linux::EMFILE);
    /// Not a terminal.
    pub const NOT_TERMINAL: Self = Self(linux::ENOTTY);
    /// A file would be too large.
    pub const FILE_TOO_LARGE: Self = Self(linux::EFBIG);
    /// No room for files is left.
    pub const NO_SPACE: Self = Self(linux::ENOSPC);
    /// Not a file with positions.
    pub const NO_SEEK: Self = Self(linux::ESPIPE);
    /// As many names of one file as there can be.
    pub const TOO_MANY_LINKS: Self = Self(linux::EMLINK);
    /// Nobody reads the other end.
    pub const BROKEN_PIPE: Self = Self(linux::EPIPE);
    /// A directory that is not empty.
    pub const NOT_EMPTY: Self = Self(linux::ENOTEMPTY);
    /// Not supported for this file.
    pub const NOT_SUPPORTED: Self = Self(linux::EOPNOTSUPP);

    /// Linux's number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// What rax holds.
    #[must_use]
    pub const fn to_rax(self) -> u64 {
        (self.0 as u64).wrapping_neg()
    }
}

impl core::fmt::Display for Errno {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "error {}", self.0)
    }
}
