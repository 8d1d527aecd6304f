//! Which cargo builds for the bare machine, and how.
//!
//! The target is `x86_64-unknown-none`. A stable toolchain that has the target's `core` builds plainly. One that has
//! the library's source instead (Debian's `cargo-web`, `rustc-web`, `rust-web-src`, or rustup's `rust-src`) builds
//! `core` along, for which cargo wants `RUSTC_BOOTSTRAP=1`; the project's own code stays stable Rust, as
//! `.ci/run` checks. Nothing is ever asked of rustup.
use crate::setup;
use crate::workspace;
use anyhow::{Result, bail};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target of every bare-metal binary.
pub const TARGET: &str = "x86_64-unknown-none";

/// A release of Rust, such as 1.95.0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Version {
    /// The 1 of 1.95.0.
    pub major: u32,
    /// The 95 of 1.95.0.
    pub minor: u32,
    /// The 0 of 1.95.0; 0 where it is left out.
    pub patch: u32,
}

impl Version {
    /// Reads the numbers at the start of `text`: `1.95`, `1.96.0`, `1.96.0+dfsg1-1~deb12u2`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let mut numbers = text[..end].split('.').map(str::parse::<u32>);
        let major = numbers.next()?.ok()?;
        let minor = numbers.next()?.ok()?;
        let patch = numbers.next().and_then(Result::ok).unwrap_or(0);
        Some(Self { major, minor, patch })
    }
}

/// The oldest Rust that builds the project: `rust-version` of `Cargo.toml`.
#[must_use]
pub fn wanted_version() -> Version {
    Version::parse(env!("CARGO_PKG_RUST_VERSION")).unwrap_or(Version {
        major: 1,
        minor: 95,
        patch: 0,
    })
}

/// What was found out about an installed toolchain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Its cargo.
    pub cargo: PathBuf,
    /// Its rustc.
    pub rustc: PathBuf,
    /// Its release.
    pub version: Version,
    /// Not a nightly, beta or development build.
    pub is_stable: bool,
    /// It has `core` for [`TARGET`].
    pub has_target: bool,
    /// It has the source of the standard library.
    pub has_source: bool,
    /// The `rust-lld` that comes with it.
    pub rust_lld: Option<PathBuf>,
}

/// How `core` comes about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// It is installed.
    Installed,
    /// It is built from source, as a part of the build.
    FromSource,
}

/// What builds the bare-metal binaries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Toolchain {
    /// Its cargo.
    pub cargo: PathBuf,
    /// Its rustc.
    pub rustc: PathBuf,
    /// Where `core` comes from.
    pub method: Method,
    /// The linker to name; `None` where the toolchain's own default serves.
    pub linker: Option<PathBuf>,
}

/// What stands between a machine and a build.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lacking {
    /// No toolchain has the target, or the library's source.
    Core,
    /// A toolchain would serve, if there were a linker.
    Linker,
}

/// Chooses among the toolchains found: an installed `core` first, then the order of `candidates`.
///
/// `system_lld` is an `ld.lld` of the system, which serves where no toolchain brings a `rust-lld`.
pub fn choose(
    candidates: &[Candidate],
    system_lld: Option<&Path>,
    wanted: Version,
) -> Result<Toolchain, Lacking> {
    let usable = |c: &&Candidate| c.is_stable && c.version >= wanted;
    let installed = candidates
        .iter()
        .filter(usable)
        .find(|c| c.has_target)
        .map(|c| (c, Method::Installed));
    let from_source = || {
        candidates
            .iter()
            .filter(usable)
            .find(|c| c.has_source)
            .map(|c| (c, Method::FromSource))
    };
    let (candidate, method) = installed.or_else(from_source).ok_or(Lacking::Core)?;

    let linker = if candidate.rust_lld.is_some() {
        None
    } else {
        let of_another = candidates.iter().find_map(|c| c.rust_lld.as_deref());
        Some(of_another.or(system_lld).ok_or(Lacking::Linker)?.to_path_buf())
    };
    Ok(Toolchain {
        cargo: candidate.cargo.clone(),
        rustc: candidate.rustc.clone(),
        method,
        linker,
    })
}

/// Finds a toolchain, and has Debian's installed when none serves.
pub fn find() -> Result<Toolchain> {
    let _one_at_a_time = workspace::lock("toolchain")?;
    let mut lacking = match probe() {
        Ok(toolchain) => return Ok(toolchain),
        Err(lacking) => lacking,
    };
    for _ in 0..2 {
        match lacking {
            Lacking::Core => setup::install_debian_rust(wanted_version())?,
            Lacking::Linker => setup::install_linker()?,
        }
        match probe() {
            Ok(toolchain) => return Ok(toolchain),
            Err(still) => lacking = still,
        }
    }
    bail!(
        "no toolchain here builds for {TARGET}: run `rustup target add {TARGET}` (stable Rust {} or newer)",
        env!("CARGO_PKG_RUST_VERSION")
    )
}

fn probe() -> Result<Toolchain, Lacking> {
    let candidates: Vec<Candidate> = cargos().iter().filter_map(|cargo| examine(cargo)).collect();
    choose(&candidates, system_lld().as_deref(), wanted_version())
}

/// The cargo that runs us, the one that built us, the first of the search path, Debian's.
fn cargos() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    let of_path = setup::find_program("cargo");
    let named = [
        env::var_os("CARGO").map(PathBuf::from),
        Some(PathBuf::from(env!("CARGO"))),
        of_path,
    ];
    for cargo in named
        .into_iter()
        .flatten()
        .chain([PathBuf::from("/usr/bin/cargo")])
    {
        if cargo.is_file() && !found.contains(&cargo) {
            found.push(cargo);
        }
    }
    found
}

/// Some cargo, for questions about the workspace.
pub(crate) fn any_cargo() -> Option<PathBuf> {
    cargos().into_iter().next()
}

/// Asks the rustc beside `cargo`.
fn examine(cargo: &Path) -> Option<Candidate> {
    let rustc = cargo.with_file_name("rustc");
    let ask = |argument: &[&str]| -> Option<String> {
        let mut command = Command::new(&rustc);
        command
            .args(argument)
            .current_dir(workspace::root())
            .env_remove("LD_LIBRARY_PATH");
        let output = command.output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok()
    };
    let about = ask(&["-vV"])?;
    let line = |key: &str| {
        about
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .map(str::trim)
    };
    let release = line("release:")?;
    let host = line("host:")?;
    let sysroot = PathBuf::from(ask(&["--print", "sysroot"])?.trim_end());
    let rustlib = sysroot.join("lib/rustlib");

    // A rustup proxy stands for a toolchain: take the real programs, which need no environment.
    let real = sysroot.join("bin");
    let (cargo, rustc) = match (real.join("cargo"), real.join("rustc")) {
        (cargo, rustc) if cargo.is_file() && rustc.is_file() => (cargo, rustc),
        _ => (cargo.to_path_buf(), rustc),
    };
    let rust_lld = rustlib.join(host).join("bin/rust-lld");
    Some(Candidate {
        cargo,
        rustc,
        version: Version::parse(release)?,
        is_stable: !release.contains('-'),
        has_target: holds_core(&rustlib.join(TARGET).join("lib")),
        has_source: rustlib.join("src/rust/library/Cargo.lock").is_file(),
        rust_lld: rust_lld.is_file().then_some(rust_lld),
    })
}

fn holds_core(lib: &Path) -> bool {
    let Ok(entries) = fs::read_dir(lib) else {
        return false;
    };
    entries
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
}

/// `ld.lld`, or the newest `ld.lld-NN` of the search path.
fn system_lld() -> Option<PathBuf> {
    setup::find_program("ld.lld").or_else(|| {
        (15..40)
            .rev()
            .find_map(|version| setup::find_program(&format!("ld.lld-{version}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Version = Version {
        major: 1,
        minor: 95,
        patch: 0,
    };

    fn rustup(version: &str) -> Candidate {
        Candidate {
            cargo: "/rustup/bin/cargo".into(),
            rustc: "/rustup/bin/rustc".into(),
            version: Version::parse(version).unwrap(),
            is_stable: true,
            has_target: true,
            has_source: false,
            rust_lld: Some("/rustup/rust-lld".into()),
        }
    }

    fn debian(version: &str) -> Candidate {
        Candidate {
            cargo: "/usr/bin/cargo".into(),
            rustc: "/usr/bin/rustc".into(),
            version: Version::parse(version).unwrap(),
            is_stable: true,
            has_target: false,
            has_source: true,
            rust_lld: None,
        }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(Version::parse("1.100.0") > Version::parse("1.95"));
        assert_eq!(Version::parse("1.96.0+dfsg1-1~deb12u2"), Version::parse("1.96"));
        assert_eq!(Version::parse("rustc"), None);
    }

    #[test]
    fn an_installed_target_is_used_plainly() {
        let chosen = choose(&[debian("1.96.0"), rustup("1.95.0")], None, WANTED).unwrap();
        assert_eq!(chosen.method, Method::Installed);
        assert_eq!((chosen.cargo, chosen.linker), ("/rustup/bin/cargo".into(), None));
    }

    #[test]
    fn without_the_target_the_source_serves_with_the_linker_of_the_other() {
        let bare = Candidate {
            has_target: false,
            ..rustup("1.95.0")
        };
        let chosen = choose(
            &[bare, debian("1.96.0")],
            Some(Path::new("/bin/ld.lld-19")),
            WANTED,
        )
        .unwrap();
        assert_eq!(chosen.method, Method::FromSource);
        assert_eq!(
            (chosen.cargo, chosen.linker),
            ("/usr/bin/cargo".into(), Some("/rustup/rust-lld".into()))
        );
    }

    #[test]
    fn the_linker_of_the_system_comes_last() {
        let chosen = choose(&[debian("1.96.0")], Some(Path::new("/bin/ld.lld-19")), WANTED).unwrap();
        assert_eq!(chosen.linker, Some("/bin/ld.lld-19".into()));
        assert_eq!(choose(&[debian("1.96.0")], None, WANTED), Err(Lacking::Linker));
    }

    #[test]
    fn nightlies_and_old_releases_are_left_alone() {
        let nightly = Candidate {
            is_stable: false,
            ..rustup("1.97.0")
        };
        assert_eq!(
            choose(&[nightly, debian("1.85.0")], None, WANTED),
            Err(Lacking::Core)
        );
        assert_eq!(choose(&[], None, WANTED), Err(Lacking::Core));
    }
}
