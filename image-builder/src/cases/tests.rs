use super::*;
use crate::cases::report::{Row, Style, Sum};
use crate::machine_line::MachineLine;
use crate::manifest::Manifest;
use abi::reason::Reason;

fn every_case() -> impl Iterator<Item = &'static Case> {
    catalogue::GROUPS.iter().flat_map(|group| group.cases)
}

#[test]
fn every_case_can_be_booted_alone_and_all_have_a_place_in_a_suite() {
    for case in every_case() {
        let (suite, group, found) = place_of(case.name).unwrap();
        assert!(suite.groups.contains(&group.name) && found.name == case.name);
        for machine in [Machine::Qemu, Machine::Bochs] {
            let plan = alone(case.name, machine).unwrap();
            let manifest = Manifest::parse(&plan.toml);
            let manifest = manifest.unwrap_or_else(|error| panic!("{}: {error}\n{}", case.name, plan.toml));
            let [subject] = plan.subjects.as_slice() else {
                panic!("{}: one domain", case.name);
            };
            let domain = manifest
                .domains
                .iter()
                .find(|domain| domain.name == subject.domain);
            let last = domain.unwrap().expect.of(case.runs as usize - 1);
            assert!(last.is_some(), "{}: each run has its end", case.name);
        }
    }
    assert!(alone("no-such-case", Machine::Qemu).is_none());
}

#[test]
fn all_suites_together_run_every_case_once() {
    let mut run: Vec<&str> = Vec::new();
    for suite in catalogue::SUITES {
        let groups: Vec<&Group> = suite
            .groups
            .iter()
            .filter_map(|name| catalogue::group(name))
            .collect();
        for plan in of_groups(suite, &groups, Machine::Qemu) {
            assert!(Manifest::parse(&plan.toml).is_ok(), "{}", plan.toml);
            let subjects = plan.subjects.iter();
            run.extend(subjects.flat_map(|subject| subject.cases.iter().map(|case| case.name)));
        }
    }
    run.sort_unstable();
    let mut all: Vec<&str> = every_case().map(|case| case.name).collect();
    all.sort_unstable();
    assert_eq!(run, all);
    assert!(all.len() > 110, "{} cases", all.len());
}

fn row(shown: Option<&Shown>, style: Style) -> String {
    let (suite, group, case) = place_of("software-interrupts").unwrap();
    let row = Row {
        suite,
        group,
        case,
        shown,
    };
    row.text(style, Machine::Qemu)
}

fn shown(ends: &[Option<Expect>], as_expected: bool) -> Shown {
    Shown {
        case: "software-interrupts",
        ends: ends.to_vec(),
        as_expected,
    }
}

#[test]
fn a_row_says_what_is_expected_and_what_came() {
    let listed = row(None, Style::Table);
    assert!(listed.starts_with("  software-interrupts (2 runs) "), "{listed}");
    assert!(
        listed.contains("  fault of its own\n      `int n` for all 256 n"),
        "{listed}"
    );
    let good = shown(&[Some(Expect::Shutdown(0)); 2], true);
    let told = row(Some(&good), Style::Table);
    assert!(
        told.contains(" 2 x its checks held ") && told.contains("  as expected\n"),
        "{told}"
    );
    let killed = Expect::Killed(Reason::NoHandler);
    let bad = shown(&[Some(Expect::Shutdown(47)), Some(killed)], false);
    let told = row(Some(&bad), Style::Table);
    assert!(
        told.contains(" check at line 47 failed, killed:no-handler  NOT AS EXPECTED\n"),
        "{told}"
    );
    let json = row(Some(&bad), Style::Json);
    assert!(
        json.starts_with(
            r#"{"case":"software-interrupts","suite":"injections","group":"privileged","story":"#
        ),
        "{json}"
    );
    let rest = r#""runs":2,"expected":"fault of its own","ended":["check at line 47 failed","killed:no-handler"],"as_expected":false}"#;
    assert!(json.ends_with(rest), "{json}");
    assert!(row(None, Style::Json).ends_with(r#""expected":"fault of its own"}"#));
}

#[test]
fn the_last_line_counts_and_names_what_ended_otherwise() {
    let took = Duration::from_secs(61);
    let mut sum = Sum::default();
    sum.add(&[shown(&[None; 2], true)], true);
    assert!(sum.is_good());
    assert_eq!(
        sum.text(took),
        "1 cases, 2 lives of guests in 1 boots: all as expected; 1 min 1 s"
    );
    sum.add(&[], false);
    assert!(!sum.is_good());
    assert!(
        sum.text(took)
            .contains("all ended as expected, but 1 boots FAILED")
    );
    sum.add(&[shown(&[None], false)], false);
    assert!(sum.text(took).contains("1 NOT AS EXPECTED: software-interrupts;"));
}

#[test]
fn ends_are_dealt_to_cases_in_the_order_of_lives_and_what_is_missing_is_no_end() {
    let group = catalogue::group("returns").unwrap();
    let (suite, ..) = place_of(group.cases[0].name).unwrap();
    let plan = of_groups(suite, &[group], Machine::Qemu).remove(0);
    let manifest = Manifest::parse(&plan.toml).unwrap();
    let line = |code| {
        MachineLine::parse(&format!(
            "xen-lite: domain=1 name=returns incarnation=0 state=shutdown reason=poweroff code={code}"
        ))
    };
    let lines: Vec<MachineLine> = [line(0), line(9)].into_iter().flatten().collect();
    let shown = plan.shown(&manifest, &lines);
    let told: Vec<_> = shown
        .iter()
        .take(3)
        .map(|shown| (shown.ends[0], shown.as_expected))
        .collect();
    let ended = |code| Some(Expect::Shutdown(code));
    assert_eq!(told, [(ended(0), true), (ended(9), false), (None, false)]);
}
