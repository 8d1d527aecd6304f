//! What of a program stays in the CPU across traps: vector registers, and the bases of FS and GS.
use alloc::vec::Vec;

/// An image of the vector registers as XSAVE lays it out in its standard form, or FXSAVE (SDM vol. 1, 13.4 and 10.5.1).
#[derive(Clone, Debug)]
pub struct VectorState {
    blocks: Vec<Block>,
}

/// What images of the machine's vector registers are like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VectorLayout {
    /// Bytes.
    pub size: usize,
    /// Components that XCR0 has on; 0: images are FXSAVE's.
    pub components: u64,
    /// Bits that MXCSR may have.
    pub mxcsr_mask: u32,
}

/// XSAVE wants its area aligned so.
#[repr(align(64))]
#[derive(Clone, Copy, Debug)]
struct Block([u8; BLOCK]);
const BLOCK: usize = 64;

/// Control word of x87 in a clean state: all exceptions masked, 64 bits of precision.
const FCW: [u8; 2] = 0x37f_u16.to_le_bytes();
/// MXCSR in a clean state: all exceptions masked.
const MXCSR: [u8; 4] = 0x1f80_u32.to_le_bytes();
/// Where MXCSR is.
const MXCSR_AT: usize = 24;

impl VectorState {
    /// Registers with nothing in them, in an image of at least `size` bytes.
    #[must_use]
    pub fn clean(size: usize) -> Self {
        let mut state = Self {
            blocks: alloc::vec![Block([0; BLOCK]); size.div_ceil(BLOCK).max(8)],
        };
        state.write(0, &FCW);
        state.write(MXCSR_AT, &MXCSR);
        state
    }

    /// How many bytes the image has.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.blocks.len() * BLOCK
    }

    /// Where the image is: aligned to 64 bytes, [`Self::size`] bytes long.
    #[must_use]
    pub const fn as_ptr(&self) -> *const u8 {
        self.blocks.as_ptr().cast()
    }

    /// The same, for the CPU to write.
    #[must_use]
    pub const fn as_mut_ptr(&mut self) -> *mut u8 {
        self.blocks.as_mut_ptr().cast()
    }

    /// Copies bytes from offset `at` on; what lies beyond the image is left as it is.
    pub fn read(&self, at: usize, buffer: &mut [u8]) {
        let bytes = self.blocks.iter().flat_map(|block| &block.0);
        for (target, byte) in buffer.iter_mut().zip(bytes.skip(at)) {
            *target = *byte;
        }
    }

    /// Changes bytes from offset `at` on; what lies beyond the image is dropped.
    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        let places = self.blocks.iter_mut().flat_map(|block| &mut block.0);
        for (target, byte) in places.skip(at).zip(bytes) {
            *target = *byte;
        }
    }
}

/// All of it.
#[derive(Clone, Debug)]
pub struct UserState {
    /// The vector registers.
    pub vectors: VectorState,
    /// The base of FS: canonical and a program's address.
    pub fs_base: u64,
    /// The base of GS, likewise.
    pub gs_base: u64,
}

impl UserState {
    /// That of a program that has not begun, with an image of `vector_size` bytes.
    #[must_use]
    pub fn clean(vector_size: usize) -> Self {
        Self {
            vectors: VectorState::clean(vector_size),
            fs_base: 0,
            gs_base: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_image_masks_all_exceptions() {
        let state = VectorState::clean(576);
        assert_eq!((state.size(), state.as_ptr() as usize % 64), (576, 0));
        let mut mxcsr = [0; 4];
        state.read(24, &mut mxcsr);
        assert_eq!(u32::from_le_bytes(mxcsr), 0x1f80);
    }

    #[test]
    fn what_lies_beyond_the_image_is_neither_read_nor_written() {
        let mut state = VectorState::clean(512);
        state.write(510, &[1, 2, 3, 4]);
        let mut bytes = [9; 4];
        state.read(510, &mut bytes);
        assert_eq!(bytes, [1, 2, 9, 9]);
    }
}
