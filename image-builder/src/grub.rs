//! GRUB's two images: for BIOS a boot sector and a core image, for UEFI an application.
//!
//! Both hold the same few commands, which load the hypervisor and its modules by multiboot2; there is no menu
//! and no configuration file on the disk.
use crate::pack::BootFiles;
use crate::setup::{GRUB_EFI, GRUB_PC, find_program};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Directory of the boot partition that holds the hypervisor and its modules.
pub const DIRECTORY: &str = "xen-lite";

/// Bytes of the boot sector that are code; the partition table follows.
pub const BOOT_CODE_SIZE: usize = 440;

/// One of the two images.
struct Target {
    format: &'static str,
    modules: &'static str,
    /// GRUB modules beside [`COMMON`].
    own: &'static [&'static str],
    /// Lines that make a BIOS machine tell of a failure on the first serial port; UEFI's console goes there anyway.
    speak: &'static [&'static str],
}

const COMMON: &[&str] = &[
    "fat",
    "part_msdos",
    "multiboot2",
    "search_fs_file",
    "echo",
    "halt",
];
const BIOS: Target = Target {
    format: "i386-pc",
    modules: GRUB_PC,
    own: &["biosdisk", "serial", "terminal"],
    speak: &[
        "serial --unit=0 --speed=115200",
        "terminal_output --append serial",
    ],
};
const UEFI: Target = Target {
    format: "x86_64-efi",
    modules: GRUB_EFI,
    own: &["efi_gop"],
    speak: &[],
};

/// What makes a disk boot.
#[derive(Debug)]
pub struct Grub {
    /// The first [`BOOT_CODE_SIZE`] bytes of the disk.
    pub boot_code: Vec<u8>,
    /// From the second sector on.
    pub core: Vec<u8>,
    /// `EFI/BOOT/BOOTX64.EFI`.
    pub efi: Vec<u8>,
}

/// Has grub-mkimage make both images.
pub fn make(files: &BootFiles) -> Result<Grub> {
    let work = tempfile::tempdir().context("cannot create a temporary directory")?;
    let core = mkimage(work.path(), &BIOS, files)?;
    let efi = mkimage(work.path(), &UEFI, files)?;
    let boot = Path::new(GRUB_PC).join("boot.img");
    let mut boot_code = fs::read(&boot).with_context(|| format!("cannot read {}", boot.display()))?;
    if boot_code.len() < BOOT_CODE_SIZE {
        bail!("{} is too short for a boot sector", boot.display());
    }
    boot_code.truncate(BOOT_CODE_SIZE);
    Ok(Grub { boot_code, core, efi })
}

/// The name of a boot module's file.
#[must_use]
pub fn module_file(index: usize) -> String {
    format!("m{index:03}")
}

/// GRUB's commands. A file's label follows its path, so that a hypervisor can print it.
fn script(files: &BootFiles, target: &Target) -> String {
    let mut lines = vec![
        format!("search.file /{DIRECTORY}/{} root", module_file(0)),
        format!("multiboot2 /{DIRECTORY}/xen-lite"),
    ];
    for (index, module) in files.modules.iter().enumerate() {
        let label: String = module
            .label
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c))
            .collect();
        lines.push(format!("module2 /{DIRECTORY}/{} {label}", module_file(index)));
    }
    lines.push("boot".to_owned());
    // Reached only if something above failed: nobody is there to read a screen or to type.
    lines.extend(target.speak.iter().map(ToString::to_string));
    lines.push("echo (grub) the hypervisor or one of its modules could not be loaded".to_owned());
    lines.push("halt".to_owned());
    lines.join("\n") + "\n"
}

fn mkimage(work: &Path, target: &Target, files: &BootFiles) -> Result<Vec<u8>> {
    let image = work.join(target.format);
    let commands = work.join("early.cfg");
    fs::write(&commands, script(files, target))
        .with_context(|| format!("cannot write {}", commands.display()))?;
    let program = find_program("grub-mkimage").context("grub-mkimage is not in the search path")?;
    let mut command = Command::new(program);
    command.args([
        "-O",
        target.format,
        "-d",
        target.modules,
        "-p",
        &format!("/{DIRECTORY}"),
    ]);
    command
        .arg("-c")
        .arg(commands)
        .arg("-o")
        .arg(&image)
        .args(COMMON)
        .args(target.own);
    let output = command
        .stdin(Stdio::null())
        .output()
        .context("cannot run grub-mkimage")?;
    if !output.status.success() {
        bail!(
            "grub-mkimage failed: {}",
            String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")
        );
    }
    fs::read(&image).with_context(|| format!("cannot read {}", image.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::BootModule;

    #[test]
    fn the_script_loads_the_modules_in_their_order() {
        let module = |label: &str| BootModule {
            label: label.to_owned(),
            content: Vec::new(),
        };
        let files = BootFiles {
            hypervisor: Vec::new(),
            modules: vec![module("records"), module("../a b;c")],
            executables: Default::default(),
        };
        let script = script(&files, &BIOS);
        let end = script.find("\nboot\n").unwrap();
        assert_eq!(
            script[..end],
            *"search.file /xen-lite/m000 root\nmultiboot2 /xen-lite/xen-lite\n\
              module2 /xen-lite/m000 records\nmodule2 /xen-lite/m001 ..abc"
        );
    }
}
