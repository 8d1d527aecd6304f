//! A program's file: ELF64, static, at fixed addresses or position-independent (System V gABI, chapters 4 and 5).
//!
//! The file is not trusted: whatever it says is checked before anyone acts on it, and nothing here can panic.
use crate::addr::{PageRange, USER_START, page_ceil};
use crate::mm::area::{Access, Area, AreaMap, Backing, Protection, Purpose};
use crate::mm::layout::MAP_TOP;

/// Most program headers of a file.
const MAX_SEGMENTS: u16 = 64;
/// Size of a program header.
pub const PROGRAM_HEADER: u16 = 56;
/// Segments lie below this address: the rest is for mappings and the stack.
const IMAGE_END: u64 = MAP_TOP / 2;

/// How many bytes of the file's beginning are looked at; its headers lie there.
pub const HEAD: usize = 4096;
/// Where position-independent programs are put: a multiple of 2 MiB, the largest alignment that linkers ask for.
const INDEPENDENT_BASE: u64 = 0x2aaa_aaa0_0000;

const TYPE_EXEC: u16 = 2;
const TYPE_DYNAMIC: u16 = 3;
const MACHINE_X86_64: u16 = 62;
const SEGMENT_LOAD: u32 = 1;
const SEGMENT_INTERPRETER: u32 = 3;
const SEGMENT_STACK: u32 = 0x6474_e551;

/// What is wrong with a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unfit {
    /// No ELF64 file for x86-64.
    NotElf64,
    /// Dynamically linked, or no executable at all.
    NotStatic,
    /// A header or segment points outside the file, or contradicts itself.
    Malformed,
    /// A segment lies where no program may have one, or over another.
    Misplaced,
    /// The entry point is not in executable code.
    EntryOutside,
}

impl core::fmt::Display for Unfit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NotElf64 => "no ELF64 file for x86-64",
            Self::NotStatic => "no static executable",
            Self::Malformed => "its headers contradict its size or each other",
            Self::Misplaced => "a segment lies over another or where no program may have one",
            Self::EntryOutside => "its entry point is not in its code",
        })
    }
}

/// A program that can be started.
#[derive(Debug)]
pub struct Image {
    /// Where it begins.
    pub entry: u64,
    /// Its segments.
    pub areas: AreaMap,
    /// First address past them, page-aligned: the first program break.
    pub end: u64,
    /// Address of its program headers, 0 if no segment holds them.
    pub program_headers: u64,
    /// How many there are.
    pub program_header_count: u16,
    /// What its stack allows.
    pub stack_protection: Protection,
}

/// Reads a program's file of `size` bytes, of which `head` are the first: [`HEAD`] of them, or all.
///
/// # Errors
/// [`Unfit`].
pub fn read(head: &[u8], size: u64) -> Result<Image, Unfit> {
    let header = Header::read(head)?;
    let mut image = Image {
        entry: header.entry,
        areas: AreaMap::new(),
        end: USER_START,
        program_headers: 0,
        program_header_count: header.count,
        stack_protection: Protection::READ | Protection::WRITE,
    };
    for index in 0..header.count {
        let segment = Segment::read(head, &header, index)?;
        match segment.kind {
            SEGMENT_INTERPRETER => return Err(Unfit::NotStatic),
            SEGMENT_LOAD if segment.memory_size > 0 => image.add(&header, &segment, size)?,
            SEGMENT_STACK if segment.protection().contains(Protection::EXECUTE) => {
                image.stack_protection = Protection::all();
            }
            _ => {}
        }
    }
    let entry = image.areas.find(image.entry);
    if entry.is_none_or(|area| !area.protection.allows(Access::Execute)) {
        return Err(Unfit::EntryOutside);
    }
    Ok(image)
}

impl Image {
    fn add(&mut self, header: &Header, segment: &Segment, file_size: u64) -> Result<(), Unfit> {
        let file_end = segment
            .offset
            .checked_add(segment.file_size)
            .ok_or(Unfit::Malformed)?;
        if file_end > file_size || segment.file_size > segment.memory_size {
            return Err(Unfit::Malformed);
        }
        let end = segment
            .address
            .checked_add(segment.memory_size)
            .and_then(page_ceil);
        let end = end.filter(|end| *end <= IMAGE_END).ok_or(Unfit::Misplaced)?;
        let range = PageRange::covering(segment.address, segment.memory_size).ok_or(Unfit::Misplaced)?;
        let backing = Backing::File {
            start: segment.address,
            end: segment.address + segment.file_size,
            offset: segment.offset,
        };
        let area = Area {
            range,
            protection: segment.protection(),
            backing,
            purpose: Purpose::Image,
        };
        self.areas.insert(area).map_err(|_| Unfit::Misplaced)?;
        self.end = self.end.max(end);
        let table_end = header.table + u64::from(header.count) * u64::from(PROGRAM_HEADER);
        if segment.offset <= header.table && table_end <= file_end {
            self.program_headers = segment.address + (header.table - segment.offset);
        }
        Ok(())
    }
}

/// What is needed of the file's header; the table lies in the file's beginning.
struct Header {
    /// What is added to the addresses of the file.
    base: u64,
    entry: u64,
    table: u64,
    count: u16,
}

impl Header {
    fn read(file: &[u8]) -> Result<Self, Unfit> {
        let ident = file.get(..16).ok_or(Unfit::NotElf64)?;
        // Magic, 64 bits, little-endian, version 1.
        if !ident.starts_with(b"\x7fELF\x02\x01\x01") || half(file, 18) != Some(MACHINE_X86_64) {
            return Err(Unfit::NotElf64);
        }
        let base = match half(file, 16) {
            Some(TYPE_EXEC) => 0,
            Some(TYPE_DYNAMIC) => INDEPENDENT_BASE,
            _ => return Err(Unfit::NotStatic),
        };
        let fields = (word(file, 24), word(file, 32), half(file, 54), half(file, 56));
        let (Some(entry), Some(table), Some(PROGRAM_HEADER), Some(count)) = fields else {
            return Err(Unfit::Malformed);
        };
        let size = u64::from(count) * u64::from(PROGRAM_HEADER);
        let end = table.checked_add(size).ok_or(Unfit::Malformed)?;
        if count > MAX_SEGMENTS || end > file.len() as u64 {
            return Err(Unfit::Malformed);
        }
        let entry = base.checked_add(entry).ok_or(Unfit::Malformed)?;
        Ok(Self {
            base,
            entry,
            table,
            count,
        })
    }
}

struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    file_size: u64,
    memory_size: u64,
}

impl Segment {
    fn read(file: &[u8], header: &Header, index: u16) -> Result<Self, Unfit> {
        let at = header.table + u64::from(index) * u64::from(PROGRAM_HEADER);
        let at = usize::try_from(at).map_err(|_| Unfit::Malformed)?;
        let segment = file
            .get(at..at + usize::from(PROGRAM_HEADER))
            .ok_or(Unfit::Malformed)?;
        let read = || {
            Some(Self {
                kind: single(segment, 0)?,
                flags: single(segment, 4)?,
                offset: word(segment, 8)?,
                address: word(segment, 16)?.checked_add(header.base)?,
                file_size: word(segment, 32)?,
                memory_size: word(segment, 40)?,
            })
        };
        read().ok_or(Unfit::Malformed)
    }

    fn protection(&self) -> Protection {
        let mut protection = Protection::empty();
        protection.set(Protection::EXECUTE, self.flags & 1 != 0);
        protection.set(Protection::WRITE, self.flags & 2 != 0);
        protection.set(Protection::READ, self.flags & 4 != 0);
        protection
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn single(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) struct Load {
        pub(crate) flags: u32,
        pub(crate) address: u64,
        pub(crate) bytes: &'static [u8],
        pub(crate) memory_size: u64,
    }

    /// A file whose headers are followed by the segments' bytes.
    pub(crate) fn file(entry: u64, loads: &[Load]) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(b"\x7fELF\x02\x01\x01");
        out.resize(16, 0);
        out.extend([2u8, 0, 62, 0, 1, 0, 0, 0]);
        out.extend(entry.to_le_bytes());
        out.extend(64u64.to_le_bytes());
        out.extend([0u8; 8 + 4 + 2]);
        out.extend(PROGRAM_HEADER.to_le_bytes());
        out.extend((loads.len() as u16).to_le_bytes());
        out.resize(64, 0);
        let mut offset = 64 + 56 * loads.len() as u64;
        for load in loads {
            out.extend(1u32.to_le_bytes());
            out.extend(load.flags.to_le_bytes());
            for word in [
                offset,
                load.address,
                load.address,
                load.bytes.len() as u64,
                load.memory_size,
                0x1000,
            ] {
                out.extend(word.to_le_bytes());
            }
            offset += load.bytes.len() as u64;
        }
        loads.iter().for_each(|load| out.extend(load.bytes));
        out
    }

    /// Reads a file that is shorter than [`HEAD`].
    pub(crate) fn whole(file: &[u8]) -> Result<Image, Unfit> {
        read(file, file.len() as u64)
    }

    pub(crate) fn small() -> Vec<u8> {
        file(
            0x40_1000,
            &[
                Load {
                    flags: 5,
                    address: 0x40_1000,
                    bytes: b"code",
                    memory_size: 4,
                },
                Load {
                    flags: 6,
                    address: 0x40_3010,
                    bytes: b"data",
                    memory_size: 0x2000,
                },
            ],
        )
    }

    #[test]
    fn segments_become_areas_and_the_break_follows_them() {
        let image = whole(&small()).unwrap();
        assert_eq!(image.entry, 0x40_1000);
        assert_eq!(image.end, 0x40_6000);
        let areas = image.areas.as_slice();
        assert_eq!(areas[0].protection, Protection::READ | Protection::EXECUTE);
        assert_eq!(areas[1].range, PageRange::new(0x40_3000, 0x40_6000).unwrap());
        assert_eq!(
            areas[1].backing,
            Backing::File {
                start: 0x40_3010,
                end: 0x40_3014,
                offset: 180
            }
        );
    }

    #[test]
    fn a_position_independent_program_gets_a_place() {
        let mut file = file(0x1000, &[load(5, 0x1000, 4)]);
        file[16] = 3;
        let image = whole(&file).unwrap();
        assert_eq!(image.entry, INDEPENDENT_BASE + 0x1000);
        assert_eq!(image.areas.as_slice()[0].range.start(), INDEPENDENT_BASE + 0x1000);
        assert!(image.areas.find(image.entry).is_some());
    }

    #[test]
    fn the_stack_is_executable_only_for_those_who_ask() {
        let mut small = small();
        assert_eq!(
            whole(&small).unwrap().stack_protection,
            Protection::READ | Protection::WRITE
        );
        small[64 + 56..64 + 60].copy_from_slice(&SEGMENT_STACK.to_le_bytes());
        small[64 + 60] = 7;
        assert_eq!(whole(&small).unwrap().stack_protection, Protection::all());
    }

    fn refused(entry: u64, load: Load) -> Unfit {
        whole(&file(entry, &[load])).unwrap_err()
    }

    fn load(flags: u32, address: u64, memory_size: u64) -> Load {
        Load {
            flags,
            address,
            bytes: b"code",
            memory_size,
        }
    }

    #[test]
    fn segments_outside_the_program_s_addresses_are_refused() {
        for (address, size) in [
            (0, 4),
            (0xffff_8000_0000_0000, 4),
            (u64::MAX - 3, 4),
            (0x40_0000, u64::MAX),
            (1 << 47, 4),
        ] {
            assert_eq!(
                refused(address, load(5, address, size)),
                Unfit::Misplaced,
                "{address:#x}"
            );
        }
    }

    #[test]
    fn a_segment_over_another_is_refused() {
        let two = file(0x40_1000, &[load(5, 0x40_1000, 4), load(6, 0x40_1800, 4)]);
        assert_eq!(whole(&two).unwrap_err(), Unfit::Misplaced);
    }

    #[test]
    fn the_entry_must_be_executable() {
        assert_eq!(refused(0x40_1000, load(6, 0x40_1000, 4)), Unfit::EntryOutside);
        assert_eq!(refused(0x40_2000, load(5, 0x40_1000, 4)), Unfit::EntryOutside);
    }

    #[test]
    fn a_segment_that_needs_more_than_the_file_has_is_refused() {
        assert_eq!(refused(0x40_1000, load(5, 0x40_1000, 3)), Unfit::Malformed);
        let mut cut = small();
        cut.truncate(cut.len() - 1);
        assert_eq!(whole(&cut).unwrap_err(), Unfit::Malformed);
    }

    #[test]
    fn other_kinds_of_files_are_told_apart() {
        assert_eq!(whole(b"#!/bin/sh").unwrap_err(), Unfit::NotElf64);
        assert_eq!(whole(b"").unwrap_err(), Unfit::NotElf64);
        let mut object = small();
        object[16] = 1;
        assert_eq!(whole(&object).unwrap_err(), Unfit::NotStatic);
        let mut dynamic = small();
        dynamic[64 + 56] = 3;
        assert_eq!(whole(&dynamic).unwrap_err(), Unfit::NotStatic);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn no_file_makes_the_reader_panic(
            changes in prop::collection::vec((0usize..200, any::<u8>()), 0..12), length in 0usize..200,
        ) {
            let mut bytes = small();
            for (at, value) in changes {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            bytes.truncate(length);
            if let Ok(image) = whole(&bytes) {
                prop_assert!(image.areas.as_slice().iter().all(|area| area.range.end() <= IMAGE_END));
            }
        }
    }
}
