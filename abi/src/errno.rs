//! Errors that a hypercall returns, as negative numbers in rax. Numbers and names are Xen's (and Linux's).
use crate::numbered::numbered;

numbered! {
    /// Why a hypercall was refused. Nothing was changed, or (batches) rdx says how far it came.
    pub enum Errno: u16 {
        /// Not allowed to this domain, or at this moment.
        Perm = 1, "EPERM";
        /// No such thing.
        NoEntry = 2, "ENOENT";
        /// No such domain.
        NoDomain = 3, "ESRCH";
        /// More elements than one call takes.
        TooBig = 7, "E2BIG";
        /// Later, perhaps.
        Again = 11, "EAGAIN";
        /// No memory left.
        NoMemory = 12, "ENOMEM";
        /// A pointer argument that cannot be read, or written, as the call needs.
        Fault = 14, "EFAULT";
        /// In use in a way that forbids it (a page type, a live root).
        Busy = 16, "EBUSY";
        /// There already.
        Exists = 17, "EEXIST";
        /// An argument outside its range.
        Invalid = 22, "EINVAL";
        /// No port or slot left.
        NoSpace = 28, "ENOSPC";
        /// No such hypercall or sub-function.
        NoSys = 38, "ENOSYS";
    }
}

impl Errno {
    /// What rax holds: the negated number.
    #[must_use]
    pub const fn to_rax(self) -> u64 {
        (self as i64).wrapping_neg() as u64
    }

    /// The error in a hypercall's rax, if it holds one.
    #[must_use]
    pub fn from_rax(rax: u64) -> Option<Self> {
        let negated = (rax as i64).checked_neg()?;
        Self::from_raw(u16::try_from(negated).ok()?)
    }
}
