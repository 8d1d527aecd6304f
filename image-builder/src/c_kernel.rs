//! Guest kernels in C: compiled by the system's gcc against `abi/include/xen-lite.h`, and nothing else.
use crate::setup;
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How a kernel is compiled; `abi/README.md` says why, flag by flag.
pub const FLAGS: &[&str] = &[
    "-std=gnu11",
    "-O2",
    "-g",
    "-fno-omit-frame-pointer",
    "-Wall",
    "-Wextra",
    "-ffreestanding",
    "-fno-pic",
    "-fno-stack-protector",
    "-fcf-protection=none",
    "-fno-asynchronous-unwind-tables",
    "-mno-red-zone",
    "-mgeneral-regs-only",
    "-mcmodel=kernel",
    "-static",
    "-no-pie",
    "-nostdlib",
    "-Wl,--build-id=none",
    "-Wl,-z,noexecstack",
    "-Wl,-z,separate-code",
    "-Wl,-z,max-page-size=4096",
    "-Wl,-Ttext-segment=0xffffffff80000000",
];

/// The directory of the header.
#[must_use]
pub fn include_directory() -> PathBuf {
    workspace::root().join("abi").join("include")
}

/// Compiles and links sources; what the compiler says goes to our own error output.
pub fn compile(sources: &[PathBuf]) -> Result<Vec<u8>> {
    let gcc = setup::find_program("gcc").context("there is no gcc: install the package gcc")?;
    let directory = workspace::target_dir().join("c-kernels");
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let _one_at_a_time = workspace::lock("c-kernels")?;
    let kernel = directory.join("kernel.elf");
    let status = Command::new(gcc)
        .args(arguments(sources, &kernel))
        .stdin(Stdio::null())
        .env_remove("LD_LIBRARY_PATH")
        .status()
        .context("cannot run gcc")?;
    if !status.success() {
        bail!("gcc refused it; it says why above");
    }
    fs::read(&kernel).with_context(|| format!("cannot read {}", kernel.display()))
}

fn arguments(sources: &[PathBuf], output: &Path) -> Vec<OsString> {
    let flags = FLAGS.iter().map(OsString::from);
    let include = ["-I".into(), include_directory().into_os_string()];
    let output = ["-o".into(), output.as_os_str().to_owned()];
    let sources = sources.iter().map(|source| source.clone().into_os_string());
    flags.chain(include).chain(output).chain(sources).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sources_follow_the_flags_and_the_header() {
        let arguments = arguments(&["a.c".into(), "b.S".into()], Path::new("k"));
        let (flags, rest) = arguments.split_at(FLAGS.len());
        assert_eq!(flags, FLAGS);
        let include = include_directory().into_os_string();
        assert_eq!(
            rest,
            [
                "-I".into(),
                include,
                "-o".into(),
                "k".into(),
                "a.c".into(),
                OsString::from("b.S")
            ]
        );
    }
}
