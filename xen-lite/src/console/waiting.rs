//! Keys that their domain has no room for yet. They wait here, and not in the port: the monitor's key may come behind them,
//! and a domain that reads nothing is what it is wanted for.
//!
//! 1. A domain gets its keys in their order, and none is lost.
//! 2. The keys of one domain wait at a time. While they do, another one's are taken as far as its own ring has room.
use super::ring::Ring;

/// Up to `N` keys.
#[derive(Clone, Debug, Default)]
pub struct Waiting<const N: usize> {
    keys: Ring<N>,
    /// Whose they are.
    domain: usize,
}

/// Where a key has gone.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Put {
    /// To its domain.
    There,
    /// It waits.
    Waits,
    /// Nowhere: there was no room.
    Nowhere,
}

impl<const N: usize> Waiting<N> {
    /// None waits.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            keys: Ring::new(),
            domain: 0,
        }
    }

    /// The index of the domain whose keys wait, if any do.
    #[must_use]
    pub fn whose(&self) -> Option<usize> {
        (!self.keys.is_empty()).then_some(self.domain)
    }

    /// Whether there is room for one more key for a domain, whose own ring is `own`.
    #[must_use]
    pub fn takes<const M: usize>(&self, domain: usize, own: &Ring<M>) -> bool {
        match self.whose() {
            Some(whose) if whose == domain => self.keys.room() > 0,
            Some(_) => own.room() > 0,
            None => own.room() > 0 || N > 0,
        }
    }

    /// Takes a key for a domain.
    pub fn put<const M: usize>(&mut self, domain: usize, own: &mut Ring<M>, key: u8) -> Put {
        let whose = self.whose();
        if whose != Some(domain) && own.push_byte(key) {
            return Put::There;
        }
        if whose.is_none_or(|whose| whose == domain) && self.keys.push_byte(key) {
            self.domain = domain;
            return Put::Waits;
        }
        Put::Nowhere
    }

    /// Gives the domain whose keys wait as many as it has room for; whether there were any.
    pub fn pass<const M: usize>(&mut self, own: &mut Ring<M>) -> bool {
        let before = self.keys.len();
        loop {
            let taken = own.push(self.keys.peek());
            self.keys.consume(taken);
            if taken == 0 {
                return self.keys.len() < before;
            }
        }
    }

    /// The domain whose keys wait reads no more: they go nowhere.
    pub const fn forget(&mut self) {
        self.keys.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read<const M: usize>(own: &mut Ring<M>, count: usize) -> Vec<u8> {
        let mut keys = vec![0; count];
        let given = own.pop(&mut keys);
        keys.truncate(given);
        keys
    }

    #[test]
    fn keys_wait_where_their_domain_has_no_room() {
        let (mut waiting, mut own) = (Waiting::<3>::new(), Ring::<2>::new());
        let put: Vec<Put> = b"abcdef".map(|key| waiting.put(7, &mut own, key)).to_vec();
        let (there, waits) = (Put::There, Put::Waits);
        assert_eq!(put, [there, there, waits, waits, waits, Put::Nowhere]);
        assert!(!waiting.takes(7, &own));
        assert_eq!(read(&mut own, 1), b"a");
        assert_eq!(
            waiting.put(7, &mut own, b'!'),
            Put::Nowhere,
            "none passes another"
        );
        assert!(waiting.pass(&mut own));
        assert_eq!(read(&mut own, 9), b"bc");
        assert!(waiting.pass(&mut own) && !waiting.pass(&mut own));
        assert_eq!((read(&mut own, 9), waiting.whose()), (b"de".to_vec(), None));
    }

    #[test]
    fn another_domain_gets_its_keys_as_far_as_it_has_room() {
        let (mut waiting, mut full, mut own) = (Waiting::<3>::new(), Ring::<0>::new(), Ring::<1>::new());
        assert_eq!(waiting.put(0, &mut full, b'a'), Put::Waits);
        assert!(waiting.takes(1, &own));
        assert_eq!(waiting.put(1, &mut own, b'b'), Put::There);
        assert!(!waiting.takes(1, &own));
        assert_eq!(waiting.put(1, &mut own, b'c'), Put::Nowhere);
        assert_eq!(waiting.whose(), Some(0));
        waiting.forget();
        assert_eq!(waiting.put(1, &mut own, b'c'), Put::Waits);
    }

    proptest! {
        #[test]
        fn each_domain_gets_its_keys_in_order_and_what_is_taken_is_foretold(
            steps in prop::collection::vec((0_usize..2, 0_usize..4), 0..200),
        ) {
            let (mut waiting, mut own) = (Waiting::<4>::new(), [Ring::<3>::new(), Ring::new()]);
            let (mut typed, mut got) = ([vec![], vec![]], [vec![], vec![]]);
            let mut next = 0_u8;
            for (domain, count) in steps {
                if let Some(whose) = waiting.whose() {
                    waiting.pass(&mut own[whose]);
                }
                for _ in 0..count {
                    let takes = waiting.takes(domain, &own[domain]);
                    let put = waiting.put(domain, &mut own[domain], next);
                    prop_assert_eq!(takes, put != Put::Nowhere);
                    if takes {
                        typed[domain].push(next);
                    }
                    next = next.wrapping_add(1);
                }
                let reader = count % 2;
                got[reader].extend(read(&mut own[reader], count));
            }
            while let Some(whose) = waiting.whose() {
                got[whose].extend(read(&mut own[whose], 9));
                waiting.pass(&mut own[whose]);
            }
            for (own, got) in own.iter_mut().zip(&mut got) {
                got.extend(read(own, 9));
            }
            prop_assert_eq!(typed, got);
        }
    }
}
