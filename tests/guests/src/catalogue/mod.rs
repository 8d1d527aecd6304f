//! The cases of the guest `suite`: name, story, and how each must end.
//!
//! A domain whose command line says `group=NAME` runs the group's cases one after another, one per incarnation, each
//! case as often as its [`Case::runs`] says; `cases=A,B` runs the named ones so. The guest and the judge read the same
//! list, so that neither can forget a case.
use abi::reason::Reason;
use core::fmt;

mod attacks;
mod events;
mod injections;
mod kills;
mod refusals;

pub use attacks::BAD_CHAINS;
pub use injections::{JUMPS, JUMPS_EACH};
pub use kills::SWEEP;

/// How an incarnation ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The guest finds everything as it should be and powers off with code 0.
    Passes,
    /// The hypervisor kills it.
    Killed(Reason),
    /// One or the other, for whatever reason: what matters is that everybody else goes on.
    Orderly,
}

impl fmt::Display for End {
    /// As a manifest's `expect` says it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passes => formatter.write_str("shutdown"),
            Self::Killed(reason) => write!(formatter, "killed:{}", reason.name()),
            Self::Orderly => formatter.write_str("any"),
        }
    }
}

/// What the hypervisor has to do about a case that its guest survives; the guest itself checks that it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Each call is refused with its error code, and has changed nothing.
    Refusal,
    /// The guest kernel gets a fault of its own.
    Fault,
    /// Nothing: the guest goes on.
    Nothing,
}

/// One behaviour.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Unique.
    pub name: &'static str,
    /// The rule, what an attacker would gain, how it is seen.
    pub story: &'static str,
    /// How many incarnations it takes; each gets its number, from 0.
    pub runs: u32,
    /// What is to come of it, where it passes.
    pub answer: Answer,
    /// How it ends on QEMU (TCG).
    pub on_qemu: End,
    /// How it ends on Bochs.
    pub on_bochs: End,
}

impl Case {
    const fn new(name: &'static str, end: End, story: &'static str) -> Self {
        Self {
            name,
            story,
            runs: 1,
            answer: Answer::Nothing,
            on_qemu: end,
            on_bochs: end,
        }
    }

    const fn passes(name: &'static str, story: &'static str) -> Self {
        Self::new(name, End::Passes, story)
    }

    const fn refused(name: &'static str, story: &'static str) -> Self {
        let answer = Answer::Refusal;
        Self {
            answer,
            ..Self::passes(name, story)
        }
    }

    const fn faults(name: &'static str, story: &'static str) -> Self {
        Self::passes(name, story).or_faults()
    }

    /// Where it passes, that is by a fault.
    const fn or_faults(self) -> Self {
        let answer = Answer::Fault;
        Self { answer, ..self }
    }

    const fn dies(name: &'static str, reason: Reason, story: &'static str) -> Self {
        Self::new(name, End::Killed(reason), story)
    }

    const fn anything_orderly(name: &'static str, story: &'static str) -> Self {
        Self::new(name, End::Orderly, story)
    }

    const fn times(self, runs: u32) -> Self {
        Self { runs, ..self }
    }

    const fn on_bochs(self, end: End) -> Self {
        Self {
            on_bochs: end,
            ..self
        }
    }
}

/// What is to come of a case that ends so, in words.
#[derive(Clone, Copy, Debug)]
pub struct Expected(pub Answer, pub End);

impl fmt::Display for Expected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.1, self.0) {
            (End::Passes, Answer::Refusal) => formatter.write_str("error code"),
            (End::Passes, Answer::Fault) => formatter.write_str("fault of its own"),
            (End::Passes, Answer::Nothing) => formatter.write_str("goes on"),
            (End::Killed(reason), _) => write!(formatter, "killed:{}", reason.name()),
            (End::Orderly, _) => formatter.write_str("any orderly end"),
        }
    }
}

/// Cases that share a domain.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Unique.
    pub name: &'static str,
    /// In the order in which they run.
    pub cases: &'static [Case],
}

/// Every group.
pub const GROUPS: &[Group] = &[
    Group {
        name: "handlers",
        cases: kills::HANDLERS,
    },
    Group {
        name: "segments",
        cases: kills::SEGMENTS,
    },
    Group {
        name: "stacks",
        cases: kills::STACKS,
    },
    Group {
        name: "stack-sweep",
        cases: kills::STACK_SWEEP,
    },
    Group {
        name: "exits",
        cases: kills::EXITS,
    },
    Group {
        name: "registration",
        cases: refusals::REGISTRATION,
    },
    Group {
        name: "descriptors",
        cases: refusals::DESCRIPTORS,
    },
    Group {
        name: "calls",
        cases: refusals::CALLS,
    },
    Group {
        name: "paging",
        cases: refusals::PAGING,
    },
    Group {
        name: "events",
        cases: events::EVENTS,
    },
    Group {
        name: "event-kills",
        cases: events::KILLS,
    },
    Group {
        name: "event-windows",
        cases: events::WINDOWS,
    },
    Group {
        name: "event-peers",
        cases: events::PEERS,
    },
    Group {
        name: "privileged",
        cases: injections::PRIVILEGED,
    },
    Group {
        name: "returns",
        cases: injections::RETURNS,
    },
    Group {
        name: "frames",
        cases: injections::FRAMES,
    },
    Group {
        name: "switcher",
        cases: injections::SWITCHER,
    },
    Group {
        name: "switcher-jumps",
        cases: injections::SWITCHER_JUMPS,
    },
    Group {
        name: "console",
        cases: injections::CONSOLE,
    },
    Group {
        name: "entries",
        cases: attacks::ENTRIES,
    },
    Group {
        name: "virtual-mode",
        cases: attacks::VIRTUAL_MODE,
    },
    Group {
        name: "edges",
        cases: attacks::EDGES,
    },
    Group {
        name: "dead-on-return",
        cases: attacks::DEAD_ON_RETURN,
    },
    Group {
        name: "backtraces",
        cases: attacks::BACKTRACES,
    },
    Group {
        name: "greed",
        cases: attacks::GREED,
    },
    Group {
        name: "nonsense",
        cases: attacks::NONSENSE,
    },
];

/// Groups that share a boot.
#[derive(Clone, Copy, Debug)]
pub struct Suite {
    /// Unique.
    pub name: &'static str,
    /// Their names.
    pub groups: &'static [&'static str],
    /// What else is in the machine.
    pub setting: Setting,
}

/// What a machine is like in which cases run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Setting {
    /// A domain for each group, beside a witness.
    Witness,
    /// The same, and one that holds a secret.
    Secret,
    /// A domain for each group, alone, where time is the number of executed instructions.
    Counted,
    /// A boot for each case, beside a witness, with room; ticks are counted, as instructions are.
    Greed,
    /// A boot for each case, in two domains: the roles by which they are named, the first being number 1.
    Peers,
}

/// Every suite: each group is in one of them.
pub const SUITES: &[Suite] = &[
    suite(
        "kills",
        &["handlers", "segments", "stacks", "exits"],
        Setting::Witness,
    ),
    suite("stack-sweep", &["stack-sweep"], Setting::Witness),
    suite(
        "refusals",
        &["registration", "descriptors", "calls", "paging"],
        Setting::Witness,
    ),
    suite(
        "injections",
        &["privileged", "returns", "frames"],
        Setting::Witness,
    ),
    suite("events", &["events", "event-kills"], Setting::Witness),
    suite("event-windows", &["event-windows"], Setting::Counted),
    suite("event-peers", &["event-peers"], Setting::Peers),
    suite("switcher", &["switcher"], Setting::Secret),
    suite("switcher-jumps", &["switcher-jumps"], Setting::Witness),
    suite("console", &["console"], Setting::Witness),
    suite(
        "attacks",
        &["entries", "edges", "virtual-mode", "dead-on-return", "backtraces"],
        Setting::Witness,
    ),
    suite("greed", &["greed"], Setting::Greed),
    suite("nonsense", &["nonsense"], Setting::Witness),
];

const fn suite(name: &'static str, groups: &'static [&'static str], setting: Setting) -> Suite {
    Suite {
        name,
        groups,
        setting,
    }
}

/// The group of this name.
#[must_use]
pub fn group(name: &str) -> Option<&'static Group> {
    GROUPS.iter().find(|group| group.name == name)
}

/// The case of this name.
#[must_use]
pub fn case(name: &str) -> Option<&'static Case> {
    GROUPS
        .iter()
        .flat_map(|group| group.cases)
        .find(|case| case.name == name)
}

/// Which case, and which of its runs, incarnation number `incarnation` of a list is.
#[must_use]
pub fn pick<'a>(cases: impl Iterator<Item = &'a Case>, incarnation: u32) -> Option<(&'a Case, u32)> {
    let mut left = incarnation;
    for case in cases {
        if left < case.runs {
            return Some((case, left));
        }
        left -= case.runs;
    }
    None
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_cases_and_no_two_groups_share_a_name() {
        let mut seen = BTreeSet::new();
        for name in GROUPS.iter().flat_map(|group| group.cases).map(|case| case.name) {
            assert!(seen.insert(name), "{name} twice");
        }
        let groups: BTreeSet<_> = GROUPS.iter().map(|group| group.name).collect();
        assert_eq!(groups.len(), GROUPS.len());
    }

    #[test]
    fn every_run_of_every_case_is_picked_once_and_in_order() {
        let cases = [Case::passes("a", "").times(2), Case::passes("b", "").times(3)];
        let picked: std::vec::Vec<_> = (0..6)
            .map(|n| pick(cases.iter(), n).map(|(case, run)| (case.name, run)))
            .collect();
        assert_eq!(
            picked,
            [
                Some(("a", 0)),
                Some(("a", 1)),
                Some(("b", 0)),
                Some(("b", 1)),
                Some(("b", 2)),
                None
            ]
        );
    }

    #[test]
    fn every_case_tells_its_story() {
        for case in GROUPS.iter().flat_map(|group| group.cases) {
            assert!(case.story.len() > 30, "{} says too little", case.name);
            assert!(case.runs > 0, "{} never runs", case.name);
        }
    }

    #[test]
    fn every_group_is_in_one_suite() {
        let mut of_suites: std::vec::Vec<_> = SUITES.iter().flat_map(|suite| suite.groups).copied().collect();
        let mut all: std::vec::Vec<_> = GROUPS.iter().map(|group| group.name).collect();
        of_suites.sort_unstable();
        all.sort_unstable();
        assert_eq!(of_suites, all);
    }

    #[test]
    fn ends_are_written_as_manifests_write_them() {
        assert_eq!(std::format!("{}", End::Passes), "shutdown");
        assert_eq!(
            std::format!("{}", End::Killed(Reason::NoHandler)),
            "killed:no-handler"
        );
    }
}
