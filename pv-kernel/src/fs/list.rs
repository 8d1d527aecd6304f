//! Reading a directory.
use crate::errno::Errno;
use crate::fs::attributes::Kind;
use crate::fs::directory::FIRST_COOKIE;
use crate::fs::node::Node;
use crate::fs::open::{OpenFlags, Target};
use crate::fs::{Caller, FileId, Vfs};

/// One name of a directory.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'n> {
    /// The name.
    pub name: &'n [u8],
    /// Its file's number.
    pub number: u64,
    /// Its file's kind.
    pub kind: Kind,
    /// The position of what comes after it.
    pub next: u64,
}

/// Whether a listing goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listing {
    /// The name was taken.
    More,
    /// There was no room for it.
    Full,
}

impl<'a> Vfs<'a> {
    /// Shows the names of an open directory to `visit`, from its position on, until it is full; moves the position
    /// past those that were taken.
    ///
    /// # Errors
    /// `EBADF`, `ENOTDIR`; `ENOENT`: it has been removed.
    pub fn list(
        &mut self,
        file: FileId,
        caller: &Caller<'_>,
        visit: &mut dyn FnMut(Listed<'_>) -> Listing,
    ) -> Result<(), Errno> {
        let open = self.file(file)?;
        let Target::Node(node) = open.target else {
            return Err(Errno::NOT_DIRECTORY);
        };
        if open.flags.contains(OpenFlags::PATH) {
            return Err(Errno::BAD_FILE);
        }
        let mut position = open.offset;
        if !self.is_directory(node) {
            return Err(Errno::NOT_DIRECTORY);
        }
        let mut show = |listed: Listed<'_>| {
            let next = listed.next;
            let listing = visit(listed);
            if listing == Listing::More {
                position = next;
            }
            listing
        };
        match node {
            Node::Proc(directory) => directory.list(open.offset, caller, &mut show),
            Node::Tree(number) => self.list_tree(number, open.offset, caller, &mut show)?,
        }
        self.file_mut(file)?.offset = position;
        Ok(())
    }

    fn list_tree(
        &self,
        number: u32,
        from: u64,
        caller: &Caller<'_>,
        show: &mut dyn FnMut(Listed<'_>) -> Listing,
    ) -> Result<(), Errno> {
        if self.inode(number)?.links == 0 {
            return Err(Errno::NO_ENTRY);
        }
        let directory = self.directory(number)?;
        let dots: [(&[u8], u32); 2] = [(b".", number), (b"..", directory.parent)];
        for ((name, inode), cookie) in dots.into_iter().zip(0u64..) {
            let listed = Listed {
                name,
                number: u64::from(inode) + 1,
                kind: Kind::Directory,
                next: cookie + 1,
            };
            if cookie >= from && show(listed) == Listing::Full {
                return Ok(());
            }
        }
        for named in directory.since_cookie(from.max(FIRST_COOKIE)) {
            let about = self.attributes(self.uncovered(named.inode), caller)?;
            let listed = Listed {
                name: named.name,
                number: about.number,
                kind: about.kind,
                next: named.cookie + 1,
            };
            if show(listed) == Listing::Full {
                break;
            }
        }
        Ok(())
    }
}
