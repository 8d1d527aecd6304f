//! Building a suite's program in the copy, and running it until its first failure.
//!
//! The tests run one after another, in the order of their names: the first to fail is the same each time, and one that
//! never ends is known by its name.
use crate::list::Program;
use crate::tree::Tree;
use anyhow::{Context, Result, bail};
use image_builder::toolchain::TARGET;
use rustix::process::{Pid, Resource, Rlimit, Signal};
use serde::Deserialize;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How often the clock is looked at while a suite says nothing.
const POLL: Duration = Duration::from_millis(100);
/// Memory that a program of unit tests may take: a mutation may make it ask for ever more.
const MEMORY: u64 = 4 << 30;

/// A program of tests that was built.
#[derive(Debug)]
pub(crate) struct Built {
    program: PathBuf,
    directory: PathBuf,
    kind: Program,
    /// What the tests are about, as the machine gets it: the program itself or the hypervisor's binary.
    pub(crate) subject: Vec<u8>,
}

/// How a suite ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// So many tests ran and passed.
    Passed(usize),
    /// This test failed.
    Failed(String),
    /// The time was over during this test.
    Hung(String),
    /// The program did not survive this test.
    Died(String),
}

/// Builds the program in the copy. `Ok(Err)` is what the compiler says against it.
pub(crate) fn build(tree: &Tree, kind: Program) -> Result<Result<Built, String>> {
    let (package, target): (_, &[&str]) = match kind {
        Program::Library => ("xen-lite", &["--lib"]),
        // Not the library of that name.
        Program::Machine => ("e2e", &["--test", "e2e"]),
    };
    if kind == Program::Machine {
        let image = tree.target().join("mutant.img");
        let mut command = cargo(tree);
        command.args(["run", "--quiet", "--locked", "-p", "image-builder", "--", "build"]);
        command.arg("demos/default.toml").arg("-o").arg(image);
        let output = command.output().context("cannot run cargo")?;
        if !output.status.success() {
            return Ok(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
    }
    let mut command = cargo(tree);
    command
        .args(["test", "--no-run", "--locked", "-p", package])
        .args(target);
    command.arg("--message-format=json-render-diagnostics");
    let output = command.output().context("cannot run cargo")?;
    if !output.status.success() {
        return Ok(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let name = package.replace('-', "_");
    let program = messages
        .lines()
        .find_map(|line| test_program(line, &name))
        .with_context(|| format!("cargo built no tests of {package}"))?;
    let subject = match kind {
        Program::Library => program.clone(),
        Program::Machine => tree
            .target()
            .join(format!("bare-metal/{TARGET}/release/xen-lite")),
    };
    let directory = match kind {
        Program::Library => tree.root().join("xen-lite"),
        Program::Machine => tree.root().join("tests/e2e"),
    };
    Ok(Ok(Built {
        subject: std::fs::read(&subject).with_context(|| format!("cannot read {}", subject.display()))?,
        program,
        directory,
        kind,
    }))
}

/// Cargo in the copy, with its own target directory; without debug information, which costs time and helps nobody here.
fn cargo(tree: &Tree) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(tree.root())
        .env("CARGO_TARGET_DIR", tree.target())
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_INCREMENTAL", "1")
        .stdin(Stdio::null());
    command
}

fn test_program(message: &str, name: &str) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        target: Target,
        profile: Profile,
        executable: Option<PathBuf>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    #[derive(Deserialize)]
    struct Profile {
        test: bool,
    }
    let message: Message = serde_json::from_str(message).ok()?;
    (message.profile.test && message.target.name == name)
        .then_some(message.executable)
        .flatten()
}

impl Built {
    /// Runs the tests whose names contain one of `tests`. What they print goes to `log`.
    pub(crate) fn run(
        &self,
        tree: &Tree,
        tests: &[String],
        limit: Duration,
        log: &Path,
        interrupt: &Arc<AtomicBool>,
    ) -> Result<Ending> {
        let log = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(&self.program);
        command
            .current_dir(&self.directory)
            .env("CARGO_TARGET_DIR", tree.target())
            .args(["--test-threads=1"])
            .args(tests);
        run(&mut command, self.kind, limit, log, interrupt)
    }
}

/// Runs a program of tests until its end, its first failure or the end of its time.
fn run(
    command: &mut Command,
    kind: Program,
    limit: Duration,
    mut log: File,
    interrupt: &Arc<AtomicBool>,
) -> Result<Ending> {
    let errors = log.try_clone().context("cannot share the log")?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        .process_group(0);
    let mut running = Running(command.spawn().context("cannot run the tests")?);
    if kind == Program::Library {
        running.restrict(limit);
    }
    let output = running.0.stdout.take().context("the tests have no output")?;
    let chunks = read(output);
    let deadline = Instant::now() + limit;
    let mut lines = Lines::default();
    loop {
        let chunk = match chunks.recv_timeout(POLL) {
            Ok(chunk) => chunk,
            Err(RecvTimeoutError::Timeout) => Vec::new(),
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let _ = log.write_all(&chunk);
        lines.push(&String::from_utf8_lossy(&chunk));
        if let Some(name) = lines.failed.take() {
            return Ok(Ending::Failed(name));
        }
        if interrupt.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        if Instant::now() >= deadline {
            return Ok(Ending::Hung(lines.current()));
        }
    }
    let status = running.0.wait().context("cannot wait for the tests")?;
    Ok(lines.ending(status))
}

fn read(mut from: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (to, chunks) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if to.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    chunks
}

/// What the test harness has said so far.
#[derive(Default, Debug)]
struct Lines {
    unfinished: String,
    failed: Option<String>,
    passed: Option<usize>,
}

impl Lines {
    fn push(&mut self, text: &str) {
        self.unfinished.push_str(text);
        while let Some((line, rest)) = self.unfinished.split_once('\n') {
            if let Some(name) = test_of(line).filter(|_| line.ends_with("FAILED")) {
                self.failed.get_or_insert(name);
            }
            if let Some(result) = line.strip_prefix("test result: ok. ") {
                self.passed = result.split(' ').next().and_then(|count| count.parse().ok());
            }
            self.unfinished = rest.to_owned();
        }
    }

    /// The test that was begun and has not ended.
    fn current(&self) -> String {
        test_of(&self.unfinished).unwrap_or_else(|| "no test".to_owned())
    }

    fn ending(&self, status: ExitStatus) -> Ending {
        match self.passed {
            Some(count) if status.success() => Ending::Passed(count),
            _ => Ending::Died(self.current()),
        }
    }
}

/// The name in a line such as `test a::b ... ok` or `test a::b - should panic ... `.
fn test_of(line: &str) -> Option<String> {
    let (name, _) = line.strip_prefix("test ")?.split_once(" ...")?;
    Some(name.trim_end_matches(" - should panic").to_owned())
}

/// A process group that does not outlive this value.
struct Running(Child);

impl Running {
    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.0.id()).ok()?)
    }

    /// No endless loop outlives us, and none takes the machine's memory.
    fn restrict(&self, limit: Duration) {
        let at_most = |value| Rlimit {
            current: Some(value),
            maximum: Some(value),
        };
        let _ = rustix::process::prlimit(self.pid(), Resource::Cpu, at_most(limit.as_secs() + 1));
        let _ = rustix::process::prlimit(self.pid(), Resource::As, at_most(MEMORY));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // While it was not waited for, its number is nobody else's.
        if !matches!(self.0.try_wait(), Ok(Some(_)))
            && let Some(pid) = self.pid()
        {
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
            let _ = self.0.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Ending {
        let log = tempfile::tempfile().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run(&mut command, Program::Library, limit, log, &Arc::default()).unwrap()
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_suite_passes_with_a_result_and_a_good_status_alone() {
        let result = "echo 'test a ... ok'; echo 'test result: ok. 7 passed; 0 failed'";
        assert_eq!(shell(result, LONG), Ending::Passed(7));
        assert_eq!(
            shell(&format!("{result}; exit 1"), LONG),
            Ending::Died("no test".to_owned())
        );
        assert_eq!(
            shell("echo 'test a ... ok'", LONG),
            Ending::Died("no test".to_owned())
        );
    }

    #[test]
    fn the_first_failure_ends_it() {
        let script = "echo 'test a ... ok'; echo 'test m::b - should panic ... FAILED'; sleep 600";
        assert_eq!(shell(script, LONG), Ending::Failed("m::b".to_owned()));
    }

    #[test]
    fn a_test_that_kills_its_program_is_named() {
        assert_eq!(
            shell("printf 'test a ... '; kill -9 $$", LONG),
            Ending::Died("a".to_owned())
        );
    }

    #[test]
    fn a_test_without_end_is_named_and_ended() {
        let ending = shell("printf 'test a ... '; sleep 600", Duration::from_millis(1));
        assert!(matches!(ending, Ending::Hung(_)), "{ending:?}");
        let mut lines = Lines::default();
        lines.push("running 2 tests\ntest a ... ok\ntest m::b ... ");
        assert_eq!((lines.current(), lines.failed), ("m::b".to_owned(), None));
    }

    #[test]
    fn a_test_program_is_found_among_cargos_messages() {
        let message = |name: &str, test: bool| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"name":"{name}"}},"profile":{{"test":{test}}},"executable":"/x"}}"#
            )
        };
        assert_eq!(
            test_program(&message("e2e", true), "e2e"),
            Some(PathBuf::from("/x"))
        );
        assert_eq!(test_program(&message("e2e", false), "e2e"), None);
        assert_eq!(test_program(&message("abi", true), "e2e"), None);
        assert_eq!(test_program(r#"{"reason":"build-finished"}"#, "e2e"), None);
    }
}
