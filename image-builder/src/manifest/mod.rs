//! A scene: which domains a machine boots with, and how each is expected to end.
//!
//! [`Manifest::parse`] turns TOML into these checked types or says in one line what is wrong and where
//! ([`ManifestError`]). Nothing outside the text is looked at: files and package names are resolved later, by
//! [`crate::pack`], which reports with the position that a [`Located`] value kept.
mod expect;
mod memory;
mod parse;

pub use expect::{Expect, Expectation, Incarnation};
pub use parse::ManifestError;

use abi::boot_image::RestartPolicy;
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

/// A place in a manifest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A value and where the manifest says it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub at: Position,
}

/// A whole scene.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manifest {
    /// In the order of the file; at least one.
    pub domains: Vec<Domain>,
    /// Which of them gets the user's keys.
    pub console: usize,
    /// The machine ends when all but the witnesses have ended.
    pub until_others_ended: bool,
    /// When every frame is recounted; before power-off in any case.
    pub audit: Audit,
}

/// When the hypervisor recounts every frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audit {
    /// Before power-off alone.
    Last,
    /// `"each-end"`: after every domain's end too.
    EachEnd,
    /// `"each-turn"`, `"each-turn:N"`: at every Nth turn too, whatever it is for.
    EachTurn(NonZeroU32),
}

impl Manifest {
    /// Whether a kernel is to be compiled from C.
    #[must_use]
    pub fn has_sources(&self) -> bool {
        let mut kernels = self.domains.iter().map(|domain| &domain.kernel.value);
        kernels.any(|kernel| matches!(kernel, Kernel::Sources(_)))
    }

    /// The paths of all files that are packed as they are.
    pub fn packed_files(&self) -> impl Iterator<Item = &str> {
        let files = self.domains.iter().filter_map(|domain| match &domain.module {
            Module::Archive { files, .. } => Some(files.values()),
            Module::None | Module::File(_) => None,
        });
        files.flatten().filter_map(|file| match &file.value {
            Packed::Plain(path) | Packed::Program { path, .. } => Some(path.as_str()),
            Packed::Symlink(_) | Packed::Directory => None,
        })
    }
}

/// One domain of a scene.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Domain {
    /// 1 to 31 characters of `[a-zA-Z0-9._-]`, unlike all others.
    pub name: String,
    /// What it runs.
    pub kernel: Located<Kernel>,
    /// At most 1023 bytes without control characters.
    pub command_line: String,
    /// More than 0.
    pub memory_frames: u64,
    /// 1 to 65535.
    pub weight: u32,
    /// What is copied into it.
    pub module: Module,
    /// When it is started again.
    pub restart: Restart,
    /// Only the machine line of a crash record is wanted.
    pub brief_record: bool,
    /// It is not waited for, and must be alive at the end.
    pub witness: bool,
    /// How it is expected to end.
    pub expect: Expectation,
}

/// What a domain runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kernel {
    /// A bare-metal binary of this workspace, by name.
    Workspace(String),
    /// An ELF64 file, relative to the manifest.
    File(String),
    /// A file of any content, relative to the manifest: the hypervisor's own checks are to see it.
    Unchecked(String),
    /// Sources in C and assembly, relative to the manifest; at least one.
    Sources(Vec<String>),
}

/// What is copied into a domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Module {
    /// Nothing.
    None,
    /// A file of any kind, relative to the manifest.
    File(Located<String>),
    /// An archive of programs of this workspace and other files.
    Archive {
        /// Command lines, to be run one after another; each has at least a program.
        programs: Vec<Located<Vec<String>>>,
        /// Programs of this workspace that are packed and not run.
        tools: Vec<Located<String>>,
        /// Further files by their path in the archive.
        files: BTreeMap<String, Located<Packed>>,
    },
}

/// A file of an archive that is no program of this workspace. Paths are relative to the manifest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Packed {
    /// A copy of this file.
    Plain(String),
    /// A copy of this file that can be run, with further names beside it.
    Program {
        /// The file.
        path: String,
        /// Symbolic links to it in its own directory, as a BusyBox has them.
        names: Vec<String>,
    },
    /// A symbolic link to there.
    Symlink(String),
    /// A directory.
    Directory,
}

/// When a domain is started again, and how often at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Restart {
    /// After which ends.
    pub policy: RestartPolicy,
    /// Most restarts; 0 under [`RestartPolicy::Never`].
    pub max: u32,
}
