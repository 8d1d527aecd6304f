//! Events, upcalls, timers and time, for honest guests and for others.
use e2e::{Boot, groups, groups_with_one_audit};
use image_builder::cases;
use image_builder::emulator::Machine;
use image_builder::scene::Outcome;

const GROUPS: &[&str] = &["events", "event-kills"];

#[test]
fn events_arrive_once_and_a_bad_upcall_ends_its_guest_alone_in_qemu() {
    let _ = Boot::qemu("events-qemu", &groups(GROUPS, Machine::Qemu)).must_be_good();
}

#[test]
fn events_arrive_once_and_a_bad_upcall_ends_its_guest_alone_in_bochs() {
    let scene = groups_with_one_audit(GROUPS, Machine::Bochs);
    let _ = Boot::bochs("events-bochs", &scene).must_be_good();
}

#[test]
fn an_event_at_any_instruction_of_a_return_or_a_delivery_does_no_harm() {
    // Without the witness, whose turns would move the timer.
    let scene = e2e::group_domain("event-windows", Machine::Qemu);
    let _ = Boot::qemu("event-windows", &scene).counting().must_be_good();
}

/// A case of two domains.
fn peers(case: &str) -> Outcome {
    let plan = cases::alone(case, Machine::Qemu).expect("a case of the catalogue");
    Boot::of(&plan, Machine::Qemu).must_be_good()
}

#[test]
fn two_domains_wake_each_other_and_a_storm_of_events_leaves_the_other_its_turns() {
    let outcome = peers("event-peer");
    assert!(
        outcome.console.contains("during a storm of"),
        "{}",
        outcome.console
    );
}

#[test]
fn events_to_one_that_dies_and_comes_back_reach_nobody_else() {
    let outcome = peers("events-to-the-mortal");
    let lives = outcome
        .console
        .lines()
        .find(|line| line.contains("events into the void"));
    println!("{}", lives.expect("the sender says how often the other lived"));
}

#[test]
fn events_to_one_that_is_paused_wait_for_it() {
    let outcome = peers("events-to-the-paused");
    let at = |text: &str| {
        let position = outcome.console.find(text);
        position.unwrap_or_else(|| panic!("{text:?} is not said:\n{}", outcome.console))
    };
    assert!(at("paused is paused") < at("paused goes on"));
    assert!(
        at("paused goes on") < at("[paused] served"),
        "it was served after it went on"
    );
}
