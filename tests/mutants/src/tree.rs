//! A private copy of the sources: no mutation ever touches the working tree.
//!
//! The sources are read once, so that nothing changes under a long run. Only what differs is written to the copy, so that
//! the inner cargo rebuilds no more than it must.
use crate::list::Mutation;
use anyhow::{Context, Result};
use image_builder::workspace;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// The copy, and what is built of it.
#[derive(Debug)]
pub(crate) struct Tree {
    /// Every file of the workspace, by its path from the root.
    sources: BTreeMap<PathBuf, Vec<u8>>,
    root: PathBuf,
    target: PathBuf,
}

impl Tree {
    /// Copies the workspace.
    pub(crate) fn of_the_workspace() -> Result<Self> {
        let built = workspace::target_dir();
        Self::copy(workspace::root(), &built, &built.join("mutants"))
    }

    fn copy(from: &Path, except: &Path, place: &Path) -> Result<Self> {
        let mut sources = BTreeMap::new();
        for path in files(from, except)? {
            let content = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            sources.insert(path.strip_prefix(from)?.to_owned(), content);
        }
        let tree = Self {
            sources,
            root: place.join("tree"),
            target: place.join("target"),
        };
        tree.restore()?;
        Ok(tree)
    }

    /// The copied workspace's root.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the inner cargo builds.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Takes mutations back, and removes what tests have left: the failures that proptest notes down, for one, which would
    /// be tried first in every later run.
    pub(crate) fn restore(&self) -> Result<()> {
        for (path, content) in &self.sources {
            let path = self.root.join(path);
            if fs::read(&path).ok().as_ref() != Some(content) {
                write(&path, content)?;
            }
        }
        for path in files(&self.root, &self.target)? {
            if !self.sources.contains_key(path.strip_prefix(&self.root)?) {
                fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// Puts a mutated file into the copy.
    pub(crate) fn mutate(&self, file: &str, mutation: &Mutation) -> Result<()> {
        write(&self.root.join(file), mutation.text.as_bytes())
    }
}

/// All files below `directory` that may be sources, but for what lies below `except`.
fn files(directory: &Path, except: &Path) -> Result<Vec<PathBuf>> {
    let list = || fs::read_dir(directory)?.collect::<std::io::Result<Vec<_>>>();
    let entries = list().with_context(|| format!("cannot list {}", directory.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.path();
        if !is_source(&entry.file_name()) || path == except {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path, except)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

/// What is no source: build products, images, and all that is hidden.
fn is_source(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    !name.starts_with('.') && name != "target" && !name.ends_with(".img")
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    let written = || {
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        fs::write(path, content)
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &Path) -> Option<String> {
        fs::read_to_string(path).ok()
    }

    #[test]
    fn a_copy_is_mutated_and_restored_and_its_origin_stays() {
        let directory = tempfile::tempdir().unwrap();
        let origin = directory.path().join("origin");
        fs::create_dir_all(origin.join("src")).unwrap();
        fs::create_dir_all(origin.join("target/debug")).unwrap();
        fs::write(origin.join("src/lib.rs"), "check();").unwrap();
        write(&origin.join("build/object"), b"large").unwrap();
        fs::write(origin.join("disk.img"), "large").unwrap();
        // As in a workspace: the copy lies below what is copied.
        let tree = Tree::copy(&origin, &origin.join("build"), &origin.join("build/mutants")).unwrap();
        let file = tree.root().join("src/lib.rs");
        assert_eq!(text(&file).as_deref(), Some("check();"));
        for product in ["target", "build", "disk.img"] {
            assert!(!tree.root().join(product).exists());
        }

        let before = fs::metadata(&file).unwrap().modified().unwrap();
        tree.restore().unwrap();
        assert_eq!(
            fs::metadata(&file).unwrap().modified().unwrap(),
            before,
            "not written again"
        );

        let mutation = Mutation {
            text: String::new(),
            line: 1,
        };
        tree.mutate("src/lib.rs", &mutation).unwrap();
        let regression = tree.root().join("proptest-regressions/lib.txt");
        write(&regression, b"cc 0").unwrap();
        assert_eq!(text(&file).as_deref(), Some(""));
        assert_eq!(text(&origin.join("src/lib.rs")).as_deref(), Some("check();"));
        tree.restore().unwrap();
        assert_eq!(text(&file).as_deref(), Some("check();"));
        assert!(!regression.exists());
    }
}
