//! Shell scripts, run by our shell, by dash and by BusyBox: the same output and exit code.
//!
//! `scripts.txt` holds them, each behind a line `### name`. Both find the host's tools, so that only shells differ.
use crate::programs::{self, Scratch};
use std::path::Path;
use std::process::Command;

const SCRIPTS: &str = include_str!("scripts.txt");

/// What dash and BusyBox do differently themselves: there ours is compared with dash alone.
const BUSYBOX_DIFFERS: &[&str] = &[];

fn scripts() -> impl Iterator<Item = (&'static str, &'static str)> {
    SCRIPTS
        .split("### ")
        .skip(1)
        .filter_map(|script| script.split_once('\n'))
}

/// Output and code of a shell that runs `script`.
fn run(shell: &[&str], script: &str, scratch: &Path) -> (String, Option<i32>, String) {
    let mut command = Command::new(shell[0]);
    command
        .args(&shell[1..])
        .args(["-c", script, "sh"])
        .current_dir(scratch)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", scratch)
        .env("TMP", scratch)
        .env("SELF", shell.join(" "));
    let output = programs::run(&mut command, b"");
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn scripts_do_what_they_do_in_other_shells() {
    assert!(scripts().count() >= 60);
    let ours = programs::path("sh").display().to_string();
    let mut failures = Vec::new();
    for (name, script) in scripts() {
        let of = |shell: &[&str]| {
            // The same path for each: it may be printed.
            let scratch = Scratch::new(&format!("script-{}", name.replace(' ', "-")));
            run(shell, script, scratch.path())
        };
        let (output, code, messages) = of(&[&ours]);
        for other in [["dash"].as_slice(), &["busybox", "sh"]] {
            if other[0] == "busybox" && BUSYBOX_DIFFERS.contains(&name) {
                continue;
            }
            let (their_output, their_code, _) = of(other);
            if (&output, code) != (&their_output, their_code) {
                failures.push(format!(
                    "== {name}, beside {}\n-- ours, {code:?}:\n{output}-- theirs, {their_code:?}:\n{their_output}-- our \
                     messages:\n{messages}",
                    other[0]
                ));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
