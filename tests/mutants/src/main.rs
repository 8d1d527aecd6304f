//! Removes one check of the hypervisor at a time and sees whether a test notices.
//!
//! [`list`] says which checks, [`tree`] has the private copy of the sources in which they are removed, [`suite`] builds and
//! runs the tests that should notice, [`trial`] is one removal, [`report`] the table of all.
#![forbid(unsafe_code)]

mod list;
mod report;
mod suite;
mod tree;
mod trial;

use anyhow::{Context, Result, bail};
use clap::Parser;
use image_builder::workspace;
use list::{Check, Group};
use report::{NOT_TRIED, Report, Style};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use trial::Laboratory;

/// Removes one check of xen-lite at a time, builds, runs the tests that should notice, and prints which one did.
///
/// Works on a copy of the sources below the target directory.
#[derive(Debug, Parser)]
#[command(name = "mutants", after_help = EXIT_CODES)]
struct Cli {
    /// Groups or single checks [default: every group but those on request]
    names: Vec<String>,
    /// Says what there is
    #[arg(long)]
    list: bool,
    /// One JSON object a line, no table
    #[arg(long)]
    json: bool,
}

const EXIT_CODES: &str = "Exit codes: 0 the removal of every check was noticed, 1 some check was not missed, \
                          2 some check could not be tried";

fn main() -> ExitCode {
    execute(&Cli::parse()).unwrap_or_else(|error| {
        eprintln!("mutants: {error:#}");
        ExitCode::from(NOT_TRIED)
    })
}

fn execute(cli: &Cli) -> Result<ExitCode> {
    let groups = Group::all()?;
    if cli.list {
        print_list(&groups);
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = choose(&groups, &cli.names)?;
    let _one_at_a_time = workspace::lock("mutants")?;
    let interrupt = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupt)).context("cannot listen for signals")?;
    }
    let (laboratory, started) = (Laboratory::new(interrupt)?, Instant::now());
    let style = if cli.json { Style::Json } else { Style::Table };
    let all = chosen.iter().flat_map(|(_, checks)| checks).copied();
    let mut report = Report::new(style, all);
    for (group, checks) in &chosen {
        let (baseline, tests) = laboratory.baseline(group, checks)?;
        if let Some(head) = report.head(group, tests) {
            println!("{head}");
        }
        for check in checks {
            let trial = laboratory.trial(group, check, &baseline)?;
            println!("{}", report.line(group, check, &trial));
        }
    }
    if style == Style::Table {
        println!("{}", report.summary(started.elapsed()));
    }
    Ok(ExitCode::from(report.exit_code()))
}

/// A group and those of its checks that are to be tried.
type Chosen<'a> = (&'a Group, Vec<&'a Check>);

/// The groups and checks that the command line names.
fn choose<'a>(groups: &'a [Group], names: &[String]) -> Result<Vec<Chosen<'a>>> {
    let is_named = |name: &String| names.contains(name);
    let known = groups
        .iter()
        .flat_map(|group| group.checks.iter().map(|check| &check.name).chain([&group.name]));
    if let Some(unknown) = names
        .iter()
        .find(|name| !known.clone().any(|known| known == *name))
    {
        bail!("there is no group and no check called {unknown}: see --list");
    }
    let mut chosen = Vec::new();
    for group in groups {
        let whole = is_named(&group.name) || (names.is_empty() && !group.on_request);
        let checks: Vec<&Check> = group
            .checks
            .iter()
            .filter(|check| whole || is_named(&check.name))
            .collect();
        if !checks.is_empty() {
            chosen.push((group, checks));
        }
    }
    Ok(chosen)
}

fn print_list(groups: &[Group]) {
    for group in groups {
        let note = if group.on_request { "; on request" } else { "" };
        println!(
            "{}: {} ({} checks{note})",
            group.name,
            group.about,
            group.checks.len()
        );
        for check in &group.checks {
            println!("  {:34} {:3}  {}", check.name, check.rule, check.story);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_on_request_are_run_when_they_are_named() {
        let groups = Group::all().unwrap();
        let names = |chosen: Vec<Chosen<'_>>| -> Vec<String> {
            chosen.iter().map(|(group, _)| group.name.clone()).collect()
        };
        let default: Vec<String> = groups
            .iter()
            .filter(|group| !group.on_request)
            .map(|group| group.name.clone())
            .collect();
        assert_eq!(names(choose(&groups, &[]).unwrap()), default);
        for group in &groups {
            let chosen = choose(&groups, std::slice::from_ref(&group.name)).unwrap();
            assert_eq!(chosen[0].1.len(), group.checks.len());
            assert_eq!(names(chosen), std::slice::from_ref(&group.name));
        }
    }

    #[test]
    fn a_single_check_can_be_named_and_an_unknown_name_is_refused() {
        let groups = Group::all().unwrap();
        let name = &groups[0].checks[1].name;
        let chosen = choose(&groups, std::slice::from_ref(name)).unwrap();
        assert_eq!((chosen.len(), &chosen[0].1[0].name), (1, name));
        assert!(choose(&groups, &["no-such-check".to_owned()]).is_err());
    }
}
