//! Where the bytes of files and pipes lie: frames of the domain, none of the kernel's heap.
use crate::addr::Pfn;
use crate::machine::{Memory, Page};
use crate::mm::frames::{FrameTable, OutOfFrames};

/// Frames to keep bytes in.
pub trait PageStore {
    /// A frame full of zeros.
    ///
    /// # Errors
    /// [`OutOfFrames`].
    fn take(&mut self) -> Result<Pfn, OutOfFrames>;

    /// Gives a frame back that came from [`Self::take`].
    fn release(&mut self, frame: Pfn);

    /// The bytes of such a frame.
    fn page(&mut self, frame: Pfn) -> &mut Page;

    /// How many frames files may still take.
    fn free(&self) -> u64;
}

/// Of so many frames one is not for files: what fills them all leaves programs enough to clean up.
const PART_FOR_PROGRAMS: u64 = 16;

/// The domain's frames as a store.
#[derive(Debug)]
pub struct DomainFrames<'k, 'a, M> {
    /// What is in the frames.
    pub memory: &'k mut M,
    /// Which of them are free.
    pub frames: &'k mut FrameTable<'a>,
}

impl<M: Memory> PageStore for DomainFrames<'_, '_, M> {
    fn take(&mut self) -> Result<Pfn, OutOfFrames> {
        let frame = self.frames.take()?;
        self.memory.page(frame).fill(0);
        Ok(frame)
    }

    fn release(&mut self, frame: Pfn) {
        let released = self.frames.release(frame);
        debug_assert!(released.is_ok(), "{frame:?} was not in use");
    }

    fn page(&mut self, frame: Pfn) -> &mut Page {
        self.memory.page(frame)
    }

    fn free(&self) -> u64 {
        let reserve = self.frames.len() / PART_FOR_PROGRAMS;
        self.frames.free().saturating_sub(reserve)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Frames for the tests: what is given back twice, or used after that, is a panic.
    pub(crate) struct Shelf {
        pages: Vec<Box<Page>>,
        free: Vec<u64>,
    }

    impl Shelf {
        pub(crate) fn new(frames: u64) -> Self {
            Self {
                pages: (0..frames).map(|_| Box::new([0xee; 4096])).collect(),
                free: (0..frames).rev().collect(),
            }
        }

        pub(crate) fn used(&self) -> usize {
            self.pages.len() - self.free.len()
        }
    }

    impl PageStore for Shelf {
        fn take(&mut self) -> Result<Pfn, OutOfFrames> {
            let frame = self.free.pop().ok_or(OutOfFrames)?;
            self.pages[frame as usize].fill(0);
            Ok(Pfn(frame))
        }

        fn release(&mut self, frame: Pfn) {
            assert!(!self.free.contains(&frame.0), "{frame:?} is free already");
            self.pages[frame.0 as usize].fill(0xee);
            self.free.push(frame.0);
        }

        fn page(&mut self, frame: Pfn) -> &mut Page {
            &mut self.pages[frame.0 as usize]
        }

        fn free(&self) -> u64 {
            self.free.len() as u64
        }
    }
}
