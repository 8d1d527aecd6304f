//! The monitor: the user's word over running domains, typed at the console.
//!
//! What is typed is worked off in its order, whatever the guests have done until then. So these scenes type everything at
//! once, and what a domain has or has not done at a command is not asked for, unless it waits for the user.
use e2e::{Boot, assembled};
use image_builder::scene::Outcome;

fn cat(name: &str, more: &str) -> String {
    format!(
        "[[domain]]\nname = \"{name}\"\nkernel = \"pv-kernel\"\nmemory = \"8M\"\nprograms = [[\"cat\"]]\n{more}\n"
    )
}

/// The lines of a writer, without its prefix.
fn lines_of<'a>(outcome: &'a Outcome, prefix: &str) -> Vec<&'a str> {
    let lines = outcome.console.lines();
    lines.filter_map(|line| line.strip_prefix(prefix)).collect()
}

fn has(outcome: &Outcome, prefix: &str, wanted: &str) {
    let lines = lines_of(outcome, prefix);
    let found = lines.iter().any(|line| line.trim_end() == wanted);
    assert!(found, "{wanted:?} is not among {lines:#?}");
}

const OWN: &str = "(xen-lite) ";

#[test]
fn the_keys_go_where_the_user_says() {
    let scene = cat("left", "expect = \"shutdown\"") + &cat("right", "expect = \"shutdown\"");
    let keys = "for left\n\x1dconsole right\nfor right\n\x04\x1dconsole 0\nleft again\n";
    let outcome = Boot::qemu("monitor-console", &scene).typing(keys).must_be_good();
    has(&outcome, "[left] ", "for left");
    has(&outcome, "[right] ", "for right");
    has(&outcome, "[left] ", "left again");
    let right = lines_of(&outcome, "[right] ");
    assert!(!right.iter().any(|line| line.contains("left")), "{right:#?}");
}

#[test]
fn a_domain_is_paused_listed_and_goes_on() {
    let scene = cat("web", "expect = \"shutdown\"") + &cat("shop", "expect = \"killed:destroyed\"");
    let keys = "\x1dpause web\nlist\nunpause web\nlist\ndestroy shop\n\nafter all\n";
    let outcome = Boot::qemu("monitor-pause", &scene).typing(keys).must_be_good();
    for line in ["> pause web", "web is paused", "web goes on", "shop is destroyed"] {
        has(&outcome, OWN, line);
    }
    let rows: Vec<Vec<&str>> = lines_of(&outcome, OWN)
        .iter()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words| matches!(words.first(), Some(&"Name" | &"web")) && words.len() == 6)
        .collect();
    let [heading, paused, _, awake] = rows.as_slice() else {
        panic!("not two tables: {rows:#?}");
    };
    assert_eq!(heading[..], ["Name", "ID", "Mem", "VCPUs", "State", "Time(s)"]);
    assert_eq!(
        (paused[..4].to_vec(), &paused[4][2..3]),
        (vec!["web", "0", "8", "1"], "p")
    );
    assert_eq!(&awake[4][2..3], "-");
    has(&outcome, "[web] ", "after all");
}

#[test]
fn a_destroyed_domain_stays_away_and_a_restarted_one_comes_back() {
    let always = "restart = { policy = \"always\", max = 9 }\nexpect = \"killed:destroyed\"";
    let scene = "audit = \"each-end\"\n".to_owned()
        + &cat(
            "web",
            "restart = { policy = \"on-crash\", max = 1 }\nexpect = [\"killed:destroyed\", \"shutdown\"]",
        )
        + &cat("shop", always)
        + &cat("twice", always);
    // The second word about a domain finds it dying, waiting or built: all of them end where the user said.
    let keys = "\x1drestart web\ndestroy shop\ndestroy shop\nrestart twice\ndestroy twice\n\nback\n";
    let outcome = Boot::qemu("monitor-restart", &scene).typing(keys).must_be_good();
    has(&outcome, "[web] ", "back");
    has(&outcome, OWN, "web starts anew");
    let incarnations = |name| {
        outcome
            .lines_about(name)
            .filter(|line| line.get("state").is_some())
            .count()
    };
    assert_eq!((incarnations("web"), incarnations("shop")), (2, 1));
}

#[test]
fn a_domain_is_destroyed_whatever_it_does() {
    let dies = assembled("dies").display().to_string();
    let spinner = |name: &str| {
        format!(
            "[[domain]]\nname = \"{name}\"\nkernel = \"spinner\"\ncmdline = \"mode={name}\"\nmemory = \"1M\"\n\
             expect = \"killed:destroyed\"\n"
        )
    };
    let scene = "audit = \"each-end\"\n".to_owned()
        + &cat("web", "expect = \"shutdown\"")
        + &cat("asleep", "expect = \"killed:destroyed\"")
        + &cat("paused", "expect = \"killed:destroyed\"")
        + &["loop", "hlt", "yield"].map(spinner).concat()
        + &format!(
            "[[domain]]\nname = \"crashing\"\nkernel = \"{dies}\"\nmemory = \"512K\"\nrecord = \"line\"\n\
             restart = {{ policy = \"on-crash\", max = 1000000 }}\nexpect = \"any\"\n"
        );
    // More than wait for a guest: by the time of the last line `web` has read some, and the others have run.
    const LINES: usize = 1200;
    let mut keys = "a line for web\n".repeat(LINES);
    keys.push_str("\x1dpause paused\n");
    let names = ["asleep", "paused", "loop", "hlt", "yield", "crashing"];
    for name in names {
        keys.push_str(&format!("destroy {name}\n"));
    }
    keys.push_str("audit\n\nthe last line\n");
    let outcome = Boot::qemu("monitor-destroy", &scene).typing(&keys).must_be_good();
    for name in names {
        has(&outcome, OWN, &format!("{name} is destroyed"));
    }
    has(&outcome, OWN, "audit: clean");
    let printed = lines_of(&outcome, "[web] ");
    let copies = printed
        .iter()
        .filter(|line| line.contains("a line for web"))
        .count();
    assert!(copies >= LINES, "{copies} of the lines came back");
    has(&outcome, "[web] ", "the last line");
}

#[test]
fn a_domain_that_reads_nothing_does_not_keep_the_user_out() {
    let scene =
        "[[domain]]\nname = \"deaf\"\nkernel = \"spinner\"\nmemory = \"1M\"\nexpect = \"killed:destroyed\"\n"
            .to_owned()
            + &cat("web", "expect = \"shutdown\"");
    // All that waits for one: then the other's keys are still taken as far as it has room.
    let pasted = "a line for nobody\n".repeat(960);
    let keys = format!("{pasted}\x1dconsole web\nfor web\n\x1ddestroy deaf\n\nthe last line\n");
    let outcome = Boot::qemu("monitor-deaf", &scene).typing(&keys).must_be_good();
    has(&outcome, OWN, "deaf is destroyed");
    has(&outcome, "[web] ", "for web");
    has(&outcome, "[web] ", "the last line");
}

#[test]
fn the_monitor_explains_itself() {
    let scene = cat("web", "expect = \"shutdown\"");
    let keys = "\x1dhelp\nlsit\npause\npause wbe\ndmesg\naudit\nunpause web\nquit\nin\n";
    let outcome = Boot::qemu("monitor-help", &scene).typing(keys).must_be_good();
    for line in [
        "list                 the domains: memory in MiB, state, seconds of CPU time",
        "no command 'lsit': try help",
        "pause which domain? pause NAME, or pause ID",
        "no domain 'wbe': there is web (0)",
        "audit: clean",
        "web is not paused",
    ] {
        has(&outcome, OWN, line);
    }
    let started = "xen-lite 0.1: guest kernels in ring 1, x86-64";
    let times = lines_of(&outcome, OWN)
        .iter()
        .filter(|line| **line == started)
        .count();
    assert_eq!(times, 2, "once when it was said, once by dmesg");
    has(&outcome, "[web] ", "in");
}
