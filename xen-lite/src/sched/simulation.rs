//! Whole machines in simulated time: who gets how much, and how soon.
use super::turn::{ALLOWANCE_NS, LEAST_NS, LONGEST_NS, Scheduler, State, Work};
use proptest::prelude::*;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
/// What it takes to leave one domain and to enter another.
const SWITCH_NS: u64 = 2 * US;
/// What one step of building or taking apart takes.
const STEP_NS: u64 = 60 * US;

/// How a domain behaves.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Habit {
    /// It always wants the CPU.
    Spin,
    /// It yields after each so many nanoseconds of running.
    Yield(u64),
    /// It sleeps for the second time after each first time of running.
    Nap(u64, u64),
    /// It dies after so many nanoseconds and is built again, each in steps.
    Crash(u64),
}

struct Guest {
    habit: Habit,
    weight: u16,
    /// Running time until it does what its habit says.
    left: u64,
    /// Steps of building or taking apart that are left.
    steps: u64,
    /// It ran, building not counted.
    ran: u64,
    /// When it was to wake, until it runs.
    due: Option<u64>,
    /// The longest that it waited for the CPU after it was to wake.
    latency: u64,
}

const STEPS: u64 = 20;

struct Machine {
    scheduler: Scheduler,
    guests: Vec<Guest>,
    now: u64,
    turns: u64,
}

impl Machine {
    fn new(guests: &[(u16, Habit)]) -> Self {
        let mut scheduler = Scheduler::new();
        let guest = |(domain, (weight, habit)): (usize, &(u16, Habit))| {
            scheduler.add(domain, *weight, State::Runnable);
            Guest {
                habit: *habit,
                weight: *weight,
                left: burst(*habit),
                steps: STEPS,
                ran: 0,
                due: None,
                latency: 0,
            }
        };
        Self {
            guests: guests.iter().enumerate().map(guest).collect(),
            scheduler,
            now: 0,
            turns: 0,
        }
    }

    fn run(&mut self, for_ns: u64) -> &mut Self {
        let end = self.now + for_ns;
        while self.now < end {
            self.scheduler.expire(self.now, |_| ());
            let Some(turn) = self.scheduler.next_turn(self.now) else {
                self.now = self.scheduler.next_deadline().unwrap_or(end);
                continue;
            };
            assert!(turn.slice_ns <= LONGEST_NS);
            self.turns += 1;
            let guest = &mut self.guests[turn.domain];
            match turn.work {
                Work::Run => {
                    if let Some(due) = guest.due.take() {
                        guest.latency = guest.latency.max(self.now - due);
                    }
                    let ran = turn.slice_ns.min(guest.left);
                    guest.left -= ran;
                    guest.ran += ran;
                    self.now += ran + SWITCH_NS;
                    if guest.left == 0 {
                        self.leave(turn.domain);
                    }
                }
                Work::Build | Work::TakeApart => {
                    self.now += STEP_NS;
                    guest.steps -= 1;
                    if guest.steps == 0 {
                        guest.steps = STEPS;
                        let state = match turn.work {
                            Work::Build => State::Runnable,
                            _ => State::Waiting { until: self.now },
                        };
                        self.scheduler.set(turn.domain, state);
                    }
                }
            }
        }
        self
    }

    fn leave(&mut self, domain: usize) {
        let guest = &mut self.guests[domain];
        guest.left = burst(guest.habit);
        match guest.habit {
            Habit::Spin => {}
            Habit::Yield(_) => self.scheduler.yield_turn(),
            Habit::Nap(_, sleep) => {
                guest.due = Some(self.now + sleep);
                self.scheduler.set(domain, State::blocked(self.now, sleep, 0));
            }
            Habit::Crash(_) => self.scheduler.set(domain, State::Dying),
        }
    }

    /// What a domain was charged since the start, in parts of all time.
    fn share(&self, domain: usize) -> f64 {
        self.scheduler.spent_ns(domain) as f64 / self.now as f64
    }

    /// The share that its weight says, if everybody always wants the CPU.
    fn fair(&self, domain: usize) -> f64 {
        let all: f64 = self.guests.iter().map(|guest| f64::from(guest.weight)).sum();
        f64::from(self.guests[domain].weight) / all
    }

    /// What a domain was charged, divided by its weight, in milliseconds.
    fn per_weight_ms(&self, domain: usize) -> f64 {
        self.scheduler.spent_ns(domain) as f64 / f64::from(self.guests[domain].weight) / MS as f64
    }
}

const fn burst(habit: Habit) -> u64 {
    match habit {
        Habit::Spin => u64::MAX,
        Habit::Yield(run) | Habit::Nap(run, _) | Habit::Crash(run) => run,
    }
}

fn assert_share(machine: &Machine, domain: usize, expected: f64, tolerance: f64) {
    let share = machine.share(domain);
    let error = share / expected - 1.0;
    assert!(
        error.abs() <= tolerance,
        "domain {domain} ({:?}) got {share:.4}, not {expected:.4}",
        machine.guests[domain].habit
    );
}

#[test]
fn spinners_share_by_their_weights() {
    let weights = [1, 1, 2, 4, 8, 16, 32, 64];
    let mut machine = Machine::new(&weights.map(|weight| (weight, Habit::Spin)));
    machine.run(10 * SECOND);
    for domain in 0..weights.len() {
        assert_share(&machine, domain, machine.fair(domain), 0.02);
    }
}

#[test]
fn equal_spinners_are_never_more_than_an_allowance_apart() {
    for count in 2..=4 {
        let mut machine = Machine::new(&vec![(8, Habit::Spin); count]);
        for _ in 0..500 {
            machine.run(MS);
            let spent = || (0..count).map(|domain| machine.scheduler.spent_ns(domain));
            let apart = spent().max().unwrap() - spent().min().unwrap();
            assert!(
                apart <= ALLOWANCE_NS + SWITCH_NS,
                "{count}: {:?}",
                spent().collect::<Vec<_>>()
            );
        }
    }
}

#[test]
fn a_yield_storm_gets_its_share_and_takes_nobody_elses() {
    let mut machine = Machine::new(&[(256, Habit::Spin), (256, Habit::Yield(US)), (512, Habit::Spin)]);
    machine.run(SECOND);
    for domain in 0..3 {
        assert_share(&machine, domain, machine.fair(domain), 0.02);
    }
}

/// Patterns that try to be warped, or woken, as often as they can.
const ABUSES: [Habit; 6] = [
    Habit::Nap(2 * US, 1),
    Habit::Nap(40 * US, 10 * US),
    Habit::Nap(499 * US, 1),
    Habit::Nap(990 * US, US),
    Habit::Nap(2 * MS, 100 * US),
    Habit::Nap(9 * MS, MS),
];

#[test]
fn sleeping_and_waking_gains_nothing_over_a_spinner() {
    for abuse in ABUSES {
        for weight in [16, 256, 4096] {
            let mut machine = Machine::new(&[(256, Habit::Spin), (weight, abuse)]);
            machine.run(2 * SECOND);
            let (victim, abuser) = (machine.per_weight_ms(0), machine.per_weight_ms(1));
            // A warp is borrowed: once.
            let borrowed = 3.0 / f64::from(weight);
            assert!(
                abuser <= victim * 1.005 + borrowed,
                "{abuse:?} at {weight}: {abuser} beside {victim}"
            );
        }
    }
}

#[test]
fn many_abusers_together_gain_nothing_over_a_spinner() {
    let mut guests = vec![(256, Habit::Spin)];
    guests.extend(ABUSES.iter().cycle().take(24).map(|abuse| (256, *abuse)));
    let mut machine = Machine::new(&guests);
    machine.run(2 * SECOND);
    let victim = machine.share(0);
    assert!(victim >= machine.fair(0) * 0.98, "the victim got {victim}");
}

#[test]
fn abusers_gain_nothing_over_one_that_sleeps_in_earnest() {
    for abuse in ABUSES {
        for (run, sleep) in [(5 * MS, 2 * MS), (300 * US, 200 * US)] {
            let victim_beside = |other| {
                let mut machine =
                    Machine::new(&[(256, Habit::Nap(run, sleep)), (256, other), (256, Habit::Spin)]);
                machine.run(2 * SECOND).share(0)
            };
            // Short turns beside spinners, whose turns are long, are in luck: that is not owed. And what one is behind
            // when it falls asleep, an allowance at most, it loses.
            let usual = victim_beside(Habit::Spin).min(while_awake(run, sleep, 3));
            let victim = victim_beside(abuse);
            assert!(
                victim >= 0.93 * usual,
                "{run}/{sleep} beside {abuse:?} got {victim}, not {usual}"
            );
        }
    }
}

/// What one gets that has its share of a CPU for `domains` while it is awake, and nothing while it sleeps.
fn while_awake(run: u64, sleep: u64, domains: u64) -> f64 {
    run as f64 / (run * domains + sleep) as f64
}

#[test]
fn who_wants_more_than_its_share_gets_it_while_it_is_awake() {
    for (run, sleep) in [(4 * MS, MS), (400 * US, 100 * US), (30 * MS, 5 * MS)] {
        let mut machine = Machine::new(&[(256, Habit::Spin), (256, Habit::Nap(run, sleep))]);
        machine.run(2 * SECOND);
        let (share, due) = (machine.share(1), while_awake(run, sleep, 2));
        assert!(
            (0.95 * due..0.51).contains(&share),
            "{run}/{sleep} got {share}, not {due}"
        );
    }
}

#[test]
fn who_wants_less_than_its_share_gets_what_it_wants_at_once() {
    let nap = Habit::Nap(200 * US, 9_800 * US);
    let mut guests = vec![(256, nap)];
    guests.extend([(256, Habit::Spin); 8]);
    let mut machine = Machine::new(&guests);
    machine.run(2 * SECOND);
    assert_share(&machine, 0, 0.02, 0.05);
    let latency = machine.guests[0].latency;
    assert!(latency <= LEAST_NS + 2 * SWITCH_NS, "it waited {latency} ns");
}

#[test]
fn a_light_domain_that_wakes_gets_in_as_soon_as_a_heavy_one() {
    for weight in [1, u16::MAX] {
        let nap = (weight, Habit::Nap(20 * US, 50 * MS));
        let mut machine = Machine::new(&[nap, (256, Habit::Spin), (u16::MAX, Habit::Spin)]);
        machine.run(2 * SECOND);
        // A light domain's few microseconds are as long as a heavy one's second: that it pays back.
        let latency = machine.guests[0].latency;
        assert!(
            latency <= LEAST_NS + 2 * SWITCH_NS,
            "weight {weight} waited {latency} ns"
        );
    }
}

#[test]
fn one_that_crashes_at_once_for_ever_gets_no_more_than_its_share() {
    let mut machine = Machine::new(&[(256, Habit::Spin), (256, Habit::Crash(1)), (256, Habit::Spin)]);
    machine.run(SECOND);
    assert_share(&machine, 0, 1.0 / 3.0, 0.02);
    let crasher = machine.share(1);
    assert!(crasher <= 1.02 / 3.0, "{crasher}");
    assert!(
        machine.guests[1].ran < MS,
        "what it is charged is what was done for it"
    );
}

#[test]
fn the_extreme_weights_live_beside_each_other() {
    let mut machine = Machine::new(&[(1, Habit::Spin), (u16::MAX, Habit::Spin)]);
    machine.run(400 * SECOND);
    assert_share(&machine, 1, machine.fair(1), 0.001);
    let light = machine.scheduler.spent_ns(0);
    assert!((5 * MS..8 * MS).contains(&light), "{light}");
}

#[test]
fn centuries_of_running_do_not_change_who_gets_what() {
    const CENTURY: u64 = 100 * 365 * 24 * 3600 * SECOND;
    // One of the least weight has the machine alone for a century, five times; then others join it.
    let mut scheduler = Scheduler::new();
    scheduler.add(0, 1, State::Runnable);
    let mut now = 0;
    for century in 0..=5 {
        now = century * CENTURY;
        assert_eq!(scheduler.next_turn(now).map(|turn| turn.domain), Some(0));
    }
    let guests = [
        (1, Habit::Spin),
        (u16::MAX, Habit::Spin),
        (1, Habit::Spin),
        (u16::MAX, Habit::Nap(200 * US, 300 * US)),
    ];
    for (domain, (weight, _)) in guests.iter().enumerate().skip(1) {
        scheduler.add(domain, *weight, State::Runnable);
    }
    let mut machine = Machine::new(&guests);
    (machine.scheduler, machine.now) = (scheduler, now);
    let before = [0, 1, 2].map(|domain| machine.scheduler.spent_ns(domain));
    machine.run(400 * SECOND);
    let got = [0, 1, 2].map(|domain| machine.scheduler.spent_ns(domain) - before[domain]);
    assert!(
        (MS..20 * MS).contains(&got[0]) && (MS..20 * MS).contains(&got[2]),
        "{got:?}"
    );
    assert!(got[1] > 190 * SECOND, "{got:?}");
}

#[test]
fn spinners_are_not_switched_more_often_than_the_allowance_says() {
    let mut machine = Machine::new(&[(256, Habit::Spin); 10]);
    machine.run(SECOND);
    assert!(machine.turns < 1_100, "{}", machine.turns);
}

#[test]
fn the_same_machine_takes_the_same_turns() {
    let guests = [
        (3, Habit::Spin),
        (7, Habit::Nap(30 * US, 70 * US)),
        (7, Habit::Yield(5 * US)),
    ];
    let ends = || {
        let mut machine = Machine::new(&guests);
        machine.run(SECOND);
        (
            machine.now,
            machine.turns,
            [0, 1, 2].map(|domain| machine.scheduler.spent_ns(domain)),
        )
    };
    assert_eq!(ends(), ends());
}

fn habits() -> impl Strategy<Value = Habit> {
    prop_oneof![
        3 => Just(Habit::Spin),
        1 => (US..2 * MS).prop_map(Habit::Yield),
        3 => (US..5 * MS, 1..20 * MS).prop_map(|(run, sleep)| Habit::Nap(run, sleep)),
        1 => (1..MS).prop_map(Habit::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Nobody gets more per weight than one that always wants the CPU; all that always want it get the same per weight;
    /// nobody starves.
    #[test]
    fn whoever_always_wants_the_cpu_gets_its_share(
        guests in proptest::collection::vec((8u16..1024, habits()), 1..12),
        weight in 8u16..1024,
    ) {
        let mut guests = guests;
        guests.push((weight, Habit::Spin));
        let mut machine = Machine::new(&guests);
        machine.run(4 * SECOND);
        let spinner = machine.per_weight_ms(guests.len() - 1);
        for (domain, (weight, habit)) in guests.iter().enumerate() {
            let own = machine.per_weight_ms(domain);
            // What one may be ahead: a warp, an allowance, a step or a least turn.
            let slack = (3.5 + 2.0) / f64::from(*weight) + 3.5 / f64::from(guests[guests.len() - 1].0);
            prop_assert!(own <= spinner * 1.01 + slack, "{domain} ({weight} {habit:?}): {own} beside {spinner}");
            if matches!(habit, Habit::Spin | Habit::Yield(_)) {
                prop_assert!(own >= spinner * 0.99 - slack, "{domain} ({weight} {habit:?}): {own} beside {spinner}");
            }
            prop_assert!(own > 0.0);
        }
        let all: u64 = (0..guests.len()).map(|domain| machine.scheduler.spent_ns(domain)).sum();
        prop_assert!(machine.now - all <= 2 * LONGEST_NS, "the CPU never halts, and all its time is charged");
    }
}
