//! Draws lots: the same seed, the same lots, on every machine.

/// Marsaglia's xorshift64*, begun with a mixed seed so that neighbouring ones have nothing in common.
#[derive(Clone, Debug)]
pub struct Lot(u64);

/// SplitMix64's finish: each bit of the result depends on each of the word.
const fn mixed(word: u64) -> u64 {
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

impl Lot {
    /// The lots of one step of a run: they do not depend on what earlier steps have drawn.
    #[must_use]
    pub const fn new(seed: u64, step: u64) -> Self {
        let golden = 0x9e37_79b9_7f4a_7c15_u64;
        let word = mixed(mixed(seed.wrapping_add(golden)).wrapping_add(step.wrapping_mul(golden)));
        // 0 would stay 0.
        Self(if word == 0 { golden } else { word })
    }

    /// Any word.
    pub const fn word(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`; 0 where that is 0.
    pub const fn below(&mut self, limit: u64) -> u64 {
        // The low bits of a product are its worst.
        if limit == 0 {
            0
        } else {
            (self.word() >> 16) % limit
        }
    }

    /// Whether a lot of so many is drawn.
    pub const fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of these; there is at least one.
    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_step_draw_the_same() {
        let draw = |seed, step| {
            let mut lot = Lot::new(seed, step);
            [(); 4].map(|()| lot.word())
        };
        assert_eq!(draw(7, 9), draw(7, 9));
        assert_ne!(draw(7, 9), draw(7, 10));
        assert_ne!(draw(7, 9), draw(8, 9));
        assert_ne!(draw(0, 0), [0; 4]);
    }

    #[test]
    fn every_choice_is_drawn_about_as_often() {
        let mut counts = [0_u32; 7];
        for step in 0..7000 {
            counts[Lot::new(3, step).below(7) as usize] += 1;
        }
        assert!(
            counts.iter().all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
        let mut lot = Lot::new(1, 1);
        assert_eq!(lot.below(0), 0);
        assert!([4, 5].contains(&lot.of(&[4, 5])));
    }
}
