//! Events, upcalls, timers and time, for honest guests and for others.
use e2e::{Boot, MACHINE, WITNESS, groups};
use image_builder::emulator::Machine;

const GROUPS: &[&str] = &["upcalls", "upcall-ends"];

#[test]
fn events_arrive_once_and_a_bad_upcall_ends_its_guest_alone_in_qemu() {
    let _ = Boot::qemu("upcalls-qemu", &groups(GROUPS, Machine::Qemu)).must_be_good();
}

#[test]
fn events_arrive_once_and_a_bad_upcall_ends_its_guest_alone_in_bochs() {
    let _ = Boot::bochs("upcalls-bochs", &groups(GROUPS, Machine::Bochs)).must_be_good();
}

#[test]
fn an_event_at_any_instruction_of_a_return_or_a_delivery_does_no_harm() {
    // Without the witness, whose turns would move the timer.
    let scene = e2e::group_domain("upcall-windows", Machine::Qemu);
    let _ = Boot::qemu("upcall-windows", &scene).counting().must_be_good();
}

fn peer(name: &str, role: &str, other: u32) -> String {
    format!(
        "
        [[domain]]
        name = \"{name}\"
        kernel = \"suite\"
        cmdline = \"cases=event-peer role={role} peer={other}\"
        memory = \"2M\"
        expect = \"shutdown\"
        "
    )
}

#[test]
fn two_domains_wake_each_other_and_a_storm_of_events_leaves_the_other_its_turns() {
    let scene = [
        MACHINE,
        WITNESS,
        &peer("echo", "echo", 2),
        &peer("storm", "storm", 1),
    ]
    .concat();
    let outcome = Boot::qemu("upcall-peers", &scene).must_be_good();
    assert!(
        outcome.console.contains("during a storm of"),
        "{}",
        outcome.console
    );
}
