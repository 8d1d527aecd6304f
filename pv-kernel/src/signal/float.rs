//! Which floating-point exception it was: SIGFPE's code.
use crate::cause::Cause;
use linux_raw_sys::general as linux;

/// Where x87's control and status words and MXCSR are in an image of the vector registers.
const CONTROL_AT: usize = 0;
const STATUS_AT: usize = 2;
const MXCSR_AT: usize = 24;

// The flags of exceptions, alike in all three; in MXCSR the masks are seven bits higher (SDM vol. 1, 8.1.3 and 10.2.3).
const INVALID: u32 = 1 << 0;
const DENORMAL: u32 = 1 << 1;
const ZERO_DIVIDE: u32 = 1 << 2;
const OVERFLOW: u32 = 1 << 3;
const UNDERFLOW: u32 = 1 << 4;
const PRECISION: u32 = 1 << 5;
const MXCSR_MASKS: u32 = 7;

/// The code for #MF or #XM, by the registers in `image`: the exceptions that are flagged and not masked, in Linux's order.
pub(super) fn code(image: &[u8], cause: Cause) -> i32 {
    let half = |at: usize| {
        let half = image.get(at..).and_then(<[u8]>::first_chunk);
        u32::from(half.copied().map_or(0, u16::from_le_bytes))
    };
    let raised = if cause == Cause::FloatingPoint {
        half(STATUS_AT) & !half(CONTROL_AT)
    } else {
        half(MXCSR_AT) & !(half(MXCSR_AT) >> MXCSR_MASKS)
    };
    let has = |exceptions: u32| raised & exceptions != 0;
    (if has(INVALID) {
        linux::FPE_FLTINV
    } else if has(ZERO_DIVIDE) {
        linux::FPE_FLTDIV
    } else if has(OVERFLOW) {
        linux::FPE_FLTOVF
    } else if has(DENORMAL | UNDERFLOW) {
        linux::FPE_FLTUND
    } else if has(PRECISION) {
        linux::FPE_FLTRES
    } else {
        linux::FPE_FLTUNK
    }) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(control: u16, status: u16, mxcsr: u16) -> [u8; 32] {
        let mut image = [0; 32];
        image[..2].copy_from_slice(&control.to_le_bytes());
        image[2..4].copy_from_slice(&status.to_le_bytes());
        image[24..26].copy_from_slice(&mxcsr.to_le_bytes());
        image
    }

    #[test]
    fn the_code_is_that_of_what_is_flagged_and_not_masked() {
        let x87 = |control, status| code(&image(control, status, 0x1f80), Cause::FloatingPoint);
        assert_eq!(x87(0x37b, 0x24), linux::FPE_FLTDIV as i32);
        assert_eq!(x87(0x37e, 0x05), linux::FPE_FLTINV as i32);
        assert_eq!(x87(0x37f, 0x3f), linux::FPE_FLTUNK as i32);
        let sse = |mxcsr| code(&image(0x37f, 0, mxcsr), Cause::SimdFloatingPoint);
        assert_eq!(sse(0x1d84), linux::FPE_FLTDIV as i32);
        assert_eq!(sse(0x0fa0), linux::FPE_FLTRES as i32);
    }
}
