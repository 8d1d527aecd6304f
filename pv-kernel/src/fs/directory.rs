//! The names in a directory.
//!
//! Every name has a cookie, larger than those before it: a program that reads a directory and deletes what it has read
//! neither misses a name nor sees one twice. The names are in a tree, so that a directory with few of them takes little of
//! the kernel's heap, however many it has had, and never much at once.
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::vec::Vec;

/// What a name stands for.
#[derive(Debug)]
struct Entry {
    inode: u32,
    cookie: u64,
}

/// A name and what it stands for; names are ordered by their cookies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Named<'d> {
    pub(super) cookie: u64,
    pub(super) name: &'d [u8],
    pub(super) inode: u32,
}

/// A directory.
#[derive(Debug)]
pub(super) struct Directory {
    entries: BTreeMap<Box<[u8]>, Entry>,
    next_cookie: u64,
    /// The directory above.
    pub(super) parent: u32,
}

/// Cookies below this one are `.` and `..`.
pub(super) const FIRST_COOKIE: u64 = 2;
/// Names that are put into order at once when a directory is read.
const BATCH: usize = 256;

impl Directory {
    pub(super) const fn new(parent: u32) -> Self {
        Self {
            entries: BTreeMap::new(),
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
        self.entries.get(name).map(|entry| entry.inode)
    }

    /// The name of `inode` here, if it has one.
    pub(super) fn name_of(&self, inode: u32) -> Option<&[u8]> {
        let mut entries = self.entries.iter();
        entries.find_map(|(name, entry)| (entry.inode == inode).then_some(&**name))
    }

    /// Lets `name` stand for `inode`; what it stood for before.
    pub(super) fn set(&mut self, name: &[u8], inode: u32) -> Option<u32> {
        if let Some(entry) = self.entries.get_mut(name) {
            return Some(core::mem::replace(&mut entry.inode, inode));
        }
        let cookie = self.next_cookie;
        self.next_cookie += 1;
        self.entries.insert(name.into(), Entry { inode, cookie });
        None
    }

    /// Takes a name away; what it stood for.
    pub(super) fn remove(&mut self, name: &[u8]) -> Option<u32> {
        self.entries.remove(name).map(|entry| entry.inode)
    }

    /// All names whose cookie is `first` or above, in the order of their cookies.
    pub(super) fn since_cookie(&self, first: u64) -> impl Iterator<Item = Named<'_>> {
        let mut from = first;
        let batches = core::iter::from_fn(move || {
            let batch = self.lowest(from);
            from = batch.last()?.cookie + 1;
            Some(batch)
        });
        batches.flatten()
    }

    /// The names with the lowest cookies from `from` on, in order: as many as are put into order at once.
    fn lowest(&self, from: u64) -> Vec<Named<'_>> {
        let mut lowest = BinaryHeap::with_capacity(BATCH);
        for (name, &Entry { inode, cookie }) in &self.entries {
            if cookie < from {
                continue;
            }
            let named = Named { cookie, name, inode };
            if lowest.len() < BATCH {
                lowest.push(named);
            } else if let Some(mut highest) = lowest.peek_mut()
                && named < *highest
            {
                *highest = named;
            }
        }
        lowest.into_sorted_vec()
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
            let Some((name, next)) = next.map(|named| (named.name.to_vec(), named.cookie + 1)) else {
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
    fn names_come_in_the_order_in_which_they_were_made_however_many_there_are() {
        let mut directory = Directory::new(0);
        let count = 3 * BATCH as u32 + 1;
        // Neither the order of the names nor its reverse.
        for number in 0..count {
            directory.set(&(number.wrapping_mul(0x9e37_79b9)).to_le_bytes(), number);
        }
        assert_eq!(directory.set(&0u32.to_le_bytes(), 0), Some(0));
        let order: Vec<u32> = directory.since_cookie(0).map(|named| named.inode).collect();
        assert_eq!(order, (0..count).collect::<Vec<_>>());
        let cookies: Vec<u64> = directory.since_cookie(300).map(|named| named.cookie).collect();
        assert_eq!(cookies.first(), Some(&300));
        assert_eq!(cookies.len() as u64, u64::from(count) + FIRST_COOKIE - 300);
    }
}
