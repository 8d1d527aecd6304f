//! Round robin: each domain that has something to do gets a turn, in the order of their numbers.
//!
//! Building a domain and taking one apart is work like any other, in steps and under that domain's account.
use abi::boot_image::MAX_DOMAINS;
use abi::sched::WAKE_DEFAULT;

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
}

/// All domains' states.
#[derive(Clone, Debug)]
pub struct Scheduler {
    states: [State; MAX_DOMAINS],
    /// Those that a person has paused: they do not run. Whatever else happens to them goes on.
    paused: [bool; MAX_DOMAINS],
    /// Who had the last turn.
    last: usize,
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
            states: [State::Absent; MAX_DOMAINS],
            paused: [false; MAX_DOMAINS],
            last: MAX_DOMAINS - 1,
        }
    }

    /// What a domain is doing.
    #[must_use]
    pub fn state(&self, domain: usize) -> State {
        self.states.get(domain).copied().unwrap_or_default()
    }

    /// Says what a domain is doing from now on. Domains from [`MAX_DOMAINS`] on are ignored.
    pub fn set(&mut self, domain: usize, state: State) {
        if let Some(slot) = self.states.get_mut(domain) {
            *slot = state;
        }
    }

    /// Whether a domain is paused.
    #[must_use]
    pub fn is_paused(&self, domain: usize) -> bool {
        self.paused.get(domain).copied().unwrap_or_default()
    }

    /// Gives a domain no turn to run from now on. It is built and taken apart as any other, and its waits end as they would.
    pub fn pause(&mut self, domain: usize) {
        if let Some(slot) = self.paused.get_mut(domain) {
            *slot = true;
        }
    }

    /// Lets a paused domain go on.
    pub fn unpause(&mut self, domain: usize) {
        if let Some(slot) = self.paused.get_mut(domain) {
            *slot = false;
        }
    }

    /// The next turn: of the domains with something to do, the first after the one that had the last turn. `None`: the CPU
    /// may halt until [`Self::next_deadline`].
    pub fn next_turn(&mut self) -> Option<Turn> {
        let turn = (1..=MAX_DOMAINS)
            .map(|distance| (self.last + distance) % MAX_DOMAINS)
            .find_map(|domain| {
                let work = match self.state(domain) {
                    State::Building => Work::Build,
                    State::Runnable if self.is_paused(domain) => return None,
                    State::Runnable => Work::Run,
                    State::Dying => Work::TakeApart,
                    State::Absent | State::Waiting { .. } | State::Blocked { .. } | State::Dead => {
                        return None;
                    }
                };
                Some(Turn { domain, work })
            })?;
        self.last = turn.domain;
        Some(turn)
    }

    /// Wakes a domain if it sleeps and waits for one of these conditions; whether it did.
    pub fn wake(&mut self, domain: usize, conditions: u64) -> bool {
        match self.state(domain) {
            State::Blocked { mask, .. } if mask & conditions != 0 => {
                self.set(domain, State::Runnable);
                true
            }
            _ => false,
        }
    }

    /// Wakes whose time has come: calls `woken` with each domain that slept and may run now.
    pub fn expire(&mut self, now: u64, mut woken: impl FnMut(usize)) {
        for (domain, state) in self.states.iter_mut().enumerate() {
            if state.deadline().is_none_or(|deadline| deadline > now) {
                continue;
            }
            if matches!(state, State::Waiting { .. }) {
                *state = State::Building;
            } else {
                *state = State::Runnable;
                woken(domain);
            }
        }
    }

    /// The earliest time at which [`Self::expire`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        self.states.iter().filter_map(|state| state.deadline()).min()
    }

    /// Whether every domain for which `counts` holds has ended. Those that wait for a restart have not.
    pub fn all_ended(&self, counts: impl Fn(usize) -> bool) -> bool {
        let ended = |state: &State| matches!(state, State::Absent | State::Dead);
        self.states
            .iter()
            .enumerate()
            .all(|(domain, state)| ended(state) || !counts(domain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::sched::{WAKE_INPUT, WAKE_OUTPUT};
    use proptest::prelude::*;

    fn with(states: &[State]) -> Scheduler {
        let mut scheduler = Scheduler::new();
        for (domain, state) in states.iter().enumerate() {
            scheduler.set(domain, *state);
        }
        scheduler
    }

    fn turns(scheduler: &mut Scheduler, count: usize) -> Vec<usize> {
        (0..count)
            .filter_map(|_| scheduler.next_turn())
            .map(|turn| turn.domain)
            .collect()
    }

    const SLEEPING: State = State::Blocked {
        deadline: None,
        mask: WAKE_INPUT,
    };

    #[test]
    fn runnable_domains_take_turns() {
        let mut scheduler = with(&[
            State::Runnable,
            SLEEPING,
            State::Runnable,
            State::Dead,
            State::Runnable,
        ]);
        assert_eq!(turns(&mut scheduler, 6), [0, 2, 4, 0, 2, 4]);
        scheduler.set(0, State::Dead);
        scheduler.set(4, State::Dead);
        assert_eq!(turns(&mut scheduler, 2), [2, 2]);
    }

    #[test]
    fn building_and_taking_apart_are_turns_of_their_own() {
        let mut scheduler = with(&[State::Building, State::Dying, State::Runnable]);
        let works: Vec<Work> = (0..3).map(|_| scheduler.next_turn().unwrap().work).collect();
        assert_eq!(works, [Work::Build, Work::TakeApart, Work::Run]);
    }

    #[test]
    fn with_nothing_to_do_the_cpu_may_halt() {
        let mut scheduler = with(&[SLEEPING, State::Dead, State::Waiting { until: 9 }]);
        assert_eq!(scheduler.next_turn(), None);
        assert_eq!(scheduler.next_deadline(), Some(9));
        assert_eq!(with(&[SLEEPING]).next_deadline(), None);
    }

    #[test]
    fn a_paused_domain_gets_no_turn_until_it_goes_on() {
        let mut scheduler = with(&[State::Runnable, State::Runnable]);
        scheduler.pause(0);
        assert_eq!(turns(&mut scheduler, 3), [1, 1, 1]);
        scheduler.set(1, State::Dead);
        assert_eq!(scheduler.next_turn(), None, "the CPU may halt");
        scheduler.unpause(0);
        assert_eq!(turns(&mut scheduler, 2), [0, 0]);
        assert!(!scheduler.is_paused(usize::MAX));
    }

    #[test]
    fn a_paused_domain_is_built_woken_and_taken_apart_as_any_other() {
        let mut scheduler = with(&[State::Building, SLEEPING, State::Dying, State::blocked(0, 5, 0)]);
        for domain in 0..4 {
            scheduler.pause(domain);
        }
        assert_eq!(turns(&mut scheduler, 3), [0, 2, 0]);
        assert!(scheduler.wake(1, WAKE_INPUT));
        scheduler.expire(5, |_| {});
        assert_eq!([1, 3].map(|domain| scheduler.state(domain)), [State::Runnable; 2]);
        assert_eq!(turns(&mut scheduler, 2), [2, 0], "awake, and still paused");
    }

    #[test]
    fn a_sleeper_wakes_for_its_own_conditions_only() {
        let mut scheduler = with(&[
            State::blocked(0, 0, WAKE_OUTPUT),
            State::blocked(0, 0, 0),
            State::Runnable,
        ]);
        assert!(!scheduler.wake(0, WAKE_INPUT));
        assert!(scheduler.wake(0, WAKE_INPUT | WAKE_OUTPUT));
        assert!(!scheduler.wake(0, WAKE_OUTPUT), "it is awake");
        assert!(scheduler.wake(1, WAKE_INPUT), "0 means input");
        assert!(!scheduler.wake(2, u64::MAX));
        assert!(!scheduler.wake(usize::MAX, u64::MAX));
    }

    #[test]
    fn time_wakes_sleepers_and_starts_restarts() {
        let mut scheduler = with(&[
            State::blocked(100, 50, 0),
            State::blocked(100, 0, 0),
            State::Waiting { until: 160 },
        ]);
        assert_eq!(scheduler.next_deadline(), Some(150));
        let mut woken = Vec::new();
        scheduler.expire(149, |domain| woken.push(domain));
        assert_eq!(woken, []);
        scheduler.expire(160, |domain| woken.push(domain));
        assert_eq!(woken, [0]);
        assert_eq!(scheduler.state(2), State::Building);
        assert_eq!(scheduler.next_deadline(), None);
    }

    #[test]
    fn a_timeout_past_the_end_of_time_is_never() {
        assert_eq!(
            State::blocked(5, u64::MAX, 0),
            State::Blocked {
                deadline: Some(u64::MAX),
                mask: WAKE_DEFAULT
            }
        );
    }

    #[test]
    fn the_end_is_when_all_that_count_have_ended() {
        let scheduler = with(&[State::Dead, State::Runnable]);
        assert!(scheduler.all_ended(|domain| domain != 1));
        assert!(!scheduler.all_ended(|_| true));
        assert!(!with(&[State::Dead, State::Dying]).all_ended(|_| true));
        assert!(!with(&[State::Waiting { until: 1 }]).all_ended(|_| true));
        assert!(Scheduler::new().all_ended(|_| true));
    }

    proptest! {
        #[test]
        fn nobody_waits_longer_than_one_round(busy in proptest::collection::vec(any::<bool>(), 1..20), steps in 1usize..60) {
            let state = |busy: &bool| if *busy { State::Runnable } else { SLEEPING };
            let mut scheduler = with(&busy.iter().map(state).collect::<Vec<_>>());
            let count = busy.iter().filter(|busy| **busy).count();
            turns(&mut scheduler, steps);
            let mut round = turns(&mut scheduler, count);
            round.sort_unstable();
            let all: Vec<usize> = (0..busy.len()).filter(|domain| busy[*domain]).collect();
            prop_assert_eq!(round, all);
        }
    }
}
