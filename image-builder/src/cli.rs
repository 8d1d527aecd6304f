//! The command line.
use crate::cases::report::Style;
use crate::emulator::Machine;
use crate::qemu::{Accel, Firmware};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Builds xen-lite, packs a scene into a bootable disk image, boots it.
///
/// Without a command: `run` with demos/default.toml, at the terminal.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXIT_CODES: &str = "Exit codes: 0 every domain ended as its manifest expects, 1 a guest or a check failed, \
                          2 it could not be tried";

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Writes a raw disk image, for emulators, BIOS and UEFI machines
    Build(Build),
    /// Boots a scene in an emulator and judges how its domains ended
    Run(Run),
    /// Lists the bad guests, or runs them and says of each how it ended
    Cases(Cases),
    /// Counts the instructions of every primitive, beside what Xen takes for the same work
    Bench(Bench),
}

/// Arguments of `cases`.
#[derive(Debug, Args)]
pub struct Cases {
    /// Cases, each booted alone; groups or suites, whose cases share boots [default: all]
    pub names: Vec<String>,
    /// Says what there is, and runs nothing
    #[arg(long)]
    pub list: bool,
    /// One JSON object a line, no table
    #[arg(long)]
    pub json: bool,
    /// The emulator
    #[arg(long, value_enum, default_value = "qemu")]
    pub machine: MachineName,
}

impl Cases {
    /// How lines look.
    #[must_use]
    pub const fn style(&self) -> Style {
        if self.json { Style::Json } else { Style::Table }
    }
}

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// One JSON object instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `build`.
#[derive(Debug, Args)]
pub struct Build {
    /// The scene
    pub manifest: PathBuf,
    /// Where the image goes
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The scene [default: demos/default.toml]
    pub manifest: Option<PathBuf>,
    /// In place of a scene: one case of `cases`, beside a witness
    #[arg(long, value_name = "NAME", conflicts_with = "manifest")]
    pub case: Option<String>,
    /// Nobody is at the terminal: no keys but what is piped; implied when standard input is no terminal
    #[arg(long)]
    pub headless: bool,
    /// Time limit from the emulator's start [default: 120 if headless, else none]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub timeout: Option<u64>,
    /// The emulator
    #[arg(long, value_enum, default_value = "qemu")]
    pub machine: MachineName,
    /// What the machine boots by
    #[arg(long, value_enum, default_value = "bios")]
    pub firmware: FirmwareName,
    /// What executes instructions
    #[arg(long, value_enum, default_value = "tcg")]
    pub accel: AccelName,
    /// Let the guest's time be the number of its instructions, so that every run is the same
    #[arg(long)]
    pub icount: bool,
    /// Further arguments for the emulator
    #[arg(last = true, value_name = "EMULATOR ARGS")]
    pub extra: Vec<String>,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            manifest: None,
            case: None,
            headless: false,
            timeout: None,
            machine: MachineName::Qemu,
            firmware: FirmwareName::Bios,
            accel: AccelName::Tcg,
            icount: false,
            extra: Vec::new(),
        }
    }
}

/// Names of [`Machine`].
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum MachineName {
    /// QEMU
    Qemu,
    /// Bochs
    Bochs,
}

impl From<MachineName> for Machine {
    fn from(name: MachineName) -> Self {
        match name {
            MachineName::Qemu => Self::Qemu,
            MachineName::Bochs => Self::Bochs,
        }
    }
}

/// Names of [`Firmware`].
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum FirmwareName {
    /// BIOS
    Bios,
    /// UEFI
    Uefi,
}

impl From<FirmwareName> for Firmware {
    fn from(name: FirmwareName) -> Self {
        match name {
            FirmwareName::Bios => Self::Bios,
            FirmwareName::Uefi => Self::Uefi,
        }
    }
}

/// Names of [`Accel`].
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum AccelName {
    /// QEMU's translator, which works everywhere
    Tcg,
    /// The processor, by /dev/kvm; a nested one may hang
    Kvm,
}

impl From<AccelName> for Accel {
    fn from(name: AccelName) -> Self {
        match name {
            AccelName::Tcg => Self::Tcg,
            AccelName::Kvm => Self::Kvm,
        }
    }
}
