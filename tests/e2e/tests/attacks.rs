//! What a hostile guest kernel does to the ways in and out, to the edges of the address space, to others' time.
use e2e::{Boot, MACHINE, WITNESS, groups, groups_with_one_audit};
use image_builder::emulator::Machine;
use std::fmt::Write as _;

const GROUPS: &[&str] = &["entries", "edges", "virtual-mode"];

#[test]
fn no_way_in_or_out_gives_a_guest_more_than_it_has_in_qemu() {
    let _ = Boot::qemu("attacks-qemu", &groups(GROUPS, Machine::Qemu)).must_be_good();
}

#[test]
fn no_way_in_or_out_gives_a_guest_more_than_it_has_in_bochs() {
    let _ = Boot::bochs("attacks-bochs", &groups(GROUPS, Machine::Bochs)).must_be_good();
}

#[test]
fn nonsense_harms_nobody_else_in_qemu() {
    let _ = Boot::qemu("nonsense-qemu", &groups(&["nonsense"], Machine::Qemu)).must_be_good();
}

#[test]
fn nonsense_harms_nobody_else_in_bochs() {
    let scene = groups_with_one_audit(&["nonsense"], Machine::Bochs);
    let _ = Boot::bochs("nonsense-bochs", &scene).must_be_good();
}

/// So many domains that run one case.
fn many(count: usize, case: &str, memory: &str, expect: &str) -> String {
    let mut toml = String::new();
    for number in 0..count {
        let _ = write!(
            toml,
            "
            [[domain]]
            name = \"{case}-{number}\"
            kernel = \"suite\"
            cmdline = \"cases={case}\"
            memory = \"{memory}\"
            record = \"line\"
            expect = \"{expect}\"
            "
        );
    }
    toml
}

#[test]
fn forty_guests_that_are_found_dead_one_after_another_are_just_dead() {
    let dead = many(40, "yields-at-the-edge", "1M", "killed:return-frame-invalid");
    let scene = format!("{MACHINE}{WITNESS}{dead}").replace("audit = \"each-end\"", "");
    let _ = Boot::qemu("dead-on-return", &scene).must_be_good();
}

#[test]
fn two_guests_with_different_handlers_for_one_vector_get_each_its_own() {
    let pair = many(2, "direct-gates-are-ones-own", "2M", "shutdown");
    let scene = format!("{MACHINE}{WITNESS}{pair}");
    let _ = Boot::qemu("own-gates-qemu", &scene).must_be_good();
    let _ = Boot::bochs("own-gates-bochs", &scene).must_be_good();
}

#[test]
fn one_call_takes_no_more_than_its_share_of_time() {
    let greed = ["prints-newlines", "pins-all-at-once"].map(|case| {
        many(1, case, "5M", "shutdown")
            .replace(&format!("cases={case}"), &format!("cases={case} ticks=counted"))
    });
    let scene = format!("{MACHINE}{WITNESS}{}", greed.concat());
    let _ = Boot::qemu("greed", &scene).counting().must_be_good();
}
