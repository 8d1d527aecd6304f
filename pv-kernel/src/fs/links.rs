//! Names: made, taken away, moved.
use crate::errno::Errno;
use crate::fs::directory::Directory;
use crate::fs::node::{Body, Inode, Node};
use crate::fs::walk::{Follow, Last, Place};
use crate::fs::{Caller, NAME_COST, PATH_MAX, PageStore, Vfs};

/// Most names of a file, and subdirectories of a directory.
const MAX_LINKS: u32 = 65_000;

/// What a new file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum New<'n> {
    /// An empty directory.
    Directory,
    /// An empty file.
    File,
    /// A symbolic link to there.
    Symlink(&'n [u8]),
    /// A character device with this number.
    Device(u64),
}

/// What a rename does about a file that has the new name already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Replace {
    /// The file goes.
    Allowed,
    /// `EEXIST`.
    Refused,
}

/// Where a name is, or would be: a directory of the tree and the name.
struct Spot {
    directory: u32,
    name: alloc::vec::Vec<u8>,
}

impl<'a> Vfs<'a> {
    /// Makes a file.
    ///
    /// # Errors
    /// Those of paths; `EEXIST`, `ENOSPC`, `EACCES` in `/proc`, `EMLINK`.
    pub fn make(
        &mut self,
        start: Node,
        path: &[u8],
        new: New<'_>,
        mode: u16,
        caller: &Caller<'_>,
    ) -> Result<Node, Errno> {
        if let New::Symlink(target) = new {
            if target.is_empty() {
                return Err(Errno::NO_ENTRY);
            }
            if target.len() >= PATH_MAX {
                return Err(Errno::NAME_TOO_LONG);
            }
        }
        let place = self.walk(start, path, Follow::Never, caller)?;
        let spot = self.free_spot(place, new == New::Directory)?;
        self.make_at(&spot, new, mode, caller).map(Node::Tree)
    }

    /// The place of a name that nothing has yet.
    fn free_spot(&self, place: Place, may_end_in_slash: bool) -> Result<Spot, Errno> {
        let Last::Name(name) = place.last else {
            return Err(Errno::EXISTS);
        };
        if place.node?.is_some() {
            return Err(Errno::EXISTS);
        }
        if place.slash && !may_end_in_slash {
            return Err(Errno::NO_ENTRY);
        }
        let directory = self.writable(place.directory)?;
        if self.inode(directory)?.links == 0 {
            return Err(Errno::NO_ENTRY);
        }
        Ok(Spot { directory, name })
    }

    /// The directory's number, if names in it can change.
    fn writable(&self, directory: Node) -> Result<u32, Errno> {
        match directory {
            Node::Tree(number) => Ok(number),
            Node::Proc(_) => Err(Errno::ACCESS),
        }
    }

    /// An empty file at the place of an open that creates.
    pub(super) fn make_file(&mut self, place: Place, mode: u16, caller: &Caller<'_>) -> Result<u32, Errno> {
        let spot = self.free_spot(place, false)?;
        self.make_at(&spot, New::File, mode, caller)
    }

    fn make_at(&mut self, spot: &Spot, new: New<'_>, mode: u16, caller: &Caller<'_>) -> Result<u32, Errno> {
        let cost = spot.name.len() + NAME_COST;
        let more = match new {
            New::Symlink(target) => target.len() + NAME_COST,
            _ => 0,
        };
        let left = self.names_left.checked_sub(cost + more).ok_or(Errno::NO_SPACE)?;
        if new == New::Directory && self.inode(spot.directory)?.links >= MAX_LINKS {
            return Err(Errno::TOO_MANY_LINKS);
        }
        let permissions = mode & 0o7777 & !caller.umask;
        let inode = match new {
            New::Directory => Inode::directory(permissions & 0o1777, spot.directory, caller.now),
            New::File => Inode::new(Body::File(Default::default()), permissions, caller.now),
            New::Symlink(target) => Inode::new(Body::Symlink(target.into()), 0o777, caller.now),
            New::Device(number) => Inode::new(Body::Device(number), permissions, caller.now),
        };
        let number = self.inodes.insert(inode).ok_or(Errno::NO_SPACE)?;
        self.names_left = left;
        self.directory_mut(spot.directory)?.set(&spot.name, number);
        let above = self.inode_mut(spot.directory)?;
        above.touch(caller.now);
        if new == New::Directory {
            above.links += 1;
        }
        Ok(number)
    }

    /// Gives `existing` one more name.
    ///
    /// # Errors
    /// Those of paths; `EEXIST`, `EPERM` for a directory, `EXDEV`, `ENOSPC`, `EMLINK`, `ENOENT` if it has lost its
    /// last one.
    pub fn link(
        &mut self,
        existing: Node,
        start: Node,
        path: &[u8],
        caller: &Caller<'_>,
    ) -> Result<(), Errno> {
        let place = self.walk(start, path, Follow::Never, caller)?;
        let spot = match (self.free_spot(place, false), existing) {
            (Err(Errno::ACCESS), Node::Tree(_)) => return Err(Errno::CROSS_DEVICE),
            (spot, _) => spot?,
        };
        let Node::Tree(number) = existing else {
            return Err(Errno::CROSS_DEVICE);
        };
        let inode = self.inode(number)?;
        match (&inode.body, inode.links) {
            (Body::Directory(_), _) => return Err(Errno::NOT_PERMITTED),
            (_, 0) => return Err(Errno::NO_ENTRY),
            (_, MAX_LINKS..) => return Err(Errno::TOO_MANY_LINKS),
            _ => {}
        }
        let cost = spot.name.len() + NAME_COST;
        self.names_left = self.names_left.checked_sub(cost).ok_or(Errno::NO_SPACE)?;
        self.directory_mut(spot.directory)?.set(&spot.name, number);
        self.inode_mut(spot.directory)?.touch(caller.now);
        let inode = self.inode_mut(number)?;
        inode.links += 1;
        inode.changed = caller.now;
        Ok(())
    }

    /// Takes the name of a file away that is no directory.
    ///
    /// # Errors
    /// Those of paths; `EISDIR`, `EPERM` in `/proc`.
    pub fn unlink(
        &mut self,
        start: Node,
        path: &[u8],
        caller: &Caller<'_>,
        store: &mut dyn PageStore,
    ) -> Result<(), Errno> {
        let place = self.walk(start, path, Follow::Never, caller)?;
        let Last::Name(name) = place.last else {
            return Err(Errno::IS_DIRECTORY);
        };
        let node = place.node?.ok_or(Errno::NO_ENTRY)?;
        if self.is_directory(node) {
            return Err(Errno::IS_DIRECTORY);
        }
        if place.slash {
            return Err(Errno::NOT_DIRECTORY);
        }
        let (Node::Tree(directory), Node::Tree(number)) = (place.directory, node) else {
            return Err(Errno::NOT_PERMITTED);
        };
        self.remove_name(directory, &name, caller.now);
        self.lose_link(number, caller.now, store)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// Those of paths; `ENOTEMPTY`, `EBUSY` for the root and for `/proc`, `EPERM` in `/proc`.
    pub fn remove_directory(
        &mut self,
        start: Node,
        path: &[u8],
        caller: &Caller<'_>,
        store: &mut dyn PageStore,
    ) -> Result<(), Errno> {
        let place = self.walk(start, path, Follow::Never, caller)?;
        let name = match place.last {
            Last::Name(name) => name,
            Last::Dot => return Err(Errno::INVALID),
            Last::DotDot => return Err(Errno::NOT_EMPTY),
            Last::Root => return Err(Errno::BUSY),
        };
        let node = place.node?.ok_or(Errno::NO_ENTRY)?;
        if !self.is_directory(node) {
            return Err(Errno::NOT_DIRECTORY);
        }
        match (place.directory, node) {
            (Node::Tree(directory), Node::Tree(number)) => {
                if !self.directory(number)?.is_empty() {
                    return Err(Errno::NOT_EMPTY);
                }
                self.remove_name(directory, &name, caller.now);
                self.lose_directory(directory, number, caller.now, store)
            }
            (Node::Tree(_), Node::Proc(_)) => Err(Errno::BUSY),
            _ => Err(Errno::NOT_PERMITTED),
        }
    }

    /// Moves a name.
    ///
    /// # Errors
    /// Those of paths; `EXDEV`, `EBUSY`, `EINVAL` into its own subtree, `ENOTEMPTY`, `EISDIR`, `EEXIST`, `ENOSPC`.
    pub fn rename(
        &mut self,
        (old_start, old_path): (Node, &[u8]),
        (new_start, new_path): (Node, &[u8]),
        replace: Replace,
        caller: &Caller<'_>,
        store: &mut dyn PageStore,
    ) -> Result<(), Errno> {
        let old = self.walk(old_start, old_path, Follow::Never, caller)?;
        let new = self.walk(new_start, new_path, Follow::Never, caller)?;
        let (Node::Tree(old_directory), Node::Tree(new_directory)) = (old.directory, new.directory) else {
            return Err(Errno::CROSS_DEVICE);
        };
        let Last::Name(old_name) = old.last else {
            return Err(Errno::BUSY);
        };
        let Last::Name(new_name) = new.last else {
            return Err(match replace {
                Replace::Allowed => Errno::BUSY,
                Replace::Refused => Errno::EXISTS,
            });
        };
        let moved = old.node?.ok_or(Errno::NO_ENTRY)?;
        let target = new.node?;
        if replace == Replace::Refused && target.is_some() {
            return Err(Errno::EXISTS);
        }
        if !self.is_directory(moved) && (old.slash || new.slash) {
            return Err(Errno::NOT_DIRECTORY);
        }
        let Node::Tree(number) = moved else {
            return Err(Errno::BUSY);
        };
        let old_spot = Spot {
            directory: old_directory,
            name: old_name,
        };
        let new_spot = Spot {
            directory: new_directory,
            name: new_name,
        };
        self.check_loops(number, &old_spot, &new_spot, target)?;
        if target == Some(moved) {
            return Ok(());
        }
        self.check_replaced(moved, target)?;
        self.move_name(number, &old_spot, &new_spot, caller, store)
    }

    /// Refuses to move a directory below itself, or over one that it lies in.
    fn check_loops(&self, number: u32, old: &Spot, new: &Spot, target: Option<Node>) -> Result<(), Errno> {
        if self.lies_in(new.directory, number) {
            return Err(Errno::INVALID);
        }
        match target {
            Some(Node::Tree(target)) if self.lies_in(old.directory, target) => Err(Errno::NOT_EMPTY),
            _ => Ok(()),
        }
    }

    fn check_replaced(&self, moved: Node, target: Option<Node>) -> Result<(), Errno> {
        let Some(target) = target else { return Ok(()) };
        match (self.is_directory(moved), self.is_directory(target)) {
            (true, false) => return Err(Errno::NOT_DIRECTORY),
            (false, true) => return Err(Errno::IS_DIRECTORY),
            _ => {}
        }
        let Node::Tree(target) = target else {
            return Err(Errno::BUSY);
        };
        match self.directory(target) {
            Ok(directory) if !directory.is_empty() => Err(Errno::NOT_EMPTY),
            _ => Ok(()),
        }
    }

    fn move_name(
        &mut self,
        number: u32,
        old: &Spot,
        new: &Spot,
        caller: &Caller<'_>,
        store: &mut dyn PageStore,
    ) -> Result<(), Errno> {
        if self.inode(new.directory)?.links == 0 {
            return Err(Errno::NO_ENTRY);
        }
        let is_directory = self.directory(number).is_ok();
        let replaced = self.directory(new.directory)?.find(&new.name);
        // What is left of the names' bytes when the old name has gone and the new one, if it is one, is there.
        let left = match replaced {
            Some(_) => self.names_left + old.name.len() + NAME_COST,
            None => (self.names_left + old.name.len())
                .checked_sub(new.name.len())
                .ok_or(Errno::NO_SPACE)?,
        };
        let now = caller.now;
        self.remove_name(old.directory, &old.name, now);
        self.names_left = left;
        self.directory_mut(new.directory)?.set(&new.name, number);
        self.inode_mut(new.directory)?.touch(now);
        self.inode_mut(number)?.changed = now;
        if is_directory {
            self.directory_mut(number)?.parent = new.directory;
            let above = self.inode_mut(old.directory)?;
            above.links = above.links.saturating_sub(1);
            self.inode_mut(new.directory)?.links += 1;
        }
        match replaced {
            Some(replaced) if is_directory => self.lose_directory(new.directory, replaced, now, store),
            Some(replaced) => self.lose_link(replaced, now, store),
            None => Ok(()),
        }
    }

    /// Whether `directory` is `ancestor` or lies somewhere in it.
    fn lies_in(&self, directory: u32, ancestor: u32) -> bool {
        let mut number = directory;
        loop {
            if number == ancestor {
                return true;
            }
            match self
                .directory(number)
                .map(|directory: &Directory| directory.parent)
            {
                Ok(parent) if parent != number => number = parent,
                _ => return false,
            }
        }
    }

    fn remove_name(&mut self, directory: u32, name: &[u8], now: u64) {
        let Ok(inode) = self.inode_mut(directory) else {
            return;
        };
        inode.touch(now);
        if let Body::Directory(directory) = &mut inode.body
            && directory.remove(name).is_some()
        {
            self.names_left += name.len() + NAME_COST;
        }
    }

    fn lose_link(&mut self, number: u32, now: u64, store: &mut dyn PageStore) -> Result<(), Errno> {
        let inode = self.inode_mut(number)?;
        inode.links = inode.links.saturating_sub(1);
        inode.changed = now;
        self.forget_if_unused(number, store);
        Ok(())
    }

    /// What becomes of an empty directory that has lost its name. While it is used, it keeps the one above it.
    fn lose_directory(
        &mut self,
        above: u32,
        number: u32,
        now: u64,
        store: &mut dyn PageStore,
    ) -> Result<(), Errno> {
        let upper = self.inode_mut(above)?;
        upper.links = upper.links.saturating_sub(1);
        upper.uses += 1;
        let inode = self.inode_mut(number)?;
        inode.links = 0;
        inode.changed = now;
        if self.forget_if_unused(number, store).is_some() {
            self.inode_mut(above)?.uses -= 1;
        }
        Ok(())
    }
}
