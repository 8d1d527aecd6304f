//! A program's memory: its areas, its page tables, its break, and the kernel's way to its bytes.
//!
//! The kernel never follows a program's pointer: it looks the page up in the areas and the tables, brings it in where
//! the program itself could have, and copies through the physmap.
use crate::addr::{PageRange, Pfn, USER_END, page_ceil, page_floor};
use crate::cause::Cause;
use crate::errno::Errno;
use crate::machine::Memory;
use crate::mm::area::{Access, Area, AreaError, AreaMap, Backing, Protection, Purpose};
use crate::mm::fault::{self, Fault, Fill, Verdict};
use crate::mm::frames::{FrameTable, OutOfFrames};
use crate::mm::layout::{MAP_TOP, STACK_BOTTOM, STACK_TOP};
use crate::mm::program_file::ProgramFile;
use crate::mm::space::{self, AddressSpace};
use crate::resident::walk;
use abi::layout::PAGE_SIZE;
use abi::mmu::PteFlags;

/// The memory of one program.
#[derive(Debug)]
pub struct UserMemory<'a> {
    space: AddressSpace,
    areas: AreaMap,
    image: ProgramFile<'a>,
    break_start: u64,
    break_end: u64,
}

/// Where a new mapping goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Anywhere, here if it is free.
    Hint(u64),
    /// Here, in place of what is there.
    Fixed(u64),
    /// Here, or not at all.
    FixedIfFree(u64),
}

impl From<AreaError> for Errno {
    fn from(error: AreaError) -> Self {
        match error {
            AreaError::Overlaps => Self::EXISTS,
            AreaError::TooMany | AreaError::Hole => Self::NO_MEMORY,
        }
    }
}

impl<'a> UserMemory<'a> {
    /// The memory of a program whose file is `image` and whose segments are `areas`, plus a stack with `stack_protection`.
    ///
    /// # Errors
    /// The areas do not leave the stack its place.
    pub fn new(
        space: AddressSpace,
        mut areas: AreaMap,
        image: ProgramFile<'a>,
        break_start: u64,
        stack_protection: Protection,
    ) -> Result<Self, (AddressSpace, AreaError)> {
        let stack = PageRange::new(STACK_BOTTOM, STACK_TOP).map(|range| Area {
            range,
            protection: stack_protection,
            backing: Backing::Zero,
            purpose: Purpose::Stack,
        });
        match stack.map(|stack| areas.insert(stack)) {
            Some(Ok(())) => Ok(Self {
                space,
                areas,
                image,
                break_start,
                break_end: break_start,
            }),
            Some(Err(error)) => Err((space, error)),
            None => Err((space, AreaError::Overlaps)),
        }
    }

    /// The root table.
    #[must_use]
    pub const fn root(&self) -> Pfn {
        self.space.root()
    }

    /// How many pages it has.
    #[must_use]
    pub const fn pages(&self) -> u64 {
        self.space.pages()
    }

    /// How many frames it holds: pages, shared ones included, and page tables.
    #[must_use]
    pub const fn frames(&self) -> u64 {
        self.space.frames()
    }

    /// Its areas.
    #[must_use]
    pub const fn areas(&self) -> &AreaMap {
        &self.areas
    }

    /// A copy that shares every page until one side writes to it.
    ///
    /// # Errors
    /// [`OutOfFrames`]; no frame is kept.
    pub fn fork(
        &mut self,
        memory: &mut impl Memory,
        frames: &mut FrameTable<'_>,
    ) -> Result<Self, OutOfFrames> {
        let space = self.space.fork(memory, frames)?;
        Ok(Self {
            space,
            areas: self.areas.clone(),
            image: self.image.clone(),
            break_start: self.break_start,
            break_end: self.break_end,
        })
    }

    /// Resolves a page fault of the program, after which the instruction can be tried again.
    ///
    /// # Errors
    /// What the program dies of.
    pub fn resolve(
        &mut self,
        memory: &mut impl Memory,
        frames: &mut FrameTable<'_>,
        fault: Fault,
    ) -> Result<(), Cause> {
        let entry = self.space.entry(memory, fault.address);
        match fault::decide(&self.areas, fault, entry) {
            Verdict::Kill(cause) => Err(cause),
            Verdict::Refresh(protection) => {
                if let Some(page) = PageRange::covering(fault.address, 1) {
                    self.space.protect(memory, frames, page, protection);
                }
                Ok(())
            }
            Verdict::Unshare(protection) => self
                .unshare(memory, frames, fault.address, entry, protection)
                .map(|_| ()),
            Verdict::Bring {
                page,
                protection,
                fill,
            } => self.bring(memory, frames, page, protection, fill).map(|_| ()),
        }
    }

    /// The frame behind `address`, brought in, or made the program's own, if it must be.
    fn frame(
        &mut self,
        memory: &mut impl Memory,
        frames: &mut FrameTable<'_>,
        address: u64,
        access: Access,
    ) -> Result<Pfn, Cause> {
        let entry = self.space.entry(memory, address);
        match fault::decide(&self.areas, Fault { address, access }, entry) {
            Verdict::Kill(cause) => Err(cause),
            Verdict::Refresh(_) => Ok(walk::frame_of(memory, entry)),
            Verdict::Unshare(_) if entry & PteFlags::WRITABLE.bits() != 0 => {
                Ok(walk::frame_of(memory, entry))
            }
            Verdict::Unshare(protection) => self.unshare(memory, frames, address, entry, protection),
            Verdict::Bring {
                page,
                protection,
                fill,
            } => self.bring(memory, frames, page, protection, fill),
        }
    }

    /// Makes the page at `address`, whose entry is `entry`, writable: with its frame, if nobody else uses it, or a copy.
    fn unshare(
        &mut self,
        memory: &mut impl Memory,
        frames: &mut FrameTable<'_>,
        address: u64,
        entry: u64,
        protection: Protection,
    ) -> Result<Pfn, Cause> {
        let page = PageRange::covering(address, 1).ok_or(Cause::OutOfMemory)?;
        let old = walk::frame_of(memory, entry);
        if frames.uses(old) == 1 {
            self.space.protect(memory, frames, page, protection);
            return Ok(old);
        }
        let new = frames.take().map_err(|_| Cause::OutOfMemory)?;
        memory.copy_page(old, new);
        self.space.replace(memory, frames, page, new, protection);
        Ok(new)
    }

    fn bring(
        &mut self,
        memory: &mut impl Memory,
        frames: &mut FrameTable<'_>,
        page: u64,
        protection: Protection,
        fill: Fill,
    ) -> Result<Pfn, Cause> {
        let frame = frames.take().map_err(|_| Cause::OutOfMemory)?;
        memory.page(frame).fill(0);
        if fill.length > 0 {
            let mut bytes = [0; PAGE_SIZE as usize];
            let source = bytes.get_mut(..fill.length).unwrap_or(&mut []);
            self.image.read_at(memory, fill.offset, source);
            if let Some(target) = memory.page(frame).get_mut(fill.at..fill.at + fill.length) {
                target.copy_from_slice(source);
            }
        }
        if self.space.map(memory, frames, page, frame, protection).is_err() {
            space::release(frames, frame);
            return Err(Cause::OutOfMemory);
        }
        Ok(frame)
    }

    /// Copies from the program's `address`.
    ///
    /// # Errors
    /// `EFAULT`, or `ENOMEM` when no frame was left for a page; part of `buffer` may have been filled.
    pub fn read(
        &mut self,
        memory: &mut impl Memory,
        frames: &mut FrameTable<'_>,
        address: u64,
        buffer: &mut [u8],
    ) -> Result<(), Errno> {
        let mut rest = buffer;
        for piece in pieces(address, rest.len())? {
            let frame = self
                .frame(memory, frames, piece.address, Access::Read)
                .map_err(errno_of)?;
            let (now, later) = rest.split_at_mut_checked(piece.length).ok_or(Errno::FAULT)?;
            let bytes = memory
                .page(frame)
                .get(piece.at..piece.at + piece.length)
                .ok_or(Errno::FAULT)?;
            now.copy_from_slice(bytes);
            rest = later;
        }
        Ok(())
    }

    /// Copies to the program's `address`.
    ///
    /// # Errors
    /// `EFAULT`, or `ENOMEM` when no frame was left for a page; part of `bytes` may have been written.
    pub fn write(
        &mut self,
        memory: &mut impl Memory,
        frames: &mut FrameTable<'_>,
        address: u64,
        bytes: &[u8],
    ) -> Result<(), Errno> {
        let mut rest = bytes;
        for piece in pieces(address, rest.len())? {
            let frame = self
                .frame(memory, frames, piece.address, Access::Write)
                .map_err(errno_of)?;
            let (now, later) = rest.split_at_checked(piece.length).ok_or(Errno::FAULT)?;
            let page = memory.page(frame);
            page.get_mut(piece.at..piece.at + piece.length)
                .ok_or(Errno::FAULT)?
                .copy_from_slice(now);
            rest = later;
        }
        Ok(())
    }

    /// Brings in the pages of a range that is about to be written.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn make_writable(
        &mut self,
        memory: &mut impl Memory,
        frames: &mut FrameTable<'_>,
        address: u64,
        length: usize,
    ) -> Result<(), Errno> {
        for piece in pieces(address, length)? {
            self.frame(memory, frames, piece.address, Access::Write)
                .map_err(errno_of)?;
        }
        Ok(())
    }

    /// Linux's brk: moves the end of the heap to `wanted` if it can; says where the end is.
    pub fn set_break(&mut self, memory: &mut impl Memory, frames: &mut FrameTable<'_>, wanted: u64) -> u64 {
        if wanted >= self.break_start && self.move_break(memory, frames, wanted).is_some() {
            self.break_end = wanted;
        }
        self.break_end
    }

    fn move_break(
        &mut self,
        memory: &mut impl Memory,
        frames: &mut FrameTable<'_>,
        wanted: u64,
    ) -> Option<()> {
        let old = page_ceil(self.break_end)?;
        let new = page_ceil(wanted)?;
        if new > old {
            if new > MAP_TOP {
                return None;
            }
            let area = Area {
                range: PageRange::new(old, new)?,
                protection: Protection::READ | Protection::WRITE,
                backing: Backing::Zero,
                purpose: Purpose::Heap,
            };
            self.areas.insert(area).ok()?;
        } else if new < old {
            self.unmap(memory, frames, PageRange::new(new, old)?).ok()?;
        }
        Some(())
    }

    /// A new area of zeros; says where it begins.
    ///
    /// # Errors
    /// `EINVAL`, `EEXIST`, `ENOMEM`; nothing has changed.
    pub fn map_zero(
        &mut self,
        memory: &mut impl Memory,
        frames: &mut FrameTable<'_>,
        place: Place,
        length: u64,
        protection: Protection,
    ) -> Result<u64, Errno> {
        if length == 0 {
            return Err(Errno::INVALID);
        }
        let length = page_ceil(length).ok_or(Errno::NO_MEMORY)?;
        let at = |address: u64| {
            let end = address.checked_add(length).ok_or(Errno::NO_MEMORY)?;
            if end > USER_END {
                return Err(Errno::NO_MEMORY);
            }
            PageRange::new(address, end).ok_or(Errno::INVALID)
        };
        let range = match place {
            Place::Fixed(address) | Place::FixedIfFree(address) => at(address)?,
            Place::Hint(address) => {
                let hinted = at(page_floor(address))
                    .ok()
                    .filter(|range| self.areas.is_free(*range));
                let found = hinted.or_else(|| self.areas.gap_below(MAP_TOP, length / PAGE_SIZE));
                found.ok_or(Errno::NO_MEMORY)?
            }
        };
        let area = Area {
            range,
            protection,
            backing: Backing::Zero,
            purpose: Purpose::Mapping,
        };
        if matches!(place, Place::Fixed(_)) {
            self.areas.put(area)?;
            self.space.unmap(memory, frames, range);
        } else {
            self.areas.insert(area)?;
        }
        Ok(range.start())
    }

    /// Takes a range away, whatever is in it.
    ///
    /// # Errors
    /// `ENOMEM`; nothing has changed.
    pub fn unmap(
        &mut self,
        memory: &mut impl Memory,
        frames: &mut FrameTable<'_>,
        range: PageRange,
    ) -> Result<(), Errno> {
        self.areas.remove(range)?;
        self.space.unmap(memory, frames, range);
        Ok(())
    }

    /// Changes what the program may do in a range.
    ///
    /// # Errors
    /// `ENOMEM`; nothing has changed.
    pub fn protect(
        &mut self,
        memory: &mut impl Memory,
        frames: &FrameTable<'_>,
        range: PageRange,
        protection: Protection,
    ) -> Result<(), Errno> {
        self.areas.protect(range, protection)?;
        self.space.protect(memory, frames, range, protection);
        Ok(())
    }

    /// Gives everything back. The CPU is on another root.
    pub fn destroy(self, memory: &mut impl Memory, frames: &mut FrameTable<'_>) {
        self.space.destroy(memory, frames);
        self.image.release(frames);
    }
}

fn errno_of(cause: Cause) -> Errno {
    if cause == Cause::OutOfMemory {
        Errno::NO_MEMORY
    } else {
        Errno::FAULT
    }
}

struct Piece {
    address: u64,
    at: usize,
    length: usize,
}

/// The parts of a range of bytes, page by page.
fn pieces(address: u64, length: usize) -> Result<impl Iterator<Item = Piece>, Errno> {
    let end = address
        .checked_add(length as u64)
        .filter(|end| *end <= USER_END)
        .ok_or(Errno::FAULT)?;
    let mut next = address;
    Ok(core::iter::from_fn(move || {
        if next >= end {
            return None;
        }
        let address = next;
        next = (page_floor(address) + PAGE_SIZE).min(end);
        let at = (address - page_floor(address)) as usize;
        Some(Piece {
            address,
            at,
            length: (next - address) as usize,
        })
    }))
}
