//! Bochs' configuration and command line.
//!
//! Its display is an RFB server that waits for nobody, its sound driver a dummy, so that it needs no screen. Both
//! serial ports go to files. It always returns 1: a run is judged by what it wrote.
use crate::emulator::CommandLine;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Instructions in a second of the guest's time. More would make its serial port slower for us.
const INSTRUCTIONS_PER_SECOND: u32 = 10_000_000;

/// What decides about the configuration.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    /// The disk image.
    pub image: &'a Path,
    /// The file for the first serial port.
    pub console: &'a Path,
    /// The file for the second serial port.
    pub machine_port: &'a Path,
    /// Bochs' own log.
    pub log: &'a Path,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// The BIOS.
    pub bios: &'a Path,
    /// The BIOS of the graphics card.
    pub vga_bios: &'a Path,
    /// What the user adds.
    pub extra: &'a [String],
}

/// Writes the configuration into `directory`; returns the command that uses it.
pub fn command_line(program: &Path, settings: &Settings<'_>, directory: &Path) -> Result<CommandLine> {
    let write = |name: &str, text: &str| -> Result<PathBuf> {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    };
    // A run that was ended leaves its lock.
    let _ = fs::remove_file(format!("{}.lock", settings.image.display()));
    let configuration = write("bochsrc", &configuration(settings))?;
    // Debian's Bochs starts in its debugger, which is told to go on.
    let go_on = write("bochs-debugger", "c\n")?;
    let mut arguments = vec![
        "-q".into(),
        "-f".into(),
        configuration.into(),
        "-rc".into(),
        go_on.into(),
    ];
    arguments.extend(settings.extra.iter().map(Into::into));
    Ok(CommandLine {
        program: program.to_path_buf(),
        arguments,
    })
}

fn configuration(settings: &Settings<'_>) -> String {
    let Settings { memory_mib, .. } = settings;
    let host_mib = memory_mib.min(&1024);
    [
        "display_library: rfb, options=\"timeout=0\"".to_owned(),
        "sound: driver=dummy".to_owned(),
        "speaker: enabled=0".to_owned(),
        format!(
            "cpu: model=corei7_skylake_x, count=1, ips={INSTRUCTIONS_PER_SECOND}, reset_on_triple_fault=0"
        ),
        "clock: sync=none, time0=1767225600".to_owned(),
        format!("memory: guest={memory_mib}, host={host_mib}"),
        format!("romimage: file=\"{}\"", settings.bios.display()),
        format!("vgaromimage: file=\"{}\"", settings.vga_bios.display()),
        format!(
            "ata0-master: type=disk, path=\"{}\", mode=flat",
            settings.image.display()
        ),
        "boot: disk".to_owned(),
        format!(
            "com1: enabled=1, mode=file, dev=\"{}\"",
            settings.console.display()
        ),
        format!(
            "com2: enabled=1, mode=file, dev=\"{}\"",
            settings.machine_port.display()
        ),
        format!("log: \"{}\"", settings.log.display()),
        "panic: action=fatal".to_owned(),
        "error: action=report".to_owned(),
        "info: action=report".to_owned(),
        "debug: action=ignore".to_owned(),
        String::new(),
    ]
    .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_names_files_that_exist() {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings {
            image: Path::new("/i"),
            console: Path::new("/one"),
            machine_port: Path::new("/two"),
            log: Path::new("/log"),
            memory_mib: 2048,
            bios: Path::new("/bios"),
            vga_bios: Path::new("/vga"),
            extra: &[],
        };
        let line = command_line(Path::new("bochs"), &settings, directory.path()).unwrap();
        let text = fs::read_to_string(&line.arguments[2]).unwrap();
        assert!(
            text.contains("com2: enabled=1, mode=file, dev=\"/two\"\n"),
            "{text}"
        );
        assert!(text.contains("memory: guest=2048, host=1024\n"), "{text}");
        assert_eq!(fs::read_to_string(&line.arguments[4]).unwrap(), "c\n");
    }
}
