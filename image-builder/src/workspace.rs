//! Where things are: the workspace that this tool belongs to, its target directory, and locks in it.
use anyhow::{Context, Result};
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The workspace's root: the directory that holds `Cargo.toml`, `demos` and the crates.
#[must_use]
pub fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Cargo's target directory: `CARGO_TARGET_DIR` if the user set it, else `target` in the root.
#[must_use]
pub fn target_dir() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) if !dir.is_empty() => env::current_dir().unwrap_or_default().join(dir),
        _ => root().join("target"),
    }
}

/// A lock that other processes and threads respect; it ends with the value, or with the process.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Waits for the lock called `name`; says so if it has to.
pub fn lock(name: &str) -> Result<Lock> {
    if let Some(lock) = try_lock(name)? {
        return Ok(lock);
    }
    eprintln!("image-builder: waiting until another run has done its share ({name})");
    let (path, file) = open_lock(name)?;
    file.lock()
        .with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(Lock { _file: file })
}

/// Takes the lock called `name` if nobody has it.
pub fn try_lock(name: &str) -> Result<Option<Lock>> {
    let (path, file) = open_lock(name)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock { _file: file })),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

fn open_lock(name: &str) -> Result<(PathBuf, File)> {
    let dir = target_dir().join("locks");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let path = dir.join(name);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    Ok((path, file))
}
