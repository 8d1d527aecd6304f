//! A pipe: a ring of pages, each of which has a frame only while there are bytes in it.
//!
//! Invariants: the bytes lie from `head` on, `length` of them, around the ring; a page without bytes has no frame, but
//! for the first page of an empty pipe, which is kept: a pipe that goes back and forth takes no frame.
use crate::addr::Pfn;
use crate::errno::Errno;
use crate::fs::store::PageStore;
use abi::layout::PAGE_SIZE;

const PAGE: usize = PAGE_SIZE as usize;
const PAGES: usize = 16;
/// Bytes that a pipe holds, as on Linux.
pub const CAPACITY: usize = PAGES * PAGE;
/// A write of no more than so many bytes is never torn apart.
pub const ATOMIC: usize = 4096;

/// A pipe.
#[derive(Debug, Default)]
pub struct Pipe {
    pages: [Option<Pfn>; PAGES],
    head: usize,
    length: usize,
    /// Open files that can read it.
    pub(super) readers: u32,
    /// Open files that can write it.
    pub(super) writers: u32,
}

/// What a transfer came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transfer {
    /// So many bytes.
    Bytes(usize),
    /// None now; later, when the other end has done something.
    NotNow,
}

impl Pipe {
    /// An empty pipe with both its ends open.
    pub(super) fn open() -> Self {
        Self {
            readers: 1,
            writers: 1,
            ..Self::default()
        }
    }

    /// How many bytes can be read.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.length
    }

    /// How many frames it holds.
    pub(super) fn frames(&self) -> u64 {
        self.pages.iter().flatten().count() as u64
    }

    /// Whether a write that is not to be torn apart would be taken.
    #[must_use]
    pub const fn has_room(&self) -> bool {
        CAPACITY - self.length >= ATOMIC
    }

    /// Whether anyone can read it.
    #[must_use]
    pub const fn has_readers(&self) -> bool {
        self.readers > 0
    }

    /// Whether anyone can write it.
    #[must_use]
    pub const fn has_writers(&self) -> bool {
        self.writers > 0
    }

    /// Takes bytes out; 0 of them is the end: nobody can write any more.
    pub fn read(&mut self, store: &mut dyn PageStore, buffer: &mut [u8]) -> Transfer {
        if self.length == 0 && self.has_writers() && !buffer.is_empty() {
            return Transfer::NotNow;
        }
        let count = buffer.len().min(self.length);
        let mut rest = buffer.get_mut(..count).unwrap_or(&mut []);
        while !rest.is_empty() {
            let within = self.head % PAGE;
            let length = rest.len().min(PAGE - within);
            let (now, later) = rest.split_at_mut(length);
            if let Some(Some(frame)) = self.pages.get(self.head / PAGE)
                && let Some(bytes) = store.page(*frame).get(within..within + length)
            {
                now.copy_from_slice(bytes);
            }
            self.advance(store, length);
            rest = later;
        }
        Transfer::Bytes(count)
    }

    /// Puts bytes in: all of them or none if they are no more than [`ATOMIC`], else as many as there is room for.
    ///
    /// # Errors
    /// `EPIPE`: nobody can read them. `ENOMEM`: no frame for the first of them.
    pub fn write(&mut self, store: &mut dyn PageStore, bytes: &[u8]) -> Result<Transfer, Errno> {
        if !self.has_readers() {
            return Err(Errno::BROKEN_PIPE);
        }
        if bytes.is_empty() {
            return Ok(Transfer::Bytes(0));
        }
        let atomic = bytes.len() <= ATOMIC;
        let wanted = bytes.len().min(CAPACITY - self.length);
        if wanted == 0 || atomic && wanted < bytes.len() {
            return Ok(Transfer::NotNow);
        }
        let count = self.make_room(store, wanted);
        if count == 0 || atomic && count < wanted {
            self.trim(store);
            return Err(Errno::NO_MEMORY);
        }
        let mut rest = bytes.get(..count).unwrap_or(&[]);
        while !rest.is_empty() {
            let tail = (self.head + self.length) % CAPACITY;
            let within = tail % PAGE;
            let length = rest.len().min(PAGE - within);
            let (now, later) = rest.split_at(length);
            if let Some(Some(frame)) = self.pages.get(tail / PAGE)
                && let Some(target) = store.page(*frame).get_mut(within..within + length)
            {
                target.copy_from_slice(now);
            }
            self.length += length;
            rest = later;
        }
        Ok(Transfer::Bytes(count))
    }

    /// Gives back every frame.
    pub(super) fn clear(&mut self, store: &mut dyn PageStore) {
        for frame in self.pages.iter_mut().filter_map(Option::take) {
            store.release(frame);
        }
        (self.head, self.length) = (0, 0);
    }

    /// Gives frames to the pages that the next `wanted` bytes go to; for how many of them there is room.
    fn make_room(&mut self, store: &mut dyn PageStore, wanted: usize) -> usize {
        let mut room = 0;
        while room < wanted {
            let tail = (self.head + self.length + room) % CAPACITY;
            match self.pages.get_mut(tail / PAGE) {
                Some(Some(_)) => {}
                Some(page) => match store.take() {
                    Ok(frame) => *page = Some(frame),
                    Err(_) => break,
                },
                None => break,
            }
            room += PAGE - tail % PAGE;
        }
        room.min(wanted)
    }

    fn advance(&mut self, store: &mut dyn PageStore, length: usize) {
        self.length -= length;
        let page = self.head / PAGE;
        self.head = (self.head + length) % CAPACITY;
        let left_page = self.head / PAGE != page;
        if self.length == 0 {
            // The page that is kept becomes the first one.
            let kept = self.pages.get_mut(page).and_then(Option::take);
            self.clear(store);
            if let Some(first) = self.pages.first_mut() {
                *first = kept;
            }
        } else if left_page && !self.has_bytes_on(page) {
            self.give_back(store, page);
        }
    }

    /// Gives back frames that were taken for bytes that then did not come.
    fn trim(&mut self, store: &mut dyn PageStore) {
        for page in 0..PAGES {
            let is_kept = self.length == 0 && page == 0;
            if !is_kept && !self.has_bytes_on(page) {
                self.give_back(store, page);
            }
        }
    }

    fn give_back(&mut self, store: &mut dyn PageStore, page: usize) {
        if let Some(frame) = self.pages.get_mut(page).and_then(Option::take) {
            store.release(frame);
        }
    }

    fn has_bytes_on(&self, page: usize) -> bool {
        // Distance of the page's start from the head, around the ring; the page that the head is on begins before it.
        let from_head = (page * PAGE + CAPACITY - self.head) % CAPACITY;
        self.length > 0 && (page == self.head / PAGE || from_head < self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::store::tests::Shelf;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    #[test]
    fn the_last_writer_s_end_is_the_end_and_the_last_reader_s_is_an_error() {
        let mut store = Shelf::new(4);
        let mut pipe = Pipe::open();
        let mut buffer = [0; 8];
        assert_eq!(pipe.read(&mut store, &mut buffer), Transfer::NotNow);
        assert_eq!(pipe.write(&mut store, b"abc"), Ok(Transfer::Bytes(3)));
        pipe.writers = 0;
        assert_eq!(pipe.read(&mut store, &mut buffer), Transfer::Bytes(3));
        assert_eq!(pipe.read(&mut store, &mut buffer), Transfer::Bytes(0));
        pipe.readers = 0;
        assert_eq!(pipe.write(&mut store, b"abc"), Err(Errno::BROKEN_PIPE));
        pipe.clear(&mut store);
        assert_eq!(store.used(), 0);
    }

    #[test]
    fn a_short_write_is_never_torn_apart_and_a_long_one_takes_the_room_there_is() {
        let mut store = Shelf::new(20);
        let mut pipe = Pipe::open();
        let long = [1; CAPACITY + 1];
        assert_eq!(
            pipe.write(&mut store, &long[..CAPACITY - 100]),
            Ok(Transfer::Bytes(CAPACITY - 100))
        );
        assert_eq!(pipe.write(&mut store, &long[..ATOMIC]), Ok(Transfer::NotNow));
        assert_eq!(pipe.write(&mut store, &long[..=ATOMIC]), Ok(Transfer::Bytes(100)));
        assert_eq!(pipe.write(&mut store, &long), Ok(Transfer::NotNow));
        assert_eq!((pipe.length(), store.used()), (CAPACITY, PAGES));
    }

    #[test]
    fn a_pipe_that_goes_back_and_forth_keeps_one_frame() {
        let mut store = Shelf::new(1);
        let mut pipe = Pipe::open();
        let mut buffer = [0; 3000];
        for _ in 0..10 {
            assert_eq!(pipe.write(&mut store, &[5; 3000]), Ok(Transfer::Bytes(3000)));
            assert_eq!(pipe.read(&mut store, &mut buffer), Transfer::Bytes(3000));
        }
        assert_eq!(store.used(), 1);
        assert_eq!(pipe.write(&mut store, &[5; 4096]), Ok(Transfer::Bytes(4096)));
        assert_eq!(pipe.write(&mut store, &[5; 1]), Err(Errno::NO_MEMORY));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn a_pipe_is_a_queue_and_keeps_no_more_frames_than_its_bytes_need(
            frames in 3u64..20,
            steps in prop::collection::vec((any::<bool>(), 0usize..3 * PAGE, any::<u8>()), 1..100),
        ) {
            let mut store = Shelf::new(frames);
            let mut pipe = Pipe::open();
            let mut model = VecDeque::new();
            for (is_write, length, first) in steps {
                if is_write {
                    let bytes: Vec<u8> = (0..length).map(|at| first.wrapping_add(at as u8)).collect();
                    match pipe.write(&mut store, &bytes) {
                        Ok(Transfer::Bytes(count)) => {
                            prop_assert!(count == length || length > ATOMIC && count > 0);
                            model.extend(&bytes[..count]);
                        }
                        Ok(Transfer::NotNow) => prop_assert!(CAPACITY - model.len() < length.min(ATOMIC)),
                        Err(errno) => prop_assert!(errno == Errno::NO_MEMORY && frames < PAGES as u64),
                    }
                } else {
                    let mut buffer = vec![0; length];
                    match pipe.read(&mut store, &mut buffer) {
                        Transfer::Bytes(count) => {
                            let expected: Vec<u8> = model.drain(..length.min(model.len())).collect();
                            prop_assert_eq!(&buffer[..count], &expected[..]);
                        }
                        Transfer::NotNow => prop_assert!(model.is_empty() && length > 0),
                    }
                }
                prop_assert_eq!(pipe.length(), model.len());
                prop_assert!(store.used() <= model.len().div_ceil(PAGE) + 1);
            }
            pipe.clear(&mut store);
            prop_assert_eq!(store.used(), 0);
        }
    }
}
