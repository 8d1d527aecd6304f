//! The programs, built for Linux once for all tests.
use image_builder::setup::{self, Need};
use image_builder::workspace;
use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{io::Read, io::Write, thread};

/// No program of these tests takes longer.
const LIMIT: Duration = Duration::from_secs(120);

/// The directory with all programs, `[` among them.
pub(crate) fn directory() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        setup::ensure(&[Need::Shells]).expect("dash and busybox are needed to compare with");
        let target = workspace::target_dir().join("linux-programs");
        let _one_at_a_time = workspace::lock("linux-programs").expect("there can be locks");
        let status = Command::new(env!("CARGO"))
            .current_dir(workspace::root())
            .args(["build", "--locked", "--quiet", "-p", "userland", "--bins"])
            .args([
                "--profile",
                "linux-programs",
                "--features",
                "userland/linux",
                "--target-dir",
            ])
            .arg(&target)
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_BUILD_TARGET")
            .status()
            .expect("cargo can be run");
        assert!(status.success(), "the programs could not be built for Linux");
        let directory = target.join("linux-programs");
        // It may be there from an earlier run.
        let _ = symlink("test", directory.join("["));
        directory
    })
}

/// One of our programs.
pub(crate) fn path(name: &str) -> PathBuf {
    directory().join(name)
}

/// A directory of one test's own, removed at its end.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("userland-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a directory can be made");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs a command with this input; what does not end in time is killed, and fails the test.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Output {
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{shown}: {error}"));
    let gather = |mut from: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut content = Vec::new();
            let _ = from.read_to_end(&mut content);
            content
        })
    };
    let stdout = gather(Box::new(child.stdout.take().expect("it is piped")));
    let stderr = gather(Box::new(child.stderr.take().expect("it is piped")));
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_vec();
    // Whoever does not read all of it has said enough.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break status;
        }
        if start.elapsed() > LIMIT {
            let _ = child.kill();
            panic!("{shown} did not end in time");
        }
        thread::sleep(Duration::from_millis(2));
    };
    writer.join().expect("writing does not panic");
    Output {
        status,
        stdout: stdout.join().expect("reading does not panic"),
        stderr: stderr.join().expect("reading does not panic"),
    }
}
