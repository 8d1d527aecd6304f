//! The table of attacks in tests/README.md: none is missing, and what it names is there.
use guests::catalogue::{self, SUITES};
use image_builder::cases::report::{Columns, Row as Told, Style, Sum, heading};
use image_builder::cases::{Shown, of_groups, place_of};
use image_builder::emulator::Machine;
use image_builder::manifest::{Expect, Manifest};
use image_builder::workspace;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Every row that applies to what there is.
const ROWS: &[(&str, &[u32])] = &[
    ("T", &[1, 2, 3, 5, 6, 7, 8, 12, 13, 14]),
    ("D", &[2, 3, 4, 7, 11, 12, 14]),
    ("S", &[1, 2, 3, 7, 8, 9, 11, 13]),
    ("H", &[1, 2, 3, 4, 5, 7, 11, 13, 14, 15, 17, 20]),
    ("X", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]),
    ("P", &[1, 2, 3, 4, 6, 7, 8, 10, 13, 15, 16, 18]),
    ("C", &[2, 3, 5, 7, 8, 9, 10, 13, 14]),
    ("E", &[1, 2, 4, 6, 7, 8]),
    ("M", &[2, 3, 4, 6]),
    ("Z", &[1, 2, 4, 5]),
];

/// A row of the table: its name, and what shows that it holds.
struct Row<'a> {
    name: &'a str,
    shown_by: Vec<&'a str>,
}

fn rows(page: &str) -> Vec<Row<'_>> {
    let table = page
        .split("| row | thrown | shown by |")
        .nth(1)
        .unwrap_or_default();
    table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let (name, shown_by) = (cells.get(1)?, cells.get(3)?);
            let shown_by = shown_by.split('`').map(str::trim).filter(|word| !word.is_empty());
            Some(Row {
                name,
                shown_by: shown_by.collect(),
            })
        })
        .collect()
}

/// The names of all functions in a folder's Rust files.
fn functions(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("its entries").path();
        if path.is_dir() {
            functions(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).expect("a source file");
            let after_fn = source.split("fn ").skip(1);
            names.extend(
                after_fn
                    .filter_map(|rest| rest.split_once('('))
                    .map(|(name, _)| name.to_owned()),
            );
        }
    }
}

#[test]
fn every_attack_that_applies_is_in_the_table_with_something_that_shows_it() {
    let root = workspace::root();
    let page = fs::read_to_string(root.join("tests/README.md")).expect("the page");
    let rows = rows(&page);
    let expected: Vec<String> = ROWS
        .iter()
        .flat_map(|(letter, numbers)| numbers.iter().map(move |number| format!("{letter}{number}")))
        .collect();
    let found: Vec<&str> = rows.iter().map(|row| row.name).collect();
    assert_eq!(found, expected);
    let mut tests = BTreeSet::new();
    for folder in ["tests/e2e/tests", "xen-lite/src"] {
        functions(&root.join(folder), &mut tests);
    }
    for row in &rows {
        assert!(!row.shown_by.is_empty(), "nothing shows {}", row.name);
        for name in &row.shown_by {
            let exists = catalogue::case(name).is_some() || tests.contains(*name);
            assert!(exists, "{}: there is no {name}", row.name);
        }
    }
}

/// What `cargo run -- cases` prints if all is as expected.
fn printed_if_all_is_as_expected() -> String {
    let (mut text, mut sum) = (heading(Columns::Run), Sum::default());
    for suite in SUITES {
        let groups: Vec<_> = suite
            .groups
            .iter()
            .filter_map(|name| catalogue::group(name))
            .collect();
        for plan in of_groups(suite, &groups, Machine::Qemu) {
            let manifest = Manifest::parse(&plan.toml).expect("a scene");
            let mut shown = plan.shown(&manifest, &[]);
            let domains = manifest.domains.iter();
            let expected =
                domains.filter(|domain| plan.subjects.iter().any(|subject| subject.domain == domain.name));
            let mut ends =
                expected.flat_map(|domain| (0..).map_while(|life| domain.expect.of(life)).take(1000));
            for shown in &mut shown {
                let lives = shown.ends.iter_mut().zip(&mut ends);
                lives.for_each(|(end, expected)| {
                    *end = Some(if expected == Expect::Any {
                        Expect::Shutdown(0)
                    } else {
                        expected
                    });
                });
                shown.as_expected = true;
                text.push_str(&row_of(shown));
            }
            sum.add(&shown, true);
        }
    }
    format!("{text}\n{}", sum.text(Duration::ZERO))
}

fn row_of(shown: &Shown) -> String {
    let (suite, group, case) = place_of(shown.case).expect("a case");
    let told = Told {
        suite,
        group,
        case,
        shown: Some(shown),
    };
    format!("\n{}:\n{}", group.name, told.text(Style::Table, Machine::Qemu))
}

#[test]
fn the_list_of_cases_is_as_the_pages_show_it() {
    let printed = printed_if_all_is_as_expected();
    let lines: BTreeSet<&str> = printed.lines().collect();
    for page in ["README.md", "tests/README.md"] {
        let text = fs::read_to_string(workspace::root().join(page)).expect("the page");
        let block = text.split("$ cargo run -- cases\n").nth(1);
        let (block, _) = block.and_then(|rest| rest.split_once("\n```")).expect("a block");
        for line in block.lines().filter(|line| *line != "[...]") {
            // How long it took is the machine's.
            let line = line.split_once("; 0 min ").map_or(line, |(counts, _)| counts);
            let is_printed = lines
                .iter()
                .any(|printed| printed.strip_suffix("; 0 min 0 s").unwrap_or(printed) == line);
            assert!(is_printed, "{page}: {line:?} is not printed:\n{printed}");
        }
    }
}
