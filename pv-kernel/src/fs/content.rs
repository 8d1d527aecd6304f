//! The bytes of a regular file.
//!
//! A page of the file is a frame of its own once it has been written; until then it is what the archive has there, or
//! zeros. The frames are found by a tree whose nodes are frames too, 512 entries each, so that a file costs the
//! kernel's heap nothing however large it is:
//!
//! ```text
//! height 0: the root is page 0         height 1: the root's entries are pages 0 to 511       and so on, to height 3
//! ```
//! Invariants: no byte past the size is anything but 0, in a frame as in the archive's part; an entry is 0 or a frame
//! number plus 1; a tree without a page has no frame at all.
use crate::addr::Pfn;
use crate::errno::Errno;
use crate::fs::store::PageStore;
use abi::layout::PAGE_SIZE;

const PAGE: usize = PAGE_SIZE as usize;
/// Entries of a node, as a power of two.
const FANOUT_SHIFT: u32 = 9;
const FANOUT: usize = 1 << FANOUT_SHIFT;
const MAX_HEIGHT: u32 = 3;
/// Largest size of a file, in bytes: what a tree of the greatest height holds.
pub const MAX_SIZE: u64 = PAGE_SIZE << (FANOUT_SHIFT * MAX_HEIGHT);
/// Most frames that one new page can need: itself, the nodes above it, and the nodes above those that are there.
const MOST_NEW_FRAMES: u64 = 2 * MAX_HEIGHT as u64 + 1;

/// The content of a file.
#[derive(Debug, Default)]
pub struct Content<'a> {
    size: u64,
    archived: &'a [u8],
    root: Option<Pfn>,
    height: u32,
    frames: u64,
}

impl<'a> Content<'a> {
    /// A file with these bytes of the archive, which cost no frame.
    #[must_use]
    pub fn archived(bytes: &'a [u8]) -> Self {
        Self {
            size: bytes.len() as u64,
            archived: bytes,
            ..Self::default()
        }
    }

    /// Bytes from the first to the last.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// How many frames it holds, the tree's nodes included.
    #[must_use]
    pub const fn frames(&self) -> u64 {
        self.frames
    }

    /// The whole file as one slice, where it is still what the archive has.
    #[must_use]
    pub fn as_archived(&self) -> Option<&'a [u8]> {
        (self.root.is_none() && self.archived.len() as u64 == self.size).then_some(self.archived)
    }

    /// Copies the bytes from `at` on into `buffer`; how many there were.
    pub fn read(&self, store: &mut dyn PageStore, at: u64, buffer: &mut [u8]) -> usize {
        let left = usize::try_from(self.size.saturating_sub(at)).unwrap_or(usize::MAX);
        let count = left.min(buffer.len());
        let mut rest = buffer.get_mut(..count).unwrap_or(&mut []);
        let mut position = at;
        while !rest.is_empty() {
            let within = (position % PAGE_SIZE) as usize;
            let length = rest.len().min(PAGE - within);
            let (now, later) = rest.split_at_mut(length);
            match self.find(store, position / PAGE_SIZE) {
                Some(frame) => {
                    let source = store.page(frame).get(within..within + length);
                    now.copy_from_slice(source.unwrap_or(&[0; PAGE][..length]));
                }
                None => copy_or_zero(now, self.archived, position),
            }
            position += length as u64;
            rest = later;
        }
        count
    }

    /// Puts `bytes` at `at`; how many, which is fewer than asked for when the frames run out on the way.
    ///
    /// # Errors
    /// `ENOSPC`, `EFBIG`; nothing has changed.
    pub fn write(&mut self, store: &mut dyn PageStore, at: u64, bytes: &[u8]) -> Result<usize, Errno> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let room = MAX_SIZE.checked_sub(at).filter(|room| *room > 0);
        let room = usize::try_from(room.ok_or(Errno::FILE_TOO_LARGE)?).unwrap_or(usize::MAX);
        let bytes = bytes.get(..room).unwrap_or(bytes);
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let position = at + done as u64;
            let within = (position % PAGE_SIZE) as usize;
            let length = rest.len().min(PAGE - within);
            let frame = match self.make(store, position / PAGE_SIZE) {
                Ok(frame) => frame,
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            };
            let target = store.page(frame).get_mut(within..within + length);
            if let (Some(target), Some(source)) = (target, rest.get(..length)) {
                target.copy_from_slice(source);
            }
            done += length;
            self.size = self.size.max(position + length as u64);
        }
        Ok(done)
    }

    /// Cuts the file off at `size`, or lets zeros follow up to there.
    ///
    /// # Errors
    /// `EFBIG`; nothing has changed.
    pub fn set_size(&mut self, store: &mut dyn PageStore, size: u64) -> Result<(), Errno> {
        if size > MAX_SIZE {
            return Err(Errno::FILE_TOO_LARGE);
        }
        if size < self.size {
            let kept = usize::try_from(size).unwrap_or(usize::MAX);
            self.archived = self.archived.get(..kept).unwrap_or(self.archived);
            self.cut(store, size.div_ceil(PAGE_SIZE));
            let within = (size % PAGE_SIZE) as usize;
            if within > 0
                && let Some(frame) = self.find(store, size / PAGE_SIZE)
                && let Some(tail) = store.page(frame).get_mut(within..)
            {
                tail.fill(0);
            }
        }
        self.size = size;
        Ok(())
    }

    /// Gives back every frame; the file is empty then.
    pub fn clear(&mut self, store: &mut dyn PageStore) {
        self.cut(store, 0);
        (self.size, self.archived) = (0, &[]);
    }

    /// The first position from `at` on that is, or is not, in a page that was written or archived; the end of the
    /// file counts as a hole.
    pub fn next(&self, store: &mut dyn PageStore, at: u64, wanted: Extent) -> Option<u64> {
        let mut position = at;
        while position < self.size {
            let page = position / PAGE_SIZE;
            let in_archive = page * PAGE_SIZE < self.archived.len() as u64;
            let found = self.locate(store, page);
            if (in_archive || found.is_ok()) == (wanted == Extent::Data) {
                return Some(position);
            }
            let next = match found {
                Err(next) if !in_archive => next,
                _ => page + 1,
            };
            position = next.saturating_mul(PAGE_SIZE);
        }
        (wanted == Extent::Hole && at < self.size).then_some(self.size)
    }

    /// How many pages a tree of this height can have.
    const fn reach(&self) -> u64 {
        if self.root.is_some() {
            1 << (FANOUT_SHIFT * self.height)
        } else {
            0
        }
    }

    /// The frame of page `index`, if it has one.
    fn find(&self, store: &mut dyn PageStore, index: u64) -> Option<Pfn> {
        self.locate(store, index).ok()
    }

    /// The frame of page `index`; if it has none, the next page that may have one.
    fn locate(&self, store: &mut dyn PageStore, index: u64) -> Result<Pfn, u64> {
        let mut frame = self.root.filter(|_| index < self.reach()).ok_or(u64::MAX)?;
        for level in (0..self.height).rev() {
            let share = 1u64 << (FANOUT_SHIFT * level);
            frame = entry(store, frame, slot(index, level)).ok_or((index / share + 1) * share)?;
        }
        Ok(frame)
    }

    /// The frame of page `index`, which gets one if it has none.
    fn make(&mut self, store: &mut dyn PageStore, index: u64) -> Result<Pfn, Errno> {
        if let Some(frame) = self.find(store, index) {
            return Ok(frame);
        }
        // With so many free, nothing below can fail half-way.
        if store.free() < MOST_NEW_FRAMES {
            return Err(Errno::NO_SPACE);
        }
        while index >= 1 << (FANOUT_SHIFT * self.height) {
            if let Some(root) = self.root {
                let node = self.take(store)?;
                set_entry(store, node, 0, Some(root));
                self.root = Some(node);
            }
            self.height += 1;
        }
        let mut frame = match self.root {
            Some(root) => root,
            None => *self.root.insert(take(store, &mut self.frames)?),
        };
        for level in (0..self.height).rev() {
            frame = match entry(store, frame, slot(index, level)) {
                Some(child) => child,
                None => {
                    let child = self.take(store)?;
                    set_entry(store, frame, slot(index, level), Some(child));
                    child
                }
            };
        }
        copy_or_zero(store.page(frame), self.archived, index * PAGE_SIZE);
        Ok(frame)
    }

    fn take(&mut self, store: &mut dyn PageStore) -> Result<Pfn, Errno> {
        take(store, &mut self.frames)
    }

    /// Gives back the pages from `first` on, and the nodes that have none left.
    fn cut(&mut self, store: &mut dyn PageStore, first: u64) {
        if let Some(root) = self.root
            && prune(store, &mut self.frames, root, self.height, first) == Pruned::Empty
        {
            (self.root, self.height) = (None, 0);
        }
    }
}

/// What [`Content::next`] looks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    /// Pages that are there.
    Data,
    /// Pages that are not.
    Hole,
}

#[derive(PartialEq, Eq)]
enum Pruned {
    Kept,
    Empty,
}

/// Gives back what lies in the tree below `frame` from page `first` of it on; the frame itself, if nothing is left.
fn prune(store: &mut dyn PageStore, frames: &mut u64, frame: Pfn, height: u32, first: u64) -> Pruned {
    let mut left = false;
    if height == 0 {
        left = first > 0;
    } else {
        let share = 1u64 << (FANOUT_SHIFT * (height - 1));
        for index in 0..FANOUT {
            let Some(child) = entry(store, frame, index) else {
                continue;
            };
            let first_of_child = first.saturating_sub(index as u64 * share);
            let pruned = if first_of_child >= share {
                Pruned::Kept
            } else {
                prune(store, frames, child, height - 1, first_of_child)
            };
            match pruned {
                Pruned::Kept => left = true,
                Pruned::Empty => set_entry(store, frame, index, None),
            }
        }
    }
    if left {
        return Pruned::Kept;
    }
    store.release(frame);
    *frames = frames.saturating_sub(1);
    Pruned::Empty
}

fn take(store: &mut dyn PageStore, frames: &mut u64) -> Result<Pfn, Errno> {
    let frame = store.take().map_err(|_| Errno::NO_SPACE)?;
    *frames += 1;
    Ok(frame)
}

/// Which entry of a node that many levels above the pages leads to page `index`.
const fn slot(index: u64, level: u32) -> usize {
    (index >> (FANOUT_SHIFT * level)) as usize % FANOUT
}

fn entry(store: &mut dyn PageStore, node: Pfn, index: usize) -> Option<Pfn> {
    let word = store.page(node).get(index * 8..)?.first_chunk()?;
    u64::from_le_bytes(*word).checked_sub(1).map(Pfn)
}

fn set_entry(store: &mut dyn PageStore, node: Pfn, index: usize, frame: Option<Pfn>) {
    let word = frame.map_or(0, |frame| frame.0 + 1);
    if let Some(bytes) = store.page(node).get_mut(index * 8..index * 8 + 8) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
}

/// Fills `target` with the bytes of `source` from `at` on, and zeros after its end.
fn copy_or_zero(target: &mut [u8], source: &[u8], at: u64) {
    let source = usize::try_from(at).ok().and_then(|at| source.get(at..));
    let source = source.unwrap_or(&[]);
    let count = source.len().min(target.len());
    let (bytes, zeros) = target.split_at_mut(count);
    bytes.copy_from_slice(source.get(..count).unwrap_or(&[]));
    zeros.fill(0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::store::tests::Shelf;
    use proptest::prelude::*;

    #[test]
    fn a_page_of_the_archive_costs_a_frame_when_it_is_written_and_no_other_does() {
        let mut store = Shelf::new(20);
        let archive = [7; 3 * PAGE + 5];
        let mut content = Content::archived(&archive);
        assert_eq!(content.as_archived(), Some(&archive[..]));
        content.write(&mut store, PAGE_SIZE + 1, b"x").unwrap();
        // The page and the node above it.
        assert_eq!((store.used(), content.frames()), (2, 2));
        let mut read = vec![0; archive.len() + 10];
        assert_eq!(content.read(&mut store, 0, &mut read), archive.len());
        let mut expected = archive;
        expected[PAGE + 1] = b'x';
        assert_eq!(read[..archive.len()], expected);
        content.clear(&mut store);
        assert_eq!((store.used(), content.size()), (0, 0));
    }

    #[test]
    fn a_cut_file_that_grows_again_holds_zeros_there() {
        let mut store = Shelf::new(20);
        let mut content = Content::archived(&[7; 100]);
        content.set_size(&mut store, 10).unwrap();
        content.set_size(&mut store, 50).unwrap();
        let mut read = [1; 60];
        assert_eq!(content.read(&mut store, 0, &mut read), 50);
        assert_eq!(read[..10], [7; 10]);
        assert_eq!(read[10..50], [0; 40]);
    }

    #[test]
    fn a_byte_at_the_very_end_costs_four_frames() {
        let mut store = Shelf::new(20);
        let mut content = Content::default();
        assert_eq!(content.write(&mut store, MAX_SIZE - 1, b"xy"), Ok(1));
        assert_eq!((content.size(), store.used()), (MAX_SIZE, 4));
        assert_eq!(
            content.write(&mut store, MAX_SIZE, b"x"),
            Err(Errno::FILE_TOO_LARGE)
        );
        assert_eq!(
            content.next(&mut store, 5, Extent::Hole),
            Some(5),
            "a file begins with its hole"
        );
        assert_eq!(
            content.next(&mut store, 5, Extent::Data),
            Some(MAX_SIZE - PAGE_SIZE),
            "found without a look at every page of the hole"
        );
        content.set_size(&mut store, 1).unwrap();
        assert_eq!(store.used(), 0);
    }

    #[test]
    fn a_write_without_frames_changes_nothing_and_a_long_one_stops_on_the_way() {
        let mut store = Shelf::new(MOST_NEW_FRAMES + 2);
        let mut content = Content::default();
        let done = content.write(&mut store, 0, &[1; 20 * PAGE]).unwrap();
        assert_eq!(done % PAGE, 0);
        assert_eq!(content.size(), done as u64);
        let used = store.used();
        assert_eq!(content.write(&mut store, done as u64, b"x"), Err(Errno::NO_SPACE));
        assert_eq!(store.used(), used);
        assert_eq!(
            content.write(&mut store, 0, b"x"),
            Ok(1),
            "what is there can be written"
        );
    }

    #[test]
    fn data_and_holes_are_told_apart() {
        let mut store = Shelf::new(20);
        let mut content = Content::archived(&[7; 10]);
        content.write(&mut store, 2 * PAGE_SIZE, b"x").unwrap();
        assert_eq!(content.next(&mut store, 3, Extent::Data), Some(3));
        assert_eq!(content.next(&mut store, 3, Extent::Hole), Some(PAGE_SIZE));
        assert_eq!(
            content.next(&mut store, PAGE_SIZE, Extent::Data),
            Some(2 * PAGE_SIZE)
        );
        assert_eq!(
            content.next(&mut store, 2 * PAGE_SIZE, Extent::Hole),
            Some(2 * PAGE_SIZE + 1)
        );
        assert_eq!(content.next(&mut store, 3 * PAGE_SIZE, Extent::Hole), None);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Write(u64, usize, u8),
        SetSize(u64),
        Read(u64, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let at = prop_oneof![0u64..3 * PAGE_SIZE, Just(600 * PAGE_SIZE), 0u64..2000 * PAGE_SIZE];
        prop_oneof![
            (at.clone(), 0usize..2 * PAGE, any::<u8>())
                .prop_map(|(at, length, byte)| Step::Write(at, length, byte)),
            at.clone().prop_map(Step::SetSize),
            (at, 0usize..2 * PAGE).prop_map(|(at, length)| Step::Read(at, length)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_file_is_what_a_vector_of_bytes_says(
            archived in 0usize..2 * PAGE, steps in prop::collection::vec(step(), 1..20),
        ) {
            let archive = vec![9; archived];
            let mut model = archive.clone();
            let mut store = Shelf::new(400);
            let mut content = Content::archived(&archive);
            for step in steps {
                match step {
                    Step::Write(at, length, byte) => {
                        let done = content.write(&mut store, at, &vec![byte; length]).unwrap();
                        prop_assert_eq!(done, length);
                        let end = at as usize + length;
                        if length > 0 {
                            model.resize(model.len().max(end), 0);
                            model[at as usize..end].fill(byte);
                        }
                    }
                    Step::SetSize(size) => {
                        content.set_size(&mut store, size).unwrap();
                        model.resize(size as usize, 0);
                    }
                    Step::Read(at, length) => {
                        let mut buffer = vec![1; length];
                        let count = content.read(&mut store, at, &mut buffer);
                        let expected = model.get(at as usize..).unwrap_or(&[]);
                        let expected = &expected[..expected.len().min(length)];
                        prop_assert_eq!(&buffer[..count], expected);
                    }
                }
                prop_assert_eq!(content.size(), model.len() as u64);
                prop_assert_eq!(content.frames(), store.used() as u64);
            }
            content.clear(&mut store);
            prop_assert_eq!(store.used(), 0);
        }
    }
}
