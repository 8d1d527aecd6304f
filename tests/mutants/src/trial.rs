//! One check, removed: does its suite notice?
use crate::list::{Check, Group, Program};
use crate::suite::{self, Built, Ending};
use crate::tree::Tree;
use anyhow::{Result, bail};
use image_builder::workspace;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// A test failed, hung or died.
    Caught(Ending),
    /// All tests of the suite passed.
    Survived,
    /// It is no trial: the list does not fit the code, or the mutation does not compile or changes nothing.
    Error(String),
}

/// A check's trial.
#[derive(Debug)]
pub(crate) struct Trial {
    /// Where the check stands, from 1; 0 if it was not found.
    pub(crate) line: usize,
    /// What came of its removal.
    pub(crate) verdict: Verdict,
}

/// Where trials are made.
#[derive(Debug)]
pub(crate) struct Laboratory {
    tree: Tree,
    logs: PathBuf,
    interrupt: Arc<AtomicBool>,
}

impl Laboratory {
    /// Copies the workspace. Trials end early when `interrupt` is set.
    pub(crate) fn new(interrupt: Arc<AtomicBool>) -> Result<Self> {
        let tree = Tree::of_the_workspace()?;
        let logs = workspace::target_dir().join("mutants/logs");
        std::fs::create_dir_all(&logs)?;
        Ok(Self {
            tree,
            logs,
            interrupt,
        })
    }

    /// Runs suites with all checks in place. Returns what was built, and how many tests there are.
    pub(crate) fn baseline(&self, group: &Group, checks: &[&Check]) -> Result<(Built, usize)> {
        let built = match self.build(group)? {
            Ok(built) => built,
            Err(errors) => bail!("the program of {} does not compile:\n{errors}", group.name),
        };
        let mut tests: Vec<String> = checks
            .iter()
            .flat_map(|check| group.tests_of(check))
            .cloned()
            .collect();
        tests.sort_unstable();
        tests.dedup();
        // A filter that no test passes would make any mutation a survivor, or let an entry run nothing at all.
        let parts = match group.program {
            Program::Library => vec![tests],
            Program::Machine => tests.into_iter().map(|test| vec![test]).collect(),
        };
        let mut count = 0;
        for tests in parts {
            let log = self.log(&group.name);
            let limit = Duration::from_secs(group.limit_s);
            match built.run(&self.tree, &tests, limit, &log, &self.interrupt)? {
                Ending::Passed(0) => bail!("{}: no test is called {}", group.name, tests.join(" or ")),
                Ending::Passed(passed) => count += passed,
                ending => bail!(
                    "{} with all checks in place: {ending:?}; see {}",
                    group.name,
                    log.display()
                ),
            }
        }
        Ok((built, count))
    }

    /// Removes one check, builds, runs its suite, and puts the check back.
    pub(crate) fn trial(&self, group: &Group, check: &Check, baseline: &Built) -> Result<Trial> {
        let mutation = match check.apply(self.tree.root()) {
            Ok(mutation) => mutation,
            Err(error) => {
                let verdict = Verdict::Error(format!("{error:#}"));
                return Ok(Trial { line: 0, verdict });
            }
        };
        self.tree.mutate(&check.file, &mutation)?;
        let verdict = self.verdict(group, check, baseline);
        self.tree.restore()?;
        Ok(Trial {
            line: mutation.line,
            verdict: verdict?,
        })
    }

    fn verdict(&self, group: &Group, check: &Check, baseline: &Built) -> Result<Verdict> {
        let built = match self.build(group)? {
            Ok(built) => built,
            Err(errors) => {
                let log = self.log(&check.name);
                std::fs::write(&log, errors)?;
                return Ok(Verdict::Error(format!("does not compile; see {}", log.display())));
            }
        };
        if built.subject == baseline.subject {
            return Ok(Verdict::Error("the program is the same without it".to_owned()));
        }
        let (limit, log) = (Duration::from_secs(group.limit_s), self.log(&check.name));
        let tests = group.tests_of(check);
        Ok(
            match built.run(&self.tree, tests, limit, &log, &self.interrupt)? {
                Ending::Passed(_) => Verdict::Survived,
                ending => Verdict::Caught(ending),
            },
        )
    }

    /// The signal that interrupts us ends the compiler too: that is no verdict on what it compiled.
    fn build(&self, group: &Group) -> Result<Result<Built, String>> {
        let built = suite::build(&self.tree, group.program)?;
        if self.interrupt.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        Ok(built)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(Path::new(name).with_extension("log"))
    }
}
