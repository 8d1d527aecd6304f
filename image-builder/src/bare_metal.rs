//! Builds the binaries that run on the bare machine: an inner cargo with its own target directory and a scrubbed
//! environment.
//!
//! Callers queue: whoever comes first builds, the others find the work done. The files are read before the lock is
//! given back, so nobody sees a binary half-written.
use crate::toolchain::{self, Method, TARGET, Toolchain};
use crate::workspace;
use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

/// The package of the hypervisor, and its binary.
pub const HYPERVISOR: &str = "xen-lite";
/// The package of the ring-3 programs.
pub const USERLAND: &str = "userland";

/// A binary for the bare machine.
#[derive(Clone, Debug)]
pub struct Binary {
    /// Where cargo left it, with all its sections.
    pub path: PathBuf,
    /// The file's content at the time of the build.
    pub bytes: Arc<[u8]>,
}

/// The binaries of some packages, by package and name.
#[derive(Clone, Debug, Default)]
pub struct Binaries {
    by_package: BTreeMap<String, BTreeMap<String, Binary>>,
}

impl Binaries {
    /// The binary `name` of `package`.
    pub fn get(&self, package: &str, name: &str) -> Result<&Binary> {
        self.by_package
            .get(package)
            .and_then(|bins| bins.get(name))
            .ok_or_else(|| anyhow!("the build of package {package} left no binary {name}"))
    }
}

/// The bare-metal packages of the workspace: those with a binary that wants features (such as `hw`).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Packages {
    packages: BTreeMap<String, Package>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Package {
    binaries: BTreeSet<String>,
    features: BTreeSet<String>,
}

impl Packages {
    /// Asks cargo, any cargo.
    pub fn find() -> Result<Self> {
        let cargo = toolchain::any_cargo().context("there is no cargo here")?;
        let mut command = Command::new(&cargo);
        scrub(&mut command, env::vars_os());
        command
            .current_dir(workspace::root())
            .env("RUSTC", cargo.with_file_name("rustc"))
            .args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
        let output = command
            .output()
            .with_context(|| format!("cannot run {}", cargo.display()))?;
        if !output.status.success() {
            bail!(
                "cargo metadata failed: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Self::from_metadata(&output.stdout)
    }

    fn from_metadata(json: &[u8]) -> Result<Self> {
        let metadata: Metadata = serde_json::from_slice(json).context("cannot read cargo's metadata")?;
        let mut packages = BTreeMap::new();
        for package in metadata.packages {
            let mut found = Package::default();
            for target in package.targets {
                let is_bin = target.kind.iter().any(|kind| kind == "bin");
                if let (true, Some(features)) = (is_bin, target.required_features) {
                    found.binaries.insert(target.name);
                    found.features.extend(features);
                }
            }
            if !found.binaries.is_empty() {
                packages.insert(package.name, found);
            }
        }
        Ok(Self { packages })
    }

    /// The package that holds the guest kernel `name`.
    #[must_use]
    pub fn of_kernel(&self, name: &str) -> Option<&str> {
        let is_kernel = |package: &&str| ![HYPERVISOR, USERLAND].contains(package);
        self.packages
            .iter()
            .map(|(package, content)| (package.as_str(), content))
            .filter(|(package, _)| is_kernel(package))
            .find(|(_, content)| content.binaries.contains(name))
            .map(|(package, _)| package)
    }

    /// The names of all guest kernels.
    #[must_use]
    pub fn kernels(&self) -> Vec<&str> {
        let kernels = self
            .packages
            .iter()
            .filter(|(name, _)| ![HYPERVISOR, USERLAND].contains(&name.as_str()));
        kernels
            .flat_map(|(_, package)| package.binaries.iter().map(String::as_str))
            .collect()
    }

    /// The names of all ring-3 programs.
    #[must_use]
    pub fn programs(&self) -> Vec<&str> {
        let userland = self.packages.get(USERLAND);
        userland
            .map(|package| package.binaries.iter().map(String::as_str).collect())
            .unwrap_or_default()
    }

    fn features(&self, package: &str) -> Vec<String> {
        let features = self.packages.get(package).map(|package| &package.features);
        features
            .into_iter()
            .flatten()
            .map(|feature| format!("{package}/{feature}"))
            .collect()
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
}

#[derive(Deserialize)]
struct MetadataPackage {
    name: String,
    targets: Vec<MetadataTarget>,
}

#[derive(Deserialize)]
struct MetadataTarget {
    name: String,
    kind: Vec<String>,
    #[serde(rename = "required-features")]
    required_features: Option<Vec<String>>,
}

/// Builds all binaries of `packages`.
pub fn build(known: &Packages, packages: &BTreeSet<String>) -> Result<Binaries> {
    static BUILT: Mutex<BTreeMap<Vec<String>, Binaries>> = Mutex::new(BTreeMap::new());
    // Within one process the sources are taken to be those of its first build: tests boot one hypervisor.
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let key: Vec<String> = packages.iter().cloned().collect();
    if let Some(binaries) = built.get(&key) {
        return Ok(binaries.clone());
    }
    // Until the binaries are read.
    let _one_at_a_time = workspace::lock("bare-metal")?;
    // The hypervisor's paths are counted, and it does without frame pointers; a crash record's backtrace follows a guest's.
    let (own, guests): (BTreeSet<_>, BTreeSet<_>) =
        packages.iter().cloned().partition(|name| name == HYPERVISOR);
    let mut executables = Vec::new();
    for (packages, frame_pointers) in [(own, FramePointers::AsItComes), (guests, FramePointers::Always)] {
        if !packages.is_empty() {
            executables.extend(run_cargo(known, &packages, frame_pointers)?);
        }
    }
    let binaries = collect(executables)?;
    built.insert(key, binaries.clone());
    Ok(binaries)
}

/// Whether every function keeps rbp at its frame.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FramePointers {
    Always,
    AsItComes,
}

fn run_cargo(
    known: &Packages,
    packages: &BTreeSet<String>,
    frame_pointers: FramePointers,
) -> Result<Vec<Executable>> {
    let toolchain = shared_toolchain()?;
    let target_dir = workspace::target_dir().join("bare-metal");
    if !target_dir.is_dir() {
        eprintln!("image-builder: building for {TARGET}; the first time takes about a minute");
    }
    let mut command = Command::new(&toolchain.cargo);
    scrub(&mut command, env::vars_os());
    command
        .current_dir(workspace::root())
        .env("RUSTC", &toolchain.rustc);
    command.args(["build", "--release", "--locked", "--bins", "--target", TARGET]);
    command
        .arg("--message-format=json-render-diagnostics")
        .arg("--target-dir")
        .arg(&target_dir);
    for package in packages {
        command.args(["-p", package]);
        for feature in known.features(package) {
            command.args(["--features", &feature]);
        }
    }
    if toolchain.method == Method::FromSource {
        command
            .env("RUSTC_BOOTSTRAP", "1")
            .arg("-Zbuild-std=core,alloc,compiler_builtins");
    }
    if frame_pointers == FramePointers::Always {
        command.env(
            "CARGO_TARGET_X86_64_UNKNOWN_NONE_RUSTFLAGS",
            "-Cforce-frame-pointers=yes",
        );
    }
    if let Some(linker) = &toolchain.linker {
        command.env("CARGO_TARGET_X86_64_UNKNOWN_NONE_LINKER", linker);
    }

    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", toolchain.cargo.display()))?;
    let mut executables = Vec::new();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.context("cannot read cargo's messages")?;
            executables.extend(executable_of(&line));
        }
    }
    let status = child.wait().context("cannot wait for cargo")?;
    if !status.success() {
        bail!(
            "the build for {TARGET} failed (packages {}); cargo says why above",
            list(packages)
        );
    }
    Ok(executables)
}

/// The toolchain of this process: looked for once.
fn shared_toolchain() -> Result<Toolchain> {
    static FOUND: Mutex<Option<Toolchain>> = Mutex::new(None);
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(toolchain) = &*found {
        return Ok(toolchain.clone());
    }
    let toolchain = toolchain::find()?;
    *found = Some(toolchain.clone());
    Ok(toolchain)
}

fn list(packages: &BTreeSet<String>) -> String {
    packages.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// A binary that one of cargo's messages tells of.
#[derive(PartialEq, Eq, Debug)]
struct Executable {
    package: String,
    name: String,
    path: PathBuf,
}

fn executable_of(message: &str) -> Option<Executable> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
        manifest_path: PathBuf,
        package_id: String,
        target: MetadataTarget,
    }
    let message: Message = serde_json::from_str(message).ok()?;
    // `path+file:///there/tests/guests#0.1.0`, or `...#guests@0.1.0` where the directory has another name.
    let (_, end) = message.package_id.rsplit_once('#')?;
    let package = match end.split_once('@') {
        Some((name, _)) => name.to_owned(),
        None => message.manifest_path.parent()?.file_name()?.to_str()?.to_owned(),
    };
    Some(Executable {
        package,
        name: message.target.name,
        path: message.executable?,
    })
}

fn collect(executables: Vec<Executable>) -> Result<Binaries> {
    let mut binaries = Binaries::default();
    for Executable { package, name, path } in executables {
        let bytes = read(&path)?;
        binaries
            .by_package
            .entry(package)
            .or_default()
            .insert(name, Binary { path, bytes });
    }
    Ok(binaries)
}

fn read(path: &Path) -> Result<Arc<[u8]>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(bytes.into())
}

/// Leaves of the environment what does not change the build: an outer cargo sets much that would.
fn scrub(command: &mut Command, variables: impl Iterator<Item = (OsString, OsString)>) {
    command
        .env_clear()
        .envs(variables.filter(|(name, _)| is_kept(name)));
}

fn is_kept(name: &OsStr) -> bool {
    const KEPT: [&str; 3] = ["CARGO_HOME", "RUSTUP_HOME", "RUST_BACKTRACE"];
    const KEPT_PREFIXES: [&str; 5] = [
        "CARGO_NET_",
        "CARGO_HTTP_",
        "CARGO_REGISTRIES_",
        "CARGO_REGISTRY_",
        "CARGO_SOURCE_",
    ];
    const DROPPED: [&str; 10] = [
        "LD_LIBRARY_PATH",
        "MAKEFLAGS",
        "MFLAGS",
        "OUT_DIR",
        "TARGET",
        "HOST",
        "PROFILE",
        "OPT_LEVEL",
        "DEBUG",
        "NUM_JOBS",
    ];
    let Some(name) = name.to_str() else { return false };
    if KEPT.contains(&name) || KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return true;
    }
    !(name.starts_with("CARGO") || name.starts_with("RUST") || DROPPED.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_outer_cargo_sets_does_not_reach_the_inner_one() {
        for name in [
            "CARGO",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET",
            "RUSTFLAGS",
            "RUSTUP_TOOLCHAIN",
        ] {
            assert!(!is_kept(OsStr::new(name)), "{name}");
        }
        for name in [
            "LD_LIBRARY_PATH",
            "CARGO_MAKEFLAGS",
            "MAKEFLAGS",
            "RUSTC_WRAPPER",
            "OUT_DIR",
        ] {
            assert!(!is_kept(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn what_says_where_crates_come_from_reaches_the_inner_cargo() {
        for name in [
            "PATH",
            "HOME",
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "CARGO_HTTP_PROXY",
            "https_proxy",
        ] {
            assert!(is_kept(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn packages_with_a_binary_that_wants_features_are_the_bare_metal_ones() {
        let json = br#"{"packages":[
            {"name":"tool","targets":[{"name":"tool","kind":["bin"]}]},
            {"name":"xen-lite","targets":[{"name":"xen-lite","kind":["bin"],"required-features":["hw"]}]},
            {"name":"guests","targets":[{"name":"suite","kind":["bin"],"required-features":["hw"]}]},
            {"name":"userland","targets":[{"name":"cat","kind":["bin"],"required-features":["hw"]}]}]}"#;
        let packages = Packages::from_metadata(json).unwrap();
        assert_eq!(packages.kernels(), ["suite"]);
        assert_eq!(packages.programs(), ["cat"]);
        assert_eq!(packages.of_kernel("suite"), Some("guests"));
        assert_eq!(packages.of_kernel("xen-lite"), None);
        assert_eq!(packages.features("guests"), ["guests/hw"]);
    }

    #[test]
    fn executables_are_read_from_cargos_messages() {
        let message = |id: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"{id}","manifest_path":"/w/tests/guests/Cargo.toml",
                "target":{{"kind":["bin"],"name":"suite"}},"executable":"/t/suite"}}"#
            )
        };
        let expected = Executable {
            package: "guests".into(),
            name: "suite".into(),
            path: "/t/suite".into(),
        };
        assert_eq!(
            executable_of(&message("path+file:///w/tests/guests#0.1.0")),
            Some(expected)
        );
        let renamed = executable_of(&message("path+file:///w/tests/guests#other@0.1.0"));
        assert_eq!(renamed.map(|executable| executable.package), Some("other".into()));
        assert_eq!(
            executable_of(r#"{"reason":"build-finished","success":true}"#),
            None
        );
    }
}
