//! The checks that are removed, as data: `lists/*.toml`, one file for each group.
//!
//! A check is known by the text of the code that makes it. The text must stand there exactly once, in the whole file or in
//! the item that the entry names: a list that no longer fits the code is an error, not a check that is quietly passed over.
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::path::Path;

/// All lists. What is built in here is what is in the working tree: both are one commit.
const LISTS: [(&str, &str); 9] = [
    ("paging.toml", include_str!("../lists/paging.toml")),
    ("guest-memory.toml", include_str!("../lists/guest-memory.toml")),
    ("calls.toml", include_str!("../lists/calls.toml")),
    ("traps.toml", include_str!("../lists/traps.toml")),
    ("events.toml", include_str!("../lists/events.toml")),
    ("scheduler.toml", include_str!("../lists/scheduler.toml")),
    ("console.toml", include_str!("../lists/console.toml")),
    ("images.toml", include_str!("../lists/images.toml")),
    ("machine.toml", include_str!("../lists/machine.toml")),
];

/// Checks that one suite is to notice.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    /// What the command line calls it.
    pub(crate) name: String,
    /// What its checks keep.
    pub(crate) about: String,
    /// The program whose tests are run.
    pub(crate) program: Program,
    /// Which of its tests: those whose name contains one of these.
    pub(crate) tests: Vec<String>,
    /// How many seconds these tests may take.
    pub(crate) limit_s: u64,
    /// Only run when it is named.
    #[serde(default)]
    pub(crate) on_request: bool,
    /// The checks.
    #[serde(rename = "check")]
    pub(crate) checks: Vec<Check>,
}

/// Where tests come from.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq, Debug)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Program {
    /// The tests beside the hypervisor's code.
    Library,
    /// The tests that boot images: the mutation is one of the bare-metal binary.
    Machine,
}

/// One check, and how it is removed.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Check {
    /// Kebab-case.
    pub(crate) name: String,
    /// What is possible without it.
    pub(crate) story: String,
    /// The rule that it keeps, if it is one of R1 to R20.
    #[serde(default)]
    pub(crate) rule: String,
    /// The file, from the workspace's root.
    pub(crate) file: String,
    /// The item's first line or a part of it, where `remove` alone is not unique: a function's head, as a rule. The item
    /// ends with the line that closes it, at the same indentation.
    #[serde(rename = "in")]
    pub(crate) item: Option<String>,
    /// The text that makes the check.
    pub(crate) remove: String,
    /// What stands there instead.
    pub(crate) put: String,
    /// The tests to run, if not the group's.
    pub(crate) tests: Option<Vec<String>>,
}

impl Group {
    /// Every group, in the order in which they are run.
    pub(crate) fn all() -> Result<Vec<Self>> {
        let groups: Result<Vec<Self>> = LISTS
            .iter()
            .map(|(file, text)| toml::from_str(text).with_context(|| format!("in lists/{file}")))
            .collect();
        let groups = groups?;
        let mut names: Vec<&str> = groups
            .iter()
            .flat_map(|group| {
                group
                    .checks
                    .iter()
                    .map(|check| &*check.name)
                    .chain([&*group.name])
            })
            .collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            bail!("two checks or groups are called {}", pair[0]);
        }
        Ok(groups)
    }

    /// The tests that are to notice that `check` is gone.
    pub(crate) fn tests_of<'a>(&'a self, check: &'a Check) -> &'a [String] {
        check.tests.as_deref().unwrap_or(&self.tests)
    }
}

/// A source file without its check.
#[derive(Debug)]
pub(crate) struct Mutation {
    /// The file's text.
    pub(crate) text: String,
    /// The line where the check stood, from 1.
    pub(crate) line: usize,
}

impl Check {
    /// Removes the check from the file in the tree at `root`.
    pub(crate) fn apply(&self, root: &Path) -> Result<Mutation> {
        let path = root.join(&self.file);
        let source = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", self.file))?;
        self.apply_to(&source)
            .with_context(|| format!("{} does not fit {}", self.name, self.file))
    }

    fn apply_to(&self, source: &str) -> Result<Mutation> {
        ensure!(self.remove != self.put, "the two texts are the same");
        let (start, end) = match &self.item {
            Some(head) => item(source, head)?,
            None => (0, source.len()),
        };
        let at = start + only_place(&source[start..end], &self.remove)?;
        let (before, after) = (&source[..at], &source[at + self.remove.len()..]);
        Ok(Mutation {
            text: [before, &self.put, after].concat(),
            line: before.matches('\n').count() + 1,
        })
    }
}

fn only_place(text: &str, wanted: &str) -> Result<usize> {
    let mut places = text.match_indices(wanted).map(|(at, _)| at);
    match (places.next(), places.count()) {
        (_, _) if wanted.is_empty() => bail!("no text is given"),
        (Some(at), 0) => Ok(at),
        (None, _) => bail!("not found: {wanted}"),
        (Some(_), more) => bail!("found {} times: {wanted}", more + 1),
    }
}

/// From the line that holds `head` to the next one that begins with `}` at its indentation.
fn item(source: &str, head: &str) -> Result<(usize, usize)> {
    let at = only_place(source, head)?;
    let start = source[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = &source[start..];
    let indentation = &line[..line.len() - line.trim_start().len()];
    let closing = format!("\n{indentation}}}");
    let end = line
        .find(&closing)
        .with_context(|| format!("has no end: {head}"))?;
    Ok((start, start + end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image_builder::workspace;

    const SOURCE: &str = "fn a() {\n    if x {\n    }\n}\n\nfn b() {\n    if x {\n    }\n}\n";

    fn check(item: Option<&str>, remove: &str, put: &str) -> Check {
        Check {
            name: "name".to_owned(),
            story: String::new(),
            rule: String::new(),
            file: String::new(),
            item: item.map(str::to_owned),
            remove: remove.to_owned(),
            put: put.to_owned(),
            tests: None,
        }
    }

    #[test]
    fn every_check_of_the_lists_is_still_in_the_code_once() {
        let mut wrong = Vec::new();
        for group in Group::all().unwrap() {
            assert!(!group.tests.is_empty() && group.limit_s > 0 && !group.about.is_empty());
            for check in &group.checks {
                assert!(!check.story.is_empty() && !group.tests_of(check).is_empty());
                wrong.extend(check.apply(workspace::root()).err());
            }
        }
        let wrong: Vec<String> = wrong.iter().map(|error| format!("{error:#}")).collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn every_file_of_lists_is_one_of_the_lists() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("lists");
        for entry in std::fs::read_dir(directory).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(
                LISTS.iter().any(|(file, _)| name == *file),
                "{name:?} is not read"
            );
        }
    }

    #[test]
    fn a_text_is_replaced_where_it_stands() {
        let mutation = check(Some("fn b("), "if x", "if false").apply_to(SOURCE).unwrap();
        assert_eq!(
            mutation.text,
            SOURCE.replace("fn b() {\n    if x", "fn b() {\n    if false")
        );
        assert_eq!(mutation.line, 7);
    }

    #[test]
    fn what_is_missing_or_not_unique_is_refused() {
        for (item, remove, put) in [
            (None, "if x", "if false"),
            (None, "if y", "if false"),
            (None, "", "if false"),
            (None, "fn a", "fn a"),
            (Some("fn c("), "if x", "if false"),
            (Some("fn "), "if x", "if false"),
            (Some("fn a("), "fn b", "fn c"),
        ] {
            assert!(
                check(item, remove, put).apply_to(SOURCE).is_err(),
                "{item:?} {remove}"
            );
        }
    }
}
