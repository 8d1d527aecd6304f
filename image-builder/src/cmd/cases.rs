//! `cases`: the bad guests, one by one or all of them.
use super::{FAILED, NOT_TRIED};
use crate::cases::report::{self, Columns, Row, Style, Sum};
use crate::cases::{Plan, Shown, alone, meant, of_groups, place_of, runs_on};
use crate::emulator::Machine;
use crate::scene::{Outcome, Scene};
use crate::verdict::Stop;
use crate::{cli, workspace};
use anyhow::{Context, Result, bail};
use guests::catalogue::{self, Group, SUITES, Suite};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

/// Boots at a time.
const JOBS: usize = 2;

pub(super) fn execute(arguments: &cli::Cases) -> Result<ExitCode> {
    let (machine, style) = (arguments.machine.into(), arguments.style());
    let chosen = choose(&arguments.names, machine)?;
    if style == Style::Table {
        say(&report::heading(if arguments.list {
            Columns::Listed
        } else {
            Columns::Run
        }));
    }
    if arguments.list {
        for suite in &chosen {
            suite.list(style, machine);
        }
        if style == Style::Table {
            let count: usize = chosen.iter().map(|chosen| chosen.cases().count()).sum();
            say(&format!("{count} cases"));
        }
        return Ok(ExitCode::SUCCESS);
    }
    run(&chosen, style, machine)
}

/// What is chosen of a suite.
enum Chosen {
    /// Whole groups.
    Groups(&'static Suite, Vec<&'static Group>),
    /// One case.
    Case(&'static str),
}

impl Chosen {
    fn plans(&self, machine: Machine) -> Vec<Plan> {
        match self {
            Self::Groups(suite, groups) => of_groups(suite, groups, machine),
            Self::Case(name) => alone(name, machine).into_iter().collect(),
        }
    }

    fn cases(&self) -> impl Iterator<Item = &'static str> + '_ {
        let (groups, case) = match self {
            Self::Groups(_, groups) => (groups.as_slice(), None),
            Self::Case(name) => (&[][..], Some(*name)),
        };
        let cases = groups.iter().flat_map(|group| group.cases);
        cases.map(|case| case.name).chain(case)
    }

    fn list(&self, style: Style, machine: Machine) {
        let mut heading = None;
        for name in self.cases() {
            print_row(name, None, &mut heading, style, machine);
        }
    }
}

/// Prints a line; a reader that went away ends nothing.
fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// Prints a row, with its group above it where that is another one than the last row's.
fn print_row(
    name: &str,
    shown: Option<&Shown>,
    heading: &mut Option<&'static str>,
    style: Style,
    machine: Machine,
) {
    let Some((suite, group, case)) = place_of(name) else {
        return;
    };
    if style == Style::Table && heading.replace(group.name) != Some(group.name) {
        say(&format!("{}:", group.name));
    }
    let row = Row {
        suite,
        group,
        case,
        shown,
    };
    say(&row.text(style, machine));
}

/// What names of suites, groups and cases mean; everything that the machine can run, if there are none.
fn choose(names: &[String], machine: Machine) -> Result<Vec<Chosen>> {
    let whole = |suite: &'static Suite| {
        let groups = suite.groups.iter().filter_map(|name| catalogue::group(name));
        Chosen::Groups(suite, groups.collect())
    };
    if names.is_empty() {
        return Ok(SUITES
            .iter()
            .filter(|suite| runs_on(suite, machine))
            .map(whole)
            .collect());
    }
    names
        .iter()
        .map(|name| {
            let by_group = |suite: &&Suite| suite.groups.contains(&name.as_str());
            let (suite, chosen) = if let Some(suite) = SUITES.iter().find(|suite| suite.name == name) {
                (suite, whole(suite))
            } else if let (Some(suite), Some(group)) = (SUITES.iter().find(by_group), catalogue::group(name))
            {
                (suite, Chosen::Groups(suite, vec![group]))
            } else if let Some((suite, _, case)) = place_of(name) {
                (suite, Chosen::Case(case.name))
            } else {
                bail!(
                    "there is no case, no group and no suite called {name}{}",
                    meant(name)
                )
            };
            if !runs_on(suite, machine) {
                bail!("{name} does not run in Bochs, which counts no instructions and takes no keys");
            }
            Ok(chosen)
        })
        .collect()
}

/// What the boots share.
struct Progress<'a> {
    left: std::vec::IntoIter<Plan>,
    sum: Sum,
    interrupt: &'a Arc<AtomicBool>,
}

fn run(chosen: &[Chosen], style: Style, machine: Machine) -> Result<ExitCode> {
    let interrupt = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupt)).context("cannot listen for signals")?;
    }
    let plans: Vec<Plan> = chosen.iter().flat_map(|chosen| chosen.plans(machine)).collect();
    let started = Instant::now();
    let progress = Mutex::new(Progress {
        left: plans.into_iter(),
        sum: Sum::default(),
        interrupt: &interrupt,
    });
    thread::scope(|scope| {
        let jobs: Vec<_> = (0..JOBS)
            .map(|_| scope.spawn(|| boots(&progress, style, machine)))
            .collect();
        jobs.into_iter().try_for_each(|job| match job.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    let sum = progress.into_inner().unwrap_or_else(PoisonError::into_inner).sum;
    let text = sum.text(started.elapsed());
    match style {
        Style::Table => say(&text),
        Style::Json => eprintln!("image-builder: {text}"),
    }
    Ok(match (interrupt.load(Ordering::Relaxed), sum.is_good()) {
        (true, _) => ExitCode::from(NOT_TRIED),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::from(FAILED),
    })
}

/// Boots what is left, until nothing is.
fn boots(progress: &Mutex<Progress<'_>>, style: Style, machine: Machine) -> Result<()> {
    loop {
        let (plan, interrupt) = {
            let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
            match progress.left.next() {
                Some(plan) => (plan, Arc::clone(progress.interrupt)),
                None => return Ok(()),
            }
        };
        let scene = Scene::from_toml(&plan.toml)?;
        let outcome = plan.boot(machine, &interrupt)?;
        if outcome.stop == Stop::Interrupted {
            bail!("interrupted");
        }
        let shown = plan.shown(scene.manifest(), &outcome.machine_lines);
        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        let mut heading = None;
        for shown in &shown {
            print_row(shown.case, Some(shown), &mut heading, style, machine);
        }
        print_failures(&plan, &outcome);
        progress.sum.add(&shown, outcome.verdict.is_good());
    }
}

/// Whatever is wrong in a boot, the ends of other domains too.
fn print_failures(plan: &Plan, outcome: &Outcome) {
    if outcome.verdict.is_good() {
        return;
    }
    for failure in &outcome.verdict.failures {
        eprintln!("image-builder: failed: {failure}");
    }
    let transcript = workspace::target_dir()
        .join("e2e")
        .join(format!("{}.log", plan.name));
    eprintln!("image-builder: the transcript is {}", transcript.display());
}
