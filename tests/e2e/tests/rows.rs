//! The table of attacks in tests/README.md: none is missing, and what it names is there.
use guests::catalogue;
use image_builder::workspace;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Every row that applies to what there is.
const ROWS: &[(&str, &[u32])] = &[
    ("T", &[1, 2, 3, 5, 6, 7, 8, 12, 13, 14]),
    ("D", &[2, 3, 4, 7, 11, 12, 14]),
    ("S", &[1, 2, 3, 7, 8, 9, 11, 13]),
    ("H", &[1, 2, 3, 4, 5, 7, 11, 13, 14, 15, 17]),
    ("X", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16]),
    ("P", &[1, 2, 3, 4, 6, 7, 8, 10, 13, 15, 16, 18]),
    ("C", &[2, 3, 5, 7, 8, 9, 13, 14]),
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
