//! Where lists lie that a call has copied from its caller.
//!
//! One place for all calls: a list on the stack would have to be filled with zeros each time before it is filled with what
//! it is for. A call reads no more of it than it has copied itself, so nothing of an earlier one is seen.
use abi::layout::ENTRIES;

/// Room for the longest list that is copied at once: [`abi::trap::MAX_ENTRIES`] entries of a trap table.
pub struct Staging([u64; ENTRIES]);

const _: () = assert!(abi::trap::MAX_ENTRIES as usize * size_of::<abi::trap::TrapInfo>() <= ENTRIES * 8);

impl Staging {
    /// Nothing was copied yet.
    pub const EMPTY: Self = Self([0; ENTRIES]);

    /// The place for a list of so many words; none that is longer than all of it.
    #[inline]
    pub(super) fn words(&mut self, count: usize) -> Option<&mut [u64]> {
        self.0.get_mut(..count)
    }

    /// The elements of `N` words of a list of `count` that was copied.
    #[inline(always)]
    pub(super) fn elements<const N: usize>(&self, count: usize) -> &[[u64; N]] {
        self.0.as_chunks().0.get(..count).unwrap_or_default()
    }

    /// One of them; 0 behind the last.
    #[inline(always)]
    pub(super) fn element<const N: usize>(&self, index: usize) -> [u64; N] {
        self.0.as_chunks().0.get(index).copied().unwrap_or([0; N])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_where_they_were_put_and_no_further() {
        let mut staging = Staging::EMPTY;
        let words = staging.words(6).unwrap();
        words.copy_from_slice(&[1, 2, 3, 4, 5, 6]);
        assert_eq!(staging.element(1), [4, 5, 6]);
        assert_eq!(staging.elements::<2>(2), [[1, 2], [3, 4]]);
        assert_eq!(staging.element::<3>(171), [0; 3]);
        assert_eq!(staging.elements::<2>(257), [[0; 2]; 0]);
        assert!(staging.words(513).is_none());
    }
}
