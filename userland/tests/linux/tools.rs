//! The tools, beside the host's own: the same output and exit code.
use crate::programs::{self, Scratch};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Commands for a shell that finds our tools or the host's. What they say of errors is for people, and not compared.
const COMMANDS: &[&str] = &[
    "cat a b; cat < a; cat - < b; cat none; echo $?",
    "env echo -n x; env echo -e 'a\\tb'; env echo",
    "wc a; wc -l < a; wc -w a b; wc -c none; echo $?; cat a | wc",
    "head -n 2 a; head -n 0 a; head -2 a; head -c 5 a; head -n 1 a b",
    "tail -n 2 a; tail -n +2 a; tail -c 4 a; tail -2 b; tail -n 0 a; tail -n 1 a b",
    "grep l a; grep -v l a; grep -c l a; grep -n e a b; grep -i ALPHA a; grep -q zzz a; echo $?; grep x none; echo $?",
    "grep '^a' a; grep 'a$' a; grep 'e.*a' a; grep '[0-9]' b; grep -F . b; grep '\\(l\\)\\{1,2\\}p' a; grep -l a a b",
    "grep -E '^(alp|be)+' a; grep -E 'm{2}|t?h' a b; grep -Ex 'lp|no' a; grep -E 'a+(b' a; echo $?; grep -c -E '\\+|^$' a",
    "sort a; sort -r b; sort -n n; sort -u n; sort -nr n; cat a b | sort",
    "seq 3; seq 2 4; seq 5 -2 1; seq 3 1; seq x; echo $?",
    "mkdir d d/e; mkdir d; echo $?; mkdir -p d/x/y d; ls -R d; rmdir d; echo $?; rmdir d/e; ls d",
    "cp a c; cmp a c && echo same; cp none c; echo $?; cp a b d; echo $?; mkdir d; cp a b d; ls d; cp -r d f; ls f",
    "cp d2 x; echo $?; mkdir d2; cp d2 x; echo $?; cp -r d2 d2/in; echo $?",
    "mv a z; ls; mv z none/x; echo $?; mkdir d; mv z b d; ls d; mv d e; ls e",
    "rm a; ls; rm a; echo $?; rm -f a; echo $?; mkdir -p d/e; rm d; echo $?; rm -r d; ls; rm -rf none; echo $?",
    "ln a l; ln -s a s; cat l s; readlink s; ln a l; echo $?; ln -sf b s; readlink s; rm a; cat s; cat l",
    "touch new; ls; touch a; touch -c nothere; ls; touch none/x; echo $?",
    "ls -a; ls -1 a b; ls none; echo $?; ls -d .; mkdir d; ls a d b; ls -A d",
    "ls -l a | cut -c1-10; ln -s a s; ls -l s | sed 's/.* s -/s -/'; ls -l . | head -n 1 | sed 's/[0-9]*$/N/'",
    "echo one | tee x y; cat x y; echo two | tee -a x; cat x",
    "yes | head -n 3; yes a b | head -n 1",
    "sleep 0.01; echo $?; sleep x; echo $?",
    "kill -l 9; kill -l TERM; kill -0 $$; echo $?; env kill -l INT",
    "pwd | sed 's/.*-//'; true; echo $?; false; echo $?",
    "env -i A=1 B=2 env; env A=3 sh -c 'echo $A'; env nosuchprogram; echo $?",
    "env test 1 -lt 2; echo $?; env [ a = b ]; echo $?; env [ a; echo $?",
    "uname; uname -s -m; date +%Y | wc -c; date -u +%F > /dev/null; echo $?",
    "date -u '+%a %b %e %Y %H' > x; date -u '+%a %b %e %Y %H' | cmp - x; echo $?",
];

fn prepare(scratch: &Path) {
    for (name, content) in [
        ("a", "alpha\nbeta\ngamma delta\nlp\n"),
        ("b", "1.5 second\nthird 3\nno newline"),
        ("n", "10\n9\n-3\n2.5\n10\nx\n"),
    ] {
        fs::write(scratch.join(name), content).expect("a file can be written");
    }
}

fn run(path: &str, command: &str) -> (String, Option<i32>, String) {
    let scratch = Scratch::new("tools");
    prepare(scratch.path());
    let mut shell = Command::new("dash");
    shell
        .args(["-c", command])
        .current_dir(scratch.path())
        .env_clear()
        .env("PATH", path)
        .env("LC_ALL", "C");
    let output = programs::run(&mut shell, b"");
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn tools_do_what_the_hosts_do() {
    let host = "/usr/bin:/bin";
    let ours = format!("{}:{host}", programs::directory().display());
    let mut failures = Vec::new();
    for command in COMMANDS {
        let (output, code, messages) = run(&ours, command);
        let (expected, expected_code, _) = run(host, command);
        if (&output, code) != (&expected, expected_code) {
            failures.push(format!(
                "== {command}\n-- ours:\n{output}-- theirs:\n{expected}-- our messages:\n{messages}"
            ));
        }
        assert!(!messages.contains("panicked"), "{command}: {messages}");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn tests_of_the_kernels_interface_pass_on_linux() {
    let output = programs::run(&mut Command::new(programs::path("usertests")), b"");
    let text = String::from_utf8_lossy(&output.stdout);
    let told: Vec<_> = text.lines().filter(|line| !line.ends_with(" ok")).collect();
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told:#?}\n{messages}");
    assert!(
        matches!(told[..], [line] if line.ends_with(" passed, 0 failed")),
        "{told:#?}"
    );
}

#[test]
fn stress_hog_and_a_bounded_fork_bomb_end_well_on_linux() {
    for (name, argument, wanted) in [
        (
            "stress",
            "3",
            "stress: 3 rounds of 6 processes, everything is right\n",
        ),
        ("hog", "3", "hog: 3 MiB touched, every byte is right\n"),
        ("forkbomb", "20", "forkbomb: 20 processes made, all ended\n"),
    ] {
        let output = programs::run(Command::new(programs::path(name)).arg(argument), b"");
        assert_eq!(String::from_utf8_lossy(&output.stdout), wanted);
        assert!(output.status.success());
    }
}
