//! The vector registers. The kernel is built without them, so a program's stay where they are across its traps; they
//! are saved and loaded when another process gets the CPU.
use core::arch::asm;
use core::arch::x86_64::__cpuid_count;
use pv_kernel::proc::{VectorLayout, VectorState};
use spin::Mutex;

/// Bytes of an image by FXSAVE.
const FXSAVE_SIZE: usize = 512;

/// MXCSR's bits where FXSAVE does not tell (SDM vol. 1, 11.6.6).
const DEFAULT_MXCSR_MASK: u32 = 0xffbf;
/// Where FXSAVE tells.
const MXCSR_MASK_AT: usize = 28;

/// By which instruction the registers are saved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Saving {
    Xsave,
    Fxsave,
}

static LAYOUT: Mutex<VectorLayout> = Mutex::new(VectorLayout {
    size: FXSAVE_SIZE,
    components: 0,
    mxcsr_mask: DEFAULT_MXCSR_MASK,
});

/// Finds out what images are like.
pub(crate) fn open(saving: Saving) {
    let mut layout = LAYOUT.lock();
    let mut probe = VectorState::clean(FXSAVE_SIZE);
    // SAFETY: the image is aligned and has 512 bytes.
    unsafe { asm!("fxsave64 [{}]", in(reg) probe.bytes_mut().as_mut_ptr(), options(nostack)) };
    let mask = probe.bytes().get(MXCSR_MASK_AT..).and_then(<[u8]>::first_chunk);
    layout.mxcsr_mask = match mask.copied().map_or(0, u32::from_le_bytes) {
        0 => DEFAULT_MXCSR_MASK,
        mask => mask,
    };
    if saving == Saving::Xsave {
        let (low, high): (u32, u32);
        // SAFETY: XSAVE is on, so the instruction works.
        unsafe { asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack)) };
        layout.components = u64::from(low) | u64::from(high) << 32;
        // CPUID.0DH.0:EBX: the size for what XCR0 has on.
        layout.size = __cpuid_count(0xd, 0).ebx as usize;
    }
}

/// What images are like.
pub(crate) fn layout() -> VectorLayout {
    *LAYOUT.lock()
}

/// Copies the registers to an image.
pub(crate) fn save(state: &mut VectorState) {
    let layout = layout();
    let bytes = state.bytes_mut();
    assert!(bytes.len() >= layout.size, "{} bytes are too few", bytes.len());
    let image = bytes.as_mut_ptr();
    if layout.components != 0 {
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
    let layout = layout();
    let bytes = state.bytes();
    assert!(bytes.len() >= layout.size, "{} bytes are too few", bytes.len());
    let image = bytes.as_ptr();
    if layout.components != 0 {
        // SAFETY: the image is aligned, and was saved by XSAVE, is clean, or was made valid by `signal::frame`.
        unsafe {
            asm!("fninit", "xrstor64 [{}]", in(reg) image, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack));
        }
    } else {
        // SAFETY: as above, with FXSAVE.
        unsafe { asm!("fninit", "fxrstor64 [{}]", in(reg) image, options(nostack)) };
    }
}
