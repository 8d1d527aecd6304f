//! What a file is.
use crate::errno::Errno;
use crate::fs::content::Content;
use crate::fs::directory::Directory;
use crate::fs::proc::ProcNode;
use crate::fs::{Caller, Vfs};
use alloc::boxed::Box;

/// A file of any kind, found by its path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Node {
    /// One of the tree in memory, by its number.
    Tree(u32),
    /// One of `/proc`.
    Proc(ProcNode),
}

/// A file of the tree.
#[derive(Debug)]
pub(super) struct Inode<'a> {
    pub(super) body: Body<'a>,
    /// The mode's lowest twelve bits.
    pub(super) permissions: u16,
    /// Names of a file; 2 and its subdirectories for a directory; 0 when it has lost its name.
    pub(super) links: u32,
    /// What keeps it besides its names.
    pub(super) uses: u32,
    pub(super) owner: u32,
    pub(super) group: u32,
    /// Times of the last access, of the last change of the content, of the last change at all: nanoseconds since 1970.
    pub(super) accessed: u64,
    pub(super) modified: u64,
    pub(super) changed: u64,
}

/// What makes the kinds of files different.
#[derive(Debug)]
pub(super) enum Body<'a> {
    Directory(Directory),
    File(Content<'a>),
    Symlink(Box<[u8]>),
    /// A character device, by its number.
    Device(u64),
}

impl<'a> Inode<'a> {
    /// A file with one name.
    pub(super) const fn new(body: Body<'a>, permissions: u16, now: u64) -> Self {
        Self {
            body,
            permissions,
            links: 1,
            uses: 0,
            owner: 0,
            group: 0,
            accessed: now,
            modified: now,
            changed: now,
        }
    }

    /// An empty directory.
    pub(super) const fn directory(permissions: u16, parent: u32, now: u64) -> Self {
        let mut inode = Self::new(Body::Directory(Directory::new(parent)), permissions, now);
        inode.links = 2;
        inode
    }

    /// Its content has changed.
    pub(super) const fn touch(&mut self, now: u64) {
        self.modified = now;
        self.changed = now;
    }
}

impl<'a> Vfs<'a> {
    pub(super) fn inode(&self, number: u32) -> Result<&Inode<'a>, Errno> {
        self.inodes.get(number).ok_or(Errno::NO_ENTRY)
    }

    pub(super) fn inode_mut(&mut self, number: u32) -> Result<&mut Inode<'a>, Errno> {
        self.inodes.get_mut(number).ok_or(Errno::NO_ENTRY)
    }

    pub(super) fn directory(&self, number: u32) -> Result<&Directory, Errno> {
        match &self.inode(number)?.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(Errno::NOT_DIRECTORY),
        }
    }

    pub(super) fn directory_mut(&mut self, number: u32) -> Result<&mut Directory, Errno> {
        match &mut self.inode_mut(number)?.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(Errno::NOT_DIRECTORY),
        }
    }

    /// Whether paths can lead through it.
    #[must_use]
    pub fn is_directory(&self, node: Node) -> bool {
        match node {
            Node::Tree(number) => self.directory(number).is_ok(),
            Node::Proc(node) => node.is_directory(),
        }
    }

    /// Where a symbolic link leads; `EINVAL` for anything else.
    ///
    /// # Errors
    /// `EINVAL`.
    pub fn target(&self, node: Node, caller: &Caller<'_>) -> Result<Box<[u8]>, Errno> {
        let target = match node {
            Node::Tree(number) => match &self.inode(number)?.body {
                Body::Symlink(target) => Some(target.clone()),
                _ => None,
            },
            Node::Proc(node) => node.target(caller.facts),
        };
        target.ok_or(Errno::INVALID)
    }

    pub(super) fn is_symlink(&self, node: Node) -> bool {
        match node {
            Node::Tree(number) => {
                matches!(self.inode(number).map(|inode| &inode.body), Ok(Body::Symlink(_)))
            }
            Node::Proc(node) => node.is_symlink(),
        }
    }
}
