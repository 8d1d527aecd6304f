//! The bytes that a program's pages come from.
//!
//! They stay as they are while anything of them may still be paged in: a file of the archive never changes, and of any
//! other one a copy is made, in frames that come back with its last user.
use crate::addr::Pfn;
use crate::machine::Memory;
use crate::mm::frames::FrameTable;
use abi::layout::PAGE_SIZE;
use alloc::rc::Rc;
use alloc::vec::Vec;

const PAGE: usize = PAGE_SIZE as usize;
/// Most pages of a copy: the list of them is in the kernel's heap.
pub const MAX_COPY_PAGES: u64 = 4096;

/// A program's file.
#[derive(Clone, Debug)]
pub struct ProgramFile<'a>(Source<'a>);

#[derive(Clone, Debug)]
enum Source<'a> {
    Archived(&'a [u8]),
    Copied(Rc<Copied>),
}

#[derive(Debug)]
struct Copied {
    size: u64,
    pages: Vec<Pfn>,
}

impl<'a> ProgramFile<'a> {
    /// A file of the archive.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(Source::Archived(bytes))
    }

    /// A copy of `size` bytes, in frames that are the file's from now on.
    #[must_use]
    pub fn copied(size: u64, pages: Vec<Pfn>) -> Self {
        Self(Source::Copied(Rc::new(Copied { size, pages })))
    }

    /// How many bytes it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &self.0 {
            Source::Archived(bytes) => bytes.len() as u64,
            Source::Copied(copied) => copied.size,
        }
    }

    /// Copies bytes from `offset` on; how many, fewer than asked for at the file's end.
    pub fn read_at(&self, memory: &mut impl Memory, offset: u64, buffer: &mut [u8]) -> usize {
        let left = usize::try_from(self.size().saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = left.min(buffer.len());
        let target = buffer.get_mut(..count).unwrap_or(&mut []);
        match &self.0 {
            Source::Archived(bytes) => {
                let source = usize::try_from(offset).ok();
                let source = source.and_then(|offset| bytes.get(offset..offset.checked_add(count)?));
                if let Some(source) = source {
                    target.copy_from_slice(source);
                }
            }
            Source::Copied(copied) => copied.read(memory, offset, target),
        }
        count
    }

    /// Ends one use of the file; its last one gives its frames back.
    pub fn release(self, frames: &mut FrameTable<'_>) {
        if let Source::Copied(copied) = self.0
            && let Some(copied) = Rc::into_inner(copied)
        {
            release_all(frames, &copied.pages);
        }
    }
}

impl Copied {
    fn read(&self, memory: &mut impl Memory, offset: u64, buffer: &mut [u8]) {
        let mut at = offset;
        let mut rest = buffer;
        while !rest.is_empty() {
            let within = (at % PAGE_SIZE) as usize;
            let length = rest.len().min(PAGE - within);
            let (now, later) = rest.split_at_mut(length);
            let page = usize::try_from(at / PAGE_SIZE).ok();
            if let Some(frame) = page.and_then(|page| self.pages.get(page))
                && let Some(bytes) = memory.page(*frame).get(within..within + length)
            {
                now.copy_from_slice(bytes);
            }
            at += length as u64;
            rest = later;
        }
    }
}

/// Gives frames back.
pub fn release_all(frames: &mut FrameTable<'_>, pages: &[Pfn]) {
    for frame in pages {
        let released = frames.release(*frame);
        debug_assert!(released.is_ok(), "{frame:?} was not in use");
    }
}
