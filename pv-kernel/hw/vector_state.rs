//! The vector registers. The kernel is built without them, so a program's stay where they are across its traps; they
//! are saved and loaded when another process gets the CPU.
use core::arch::asm;
use core::arch::x86_64::__cpuid_count;
use core::sync::atomic::{AtomicUsize, Ordering};
use pv_kernel::proc::VectorState;

/// Bytes of an image by FXSAVE.
const FXSAVE_SIZE: usize = 512;

/// Bytes of an image; more than FXSAVE's where XSAVE is on.
static SIZE: AtomicUsize = AtomicUsize::new(FXSAVE_SIZE);

/// Says that XSAVE is on.
pub(crate) fn use_xsave() {
    // CPUID.0DH.0:EBX: the size for what XCR0 has on.
    let size = __cpuid_count(0xd, 0).ebx as usize;
    SIZE.store(size.max(FXSAVE_SIZE + 64), Ordering::Relaxed);
}

/// Bytes of an image.
pub(crate) fn size() -> usize {
    SIZE.load(Ordering::Relaxed)
}

/// Copies the registers to an image.
pub(crate) fn save(state: &mut VectorState) {
    let size = size();
    assert!(
        state.size() >= size,
        "an image of {} bytes is too small",
        state.size()
    );
    let image = state.as_mut_ptr();
    if size > FXSAVE_SIZE {
        // SAFETY: the image is aligned and has room for all that XCR0 has on.
        unsafe {
            asm!("xsave64 [{}]", in(reg) image, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack))
        };
    } else {
        // SAFETY: the image is aligned and has 512 bytes.
        unsafe { asm!("fxsave64 [{}]", in(reg) image, options(nostack)) };
    }
}

/// Fills the registers from an image that was saved, or is clean. x87 is emptied first, so that pointers which the CPU
/// does not restore are nobody else's.
pub(crate) fn load(state: &VectorState) {
    let size = size();
    assert!(
        state.size() >= size,
        "an image of {} bytes is too small",
        state.size()
    );
    let image = state.as_ptr();
    if size > FXSAVE_SIZE {
        // SAFETY: the image is aligned, was saved by XSAVE or is clean, and only the kernel changes it: it is valid.
        unsafe {
            asm!("fninit", "xrstor64 [{}]", in(reg) image, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack));
        }
    } else {
        // SAFETY: the image is aligned and its MXCSR is valid.
        unsafe { asm!("fninit", "fxrstor64 [{}]", in(reg) image, options(nostack)) };
    }
}
