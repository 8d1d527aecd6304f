//! What `stat` tells, and what changes it.
use crate::errno::Errno;
use crate::fs::node::{Body, Node};
use crate::fs::open::Target;
use crate::fs::pipe::CAPACITY;
use crate::fs::{Caller, FileId, Vfs};
use abi::layout::PAGE_SIZE;
use linux_raw_sys::general as linux;

/// The kinds of files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A character device.
    Device,
    /// A pipe.
    Pipe,
}

impl Kind {
    /// The bits of a mode that say so.
    #[must_use]
    pub const fn mode(self) -> u32 {
        match self {
            Self::Directory => linux::S_IFDIR,
            Self::File => linux::S_IFREG,
            Self::Symlink => linux::S_IFLNK,
            Self::Device => linux::S_IFCHR,
            Self::Pipe => linux::S_IFIFO,
        }
    }

    /// The same for an entry of a directory.
    #[must_use]
    pub const fn entry_type(self) -> u8 {
        (self.mode() >> 12) as u8
    }
}

/// What is known of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attributes {
    /// Which of the file systems it is on: 1 the tree, 2 `/proc`, 3 pipes.
    pub device: u64,
    /// Its number there.
    pub number: u64,
    /// Its kind.
    pub kind: Kind,
    /// The mode's lowest twelve bits.
    pub permissions: u16,
    /// Its names.
    pub links: u32,
    /// Its owner.
    pub owner: u32,
    /// Its group.
    pub group: u32,
    /// Which device it is, if it is one.
    pub which: u64,
    /// Its bytes.
    pub size: u64,
    /// Bytes of memory that it has for itself.
    pub held: u64,
    /// Last access, in nanoseconds since 1970.
    pub accessed: u64,
    /// Last change of the content.
    pub modified: u64,
    /// Last change.
    pub changed: u64,
}

/// How full the tree is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Usage {
    /// Files that there can be.
    pub inodes: usize,
    /// Files that there are.
    pub used: usize,
}

impl<'a> Vfs<'a> {
    /// What is known of `node`.
    ///
    /// # Errors
    /// `ENOENT`: it has gone.
    pub fn attributes(&self, node: Node, caller: &Caller<'_>) -> Result<Attributes, Errno> {
        match node {
            Node::Proc(node) => Ok(node.attributes(caller)),
            Node::Tree(number) => self.tree_attributes(number),
        }
    }

    /// What is known of an open file.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn file_attributes(&self, file: FileId, caller: &Caller<'_>) -> Result<Attributes, Errno> {
        match self.file(file)?.target {
            Target::Node(node) => self.attributes(node, caller),
            Target::Pipe(number, _) => Ok(Attributes {
                device: 3,
                number: u64::from(number) + 1,
                kind: Kind::Pipe,
                permissions: 0o600,
                links: 1,
                owner: 0,
                group: 0,
                which: 0,
                size: 0,
                held: CAPACITY as u64,
                accessed: caller.now,
                modified: caller.now,
                changed: caller.now,
            }),
        }
    }

    fn tree_attributes(&self, number: u32) -> Result<Attributes, Errno> {
        let inode = self.inode(number)?;
        let (kind, size, held, which) = match &inode.body {
            Body::Directory(directory) => (Kind::Directory, directory.len() as u64 * 32, 0, 0),
            Body::File(content) => (Kind::File, content.size(), content.frames() * PAGE_SIZE, 0),
            Body::Symlink(target) => (Kind::Symlink, target.len() as u64, 0, 0),
            Body::Device(which) => (Kind::Device, 0, 0, *which),
        };
        Ok(Attributes {
            device: 1,
            number: u64::from(number) + 1,
            kind,
            permissions: inode.permissions,
            links: inode.links,
            owner: inode.owner,
            group: inode.group,
            which,
            size,
            held,
            accessed: inode.accessed,
            modified: inode.modified,
            changed: inode.changed,
        })
    }

    /// Changes a mode's lowest twelve bits.
    ///
    /// # Errors
    /// `EPERM` in `/proc`; `EOPNOTSUPP` for a symbolic link.
    pub fn set_permissions(
        &mut self,
        node: Node,
        permissions: u16,
        caller: &Caller<'_>,
    ) -> Result<(), Errno> {
        let Node::Tree(number) = node else {
            return Err(Errno::NOT_PERMITTED);
        };
        let inode = self.inode_mut(number)?;
        if matches!(inode.body, Body::Symlink(_)) {
            return Err(Errno::NOT_SUPPORTED);
        }
        inode.permissions = permissions & 0o7777;
        inode.changed = caller.now;
        Ok(())
    }

    /// Changes owner and group, as far as they are given.
    ///
    /// # Errors
    /// `EPERM` in `/proc`.
    pub fn set_owner(
        &mut self,
        node: Node,
        owner: Option<u32>,
        group: Option<u32>,
        caller: &Caller<'_>,
    ) -> Result<(), Errno> {
        let Node::Tree(number) = node else {
            return Err(Errno::NOT_PERMITTED);
        };
        let inode = self.inode_mut(number)?;
        inode.owner = owner.unwrap_or(inode.owner);
        inode.group = group.unwrap_or(inode.group);
        inode.changed = caller.now;
        Ok(())
    }

    /// Changes the times of access and of the content's change, as far as they are given.
    ///
    /// # Errors
    /// `EPERM` in `/proc`.
    pub fn set_times(
        &mut self,
        node: Node,
        accessed: Option<u64>,
        modified: Option<u64>,
        caller: &Caller<'_>,
    ) -> Result<(), Errno> {
        let Node::Tree(number) = node else {
            return Err(Errno::NOT_PERMITTED);
        };
        let inode = self.inode_mut(number)?;
        inode.accessed = accessed.unwrap_or(inode.accessed);
        inode.modified = modified.unwrap_or(inode.modified);
        inode.changed = caller.now;
        Ok(())
    }

    /// Whether a program may be read from it: a regular file that someone may execute.
    ///
    /// # Errors
    /// `EACCES`.
    pub fn check_executable(&self, node: Node) -> Result<(), Errno> {
        let Node::Tree(number) = node else {
            return Err(Errno::ACCESS);
        };
        let inode = self.inode(number)?;
        match inode.body {
            Body::File(_) if inode.permissions & 0o111 != 0 => Ok(()),
            _ => Err(Errno::ACCESS),
        }
    }

    /// How full the tree is.
    #[must_use]
    pub const fn usage(&self) -> Usage {
        Usage {
            inodes: self.inodes.limit(),
            used: self.inodes.used(),
        }
    }
}
