//! What a guest is killed for: each case in an incarnation of its own, beside a witness that must not notice.
use e2e::{Boot, groups, groups_with_one_audit};
use image_builder::emulator::Machine;

const GROUPS: &[&str] = &["handlers", "segments", "stacks", "exits"];

#[test]
fn every_bad_delivery_ends_its_guest_with_its_reason_in_qemu() {
    let _ = Boot::qemu("kills-qemu", &groups(GROUPS, Machine::Qemu)).must_be_good();
}

#[test]
fn every_bad_delivery_ends_its_guest_with_its_reason_in_bochs() {
    let _ = Boot::bochs("kills-bochs", &groups(GROUPS, Machine::Bochs)).must_be_good();
}

#[test]
fn no_stack_pointer_into_the_slot_is_ever_used_in_qemu() {
    let _ = Boot::qemu("stack-sweep-qemu", &groups(&["stack-sweep"], Machine::Qemu)).must_be_good();
}

#[test]
fn no_stack_pointer_into_the_slot_is_ever_used_in_bochs() {
    let scene = groups_with_one_audit(&["stack-sweep"], Machine::Bochs);
    let _ = Boot::bochs("stack-sweep-bochs", &scene).must_be_good();
}
