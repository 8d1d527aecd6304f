//! Guests that attack: the switcher's pages, each other's registers, the terminal of whoever watches.
use e2e::{Boot, SECRET_KEEPER, groups, groups_with_one_audit};
use image_builder::emulator::Machine;
use image_builder::scene::Outcome;

fn switcher(machine: Machine) -> String {
    groups(&["switcher"], machine) + SECRET_KEEPER
}

#[test]
fn nothing_that_ring_1_does_to_the_switcher_harms_anybody_in_qemu() {
    let _ = Boot::qemu("switcher-qemu", &switcher(Machine::Qemu)).must_be_good();
}

#[test]
fn nothing_that_ring_1_does_to_the_switcher_harms_anybody_in_bochs() {
    let _ = Boot::bochs("switcher-bochs", &switcher(Machine::Bochs)).must_be_good();
}

#[test]
fn whatever_ring_1_executes_of_the_switcher_stays_in_ring_1_in_qemu() {
    let _ = Boot::qemu("jumps-qemu", &groups(&["switcher-jumps"], Machine::Qemu)).must_be_good();
}

#[test]
fn whatever_ring_1_executes_of_the_switcher_stays_in_ring_1_in_bochs() {
    let scene = groups_with_one_audit(&["switcher-jumps"], Machine::Bochs);
    let _ = Boot::bochs("jumps-bochs", &scene).must_be_good();
}

/// The words that the guest's forgeries carry.
const FORGED: &str = "forged-by-a-guest";

fn forged_lines(outcome: &Outcome) -> Vec<&str> {
    outcome
        .console
        .lines()
        .filter(|line| line.contains(FORGED))
        .collect()
}

#[test]
fn what_guests_print_fools_neither_a_terminal_nor_a_tool() {
    // That no line carries a control character is checked in every boot.
    let outcome = Boot::qemu("console-qemu", &groups(&["console"], Machine::Qemu)).must_be_good();
    let forged = forged_lines(&outcome);
    assert!(forged.len() >= 10, "the forgeries arrived: {forged:?}");
    for line in forged {
        assert!(
            line.starts_with("[console] ") || line.starts_with("[console]+ "),
            "{line:?} does not say who printed it"
        );
    }
    for line in &outcome.machine_lines {
        assert!(!line.to_string().contains(FORGED), "{line}");
    }
    let ends = outcome.machine_lines.iter().filter(|line| line.is_event("end"));
    assert_eq!(ends.count(), 1, "one end, the hypervisor's");
    for text in [
        "cursor report",
        "clipboard",
        "title",
        "C1 in UTF-8",
        "device control",
        "half a character",
    ] {
        assert!(
            outcome.console.contains(text),
            "the text {text:?} around the escapes is shown"
        );
    }
    let cut_off = "a line that the end of the domain cuts off";
    assert!(
        outcome.console.contains(cut_off),
        "nothing that was accepted is dropped"
    );
    let xs: usize = outcome
        .console
        .lines()
        .filter(|line| line.starts_with("[console] xxx") || line.starts_with("[console]+ xxx"))
        .map(|line| line.matches('x').count())
        .sum();
    assert!(xs >= 10_000, "all {xs} of ten thousand characters are shown");
}
