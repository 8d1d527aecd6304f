//! The hostile random guest, for so long as a test may take; `cargo run -p e2e --bin fuzz` goes on.
use e2e::fuzz::Plan;
use image_builder::emulator::{self, Machine};

fn goes_well(plan: Plan, least: u64) {
    let _turn = emulator::turn().unwrap();
    let (tally, outcome) = plan.run().unwrap();
    println!("{tally}");
    assert!(
        tally.failures.is_empty(),
        "{:?}\n{tally}\n{}",
        tally.failures,
        outcome.report()
    );
    assert!(
        tally.steps >= least,
        "{tally}: the guest does not survive its steps"
    );
    assert!(!tally.kills.is_empty(), "{tally}: the guest dares nothing");
}

#[test]
fn whatever_two_guests_draw_by_lot_everybody_else_goes_on_in_qemu() {
    let mut plan = Plan::new(Machine::Qemu, 1);
    (plan.lives, plan.steps) = (72, 2000);
    goes_well(plan, 100_000);
}

#[test]
fn whatever_two_guests_draw_by_lot_everybody_else_goes_on_in_bochs() {
    let mut plan = Plan::new(Machine::Bochs, 1);
    (plan.lives, plan.steps) = (2, 500);
    goes_well(plan, 500);
}
