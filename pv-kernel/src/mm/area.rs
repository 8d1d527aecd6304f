//! What a program may touch: its areas.
//!
//! Invariants: areas are sorted and do not overlap; there are at most [`MAX_AREAS`]; a refused change has changed nothing.
use crate::addr::PageRange;
use abi::mmu::PteFlags;
use alloc::vec::Vec;
use bitflags::bitflags;

/// Most areas of a program, so that it cannot fill the kernel's heap.
pub const MAX_AREAS: usize = 256;

bitflags! {
    /// What a program may do in an area. What it may write or execute it can read: x86 knows no less.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Protection: u8 {
        /// Read.
        const READ = 1;
        /// Write.
        const WRITE = 2;
        /// Execute.
        const EXECUTE = 4;
    }
}

impl Protection {
    /// Whether `access` is allowed.
    #[must_use]
    pub const fn allows(self, access: Access) -> bool {
        match access {
            Access::Read => !self.is_empty(),
            Access::Write => self.contains(Self::WRITE),
            Access::Execute => self.contains(Self::EXECUTE),
        }
    }

    /// The bits of a page-table entry that say so.
    #[must_use]
    pub fn entry_flags(self) -> PteFlags {
        let mut flags = PteFlags::USER;
        flags.set(PteFlags::PRESENT, !self.is_empty());
        flags.set(PteFlags::WRITABLE, self.contains(Self::WRITE));
        flags.set(PteFlags::NO_EXECUTE, !self.contains(Self::EXECUTE));
        flags
    }
}

/// What was tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Execute,
}

/// What a page holds when it is touched first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backing {
    /// Zeros.
    Zero,
    /// Bytes of the program's file: those from `offset` on at the addresses from `start` to `end`, zeros around them.
    File {
        /// Address of the first byte from the file.
        start: u64,
        /// First address past those bytes.
        end: u64,
        /// Where they begin in the file.
        offset: u64,
    },
}

/// What an area is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// A segment of the program's file.
    Image,
    /// Between the image and the program break.
    Heap,
    /// The stack.
    Stack,
    /// Asked for by mmap.
    Mapping,
}

/// A range of pages that are alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Area {
    /// Where.
    pub range: PageRange,
    /// What the program may do there.
    pub protection: Protection,
    /// Where the pages come from.
    pub backing: Backing,
    /// What for.
    pub purpose: Purpose,
}

impl Area {
    fn with_range(self, range: PageRange) -> Self {
        Self { range, ..self }
    }

    fn continues(&self, next: &Self) -> bool {
        self.range.end() == next.range.start()
            && self.protection == next.protection
            && self.backing == next.backing
            && self.purpose == next.purpose
    }
}

/// Why a change of the areas was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AreaError {
    /// Something is there already.
    Overlaps,
    /// The program has as many areas as it may have.
    TooMany,
    /// Part of the range belongs to no area.
    Hole,
}

/// A program's areas.
#[derive(Clone, Debug, Default)]
pub struct AreaMap {
    areas: Vec<Area>,
}

impl AreaMap {
    /// No area.
    #[must_use]
    pub const fn new() -> Self {
        Self { areas: Vec::new() }
    }

    /// All areas, lowest first.
    #[must_use]
    pub fn as_slice(&self) -> &[Area] {
        &self.areas
    }

    /// The area that `address` lies in.
    #[must_use]
    pub fn find(&self, address: u64) -> Option<&Area> {
        let after = self.areas.partition_point(|area| area.range.start() <= address);
        self.areas
            .get(after.checked_sub(1)?)
            .filter(|area| area.range.contains(address))
    }

    /// Whether no area has an address of `range`.
    #[must_use]
    pub fn is_free(&self, range: PageRange) -> bool {
        self.areas
            .iter()
            .all(|area| area.range.intersection(range).is_none())
    }

    /// Adds an area.
    ///
    /// # Errors
    /// [`AreaError::Overlaps`], [`AreaError::TooMany`].
    pub fn insert(&mut self, area: Area) -> Result<(), AreaError> {
        if !self.is_free(area.range) {
            return Err(AreaError::Overlaps);
        }
        let mut areas = self.areas.clone();
        areas.push(area);
        self.replace(areas)
    }

    /// Adds an area in the place of whatever lies there.
    ///
    /// # Errors
    /// [`AreaError::TooMany`].
    pub fn put(&mut self, area: Area) -> Result<(), AreaError> {
        let outside = self.outside(area.range);
        self.replace(outside.chain([area]).collect())
    }

    /// Takes away whatever lies in `range`.
    ///
    /// # Errors
    /// [`AreaError::TooMany`]: a hole in the middle would make one area two.
    pub fn remove(&mut self, range: PageRange) -> Result<(), AreaError> {
        let outside = self.outside(range).collect();
        self.replace(outside)
    }

    /// What there is outside of `range`.
    fn outside(&self, range: PageRange) -> impl Iterator<Item = Area> {
        self.areas
            .iter()
            .flat_map(move |area| split(area, range).outside())
    }

    /// Changes what the program may do in `range`.
    ///
    /// # Errors
    /// [`AreaError::Hole`], [`AreaError::TooMany`].
    pub fn protect(&mut self, range: PageRange, protection: Protection) -> Result<(), AreaError> {
        let inside = self
            .areas
            .iter()
            .filter_map(|area| area.range.intersection(range));
        if inside.map(PageRange::pages).sum::<u64>() != range.pages() {
            return Err(AreaError::Hole);
        }
        let mut areas = Vec::with_capacity(self.areas.len() + 2);
        for area in &self.areas {
            let parts = split(area, range);
            areas.extend(parts.outside());
            areas.extend(parts.inside.map(|part| Area { protection, ..part }));
        }
        self.replace(areas)
    }

    /// The highest free range of `pages` pages below `limit`.
    #[must_use]
    pub fn gap_below(&self, limit: u64, pages: u64) -> Option<PageRange> {
        let length = pages.checked_mul(abi::layout::PAGE_SIZE)?;
        let mut end = limit;
        for area in self.areas.iter().rev() {
            if area.range.end() <= end && end - area.range.end() >= length {
                break;
            }
            end = end.min(area.range.start());
        }
        PageRange::new(end.checked_sub(length)?, end)
    }

    fn replace(&mut self, mut areas: Vec<Area>) -> Result<(), AreaError> {
        areas.sort_unstable_by_key(|area| area.range.start());
        areas.dedup_by(|next, area| {
            let joined = PageRange::new(area.range.start(), next.range.end());
            match joined {
                Some(range) if area.continues(next) => {
                    area.range = range;
                    true
                }
                _ => false,
            }
        });
        if areas.len() > MAX_AREAS {
            return Err(AreaError::TooMany);
        }
        self.areas = areas;
        Ok(())
    }
}

struct Parts {
    below: Option<Area>,
    inside: Option<Area>,
    above: Option<Area>,
}

impl Parts {
    fn outside(&self) -> impl Iterator<Item = Area> + use<> {
        [self.below, self.above].into_iter().flatten()
    }
}

fn split(area: &Area, by: PageRange) -> Parts {
    let (start, end) = (area.range.start(), area.range.end());
    let part = |start, end| PageRange::new(start, end).map(|range| area.with_range(range));
    Parts {
        below: part(start, end.min(by.start())),
        inside: area.range.intersection(by).map(|range| area.with_range(range)),
        above: part(start.max(by.end()), end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(start: u64, end: u64) -> PageRange {
        PageRange::new(start << 12, end << 12).unwrap()
    }

    fn area(start: u64, end: u64, protection: Protection) -> Area {
        let range = range(start, end);
        Area {
            range,
            protection,
            backing: Backing::Zero,
            purpose: Purpose::Mapping,
        }
    }

    const RW: Protection = Protection::READ.union(Protection::WRITE);

    #[test]
    fn an_address_finds_its_area_and_no_other() {
        let mut map = AreaMap::new();
        map.insert(area(0x20, 0x22, RW)).unwrap();
        map.insert(area(0x30, 0x31, Protection::READ)).unwrap();
        assert!(map.find(0x1f_fff).is_none());
        assert_eq!(map.find(0x21_fff).unwrap().protection, RW);
        assert!(map.find(0x22_000).is_none());
        assert_eq!(map.find(0x30_000).unwrap().protection, Protection::READ);
    }

    #[test]
    fn an_area_over_another_is_refused() {
        let mut map = AreaMap::new();
        map.insert(area(0x20, 0x22, RW)).unwrap();
        assert_eq!(map.insert(area(0x21, 0x23, RW)), Err(AreaError::Overlaps));
        assert_eq!(map.as_slice().len(), 1);
    }

    #[test]
    fn an_area_in_the_place_of_others_is_all_or_nothing() {
        let mut map = AreaMap::new();
        map.insert(area(0x20, 0x30, RW)).unwrap();
        map.insert(area(0x32, 0x33, RW)).unwrap();
        map.put(area(0x2f, 0x33, Protection::READ)).unwrap();
        let expected = [area(0x20, 0x2f, RW), area(0x2f, 0x33, Protection::READ)];
        assert_eq!(map.as_slice(), expected);
        // Each second page, up to one below the limit; the hole and what is put into it would be one too many.
        for page in map.as_slice().len()..MAX_AREAS - 1 {
            map.insert(area(0x100 + 2 * page as u64, 0x101 + 2 * page as u64, RW))
                .unwrap();
        }
        let before = map.clone();
        let put = map.put(area(0x24, 0x25, Protection::READ));
        assert_eq!(put, Err(AreaError::TooMany));
        assert_eq!(map.as_slice(), before.as_slice());
    }

    #[test]
    fn a_hole_in_the_middle_makes_two() {
        let mut map = AreaMap::new();
        map.insert(area(0x20, 0x30, RW)).unwrap();
        map.remove(range(0x24, 0x26)).unwrap();
        assert_eq!(map.as_slice(), [area(0x20, 0x24, RW), area(0x26, 0x30, RW)]);
    }

    #[test]
    fn neighbours_that_are_alike_become_one() {
        let mut map = AreaMap::new();
        for start in 0x20..0x40 {
            map.insert(area(start, start + 1, RW)).unwrap();
        }
        assert_eq!(map.as_slice(), [area(0x20, 0x40, RW)]);
    }

    #[test]
    fn protection_changes_only_where_all_of_the_range_is_the_program_s() {
        let mut map = AreaMap::new();
        map.insert(area(0x20, 0x30, RW)).unwrap();
        assert_eq!(
            map.protect(range(0x2f, 0x31), Protection::READ),
            Err(AreaError::Hole)
        );
        map.protect(range(0x24, 0x26), Protection::READ).unwrap();
        assert_eq!(map.as_slice().len(), 3);
        assert_eq!(map.find(0x25_000).unwrap().protection, Protection::READ);
    }

    #[test]
    fn a_program_with_too_many_areas_gets_no_more() {
        let mut map = AreaMap::new();
        for start in 0..MAX_AREAS as u64 {
            map.insert(area(0x20 + 2 * start, 0x21 + 2 * start, RW)).unwrap();
        }
        let next = area(0x10, 0x11, RW);
        assert_eq!(map.insert(next), Err(AreaError::TooMany));
        assert!(map.find(0x10_000).is_none());
    }

    #[test]
    fn the_gap_is_the_highest_that_fits() {
        let mut map = AreaMap::new();
        map.insert(area(0x50, 0x60, RW)).unwrap();
        map.insert(area(0x62, 0x70, RW)).unwrap();
        assert_eq!(map.gap_below(0x7_0000, 2), Some(range(0x60, 0x62)));
        assert_eq!(map.gap_below(0x7_0000, 3), Some(range(0x4d, 0x50)));
        assert_eq!(map.gap_below(0x7_0000, 0x60), None);
        assert_eq!(map.gap_below(0x7_0000, u64::MAX), None);
    }

    proptest! {
        #[test]
        fn areas_are_what_a_page_by_page_model_says(steps in prop::collection::vec(
            (0u8..3, 16u64..64, 1u64..16, 0u8..8), 1..60,
        )) {
            let mut map = AreaMap::new();
            let mut model = [None; 96];
            for (kind, start, length, bits) in steps {
                let protection = Protection::from_bits_truncate(bits);
                let end = start + length;
                let pages = &mut model[start as usize..end as usize];
                let done = match kind {
                    0 => map.insert(area(start, end, protection)).is_ok(),
                    1 => map.remove(range(start, end)).is_ok(),
                    _ => map.protect(range(start, end), protection).is_ok(),
                };
                let allowed = match kind {
                    0 => pages.iter().all(Option::is_none),
                    1 => true,
                    _ => pages.iter().all(Option::is_some),
                };
                prop_assert_eq!(done, allowed);
                if done {
                    pages.fill((kind != 1).then_some(protection));
                }
                for (page, expected) in (0u64..).zip(model) {
                    prop_assert_eq!(map.find(page << 12).map(|area| area.protection), expected);
                }
            }
        }
    }
}
