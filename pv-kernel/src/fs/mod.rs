//! Files: a tree in memory over the archive that is the domain's module, `/proc`, devices and pipes.
//!
//! [`Vfs`] knows no process. Who asks is a [`Caller`]; where bytes go is a [`PageStore`]. What it keeps in the
//! kernel's heap is bounded by its [`Limits`], whatever programs do: they get `ENOSPC` or `ENFILE`.
//!
//! Invariants: a file lives as long as it has a name or a use (an open file, a working directory, a mapping, a
//! directory in it that has lost its own name); with its last one its frames come back. `names_left` and all the
//! names' costs add up to the limit.
mod attributes;
pub mod content;
pub mod descriptors;
pub mod device;
mod directory;
mod links;
mod list;
mod load;
mod node;
mod open;
pub mod pipe;
pub mod proc;
mod slab;
pub mod store;
mod transfer;
mod walk;

#[cfg(test)]
mod tests;

pub use attributes::{Attributes, Kind, Usage};
pub use descriptors::{Descriptors, FileId};
pub use links::{New, Replace};
pub use list::{Listed, Listing};
pub use load::LoadError;
pub use node::Node;
pub use open::{Closed, Endpoint, OpenFlags, PipeEnd};
pub use proc::facts::Facts;
pub use store::{DomainFrames, PageStore};
pub use transfer::Whence;
pub use walk::Follow;

use node::{Body, Inode};
use open::OpenFile;
use pipe::Pipe;
use slab::Slab;

/// Longest name, in bytes.
pub const NAME_MAX: usize = 255;
/// Longest path, in bytes, with its NUL.
pub const PATH_MAX: usize = 4096;

/// How much of the kernel's heap files may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Files, directories and links in all.
    pub inodes: usize,
    /// Bytes of names and of symbolic links, each with [`NAME_COST`] more.
    pub names: usize,
    /// Open files in all.
    pub open_files: usize,
    /// Pipes in all.
    pub pipes: usize,
}

/// What a name costs besides its bytes.
pub const NAME_COST: usize = 32;

impl Limits {
    /// What a domain with so many frames may spend: a sixteenth of them, and within reason.
    #[must_use]
    pub fn for_frames(frames: u64) -> Self {
        let kilobytes = (frames / 4).clamp(128, 4096) as usize;
        let bytes = kilobytes << 10;
        let open_files = if kilobytes < 1024 { kilobytes } else { 1024 };
        Self {
            inodes: kilobytes,
            names: bytes / 8,
            open_files,
            pipes: open_files / 8,
        }
    }
}

/// Who asks, and when.
#[derive(Clone, Copy)]
pub struct Caller<'c> {
    /// What the kernel tells about itself, for `/proc`.
    pub facts: &'c dyn Facts,
    /// Bits of the mode that new files do not get.
    pub umask: u16,
    /// The time, in nanoseconds since 1970.
    pub now: u64,
}

/// All files.
#[derive(Debug)]
pub struct Vfs<'a> {
    inodes: Slab<Inode<'a>>,
    files: Slab<OpenFile>,
    pipes: Slab<Pipe>,
    names_left: usize,
    /// The directory that `/proc` hides.
    proc_place: Option<u32>,
}

/// The number of the root directory.
const ROOT: u32 = 0;

impl<'a> Vfs<'a> {
    /// An empty root directory.
    #[must_use]
    pub fn new(limits: Limits, now: u64) -> Self {
        let mut inodes = Slab::new(limits.inodes.max(1));
        let root = inodes.insert(Inode::directory(0o755, ROOT, now));
        debug_assert_eq!(root, Some(ROOT));
        Self {
            inodes,
            files: Slab::new(limits.open_files),
            pipes: Slab::new(limits.pipes),
            names_left: limits.names,
            proc_place: None,
        }
    }

    /// The root directory.
    #[must_use]
    pub const fn root() -> Node {
        Node::Tree(ROOT)
    }

    /// How many frames files and pipes hold.
    #[must_use]
    pub fn frames(&self) -> u64 {
        let files = self.inodes.iter().map(|inode| match &inode.body {
            Body::File(content) => content.frames(),
            Body::Directory(_) | Body::Symlink(_) | Body::Device(_) => 0,
        });
        files.sum::<u64>() + self.pipes.iter().map(Pipe::frames).sum::<u64>()
    }

    /// Keeps `node` while it is somebody's working directory, or is mapped.
    pub fn hold(&mut self, node: Node) {
        if let Node::Tree(number) = node
            && let Some(inode) = self.inodes.get_mut(number)
        {
            inode.uses += 1;
        }
    }

    /// Ends one use of `node`; its frames come back if that was the last thing that kept it.
    pub fn let_go(&mut self, node: Node, store: &mut dyn PageStore) {
        let Node::Tree(mut number) = node else { return };
        while let Some(inode) = self.inodes.get_mut(number) {
            inode.uses = inode.uses.saturating_sub(1);
            let Some(above) = self.forget_if_unused(number, store) else {
                return;
            };
            // A directory without a name was a use of the one above it.
            number = above;
        }
    }

    /// Removes a file that has neither name nor use; the directory that it was a use of.
    fn forget_if_unused(&mut self, number: u32, store: &mut dyn PageStore) -> Option<u32> {
        let unused = self
            .inodes
            .get(number)
            .is_some_and(|inode| inode.links == 0 && inode.uses == 0);
        if !unused || number == ROOT {
            return None;
        }
        match self.inodes.remove(number)?.body {
            Body::Directory(directory) => return Some(directory.parent),
            Body::File(mut content) => content.clear(store),
            Body::Symlink(target) => self.names_left += target.len() + NAME_COST,
            Body::Device(_) => {}
        }
        None
    }
}
