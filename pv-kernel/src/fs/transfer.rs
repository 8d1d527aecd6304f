//! Reading and writing files, and the position of the next byte.
use crate::errno::Errno;
use crate::fs::content::{Content, Extent, MAX_SIZE};
use crate::fs::device::Device;
use crate::fs::node::{Body, Node};
use crate::fs::open::{OpenFlags, Target};
use crate::fs::{Caller, FileId, PageStore, Vfs};

/// What a new position is counted from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whence {
    /// The first byte.
    Start,
    /// The position.
    Current,
    /// The end.
    End,
    /// The next byte that is no hole, from there on.
    Data,
    /// The next hole.
    Hole,
}

impl<'a> Vfs<'a> {
    /// Reads from the file's position on and moves it.
    ///
    /// # Errors
    /// `EBADF`: not open for that. `EISDIR`. `EINVAL`: not this module's business.
    pub fn read(
        &mut self,
        file: FileId,
        buffer: &mut [u8],
        caller: &Caller<'_>,
        store: &mut dyn PageStore,
    ) -> Result<usize, Errno> {
        let offset = self.file(file)?.offset;
        let count = self.read_at(file, offset, buffer, caller, store)?;
        self.file_mut(file)?.offset = offset.saturating_add(count as u64);
        Ok(count)
    }

    /// Reads from `offset` on.
    ///
    /// # Errors
    /// As [`Self::read`]; `ESPIPE`.
    pub fn read_at(
        &mut self,
        file: FileId,
        offset: u64,
        buffer: &mut [u8],
        caller: &Caller<'_>,
        store: &mut dyn PageStore,
    ) -> Result<usize, Errno> {
        let open = self.file(file)?;
        if !open.flags.can_read() {
            return Err(Errno::BAD_FILE);
        }
        let Target::Node(node) = open.target else {
            return Err(Errno::NO_SEEK);
        };
        self.read_node(node, offset, buffer, caller, store)
    }

    /// Reads a file that need not be open.
    ///
    /// # Errors
    /// `EISDIR`, `EINVAL`.
    pub fn read_node(
        &mut self,
        node: Node,
        offset: u64,
        buffer: &mut [u8],
        caller: &Caller<'_>,
        store: &mut dyn PageStore,
    ) -> Result<usize, Errno> {
        match node {
            Node::Proc(node) => node.read(caller.facts, offset, buffer),
            Node::Tree(number) => {
                let inode = self.inode_mut(number)?;
                match &inode.body {
                    Body::Directory(_) => Err(Errno::IS_DIRECTORY),
                    Body::Symlink(_) => Err(Errno::INVALID),
                    Body::File(content) => {
                        let count = content.read(store, offset, buffer);
                        if count > 0 && !buffer.is_empty() {
                            inode.accessed = caller.now;
                        }
                        Ok(count)
                    }
                    Body::Device(number) => match Device::from_number(*number) {
                        Some(Device::Null) => Ok(0),
                        Some(Device::Zero | Device::Full) => {
                            buffer.fill(0);
                            Ok(buffer.len())
                        }
                        _ => Err(Errno::INVALID),
                    },
                }
            }
        }
    }

    /// Writes at the file's position, or at its end if it is open so, and moves the position.
    ///
    /// # Errors
    /// `EBADF`: not open for that. `ENOSPC`, `EFBIG`. `EINVAL`: not this module's business.
    pub fn write(
        &mut self,
        file: FileId,
        bytes: &[u8],
        caller: &Caller<'_>,
        store: &mut dyn PageStore,
    ) -> Result<usize, Errno> {
        let open = self.file(file)?;
        let offset = match open.target {
            Target::Node(node) if open.flags.contains(OpenFlags::APPEND) => self.size_of(node),
            _ => open.offset,
        };
        let count = self.write_node(file, offset, bytes, caller, store)?;
        self.file_mut(file)?.offset = offset.saturating_add(count as u64);
        Ok(count)
    }

    /// Writes at `offset`; at the end if the file is open so, as on Linux.
    ///
    /// # Errors
    /// As [`Self::write`]; `ESPIPE`.
    pub fn write_at(
        &mut self,
        file: FileId,
        offset: u64,
        bytes: &[u8],
        caller: &Caller<'_>,
        store: &mut dyn PageStore,
    ) -> Result<usize, Errno> {
        let open = self.file(file)?;
        let offset = match open.target {
            Target::Node(node) if open.flags.contains(OpenFlags::APPEND) => self.size_of(node),
            Target::Node(_) => offset,
            Target::Pipe(..) => return Err(Errno::NO_SEEK),
        };
        self.write_node(file, offset, bytes, caller, store)
    }

    fn write_node(
        &mut self,
        file: FileId,
        offset: u64,
        bytes: &[u8],
        caller: &Caller<'_>,
        store: &mut dyn PageStore,
    ) -> Result<usize, Errno> {
        let open = self.file(file)?;
        if !open.flags.can_write() {
            return Err(Errno::BAD_FILE);
        }
        let Target::Node(Node::Tree(number)) = open.target else {
            return Err(Errno::INVALID);
        };
        let inode = self.inode_mut(number)?;
        match &mut inode.body {
            Body::File(content) => {
                let count = content.write(store, offset, bytes)?;
                if count > 0 {
                    inode.touch(caller.now);
                }
                Ok(count)
            }
            Body::Device(number) => match Device::from_number(*number) {
                Some(Device::Null | Device::Zero) => Ok(bytes.len()),
                Some(Device::Full) => Err(Errno::NO_SPACE),
                _ => Err(Errno::INVALID),
            },
            Body::Directory(_) | Body::Symlink(_) => Err(Errno::BAD_FILE),
        }
    }

    /// Moves the position; where it is then.
    ///
    /// # Errors
    /// `EBADF`, `ESPIPE`; `EINVAL`: before the first byte; `ENXIO`: nothing comes after that.
    pub fn seek(
        &mut self,
        file: FileId,
        by: i64,
        whence: Whence,
        store: &mut dyn PageStore,
    ) -> Result<u64, Errno> {
        let open = self.file(file)?;
        let (Target::Node(node), offset) = (open.target, open.offset) else {
            return Err(Errno::NO_SEEK);
        };
        if open.flags.contains(OpenFlags::PATH) {
            return Err(Errno::BAD_FILE);
        }
        let from = match whence {
            Whence::Start => 0,
            Whence::Current => offset,
            Whence::End => self.size_of(node),
            Whence::Data | Whence::Hole => self.next_extent(node, by, whence, store)?,
        };
        let to = match whence {
            Whence::Data | Whence::Hole => Some(from),
            _ => from.checked_add_signed(by),
        };
        let to = to.filter(|to| *to <= i64::MAX as u64).ok_or(Errno::INVALID)?;
        self.file_mut(file)?.offset = to;
        Ok(to)
    }

    fn next_extent(
        &self,
        node: Node,
        at: i64,
        whence: Whence,
        store: &mut dyn PageStore,
    ) -> Result<u64, Errno> {
        let at = u64::try_from(at).map_err(|_| Errno::NO_SUCH_DEVICE)?;
        let wanted = if whence == Whence::Data {
            Extent::Data
        } else {
            Extent::Hole
        };
        let content = self.content(node).ok_or(Errno::INVALID)?;
        content.next(store, at, wanted).ok_or(Errno::NO_SUCH_DEVICE)
    }

    /// The content of a regular file.
    pub(super) fn content(&self, node: Node) -> Option<&Content<'a>> {
        let Node::Tree(number) = node else { return None };
        match &self.inode(number).ok()?.body {
            Body::File(content) => Some(content),
            _ => None,
        }
    }

    /// The bytes of a regular file, 0 for all else.
    pub(super) fn size_of(&self, node: Node) -> u64 {
        self.content(node).map_or(0, Content::size)
    }

    /// The whole of a regular file as the archive has it, if it has not been changed.
    #[must_use]
    pub fn archived(&self, node: Node) -> Option<&'a [u8]> {
        self.content(node)?.as_archived()
    }

    /// Changes the size of an open file.
    ///
    /// # Errors
    /// `EBADF`; `EINVAL`: not open for writing, or no regular file; `EFBIG`.
    pub fn set_file_size(
        &mut self,
        file: FileId,
        size: u64,
        caller: &Caller<'_>,
        store: &mut dyn PageStore,
    ) -> Result<(), Errno> {
        let open = self.file(file)?;
        match open.target {
            _ if open.flags.contains(OpenFlags::PATH) => Err(Errno::BAD_FILE),
            Target::Node(node) if open.flags.can_write() && self.content(node).is_some() => {
                self.set_size(node, size, caller, store)
            }
            _ => Err(Errno::INVALID),
        }
    }

    /// Changes the size of a regular file.
    ///
    /// # Errors
    /// `EISDIR`; `EINVAL`: no regular file, or too large for a number of Linux's; `EFBIG`; `EACCES` in `/proc`.
    pub fn set_size(
        &mut self,
        node: Node,
        size: u64,
        caller: &Caller<'_>,
        store: &mut dyn PageStore,
    ) -> Result<(), Errno> {
        let Node::Tree(number) = node else {
            return Err(Errno::ACCESS);
        };
        let inode = self.inode_mut(number)?;
        match &mut inode.body {
            Body::Directory(_) => Err(Errno::IS_DIRECTORY),
            Body::File(_) if size > i64::MAX as u64 => Err(Errno::INVALID),
            Body::File(_) if size > MAX_SIZE => Err(Errno::FILE_TOO_LARGE),
            Body::File(content) => {
                content.set_size(store, size)?;
                inode.touch(caller.now);
                Ok(())
            }
            Body::Device(_) | Body::Symlink(_) => Err(Errno::INVALID),
        }
    }
}
