//! Events, upcalls, timers and time, for honest guests and for others.
use abi::reason::Reason;
use e2e::{Boot, MACHINE, WITNESS, groups, groups_with_one_audit};
use image_builder::emulator::Machine;

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

/// One of two domains that know each other by their numbers.
fn peer(case: &str, role: &str, other: u32, rest: &str) -> String {
    format!(
        "
        [[domain]]
        name = \"{role}\"
        kernel = \"suite\"
        cmdline = \"cases={case} role={role} peer={other}\"
        memory = \"2M\"
        {rest}
        "
    )
}

const SHUTDOWN: &str = "expect = \"shutdown\"";

#[test]
fn two_domains_wake_each_other_and_a_storm_of_events_leaves_the_other_its_turns() {
    let scene = [
        MACHINE,
        WITNESS,
        &peer("event-peer", "echo", 2, SHUTDOWN),
        &peer("event-peer", "storm", 1, SHUTDOWN),
    ]
    .concat();
    let outcome = Boot::qemu("event-peers", &scene).must_be_good();
    assert!(
        outcome.console.contains("during a storm of"),
        "{}",
        outcome.console
    );
}

#[test]
fn events_to_one_that_dies_and_comes_back_reach_nobody_else() {
    let ends = [
        "shutdown".to_owned(),
        "reboot".to_owned(),
        format!("killed:{}", Reason::GuestPanic.name()),
        format!("killed:{}", Reason::CallbackNotPresent.name()),
    ];
    let expect: Vec<String> = (0..8).map(|run| format!("\"{}\"", ends[run % 4])).collect();
    let dies = format!(
        "record = \"line\"\nrestart = {{ policy = \"always\", max = 7 }}\nexpect = [{}]",
        expect.join(", ")
    );
    let scene = [
        MACHINE,
        WITNESS,
        &peer("events-to-the-mortal", "mortal", 2, &dies),
        &peer("events-to-the-mortal", "sender", 1, SHUTDOWN),
    ]
    .concat();
    let outcome = Boot::qemu("event-mortal", &scene).must_be_good();
    let lives = outcome
        .console
        .lines()
        .find(|line| line.contains("events into the void"));
    println!("{}", lives.expect("the sender says how often the other lived"));
}

#[test]
fn events_to_one_that_is_paused_wait_for_it() {
    let reader = "
        [[domain]]
        name = \"reader\"
        kernel = \"pv-kernel\"
        memory = \"8M\"
        programs = [[\"cat\"]]
        expect = \"shutdown\"
        ";
    let scene = [
        reader,
        &peer("events-to-the-paused", "paused", 2, SHUTDOWN),
        &peer("events-to-the-paused", "sender", 1, SHUTDOWN),
    ]
    .concat();
    // The reader takes its time over so many lines, and the keys behind them wait: so long the other is paused.
    let keys = format!(
        "\x1dpause paused\n\n{}\x1dunpause paused\n\n",
        "a line for the reader\n".repeat(400)
    );
    let outcome = Boot::qemu("event-paused", &scene).typing(&keys).must_be_good();
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
