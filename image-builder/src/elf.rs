//! What a guest kernel's file must be, so that a mistake is told here and not by a dead domain.
//!
//! Nothing of the file is trusted: every offset is checked before it is used. The hypervisor checks again.
use abi::layout::{SLOT_BASE, SLOT_END, is_canonical};

const HEADER_SIZE: usize = 64;
const PROGRAM_HEADER_SIZE: usize = 56;
const TYPE_EXECUTABLE: u16 = 2;
const TYPE_SHARED: u16 = 3;
const MACHINE_X86_64: u16 = 62;
const SEGMENT_LOAD: u32 = 1;
const SEGMENT_INTERPRETER: u32 = 3;
const SEGMENT_EXECUTABLE: u32 = 1;

/// A file whose header and program headers lie in it.
struct Elf {
    kind: u16,
    entry: u64,
    segments: Vec<Segment>,
    program_headers_end: u64,
}

struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    file_size: u64,
    memory_size: u64,
}

/// Checks a guest kernel; the error says what is wrong with it, to follow the file's name.
pub fn check_kernel(bytes: &[u8]) -> Result<(), String> {
    let elf = Elf::parse(bytes)?;
    match elf.kind {
        TYPE_EXECUTABLE => {}
        TYPE_SHARED => {
            return Err("is position-independent, and nobody relocates it: link it with -no-pie".to_owned());
        }
        _ => return Err("is an ELF file, but no executable: link it".to_owned()),
    }
    if elf
        .segments
        .iter()
        .any(|segment| segment.kind == SEGMENT_INTERPRETER)
    {
        return Err("wants a dynamic loader: link it statically".to_owned());
    }
    let loaded: Vec<&Segment> = elf.loaded().collect();
    if loaded.is_empty() {
        return Err("has nothing to load".to_owned());
    }
    for segment in &loaded {
        segment.check(bytes.len() as u64)?;
    }
    let holds_entry = |segment: &&&Segment| {
        segment.flags & SEGMENT_EXECUTABLE != 0
            && elf.entry.wrapping_sub(segment.address) < segment.memory_size
    };
    if !loaded.iter().any(|segment| holds_entry(&segment)) {
        return Err(format!(
            "has its entry point {:#x} outside every executable segment",
            elf.entry
        ));
    }
    Ok(())
}

/// The same executable without what no loader reads: sections, symbols, line tables. A file that is no ELF, or is
/// truncated, comes back as it is.
#[must_use]
pub fn without_sections(bytes: &[u8]) -> Vec<u8> {
    let Ok(elf) = Elf::parse(bytes) else {
        return bytes.to_vec();
    };
    let ends = elf
        .segments
        .iter()
        .map(|segment| segment.offset.saturating_add(segment.file_size));
    let end = ends.fold(elf.program_headers_end, u64::max);
    let end = usize::try_from(end).unwrap_or(usize::MAX).min(bytes.len());
    let mut kept = bytes[..end.max(HEADER_SIZE)].to_vec();
    kept[0x28..0x30].fill(0); // e_shoff
    kept[0x3c..0x40].fill(0); // e_shnum, e_shstrndx
    kept
}

impl Elf {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.get(..4) != Some(b"\x7fELF") {
            return Err("is no ELF file".to_owned());
        }
        if bytes.len() < HEADER_SIZE {
            return Err("is truncated: its ELF header is not whole".to_owned());
        }
        if bytes[4] != 2 || bytes[5] != 1 {
            return Err("is an ELF file, but not a 64-bit little-endian one".to_owned());
        }
        if u16_at(bytes, 0x12) != MACHINE_X86_64 {
            return Err("is an ELF64 file for another machine than x86-64".to_owned());
        }
        let table = u64_at(bytes, 0x20);
        let count = u16_at(bytes, 0x38);
        if count != 0 && usize::from(u16_at(bytes, 0x36)) != PROGRAM_HEADER_SIZE {
            return Err("has program headers of an unknown size".to_owned());
        }
        let size = u64::from(count) * PROGRAM_HEADER_SIZE as u64;
        let end = table.checked_add(size).filter(|end| *end <= bytes.len() as u64);
        let Some(program_headers_end) = end else {
            return Err("is truncated: its program headers lie beyond its end".to_owned());
        };
        // Both ends are within a slice, so they are a usize.
        let headers = &bytes[table as usize..program_headers_end as usize];
        let segments = headers
            .chunks_exact(PROGRAM_HEADER_SIZE)
            .map(Segment::parse)
            .collect();
        Ok(Self {
            kind: u16_at(bytes, 0x10),
            entry: u64_at(bytes, 0x18),
            segments,
            program_headers_end,
        })
    }

    fn loaded(&self) -> impl Iterator<Item = &Segment> {
        self.segments
            .iter()
            .filter(|segment| segment.kind == SEGMENT_LOAD && segment.memory_size != 0)
    }
}

impl Segment {
    fn parse(header: &[u8]) -> Self {
        Self {
            kind: u32_at(header, 0),
            flags: u32_at(header, 4),
            offset: u64_at(header, 8),
            address: u64_at(header, 16),
            file_size: u64_at(header, 32),
            memory_size: u64_at(header, 40),
        }
    }

    fn check(&self, file_size: u64) -> Result<(), String> {
        let at = format!("the segment at {:#x}", self.address);
        if self
            .offset
            .checked_add(self.file_size)
            .is_none_or(|end| end > file_size)
        {
            return Err(format!("is truncated: {at} lies beyond its end"));
        }
        if self.file_size > self.memory_size {
            return Err(format!("is damaged: {at} is larger in the file than in memory"));
        }
        let Some(last) = self.address.checked_add(self.memory_size - 1) else {
            return Err(format!("is damaged: {at} goes past the end of all addresses"));
        };
        let same_half = (self.address >> 63) == (last >> 63);
        if !is_canonical(self.address) || !is_canonical(last) || !same_half {
            return Err(format!(
                "cannot be loaded: {at} covers addresses that are not canonical"
            ));
        }
        if self.address < SLOT_END && last >= SLOT_BASE {
            return Err(format!(
                "cannot be loaded: {at} lies in the hypervisor's slot {SLOT_BASE:#x}..{:#x}",
                SLOT_END - 1
            ));
        }
        Ok(())
    }
}

/// The bytes at `at`, which the caller has checked to be there.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut value = [0; N];
    value.copy_from_slice(&bytes[at..at + N]);
    value
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(field(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(field(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(field(bytes, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0xffff_ffff_8000_0000;

    /// A kernel of one segment: 4096 bytes from offset 0, the entry behind its headers.
    fn kernel() -> Vec<u8> {
        let mut bytes = vec![0x90; 5000];
        bytes[..HEADER_SIZE + PROGRAM_HEADER_SIZE].fill(0);
        bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        put(&mut bytes, 0x10, &TYPE_EXECUTABLE.to_le_bytes());
        put(&mut bytes, 0x12, &MACHINE_X86_64.to_le_bytes());
        put(&mut bytes, 0x18, &(BASE + 0x100).to_le_bytes());
        put(&mut bytes, 0x20, &64u64.to_le_bytes());
        put(&mut bytes, 0x28, &4900u64.to_le_bytes());
        put(&mut bytes, 0x36, &56u16.to_le_bytes());
        put(&mut bytes, 0x38, &1u16.to_le_bytes());
        put(&mut bytes, 0x3c, &3u16.to_le_bytes());
        put(&mut bytes, 64, &SEGMENT_LOAD.to_le_bytes());
        put(&mut bytes, 68, &5u32.to_le_bytes());
        put(&mut bytes, 80, &BASE.to_le_bytes());
        put(&mut bytes, 96, &4096u64.to_le_bytes());
        put(&mut bytes, 104, &8192u64.to_le_bytes());
        bytes
    }

    fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
        bytes[at..at + value.len()].copy_from_slice(value);
    }

    fn refusal(change: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut bytes = kernel();
        change(&mut bytes);
        check_kernel(&bytes).unwrap_err()
    }

    #[test]
    fn a_plain_kernel_is_accepted() {
        assert_eq!(check_kernel(&kernel()), Ok(()));
    }

    #[test]
    fn other_files_are_refused_by_what_they_are() {
        assert!(check_kernel(b"").unwrap_err().contains("no ELF"));
        assert!(check_kernel(b"#!/bin/sh\n").unwrap_err().contains("no ELF"));
        assert!(refusal(|elf| elf[4] = 1).contains("64-bit"));
        assert!(refusal(|elf| elf[0x12] = 183).contains("another machine"));
        assert!(refusal(|elf| elf[0x10] = 1).contains("link it"));
        assert!(refusal(|elf| elf[0x10] = 3).contains("-no-pie"));
        assert!(refusal(|elf| elf[64] = 3).contains("dynamic loader"));
        assert!(refusal(|elf| elf[64] = 0).contains("nothing to load"));
    }

    #[test]
    fn offsets_beyond_the_file_are_refused() {
        assert!(refusal(|elf| elf.truncate(63)).contains("truncated"));
        assert!(refusal(|elf| elf.truncate(4000)).contains("truncated"));
        assert!(refusal(|elf| put(elf, 0x20, &u64::MAX.to_le_bytes())).contains("truncated"));
        assert!(refusal(|elf| put(elf, 0x38, &u16::MAX.to_le_bytes())).contains("truncated"));
        assert!(refusal(|elf| put(elf, 72, &(u64::MAX - 8).to_le_bytes())).contains("truncated"));
        assert!(refusal(|elf| put(elf, 0x36, &[1])).contains("unknown size"));
    }

    #[test]
    fn addresses_that_cannot_be_mapped_are_refused() {
        assert!(refusal(|elf| put(elf, 104, &8u64.to_le_bytes())).contains("larger in the file"));
        assert!(refusal(|elf| put(elf, 104, &u64::MAX.to_le_bytes())).contains("end of all addresses"));
        assert!(refusal(|elf| put(elf, 80, &(1u64 << 50).to_le_bytes())).contains("canonical"));
        assert!(refusal(|elf| put(elf, 80, &(SLOT_END - 4096).to_le_bytes())).contains("slot"));
        assert!(refusal(|elf| put(elf, 80, &(SLOT_BASE - 4096).to_le_bytes())).contains("canonical"));
        assert!(refusal(|elf| put(elf, 0x18, &(BASE + 8192).to_le_bytes())).contains("entry point"));
        assert!(refusal(|elf| elf[68] = 6).contains("entry point"));
    }

    #[test]
    fn no_damage_to_any_byte_of_the_headers_makes_the_check_panic() {
        let whole = kernel();
        for at in 0..HEADER_SIZE + PROGRAM_HEADER_SIZE {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                let _ = check_kernel(&bytes);
                let _ = without_sections(&bytes);
            }
        }
        for length in 0..200 {
            let _ = check_kernel(&whole[..length]);
            let _ = without_sections(&whole[..length]);
        }
    }

    #[test]
    fn what_no_loader_reads_is_left_out() {
        let whole = kernel();
        let kept = without_sections(&whole);
        assert_eq!(kept.len(), 4096);
        assert_eq!(check_kernel(&kept), Ok(()));
        assert_eq!(u64_at(&kept, 0x28), 0);
        assert_eq!(u16_at(&kept, 0x3c), 0);
        assert_eq!(kept[64..], whole[64..4096]);
    }
}
