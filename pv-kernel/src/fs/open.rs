//! Open files: what `open` makes, what descriptors share, and what becomes of it at the last close.
use crate::errno::Errno;
use crate::fs::device::Device;
use crate::fs::node::{Body, Node};
use crate::fs::pipe::Pipe;
use crate::fs::walk::{Follow, Last};
use crate::fs::{Caller, FileId, PageStore, Vfs};
use bitflags::bitflags;
use linux_raw_sys::general as linux;

bitflags! {
    /// Linux's flags of `open`; access is in the two lowest bits.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct OpenFlags: u32 {
        /// Not to be read.
        const WRITE_ONLY = linux::O_WRONLY;
        /// To be read and written.
        const READ_WRITE = linux::O_RDWR;
        /// Made if it is not there.
        const CREATE = linux::O_CREAT;
        /// Not there before.
        const EXCLUSIVE = linux::O_EXCL;
        /// Emptied.
        const TRUNCATE = linux::O_TRUNC;
        /// Every write goes to the end.
        const APPEND = linux::O_APPEND;
        /// Never waits.
        const NON_BLOCKING = linux::O_NONBLOCK;
        /// A directory, or an error.
        const DIRECTORY = linux::O_DIRECTORY;
        /// No symbolic link.
        const NO_FOLLOW = linux::O_NOFOLLOW;
        /// Only a place in the tree.
        const PATH = linux::O_PATH;
    }
}

/// Flags that `fcntl` can change.
const CHANGEABLE: OpenFlags = OpenFlags::APPEND.union(OpenFlags::NON_BLOCKING);
/// Flags that matter only while a file is opened.
const MOMENTARY: OpenFlags = OpenFlags::CREATE
    .union(OpenFlags::EXCLUSIVE)
    .union(OpenFlags::TRUNCATE)
    .union(OpenFlags::NO_FOLLOW);

impl OpenFlags {
    /// Whether bytes can be read.
    #[must_use]
    pub const fn can_read(self) -> bool {
        !self.intersects(Self::WRITE_ONLY.union(Self::PATH))
    }

    /// Whether bytes can be written.
    #[must_use]
    pub const fn can_write(self) -> bool {
        self.intersects(Self::WRITE_ONLY.union(Self::READ_WRITE)) && !self.contains(Self::PATH)
    }
}

/// An open file: one `open`, and every descriptor that was copied from it.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) target: Target,
    pub(super) flags: OpenFlags,
    pub(super) offset: u64,
    /// Descriptors, in all processes.
    pub(super) shares: u32,
}

/// What is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Target {
    Node(Node),
    Pipe(u32, PipeEnd),
}

/// The ends of a pipe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PipeEnd {
    /// Bytes come out.
    Read,
    /// Bytes go in.
    Write,
}

/// Whose business reading and writing is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Endpoint {
    /// That of [`Vfs::read`] and [`Vfs::write`].
    File(Node),
    /// That of [`Vfs::pipe`].
    Pipe(u32, PipeEnd),
    /// A device's.
    Device(Device),
}

/// What the end of a descriptor leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Closed {
    /// The pipe whose other end may have waited for this.
    pub pipe: Option<u32>,
}

impl<'a> Vfs<'a> {
    /// Opens `path`, making or emptying the file if the flags say so. `mode` is a new file's.
    ///
    /// # Errors
    /// Those of paths and of [`Self::make`]; `EISDIR`, `ENFILE`, `ENXIO` for a device that nobody has.
    pub fn open(
        &mut self,
        start: Node,
        path: &[u8],
        flags: OpenFlags,
        mode: u16,
        caller: &Caller<'_>,
        store: &mut dyn PageStore,
    ) -> Result<FileId, Errno> {
        if self.files.used() >= self.files.limit() {
            return Err(Errno::FILE_TABLE_FULL);
        }
        let flags = if flags.contains(OpenFlags::PATH) {
            flags & (OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::NO_FOLLOW)
        } else {
            flags
        };
        let (node, is_new) = self.find_or_make(start, path, flags, mode, caller)?;
        if !is_new {
            self.may_open(node, flags)?;
            if let (true, Node::Tree(number)) = (flags.contains(OpenFlags::TRUNCATE), node) {
                self.empty(number, caller.now, store)?;
            }
        }
        self.hold(node);
        let opened = self.files.insert(OpenFile {
            target: Target::Node(node),
            flags: flags.difference(MOMENTARY),
            offset: 0,
            shares: 1,
        });
        opened.map(FileId).ok_or(Errno::FILE_TABLE_FULL)
    }

    fn find_or_make(
        &mut self,
        start: Node,
        path: &[u8],
        flags: OpenFlags,
        mode: u16,
        caller: &Caller<'_>,
    ) -> Result<(Node, bool), Errno> {
        let creates = flags.contains(OpenFlags::CREATE);
        let follow = match flags {
            _ if creates && flags.intersects(OpenFlags::EXCLUSIVE | OpenFlags::NO_FOLLOW) => Follow::Never,
            _ if creates => Follow::UnlessSlash,
            _ if flags.contains(OpenFlags::NO_FOLLOW) => Follow::BeforeSlash,
            _ => Follow::Yes,
        };
        let place = self.walk(start, path, follow, caller)?;
        if creates && place.slash && matches!(place.last, Last::Name(_)) {
            return Err(Errno::IS_DIRECTORY);
        }
        match place.node? {
            None if creates => Ok((Node::Tree(self.make_file(place, mode, caller)?), true)),
            None => Err(Errno::NO_ENTRY),
            Some(_) if creates && flags.contains(OpenFlags::EXCLUSIVE) => Err(Errno::EXISTS),
            Some(node) if creates && self.is_directory(node) => Err(Errno::IS_DIRECTORY),
            Some(node) if place.slash && !self.is_directory(node) => Err(Errno::NOT_DIRECTORY),
            Some(node) => Ok((node, false)),
        }
    }

    fn may_open(&self, node: Node, flags: OpenFlags) -> Result<(), Errno> {
        let is_directory = self.is_directory(node);
        if flags.contains(OpenFlags::DIRECTORY) && !is_directory {
            return Err(Errno::NOT_DIRECTORY);
        }
        if flags.contains(OpenFlags::PATH) {
            return Ok(());
        }
        if self.is_symlink(node) {
            return Err(Errno::LOOP);
        }
        let changes = flags.can_write() || flags.contains(OpenFlags::TRUNCATE);
        match node {
            _ if is_directory && changes => Err(Errno::IS_DIRECTORY),
            Node::Proc(_) if changes => Err(Errno::ACCESS),
            Node::Tree(number) => match self.inode(number)?.body {
                Body::Device(number) if Device::from_number(number).is_none() => Err(Errno::NO_SUCH_DEVICE),
                _ => Ok(()),
            },
            Node::Proc(_) => Ok(()),
        }
    }

    fn empty(&mut self, number: u32, now: u64, store: &mut dyn PageStore) -> Result<(), Errno> {
        let inode = self.inode_mut(number)?;
        if let Body::File(content) = &mut inode.body {
            content.set_size(store, 0)?;
            inode.touch(now);
        }
        Ok(())
    }

    /// A new pipe: the file that reads it, the file that writes it.
    ///
    /// # Errors
    /// `ENFILE`: nothing has changed.
    pub fn make_pipe(&mut self, flags: OpenFlags) -> Result<(FileId, FileId), Errno> {
        if self.files.limit() - self.files.used() < 2 {
            return Err(Errno::FILE_TABLE_FULL);
        }
        let pipe = self.pipes.insert(Pipe::open()).ok_or(Errno::FILE_TABLE_FULL)?;
        let mut open = |end, access: OpenFlags| {
            let opened = self.files.insert(OpenFile {
                target: Target::Pipe(pipe, end),
                flags: access | (flags & OpenFlags::NON_BLOCKING),
                offset: 0,
                shares: 1,
            });
            opened.map(FileId).ok_or(Errno::FILE_TABLE_FULL)
        };
        let read = open(PipeEnd::Read, OpenFlags::empty())?;
        let write = open(PipeEnd::Write, OpenFlags::WRITE_ONLY)?;
        Ok((read, write))
    }

    /// One more descriptor for an open file.
    pub fn share(&mut self, file: FileId) {
        if let Some(file) = self.files.get_mut(file.0) {
            file.shares += 1;
        }
    }

    /// One descriptor less; the last one closes the file.
    pub fn close(&mut self, file: FileId, store: &mut dyn PageStore) -> Closed {
        let Some(open) = self.files.get_mut(file.0) else {
            return Closed::default();
        };
        open.shares = open.shares.saturating_sub(1);
        if open.shares > 0 {
            return Closed::default();
        }
        let target = open.target;
        self.files.remove(file.0);
        match target {
            Target::Node(node) => {
                self.let_go(node, store);
                Closed::default()
            }
            Target::Pipe(number, end) => {
                self.close_end(number, end, store);
                Closed { pipe: Some(number) }
            }
        }
    }

    fn close_end(&mut self, number: u32, end: PipeEnd, store: &mut dyn PageStore) {
        let Some(pipe) = self.pipes.get_mut(number) else {
            return;
        };
        let count = match end {
            PipeEnd::Read => &mut pipe.readers,
            PipeEnd::Write => &mut pipe.writers,
        };
        *count = count.saturating_sub(1);
        if pipe.readers == 0 && pipe.writers == 0 {
            pipe.clear(store);
            self.pipes.remove(number);
        }
    }

    pub(super) fn file(&self, file: FileId) -> Result<&OpenFile, Errno> {
        self.files.get(file.0).ok_or(Errno::BAD_FILE)
    }

    pub(super) fn file_mut(&mut self, file: FileId) -> Result<&mut OpenFile, Errno> {
        self.files.get_mut(file.0).ok_or(Errno::BAD_FILE)
    }

    /// What an open file is.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn endpoint(&self, file: FileId) -> Result<Endpoint, Errno> {
        match self.file(file)?.target {
            Target::Pipe(number, end) => Ok(Endpoint::Pipe(number, end)),
            Target::Node(node) => Ok(self.device(node).map_or(Endpoint::File(node), Endpoint::Device)),
        }
    }

    fn device(&self, node: Node) -> Option<Device> {
        let Node::Tree(number) = node else { return None };
        match self.inode(number).ok()?.body {
            Body::Device(number) => Device::from_number(number),
            _ => None,
        }
    }

    /// The place in the tree of an open file, where relative paths may start.
    ///
    /// # Errors
    /// `EBADF`; `ENOTDIR`: a pipe.
    pub fn node_of(&self, file: FileId) -> Result<Node, Errno> {
        match self.file(file)?.target {
            Target::Node(node) => Ok(node),
            Target::Pipe(..) => Err(Errno::NOT_DIRECTORY),
        }
    }

    /// A pipe.
    pub fn pipe(&mut self, number: u32) -> Option<&mut Pipe> {
        self.pipes.get_mut(number)
    }

    /// The flags of an open file.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn flags(&self, file: FileId) -> Result<OpenFlags, Errno> {
        self.file(file).map(|file| file.flags)
    }

    /// Changes those flags that can change.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn set_flags(&mut self, file: FileId, flags: OpenFlags) -> Result<(), Errno> {
        let file = self.file_mut(file)?;
        file.flags = file.flags.difference(CHANGEABLE) | (flags & CHANGEABLE);
        Ok(())
    }
}
