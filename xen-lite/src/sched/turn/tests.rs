use super::*;
use abi::sched::{WAKE_INPUT, WAKE_OUTPUT};

fn with(states: &[State]) -> Scheduler {
    let mut scheduler = Scheduler::new();
    for (domain, state) in states.iter().enumerate() {
        scheduler.add(domain, 256, *state);
    }
    scheduler
}

/// Who has the next turns when each uses its slice, from `now` on.
fn turns(scheduler: &mut Scheduler, now: &mut u64, count: usize) -> Vec<usize> {
    let mut turn = || {
        let turn = scheduler.next_turn(*now)?;
        *now += turn.slice_ns;
        Some(turn.domain)
    };
    (0..count).map_while(|_| turn()).collect()
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
    let now = &mut 0;
    assert_eq!(turns(&mut scheduler, now, 6), [0, 2, 4, 0, 2, 4]);
    scheduler.set(0, State::Dead);
    scheduler.set(4, State::Dead);
    assert_eq!(turns(&mut scheduler, now, 2), [2, 2]);
}

#[test]
fn building_and_taking_apart_are_turns_of_their_own() {
    let mut scheduler = with(&[State::Building, State::Dying, State::Runnable]);
    let mut now = 0;
    let works: Vec<Work> = (0..3)
        .map(|_| {
            let turn = scheduler.next_turn(now).unwrap();
            now += turn.slice_ns;
            turn.work
        })
        .collect();
    assert_eq!(works, [Work::Build, Work::TakeApart, Work::Run]);
}

#[test]
fn with_nothing_to_do_the_cpu_may_halt() {
    let mut scheduler = with(&[SLEEPING, State::Dead, State::Waiting { until: 9 }]);
    assert_eq!(scheduler.next_turn(0), None);
    assert_eq!(scheduler.next_deadline(), Some(9));
    assert_eq!(with(&[SLEEPING]).next_deadline(), None);
}

#[test]
fn a_paused_domain_gets_no_turn_until_it_goes_on() {
    let mut scheduler = with(&[State::Runnable, State::Runnable]);
    scheduler.pause(0);
    let now = &mut 0;
    assert_eq!(turns(&mut scheduler, now, 3), [1, 1, 1]);
    scheduler.set(1, State::Dead);
    assert_eq!(scheduler.next_turn(*now), None, "the CPU may halt");
    scheduler.unpause(0);
    assert_eq!(turns(&mut scheduler, now, 2), [0, 0]);
    assert!(!scheduler.is_paused(usize::MAX));
}

#[test]
fn a_paused_domain_is_built_woken_and_taken_apart_as_any_other() {
    let mut scheduler = with(&[
        State::Building,
        SLEEPING,
        State::Dying,
        State::blocked(0, 50_000_000, 0),
    ]);
    for domain in 0..4 {
        scheduler.pause(domain);
    }
    let now = &mut 0;
    assert_eq!(turns(&mut scheduler, now, 3), [0, 2, 0]);
    assert!(scheduler.wake(1, WAKE_INPUT));
    scheduler.expire(50_000_000, |_| {});
    assert_eq!([1, 3].map(|domain| scheduler.state(domain)), [State::Runnable; 2]);
    assert_eq!(turns(&mut scheduler, now, 2), [2, 0], "awake, and still paused");
}

#[test]
fn who_leaves_early_comes_back_for_the_rest_of_its_allowance() {
    let mut scheduler = with(&[State::Runnable, State::Runnable]);
    let turn = scheduler.next_turn(0).unwrap();
    assert_eq!((turn.domain, turn.slice_ns), (0, ALLOWANCE_NS));
    let again = scheduler.next_turn(ALLOWANCE_NS / 4).unwrap();
    assert_eq!(
        (again.domain, again.slice_ns),
        (0, ALLOWANCE_NS - ALLOWANCE_NS / 4)
    );
    let other = scheduler.next_turn(ALLOWANCE_NS).unwrap();
    assert_eq!((other.domain, other.slice_ns), (1, 2 * ALLOWANCE_NS));
}

#[test]
fn an_interrupt_just_before_the_end_of_a_turn_ends_it() {
    let mut scheduler = with(&[State::Runnable, State::Runnable]);
    scheduler.next_turn(0);
    assert_eq!(scheduler.next_turn(ALLOWANCE_NS - SLOP_NS / 2).unwrap().domain, 1);
}

#[test]
fn a_turn_ends_when_a_sleeper_is_due_and_at_the_latest_for_the_keys() {
    let slice = |states: &[State]| with(states).next_turn(0).unwrap().slice_ns;
    let waiting = |timeout_ns| State::blocked(0, timeout_ns, 0);
    assert_eq!(slice(&[State::Runnable]), LONGEST_NS);
    assert_eq!(slice(&[State::Runnable, waiting(3_000_000)]), 3_000_000);
    assert_eq!(slice(&[State::Runnable, waiting(1)]), LEAST_NS);
    assert_eq!(slice(&[State::Runnable, waiting(u64::MAX)]), LONGEST_NS);
}

#[test]
fn a_woken_domain_gets_in_after_the_least_turn() {
    let mut scheduler = with(&[State::Runnable, SLEEPING]);
    scheduler.next_turn(0);
    scheduler.next_turn(5_000_000);
    assert!(scheduler.wake(1, WAKE_INPUT));
    let turn = scheduler.next_turn(5_000_100).unwrap();
    assert_eq!(turn.domain, 1, "the other has had its least turn");
    scheduler.set(1, SLEEPING);
    assert_eq!(scheduler.next_turn(5_010_000).unwrap().domain, 0);
    scheduler.wake(1, WAKE_INPUT);
    let turn = scheduler.next_turn(5_020_000).unwrap();
    assert_eq!((turn.domain, turn.slice_ns), (0, LEAST_NS - 10_000));
    assert_eq!(scheduler.next_turn(5_110_000).unwrap().domain, 1);
}

#[test]
fn who_yields_lets_those_run_that_are_due() {
    let mut scheduler = with(&[State::Runnable, State::Runnable]);
    scheduler.next_turn(0);
    scheduler.yield_turn();
    assert_eq!(scheduler.next_turn(1_000).unwrap().domain, 1);
    scheduler.next_turn(900_000);
    scheduler.yield_turn();
    assert_eq!(scheduler.next_turn(900_000).unwrap().domain, 0);
    scheduler.yield_turn();
    assert_eq!(
        scheduler.next_turn(901_000).unwrap().domain,
        0,
        "it is still far behind"
    );
    let mut alone = with(&[State::Runnable]);
    alone.next_turn(0);
    alone.yield_turn();
    assert_eq!(alone.next_turn(1).unwrap().domain, 0);
}

#[test]
fn sleeping_earns_nothing() {
    let mut scheduler = with(&[State::Runnable, SLEEPING]);
    scheduler.next_turn(0);
    scheduler.next_turn(1_000_000_000);
    scheduler.wake(1, WAKE_INPUT);
    let now = &mut 1_000_000_000;
    let sequence = turns(&mut scheduler, now, 40);
    let times = sequence.iter().filter(|domain| **domain == 1).count();
    assert!((15..25).contains(&times), "{sequence:?}");
}

#[test]
fn being_paused_earns_nothing() {
    let mut scheduler = with(&[State::Runnable, State::Runnable]);
    scheduler.next_turn(0);
    scheduler.pause(1);
    scheduler.next_turn(1_000_000_000);
    scheduler.unpause(1);
    let sequence = turns(&mut scheduler, &mut 1_000_000_000, 40);
    let times = sequence.iter().filter(|domain| **domain == 1).count();
    assert!((15..25).contains(&times), "{sequence:?}");
}

#[test]
fn sleeping_while_everybody_sleeps_earns_nothing() {
    let mut scheduler = with(&[State::Runnable, SLEEPING]);
    scheduler.next_turn(0);
    scheduler.set(0, SLEEPING);
    let now = &mut 1_000_000_000;
    assert_eq!(scheduler.next_turn(*now), None);
    for domain in [0, 1] {
        scheduler.wake(domain, WAKE_INPUT);
    }
    let sequence = turns(&mut scheduler, now, 40);
    let times = sequence.iter().filter(|domain| **domain == 1).count();
    assert!((15..25).contains(&times), "{sequence:?}");
}

#[test]
fn a_warp_ends_with_a_domain_that_waits_for_its_turn() {
    let mut scheduler = with(&[State::Runnable, SLEEPING]);
    scheduler.next_turn(0);
    scheduler.wake(1, WAKE_INPUT);
    assert_eq!(scheduler.next_turn(LEAST_NS / 2).unwrap().domain, 0);
    scheduler.set(1, State::Dying);
    assert_eq!(scheduler.next_turn(2 * LEAST_NS).unwrap().domain, 0);
}

#[test]
fn a_woken_domain_that_has_borrowed_waits_until_the_other_is_level() {
    let mut scheduler = with(&[State::Runnable, SLEEPING]);
    scheduler.next_turn(0);
    scheduler.wake(1, WAKE_INPUT);
    assert_eq!(scheduler.next_turn(1_000_000).unwrap().domain, 1);
    scheduler.set(1, SLEEPING);
    scheduler.next_turn(1_600_000);
    scheduler.wake(1, WAKE_INPUT);
    let turn = scheduler.next_turn(1_800_000).unwrap();
    assert_eq!((turn.domain, turn.slice_ns), (0, 400_000));
    assert_eq!(scheduler.next_turn(2_200_000).unwrap().domain, 1);
}

#[test]
fn taking_apart_is_not_warped() {
    let mut scheduler = with(&[State::Runnable, SLEEPING]);
    scheduler.next_turn(0);
    scheduler.wake(1, WAKE_INPUT);
    scheduler.next_turn(1_000_000);
    scheduler.set(1, State::Dying);
    let turn = scheduler.next_turn(1_100_000).unwrap();
    assert_eq!((turn.work, turn.slice_ns), (Work::TakeApart, 900_000));
}

#[test]
fn what_is_done_for_another_domain_is_not_charged_to_the_one_that_runs() {
    let mut scheduler = with(&[State::Runnable, SLEEPING]);
    scheduler.next_turn(0);
    scheduler.charge_to(1, 300);
    scheduler.next_turn(1_000);
    assert_eq!((scheduler.spent_ns(0), scheduler.spent_ns(1)), (700, 300));
    scheduler.charge_to(9, 1_000_000);
    scheduler.next_turn(2_000);
    assert_eq!((scheduler.spent_ns(0), scheduler.spent_ns(9)), (1_700, 0));
}

#[test]
fn waking_is_charged_to_those_who_wake() {
    let mut scheduler = with(&[State::Runnable, SLEEPING, SLEEPING, SLEEPING]);
    scheduler.next_turn(0);
    scheduler.charge_to_woken(100);
    for domain in [1, 2] {
        scheduler.wake(domain, WAKE_INPUT);
    }
    scheduler.charge_to_woken(600);
    scheduler.next_turn(1_000);
    assert_eq!(
        [0, 1, 2, 3].map(|domain| scheduler.spent_ns(domain)),
        [400, 300, 300, 0]
    );
    scheduler.charge_to_woken(500);
    scheduler.next_turn(1_500);
    assert_eq!(scheduler.spent_ns(0), 900, "nobody has woken: it is its own");
}

#[test]
fn one_that_is_held_has_nothing_to_do_and_is_not_behind_afterwards() {
    let mut scheduler = with(&[State::Runnable, State::Held]);
    let now = &mut 0;
    assert!(turns(&mut scheduler, now, 20).iter().all(|domain| *domain == 0));
    scheduler.set(1, State::Dying);
    let sequence = turns(&mut scheduler, now, 40);
    let times = sequence.iter().filter(|domain| **domain == 1).count();
    assert!((15..25).contains(&times), "{sequence:?}");
}

#[test]
fn time_in_which_nobody_has_anything_to_do_is_nobodys() {
    let mut scheduler = with(&[State::Runnable]);
    scheduler.next_turn(0);
    scheduler.set(0, SLEEPING);
    assert_eq!(scheduler.next_turn(1_000), None);
    scheduler.wake(0, WAKE_INPUT);
    scheduler.next_turn(9_000);
    scheduler.next_turn(9_500);
    assert_eq!(scheduler.spent_ns(0), 1_500);
}

#[test]
fn domains_that_do_not_exist_are_ignored() {
    let mut scheduler = with(&[SLEEPING]);
    scheduler.add(MAX_DOMAINS, 1, State::Runnable);
    scheduler.set(7, State::Runnable);
    scheduler.set(usize::MAX, State::Runnable);
    assert_eq!(scheduler.next_turn(0), None);
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
fn others_timers_cut_a_turn_to_no_less_than_the_least_and_ones_own_to_nothing() {
    let mut scheduler = with(&[State::Runnable]);
    let turn = scheduler.next_turn(1_000).unwrap();
    assert_eq!(turn.slice_ns, LONGEST_NS);
    let slice = |own, others| turn.slice_before(1_000, own, others);
    assert_eq!(slice(None, None), LONGEST_NS);
    assert_eq!(slice(Some(1_500), Some(1_200)), 500);
    assert_eq!(slice(Some(0), None), 0);
    for soon in [0, 1_000, 1_001, 1_000 + LEAST_NS] {
        assert_eq!(slice(None, Some(soon)), LEAST_NS);
    }
    assert_eq!(slice(None, Some(1_001 + LEAST_NS)), LEAST_NS + 1);
    assert_eq!(slice(Some(u64::MAX), Some(u64::MAX)), LONGEST_NS);
}

#[test]
fn sleepers_that_are_not_due_interrupt_a_turn_no_more_often_than_the_least() {
    // Ten sleepers that have had more than their share and more than their warps: they wake one after another, and none
    // of them gets the CPU.
    let mut scheduler = with(&[State::Runnable; 11]);
    let mut now = 0;
    for domain in 1..11 {
        scheduler.charge_to(domain, 50_000_000);
        scheduler.set(domain, State::blocked(0, 300_000 + 10_000 * domain as u64, 0));
    }
    let mut turns = 0;
    while now < 900_000 {
        scheduler.expire(now, |_| ());
        let turn = scheduler.next_turn(now).unwrap();
        assert_eq!(turn.domain, 0);
        now += turn.slice_ns;
        turns += 1;
    }
    assert!(turns <= 3, "{turns} interrupts for ten sleepers");
}

#[test]
fn the_end_is_when_all_that_count_have_ended() {
    let scheduler = with(&[State::Dead, State::Runnable]);
    assert!(scheduler.all_ended(|domain| domain != 1));
    assert!(!scheduler.all_ended(|_| true));
    assert!(!with(&[State::Dead, State::Dying]).all_ended(|_| true));
    assert!(!with(&[State::Dead, State::Held]).all_ended(|_| true));
    assert!(!with(&[State::Waiting { until: 1 }]).all_ended(|_| true));
    assert!(Scheduler::new().all_ended(|_| true));
}
