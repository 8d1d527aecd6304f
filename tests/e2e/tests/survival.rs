//! A Unix guest whose programs want everything: it lives through that, and another domain does not notice.
use crate::programs::lines_of;
use crate::scheduling::{Span, reports_of};
use e2e::Boot;
use image_builder::workspace;

/// A domain with our shell as the command of its first process.
fn unix(name: &str, memory: &str, cmdline: &str, more: &str) -> String {
    format!(
        "
        [[domain]]
        name = \"{name}\"
        kernel = \"pv-kernel\"
        memory = \"{memory}\"
        cmdline = \"init=/bin/init{cmdline}\"
        tools = [\"init\", \"sh\", \"bomb\", \"cat\", \"free\", \"hog\", \"ps\", \"sleep\", \"wc\"]
        expect = \"shutdown\"
        {more}
        "
    )
}

const PROMPT: &str = "/ # ";

#[test]
fn a_shell_comes_back_after_fork_bombs_and_hogs() {
    // A bomb goes on until there is no memory for more processes, or until there are as many as may be.
    for memory in ["8M", "32M"] {
        let outcome = Boot::qemu(&format!("survival-{memory}"), &unix("unix", memory, "", ""))
            .talking(&[
                (PROMPT, "free\n"),
                (PROMPT, ":(){ :|:& };:\n"),
                (
                    "cannot fork",
                    "kill -9 -1; until ps > /f; do true; done; echo some $((6 * 7))\n",
                ),
                ("some 42", "hog 1000; echo hog $?\n"),
                ("hog 137", "hog 1000 & hog 1000 | hog 1000\n"),
                (PROMPT, "wait; free\n"),
                ("Swap", "ps | wc -l\n"),
                ("\n[unix] 5\r\n", "echo all is well; exit 0\n"),
            ])
            .must_be_good();
        let lines = lines_of(&outcome, "unix");
        // All frames are back, or the code is another one; the kernel's heap keeps some while it runs.
        let free = free_kilobytes(&lines);
        println!("{memory}: {free:?} KiB free before and after");
        assert!(free[1] >= free[0] * 3 / 4, "{free:?}");
        assert!(lines.iter().any(|line| line == "all is well"), "{lines:#?}");
    }
}

/// What each call of `free` said.
fn free_kilobytes(lines: &[String]) -> [u64; 2] {
    let of_memory = lines.iter().filter_map(|line| line.strip_prefix("Mem:"));
    let free = of_memory.filter_map(|line| line.split_whitespace().nth(2)?.parse().ok());
    let free: Vec<u64> = free.collect();
    free.try_into()
        .unwrap_or_else(|free| panic!("not two numbers: {free:?}, {lines:#?}"))
}

/// When work counts: the guest beside has booted, and what it does goes on.
const SPAN: Span = Span {
    from: 400,
    until: 1_400,
};

#[test]
fn fork_bombs_and_hogs_do_not_slow_the_work_of_another_domain() {
    let script = workspace::root().join("demos/files/rounds");
    let boot = |name: &str, command: &str| {
        let file = format!("files = {{ \"etc/rounds\" = {script:?} }}");
        let scene = SPAN.worker("victim", 256, "spin") + &unix("unix", "16M", command, &file);
        Boot::qemu(name, &scene).counting().must_be_good()
    };
    let idle = boot("beside-idle", " /bin/sleep 2");
    let bombs = boot("beside-bombs", " /bin/sh /etc/rounds");

    let lines = lines_of(&bombs, "unix");
    let survived = lines
        .iter()
        .find_map(|line| line.strip_prefix("survived 3 rounds, "));
    let seconds = survived.and_then(|rest| rest.strip_suffix(" seconds")?.parse::<f64>().ok());
    let seconds = seconds.unwrap_or_else(|| panic!("it did not survive: {lines:#?}"));
    assert!(
        seconds * 1000.0 >= SPAN.until as f64,
        "all was over after {seconds} s"
    );

    let [alone, beside] = [&idle, &bombs].map(|outcome| reports_of(outcome)["victim"]);
    let lost = 1.0 - beside.rate() / alone.rate();
    let found = format!(
        "work per virtual second: {:.5} s beside an idle domain, {:.5} s beside bombs and hogs, {:.3}% less; share of the CPU \
         {:.4} and {:.4}; longest wait {} us; the bombs went on for {seconds} s",
        alone.rate(),
        beside.rate(),
        lost * 100.0,
        SPAN.share(alone),
        SPAN.share(beside),
        beside.longest / 1000
    );
    println!("{found}");
    assert!(lost < 0.05, "{found}");
    assert!(SPAN.share(beside) >= 0.95 / 2.0, "{found}");
}
