//! Where everything of a new domain goes: its frames by pfn, and its first page tables.
//!
//! ```text
//! pfn 0                 the kernel's segments, in the order of their addresses
//!     module_pfn        the guest module
//!     frame_list_pfn    one u64 per frame
//!     start_info_pfn    StartInfo
//!     stack_pfn         the initial stack
//!     page_tables_pfn   the root, then all L3, all L2, all L1 tables
//!     first_free_pfn    free
//! ```
//! The tables map every segment at its address with the rights that its program header gives, and every frame of the
//! domain at the physmap: tables read-only, all else read-write, none executable. All pages are supervisor pages.
//!
//! Nothing here is as long as the domain is large: a table's entries are computed one by one ([`Layout::entry`]), so the
//! hypervisor fills the frames in bounded steps. From the last table to the first is bottom-up: each table's children
//! have been filled and pinned before it.
use crate::addr::Level;
use crate::boot_image::MAX_FRAMES;
use crate::elf::{KernelPlan, MAX_SEGMENTS};
use abi::layout::{ENTRIES, PAGE_SHIFT, PAGE_SIZE, PHYSMAP};
use abi::mmu::PteFlags;
use abi::start_info::STACK_SIZE;
use core::fmt;

const MAX_RUNS: usize = MAX_SEGMENTS + 1;
const STACK_PAGES: u64 = STACK_SIZE / PAGE_SIZE;
const FRAME_LIST_ENTRIES: u64 = PAGE_SIZE / 8;

/// Consecutive pages that map consecutive frames.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    /// Address of the first page / 4096.
    page: u64,
    /// Its frame.
    pfn: u64,
    /// How many, not 0.
    pages: u64,
    /// [`Kind`] of all of them.
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Kind {
    #[default]
    Physmap,
    Segment {
        writable: bool,
        executable: bool,
    },
}

impl Run {
    const fn last_page(&self) -> u64 {
        self.page + self.pages - 1
    }
}

/// A page-table entry to be: the frame by its pfn, all other bits as they will be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Frame of the page or of the table below.
    pub pfn: u64,
    /// Present, and more.
    pub flags: PteFlags,
}

/// One page table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Table {
    /// Its frame.
    pub pfn: u64,
    /// Its level.
    pub level: Level,
    /// What all addresses that it translates have in common: the address without the bits that this table and those
    /// below it look at. 0 for the root.
    prefix: u64,
}

/// What a frame of the domain holds at start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Contents {
    /// A page of the kernel.
    Segment {
        /// Which of the plan's segments.
        segment: usize,
        /// Which page of it.
        page: u64,
    },
    /// A page of the guest module.
    Module {
        /// Which page of it.
        page: u64,
    },
    /// A page of the frame list.
    FrameList {
        /// The pfn of its first entry.
        first: u64,
    },
    /// The start_info page.
    StartInfo,
    /// The page table with this number.
    Table(u64),
    /// Zero: the stack, or free.
    Zero,
}

/// A domain's memory at start.
#[derive(Clone, Debug)]
pub struct Layout {
    runs: [Run; MAX_RUNS],
    run_count: usize,
    tables: TableCounts,
    nr_pages: u64,
    segments: usize,
    /// First frame of the guest module; it has one only if there is a module.
    pub module_pfn: u64,
    /// First frame of the frame list.
    pub frame_list_pfn: u64,
    /// Frame of `StartInfo`.
    pub start_info_pfn: u64,
    /// First frame of the initial stack.
    pub stack_pfn: u64,
    /// Frame of the root table, which all other tables follow.
    pub page_tables_pfn: u64,
    /// First frame that holds nothing.
    pub first_free_pfn: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct TableCounts {
    l3: u64,
    l2: u64,
    l1: u64,
}

/// The domain's memory does not hold what must be in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory {
    /// Frames that are needed, for the kernel, the module and the tables of so large a domain.
    pub needed: u64,
    /// Frames that the domain has.
    pub given: u64,
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kib = |frames: u64| frames.saturating_mul(PAGE_SIZE / 1024);
        write!(
            f,
            "{} KiB of memory, {} KiB are needed at least",
            kib(self.given),
            kib(self.needed)
        )
    }
}

impl Layout {
    /// Lays out a domain of `nr_pages` frames.
    ///
    /// # Errors
    /// It does not fit, with at least one frame to spare. More than [`MAX_FRAMES`] do not fit the physmap.
    pub fn new(kernel: &KernelPlan, module_size: u64, nr_pages: u64) -> Result<Self, OutOfMemory> {
        if nr_pages == 0 || nr_pages > MAX_FRAMES {
            return Err(OutOfMemory {
                needed: 1,
                given: nr_pages,
            });
        }
        let mut layout = Self {
            runs: [Run::default(); MAX_RUNS],
            run_count: 0,
            tables: TableCounts::default(),
            nr_pages,
            segments: kernel.segments().len(),
            module_pfn: 0,
            frame_list_pfn: 0,
            start_info_pfn: 0,
            stack_pfn: 0,
            page_tables_pfn: 0,
            first_free_pfn: 0,
        };
        layout.add_runs(kernel);
        layout.tables = TableCounts {
            l3: layout.count_tables(Level::L3),
            l2: layout.count_tables(Level::L2),
            l1: layout.count_tables(Level::L1),
        };
        layout.module_pfn = kernel.pages();
        layout.frame_list_pfn = layout.module_pfn.saturating_add(module_size.div_ceil(PAGE_SIZE));
        layout.start_info_pfn = layout
            .frame_list_pfn
            .saturating_add(nr_pages.div_ceil(FRAME_LIST_ENTRIES));
        layout.stack_pfn = layout.start_info_pfn.saturating_add(1);
        layout.page_tables_pfn = layout.stack_pfn.saturating_add(STACK_PAGES);
        layout.first_free_pfn = layout.page_tables_pfn.saturating_add(layout.table_count());
        if layout.first_free_pfn >= nr_pages {
            return Err(OutOfMemory {
                needed: layout.first_free_pfn.saturating_add(1),
                given: nr_pages,
            });
        }
        Ok(layout)
    }

    /// Segments come sorted and leave the physmap's slot free; the physmap goes between them.
    fn add_runs(&mut self, kernel: &KernelPlan) {
        let physmap = Run {
            page: PHYSMAP >> PAGE_SHIFT,
            pfn: 0,
            pages: self.nr_pages,
            kind: Kind::Physmap,
        };
        let mut pfn = 0;
        let mut segments = [Run::default(); MAX_SEGMENTS];
        for (run, segment) in segments.iter_mut().zip(kernel.segments()) {
            *run = Run {
                page: segment.vaddr >> PAGE_SHIFT,
                pfn,
                pages: segment.pages,
                kind: Kind::Segment {
                    writable: segment.writable,
                    executable: segment.executable,
                },
            };
            pfn += segment.pages;
        }
        let segments = segments.iter().take(self.segments);
        let below = segments.clone().take_while(|run| run.page < physmap.page);
        let above = segments.skip_while(|run| run.page < physmap.page);
        for (slot, run) in self.runs.iter_mut().zip(below.chain([&physmap]).chain(above)) {
            *slot = *run;
            self.run_count += 1;
        }
    }

    fn runs(&self) -> impl Iterator<Item = &Run> + '_ {
        self.runs.iter().take(self.run_count)
    }

    /// The prefixes of the tables of a level below L4, as ascending ranges `first..=last` that do not overlap.
    fn prefixes(&self, level: Level) -> impl Iterator<Item = (u64, u64)> + '_ {
        let shift = 9 * level as u32;
        let mut next = 0;
        self.runs().filter_map(move |run| {
            let first = (run.page >> shift).max(next);
            let last = run.last_page() >> shift;
            next = last + 1;
            (first <= last).then_some((first, last))
        })
    }

    fn count_tables(&self, level: Level) -> u64 {
        self.prefixes(level).map(|(first, last)| last - first + 1).sum()
    }

    /// The prefix of the `number`th table of a level.
    fn prefix(&self, level: Level, mut number: u64) -> Option<u64> {
        for (first, last) in self.prefixes(level) {
            let count = last - first + 1;
            if number < count {
                return Some(first + number);
            }
            number -= count;
        }
        None
    }

    /// Which table of a level has this prefix.
    fn number(&self, level: Level, prefix: u64) -> Option<u64> {
        let mut before = 0;
        for (first, last) in self.prefixes(level) {
            if (first..=last).contains(&prefix) {
                return Some(before + (prefix - first));
            }
            before += last - first + 1;
        }
        None
    }

    /// The number of the first table of a level.
    const fn first_of(&self, level: Level) -> u64 {
        match level {
            Level::L4 => 0,
            Level::L3 => 1,
            Level::L2 => 1 + self.tables.l3,
            Level::L1 => 1 + self.tables.l3 + self.tables.l2,
        }
    }

    /// How many page tables there are.
    #[must_use]
    pub const fn table_count(&self) -> u64 {
        self.first_of(Level::L1) + self.tables.l1
    }

    /// How many frames the domain has.
    #[must_use]
    pub const fn nr_pages(&self) -> u64 {
        self.nr_pages
    }

    /// The table with this number, below [`Self::table_count`]; 0 is the root.
    #[must_use]
    pub fn table(&self, number: u64) -> Option<Table> {
        let level = *Level::ALL.iter().find(|level| number >= self.first_of(**level))?;
        let prefix = match level {
            Level::L4 => 0,
            _ => self.prefix(level, number - self.first_of(level))?,
        };
        Some(Table {
            pfn: self.page_tables_pfn + number,
            level,
            prefix,
        })
    }

    /// The entry of `table` at `slot`, below 512; `None` is an empty one.
    #[must_use]
    pub fn entry(&self, table: Table, slot: usize) -> Option<Entry> {
        if slot >= ENTRIES {
            return None;
        }
        let below = match table.level {
            Level::L4 => root_prefix(slot),
            _ => table.prefix << 9 | slot as u64,
        };
        match table.level.below() {
            None => self.leaf(below),
            Some(level) => {
                let number = self.number(level, below)?;
                let flags = PteFlags::PRESENT | PteFlags::WRITABLE | PteFlags::ACCESSED;
                Some(Entry {
                    pfn: self.page_tables_pfn + self.first_of(level) + number,
                    flags,
                })
            }
        }
    }

    fn leaf(&self, page: u64) -> Option<Entry> {
        let run = self
            .runs()
            .find(|run| (run.page..=run.last_page()).contains(&page))?;
        let pfn = run.pfn + (page - run.page);
        let (writable, executable) = match run.kind {
            Kind::Physmap => (!self.is_table(pfn), false),
            Kind::Segment { writable, executable } => (writable, executable),
        };
        let mut flags = PteFlags::PRESENT | PteFlags::ACCESSED;
        flags.set(PteFlags::WRITABLE | PteFlags::DIRTY, writable);
        flags.set(PteFlags::NO_EXECUTE, !executable);
        Some(Entry { pfn, flags })
    }

    fn is_table(&self, pfn: u64) -> bool {
        (self.page_tables_pfn..self.first_free_pfn).contains(&pfn)
    }

    /// What to put into a frame.
    #[must_use]
    pub fn contents(&self, pfn: u64) -> Contents {
        if pfn < self.module_pfn {
            self.segment_page(pfn)
        } else if pfn < self.frame_list_pfn {
            Contents::Module {
                page: pfn - self.module_pfn,
            }
        } else if pfn < self.start_info_pfn {
            Contents::FrameList {
                first: (pfn - self.frame_list_pfn) * FRAME_LIST_ENTRIES,
            }
        } else if pfn == self.start_info_pfn {
            Contents::StartInfo
        } else if self.is_table(pfn) {
            Contents::Table(pfn - self.page_tables_pfn)
        } else {
            Contents::Zero
        }
    }

    fn segment_page(&self, pfn: u64) -> Contents {
        let segments = self.runs().filter(|run| run.kind != Kind::Physmap).enumerate();
        for (segment, run) in segments {
            if (run.pfn..run.pfn + run.pages).contains(&pfn) {
                return Contents::Segment {
                    segment,
                    page: pfn - run.pfn,
                };
            }
        }
        Contents::Zero
    }

    /// Where a frame is mapped at start of day.
    #[must_use]
    pub const fn address_of(pfn: u64) -> u64 {
        PHYSMAP + (pfn << PAGE_SHIFT)
    }
}

/// The address of a root slot's first page, without its low 39 bits: the upper half is sign-extended.
const fn root_prefix(slot: usize) -> u64 {
    const CANONICAL: u32 = 39;
    let slot = slot as u64;
    let extension = if slot >= ENTRIES as u64 / 2 {
        0xffff << 48
    } else {
        0
    };
    (slot << CANONICAL | extension) >> CANONICAL
}

#[cfg(test)]
mod tests;
