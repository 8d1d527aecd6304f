//! A scene from manifest to verdict: what the commands and the end-to-end tests use.
//!
//! ```no_run
//! use image_builder::scene::{Options, Scene};
//! let scene = Scene::from_toml("[[domain]]\nname = \"a\"\nkernel = \"pv-kernel\"\n")?;
//! let outcome = scene.boot(&Options::new("a-boots"))?;
//! assert!(outcome.verdict.is_good(), "{}", outcome.report());
//! # Ok::<(), anyhow::Error>(())
//! ```
use crate::annotate::{Annotator, Executables};
use crate::bochs;
use crate::console::{FeedFrom, Input, tail};
use crate::dialogue::Turn;
use crate::emulator::{self, CommandLine, ConsoleEnd, Machine, Run, Said};
use crate::image;
use crate::machine_line::MachineLine;
use crate::manifest::Manifest;
use crate::pack::{self, BootFiles, Recipe, Source};
use crate::qemu::{self, Accel, Clock, Firmware};
use crate::setup::{self, BOCHS_BIOS, Need, OVMF, VGA_BIOS};
use crate::verdict::{Stop, Verdict, judge};
use crate::workspace::{self, Lock};
use abi::layout::PAGE_SIZE;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How many of the last lines of a console a report shows.
const TAIL: usize = 30;
/// Memory for the hypervisor, its tables and GRUB.
const OVERHEAD: u64 = 128 << 20;
/// Least memory of a machine.
const LEAST_MIB: u64 = 256;

/// A manifest that was read and checked.
#[derive(Clone, Debug)]
pub struct Scene {
    manifest: Manifest,
    source: Source,
}

impl Scene {
    /// A scene in a text; its paths are relative to the workspace.
    pub fn from_toml(text: &str) -> Result<Self> {
        let source = Source {
            name: "scene".to_owned(),
            directory: workspace::root().to_path_buf(),
        };
        let manifest = Manifest::parse(text).with_context(|| source.name.clone())?;
        Ok(Self { manifest, source })
    }

    /// A scene in a file; its paths are relative to the file.
    pub fn from_file(path: &Path) -> Result<Self> {
        let (manifest, source) = pack::read_manifest(path)?;
        Ok(Self { manifest, source })
    }

    /// What was read.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Builds what the scene needs and writes a disk image: whole, or not at all.
    pub fn build(&self, image: &Path) -> Result<BootFiles> {
        image::check_destination(image)?;
        let recipe = Recipe::resolve(&self.manifest, &self.source)?;
        setup::ensure(&self.needs())?;
        let files = recipe.pack()?;
        image::write(image, &files)?;
        Ok(files)
    }

    /// What building it needs.
    fn needs(&self) -> Vec<Need> {
        let mut needs = vec![Need::Image];
        needs.extend(self.manifest.has_sources().then_some(Need::Compiler));
        needs.extend(self.manifest.packed_files().filter_map(setup::need_of_file));
        needs
    }

    /// Builds everything for a run, and holds its files until it is dropped.
    pub fn prepare(&self, options: &Options) -> Result<Prepared<'_>> {
        options.check()?;
        Recipe::resolve(&self.manifest, &self.source)?;
        setup::ensure(&[options.needs(), self.needs()].concat())?;
        let place = Place::take(&options.name)?;
        let files = self.build(&place.file("disk.img"))?;
        let memory_mib = machine_memory_mib(&self.manifest, &files);
        let (command, console) = options.command(&place, memory_mib)?;
        Ok(Prepared {
            scene: self,
            place,
            command,
            console,
            limit: options.limit,
            executables: files.executables,
        })
    }

    /// Builds, boots, waits for the end and judges; the transcript is kept under `target/e2e/NAME.log`.
    pub fn boot(&self, options: &Options) -> Result<Outcome> {
        self.boot_until(options, &Arc::default())
    }

    /// The same; setting `interrupt` ends the run.
    pub fn boot_until(&self, options: &Options, interrupt: &Arc<AtomicBool>) -> Result<Outcome> {
        let prepared = self.prepare(options)?;
        let _turn = emulator::turn()?;
        let outcome = prepared.run(interrupt, |_| {})?;
        let directory = workspace::target_dir().join("e2e");
        let transcript = directory.join(format!("{}.log", options.name));
        fs::create_dir_all(&directory)
            .and_then(|()| fs::write(&transcript, outcome.transcript()))
            .with_context(|| format!("cannot write {}", transcript.display()))?;
        Ok(outcome)
    }
}

/// How to boot a scene. [`Options::new`] is a quiet run in QEMU by BIOS with no input.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names the run's files: characters of a file name.
    pub name: String,
    /// Which emulator.
    pub machine: Machine,
    /// What it boots by.
    pub firmware: Firmware,
    /// What executes instructions.
    pub accel: Accel,
    /// How time passes.
    pub clock: Clock,
    /// Counted from the emulator's start.
    pub limit: Option<Duration>,
    /// The console, in QEMU; in Bochs nothing can be typed.
    pub keys: Keys,
    /// Further arguments for the emulator.
    pub extra: Vec<String>,
}

/// Who types.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Keys {
    /// The user, at the terminal.
    Terminal,
    /// We do.
    Fed(Input, FeedFrom),
}

impl Options {
    /// QEMU by BIOS, 120 s, no input.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            machine: Machine::Qemu,
            firmware: Firmware::Bios,
            accel: Accel::Tcg,
            clock: Clock::Real,
            limit: Some(Duration::from_secs(120)),
            keys: Keys::Fed(Input::Bytes(Vec::new()), FeedFrom::Start),
            extra: Vec::new(),
        }
    }

    /// The same with these bytes typed.
    #[must_use]
    pub fn typing(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.keys = Keys::Fed(Input::Bytes(bytes.into()), FeedFrom::Start);
        self
    }

    /// The same with somebody at the console who waits for what it shows.
    #[must_use]
    pub fn talking(mut self, turns: Vec<Turn>) -> Self {
        self.keys = Keys::Fed(Input::Dialogue(turns), FeedFrom::Start);
        self
    }

    fn check(&self) -> Result<()> {
        if self.machine == Machine::Bochs {
            let wrong = match self {
                Self {
                    firmware: Firmware::Uefi,
                    ..
                } => Some("--firmware uefi"),
                Self {
                    accel: Accel::Kvm, ..
                } => Some("--accel kvm"),
                Self {
                    clock: Clock::Instructions,
                    ..
                } => Some("--icount"),
                _ => None,
            };
            if let Some(wrong) = wrong {
                bail!("Bochs cannot do {wrong}: leave it out, or use --machine qemu");
            }
        }
        if self.accel == Accel::Kvm && self.clock == Clock::Instructions {
            bail!("--icount counts the translator's instructions: leave out --accel kvm");
        }
        if self.accel == Accel::Kvm
            && fs::File::options()
                .read(true)
                .write(true)
                .open("/dev/kvm")
                .is_err()
        {
            bail!("--accel kvm needs /dev/kvm, which cannot be opened here: leave it out");
        }
        Ok(())
    }

    fn needs(&self) -> Vec<Need> {
        let mut needs = Vec::new();
        match (self.machine, self.firmware) {
            (Machine::Bochs, _) => needs.push(Need::Bochs),
            (Machine::Qemu, Firmware::Bios) => needs.push(Need::Qemu),
            (Machine::Qemu, Firmware::Uefi) => needs.extend([Need::Qemu, Need::Uefi]),
        }
        needs
    }

    fn command(&self, place: &Place, memory_mib: u64) -> Result<(CommandLine, ConsoleEnd)> {
        let image = place.file("disk.img");
        match self.machine {
            Machine::Qemu => {
                let console = match &self.keys {
                    Keys::Terminal => ConsoleEnd::Terminal,
                    Keys::Fed(input, from) => ConsoleEnd::Pipes {
                        input: input.clone(),
                        from: *from,
                    },
                };
                let firmware = match self.firmware {
                    Firmware::Bios => None,
                    Firmware::Uefi => setup::first_file(OVMF),
                };
                let program = setup::find_program("qemu-system-x86_64").context("there is no QEMU")?;
                let settings = qemu::Settings {
                    image: &image,
                    machine_port: &place.machine_port(),
                    memory_mib,
                    firmware,
                    accel: self.accel,
                    clock: self.clock,
                    extra: &self.extra,
                };
                Ok((qemu::command_line(&program, &settings, &console), console))
            }
            Machine::Bochs => {
                let settings = bochs::Settings {
                    image: &image,
                    console: &place.file("com1"),
                    machine_port: &place.machine_port(),
                    log: &place.file("bochs.log"),
                    memory_mib,
                    bios: setup::first_file(BOCHS_BIOS).context("there is no BIOS for Bochs")?,
                    vga_bios: setup::first_file(VGA_BIOS).context("there is no VGA BIOS for Bochs")?,
                    extra: &self.extra,
                };
                let program = setup::find_program("bochs").context("there is no Bochs")?;
                let command = bochs::command_line(&program, &settings, &place.directory)?;
                Ok((
                    command,
                    ConsoleEnd::File(place.file("com1"), place.file("bochs.out")),
                ))
            }
        }
    }
}

/// Memory for a machine: what its domains get, what is packed (twice: as loaded, and as kept for restarts), and the
/// hypervisor's own with a frame table.
fn machine_memory_mib(manifest: &Manifest, files: &BootFiles) -> u64 {
    let domains: u64 = manifest
        .domains
        .iter()
        .map(|domain| domain.memory_frames * PAGE_SIZE)
        .sum();
    let modules: u64 = files
        .modules
        .iter()
        .map(|module| module.content.len() as u64)
        .sum();
    let bytes = domains + domains / 32 + 2 * modules + OVERHEAD;
    bytes.div_ceil(1 << 20).next_multiple_of(64).max(LEAST_MIB)
}

/// A directory of files for one run at a time.
struct Place {
    directory: PathBuf,
    _lock: Lock,
}

impl Place {
    /// The directory called `name`, or with a number after it while others use that.
    fn take(name: &str) -> Result<Self> {
        for number in 1.. {
            let name = if number == 1 {
                name.to_owned()
            } else {
                format!("{name}-{number}")
            };
            if let Some(lock) = workspace::try_lock(&format!("run-{name}"))? {
                let directory = workspace::target_dir().join("run").join(name);
                fs::create_dir_all(&directory)
                    .with_context(|| format!("cannot create {}", directory.display()))?;
                return Ok(Self {
                    directory,
                    _lock: lock,
                });
            }
        }
        bail!("every directory for {name} is in use")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn machine_port(&self) -> PathBuf {
        self.file("com2")
    }
}

/// A run, ready to be started.
pub struct Prepared<'a> {
    scene: &'a Scene,
    place: Place,
    command: CommandLine,
    console: ConsoleEnd,
    limit: Option<Duration>,
    executables: Executables,
}

impl Prepared<'_> {
    /// What will be started.
    #[must_use]
    pub fn command(&self) -> &CommandLine {
        &self.command
    }

    /// Runs it to its end. `said` sees every line as it comes; setting `interrupt` ends the run.
    pub fn run(self, interrupt: &Arc<AtomicBool>, mut said: impl FnMut(&Said)) -> Result<Outcome> {
        let run = Run {
            command: self.command,
            console: self.console,
            machine_port: self.place.machine_port(),
            limit: self.limit,
            interrupt: Arc::clone(interrupt),
        };
        let mut console = String::new();
        let mut machine_lines = Vec::new();
        let mut annotator = Annotator::new(self.executables);
        let end = emulator::run(&run, |line| {
            let line = match line {
                Said::Console(line) => Said::Console(annotator.line(&line).into_owned()),
                machine => machine,
            };
            said(&line);
            match line {
                Said::Console(line) => {
                    console.push_str(&String::from_utf8_lossy(&line));
                    console.push('\n');
                }
                Said::Machine(line) => machine_lines.push(line),
            }
        })?;
        let verdict = judge(&self.scene.manifest, &machine_lines, end.stop);
        Ok(Outcome {
            command: run.command,
            console,
            machine_lines,
            stop: end.stop,
            status: end.status,
            elapsed: end.elapsed,
            directory: self.place.directory,
            verdict,
        })
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was run.
    pub command: CommandLine,
    /// Everything on the first serial port, each line with `\n` after it; empty if it was the terminal's.
    pub console: String,
    /// Everything on the second serial port.
    pub machine_lines: Vec<MachineLine>,
    /// How it came to its end.
    pub stop: Stop,
    /// What the emulator returned; Bochs always returns 1.
    pub status: ExitStatus,
    /// How long the emulator ran.
    pub elapsed: Duration,
    /// Where the run's files are: the image, the second serial port, Bochs' configuration and logs.
    pub directory: PathBuf,
    /// Whether all is as the manifest expects.
    pub verdict: Verdict,
}

impl Outcome {
    /// What failed, with the last lines of the console.
    #[must_use]
    pub fn report(&self) -> String {
        let mut lines: Vec<String> = self
            .verdict
            .failures
            .iter()
            .map(|what| format!("failed: {what}"))
            .collect();
        let last = tail(&self.console, TAIL);
        if !last.is_empty() {
            lines.push(format!("the last {} lines of the console:", last.len()));
            lines.extend(last.iter().map(|line| format!("| {}", printable(line))));
        }
        lines.join("\n")
    }

    /// The domains' lines of the second serial port, as `name`'s state lines in their order.
    pub fn lines_about<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a MachineLine> {
        self.machine_lines.iter().filter(move |line| line.is_about(name))
    }

    /// Whether Bochs ran, whose status says nothing.
    #[must_use]
    pub fn is_bochs(&self) -> bool {
        self.command
            .program
            .file_name()
            .is_some_and(|name| name == "bochs")
    }

    fn transcript(&self) -> String {
        let mut text = format!("$ {}\n{}", self.command.for_a_shell(), self.console);
        for line in &self.machine_lines {
            text.push_str(&format!("{line}\n"));
        }
        for failure in &self.verdict.failures {
            text.push_str(&format!("failed: {failure}\n"));
        }
        text.push_str(&format!(
            "{:?} after {:.1} s\n",
            self.stop,
            self.elapsed.as_secs_f64()
        ));
        text
    }
}

/// A line of a console without what would move the cursor of the terminal that shows it.
fn printable(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match c {
            // A control sequence: ESC [ parameters, up to a letter or one of @ [ \ ] ^ _ ` { | } ~.
            '\x1b' if rest.as_str().starts_with('[') => {
                rest.next();
                rest.find(|c| ('@'..='~').contains(c));
            }
            '\t' => text.push(c),
            _ if c.is_control() => {}
            _ => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_are_left_out_of_reports() {
        assert_eq!(printable("\x1b[2J\x1b[01;01Hone\x07 \x1b[0mtwo\x1b"), "one two");
        assert_eq!(printable("a\tb \u{e4}\x1b[1"), "a\tb \u{e4}");
    }

    #[test]
    fn memory_covers_the_domains_and_never_falls_below_the_least() {
        let manifest = |memory: &str| {
            Manifest::parse(&format!(
                "[[domain]]\nname = \"a\"\nkernel = \"k\"\nmemory = \"{memory}\""
            ))
            .unwrap()
        };
        let files = BootFiles {
            hypervisor: Vec::new(),
            modules: Vec::new(),
            executables: Executables::default(),
        };
        assert_eq!(machine_memory_mib(&manifest("4M"), &files), LEAST_MIB);
        let large = machine_memory_mib(&manifest("1G"), &files);
        assert!((1024 + 128..1400).contains(&large), "{large}");
    }
}
