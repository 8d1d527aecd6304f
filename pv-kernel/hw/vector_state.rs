//! The vector registers. The kernel is built without them, so a program's stay where they are; the next program begins
//! with clean ones.
use crate::entry::Shared;
use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};

/// An image of x87, SSE and everything that XSAVE knows, in its initial state (SDM vol. 1, 10.5.1 and 13.4).
#[repr(C, align(64))]
struct Image([u32; 1024]);

/// x87's control word: all exceptions masked, 64 bits of precision.
const FCW: u32 = 0x37f;
/// All SIMD exceptions masked.
const MXCSR: u32 = 0x1f80;
/// Where MXCSR is in the image, in words of 32 bits.
const MXCSR_AT: usize = 6;

static CLEAN: Shared<Image> = Shared::new(Image({
    let mut words = [0; 1024];
    words[0] = FCW;
    words[MXCSR_AT] = MXCSR;
    words
}));
static HAS_XSAVE: AtomicBool = AtomicBool::new(false);

/// Says that XSAVE is on.
pub(crate) fn use_xsave() {
    HAS_XSAVE.store(true, Ordering::Relaxed);
}

/// Empties every vector register.
pub(crate) fn clear() {
    let image = CLEAN.get();
    if HAS_XSAVE.load(Ordering::Relaxed) {
        // SAFETY: the image is aligned; a header of 0 asks for the initial state of each component, x87's pointers
        // are emptied first.
        unsafe {
            asm!("fninit", "xrstor64 [{}]", in(reg) image, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack));
        }
    } else {
        // SAFETY: the image is aligned and its MXCSR is valid.
        unsafe { asm!("fninit", "fxrstor64 [{}]", in(reg) image, options(nostack)) };
    }
}
