//! The table: one line for each check, as it is finished, and what is left to say at the end.
use crate::list::{Check, Group};
use crate::suite::Ending;
use crate::trial::{Trial, Verdict};
use serde::Serialize;
use std::fmt::Write;
use std::time::Duration;

/// How lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Style {
    /// A table for people.
    Table,
    /// One JSON object a line.
    Json,
}

/// Prints trials and counts them.
#[derive(Debug)]
pub(crate) struct Report {
    style: Style,
    check_width: usize,
    place_width: usize,
    caught: usize,
    hung: usize,
    /// Survivors and errors, told again at the end.
    open: String,
    survived: usize,
    errors: usize,
}

#[derive(Serialize)]
struct Row<'a> {
    check: &'a str,
    rule: &'a str,
    suite: &'a str,
    file: &'a str,
    line: usize,
    verdict: &'a str,
    by: &'a str,
}

impl Report {
    /// For a table of these checks.
    pub(crate) fn new<'a>(style: Style, checks: impl Iterator<Item = &'a Check> + Clone) -> Self {
        let widest = |width: fn(&Check) -> usize| checks.clone().map(width).max().unwrap_or(0);
        Self {
            style,
            check_width: widest(|check| check.name.len()),
            place_width: widest(|check| check.file.len()) + ":999".len(),
            caught: 0,
            hung: 0,
            open: String::new(),
            survived: 0,
            errors: 0,
        }
    }

    /// What is above a group's lines: nothing in JSON.
    pub(crate) fn head(&self, group: &Group, tests: usize) -> Option<String> {
        (self.style == Style::Table).then(|| {
            format!(
                "\n{}: {} ({tests} tests pass with all checks in place)",
                group.name, group.about
            )
        })
    }

    /// The line of a trial.
    pub(crate) fn line(&mut self, group: &Group, check: &Check, trial: &Trial) -> String {
        let (verdict, by) = self.count(trial);
        if !matches!(trial.verdict, Verdict::Caught(_)) {
            let _ = write!(self.open, "\n{verdict}: {}: {}", check.name, check.story);
            let _ = write!(self.open, "\n    {}:{}: {by}", check.file, trial.line);
        }
        match self.style {
            Style::Table => format!(
                "{:check_width$}  {:place_width$}  {:8}  {verdict:8}  {by}",
                check.name,
                format!("{}:{}", check.file, trial.line),
                group.name,
                check_width = self.check_width,
                place_width = self.place_width,
            ),
            Style::Json => {
                let row = Row {
                    check: &check.name,
                    rule: &check.rule,
                    suite: &group.name,
                    file: &check.file,
                    line: trial.line,
                    verdict,
                    by: &by,
                };
                serde_json::to_string(&row).unwrap_or_default()
            }
        }
    }

    fn count(&mut self, trial: &Trial) -> (&'static str, String) {
        match &trial.verdict {
            Verdict::Caught(ending) => {
                self.caught += 1;
                self.hung += usize::from(matches!(ending, Ending::Hung(_)));
                let by = match ending {
                    Ending::Failed(test) => test.clone(),
                    Ending::Hung(test) => format!("{test} (did not end in time)"),
                    Ending::Died(test) => format!("{test} (ended the program)"),
                    Ending::Passed(_) => String::new(),
                };
                ("caught", by)
            }
            Verdict::Survived => {
                self.survived += 1;
                ("SURVIVED", "all tests of the suite pass".to_owned())
            }
            Verdict::Error(why) => {
                self.errors += 1;
                ("ERROR", why.clone())
            }
        }
    }

    /// Whether every check was tried and missed.
    pub(crate) fn is_good(&self) -> bool {
        self.survived == 0 && self.errors == 0
    }

    /// Whether some check could not be tried.
    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// The last words.
    pub(crate) fn summary(&self, took: Duration) -> String {
        let (all, seconds) = (self.caught + self.survived + self.errors, took.as_secs());
        format!(
            "{}\n{all} checks removed, one at a time: {} caught ({} by the time limit), {} survived, {} errors; {} min {} s",
            self.open,
            self.caught,
            self.hung,
            self.survived,
            self.errors,
            seconds / 60,
            seconds % 60
        )
    }
}
