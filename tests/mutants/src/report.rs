//! The table: one line for each check, as it is finished, and what is left to say at the end.
use crate::list::{Check, Group};
use crate::suite::Ending;
use crate::trial::{Trial, Verdict};
use serde::Serialize;
use std::fmt::Write;
use std::time::Duration;

/// Exit code: some check was not missed.
const SURVIVED: u8 = 1;
/// Exit code: some check could not be tried.
pub(crate) const NOT_TRIED: u8 = 2;

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

    /// What the process returns.
    pub(crate) fn exit_code(&self) -> u8 {
        match (self.errors, self.survived) {
            (0, 0) => 0,
            (0, _) => SURVIVED,
            _ => NOT_TRIED,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = r#"
        name = "group"
        about = "about"
        program = "library"
        tests = ["a::"]
        limit_s = 1
        [[check]]
        name = "bound"
        rule = "R9"
        story = "what is possible without it"
        file = "src/lib.rs"
        remove = "a"
        put = "b"
    "#;

    fn after(verdicts: &[Verdict]) -> (Report, Vec<String>) {
        let group: Group = toml::from_str(GROUP).unwrap();
        let mut report = Report::new(Style::Json, group.checks.iter());
        let lines = verdicts.iter().map(|verdict| {
            let trial = Trial {
                line: 7,
                verdict: verdict.clone(),
            };
            report.line(&group, &group.checks[0], &trial)
        });
        let lines = lines.collect();
        (report, lines)
    }

    #[test]
    fn only_if_every_removal_was_noticed_is_all_good() {
        let caught = Verdict::Caught(Ending::Failed("a::test".to_owned()));
        let hung = Verdict::Caught(Ending::Hung("a::test".to_owned()));
        let error = Verdict::Error("does not compile".to_owned());
        let code = |verdicts: &[Verdict]| after(verdicts).0.exit_code();
        assert_eq!(code(&[caught.clone(), hung.clone()]), 0);
        assert_eq!(code(&[caught.clone(), Verdict::Survived]), 1);
        assert_eq!(code(&[error.clone(), caught.clone()]), 2);
        assert_eq!(code(&[error.clone(), Verdict::Survived]), 2);

        let (report, _) = after(&[caught, hung, Verdict::Survived, error]);
        let summary = report.summary(Duration::from_secs(61));
        let expected = "4 checks removed, one at a time: 2 caught (1 by the time limit), 1 survived, 1 errors; 1 min 1 s";
        assert!(summary.ends_with(expected), "{summary}");
        assert_eq!(
            summary.matches("what is possible without it").count(),
            2,
            "{summary}"
        );
    }

    #[test]
    fn a_row_says_where_the_check_stands_and_which_test_noticed() {
        let (_, lines) = after(&[Verdict::Caught(Ending::Failed("a::test".to_owned()))]);
        let expected = concat!(
            r#"{"check":"bound","rule":"R9","suite":"group","file":"src/lib.rs","line":7,"#,
            r#""verdict":"caught","by":"a::test"}"#
        );
        assert_eq!(lines, [expected]);
    }
}
