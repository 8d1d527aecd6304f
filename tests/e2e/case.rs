//! `cargo test NAME` runs the case of that name alone, in QEMU; `cargo test NAME::bochs` does so in Bochs.
//!
//! Only a whole name runs one: in the suites the cases share boots, and a part of a name, which may be meant for another test,
//! boots nothing here. `cargo test -p e2e --test case -- --list` tells the names.
use e2e::Boot;
use guests::catalogue;
use image_builder::cases;
use image_builder::emulator::Machine;
use libtest_mimic::{Arguments, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let is_wanted = |name: &str| match &arguments.filter {
        Some(filter) => filter.replace('_', "-") == name,
        None => arguments.list,
    };
    let trials: Vec<Trial> = trials()
        .filter(|(name, ..)| is_wanted(name))
        .map(|(name, case, machine)| Trial::test(name, move || boot(case, machine)))
        .collect();
    // The name is whole, and may be a part of others'.
    let arguments = Arguments {
        filter: None,
        ..arguments
    };
    libtest_mimic::run(&arguments, trials).exit()
}

/// The name of each test, its case, its machine.
fn trials() -> impl Iterator<Item = (String, &'static str, Machine)> {
    let cases = catalogue::GROUPS.iter().flat_map(|group| group.cases);
    cases.flat_map(|case| {
        let on_bochs = cases::place_of(case.name)
            .filter(|(suite, ..)| cases::runs_on(suite, Machine::Bochs))
            .map(|_| (format!("{}::bochs", case.name), case.name, Machine::Bochs));
        [(case.name.to_owned(), case.name, Machine::Qemu)]
            .into_iter()
            .chain(on_bochs)
    })
}

fn boot(case: &str, machine: Machine) -> Result<(), libtest_mimic::Failed> {
    let plan = cases::alone(case, machine).ok_or("there is no such case")?;
    let _ = Boot::of(&plan, machine).must_be_good();
    Ok(())
}
