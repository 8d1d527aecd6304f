//! What the decisions may ask of the machine.
use crate::addr::Mfn;

/// Memory by machine frame. On the machine this is the direct map; in tests it is an array.
///
/// Callers pass only frames that the frame table calls RAM; `index` is below 512, `offset + len` at most 4096.
pub trait PhysMem {
    /// Reads the `index`th u64 of a frame, once.
    fn read(&self, frame: Mfn, index: usize) -> u64;
    /// Reads `N` u64 of a frame from the `first`th on, each once. `first + N` is at most 512.
    #[inline]
    fn read_array<const N: usize>(&self, frame: Mfn, first: usize) -> [u64; N] {
        core::array::from_fn(|n| self.read(frame, first.saturating_add(n)))
    }
    /// Fills `into` with the u64s of a frame from the `first`th on. `first + into.len()` is at most 512.
    #[inline]
    fn read_words(&self, frame: Mfn, first: usize, into: &mut [u64]) {
        for (n, word) in into.iter_mut().enumerate() {
            *word = self.read(frame, first.saturating_add(n));
        }
    }
    /// Writes the `index`th u64 of a frame, at once.
    fn write(&mut self, frame: Mfn, index: usize, value: u64);
    /// Writes `N` u64 of a frame from the `first`th on. `first + N` is at most 512.
    #[inline]
    fn write_array<const N: usize>(&mut self, frame: Mfn, first: usize, values: [u64; N]) {
        for (n, value) in values.into_iter().enumerate() {
            self.write(frame, first.saturating_add(n), value);
        }
    }
    /// Sets bits in the `index`th u64 of a frame (atomic towards the CPU's own accessed and dirty bits).
    fn set_bits(&mut self, frame: Mfn, index: usize, bits: u64);
    /// Copies bytes out of a frame.
    fn read_bytes(&self, frame: Mfn, offset: usize, into: &mut [u8]);
    /// Copies bytes into a frame.
    fn write_bytes(&mut self, frame: Mfn, offset: usize, from: &[u8]);
    /// Fills a frame with zero.
    fn zero(&mut self, frame: Mfn);
}
