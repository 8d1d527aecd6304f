//! What a guest is refused, and what it is given back as a fault of its own: it lives, and finds everything as it was.
use e2e::{Boot, groups, groups_with_one_audit};
use image_builder::emulator::Machine;

const REFUSALS: &[&str] = &["registration", "descriptors", "calls", "paging"];
const INJECTIONS: &[&str] = &["privileged", "returns", "frames"];

#[test]
fn bad_requests_are_refused_and_change_nothing_in_qemu() {
    let _ = Boot::qemu("refusals-qemu", &groups(REFUSALS, Machine::Qemu)).must_be_good();
}

#[test]
fn bad_requests_are_refused_and_change_nothing_in_bochs() {
    let _ = Boot::bochs("refusals-bochs", &groups_with_one_audit(REFUSALS, Machine::Bochs)).must_be_good();
}

/// The case of all registers twice more, so that each finds what the others might have left.
const RESIDUE: &str = "
    [[domain]]
    name = \"residue\"
    kernel = \"suite\"
    cmdline = \"cases=vector-state,extended-vector-state,vector-state,extended-vector-state\"
    memory = \"1M\"
    restart = { policy = \"always\", max = 3 }
    expect = \"shutdown\"
";

#[test]
fn faults_reach_the_guest_kernel_as_the_interface_says_in_qemu() {
    let scene = groups(INJECTIONS, Machine::Qemu) + RESIDUE;
    let _ = Boot::qemu("injections-qemu", &scene).must_be_good();
}

#[test]
fn faults_reach_the_guest_kernel_as_the_interface_says_in_bochs() {
    let _ = Boot::bochs(
        "injections-bochs",
        &groups_with_one_audit(INJECTIONS, Machine::Bochs),
    )
    .must_be_good();
}
