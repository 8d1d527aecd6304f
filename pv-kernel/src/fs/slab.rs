//! Numbered things, as many as the kernel's heap is meant to hold.
use alloc::boxed::Box;
use alloc::vec::Vec;

/// A table with a fixed number of places.
#[derive(Debug)]
pub(super) struct Slab<T> {
    places: Vec<Option<Box<T>>>,
    limit: usize,
    used: usize,
}

impl<T> Slab<T> {
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            places: Vec::new(),
            limit,
            used: 0,
        }
    }

    /// Puts `thing` in the first free place, if there is one; its number.
    pub(super) fn insert(&mut self, thing: T) -> Option<u32> {
        if self.used >= self.limit {
            return None;
        }
        let free = if self.used == self.places.len() {
            self.places.push(None);
            self.places.len() - 1
        } else {
            self.places.iter().position(Option::is_none)?
        };
        *self.places.get_mut(free)? = Some(Box::new(thing));
        self.used += 1;
        u32::try_from(free).ok()
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.places.get(number as usize)?.as_deref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.places.get_mut(number as usize)?.as_deref_mut()
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        let thing = self.places.get_mut(number as usize)?.take()?;
        self.used -= 1;
        Some(*thing)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().filter_map(|place| place.as_deref())
    }

    /// How many places are taken.
    pub(super) const fn used(&self) -> usize {
        self.used
    }

    /// How many there are at most.
    pub(super) const fn limit(&self) -> usize {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_once_and_again_when_they_are_free() {
        let mut slab = Slab::new(2);
        assert_eq!((slab.insert('a'), slab.insert('b')), (Some(0), Some(1)));
        assert_eq!(slab.insert('c'), None);
        assert_eq!(slab.remove(0), Some('a'));
        assert_eq!((slab.remove(0), slab.get(0)), (None, None));
        assert_eq!(slab.insert('c'), Some(0));
        assert_eq!((slab.get(0), slab.used()), (Some(&'c'), 2));
    }
}
