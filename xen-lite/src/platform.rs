//! What the decisions may ask of the machine.
use crate::addr::Mfn;

/// Memory by machine frame. On the machine this is the direct map; in tests it is an array.
///
/// Callers pass only frames that the frame table calls RAM; `index` is below 512, `offset + len` at most 4096.
pub trait PhysMem {
    /// Reads the `index`th u64 of a frame, once.
    fn read(&self, frame: Mfn, index: usize) -> u64;
    /// Writes the `index`th u64 of a frame, at once.
    fn write(&mut self, frame: Mfn, index: usize, value: u64);
    /// Sets bits in the `index`th u64 of a frame (atomic towards the CPU's own accessed and dirty bits).
    fn set_bits(&mut self, frame: Mfn, index: usize, bits: u64);
    /// Copies bytes out of a frame.
    fn read_bytes(&self, frame: Mfn, offset: usize, into: &mut [u8]);
    /// Copies bytes into a frame.
    fn write_bytes(&mut self, frame: Mfn, offset: usize, from: &[u8]);
    /// Fills a frame with zero.
    fn zero(&mut self, frame: Mfn);
}
