//! Memory for tests: an array that notices when it is asked for what it does not have. And [`targets`], for random bytes and for
//! fuzzers.
pub(crate) mod bytes;
pub(crate) mod machine;
pub mod targets;
pub(crate) mod world;

use crate::addr::Mfn;
use crate::paging::{FrameInfo, FrameTable};
use crate::platform::PhysMem;

/// Frames `0..n`, filled with a pattern that no frame handed out may show.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ArrayMem {
    frames: Vec<[u64; 512]>,
}

impl ArrayMem {
    pub(crate) fn new(frames: usize) -> Self {
        Self {
            frames: vec![[0x5a5a_5a5a_5a5a_5a5a; 512]; frames],
        }
    }

    pub(crate) fn words(&self, frame: Mfn) -> &[u64; 512] {
        &self.frames[frame.index()]
    }
}

impl PhysMem for ArrayMem {
    fn read(&self, frame: Mfn, index: usize) -> u64 {
        self.frames[frame.index()][index]
    }

    fn write(&mut self, frame: Mfn, index: usize, value: u64) {
        self.frames[frame.index()][index] = value;
    }

    fn set_bits(&mut self, frame: Mfn, index: usize, bits: u64) {
        self.frames[frame.index()][index] |= bits;
    }

    fn read_bytes(&self, frame: Mfn, offset: usize, into: &mut [u8]) {
        for (at, byte) in (offset..).zip(into) {
            *byte = self.frames[frame.index()][at / 8].to_le_bytes()[at % 8];
        }
    }

    fn write_bytes(&mut self, frame: Mfn, offset: usize, from: &[u8]) {
        for (at, byte) in (offset..).zip(from) {
            let word = &mut self.frames[frame.index()][at / 8];
            let mut bytes = word.to_le_bytes();
            bytes[at % 8] = *byte;
            *word = u64::from_le_bytes(bytes);
        }
    }

    fn zero(&mut self, frame: Mfn) {
        self.frames[frame.index()] = [0; 512];
    }
}

/// A frame table of `count` reserved frames that lives as long as the test.
pub(crate) fn frame_table(count: usize) -> FrameTable<'static> {
    FrameTable::new(Vec::leak(vec![FrameInfo::RESERVED; count]))
}
