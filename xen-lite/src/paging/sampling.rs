//! An audit reads all tables twice, which is too long for every turn of a machine that is to do something else too.

/// Says at which turns there is an audit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sampling {
    every: u32,
    left: u32,
}

impl Sampling {
    /// At every `every`th turn; 0: at none.
    #[must_use]
    pub const fn new(every: u32) -> Self {
        Self { every, left: every }
    }

    /// Counts a turn, and says whether it is one of them.
    #[must_use]
    #[inline]
    pub const fn is_due(&mut self) -> bool {
        match self.left {
            0 => false,
            1 => {
                self.left = self.every;
                true
            }
            left => {
                self.left = left.saturating_sub(1);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(every: u32) -> Vec<usize> {
        let mut sampling = Sampling::new(every);
        (1..=10).filter(|_| sampling.is_due()).collect()
    }

    #[test]
    fn every_so_manieth_turn_is_audited() {
        assert_eq!(due(3), [3, 6, 9]);
        assert_eq!(due(1), (1..=10).collect::<Vec<_>>());
    }

    #[test]
    fn with_0_none_is() {
        assert_eq!(due(0), [0; 0]);
    }
}
