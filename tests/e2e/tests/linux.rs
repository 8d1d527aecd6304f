//! Programs that were made for Linux, unmodified: Debian's BusyBox, and C programs that the system's gcc and C library make.
//! Each does the same in the guest as on the host.
use crate::programs::lines_of;
use e2e::Boot;
use image_builder::scene::Outcome;
use image_builder::setup::{self, BUSYBOX, Need};
use image_builder::workspace;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What both shells and both sets of tools promise.
const SCRIPT: &str = "linux/script.sh";
/// Runs either in the guest.
const RUN: &str = "linux/run.sh";
/// More of BusyBox's tools.
const TOOLS: &str = "linux/tools.sh";

/// What a program printed, line by line, and its exit code.
#[derive(PartialEq, Eq, Debug)]
struct Ran {
    lines: Vec<String>,
    code: i64,
}

impl Ran {
    /// The first line that differs, and what stands before it.
    fn must_be(&self, wanted: &Self, who: &str) {
        let differs = (0..).find(|at| {
            let pair = (self.lines.get(*at), wanted.lines.get(*at));
            pair.0 != pair.1 || pair.0.is_none()
        });
        let at = differs.unwrap_or_default();
        assert!(
            self == wanted,
            "{who}, line {at}: {:?} where {:?} is right, after {:#?}; code {} where {} is right",
            self.lines.get(at),
            wanted.lines.get(at),
            &self.lines[at.saturating_sub(5)..at],
            self.code,
            wanted.code
        );
    }
}

fn source(name: &str) -> PathBuf {
    workspace::root().join("tests/e2e/tests").join(name)
}

/// An empty directory of a test's own.
fn empty_directory(name: &str) -> PathBuf {
    let path = workspace::target_dir().join("e2e").join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("a directory can be made");
    path
}

/// Runs a command on the host, with both of its outputs in one and an environment like that in the guest.
fn on_host(command: &[&str], path: &Path, directory: &Path) -> Ran {
    let output = Command::new(BUSYBOX)
        .args(["timeout", "120", BUSYBOX, "sh", "-c", "exec \"$@\" 2>&1", "sh"])
        .args(command)
        .current_dir(directory)
        .env_clear()
        .env("PATH", path)
        .env("GIVEN", "given")
        .output()
        .expect("BusyBox can be run");
    Ran {
        lines: String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect(),
        code: output.status.code().unwrap_or(-1).into(),
    }
}

/// What a domain's first program came to.
fn in_guest(outcome: &Outcome, name: &str) -> Ran {
    let codes = outcome.lines_about(name).filter_map(|line| line.number("code"));
    Ran {
        lines: lines_of(outcome, name),
        code: codes.last().map_or(-1, |code| code as i64),
    }
}

/// The names that BusyBox has for itself.
fn applets() -> Vec<String> {
    setup::ensure(&[Need::BusyBox]).expect("BusyBox is what is tried");
    let output = Command::new(BUSYBOX)
        .arg("--list")
        .output()
        .expect("BusyBox can be run");
    let list = String::from_utf8_lossy(&output.stdout).into_owned();
    list.lines().map(str::to_owned).collect()
}

/// Runs a script by BusyBox's shell and tools on the host.
fn by_busybox_on_host(script: &str, name: &str) -> Ran {
    let place = empty_directory(name);
    let (bin, work) = (place.join("bin"), place.join("work"));
    for directory in [&bin, &work] {
        fs::create_dir(directory).expect("a directory can be made");
    }
    for applet in applets() {
        symlink(BUSYBOX, bin.join(applet)).expect("a link can be made");
    }
    on_host(&["sh", &source(script).display().to_string()], &bin, &work)
}

/// A domain that runs a script by these programs: a line of the manifest.
fn script_domain(name: &str, script: &str, tools: &[&str], more: &str) -> String {
    let (run, script) = (
        source(RUN).display().to_string(),
        source(script).display().to_string(),
    );
    format!(
        "
        [[domain]]
        name = \"{name}\"
        kernel = \"pv-kernel\"
        memory = \"64M\"
        cmdline = \"quiet init=/bin/init /bin/sh /etc/run\"
        tools = {tools:?}
        files = {{ \"etc/run\" = {run:?}, \"etc/script\" = {script:?}, \"tmp\" = {{ directory = true }}{more} }}
        "
    )
}

fn busybox_domain(name: &str, script: &str) -> String {
    let names: Vec<String> = applets().into_iter().filter(|name| name != "init").collect();
    let more = format!(", \"bin/busybox\" = {{ program = {BUSYBOX:?}, names = {names:?} }}");
    script_domain(name, script, &["init"], &more)
}

const TOOLS_OF_OURS: &[&str] = &[
    "init", "sh", "cat", "echo", "grep", "head", "kill", "ls", "mkdir", "mv", "rm", "rmdir", "seq", "sleep",
    "sort", "tail", "tee", "test", "true", "wc", "yes",
];

#[test]
fn a_script_does_the_same_in_our_shell_in_busyboxs_and_on_linux() {
    let right = by_busybox_on_host(SCRIPT, "script-on-host");
    assert_eq!(right.code, 7, "{:#?}", right.lines);
    assert!(right.lines.len() > 100, "{:#?}", right.lines);
    let expect = "expect = \"shutdown:7\"\n";
    let link = ", \"bin/[\" = { symlink = \"test\" }";
    let scene = script_domain("ours", SCRIPT, TOOLS_OF_OURS, link)
        + expect
        + &busybox_domain("busybox", SCRIPT)
        + expect;
    let outcome = Boot::qemu("linux-script", &scene).boot();
    in_guest(&outcome, "busybox").must_be(&right, "BusyBox in the guest");
    in_guest(&outcome, "ours").must_be(&right, "our shell in the guest");
    assert!(outcome.verdict.is_good(), "{}", outcome.report());
}

#[test]
fn busyboxs_tools_do_the_same_as_on_linux() {
    let right = by_busybox_on_host(TOOLS, "tools-on-host");
    assert_eq!(right.code, 0, "{:#?}", right.lines);
    let absent: Vec<_> = right
        .lines
        .iter()
        .filter(|line| line.contains("not found"))
        .collect();
    assert!(absent.is_empty() && right.lines.len() > 100, "{absent:#?}");
    let outcome = Boot::qemu("linux-tools", &busybox_domain("busybox", TOOLS)).boot();
    in_guest(&outcome, "busybox").must_be(&right, "BusyBox in the guest");
    assert!(outcome.verdict.is_good(), "{}", outcome.report());
}

/// A static program, made by the system's gcc and C library.
fn compiled(name: &str) -> PathBuf {
    setup::ensure(&[Need::LinuxPrograms, Need::BusyBox]).expect("a compiler makes what is tried");
    let program = empty_directory(&format!("c-{name}")).join(name);
    let status = Command::new("gcc")
        .args([
            "-std=gnu11",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-static",
            "-o",
        ])
        .arg(&program)
        .arg(source(&format!("linux/{name}.c")))
        .arg("-lm")
        .status();
    assert!(
        status.as_ref().is_ok_and(|status| status.success()),
        "gcc: {status:?}"
    );
    program
}

/// A domain whose first process is such a program, with a shell for those who want one.
fn c_domain(name: &str, program: &Path, arguments: &str, code: i64) -> String {
    format!(
        "
        [[domain]]
        name = \"{name}\"
        kernel = \"pv-kernel\"
        memory = \"32M\"
        cmdline = \"quiet init=/bin/init /bin/env GIVEN=given /bin/{name}{arguments}\"
        tools = [\"init\", \"env\", \"sh\"]
        files = {{ \"bin/{name}\" = {{ program = {program:?} }}, \"tmp\" = {{ directory = true }} }}
        expect = \"shutdown:{code}\"
        "
    )
}

#[test]
fn c_programs_do_the_same_as_on_linux() {
    let (hello, process) = (compiled("hello"), compiled("process"));
    let scene = c_domain("hello", &hello, "", 3) + &c_domain("process", &process, " one --two= three", 9);
    let outcome = Boot::qemu("linux-c", &scene).boot();
    let bin = Path::new("/usr/bin:/bin");
    let on_host = |program: &Path, arguments: &[&str]| {
        let program = program.display().to_string();
        on_host(&[&[program.as_str()], arguments].concat(), bin, Path::new("/"))
    };

    let mut told = in_guest(&outcome, "hello");
    // What is not there is refused each time, and told once.
    let report = "pv-kernel: hello: system call 1470 (no such number) is not implemented";
    let count = told.lines.len();
    told.lines.retain(|line| line != report);
    assert_eq!(count - told.lines.len(), 1, "{:#?}", told.lines);
    told.must_be(&on_host(&hello, &[]), "hello in the guest");

    let told = in_guest(&outcome, "process");
    told.must_be(
        &on_host(&process, &["one", "--two=", "three"]),
        "process in the guest",
    );
    assert!(outcome.verdict.is_good(), "{}", outcome.report());
}
