//! The commands as a user types them: what they print, and what they return.
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn image_builder(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_image-builder"))
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("image-builder starts");
    let mut stdin = child.stdin.take().expect("its input is a pipe");
    stdin.write_all(input.as_bytes()).expect("it takes input");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn what_is_piped_to_the_cat_demo_comes_back_through_ring_3() {
    let arguments = ["run", "demos/cat.toml", "--headless", "--timeout", "120"];
    let output = image_builder(&arguments, "hello\n");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let lines = text(&output);
    let echoed = lines
        .lines()
        .filter(|line| line.trim_end() == "[cat] hello")
        .count();
    assert!(echoed >= 1, "`hello` comes back: {lines}");
    assert!(
        lines.contains("xen-lite: event=end"),
        "the lines for machines are printed: {lines}"
    );
}

#[test]
fn the_default_demo_is_a_shell_in_ring_3() {
    let arguments = ["run", "--headless", "--timeout", "120"];
    let output = image_builder(&arguments, "echo to the default demo | wc -w\nuname\n");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    for line in ["[web] 4", "[web] Linux"] {
        let text = text(&output);
        assert!(text.lines().any(|said| said.trim_end() == line), "{line}: {text}");
    }
    let output = image_builder(&arguments, "exit 3\n");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("code=3"), "{}", text(&output));
}

#[test]
fn a_guest_that_does_not_end_as_expected_is_exit_code_1() {
    let directory = tempfile::tempdir().expect("a directory");
    let manifest = directory.path().join("surprise.toml");
    let scene =
        "[[domain]]\nname = \"a\"\nkernel = \"suite\"\nmemory = \"2M\"\ncmdline = \"cases=guest-panic\"\n";
    std::fs::write(&manifest, scene).expect("a manifest");
    let output = image_builder(
        &[
            "run",
            &manifest.to_string_lossy(),
            "--headless",
            "--timeout",
            "120",
        ],
        "",
    );
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("reason=guest-panic"), "{}", text(&output));
}
