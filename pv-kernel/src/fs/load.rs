//! The tree at the start: what the archive has, `/dev`, `/proc`, `/tmp`.
use crate::archive::{self, File};
use crate::errno::Errno;
use crate::fs::content::Content;
use crate::fs::device::DEVICES;
use crate::fs::links::New;
use crate::fs::node::{Body, Node};
use crate::fs::{Caller, Vfs};
use linux_raw_sys::general as linux;

/// Why an archive could not become a tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoadError {
    /// It is cut short, or no archive.
    Malformed,
    /// A name in it cannot be made.
    Refused(Errno),
}

impl From<Errno> for LoadError {
    fn from(errno: Errno) -> Self {
        Self::Refused(errno)
    }
}

impl core::fmt::Display for LoadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Malformed => f.write_str("it is no cpio archive (format newc), or is cut short"),
            Self::Refused(Errno::NO_SPACE) => f.write_str("it has more files than there is room for"),
            Self::Refused(errno) => write!(f, "a file of it cannot be made: {errno}"),
        }
    }
}

impl<'a> Vfs<'a> {
    /// Makes `/dev` with its devices, `/proc` and `/tmp`.
    ///
    /// # Errors
    /// `ENOSPC`, `EEXIST`.
    pub fn make_system_directories(&mut self, caller: &Caller<'_>) -> Result<(), Errno> {
        let root = Self::root();
        let caller = &Caller { umask: 0, ..*caller };
        for (path, mode) in [(b"/dev".as_slice(), 0o755), (b"/tmp", 0o1777), (b"/proc", 0o555)] {
            match self.make(root, path, New::Directory, mode, caller) {
                Ok(_) | Err(Errno::EXISTS) => {}
                Err(errno) => return Err(errno),
            }
        }
        for (name, number) in DEVICES {
            let path = [b"/dev/", name].concat();
            match self.make(root, &path, New::Device(number), 0o666, caller) {
                Ok(_) | Err(Errno::EXISTS) => {}
                Err(errno) => return Err(errno),
            }
        }
        self.proc_place = self.directory(super::ROOT)?.find(b"proc");
        Ok(())
    }

    /// Puts every file of the archive into the tree. Regular files stay where they are; of two with one name the
    /// later one counts.
    ///
    /// # Errors
    /// [`LoadError`]; the files before the bad one are there.
    pub fn load(&mut self, archive: &'a [u8], caller: &Caller<'_>) -> Result<(), LoadError> {
        let mut rest = archive;
        while let Some((file, next)) = archive::split_file(rest).map_err(|_| LoadError::Malformed)? {
            self.load_file(&file, caller)?;
            rest = next;
        }
        Ok(())
    }

    fn load_file(&mut self, file: &File<'a>, caller: &Caller<'_>) -> Result<(), Errno> {
        let path = [b"/", file.name].concat();
        self.make_directories_of(&path, caller)?;
        let new = match file.mode & linux::S_IFMT {
            linux::S_IFDIR => New::Directory,
            linux::S_IFREG => New::File,
            linux::S_IFLNK => New::Symlink(file.bytes),
            // Devices are the kernel's own affair.
            _ => return Ok(()),
        };
        let permissions = (file.mode & 0o7777) as u16;
        let node = match self.make(Self::root(), &path, new, permissions, caller) {
            Ok(node) => node,
            Err(Errno::EXISTS) => self.find(Self::root(), &path, super::walk::Follow::Never, caller)?,
            Err(errno) => return Err(errno),
        };
        let Node::Tree(number) = node else { return Ok(()) };
        let inode = self.inode_mut(number)?;
        if let (Body::File(content), New::File) = (&mut inode.body, new) {
            *content = Content::archived(file.bytes);
        }
        inode.permissions = permissions;
        let seconds = u64::from(file.modified) * 1_000_000_000;
        (inode.accessed, inode.modified, inode.changed) = (seconds, seconds, seconds);
        Ok(())
    }

    fn make_directories_of(&mut self, path: &[u8], caller: &Caller<'_>) -> Result<(), Errno> {
        let slashes = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/');
        for (at, _) in slashes {
            let above = path.get(..at).unwrap_or(&[]);
            match self.make(Self::root(), above, New::Directory, 0o755, caller) {
                Ok(_) | Err(Errno::EXISTS) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}
