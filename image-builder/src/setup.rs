//! What must be installed, and installing it: Debian packages by apt-get, where we may.
//!
//! Deciding what is missing is a table and two pure functions; only [`ensure`], [`install_debian_rust`] and
//! [`install_linker`] change the machine, and each says so first.
use crate::toolchain::Version;
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A kind of work that needs programs of others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// Packing a disk image.
    Image,
    /// Booting in QEMU.
    Qemu,
    /// Booting in QEMU by UEFI.
    Uefi,
    /// Booting in Bochs.
    Bochs,
    /// Compiling a kernel from C.
    Compiler,
    /// Compiling static programs for Linux.
    LinuxPrograms,
    /// Comparing our shell with others.
    Shells,
    /// BusyBox, to be packed.
    BusyBox,
}

/// What shows that a package is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proof {
    /// A program of the search path.
    Program(&'static str),
    /// One of these files.
    File(&'static [&'static str]),
}

/// The firmware for UEFI in one file, as `-bios` takes it.
pub const OVMF: &[&str] = &[
    "/usr/share/ovmf/OVMF.fd",
    "/usr/share/qemu/OVMF.fd",
    "/usr/share/OVMF/OVMF.fd",
];
/// Where Bochs finds its BIOS.
pub const BOCHS_BIOS: &[&str] = &["/usr/share/bochs/BIOS-bochs-latest"];
/// Where Bochs finds the BIOS of its graphics card.
pub const VGA_BIOS: &[&str] = &[
    "/usr/share/bochs/VGABIOS-lgpl-latest",
    "/usr/share/vgabios/vgabios.bin",
];
/// The static BusyBox of Debian's package.
pub const BUSYBOX: &str = "/bin/busybox";
/// GRUB's modules for BIOS machines.
pub const GRUB_PC: &str = "/usr/lib/grub/i386-pc";
/// GRUB's modules for UEFI machines.
pub const GRUB_EFI: &str = "/usr/lib/grub/x86_64-efi";

const TABLE: &[(Need, Proof, &str)] = &[
    (Need::Image, Proof::Program("grub-mkimage"), "grub-common"),
    (
        Need::Image,
        Proof::File(&["/usr/lib/grub/i386-pc/boot.img"]),
        "grub-pc-bin",
    ),
    (
        Need::Image,
        Proof::File(&["/usr/lib/grub/x86_64-efi/multiboot2.mod"]),
        "grub-efi-amd64-bin",
    ),
    (
        Need::Qemu,
        Proof::Program("qemu-system-x86_64"),
        "qemu-system-x86",
    ),
    (Need::Uefi, Proof::File(OVMF), "ovmf"),
    (Need::Bochs, Proof::Program("bochs"), "bochs"),
    (Need::Bochs, Proof::File(BOCHS_BIOS), "bochsbios"),
    (Need::Bochs, Proof::File(VGA_BIOS), "vgabios"),
    (Need::Compiler, Proof::Program("gcc"), "gcc"),
    (Need::LinuxPrograms, Proof::Program("gcc"), "gcc"),
    (
        Need::LinuxPrograms,
        Proof::File(&["/usr/lib/x86_64-linux-gnu/libc.a"]),
        "libc6-dev",
    ),
    (Need::Shells, Proof::Program("dash"), "dash"),
    (Need::Shells, Proof::Program("busybox"), "busybox-static"),
    (Need::BusyBox, Proof::File(&[BUSYBOX]), "busybox-static"),
];

/// What brings a file that a scene packs, if we can install it.
#[must_use]
pub fn need_of_file(path: &str) -> Option<Need> {
    (path == BUSYBOX).then_some(Need::BusyBox)
}

/// The packages that `needs` want and whose proof is absent.
pub fn missing(needs: &[Need], is_there: impl Fn(Proof) -> bool) -> Vec<&'static str> {
    let wanted = TABLE.iter().filter(|(need, _, _)| needs.contains(need));
    wanted
        .filter(|(_, proof, _)| !is_there(*proof))
        .map(|(_, _, package)| *package)
        .collect()
}

/// How packages can be installed here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Means {
    /// By apt-get, as we are root.
    Root,
    /// By apt-get under sudo, which asks for no password.
    Sudo,
    /// By the user: there is apt-get, but no right to use it.
    Ask,
    /// By the user, who knows the system's package manager.
    Unknown,
}

/// Decides how to install from what the machine has.
#[must_use]
pub fn means(has_apt: bool, is_root: bool, sudo_works: impl FnOnce() -> bool) -> Means {
    match (has_apt, is_root) {
        (false, _) => Means::Unknown,
        (true, true) => Means::Root,
        (true, false) if sudo_works() => Means::Sudo,
        (true, false) => Means::Ask,
    }
}

/// What to tell a user who must install `packages`.
#[must_use]
pub fn advice(packages: &[&str], means: Means) -> String {
    let names = packages.join(" ");
    match means {
        Means::Unknown => format!(
            "missing: {names} (by their Debian names); this machine has no apt-get, so install them with its own \
             package manager"
        ),
        Means::Root => format!("missing: {names}; run: apt-get install -y {names}"),
        Means::Sudo | Means::Ask => {
            format!("missing: {names}; run: sudo apt-get update && sudo apt-get install -y {names}")
        }
    }
}

/// Installs what `needs` want and is absent; an error says what the user must do.
pub fn ensure(needs: &[Need]) -> Result<()> {
    if missing(needs, is_there).is_empty() {
        return Ok(());
    }
    let _one_at_a_time = workspace::lock("set-up")?;
    let packages = missing(needs, is_there);
    if packages.is_empty() {
        return Ok(());
    }
    let means = means_here();
    update(means, &packages)?;
    install(means, &packages)?;
    let still = missing(needs, is_there);
    if !still.is_empty() {
        bail!(
            "apt-get installed {}, and yet what is needed is not there",
            still.join(" ")
        );
    }
    Ok(())
}

/// Installs Debian's newest Rust with the library's source.
pub fn install_debian_rust(wanted: Version) -> Result<()> {
    let packages = ["cargo-web", "rustc-web", "rust-web-src"];
    let _one_at_a_time = workspace::lock("set-up")?;
    let means = means_here();
    let otherwise = format!("or run: rustup target add {}", crate::toolchain::TARGET);
    update(means, &packages).context(otherwise.clone())?;
    let policy = quiet(Command::new("apt-cache").args(["policy", "cargo-web"])).unwrap_or_default();
    let offered = candidate_of(&policy);
    match offered.as_deref().map(Version::parse) {
        Some(Some(version)) if version >= wanted => install(means, &packages),
        _ => bail!(
            "no toolchain here builds for {target}, and apt-get offers cargo-web {offered} where {major}.{minor} is \
             needed (on Debian the security list has it); run: rustup target add {target}",
            target = crate::toolchain::TARGET,
            offered = offered.as_deref().unwrap_or("not at all"),
            major = wanted.major,
            minor = wanted.minor,
        ),
    }
}

/// Installs a linker for toolchains that bring none.
pub fn install_linker() -> Result<()> {
    let _one_at_a_time = workspace::lock("set-up")?;
    let means = means_here();
    update(means, &["lld"])?;
    install(means, &["lld"])
}

/// The version that `apt-cache policy` would install.
fn candidate_of(policy: &str) -> Option<String> {
    let candidate = policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate:"))?;
    Some(candidate.trim().to_owned()).filter(|version| version != "(none)")
}

fn means_here() -> Means {
    let is_root = rustix::process::geteuid().is_root();
    let sudo_works = || quiet(Command::new("sudo").args(["-n", "true"])).is_some();
    means(find_program("apt-get").is_some(), is_root, sudo_works)
}

fn update(means: Means, packages: &[&str]) -> Result<()> {
    if !matches!(means, Means::Root | Means::Sudo) {
        bail!(advice(packages, means));
    }
    eprintln!("image-builder: updating apt's package lists");
    // Lists that cannot be fetched now may still be fresh enough; the installation says otherwise.
    let _ = apt_get(means, &["update"])?;
    Ok(())
}

fn install(means: Means, packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    eprintln!(
        "image-builder: installing {names} (apt-get; this can take minutes, the log is {})",
        log().display()
    );
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    if !apt_get(means, &arguments)? {
        bail!(
            "apt-get could not install {names}: see {}; {}",
            log().display(),
            advice(packages, means)
        );
    }
    Ok(())
}

fn log() -> PathBuf {
    workspace::target_dir().join("set-up.log")
}

/// Runs apt-get, its output to the log; returns whether it went well.
fn apt_get(means: Means, arguments: &[&str]) -> Result<bool> {
    let log = log();
    let output = File::options()
        .create(true)
        .append(true)
        .open(&log)
        .with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = match means {
        Means::Sudo => {
            let mut sudo = Command::new("sudo");
            sudo.args(["-n", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
            sudo
        }
        _ => Command::new("apt-get"),
    };
    command
        .args(["-q", "-o", "DPkg::Lock::Timeout=300"])
        .args(arguments);
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env_remove("LD_LIBRARY_PATH");
    let errors = output
        .try_clone()
        .with_context(|| format!("cannot write {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(output).stderr(errors);
    let status = command.status().context("cannot run apt-get")?;
    Ok(status.success())
}

/// The output of a command that went well.
fn quiet(command: &mut Command) -> Option<String> {
    let output = command
        .stdin(Stdio::null())
        .env_remove("LD_LIBRARY_PATH")
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn is_there(proof: Proof) -> bool {
    match proof {
        Proof::Program(name) => find_program(name).is_some(),
        Proof::File(paths) => first_file(paths).is_some(),
    }
}

/// The first of `paths` that exists.
#[must_use]
pub fn first_file(paths: &[&'static str]) -> Option<&'static Path> {
    paths.iter().copied().map(Path::new).find(|path| path.exists())
}

/// Where a program of the search path is.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(file).is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_missing_where_everything_is_there() {
        let all = [Need::Image, Need::Qemu, Need::Uefi, Need::Bochs, Need::Compiler];
        assert!(missing(&all, |_| true).is_empty());
    }

    #[test]
    fn only_what_the_work_needs_is_missed() {
        assert_eq!(missing(&[Need::Qemu], |_| false), ["qemu-system-x86"]);
        assert_eq!(
            missing(&[Need::Image], |proof| proof == Proof::Program("grub-mkimage")),
            ["grub-pc-bin", "grub-efi-amd64-bin"]
        );
        assert!(!missing(&[Need::Image, Need::Qemu], |_| false).contains(&"ovmf"));
        assert_eq!(missing(&[Need::Compiler], |_| false), ["gcc"]);
        assert_eq!(missing(&[Need::LinuxPrograms], |_| false), ["gcc", "libc6-dev"]);
        let busybox = need_of_file("/bin/busybox").unwrap();
        assert_eq!(missing(&[busybox], |_| false), ["busybox-static"]);
        assert_eq!(need_of_file("busybox"), None);
    }

    #[test]
    fn sudo_is_asked_only_where_it_could_help() {
        let never = || panic!("sudo was tried");
        assert_eq!(means(false, true, never), Means::Unknown);
        assert_eq!(means(true, true, never), Means::Root);
        assert_eq!(means(true, false, || true), Means::Sudo);
        assert_eq!(means(true, false, || false), Means::Ask);
    }

    #[test]
    fn the_advice_is_one_line_with_the_exact_command() {
        let text = advice(&["ovmf", "bochs"], Means::Ask);
        assert!(
            text.ends_with("sudo apt-get update && sudo apt-get install -y ovmf bochs"),
            "{text}"
        );
        assert!(!text.contains('\n'));
    }

    #[test]
    fn the_candidate_is_read_from_apt() {
        let policy =
            "cargo-web:\n  Installed: (none)\n  Candidate: 1.85.0+dfsg3-1~deb12u3\n  Version table:\n";
        let candidate = candidate_of(policy).unwrap();
        assert!(Version::parse(&candidate) < Version::parse("1.95"));
        assert_eq!(candidate_of("cargo-web:\n  Candidate: (none)\n"), None);
    }
}
