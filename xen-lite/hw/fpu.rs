//! Vector state: saved and restored at every switch of vCPU, clean for each guest.
use core::arch::asm;

/// A page is enough for x87, SSE, AVX and AVX-512 in XSAVE's standard form (SDM vol. 1, 13.4).
const FCW: u64 = 0x37f;
const MXCSR: u64 = 0x1f80;

/// How this CPU saves vector state.
#[derive(Clone, Copy)]
pub(crate) enum Fpu {
    /// FXSAVE: x87 and SSE.
    Fxsave,
    /// XSAVE with this mask.
    Xsave(u64),
}

impl Fpu {
    /// The words of a fresh state that are not 0, by index: control words, and (XSAVE) which parts are
    /// in the area at all.
    pub(crate) fn initial_words(self) -> [(usize, u64); 3] {
        let parts = match self {
            Self::Fxsave => 0,
            Self::Xsave(_) => 0b11,
        };
        [(0, FCW), (3, MXCSR), (64, parts)]
    }

    /// Stores the CPU's state into a page.
    ///
    /// # Safety
    /// `page` is the address of a page that only this saves to.
    pub(crate) unsafe fn save(self, page: *mut u8) {
        match self {
            // SAFETY: the page is large enough and aligned.
            Self::Fxsave => unsafe { asm!("fxsave64 [{}]", in(reg) page, options(nostack)) },
            // SAFETY: as above.
            Self::Xsave(mask) => unsafe {
                asm!("xsave64 [{}]", in(reg) page, in("eax") mask as u32, in("edx") (mask >> 32) as u32, options(nostack));
            },
        }
    }

    /// Loads the CPU's state from a page. AMD's FXRSTOR and XRSTOR leave the last instruction and data pointers of the
    /// x87 alone when no exception is pending: an x87 load of our own overwrites them first.
    ///
    /// # Safety
    /// `page` holds what [`Self::save`] stored, or [`Self::initial_words`] in a page of zeros.
    pub(crate) unsafe fn load(self, page: *const u8) {
        let zero: u32 = 0;
        // SAFETY: x87 state is about to be replaced.
        unsafe { asm!("fnclex", "emms", "fild dword ptr [{}]", in(reg) &raw const zero, options(nostack)) };
        match self {
            // SAFETY: the caller's duty.
            Self::Fxsave => unsafe { asm!("fxrstor64 [{}]", in(reg) page, options(nostack)) },
            // SAFETY: the caller's duty.
            Self::Xsave(mask) => unsafe {
                asm!("xrstor64 [{}]", in(reg) page, in("eax") mask as u32, in("edx") (mask >> 32) as u32, options(nostack));
            },
        }
    }
}
