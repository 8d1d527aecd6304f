//! Whose turn it is: of the domains that have something to do, the one with the least effective virtual time.
//!
//! Building a domain and taking one apart is work like any other, in steps and under that domain's account. All time from
//! one decision to the next is charged to the domain that had the turn: what its guest ran, what the hypervisor did in
//! its hypercalls, faults, crash records and steps, and the decision that its leaving made necessary. Time in which nobody
//! had anything to do is nobody's.
//!
//! Invariants:
//! 1. Scheduler time is the least actual virtual time of the domains that have something to do, and never goes back.
//!    Whoever gets something to do starts no earlier.
//! 2. The domain that has the turn keeps it until it is [`ALLOWANCE_NS`] beyond the next one (the paper's context switch
//!    allowance); or until it is level, if the next one has just woken; but for [`LEAST_NS`] in any case. One that yields
//!    keeps it only if it is still the first by virtual time.
//! 3. Equal virtual times are ordered by who has just woken, then by who has waited longer: the same calls give the same
//!    turns.
use super::account::{Account, SLOP_NS, VirtualTime};
use super::set::Set;
use abi::boot_image::MAX_DOMAINS;
use abi::sched::WAKE_DEFAULT;

/// How far a domain that runs may get ahead of those that wait, in nanoseconds of its running.
pub const ALLOWANCE_NS: u64 = 1_000_000;
/// How long a turn is at least, for a domain that wants it.
pub const LEAST_NS: u64 = 100_000;
/// How long it is at most: then the console's keys are looked at.
pub const LONGEST_NS: u64 = 10_000_000;

/// What a domain is doing. Times are nanoseconds since boot.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum State {
    /// There is no such domain.
    #[default]
    Absent,
    /// It waits to be built anew.
    Waiting {
        /// Not before.
        until: u64,
    },
    /// It is being built.
    Building,
    /// It runs or could run.
    Runnable,
    /// It sleeps.
    Blocked {
        /// Until then at the latest.
        deadline: Option<u64>,
        /// Or until one of these conditions holds; not 0.
        mask: u64,
    },
    /// It is to be built or taken apart, and waits for a port to have room for what is said of it.
    Held,
    /// It is being taken apart.
    Dying,
    /// It has ended, and nothing of it is left.
    Dead,
}

impl State {
    /// The state after `sched_op block(timeout_ns, wake_mask)` while none of the conditions holds.
    #[must_use]
    pub const fn blocked(now: u64, timeout_ns: u64, wake_mask: u64) -> Self {
        let deadline = match timeout_ns {
            0 => None,
            timeout_ns => Some(now.saturating_add(timeout_ns)),
        };
        Self::Blocked {
            deadline,
            mask: effective_mask(wake_mask),
        }
    }

    const fn deadline(self) -> Option<u64> {
        match self {
            Self::Waiting { until } => Some(until),
            Self::Blocked { deadline, .. } => deadline,
            _ => None,
        }
    }
}

/// What a wake mask means: 0 is console input or an event.
#[must_use]
pub const fn effective_mask(wake_mask: u64) -> u64 {
    if wake_mask == 0 { WAKE_DEFAULT } else { wake_mask }
}

/// What a turn is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// One step of building.
    Build,
    /// A time slice.
    Run,
    /// One step of taking apart.
    TakeApart,
}

/// A turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turn {
    /// Whose.
    pub domain: usize,
    /// What for.
    pub work: Work,
    /// For how long, if it runs: then the next turn is due.
    pub slice_ns: u64,
}

impl Turn {
    /// The slice, cut for one-shot timers: the domain's own, and the earliest of all others', in nanoseconds since boot. A
    /// domain may cut its own turn as short as it likes. Others' interrupts are at its expense: however many timers they
    /// have, it is interrupted for them no more often than each [`LEAST_NS`].
    #[must_use]
    pub fn slice_before(&self, now: u64, own: Option<u64>, others: Option<u64>) -> u64 {
        let left = |timer: Option<u64>| timer.map_or(u64::MAX, |timer| timer.saturating_sub(now));
        self.slice_ns.min(left(own)).min(left(others).max(LEAST_NS))
    }
}

/// What is kept of a domain.
#[derive(Clone, Copy, Debug)]
struct Slot {
    state: State,
    /// A person has paused it: it does not run. Whatever else happens to it goes on.
    is_paused: bool,
    account: Account,
    /// What its next turn is for; `None`: it needs none.
    work: Option<Work>,
    /// It has got something to do since the last decision: its account has to catch up.
    joins: bool,
    /// It woke, and has not run since.
    is_fresh: bool,
    /// The number of its last turn.
    last_turn: u64,
}

impl Slot {
    const ABSENT: Self = Self {
        state: State::Absent,
        is_paused: false,
        account: Account::new(1),
        work: None,
        joins: false,
        is_fresh: false,
        last_turn: 0,
    };

    /// What its next turn is for, by its state.
    const fn work_by_state(&self) -> Option<Work> {
        match self.state {
            State::Building => Some(Work::Build),
            State::Runnable if self.is_paused => None,
            State::Runnable => Some(Work::Run),
            State::Dying => Some(Work::TakeApart),
            State::Absent | State::Waiting { .. } | State::Blocked { .. } | State::Held | State::Dead => None,
        }
    }

    #[inline(always)]
    const fn has_work(&self) -> bool {
        self.work.is_some()
    }

    /// A warp is for running. It ends when what was run warped has been charged as such.
    fn end_warp_unless_running(&mut self) {
        if self.state != State::Runnable {
            self.account.unwarp();
        }
    }

    /// Among equal virtual times the least is first.
    const fn rank(&self) -> (bool, u64) {
        (!self.is_fresh, self.last_turn)
    }
}

/// Who has the turn.
#[derive(Clone, Copy, Debug)]
struct Current {
    domain: usize,
    /// Since when.
    since: u64,
    /// Until when it is charged already.
    charged_to: u64,
    /// It asked to let others run.
    yields: bool,
}

impl Current {
    const fn since(domain: usize, now: u64) -> Self {
        Self {
            domain,
            since: now,
            charged_to: now,
            yields: false,
        }
    }
}

/// One that has something to do.
#[derive(Clone, Copy)]
struct Contender<'a> {
    domain: usize,
    work: Work,
    slot: &'a Slot,
    /// Its effective virtual time.
    time: VirtualTime,
}

/// All domains' states and accounts.
#[derive(Clone, Debug)]
pub struct Scheduler {
    slots: [Slot; MAX_DOMAINS],
    /// Slots from here on are absent.
    count: usize,
    /// Those that have something to do.
    ready: Set,
    /// The same, if they are two at most; else nobody.
    few: [Option<usize>; 2],
    /// Those that are held.
    held: Set,
    /// Whether some of those that have something to do have yet to join.
    any_joins: bool,
    /// No deadline is earlier; `u64::MAX` for none.
    soonest: u64,
    current: Option<Current>,
    /// The least actual virtual time of those that have something to do, when the last of them joined or left.
    time: VirtualTime,
    turns: u64,
}

impl Default for Scheduler {
    fn default() -> Self {
        Self::new()
    }
}

impl Scheduler {
    /// No domains.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            slots: [Slot::ABSENT; MAX_DOMAINS],
            count: 0,
            ready: Set::EMPTY,
            few: [None; 2],
            held: Set::EMPTY,
            any_joins: false,
            soonest: u64::MAX,
            current: None,
            time: VirtualTime::START,
            turns: 0,
        }
    }

    fn slots(&self) -> &[Slot] {
        self.slots.get(..self.count).unwrap_or_default()
    }

    fn slots_mut(&mut self) -> &mut [Slot] {
        self.slots.get_mut(..self.count).unwrap_or_default()
    }

    /// Makes a domain known, with its weight; the others' accounts are not touched. Domains from [`MAX_DOMAINS`] on are
    /// ignored.
    pub fn add(&mut self, domain: usize, weight: u16, state: State) {
        if let Some(slot) = self.slots.get_mut(domain) {
            let account = Account::new(weight);
            *slot = Slot {
                account,
                ..Slot::ABSENT
            };
            self.count = self.count.max(domain + 1);
            self.set(domain, state);
        }
    }

    /// What a domain is doing.
    #[must_use]
    pub fn state(&self, domain: usize) -> State {
        self.slots()
            .get(domain)
            .map(|slot| slot.state)
            .unwrap_or_default()
    }

    /// Whether a time has come for [`Self::expire`].
    #[must_use]
    #[inline]
    pub const fn may_expire(&self, now: u64) -> bool {
        now >= self.soonest
    }

    /// Whether somebody is held.
    #[must_use]
    #[inline]
    pub const fn holds_somebody(&self) -> bool {
        !self.held.is_empty()
    }

    /// What a domain has been charged, all its incarnations together.
    #[must_use]
    pub fn spent_ns(&self, domain: usize) -> u64 {
        self.slots().get(domain).map_or(0, |slot| slot.account.spent_ns())
    }

    /// Says what a domain is doing from now on; ignored where there is no such domain.
    pub fn set(&mut self, domain: usize, state: State) {
        let has_turn = self.current.is_some_and(|current| current.domain == domain);
        self.change(domain, |slot| {
            slot.state = state;
            slot.is_fresh = false;
            if !has_turn {
                slot.end_warp_unless_running();
            }
        });
        self.soonest = self.soonest.min(state.deadline().unwrap_or(u64::MAX));
    }

    /// Every change of what a domain has to do.
    fn change(&mut self, domain: usize, change: impl FnOnce(&mut Slot)) {
        let Some(slot) = self.slots_mut().get_mut(domain) else {
            return;
        };
        let had_work = slot.has_work();
        change(slot);
        slot.work = slot.work_by_state();
        let (has_work, state) = (slot.has_work(), slot.state);
        slot.joins |= !had_work;
        let joins = slot.joins && has_work;
        self.any_joins |= joins;
        self.ready.put(domain, has_work);
        self.few = self.ready.few().unwrap_or_default();
        self.held.put(domain, state == State::Held);
    }

    /// Whether a domain is paused.
    #[must_use]
    pub fn is_paused(&self, domain: usize) -> bool {
        self.slots().get(domain).is_some_and(|slot| slot.is_paused)
    }

    /// Gives a domain no turn to run from now on. It is built and taken apart as any other, and its waits end as they would.
    pub fn pause(&mut self, domain: usize) {
        self.change(domain, |slot| slot.is_paused = true);
    }

    /// Lets a paused domain go on.
    pub fn unpause(&mut self, domain: usize) {
        self.change(domain, |slot| slot.is_paused = false);
    }

    /// The domain that has the turn lets others run, if they are due.
    pub const fn yield_turn(&mut self) {
        if let Some(current) = &mut self.current {
            current.yields = true;
        }
    }

    /// Charges a domain for what was done for it, outside its turn, in the last `ns` nanoseconds: the domain that has the
    /// turn is not charged for them.
    pub fn charge_to(&mut self, domain: usize, ns: u64) {
        if let Some(slot) = self.slots_mut().get_mut(domain) {
            if slot.has_work() && !slot.joins {
                slot.account.spend(ns);
            } else {
                slot.account.owe(ns);
            }
            self.spare_current(ns);
        }
    }

    /// Charges those that have woken since the last decision, in equal parts, for the last `ns` nanoseconds: what it takes to
    /// wake somebody is not the affair of the one whose turn it interrupts. If nobody has, it is.
    pub fn charge_to_woken(&mut self, ns: u64) {
        if !self.any_joins {
            return;
        }
        let is_new = |slot: &Slot| slot.joins && slot.is_fresh;
        let count = self.ready().filter(|(_, slot)| is_new(slot)).count() as u64;
        let Some(part) = ns.checked_div(count) else { return };
        for domain in self.ready {
            if let Some(slot) = self.slots.get_mut(domain)
                && is_new(slot)
            {
                slot.account.owe(part);
            }
        }
        self.spare_current(ns);
    }

    /// The domain that has the turn is not charged for the last `ns` nanoseconds.
    const fn spare_current(&mut self, ns: u64) {
        if let Some(current) = &mut self.current {
            current.charged_to = current.charged_to.saturating_add(ns);
        }
    }

    /// The next turn, from now on. `None`: nobody has anything to do, and the CPU may halt until [`Self::next_deadline`].
    #[inline(always)]
    pub fn next_turn(&mut self, now: u64) -> Option<Turn> {
        self.charge(now);
        if self.any_joins || self.has_left() {
            self.admit(now);
        }
        let chosen = match self.choose_of_two(now) {
            Some(chosen) => Some(chosen),
            None => self.choose(now),
        };
        let Some((current, turn)) = chosen else {
            self.current = None;
            return None;
        };
        let turns = self.turns.wrapping_add(1);
        let slot = self.slots.get_mut(turn.domain)?;
        (slot.is_fresh, slot.last_turn) = (false, turns);
        (self.current, self.turns) = (Some(current), turns);
        Some(turn)
    }

    /// [`Self::choose`] for what is usual: nobody has something to do but the domain that had the turn, and one other at most.
    /// Who is the first need not be known then.
    #[inline(always)]
    fn choose_of_two(&self, now: u64) -> Option<(Current, Turn)> {
        let last = self.current?;
        let other = match self.few {
            [Some(one), other] | [other, Some(one)] if one == last.domain => other,
            _ => return None,
        };
        let own = self.contender(last.domain)?;
        let rival = other.and_then(|other| self.contender(other));
        debug_assert!({
            let leaders = self.leaders();
            leaders == [Some(last.domain), other] || leaders == [other, Some(last.domain)]
        });
        match rival {
            Some(rival) if !keeps(&last, own, Some(rival), now) => {
                Some(self.turn(Current::since(rival.domain, now), rival, Some(own), now))
            }
            rival => Some(self.turn(last, own, rival, now)),
        }
    }

    /// Who has the next turn.
    #[inline(never)]
    fn choose(&self, now: u64) -> Option<(Current, Turn)> {
        let [first, second] = self.leaders();
        let contender = |domain: Option<usize>| self.contender(domain?);
        let rival_of = |domain| contender(if first == Some(domain) { second } else { first });
        let Some(last) = self.current else {
            let first = contender(first)?;
            return Some(self.turn(Current::since(first.domain, now), first, contender(second), now));
        };
        let rival = rival_of(last.domain);
        if let Some(own) = self.contender(last.domain)
            && keeps(&last, own, rival, now)
        {
            return Some(self.turn(last, own, rival, now));
        }
        let next = rival?;
        Some(self.turn(Current::since(next.domain, now), next, rival_of(next.domain), now))
    }

    /// The turn of a domain whose rival is the first of the others.
    #[inline(always)]
    fn turn(
        &self,
        current: Current,
        own: Contender<'_>,
        rival: Option<Contender<'_>>,
        now: u64,
    ) -> (Current, Turn) {
        let turn = Turn {
            domain: own.domain,
            work: own.work,
            slice_ns: self.slice_ns(&current, own, rival, now),
        };
        let current = Current {
            yields: false,
            ..current
        };
        (current, turn)
    }

    /// A domain that has something to do.
    #[inline(always)]
    fn contender(&self, domain: usize) -> Option<Contender<'_>> {
        let slot = self.slots.get(domain)?;
        Some(Contender {
            domain,
            work: slot.work?,
            slot,
            time: slot.account.effective(),
        })
    }

    /// Charges the domain that has the turn.
    #[inline(always)]
    fn charge(&mut self, now: u64) {
        let Some(current) = &mut self.current else { return };
        if let Some(slot) = self.slots.get_mut(current.domain) {
            slot.account.spend(now.saturating_sub(current.charged_to));
            slot.end_warp_unless_running();
        }
        current.charged_to = current.charged_to.max(now);
    }

    /// Those that have something to do.
    #[inline(always)]
    fn ready(&self) -> impl Iterator<Item = (usize, &Slot)> {
        self.ready
            .filter_map(|domain| Some((domain, self.slots.get(domain)?)))
    }

    /// Whether the domain that had the turn has nothing to do any more.
    #[inline(always)]
    fn has_left(&self) -> bool {
        let last = self.current.and_then(|current| self.slots.get(current.domain));
        last.is_some_and(|slot| !slot.has_work())
    }

    /// Moves scheduler time on, and lets those join that have got something to do.
    #[inline(never)]
    fn admit(&mut self, now: u64) {
        let settled = self.ready().map(|(_, slot)| slot).filter(|slot| !slot.joins);
        // Who had the turn counts, even if it has nothing to do any more: it had until now.
        let last = self.current.and_then(|current| self.slots().get(current.domain));
        let least = settled.chain(last).map(|slot| slot.account.actual()).min();
        // It never goes back: all that are counted joined no earlier than it was, and only go on.
        let time = least.unwrap_or(self.time);
        self.time = time;
        for domain in self.ready {
            if let Some(slot) = self.slots.get_mut(domain)
                && slot.joins
            {
                slot.joins = false;
                slot.account.catch_up(time);
                if slot.is_fresh {
                    slot.account.warp(now);
                }
            }
        }
        self.any_joins = false;
    }

    /// The first two of those that have something to do.
    #[inline(never)]
    fn leaders(&self) -> [Option<usize>; 2] {
        let (mut first, mut second) = (None, None);
        for (domain, slot) in self.ready() {
            let time = slot.account.effective();
            if !self.is_before((time, domain), second) {
                continue;
            }
            if self.is_before((time, domain), first) {
                (first, second) = (Some((time, domain)), first);
            } else {
                second = Some((time, domain));
            }
        }
        [first, second].map(|leader| leader.map(|(_, domain)| domain))
    }

    /// Whether one that has something to do comes before another one, where there is one.
    #[inline(always)]
    fn is_before(&self, one: (VirtualTime, usize), other: Option<(VirtualTime, usize)>) -> bool {
        other.is_none_or(|other| {
            if one.0 == other.0 {
                self.ranks_before(one.1, other.1)
            } else {
                one.0 < other.0
            }
        })
    }

    #[inline(never)]
    fn ranks_before(&self, one: usize, other: usize) -> bool {
        let rank = |domain: usize| self.slots.get(domain).map(|slot| (slot.rank(), domain));
        rank(one) < rank(other)
    }

    /// For how long a domain may run.
    #[inline(always)]
    fn slice_ns(&self, current: &Current, own: Contender<'_>, rival: Option<Contender<'_>>, now: u64) -> u64 {
        let turn_left = rival.map_or(LONGEST_NS, |rival| turn_left_ns(current, own, rival, now));
        // As for timers; and a sleeper that was woken before its time may have left a deadline behind.
        let until_wake = self.soonest.saturating_sub(now).max(LEAST_NS);
        turn_left.min(until_wake).clamp(SLOP_NS, LONGEST_NS)
    }

    /// Wakes a domain if it sleeps and waits for one of these conditions; whether it did.
    pub fn wake(&mut self, domain: usize, conditions: u64) -> bool {
        match self.state(domain) {
            State::Blocked { mask, .. } if mask & conditions != 0 => {
                self.set(domain, State::Runnable);
                if let Some(slot) = self.slots_mut().get_mut(domain) {
                    slot.is_fresh = true;
                }
                true
            }
            _ => false,
        }
    }

    /// Wakes whose time has come: calls `woken` with each domain that slept and may run now.
    pub fn expire(&mut self, now: u64, mut woken: impl FnMut(usize)) {
        if now < self.soonest {
            return;
        }
        for domain in 0..self.count {
            let state = self.state(domain);
            if state.deadline().is_none_or(|deadline| deadline > now) {
                continue;
            }
            match state {
                State::Waiting { .. } => self.set(domain, State::Building),
                State::Blocked { mask, .. } => {
                    self.wake(domain, mask);
                    woken(domain);
                }
                _ => {}
            }
        }
        self.soonest = self.next_deadline().unwrap_or(u64::MAX);
    }

    /// The earliest time at which [`Self::expire`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        self.slots().iter().filter_map(|slot| slot.state.deadline()).min()
    }

    /// Whether every domain for which `counts` holds has ended. Those that wait for a restart have not.
    pub fn all_ended(&self, counts: impl Fn(usize) -> bool) -> bool {
        let ended = |slot: &Slot| matches!(slot.state, State::Absent | State::Dead);
        self.slots()
            .iter()
            .enumerate()
            .all(|(domain, slot)| ended(slot) || !counts(domain))
    }
}

/// Whether the domain that had the turn keeps it, where `rival` is the first of the others.
#[inline(always)]
fn keeps(last: &Current, own: Contender<'_>, rival: Option<Contender<'_>>, now: u64) -> bool {
    match rival {
        None => true,
        Some(rival) if last.yields => own.time < rival.time,
        Some(rival) => turn_left_ns(last, own, rival, now) >= SLOP_NS,
    }
}

/// How long the domain that has the turn may go on before `rival` gets it.
#[inline(always)]
fn turn_left_ns(current: &Current, own: Contender<'_>, rival: Contender<'_>, now: u64) -> u64 {
    let lead = if rival.slot.is_fresh { 0 } else { ALLOWANCE_NS };
    let left = own.slot.account.time_until(rival.time, lead);
    left.max(least_left_ns(current, now))
}

/// How much of the least turn is left.
const fn least_left_ns(current: &Current, now: u64) -> u64 {
    LEAST_NS.saturating_sub(now.saturating_sub(current.since))
}

#[cfg(test)]
mod tests;
