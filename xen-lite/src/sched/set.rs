//! Sets of domains.
use abi::boot_image::MAX_DOMAINS;

/// Domains by their indices, in ascending order.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Set(u128);

const _: () = assert!(MAX_DOMAINS <= u128::BITS as usize);

impl Set {
    /// None.
    pub const EMPTY: Self = Self(0);

    /// Puts a domain in, or out. Those from [`MAX_DOMAINS`] on are ignored.
    #[inline(always)]
    pub const fn put(&mut self, domain: usize, is_in: bool) {
        if domain < MAX_DOMAINS {
            let bit = 1 << domain;
            self.0 = if is_in { self.0 | bit } else { self.0 & !bit };
        }
    }

    /// Whether it has no members.
    #[must_use]
    #[inline(always)]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its members, if there are two at most.
    pub fn few(mut self) -> Option<[Option<usize>; 2]> {
        let few = [self.next(), self.next()];
        self.is_empty().then_some(few)
    }
}

impl Iterator for Set {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let first = self.0.trailing_zeros() as usize;
        self.0 &= self.0.wrapping_sub(1);
        (first < MAX_DOMAINS).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_is_in_once_and_what_is_put_out_is_not() {
        let mut set = Set::EMPTY;
        for domain in [MAX_DOMAINS - 1, 3, 0, 3, 64, MAX_DOMAINS, usize::MAX] {
            set.put(domain, true);
        }
        set.put(64, false);
        assert_eq!(set.collect::<Vec<_>>(), [0, 3, MAX_DOMAINS - 1]);
        assert_eq!((set.few(), set.is_empty()), (None, false));
        set.put(0, false);
        assert_eq!(set.few(), Some([Some(3), Some(MAX_DOMAINS - 1)]));
        assert_eq!(Set::EMPTY.few(), Some([None, None]));
    }
}
