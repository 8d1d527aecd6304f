//! The cases of bad guests as boots: which scene runs them, and what came of each.
//!
//! [`guests::catalogue`] has their names, stories and ends, and the guest `suite` has their code. [`scene`] makes a manifest for
//! some of them, [`Plan`] is one boot, [`report`] says what it showed. That a guest dies as it should, or finds everything as it
//! should be and shuts down with code 0, is read from the second serial port, like any other verdict.
pub mod report;
pub mod scene;

use crate::emulator::Machine;
use crate::machine_line::MachineLine;
use crate::manifest::{Expect, Manifest};
use crate::qemu::Clock;
use crate::scene::{Options, Outcome, Scene};
use crate::similar::similar;
use crate::verdict::{end_of, ends_of};
use anyhow::Result;
use guests::catalogue::{self, Case, Group, Setting, Suite};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// A domain that runs cases, one after another.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The domain's name.
    pub domain: String,
    /// In the order in which they run.
    pub cases: Vec<&'static Case>,
}

/// One boot.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Names the run's files.
    pub name: String,
    /// Its scene.
    pub toml: String,
    /// What is typed.
    pub keys: String,
    /// How time passes.
    pub clock: Clock,
    /// Who shows what.
    pub subjects: Vec<Subject>,
}

/// What came of a case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// The case's name.
    pub case: &'static str,
    /// How its runs ended, as far as they did.
    pub ends: Vec<Option<Expect>>,
    /// Whether that is what its scene expects.
    pub as_expected: bool,
}

/// Whether a suite can run on a machine: Bochs counts no instructions and takes no keys.
#[must_use]
pub fn runs_on(suite: &Suite, machine: Machine) -> bool {
    machine == Machine::Qemu || matches!(suite.setting, Setting::Witness | Setting::Secret)
}

/// The suite and the group of a case.
#[must_use]
pub fn place_of(name: &str) -> Option<(&'static Suite, &'static Group, &'static Case)> {
    let group = catalogue::GROUPS
        .iter()
        .find(|group| group.cases.iter().any(|case| case.name == name))?;
    let suite = catalogue::SUITES
        .iter()
        .find(|suite| suite.groups.contains(&group.name))?;
    Some((suite, group, catalogue::case(name)?))
}

/// What stands behind the name of a case, a group or a suite that is not there: which may have been meant, or where all are.
#[must_use]
pub fn meant(name: &str) -> String {
    let suites = catalogue::SUITES.iter().map(|suite| suite.name);
    let groups = catalogue::GROUPS.iter().map(|group| group.name);
    let cases = catalogue::GROUPS.iter().flat_map(|group| group.cases);
    let names = suites.chain(groups).chain(cases.map(|case| case.name));
    similar(name, names).map_or_else(
        || ": see `cases --list`".to_owned(),
        |meant| format!(" (there is {meant}): see `cases --list`"),
    )
}

/// A case alone, as it is run in a suite.
#[must_use]
pub fn alone(name: &str, machine: Machine) -> Option<Plan> {
    let (suite, _, case) = place_of(name)?;
    Some(match suite.setting {
        Setting::Peers => scene::peers(case),
        setting => Plan {
            name: format!("case-{name}"),
            toml: scene::around(setting, &scene::case_domain(case, setting, machine)),
            keys: String::new(),
            clock: clock(setting),
            subjects: vec![Subject {
                domain: scene::ALONE.to_owned(),
                cases: vec![case],
            }],
        },
    })
}

/// Boots for groups of a suite: as few as its setting allows.
#[must_use]
pub fn of_groups(suite: &Suite, groups: &[&'static Group], machine: Machine) -> Vec<Plan> {
    if matches!(suite.setting, Setting::Greed | Setting::Peers) {
        let cases = groups.iter().flat_map(|group| group.cases);
        return cases.filter_map(|case| alone(case.name, machine)).collect();
    }
    let domains: Vec<String> = groups
        .iter()
        .map(|group| scene::group_domain(group.name, machine))
        .collect();
    vec![Plan {
        name: format!("cases-{}", suite.name),
        toml: scene::around(suite.setting, &domains.concat()),
        keys: String::new(),
        clock: clock(suite.setting),
        subjects: groups
            .iter()
            .map(|group| Subject {
                domain: group.name.to_owned(),
                cases: group.cases.iter().collect(),
            })
            .collect(),
    }]
}

const fn clock(setting: Setting) -> Clock {
    match setting {
        Setting::Counted | Setting::Greed => Clock::Instructions,
        Setting::Witness | Setting::Secret | Setting::Peers => Clock::Real,
    }
}

impl Plan {
    /// How it is booted.
    #[must_use]
    pub fn options(&self, machine: Machine) -> Options {
        let seconds = match machine {
            Machine::Qemu => 180,
            Machine::Bochs => 400,
        };
        Options {
            machine,
            clock: self.clock,
            limit: Some(Duration::from_secs(seconds)),
            ..Options::new(&self.name).typing(self.keys.as_str())
        }
    }

    /// Boots it, and keeps the transcript.
    pub fn boot(&self, machine: Machine, interrupt: &Arc<AtomicBool>) -> Result<Outcome> {
        Scene::from_toml(&self.toml)?.boot_until(&self.options(machine), interrupt)
    }

    /// What the lines of a boot show of each case.
    #[must_use]
    pub fn shown(&self, manifest: &Manifest, lines: &[MachineLine]) -> Vec<Shown> {
        let mut shown = Vec::new();
        for subject in &self.subjects {
            let ends: Vec<Option<Expect>> = ends_of(&subject.domain, lines).map(end_of).collect();
            let domain = manifest
                .domains
                .iter()
                .find(|domain| domain.name == subject.domain);
            let expected = |life: usize| domain.and_then(|domain| domain.expect.of(life));
            let mut life = 0;
            for case in &subject.cases {
                let lives = life..life + case.runs as usize;
                life = lives.end;
                let ends: Vec<Option<Expect>> = lives
                    .clone()
                    .map(|life| ends.get(life).copied().flatten())
                    .collect();
                let as_expected = lives.zip(&ends).all(|(life, end)| match (expected(life), end) {
                    (Some(expected), Some(end)) => expected.admits(*end),
                    _ => false,
                });
                shown.push(Shown {
                    case: case.name,
                    ends,
                    as_expected,
                });
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests;
