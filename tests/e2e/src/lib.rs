//! Shared by the suites of `tests/`: what a boot is, and what every boot has to show.
//!
//! [`Boot`] names a scene and how to boot it; [`Boot::must_be_good`] boots it and wants everything that holds of any boot:
//! each incarnation ended as the manifest expects, all frames came back, every audit was clean, the machine powered
//! off, nothing panicked, and every guest line carries its prefix. [`group_domain`] turns a group of
//! [`guests::catalogue`] into a domain that restarts with the next case.
#![forbid(unsafe_code)]

pub mod fuzz;

pub use image_builder::cases::scene::{MACHINE, SECRET_KEEPER, WITNESS, group_domain};

use image_builder::cases::Plan;
use image_builder::dialogue::Turn;
use image_builder::emulator::Machine;
use image_builder::qemu::{Clock, Firmware};
use image_builder::scene::{Options, Outcome, Scene};
use image_builder::workspace;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// How many lines of each kind a failure shows.
const MOST_SHOWN: usize = 40;

/// A scene of the witness and these groups.
#[must_use]
pub fn groups(names: &[&str], machine: Machine) -> String {
    let mut toml = MACHINE.to_owned();
    toml.push_str(WITNESS);
    for name in names {
        toml.push_str(&group_domain(name, machine));
    }
    toml
}

/// The same without an audit at each end: on a faithful emulator it takes longer than what it follows. The one before
/// power-off stays.
#[must_use]
pub fn groups_with_one_audit(names: &[&str], machine: Machine) -> String {
    groups(names, machine).replace("audit = \"each-end\"", "")
}

/// A boot to be made.
#[derive(Clone, Debug)]
pub struct Boot {
    toml: String,
    options: Options,
}

impl Boot {
    /// In QEMU, with two minutes. `name` names the transcript.
    #[must_use]
    pub fn qemu(name: &str, toml: &str) -> Self {
        let mut options = Options::new(name);
        options.limit = Some(Duration::from_secs(180));
        Self {
            toml: toml.to_owned(),
            options,
        }
    }

    /// In Bochs, with five.
    #[must_use]
    pub fn bochs(name: &str, toml: &str) -> Self {
        let mut boot = Self::qemu(name, toml);
        boot.options.machine = Machine::Bochs;
        boot.options.limit = Some(Duration::from_secs(400));
        boot
    }

    /// A boot of cases.
    #[must_use]
    pub fn of(plan: &Plan, machine: Machine) -> Self {
        Self {
            toml: plan.toml.clone(),
            options: plan.options(machine),
        }
    }

    /// By UEFI.
    #[must_use]
    pub fn uefi(mut self) -> Self {
        self.options.firmware = Firmware::Uefi;
        self
    }

    /// With a clock that counts instructions.
    #[must_use]
    pub fn counting(mut self) -> Self {
        self.options.clock = Clock::Instructions;
        self
    }

    /// With these keys typed.
    #[must_use]
    pub fn typing(mut self, keys: &str) -> Self {
        self.options = self.options.typing(keys);
        self
    }

    /// With somebody at the console who waits for a text before they type: pairs of these.
    #[must_use]
    pub fn talking(mut self, turns: &[(&str, &str)]) -> Self {
        let turns = turns.iter().map(|(after, keys)| Turn::new(after, keys));
        self.options = self.options.talking(turns.collect());
        self
    }

    /// With further arguments for the emulator.
    #[must_use]
    pub fn given(mut self, arguments: &[&str]) -> Self {
        self.options.extra = arguments.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Where the transcript of the last boot is.
    #[must_use]
    pub fn transcript(&self) -> PathBuf {
        workspace::target_dir()
            .join("e2e")
            .join(format!("{}.log", self.options.name))
    }

    /// Boots it, whatever comes of it.
    ///
    /// # Panics
    /// The scene cannot be built or started.
    #[must_use]
    pub fn boot(&self) -> Outcome {
        let scene = Scene::from_toml(&self.toml).unwrap_or_else(|error| panic!("{error:#}\n{}", self.toml));
        let outcome = scene.boot(&self.options);
        outcome.unwrap_or_else(|error| panic!("{}: {error:#}", self.options.name))
    }

    /// Boots it and wants what holds of every boot.
    ///
    /// # Panics
    /// It does not.
    #[must_use]
    pub fn must_be_good(&self) -> Outcome {
        let outcome = self.boot();
        let mut failures = strange_lines(&outcome);
        failures.extend(silent_witnesses(&outcome));
        let mut text = String::new();
        for failure in failures.iter().take(MOST_SHOWN) {
            let _ = writeln!(text, "failed: {failure}");
        }
        assert!(
            failures.is_empty() && outcome.verdict.is_good(),
            "{text}{}\nthe transcript is {}",
            shortened(&outcome.report()),
            self.transcript().display()
        );
        outcome
    }
}

/// The first and the last lines of a long text.
fn shortened(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() <= 2 * MOST_SHOWN {
        return text.to_owned();
    }
    let (first, last) = (&lines[..MOST_SHOWN], &lines[lines.len() - MOST_SHOWN..]);
    format!("{}\n[...]\n{}", first.join("\n"), last.join("\n"))
}

/// Lines of the console that are neither a guest's, with its prefix, nor the hypervisor's own, and lines that would move a
/// terminal's cursor. What stands before the hypervisor's first line is the firmware's.
fn strange_lines(outcome: &Outcome) -> Vec<String> {
    let first = outcome.console.find("(xen-lite) ").unwrap_or_default();
    outcome.console[first..]
        .lines()
        .filter_map(|line| {
            let line = line.trim_end_matches('\r');
            if line.chars().any(char::is_control) {
                return Some(format!("a line with control characters: {line:?}"));
            }
            let is_whole = line.is_empty() || line.starts_with('[') || line.starts_with("(xen-lite) ");
            (!is_whole).then(|| format!("a line without a prefix: {line:?}"))
        })
        .collect()
}

/// Witnesses whose guest found something wrong are not alive; one that never printed a beat is of no use.
fn silent_witnesses(outcome: &Outcome) -> Vec<String> {
    let has_witness = outcome
        .lines_about("witness")
        .any(|line| line.get("state") == Some("alive"));
    let beats = outcome.console.contains("beat ");
    (has_witness && !beats)
        .then(|| "the witness never printed a beat".to_owned())
        .into_iter()
        .collect()
}

/// The guest `tests/guests/asm/NAME.S`, built by the system's assembler and linker.
///
/// # Panics
/// They are not there, or refuse it.
#[must_use]
pub fn assembled(name: &str) -> PathBuf {
    let source = workspace::root()
        .join("tests/guests/asm")
        .join(format!("{name}.S"));
    let directory = workspace::target_dir().join("e2e");
    std::fs::create_dir_all(&directory).expect("the target directory can be written");
    let (object, kernel) = (
        directory.join(format!("{name}.o")),
        directory.join(format!("{name}.elf")),
    );
    run("as", &["-o".as_ref(), object.as_os_str(), source.as_os_str()]);
    run("ld", &["-o".as_ref(), kernel.as_os_str(), object.as_os_str()]);
    kernel
}

fn run(program: &str, arguments: &[&OsStr]) {
    let status = Command::new(program).args(arguments).status();
    assert!(
        status.as_ref().is_ok_and(std::process::ExitStatus::success),
        "{program} {arguments:?}: {status:?}"
    );
}
