//! Manifests for cases: a domain of the guest `suite` that starts again with the next case, and what stands around it.
use super::{Plan, Subject};
use crate::emulator::Machine;
use crate::qemu::Clock;
use abi::reason::Reason;
use guests::catalogue::{self, Case, End, Setting};

/// The keys of a machine in which everything is checked at each end.
pub const MACHINE: &str = "
    console = \"witness\"
    until = \"others-ended\"
    audit = \"each-end\"
";

/// A domain of the witness guest, which must be alive and beating at the end.
pub const WITNESS: &str = "
    [[domain]]
    name = \"witness\"
    kernel = \"witness\"
    memory = \"1M\"
    witness = true
";

/// Holds one value in all its registers, while others look for it.
pub const SECRET_KEEPER: &str = "
    [[domain]]
    name = \"keeper\"
    kernel = \"spinner\"
    cmdline = \"mode=secret\"
    memory = \"1M\"
    witness = true
";

/// The domain of a case that is booted alone.
pub const ALONE: &str = "bad";

/// A group with more incarnations than this gets less memory for each.
const SHORT_LIVES: usize = 20;

const fn end(case: &Case, machine: Machine) -> End {
    match machine {
        Machine::Qemu => case.on_qemu,
        Machine::Bochs => case.on_bochs,
    }
}

/// The ends of all runs of some cases, as a list of a manifest.
fn ends<'a>(cases: impl IntoIterator<Item = &'a Case>, machine: Machine) -> Vec<String> {
    let runs = cases
        .into_iter()
        .flat_map(|case| (0..case.runs).map(move |_| end(case, machine)));
    runs.map(|end| format!("\"{end}\"")).collect()
}

/// A domain that runs all cases of a group, one after another.
///
/// # Panics
/// There is no such group.
#[must_use]
pub fn group_domain(name: &str, machine: Machine) -> String {
    let group = catalogue::group(name).unwrap_or_else(|| panic!("no group {name}"));
    let ends = ends(group.cases, machine);
    // Building and scrubbing a domain is most of a short life.
    let memory = if ends.len() > SHORT_LIVES { "1M" } else { "2M" };
    domain(
        name,
        &format!("group={name}"),
        &format!("memory = \"{memory}\"\nrecord = \"line\"\n{}", lives(&ends)),
    )
}

/// A domain that runs one case, with its record at full length.
#[must_use]
pub fn case_domain(case: &Case, setting: Setting, machine: Machine) -> String {
    let (more, memory) = match setting {
        Setting::Greed => (" ticks=counted", "5M"),
        _ => ("", "2M"),
    };
    domain(
        ALONE,
        &format!("cases={}{more}", case.name),
        &format!("memory = \"{memory}\"\n{}", lives(&ends([case], machine))),
    )
}

/// The keys for as many lives as there are ends.
fn lives(ends: &[String]) -> String {
    let restarts = ends.len().saturating_sub(1);
    let policy = if restarts == 0 {
        String::new()
    } else {
        format!("restart = {{ policy = \"always\", max = {restarts} }}\n")
    };
    format!("{policy}expect = [{}]", ends.join(", "))
}

fn domain(name: &str, cmdline: &str, rest: &str) -> String {
    format!("\n[[domain]]\nname = \"{name}\"\nkernel = \"suite\"\ncmdline = \"{cmdline}\"\n{rest}\n")
}

/// The machine in which domains run.
#[must_use]
pub fn around(setting: Setting, domains: &str) -> String {
    match setting {
        // The witness's turns would move the timer.
        Setting::Counted => domains.to_owned(),
        Setting::Witness | Setting::Greed | Setting::Peers => format!("{MACHINE}{WITNESS}{domains}"),
        Setting::Secret => format!("{MACHINE}{WITNESS}{domains}{SECRET_KEEPER}"),
    }
}

/// One of two domains that know each other by their numbers.
fn peer(case: &Case, role: &str, other: u32, rest: &str) -> String {
    let cmdline = format!("cases={} role={role} peer={other}", case.name);
    domain(role, &cmdline, &format!("memory = \"2M\"\n{rest}"))
}

/// A case of two domains. The one whose ends are told is the one that suffers; the other's are expected as well.
#[must_use]
pub fn peers(case: &'static Case) -> Plan {
    const READER: &str = "
        [[domain]]
        name = \"reader\"
        kernel = \"pv-kernel\"
        memory = \"8M\"
        programs = [[\"cat\"]]
    ";
    let (toml, keys, subject) = match case.name {
        "events-to-the-mortal" => {
            let kinds = [
                "\"shutdown\"".to_owned(),
                "\"reboot\"".to_owned(),
                format!("\"killed:{}\"", Reason::GuestPanic.name()),
                format!("\"killed:{}\"", Reason::CallbackNotPresent.name()),
            ];
            let ends: Vec<String> = kinds.iter().cycle().take(case.runs as usize).cloned().collect();
            let dies = format!("record = \"line\"\n{}", lives(&ends));
            let domains = peer(case, "mortal", 2, &dies) + &peer(case, "sender", 1, "");
            (around(Setting::Peers, &domains), String::new(), "mortal")
        }
        "events-to-the-paused" => {
            let domains = peer(case, "paused", 2, "") + &peer(case, "sender", 1, "");
            // The reader takes its time over so many lines, and the keys behind them wait: so long the other is paused.
            let lines = "a line for the reader\n".repeat(400);
            let keys = format!("\x1dpause paused\n\n{lines}\x1dunpause paused\n\n");
            (format!("{READER}{domains}"), keys, "paused")
        }
        _ => {
            let domains = peer(case, "echo", 2, "") + &peer(case, "storm", 1, "");
            (around(Setting::Peers, &domains), String::new(), "echo")
        }
    };
    Plan {
        name: format!("case-{}", case.name),
        toml,
        keys,
        clock: Clock::Real,
        subjects: vec![Subject {
            domain: subject.to_owned(),
            cases: vec![case],
        }],
    }
}
