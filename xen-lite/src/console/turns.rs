//! Who is heard next: start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996) of what domains say and of what is said
//! of them.
//!
//! 1. Of those that wait, the one is next of whom least has been heard, in bytes. So over any time that several of them
//!    wait, each is heard as much as any other but for a turn of each, however long the turns are: a record of a kill is a
//!    long one, and who dies again and again does not talk everybody else down.
//! 2. Who has had nothing to say has no claim for that: he begins where those are that wait.
//! 3. Who cannot have a turn now (the port for machines has no room for it) does not fall behind those that have one.
use abi::boot_image::MAX_DOMAINS;

/// How much has been heard of whom. Bytes that are counted for 2^64 do not come together in a lifetime.
#[derive(Clone, Debug)]
pub struct Turns {
    /// The byte of a domain at which its next turn begins, at least.
    due: [u64; MAX_DOMAINS],
    /// Where the one begins, of those that wait, whose turn begins first.
    time: u64,
}

impl Default for Turns {
    fn default() -> Self {
        Self::new()
    }
}

impl Turns {
    /// Nobody has been heard.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            due: [0; MAX_DOMAINS],
            time: 0,
        }
    }

    fn begin(&self, domain: usize) -> u64 {
        self.due.get(domain).map_or(self.time, |due| self.time.max(*due))
    }

    /// Whose turn it is of all that wait, among those that can have one.
    pub fn next(
        &mut self,
        waiting: impl Iterator<Item = usize>,
        is_able: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let (mut least, mut next) = (None, None);
        for domain in waiting {
            let begin = self.begin(domain);
            if least.is_none_or(|least| begin < least) {
                least = Some(begin);
            }
            if is_able(domain) && next.is_none_or(|(before, _)| begin < before) {
                next = Some((begin, domain));
            }
        }
        self.time = least.unwrap_or(self.time);
        next.map(|(_, domain)| domain)
    }

    /// So much has been heard of a domain in its turn.
    pub fn heard(&mut self, domain: usize, bytes: u64) {
        let due = self.begin(domain).saturating_add(bytes);
        if let Some(slot) = self.due.get_mut(domain) {
            *slot = due;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What has been heard of each after so many turns, of the lengths that they have.
    fn after(turns: &mut Turns, count: usize, lengths: &[u64]) -> Vec<u64> {
        let mut heard = vec![0; lengths.len()];
        for _ in 0..count {
            let domain = turns.next(0..lengths.len(), |_| true).unwrap();
            turns.heard(domain, lengths[domain]);
            heard[domain] += lengths[domain];
        }
        heard
    }

    #[test]
    fn long_turns_are_rare_ones() {
        let heard = after(&mut Turns::new(), 1300, &[1_000, 12_000]);
        assert_eq!(heard, [1_200_000, 1_200_000]);
    }

    #[test]
    fn silence_is_no_claim() {
        let mut turns = Turns::new();
        for _ in 0..1000 {
            assert_eq!(turns.next([1].into_iter(), |_| true), Some(1));
            turns.heard(1, 1_000);
        }
        let heard = after(&mut turns, 100, &[1_000, 1_000]);
        assert!(heard[1] >= 49_000, "{heard:?}");
    }

    #[test]
    fn who_has_to_wait_for_the_other_port_is_next_when_it_has_room() {
        let mut turns = Turns::new();
        turns.heard(0, 500);
        turns.heard(1, 400);
        for _ in 0..100 {
            assert_eq!(turns.next(0..3, |domain| domain == 2), Some(2));
            turns.heard(2, 1_000);
        }
        assert_eq!(turns.next(0..3, |_| true), Some(1));
    }

    #[test]
    fn nobody_waits() {
        assert_eq!(Turns::new().next(0..0, |_| true), None);
        assert_eq!(Turns::new().next(0..9, |_| false), None);
        assert_eq!(
            Turns::new().next([usize::MAX].into_iter(), |_| true),
            Some(usize::MAX)
        );
    }

    proptest! {
        #[test]
        fn those_that_always_wait_are_never_more_than_a_turn_of_each_apart(
            lengths in prop::collection::vec(1_u64..13_000, 2..6),
            others in prop::collection::vec((0_usize..3, 0_u64..13_000), 0..300),
        ) {
            // The first ones always wait; three more come and go, and some cannot have their turn.
            let always = lengths.len();
            let mut turns = Turns::new();
            let mut heard = vec![0_u64; always];
            for (other, length) in others {
                let waiting = (0..always).chain(length.is_multiple_of(2).then_some(always + other));
                let domain = turns.next(waiting, |domain| domain < always || length.is_multiple_of(3));
                let domain = domain.unwrap();
                let bytes = lengths.get(domain).copied().unwrap_or(length);
                turns.heard(domain, bytes);
                if let Some(heard) = heard.get_mut(domain) {
                    *heard += bytes;
                }
                for (one, other) in (0..always).flat_map(|one| (0..one).map(move |other| (one, other))) {
                    prop_assert!(heard[one].abs_diff(heard[other]) <= lengths[one] + lengths[other]);
                }
            }
        }
    }
}
