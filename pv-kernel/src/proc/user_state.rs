//! What of a program stays in the CPU across traps: vector registers, and the bases of FS and GS.
use alloc::boxed::Box;

/// An image of the vector registers as XSAVE lays it out in its standard form, or FXSAVE (SDM vol. 1, 13.4 and 10.5.1).
///
/// XSAVE wants its area aligned to 64 bytes: the image begins at the first such address of the allocation.
#[derive(Debug)]
pub struct VectorState {
    allocation: Box<[u8]>,
    size: usize,
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

const ALIGNMENT: usize = 64;
/// Least bytes of an image: FXSAVE's.
const LEAST: usize = 512;

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
        let size = size.max(LEAST);
        let mut state = Self {
            allocation: alloc::vec![0; size + ALIGNMENT].into_boxed_slice(),
            size,
        };
        state.write(0, &FCW);
        state.write(MXCSR_AT, &MXCSR);
        state
    }

    fn start(&self) -> usize {
        self.allocation.as_ptr().addr().wrapping_neg() % ALIGNMENT
    }

    /// The image's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let start = self.start();
        self.allocation.get(start..start + self.size).unwrap_or(&[])
    }

    /// The image's bytes, to be changed; aligned to 64.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let start = self.start();
        self.allocation
            .get_mut(start..start + self.size)
            .unwrap_or(&mut [])
    }

    /// Changes bytes from offset `at` on; what lies beyond the image is dropped.
    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        let places = self.bytes_mut().get_mut(at..).unwrap_or(&mut []);
        let count = places.len().min(bytes.len());
        let (Some(places), Some(bytes)) = (places.get_mut(..count), bytes.get(..count)) else {
            return;
        };
        places.copy_from_slice(bytes);
    }
}

impl Clone for VectorState {
    fn clone(&self) -> Self {
        let mut copy = Self::clean(self.size);
        copy.write(0, self.bytes());
        copy
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
        assert_eq!(
            (state.bytes().len(), state.bytes().as_ptr().addr() % 64),
            (576, 0)
        );
        assert_eq!(state.bytes()[24..28], 0x1f80_u32.to_le_bytes());
    }

    #[test]
    fn what_lies_beyond_the_image_is_not_written_and_a_copy_is_the_same() {
        let mut state = VectorState::clean(512);
        state.write(510, &[1, 2, 3, 4]);
        state.write(600, &[9]);
        let copies: Vec<VectorState> = (0..5).map(|_| state.clone()).collect();
        for copy in copies {
            assert_eq!(copy.bytes(), state.bytes());
            assert_eq!(copy.bytes()[510..], [1, 2]);
        }
    }
}
