//! What `cargo run` boots: the shell, its tools, and the tests of the kernel's interface.
use image_builder::scene::{Options, Outcome, Scene};
use image_builder::workspace;

/// Boots `demos/NAME.toml` with these keys typed before anybody reads them.
fn boot(demo: &str, name: &str, keys: &str) -> Outcome {
    let path = workspace::root().join("demos").join(demo).with_extension("toml");
    let scene = Scene::from_file(&path).unwrap();
    scene.boot(&Options::new(name).typing(keys)).unwrap()
}

/// What the domain printed from the first prompt on, without its prefix.
fn transcript(outcome: &Outcome, domain: &str) -> Vec<String> {
    let prefix = format!("[{domain}] ");
    let lines = outcome.console.lines().map(|line| line.trim_end_matches('\r'));
    let own = lines.filter_map(|line| line.strip_prefix(&prefix));
    own.skip_while(|line| !line.starts_with("/ # "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_session_reads_as_on_any_unix() {
    let keys = "ls /bin\nhog 64\ncrash null\necho a b | wc\necho x > /tmp/f; cat /tmp/f\nexit\n";
    let outcome = boot("default", "shell", keys);
    assert!(outcome.verdict.is_good(), "{}", outcome.report());
    let lines = transcript(&outcome, "web");
    // Not even the first key is lost.
    assert_eq!(lines[0], "/ # ls /bin", "{lines:#?}");
    let rest = lines
        .iter()
        .position(|line| line == "/ # hog 64")
        .expect("the second command");
    let listed = lines[1..rest].join(" ");
    for name in ["[", "cat", "sh", "usertests", "yes"] {
        assert!(
            listed.split_whitespace().any(|word| word == name),
            "{name} is not in {listed}"
        );
    }
    let expected = [
        "/ # hog 64",
        "hog: 64 MiB touched, every byte is right",
        "/ # crash null",
        "Segmentation fault",
        "/ # echo a b | wc",
        "      1       2       4",
        "/ # echo x > /tmp/f; cat /tmp/f",
        "x",
        "/ # exit",
    ];
    assert_eq!(lines[rest..rest + expected.len()], expected, "{lines:#?}");
}

#[test]
fn the_shells_code_is_the_domains() {
    // Orphans are ended when the shell is; here-documents and loops may be typed too.
    let keys = "for i in 1 2\ndo cat <<E\nround $i\nE\ndone\nsleep 1000 &\nseq 5 | tail -n 1\nls /none\n(exit 3)\nexit 5\n";
    let outcome = boot("default", "shell-code", keys);
    let lines = transcript(&outcome, "web");
    for wanted in [
        "round 1",
        "round 2",
        "5",
        "ls: cannot access '/none': No such file or directory",
    ] {
        assert!(
            lines.iter().any(|line| line == wanted),
            "{wanted} is not in {lines:#?}"
        );
    }
    let codes: Vec<_> = outcome
        .lines_about("web")
        .filter_map(|line| line.number("code"))
        .collect();
    assert_eq!(codes, [5], "{}", outcome.report());
}

#[test]
fn the_kernels_interface_passes_its_tests() {
    let outcome = boot("usertests", "usertests", "");
    assert!(outcome.verdict.is_good(), "{}", outcome.report());
    let passed = outcome
        .console
        .lines()
        .find(|line| line.contains(" passed, 0 failed"));
    assert!(passed.is_some(), "{}", outcome.report());
}
