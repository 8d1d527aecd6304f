//! Signals that were posted and not yet delivered.
use crate::signal::{Info, Signal, SignalSet};
use alloc::vec::Vec;

/// Most signals of one process that are pending; real-time ones beyond are lost, others keep their place.
const MOST: usize = 64;

/// Pending signals, the oldest first.
#[derive(Clone, Debug)]
pub struct Pending {
    infos: Vec<Info>,
    set: SignalSet,
}

impl Default for Pending {
    fn default() -> Self {
        Self::new()
    }
}

impl Pending {
    /// None. All the memory that it will ever need is allocated now, so that a signal can always be posted.
    #[must_use]
    pub fn new() -> Self {
        Self {
            infos: Vec::with_capacity(MOST),
            set: SignalSet::EMPTY,
        }
    }

    /// Which signals are pending.
    #[must_use]
    pub const fn set(&self) -> SignalSet {
        self.set
    }

    /// Adds one. Of those that are not queued a second one is dropped.
    pub fn add(&mut self, info: Info) {
        let queued = info.signal.is_queued();
        // There are 31 signals that are not queued: for them there is always room.
        if self.set.has(info.signal) && (!queued || self.infos.len() >= MOST - 32) {
            return;
        }
        if self.infos.len() < MOST {
            self.infos.push(info);
            self.set = self.set.with(info.signal);
        }
    }

    /// Takes out the one that is delivered first of those in `wanted`.
    pub fn take(&mut self, wanted: SignalSet) -> Option<Info> {
        let masked = SignalSet::from_bits(self.set.bits() & wanted.bits());
        let signal = masked.first()?;
        let at = self.infos.iter().position(|info| info.signal == signal)?;
        let info = self.infos.remove(at);
        self.recount();
        Some(info)
    }

    /// Drops all of `unwanted`.
    pub fn drop_all(&mut self, unwanted: SignalSet) {
        self.infos.retain(|info| !unwanted.has(info.signal));
        self.recount();
    }

    fn recount(&mut self) {
        let signals = self.infos.iter().map(|info| info.signal);
        self.set = signals.fold(SignalSet::EMPTY, SignalSet::with);
    }

    /// Drops one signal.
    pub fn drop_signal(&mut self, signal: Signal) {
        self.drop_all(SignalSet::EMPTY.with(signal));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(number: u64) -> Info {
        Info::from_kernel(Signal::new(number).unwrap())
    }

    #[test]
    fn ordinary_signals_are_pending_once_and_real_time_ones_are_queued() {
        let mut pending = Pending::default();
        for number in [2, 2, 40, 40] {
            pending.add(info(number));
        }
        let all = SignalSet::from_bits(u64::MAX);
        let taken: Vec<u8> = core::iter::from_fn(|| pending.take(all))
            .map(|info| info.signal.number())
            .collect();
        assert_eq!(taken, [2, 40, 40]);
        assert!(pending.set().is_empty());
    }

    #[test]
    fn what_is_not_wanted_stays() {
        let mut pending = Pending::default();
        pending.add(info(2));
        pending.add(info(15));
        let wanted = SignalSet::EMPTY.with(Signal::new(15).unwrap());
        assert_eq!(pending.take(wanted), Some(info(15)));
        assert_eq!(pending.take(wanted), None);
        assert!(pending.set().has(Signal::INTERRUPT));
    }

    #[test]
    fn a_flood_of_real_time_signals_leaves_room_for_the_others() {
        let mut pending = Pending::default();
        (0..1000).for_each(|_| pending.add(info(64)));
        (1..32).for_each(|number| pending.add(info(number)));
        assert!((1..32).all(|number| pending.set().has(Signal::new(number).unwrap())));
        assert!(pending.infos.len() <= MOST);
    }
}
