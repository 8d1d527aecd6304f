//! The names in a directory.
//!
//! Every name has a cookie, larger than those before it: a program that reads a directory and deletes what it has read
//! neither misses a name nor sees one twice.
use alloc::boxed::Box;
use alloc::vec::Vec;

/// A name and what it stands for.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Box<[u8]>,
    pub(super) inode: u32,
    pub(super) cookie: u32,
}

/// A directory; its entries are sorted by name.
#[derive(Debug)]
pub(super) struct Directory {
    entries: Vec<Entry>,
    next_cookie: u32,
    /// The directory above.
    pub(super) parent: u32,
}

/// Cookies below this one are `.` and `..`.
pub(super) const FIRST_COOKIE: u32 = 2;

impl Directory {
    pub(super) const fn new(parent: u32) -> Self {
        Self {
            entries: Vec::new(),
            next_cookie: FIRST_COOKIE,
            parent,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn find(&self, name: &[u8]) -> Option<u32> {
        let at = self.position(name).ok()?;
        self.entries.get(at).map(|entry| entry.inode)
    }

    /// The name of `inode` here, if it has one.
    pub(super) fn name_of(&self, inode: u32) -> Option<&[u8]> {
        let entry = self.entries.iter().find(|entry| entry.inode == inode)?;
        Some(&entry.name)
    }

    /// Lets `name` stand for `inode`; what it stood for before.
    pub(super) fn set(&mut self, name: &[u8], inode: u32) -> Option<u32> {
        match self.position(name) {
            Ok(at) => {
                let entry = self.entries.get_mut(at)?;
                Some(core::mem::replace(&mut entry.inode, inode))
            }
            Err(at) => {
                let cookie = self.new_cookie();
                let name = name.into();
                self.entries.insert(at, Entry { name, inode, cookie });
                None
            }
        }
    }

    /// Takes a name away; what it stood for.
    pub(super) fn remove(&mut self, name: &[u8]) -> Option<u32> {
        let at = self.position(name).ok()?;
        Some(self.entries.remove(at).inode)
    }

    /// All entries whose cookie is `first` or above, in the order of their cookies.
    pub(super) fn since_cookie(&self, first: u32) -> impl Iterator<Item = &Entry> {
        let mut left: Vec<&Entry> = self
            .entries
            .iter()
            .filter(|entry| entry.cookie >= first)
            .collect();
        left.sort_unstable_by_key(|entry| entry.cookie);
        left.into_iter()
    }

    fn position(&self, name: &[u8]) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| (*entry.name).cmp(name))
    }

    fn new_cookie(&mut self) -> u32 {
        if self.next_cookie == u32::MAX {
            self.renumber();
        }
        let cookie = self.next_cookie;
        self.next_cookie += 1;
        cookie
    }

    /// After four thousand million names: the numbers begin anew, in the same order.
    fn renumber(&mut self) {
        self.entries.sort_unstable_by_key(|entry| entry.cookie);
        self.next_cookie = FIRST_COOKIE;
        for entry in &mut self.entries {
            entry.cookie = self.next_cookie;
            self.next_cookie += 1;
        }
        self.entries
            .sort_unstable_by(|one, other| one.name.cmp(&other.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_deletes_what_it_has_read_reads_every_name_once() {
        let mut directory = Directory::new(0);
        for name in [b"c", b"a", b"d", b"b"] {
            assert_eq!(directory.set(name, name[0].into()), None);
        }
        let mut seen = Vec::new();
        let mut cookie = 0;
        loop {
            let next = directory.since_cookie(cookie).next();
            let Some((name, next)) = next.map(|entry| (entry.name.clone(), entry.cookie + 1)) else {
                break;
            };
            cookie = next;
            directory.remove(&name);
            seen.push(name[0]);
        }
        assert_eq!(seen, b"cadb");
        assert!(directory.is_empty());
    }

    #[test]
    fn the_numbers_of_names_never_run_out() {
        let mut directory = Directory::new(0);
        directory.set(b"b", 1);
        directory.set(b"a", 2);
        directory.next_cookie = u32::MAX;
        directory.set(b"c", 3);
        let order: Vec<u32> = directory.since_cookie(0).map(|entry| entry.inode).collect();
        assert_eq!(order, [1, 2, 3]);
        assert_eq!(directory.find(b"a"), Some(2));
    }
}
