//! The terminal under a person's hands: keys are pressed when something has been shown, over the serial console.
use crate::programs::lines_of;
use e2e::Boot;
use image_builder::scene::Outcome;

const PROMPT: &str = "/ # ";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const CTRL_Z: &str = "\x1a";
const CTRL_BACKSLASH: &str = "\x1c";

/// A program that says so when it has the terminal, or goes on, and computes for ever.
const BUSY: &str =
    "sh -c 'trap \"echo again \\$((6 * 7))\" CONT; echo busy $((6 * 7)); while :; do :; done'\n";
const IS_BUSY: &str = "busy 42\r\n";

/// A session at our shell, which ends with this code; keys are pressed after what stands beside them.
fn session(name: &str, code: u8, turns: &[(&str, &str)]) -> Outcome {
    let scene = format!(
        "
        [[domain]]
        name = \"unix\"
        kernel = \"pv-kernel\"
        memory = \"16M\"
        cmdline = \"quiet init=/bin/init\"
        tools = [\"init\", \"sh\", \"cat\", \"sleep\", \"touch\"]
        expect = \"shutdown:{code}\"
        "
    );
    let outcome = Boot::qemu(name, &scene).talking(turns).boot();
    assert!(outcome.verdict.is_good(), "{}", outcome.report());
    outcome
}

#[test]
fn keys_end_and_stop_programs_and_the_shell_goes_on() {
    session(
        "terminal-signals",
        130,
        &[
            // The shell's own loop, another program's, one that reads.
            (PROMPT, "echo loop $((6 * 7)); while :; do :; done\n"),
            ("loop 42\r\n", CTRL_C),
            (PROMPT, "echo code $?\n"),
            ("code 130\r\n", BUSY),
            (IS_BUSY, CTRL_C),
            (PROMPT, "echo code $?\n"),
            ("code 130\r\n", "cat\n"),
            ("cat\r\n", "to cat\n"),
            ("to cat\r\n", ""),
            ("to cat\r\n", CTRL_C),
            (PROMPT, "echo code $?\n"),
            ("code 130\r\n", BUSY),
            (IS_BUSY, CTRL_BACKSLASH),
            ("Quit", ""),
            (PROMPT, "echo code $?\n"),
            ("code 131\r\n", "cat\n"),
            // An end of input is one program's, not the shell's.
            ("cat\r\n", "more\n"),
            ("more\r\n", ""),
            ("more\r\n", CTRL_D),
            (PROMPT, "echo code $?\n"),
            ("code 0\r\n", "half a line"),
            ("half a line", CTRL_C),
            ("^C", ""),
            (PROMPT, CTRL_D),
        ],
    );
}

#[test]
fn jobs_are_stopped_listed_continued_and_their_ends_are_told() {
    session(
        "terminal-jobs",
        0,
        &[
            (PROMPT, BUSY),
            (IS_BUSY, CTRL_Z),
            ("[1] + Stopped", ""),
            (PROMPT, "jobs\n"),
            ("[1] + Stopped", ""),
            (PROMPT, "bg\n"),
            ("[1] sh -c", ""),
            ("again 42", "jobs\n"),
            ("[1] + Running", ""),
            (PROMPT, "sleep 1000 &\n"),
            ("[2] ", ""),
            (PROMPT, "fg %1\n"),
            ("again 42", CTRL_Z),
            ("[1] + Stopped", ""),
            (PROMPT, "kill %1; wait %1; echo code $?\n"),
            ("code 143", ""),
            (PROMPT, "kill %2; wait %2; echo code $?\n"),
            ("code 143", ""),
            (PROMPT, "(exit 3) & wait $!; echo code $?\n"),
            ("code 3", ""),
            (PROMPT, "cat &\n"),
            // Who is not in the foreground does not get what is typed.
            (PROMPT, "echo mine\n"),
            ("\n[unix] mine\r\n", "\n"),
            ("[1] + Stopped (tty input)", ""),
            (PROMPT, "fg\n"),
            ("cat\r\n", "yours\n"),
            ("yours\r\n", ""),
            ("yours\r\n", CTRL_D),
            (PROMPT, "true & wait\n"),
            ("[1] + Done", ""),
            (PROMPT, "exit\n"),
        ],
    );
}

#[test]
fn lines_are_edited_and_recalled() {
    const LEFT: &str = "\x1b[D";
    const UP: &str = "\x1b[A";
    const DOWN: &str = "\x1b[B";
    let turns: &[(String, &str)] = &[
        ("echo twx\x7fo".into(), "two"),
        (format!("echo ac{LEFT}b"), "abc"),
        (format!("echo ab{LEFT}{LEFT}{LEFT}{LEFT}\x1b[C\x1b[Cx"), "xab"),
        ("cho first\x01e\x05 last".into(), "first last"),
        ("not a command\x15echo clean".into(), "clean"),
        (format!("echo keep drop{}\x0b", LEFT.repeat(5)), "keep"),
        ("echo one two three\x17\x17 four".into(), "one four"),
        ("cho home\x1b[He\x1b[F and end".into(), "home and end"),
        (format!("echo delete!{LEFT}\x1b[3~"), "delete"),
        (UP.into(), "delete"),
        // What was typed again is there once.
        (format!("{UP}{UP}{UP}{DOWN}x"), "home and endx"),
        (format!("{UP}{UP}{UP} again"), "home and end again"),
        (format!("{UP}{DOWN}echo new"), "new"),
        // More than two lines of the screen.
        (
            format!("echo {}", "0123456789".repeat(17)),
            "01234567890123456789",
        ),
        (format!("{UP}\x01{}X", "\x1b[C".repeat(100)), "0123456789"),
    ];
    let awaited: Vec<String> = turns
        .iter()
        .map(|(_, shown)| format!("\n[unix] {shown}"))
        .collect();
    let typed: Vec<String> = turns.iter().map(|(keys, _)| format!("{keys}\n")).collect();
    let mut all: Vec<(&str, &str)> = Vec::new();
    for (awaited, typed) in awaited.iter().zip(&typed) {
        all.extend([(PROMPT, typed.as_str()), (awaited, "")]);
    }
    all.push((PROMPT, "exit 5\n"));
    let outcome = session("terminal-lines", 5, &all);
    let lines = lines_of(&outcome, "unix");
    let digits = "0123456789".repeat(17);
    let (before, after) = digits.split_at(95);
    for wanted in [digits.clone(), format!("{before}X{after}")] {
        assert!(lines.contains(&wanted), "{wanted} is not in {lines:#?}");
    }
}
