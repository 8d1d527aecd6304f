//! Errors of system calls, and their texts.
use core::fmt;
use linux_raw_sys::errno as e;

/// An error, as Linux numbers them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Errno(pub u32);

macro_rules! errors {
    ($($name:ident $text:literal,)*) => {
        #[allow(missing_docs, reason = "the names are Linux's")]
        impl Errno {
            $(pub const $name: Self = Self(e::$name);)*
        }
        /// Name and text of each, as the C library prints them.
        const TEXTS: &[(u32, &str)] = &[$((e::$name, $text),)*];
    };
}

errors! {
    EPERM "Operation not permitted",
    ENOENT "No such file or directory",
    ESRCH "No such process",
    EINTR "Interrupted system call",
    EIO "Input/output error",
    ENXIO "No such device or address",
    E2BIG "Argument list too long",
    ENOEXEC "Exec format error",
    EBADF "Bad file descriptor",
    ECHILD "No child processes",
    EAGAIN "Resource temporarily unavailable",
    ENOMEM "Cannot allocate memory",
    EACCES "Permission denied",
    EFAULT "Bad address",
    ENOTBLK "Block device required",
    EBUSY "Device or resource busy",
    EEXIST "File exists",
    EXDEV "Invalid cross-device link",
    ENODEV "No such device",
    ENOTDIR "Not a directory",
    EISDIR "Is a directory",
    EINVAL "Invalid argument",
    ENFILE "Too many open files in system",
    EMFILE "Too many open files",
    ENOTTY "Inappropriate ioctl for device",
    ETXTBSY "Text file busy",
    EFBIG "File too large",
    ENOSPC "No space left on device",
    ESPIPE "Illegal seek",
    EROFS "Read-only file system",
    EMLINK "Too many links",
    EPIPE "Broken pipe",
    EDOM "Numerical argument out of domain",
    ERANGE "Numerical result out of range",
    EDEADLK "Resource deadlock avoided",
    ENAMETOOLONG "File name too long",
    ENOLCK "No locks available",
    ENOSYS "Function not implemented",
    ENOTEMPTY "Directory not empty",
    ELOOP "Too many levels of symbolic links",
    EOVERFLOW "Value too large for defined data type",
    EILSEQ "Invalid or incomplete multibyte or wide character",
    EOPNOTSUPP "Operation not supported",
    ETIMEDOUT "Connection timed out",
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match TEXTS.iter().find(|(number, _)| *number == self.0) {
            Some((_, text)) => f.write_str(text),
            None => write!(f, "Unknown error {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn texts_are_those_of_the_c_library() {
        for (number, text) in TEXTS {
            let theirs = std::io::Error::from_raw_os_error(*number as i32).to_string();
            assert!(theirs.starts_with(&std::format!("{text} (")), "{theirs}: {text}");
        }
        assert_eq!(Errno(4000).to_string(), "Unknown error 4000");
    }
}
