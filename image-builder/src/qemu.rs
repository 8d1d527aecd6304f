//! QEMU's command line.
use crate::emulator::{CommandLine, ConsoleEnd};
use std::ffi::OsString;
use std::path::Path;

/// What the machine boots by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Firmware {
    /// SeaBIOS.
    #[default]
    Bios,
    /// OVMF.
    Uefi,
}

/// What executes the guest's instructions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Accel {
    /// QEMU's translator: works everywhere, and is the default even where KVM exists.
    #[default]
    Tcg,
    /// The processor.
    Kvm,
}

/// How time passes for the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Clock {
    /// As it does for us.
    #[default]
    Real,
    /// By the number of instructions that were executed: every run is like the last one.
    Instructions,
}

/// What decides about the command line.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    /// The disk image.
    pub image: &'a Path,
    /// The file for the second serial port.
    pub machine_port: &'a Path,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// BIOS, or the file with UEFI.
    pub firmware: Option<&'a Path>,
    /// Translator or processor.
    pub accel: Accel,
    /// How time passes.
    pub clock: Clock,
    /// What the user adds.
    pub extra: &'a [String],
}

/// The command for these settings.
#[must_use]
pub fn command_line(program: &Path, settings: &Settings<'_>, console: &ConsoleEnd) -> CommandLine {
    let mut arguments: Vec<OsString> = Vec::new();
    let mut add = |words: &[&str]| arguments.extend(words.iter().map(OsString::from));
    let accel = match settings.accel {
        Accel::Tcg => "tcg",
        Accel::Kvm => "kvm",
    };
    // q35: its power-off port stays at 0x604 under both firmwares. SATA ports would only be searched for disks.
    add(&[
        "-machine",
        "q35,sata=off",
        "-accel",
        accel,
        "-cpu",
        "max",
        "-m",
        &settings.memory_mib.to_string(),
    ]);
    if let Some(uefi) = settings.firmware {
        add(&["-bios", &uefi.to_string_lossy()]);
    }
    let image = settings.image.to_string_lossy().replace(',', ",,");
    add(&[
        "-drive",
        &format!("file={image},format=raw,if=virtio,snapshot=on"),
    ]);
    // No network card and no drives but ours: firmware would try to boot from them.
    add(&["-nodefaults", "-vga", "std", "-display", "none", "-no-reboot"]);
    if settings.clock == Clock::Instructions {
        add(&["-icount", "shift=0,sleep=off", "-rtc", "base=2026-01-01,clock=vm"]);
    }
    match console {
        ConsoleEnd::Terminal => add(&["-serial", "mon:stdio"]),
        // No monitor: its escape character may be part of the input.
        _ => add(&["-monitor", "none", "-serial", "stdio"]),
    }
    add(&[
        "-serial",
        &format!("file:{}", settings.machine_port.to_string_lossy()),
    ]);
    arguments.extend(settings.extra.iter().map(OsString::from));
    CommandLine {
        program: program.to_path_buf(),
        arguments,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::{FeedFrom, Input};

    fn words(settings: &Settings<'_>, console: &ConsoleEnd) -> String {
        command_line(Path::new("qemu"), settings, console).for_a_shell()
    }

    fn settings<'a>() -> Settings<'a> {
        Settings {
            image: Path::new("d,1.img"),
            machine_port: Path::new("com2"),
            memory_mib: 256,
            firmware: None,
            accel: Accel::Tcg,
            clock: Clock::Real,
            extra: &[],
        }
    }

    #[test]
    fn a_terminal_gets_the_monitor_and_a_pipe_does_not() {
        let pipes = ConsoleEnd::Pipes {
            input: Input::Stdin,
            from: FeedFrom::Start,
        };
        assert!(words(&settings(), &ConsoleEnd::Terminal).contains("-serial mon:stdio -serial file:com2"));
        assert!(words(&settings(), &pipes).contains("-monitor none -serial stdio -serial file:com2"));
    }

    #[test]
    fn commas_in_a_path_are_doubled() {
        assert!(words(&settings(), &ConsoleEnd::Terminal).contains("file=d,,1.img,format=raw"));
    }

    #[test]
    fn each_setting_has_its_words() {
        let extra = ["-d".to_owned(), "int".to_owned()];
        let settings = Settings {
            firmware: Some(Path::new("OVMF.fd")),
            accel: Accel::Kvm,
            clock: Clock::Instructions,
            extra: &extra,
            ..settings()
        };
        let words = words(&settings, &ConsoleEnd::Terminal);
        for part in [
            "-bios OVMF.fd",
            "-accel kvm",
            "-icount shift=0,sleep=off",
            "clock=vm",
        ] {
            assert!(words.contains(part), "{part} in {words}");
        }
        assert!(words.ends_with("-d int"));
    }
}
