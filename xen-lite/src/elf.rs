//! Which parts of a guest kernel's ELF file go where.
//!
//! The file is untrusted: whatever its bytes are, this ends in a [`KernelPlan`] or an [`ElfError`]. `xmas-elf` decodes the
//! structures; it indexes and asserts, so every range and alignment it relies on is checked here first. What a plan
//! guarantees:
//! 1. segments are sorted by address, at least one page long, and share no page;
//! 2. every segment lies in one canonical half, outside the hypervisor's slot and outside the physmap's;
//! 3. every file range lies in the file and fits its segment;
//! 4. the entry point is in an executable segment.
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use abi::layout::{PAGE_SHIFT, PAGE_SIZE, PHYSMAP, SLOT_BASE, SLOT_END, is_canonical};
use core::fmt;
use core::ops::Range;
use xmas_elf::ElfFile;
use xmas_elf::header::{Class, Data, Machine, Type as FileType};
use xmas_elf::program::{ProgramHeader, Type as SegmentType};

/// Most segments of a kernel.
pub const MAX_SEGMENTS: usize = 32;
/// Most program headers of any type.
const MAX_PROGRAM_HEADERS: u16 = 64;
const HEADER_SIZE: usize = 64;
const PROGRAM_HEADER_SIZE: u16 = 56;
/// What `xmas-elf` wants of the file's address and of the program headers' offset.
const ALIGNMENT: u64 = 8;
/// The L4 slot of the physmap.
const PHYSMAP_END: u64 = PHYSMAP + (1 << 39);

/// One stretch of pages of a kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Segment {
    /// Address of its first page.
    pub vaddr: u64,
    /// How many pages it takes.
    pub pages: u64,
    /// Where in the first page the file's bytes begin, below 4096.
    pub offset: u64,
    /// The file's bytes: from here.
    pub file_start: usize,
    /// As many; all other bytes of the pages are 0.
    pub file_size: usize,
    /// The guest may write.
    pub writable: bool,
    /// The guest may execute.
    pub executable: bool,
}

impl Segment {
    /// First address past its last page, or 0 where that is past the last address.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.vaddr.wrapping_add(self.pages << PAGE_SHIFT)
    }

    /// The last address of its last page.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.end().wrapping_sub(1)
    }

    /// The bytes of `file` that belong into page `page` of this segment, and where in the page they begin.
    #[must_use]
    pub fn bytes_of_page<'a>(&self, file: &'a [u8], page: u64) -> (usize, &'a [u8]) {
        let page_start = page.saturating_mul(PAGE_SIZE);
        // Offsets from the start of the segment's first page.
        let data = self.offset..self.offset.saturating_add(self.file_size as u64);
        let start = data.start.max(page_start);
        let end = data.end.min(page_start.saturating_add(PAGE_SIZE));
        if start >= end {
            return (0, &[]);
        }
        let from = self.file_start.saturating_add((start - data.start) as usize);
        let to = self.file_start.saturating_add((end - data.start) as usize);
        ((start - page_start) as usize, file.get(from..to).unwrap_or(&[]))
    }
}

/// A checked kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KernelPlan {
    entry: u64,
    segments: [Segment; MAX_SEGMENTS],
    count: usize,
}

impl KernelPlan {
    /// Where the kernel begins.
    #[must_use]
    pub const fn entry(&self) -> u64 {
        self.entry
    }

    /// Its segments, by address.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        self.segments.get(..self.count).unwrap_or(&[])
    }

    /// Pages of all segments together.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.segments().iter().map(|segment| segment.pages).sum()
    }

    /// Reads and checks a kernel file. `file` begins at a multiple of 8, as a boot module does.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_elf(file: &[u8]) -> Result<Self, ElfError> {
        let elf = checked_header(file)?;
        let mut plan = Self {
            entry: elf.header.pt2.entry_point(),
            segments: [Segment::default(); MAX_SEGMENTS],
            count: 0,
        };
        let mut entry_found = false;
        for index in 0..elf.header.pt2.ph_count() {
            let header = elf.program_header(index).map_err(|_| ElfError::ProgramHeaders)?;
            // Types that xmas-elf does not know are of no concern either.
            if header.get_type() != Ok(SegmentType::Load) || header.mem_size() == 0 {
                continue;
            }
            let segment =
                checked_segment(&header, file.len()).map_err(|problem| ElfError::Segment(index, problem))?;
            let offset = plan.entry.wrapping_sub(header.virtual_addr());
            entry_found |= segment.executable && offset < header.mem_size();
            plan.insert(segment)
                .map_err(|problem| ElfError::Segment(index, problem))?;
        }
        if plan.count == 0 {
            return Err(ElfError::NoSegments);
        }
        if !entry_found {
            return Err(ElfError::Entry(plan.entry));
        }
        Ok(plan)
    }

    /// A plan of sorted segments, for the tests of what uses plans.
    #[cfg(test)]
    pub(crate) fn for_test(entry: u64, segments: &[Segment]) -> Self {
        let mut plan = Self {
            entry,
            segments: [Segment::default(); MAX_SEGMENTS],
            count: segments.len(),
        };
        plan.segments[..segments.len()].copy_from_slice(segments);
        plan
    }

    /// Keeps the segments sorted.
    fn insert(&mut self, segment: Segment) -> Result<(), SegmentProblem> {
        let place = self
            .segments()
            .iter()
            .take_while(|other| other.vaddr < segment.vaddr)
            .count();
        let below = place.checked_sub(1).and_then(|index| self.segments().get(index));
        let above = self.segments().get(place);
        if below.is_some_and(|below| below.last() >= segment.vaddr)
            || above.is_some_and(|above| segment.last() >= above.vaddr)
        {
            return Err(SegmentProblem::SharesPage);
        }
        let tail = self
            .segments
            .get_mut(place..=self.count)
            .ok_or(SegmentProblem::TooMany)?;
        tail.rotate_right(1);
        if let Some(slot) = tail.first_mut() {
            *slot = segment;
        }
        self.count += 1;
        Ok(())
    }
}

/// Checks all that `xmas-elf` takes for granted, and that this is a kernel for us.
fn checked_header(file: &[u8]) -> Result<ElfFile<'_>, ElfError> {
    if !(file.as_ptr() as u64).is_multiple_of(ALIGNMENT) {
        return Err(ElfError::Misaligned);
    }
    if file.len() < HEADER_SIZE {
        return Err(ElfError::Truncated);
    }
    let elf = ElfFile::new(file).map_err(|_| ElfError::NotElf)?;
    if elf.header.pt1.class() != Class::SixtyFour || elf.header.pt1.data() != Data::LittleEndian {
        return Err(ElfError::NotElf64);
    }
    let header = elf.header.pt2;
    if header.machine().as_machine() != Machine::X86_64 {
        return Err(ElfError::Machine);
    }
    match header.type_().as_type() {
        FileType::Executable => {}
        FileType::SharedObject => return Err(ElfError::PositionIndependent),
        _ => return Err(ElfError::NotExecutable),
    }
    if header.ph_count() == 0 {
        return Err(ElfError::NoSegments);
    }
    let size = u64::from(header.ph_count()) * u64::from(PROGRAM_HEADER_SIZE);
    let end = header.ph_offset().checked_add(size);
    if header.ph_count() > MAX_PROGRAM_HEADERS
        || header.ph_entry_size() != PROGRAM_HEADER_SIZE
        || header.ph_offset() < HEADER_SIZE as u64
        || !header.ph_offset().is_multiple_of(ALIGNMENT)
        || end.is_none_or(|end| end > file.len() as u64)
    {
        return Err(ElfError::ProgramHeaders);
    }
    Ok(elf)
}

fn checked_segment(header: &ProgramHeader<'_>, file_size: usize) -> Result<Segment, SegmentProblem> {
    if header.file_size() > header.mem_size() {
        return Err(SegmentProblem::FileLargerThanMemory);
    }
    let file = file_range(header, file_size).ok_or(SegmentProblem::OutsideFile)?;
    let start = header.virtual_addr();
    // The last byte, not the end: a segment may take the last page of all.
    let last = start
        .checked_add(header.mem_size() - 1)
        .ok_or(SegmentProblem::OutsideAddressSpace)?;
    let (first_page, last_page) = (start >> PAGE_SHIFT, last >> PAGE_SHIFT);
    let (from, to) = (first_page << PAGE_SHIFT, last | (PAGE_SIZE - 1));
    if !is_canonical(from) || !is_canonical(to) || from >> 63 != to >> 63 {
        return Err(SegmentProblem::OutsideAddressSpace);
    }
    if from < SLOT_END && to >= SLOT_BASE {
        return Err(SegmentProblem::InHypervisorSlot);
    }
    if from < PHYSMAP_END && to >= PHYSMAP {
        return Err(SegmentProblem::InPhysmap);
    }
    Ok(Segment {
        vaddr: from,
        pages: last_page - first_page + 1,
        offset: start - from,
        file_start: file.start,
        file_size: file.len(),
        writable: header.flags().is_write(),
        executable: header.flags().is_execute(),
    })
}

fn file_range(header: &ProgramHeader<'_>, file_size: usize) -> Option<Range<usize>> {
    if header.file_size() == 0 {
        return Some(0..0);
    }
    let start = usize::try_from(header.offset()).ok()?;
    let end = start.checked_add(usize::try_from(header.file_size()).ok()?)?;
    (end <= file_size).then_some(start..end)
}

/// Why a file is no kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ElfError {
    /// The file does not begin at a multiple of 8.
    Misaligned,
    /// Shorter than an ELF header.
    Truncated,
    /// No ELF magic or class.
    NotElf,
    /// 32-bit, or big-endian.
    NotElf64,
    /// For another processor.
    Machine,
    /// `ET_DYN`: xen-lite does not relocate.
    PositionIndependent,
    /// Neither `ET_EXEC` nor `ET_DYN`.
    NotExecutable,
    /// The table of program headers is not in the file, misaligned, too long, or of another entry size.
    ProgramHeaders,
    /// Nothing to load.
    NoSegments,
    /// A segment, by its program header's index.
    Segment(u16, SegmentProblem),
    /// The entry point is in no executable segment.
    Entry(u64),
}

/// Why a segment cannot be loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SegmentProblem {
    /// More bytes in the file than in memory.
    FileLargerThanMemory,
    /// Its bytes are not in the file.
    OutsideFile,
    /// Not canonical, or over an edge of the address space.
    OutsideAddressSpace,
    /// It touches xen-lite's slot.
    InHypervisorSlot,
    /// It touches the slot in which a domain finds its frames.
    InPhysmap,
    /// It shares a page with another segment.
    SharesPage,
    /// The 33rd.
    TooMany,
}

impl fmt::Display for ElfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Misaligned => "the file does not begin at a multiple of 8",
            Self::Truncated => "shorter than an ELF header",
            Self::NotElf => "not an ELF file",
            Self::NotElf64 => "not a 64-bit little-endian ELF file",
            Self::Machine => "not for x86-64",
            Self::PositionIndependent => "position-independent: link it at fixed addresses (ET_EXEC)",
            Self::NotExecutable => "not an executable",
            Self::ProgramHeaders => "bad program headers",
            Self::NoSegments => "nothing to load",
            Self::Segment(index, problem) => return write!(f, "program header {index}: {problem}"),
            Self::Entry(entry) => {
                return write!(f, "the entry point {entry:#x} is in no executable segment");
            }
        };
        f.write_str(text)
    }
}

impl fmt::Display for SegmentProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FileLargerThanMemory => "more bytes in the file than in memory",
            Self::OutsideFile => "its bytes are not in the file",
            Self::OutsideAddressSpace => "not in the canonical address space",
            Self::InHypervisorSlot => "in the hypervisor's slot",
            Self::InPhysmap => "in the slot of the physmap",
            Self::SharesPage => "shares a page with another segment",
            Self::TooMany => "too many segments",
        })
    }
}

#[cfg(test)]
mod tests;
