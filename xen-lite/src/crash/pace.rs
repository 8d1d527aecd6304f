//! How often a domain's end is explained at length: one that dies as soon as it starts would fill the log, and the port's
//! time. The line for machines is never left out.

/// Explanations that a domain has from the start, and at most.
pub const BURST: u64 = 8;
/// One more after each such time.
pub const PERIOD_NS: u64 = 1_000_000_000;

/// What a domain has left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    left: u64,
    /// Time that has not earned one yet begins here.
    since: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self::new()
    }
}

impl Pace {
    /// All of them.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            left: BURST,
            since: 0,
        }
    }

    /// Whether an end at `now`, in nanoseconds since boot, is explained.
    pub const fn take(&mut self, now: u64) -> bool {
        let earned = now.saturating_sub(self.since) / PERIOD_NS;
        self.since = self.since.saturating_add(earned.saturating_mul(PERIOD_NS));
        self.left = self.left.saturating_add(earned);
        if self.left > BURST {
            self.left = BURST;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn who_dies_all_the_time_is_explained_once_in_a_while() {
        let mut pace = Pace::new();
        let explained = (0..10_000).filter(|ms| pace.take(ms * 1_000_000)).count() as u64;
        assert_eq!(explained, BURST + 9);
    }

    #[test]
    fn who_dies_seldom_is_always_explained() {
        let mut pace = Pace::new();
        assert!((0..100).all(|n| pace.take(n * PERIOD_NS)));
    }

    proptest! {
        #[test]
        fn no_time_is_earned_twice(times in proptest::collection::vec(0..100 * PERIOD_NS, 0..400)) {
            let mut times = times;
            times.sort_unstable();
            let mut pace = Pace::new();
            let explained = times.iter().filter(|now| pace.take(**now)).count() as u64;
            prop_assert!(explained <= BURST + times.last().unwrap_or(&0) / PERIOD_NS);
            prop_assert!(explained >= BURST.min(times.len() as u64));
        }
    }
}
