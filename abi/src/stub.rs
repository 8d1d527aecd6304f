//! The hypercall instruction.
#![allow(
    unsafe_code,
    reason = "the one place of this crate that executes an instruction"
)]
use crate::errno::Errno;
use crate::hypercall::Hypercall;

/// What a hypercall returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Returned {
    /// rax: the result, or a negated [`Errno`].
    pub value: u64,
    /// rdx: the second word.
    pub detail: u64,
}

impl Returned {
    /// The result, or the error.
    ///
    /// # Errors
    /// The [`Errno`] that the hypervisor returned.
    pub fn ok(self) -> Result<u64, Errno> {
        match Errno::from_rax(self.value) {
            Some(errno) => Err(errno),
            None => Ok(self.value),
        }
    }
}

/// Makes a hypercall with up to five arguments.
///
/// # Safety
/// Runs in ring 1 of a xen-lite guest. What the call does to memory and page tables is the caller's duty.
#[cfg(target_arch = "x86_64")]
#[inline]
pub unsafe fn hypercall(number: Hypercall, arguments: [u64; 5]) -> Returned {
    // SAFETY: the caller's duty.
    unsafe { hypercall_raw(number.raw(), arguments) }
}

/// [`hypercall`] with any number, known or not.
///
/// # Safety
/// As for [`hypercall`].
#[cfg(target_arch = "x86_64")]
#[inline]
pub unsafe fn hypercall_raw(number: u64, arguments: [u64; 5]) -> Returned {
    let value;
    let detail;
    // SAFETY: registers as the interface says; the caller answers for the rest.
    unsafe {
        core::arch::asm!(
            "int 0x82",
            inlateout("rax") number => value,
            inlateout("rdi") arguments[0] => _,
            inlateout("rsi") arguments[1] => _,
            inlateout("rdx") arguments[2] => detail,
            inlateout("r10") arguments[3] => _,
            inlateout("r8") arguments[4] => _,
            lateout("rcx") _,
            lateout("r9") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    Returned { value, detail }
}
