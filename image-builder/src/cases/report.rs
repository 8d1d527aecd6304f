//! The list of cases: each with its story, the end that is expected, and the end it had.
use super::Shown;
use crate::emulator::Machine;
use crate::manifest::Expect;
use guests::catalogue::{Case, Expected, Group, Suite};
use serde::Serialize;
use std::time::Duration;

/// Columns of a story.
const WIDTH: usize = 110;
/// Columns before it.
const INDENT: &str = "      ";
/// Columns of a name, and of an end.
const NAME: usize = 50;
const END: usize = 36;

/// How lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// A table for people.
    Table,
    /// One JSON object a line.
    Json,
}

/// What stands above the table; with the columns of a run, if there is one.
#[must_use]
pub fn heading(columns: Columns) -> String {
    let line = format!("  {:NAME$}  {:END$}", "case", "expected");
    match columns {
        Columns::Listed => line.trim_end().to_owned(),
        Columns::Run => format!("{line}  {:END$}  verdict", "ended"),
    }
}

/// What a table tells of a case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Columns {
    /// What is expected.
    Listed,
    /// And what came.
    Run,
}

/// A case, as it is listed.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Its suite.
    pub suite: &'a Suite,
    /// Its group.
    pub group: &'a Group,
    /// What it is.
    pub case: &'a Case,
    /// What came of it, if it was run.
    pub shown: Option<&'a Shown>,
}

#[derive(Serialize)]
struct Json<'a> {
    case: &'a str,
    suite: &'a str,
    group: &'a str,
    story: &'a str,
    runs: u32,
    expected: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_expected: Option<bool>,
}

impl Row<'_> {
    /// Its line or lines, without the last newline.
    #[must_use]
    pub fn text(&self, style: Style, machine: Machine) -> String {
        let end = match machine {
            Machine::Qemu => self.case.on_qemu,
            Machine::Bochs => self.case.on_bochs,
        };
        let expected = Expected(self.case.answer, end).to_string();
        match style {
            Style::Table => self.table(&expected),
            Style::Json => self.json(expected),
        }
    }

    fn table(&self, expected: &str) -> String {
        let Case {
            name, story, runs, ..
        } = *self.case;
        let times = match runs {
            1 => String::new(),
            runs => format!(" ({runs} runs)"),
        };
        let mut line = format!("  {:NAME$}  {expected:END$}", format!("{name}{times}"));
        if let Some(shown) = self.shown {
            let verdict = if shown.as_expected {
                "as expected"
            } else {
                "NOT AS EXPECTED"
            };
            line.push_str(&format!("  {:END$}  {verdict}", counted(&shown.ends)));
        }
        let mut text = line.trim_end().to_owned();
        for line in wrapped(story) {
            text.push_str(&format!("\n{INDENT}{line}"));
        }
        text
    }

    fn json(&self, expected: String) -> String {
        let json = Json {
            case: self.case.name,
            suite: self.suite.name,
            group: self.group.name,
            story: self.case.story,
            runs: self.case.runs,
            expected,
            ended: self
                .shown
                .map(|shown| shown.ends.iter().map(|end| in_words(*end)).collect()),
            as_expected: self.shown.map(|shown| shown.as_expected),
        };
        serde_json::to_string(&json).unwrap_or_default()
    }
}

/// An end in words; a guest's code is the line of its check that failed.
fn in_words(end: Option<Expect>) -> String {
    match end {
        None => "no end".to_owned(),
        Some(Expect::Shutdown(0)) => "its checks held".to_owned(),
        Some(Expect::Shutdown(code)) => format!("check at line {code} failed"),
        Some(end) => end.to_string(),
    }
}

/// Ends in the order of their first one, with how often each came.
fn counted(ends: &[Option<Expect>]) -> String {
    let mut kinds: Vec<(String, usize)> = Vec::new();
    for end in ends {
        let words = in_words(*end);
        match kinds.iter_mut().find(|(kind, _)| *kind == words) {
            Some((_, count)) => *count += 1,
            None => kinds.push((words, 1)),
        }
    }
    let texts: Vec<String> = kinds
        .into_iter()
        .map(|(words, count)| {
            if count == 1 {
                words
            } else {
                format!("{count} x {words}")
            }
        })
        .collect();
    texts.join(", ")
}

/// A text in lines of no more than [`WIDTH`] columns, where its words allow that.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if INDENT.len() + line.len() + 1 + word.len() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// What is left to say at the end.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    /// Cases that were run.
    pub cases: usize,
    /// Lives of guests.
    pub lives: usize,
    /// Boots.
    pub boots: usize,
    /// Names of cases that ended otherwise.
    pub others: Vec<&'static str>,
    /// What else was wrong: boots in which something else than a case failed.
    pub failures: usize,
}

impl Sum {
    /// Adds a boot.
    pub fn add(&mut self, shown: &[Shown], is_good: bool) {
        self.boots += 1;
        self.cases += shown.len();
        self.lives += shown.iter().map(|shown| shown.ends.len()).sum::<usize>();
        let others = shown.iter().filter(|shown| !shown.as_expected);
        self.others.extend(others.map(|shown| shown.case));
        self.failures += usize::from(!is_good);
    }

    /// Whether there is nothing to complain of.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.others.is_empty() && self.failures == 0
    }

    /// The last line.
    #[must_use]
    pub fn text(&self, took: Duration) -> String {
        let verdict = match (self.others.as_slice(), self.failures) {
            ([], 0) => "all as expected".to_owned(),
            ([], failures) => format!("all ended as expected, but {failures} boots FAILED"),
            (others, _) => format!("{} NOT AS EXPECTED: {}", others.len(), others.join(", ")),
        };
        let seconds = took.as_secs();
        format!(
            "{} cases, {} lives of guests in {} boots: {verdict}; {} min {} s",
            self.cases,
            self.lives,
            self.boots,
            seconds / 60,
            seconds % 60
        )
    }
}
