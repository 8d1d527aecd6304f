//! What a domain has had of the CPU, in virtual time.
//!
//! Borrowed virtual time (Duda and Cheriton, SOSP 1999; section 3.3.1 of the Xen paper). A domain's *actual* virtual time
//! grows with the time that it is charged, the slower the greater its weight; it never goes back. Who has the least
//! *effective* virtual time is next. The two differ for a domain that has just woken: it is *warped*, that is, taken to be
//! [`WARP_NS`] of its own running earlier than it is. So it borrows: it is served sooner, is charged as always, and waits
//! the longer afterwards.
//!
//! Invariants:
//! 1. The actual virtual time grows by exactly what is charged, and by [`Account::catch_up`]. So over any interval a
//!    domain gets no more than another one that always wants the CPU, in proportion to their weights, but for a constant.
//! 2. In each period of [`WARP_PERIOD_NS`] a domain runs warped for at most [`WARP_LIMIT_NS`], however often it wakes.
//! 3. Nothing overflows: 2^64 ns, which are 584 years, at weight 1 are 2^104 units.

/// How far a domain that wakes is put ahead, in nanoseconds of its running.
pub const WARP_NS: u64 = 2_000_000;
/// How long it may run so: the paper's warp time limit.
pub const WARP_LIMIT_NS: u64 = 500_000;
/// In each such time: what the paper's unwarp time requirement is for.
pub const WARP_PERIOD_NS: u64 = 10_000_000;
/// Times shorter than this are not worth another interrupt.
pub const SLOP_NS: u64 = 10_000;

/// Virtual time of one nanosecond at weight 1. The rate of the greatest weight is rounded by less than 2^-24 of it.
const UNIT: u64 = 1 << 40;

/// A point in virtual time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct VirtualTime(u128);

impl VirtualTime {
    /// When the machine starts: late enough that a warp never reaches below 0.
    pub const START: Self = Self(WARP_NS as u128 * UNIT as u128);
}

/// One domain's account.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    /// How fast virtual time passes while the domain is charged.
    rate: u64,
    actual: VirtualTime,
    spent_ns: u64,
    /// What was done for it while it had nothing to do.
    owed_ns: u64,
    is_warped: bool,
    /// When the current period of warps began.
    warp_since: u64,
    /// What the domain has run warped in it.
    warp_spent_ns: u64,
}

impl Account {
    /// For a domain that has run nothing. A weight of 0 counts as 1.
    #[must_use]
    pub const fn new(weight: u16) -> Self {
        let weight = if weight == 0 { 1 } else { weight as u64 };
        Self {
            rate: (UNIT + weight / 2) / weight,
            actual: VirtualTime::START,
            spent_ns: 0,
            owed_ns: 0,
            is_warped: false,
            warp_since: 0,
            warp_spent_ns: 0,
        }
    }

    /// What it has been charged since it was made.
    #[must_use]
    pub const fn spent_ns(&self) -> u64 {
        self.spent_ns.saturating_add(self.owed_ns)
    }

    /// The actual virtual time.
    #[must_use]
    pub const fn actual(&self) -> VirtualTime {
        self.actual
    }

    /// The effective virtual time.
    #[must_use]
    #[inline(always)]
    pub const fn effective(&self) -> VirtualTime {
        let VirtualTime(actual) = self.actual;
        if self.is_warped {
            VirtualTime(actual.saturating_sub(self.virtual_time_of(WARP_NS)))
        } else {
            self.actual
        }
    }

    const fn virtual_time_of(&self, ns: u64) -> u128 {
        ns as u128 * self.rate as u128
    }

    /// How long it takes that so much virtual time passes; `u64::MAX` if longer.
    #[inline(always)]
    fn time_of(&self, virtual_time: u128) -> u64 {
        // Nearly always it is short, and one instruction divides it.
        match u64::try_from(virtual_time) {
            Ok(short) => short.checked_div(self.rate).unwrap_or(u64::MAX),
            Err(_) => self.long_time_of(virtual_time),
        }
    }

    #[inline(never)]
    fn long_time_of(&self, virtual_time: u128) -> u64 {
        let time = virtual_time.checked_div(u128::from(self.rate));
        time.and_then(|time| u64::try_from(time).ok()).unwrap_or(u64::MAX)
    }

    /// Charges time.
    #[inline(always)]
    pub const fn spend(&mut self, ns: u64) {
        let VirtualTime(actual) = self.actual;
        // By the third invariant neither wraps.
        self.actual = VirtualTime(actual.wrapping_add(self.virtual_time_of(ns)));
        self.spent_ns = self.spent_ns.wrapping_add(ns);
        if self.is_warped {
            self.warp_spent_ns = self.warp_spent_ns.saturating_add(ns);
            self.is_warped = self.warp_left_ns() > 0;
        }
    }

    /// Charges time while the domain has nothing to do: it counts from when it has. (As part of the time that it is behind by
    /// then, it would cost it nothing.)
    pub const fn owe(&mut self, ns: u64) {
        self.owed_ns = self.owed_ns.saturating_add(ns);
    }

    const fn warp_left_ns(&self) -> u64 {
        let left = WARP_LIMIT_NS.saturating_sub(self.warp_spent_ns);
        if left < SLOP_NS { 0 } else { left }
    }

    /// The domain has something to do again: while it had not, it earned nothing.
    pub fn catch_up(&mut self, scheduler_time: VirtualTime) {
        self.actual = self.actual.max(scheduler_time);
        let owed = core::mem::take(&mut self.owed_ns);
        self.spend(owed);
    }

    /// The domain has woken: it is put ahead, unless it has used that up.
    pub const fn warp(&mut self, now: u64) {
        if now.saturating_sub(self.warp_since) >= WARP_PERIOD_NS {
            self.warp_since = now;
            self.warp_spent_ns = 0;
        }
        self.is_warped = self.warp_left_ns() > 0;
    }

    /// Ends a warp.
    pub const fn unwarp(&mut self) {
        self.is_warped = false;
    }

    /// How long the domain can run until it is `lead_ns` of its running beyond `rival`, or its warp ends.
    #[must_use]
    #[inline(always)]
    pub fn time_until(&self, rival: VirtualTime, lead_ns: u64) -> u64 {
        let (VirtualTime(rival), VirtualTime(own)) = (rival, self.effective());
        let ahead = rival.wrapping_add(self.virtual_time_of(lead_ns));
        let left = self.time_of(ahead.saturating_sub(own));
        if self.is_warped {
            left.min(self.warp_left_ns())
        } else {
            left
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;
    const YEAR: u64 = 365 * 24 * 3_600_000 * MS;

    #[test]
    fn virtual_time_passes_in_inverse_proportion_to_the_weight() {
        let spend = |weight, ns| {
            let mut account = Account::new(weight);
            account.spend(ns);
            account.actual()
        };
        assert_eq!(spend(256, 256 * MS), spend(1, MS));
        assert_eq!(spend(0, MS), spend(1, MS), "there is no weight 0");
        assert!(spend(3, 3 * MS) < spend(2, 3 * MS));
    }

    #[test]
    fn a_warped_account_is_ahead_until_the_limit() {
        let mut account = Account::new(256);
        account.warp(0);
        assert!(account.effective() < account.actual());
        account.spend(WARP_LIMIT_NS / 2);
        assert!(account.effective() < account.actual());
        account.spend(WARP_LIMIT_NS / 2);
        assert_eq!(account.effective(), account.actual());
    }

    #[test]
    fn waking_often_does_not_warp_for_longer() {
        let mut account = Account::new(256);
        let (mut now, mut warped_ns) = (0, 0);
        while now < 100 * WARP_PERIOD_NS {
            account.warp(now);
            if account.effective() < account.actual() {
                warped_ns += 20_000;
            }
            account.spend(20_000);
            account.unwarp();
            now += 21_000;
        }
        assert!(warped_ns <= 101 * (WARP_LIMIT_NS + 20_000), "{warped_ns}");
        assert!(warped_ns >= 90 * (WARP_LIMIT_NS - 20_000), "{warped_ns}");
    }

    #[test]
    fn catching_up_never_goes_back() {
        let (mut late, mut early) = (Account::new(1), Account::new(1));
        late.spend(MS);
        early.catch_up(late.actual());
        assert_eq!(early.actual(), late.actual());
        late.catch_up(VirtualTime::START);
        assert_eq!(early.actual(), late.actual());
    }

    #[test]
    fn what_is_owed_counts_on_top_of_what_was_slept() {
        let (mut sleeper, mut other) = (Account::new(256), Account::new(256));
        other.spend(MS);
        sleeper.owe(300);
        assert_eq!((sleeper.actual(), sleeper.spent_ns()), (VirtualTime::START, 300));
        sleeper.catch_up(other.actual());
        other.spend(300);
        assert_eq!((sleeper.actual(), sleeper.spent_ns()), (other.actual(), 300));
        sleeper.catch_up(other.actual());
        assert_eq!(sleeper.actual(), other.actual(), "once");
    }

    #[test]
    fn the_time_until_a_rival_is_due_counts_in_ones_own_running() {
        let (mut own, mut rival) = (Account::new(512), Account::new(256));
        rival.spend(MS);
        assert_eq!(own.time_until(rival.actual(), 0), 2 * MS);
        assert_eq!(own.time_until(rival.actual(), MS), 3 * MS);
        own.spend(5 * MS);
        assert_eq!(own.time_until(rival.actual(), MS), 0);
        own.warp(0);
        assert_eq!(
            own.time_until(rival.actual(), 0),
            0,
            "ahead by less than it is late"
        );
        assert_eq!(
            own.time_until(rival.actual(), 4 * MS),
            WARP_LIMIT_NS,
            "then the warp ends"
        );
    }

    #[test]
    fn five_centuries_at_the_least_weight_do_not_overflow() {
        let (mut light, mut heavy) = (Account::new(1), Account::new(u16::MAX));
        for _ in 0..500 {
            let before = (light.actual(), heavy.actual());
            light.spend(YEAR);
            heavy.spend(YEAR);
            assert!(before.0 < light.actual() && before.1 < heavy.actual());
        }
        let late = light.actual();
        light.spend(1);
        assert!(late < light.actual(), "a nanosecond still counts");
        let late = heavy.actual();
        heavy.spend(1);
        assert!(late < heavy.actual());
        // What the light one is ahead, the heavy one may run: longer than a u64 of nanoseconds.
        assert_eq!(heavy.time_until(light.actual(), 0), u64::MAX);
        assert_eq!(light.spent_ns(), 500 * YEAR + 1);
    }

    proptest! {
        #[test]
        fn charges_in_parts_add_up(weight in 1u16.., parts in proptest::collection::vec(0u64..1 << 40, 0..50)) {
            let (mut parted, mut whole) = (Account::new(weight), Account::new(weight));
            for part in &parts {
                parted.spend(*part);
            }
            whole.spend(parts.iter().sum());
            prop_assert_eq!(parted.actual(), whole.actual());
            prop_assert_eq!(parted.spent_ns(), whole.spent_ns());
        }

        #[test]
        fn after_the_time_until_a_rival_is_due_it_is(weight in 1u16.., lead in 0u64..1 << 40, behind in 0u64..1 << 40) {
            let (mut own, mut rival) = (Account::new(weight), Account::new(256));
            rival.spend(behind);
            own.spend(own.time_until(rival.actual(), lead));
            prop_assert_eq!(own.time_until(rival.actual(), lead), 0);
        }
    }
}
