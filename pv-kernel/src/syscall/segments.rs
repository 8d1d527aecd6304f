//! The memory that one call reads or writes: one buffer, or a list of them (`struct iovec`).
use crate::addr::USER_END;
use crate::errno::Errno;
use crate::kernel::{Kernel, Machine};
use crate::proc::Process;
use alloc::vec::Vec;

/// Most buffers of one call, and most bytes, as on Linux.
const MAX_BUFFERS: u64 = 1024;
const MAX_BYTES: u64 = 0x7fff_f000;
/// Bytes of a `struct iovec`.
const RECORD: usize = 16;

/// Refuses a buffer that no program can have, however little of it would be used.
fn check_end(address: u64, length: u64) -> Result<(), Errno> {
    match address.checked_add(length) {
        Some(end) if end <= USER_END => Ok(()),
        _ => Err(Errno::FAULT),
    }
}

/// One buffer: address and length.
type Segment = (u64, u64);

/// A call's buffers, one after another.
pub(super) struct Segments {
    first: Segment,
    more: Vec<Segment>,
    length: u64,
}

impl Segments {
    /// One buffer.
    ///
    /// # Errors
    /// `EFAULT`: it goes beyond a program's addresses.
    pub(super) fn one(address: u64, length: u64) -> Result<Self, Errno> {
        check_end(address, length)?;
        let length = length.min(MAX_BYTES);
        Ok(Self {
            first: (address, length),
            more: Vec::new(),
            length,
        })
    }

    /// The buffers that the records at `address` name.
    ///
    /// # Errors
    /// `EINVAL`, `EFAULT`, `ENOMEM`.
    pub(super) fn from_user<M: Machine>(
        kernel: &mut Kernel<'_, M>,
        process: &mut Process<'_>,
        address: u64,
        count: u64,
    ) -> Result<Self, Errno> {
        if count > MAX_BUFFERS {
            return Err(Errno::INVALID);
        }
        let mut segments = Self::one(0, 0)?;
        for index in 0..count {
            let mut record = [0; RECORD];
            let at = address.checked_add(index * RECORD as u64).ok_or(Errno::FAULT)?;
            kernel.copy_in(process, at, &mut record)?;
            let both = u128::from_le_bytes(record);
            let (address, length) = (both as u64, (both >> 64) as u64);
            if length > i64::MAX as u64 {
                return Err(Errno::INVALID);
            }
            check_end(address, length)?;
            let length = length.min(MAX_BYTES - segments.length);
            segments.length += length;
            segments.more.push((address, length));
        }
        Ok(segments)
    }

    /// Bytes in all.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// How many bytes to transfer at once when `done` are: what is left, and no more than `most`.
    pub(super) fn piece(&self, done: u64, most: usize) -> usize {
        let left = self.length.saturating_sub(done);
        usize::try_from(left).unwrap_or(most).min(most)
    }

    /// The parts of the buffers that the bytes from `from` on lie in, `length` of them.
    fn parts(&self, from: u64, length: usize) -> impl Iterator<Item = (u64, usize)> {
        let mut skip = from;
        let mut left = length;
        let all = core::iter::once(&self.first).chain(&self.more);
        all.filter_map(move |(address, size)| {
            let skipped = skip.min(*size);
            skip -= skipped;
            let part = usize::try_from(size - skipped).unwrap_or(usize::MAX).min(left);
            left -= part;
            // An address that wraps is refused where it is used.
            (part > 0).then_some((address.saturating_add(skipped), part))
        })
    }

    /// Copies the bytes from `from` on into `buffer`; how many, which is fewer if a buffer after the first is bad.
    ///
    /// # Errors
    /// `EFAULT`, `ENOMEM`.
    pub(super) fn copy_in<M: Machine>(
        &self,
        kernel: &mut Kernel<'_, M>,
        process: &mut Process<'_>,
        from: u64,
        buffer: &mut [u8],
    ) -> Result<usize, Errno> {
        let mut done = 0;
        for (address, length) in self.parts(from, buffer.len()) {
            let part = buffer.get_mut(done..done + length).ok_or(Errno::FAULT)?;
            match kernel.copy_in(process, address, part) {
                Ok(()) => done += length,
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Copies `bytes` to where the bytes from `from` on go.
    pub(super) fn copy_out<M: Machine>(
        &self,
        kernel: &mut Kernel<'_, M>,
        process: &mut Process<'_>,
        from: u64,
        bytes: &[u8],
    ) -> Result<(), Errno> {
        let mut rest = bytes;
        for (address, length) in self.parts(from, rest.len()) {
            let (now, later) = rest.split_at_checked(length).ok_or(Errno::FAULT)?;
            kernel.copy_out(process, address, now)?;
            rest = later;
        }
        Ok(())
    }

    /// Brings in the pages that `length` bytes from `from` on are about to be written to.
    pub(super) fn make_writable<M: Machine>(
        &self,
        kernel: &mut Kernel<'_, M>,
        process: &mut Process<'_>,
        from: u64,
        length: usize,
    ) -> Result<(), Errno> {
        for (address, length) in self.parts(from, length) {
            kernel.make_writable(process, address, length)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_beyond_all_addresses_is_refused_before_anything_is_done() {
        for (address, length) in [
            (0x1000, 1 << 48),
            (0x1000, u64::MAX),
            (USER_END, 1),
            (USER_END - 7, 8),
        ] {
            assert!(
                matches!(Segments::one(address, length), Err(Errno::FAULT)),
                "{address:#x}"
            );
        }
        assert_eq!(Segments::one(0x1000, 1 << 40).unwrap().length(), MAX_BYTES);
    }

    #[test]
    fn buffers_are_one_stretch_of_bytes() {
        let segments = Segments {
            first: (0, 0),
            more: vec![(100, 3), (200, 0), (300, 5)],
            length: 8,
        };
        let parts = |from, length| segments.parts(from, length).collect::<Vec<_>>();
        assert_eq!(parts(0, 8), [(100, 3), (300, 5)]);
        assert_eq!(parts(1, 3), [(101, 2), (300, 1)]);
        assert_eq!(parts(3, 100), [(300, 5)]);
        assert_eq!(parts(8, 1), []);
        assert_eq!((segments.piece(6, 100), segments.piece(9, 100)), (2, 0));
    }
}
