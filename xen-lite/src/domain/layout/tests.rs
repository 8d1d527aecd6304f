//! The tables are built in a mock memory and walked as the CPU would.
use super::*;
use crate::elf::Segment;
use abi::mmu::PTE_FRAME;
use proptest::prelude::*;
use std::collections::HashMap;

const BASE: u64 = 0xffff_ffff_8010_0000;

fn segment(vaddr: u64, pages: u64, writable: bool, executable: bool) -> Segment {
    Segment {
        vaddr,
        pages,
        writable,
        executable,
        ..Segment::default()
    }
}

fn kernel(segments: &[Segment]) -> KernelPlan {
    KernelPlan::for_test(BASE, segments)
}

/// All tables by pfn, filled from the last to the first.
fn build(layout: &Layout) -> HashMap<u64, Vec<u64>> {
    let mut memory: HashMap<u64, Vec<u64>> = HashMap::new();
    for number in (0..layout.table_count()).rev() {
        let table = layout.table(number).unwrap();
        let entry = |slot| match layout.entry(table, slot) {
            None => 0,
            Some(Entry { pfn, flags }) => {
                if table.level != Level::L1 {
                    assert!(memory.contains_key(&pfn), "a child comes before its parent");
                }
                pfn << 12 | flags.bits()
            }
        };
        let entries: Vec<u64> = (0..512).map(entry).collect();
        assert!(entries.iter().any(|entry| *entry != 0), "no table is empty");
        assert!(memory.insert(table.pfn, entries).is_none());
    }
    memory
}

fn walk(memory: &HashMap<u64, Vec<u64>>, root: u64, va: u64) -> Option<u64> {
    let mut pfn = root;
    let mut entry = 0;
    for level in [Level::L4, Level::L3, Level::L2, Level::L1] {
        entry = memory[&pfn][level.index_of(va)];
        if entry & 1 == 0 {
            return None;
        }
        pfn = (entry & PTE_FRAME) >> 12;
    }
    Some(entry)
}

/// Walks every page that should be mapped, and counts that no other is.
fn check(segments: &[Segment], module_size: u64, nr_pages: u64) {
    let layout = Layout::new(&kernel(segments), module_size, nr_pages).unwrap();
    let memory = build(&layout);
    let root = layout.table(0).unwrap();
    assert_eq!((root.level, root.pfn), (Level::L4, layout.page_tables_pfn));
    assert!(layout.table(layout.table_count()).is_none());
    let mut pfn = 0;
    for segment in segments {
        for page in 0..segment.pages {
            let mut flags = PteFlags::PRESENT | PteFlags::ACCESSED;
            flags.set(PteFlags::WRITABLE | PteFlags::DIRTY, segment.writable);
            flags.set(PteFlags::NO_EXECUTE, !segment.executable);
            let entry = walk(&memory, root.pfn, segment.vaddr + page * 4096);
            assert_eq!(entry, Some(pfn << 12 | flags.bits()));
            pfn += 1;
        }
    }
    for pfn in 0..nr_pages {
        let is_table = memory.contains_key(&pfn);
        let mut flags = PteFlags::PRESENT | PteFlags::ACCESSED | PteFlags::NO_EXECUTE;
        flags.set(PteFlags::WRITABLE | PteFlags::DIRTY, !is_table);
        let entry = walk(&memory, root.pfn, PHYSMAP + pfn * 4096);
        assert_eq!(entry, Some(pfn << 12 | flags.bits()), "pfn {pfn}");
        assert_eq!(is_table, matches!(layout.contents(pfn), Contents::Table(_)));
    }
    let mapped: usize = (0..layout.table_count())
        .filter_map(|number| layout.table(number))
        .filter(|table| table.level == Level::L1)
        .map(|table| memory[&table.pfn].iter().filter(|entry| **entry != 0).count())
        .sum();
    assert_eq!(
        mapped as u64,
        nr_pages + segments.iter().map(|segment| segment.pages).sum::<u64>()
    );
}

#[test]
fn a_usual_kernel_is_mapped_as_its_headers_say() {
    let segments = [
        segment(BASE, 40, false, true),
        segment(BASE + 0x2_8000, 9, false, false),
        segment(BASE + 0x10_0000, 30, true, false),
    ];
    check(&segments, 0, 256);
    check(&segments, 300_000, 8192);
}

#[test]
fn segments_share_tables_where_their_addresses_do() {
    let low = [
        segment(0x1000, 1, false, true),
        segment(0x20_0000 - 0x1000, 2, true, false),
        segment(0x4000_0000 - 0x1000, 3, true, true),
        segment(0x7fff_ffff_f000, 1, false, false),
        segment(0xffff_8080_0000_0000, 1, true, false),
        segment(PHYSMAP - 0x1000, 1, true, false),
        segment(PHYSMAP + (1 << 39), 600, true, false),
        segment(u64::MAX - 0xfff, 1, false, true),
    ];
    check(&low, 1, 1024);
    let layout = Layout::new(&kernel(&low[..2]), 0, 1024).unwrap();
    // The root; L3 of slots 0 and 272; one L2 each; two L1 each (1024 frames take two).
    assert_eq!(layout.table_count(), 1 + 2 + 2 + 4);
}

#[test]
fn a_large_domain_has_tables_in_proportion() {
    let layout = Layout::new(&kernel(&[segment(BASE, 1, false, true)]), 0, MAX_FRAMES).unwrap();
    assert_eq!(layout.table_count(), 1 + (1 + 1) + (512 + 1) + (512 * 512 + 1));
    let last = layout.table(layout.table_count() - 1).unwrap();
    assert_eq!(last.level, Level::L1);
    assert_eq!(
        layout
            .entry(last, Level::L1.index_of(BASE))
            .map(|entry| entry.pfn),
        Some(0)
    );
    assert_eq!(layout.entry(last, 512), None);
}

#[test]
fn frames_are_dealt_out_in_the_documented_order() {
    let segments = [
        segment(BASE, 2, false, true),
        segment(BASE + 0x3000, 1, true, false),
    ];
    let layout = Layout::new(&kernel(&segments), 4097, 1024).unwrap();
    let contents: Vec<Contents> = (0..15).map(|pfn| layout.contents(pfn)).collect();
    let expected = [
        Contents::Segment { segment: 0, page: 0 },
        Contents::Segment { segment: 0, page: 1 },
        Contents::Segment { segment: 1, page: 0 },
        Contents::Module { page: 0 },
        Contents::Module { page: 1 },
        Contents::FrameList { first: 0 },
        Contents::FrameList { first: 512 },
        Contents::StartInfo,
        Contents::Zero,
        Contents::Zero,
        Contents::Zero,
        Contents::Zero,
        Contents::Table(0),
        Contents::Table(1),
        Contents::Table(2),
    ];
    assert_eq!(contents, expected);
    assert_eq!(layout.contents(layout.first_free_pfn), Contents::Zero);
    assert_eq!(layout.first_free_pfn, 12 + layout.table_count());
}

#[test]
fn a_domain_that_is_too_small_is_told_by_how_much() {
    let plan = kernel(&[segment(BASE, 10, false, true)]);
    let needed = 10 + 1 + 1 + 4 + 7 + 1;
    for nr_pages in 1..needed {
        let error = Layout::new(&plan, 0, nr_pages).unwrap_err();
        assert_eq!(
            error,
            OutOfMemory {
                needed,
                given: nr_pages
            }
        );
    }
    assert!(Layout::new(&plan, 0, needed).is_ok());
    let error = Layout::new(&plan, 0, 2).unwrap_err();
    assert_eq!(error.to_string(), "8 KiB of memory, 96 KiB are needed at least");
}

#[test]
fn absurd_sizes_are_out_of_memory_too() {
    let plan = kernel(&[segment(BASE, 10, false, true)]);
    assert!(Layout::new(&plan, u64::MAX, 1024).is_err());
    assert!(Layout::new(&plan, 0, 0).is_err());
    assert!(Layout::new(&plan, 0, u64::MAX).is_err());
    let huge = kernel(&[segment(0x1000, (1 << 35) - 2, true, true)]);
    assert!(Layout::new(&huge, 0, MAX_FRAMES).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn wherever_segments_lie_the_tables_map_them_and_the_physmap(
        gaps in proptest::collection::vec((prop_oneof![0u64..4, 0u64..2000, 0u64..(1 << 20), 0u64..(1 << 30)],
            1u64..40, any::<bool>(), any::<bool>()), 1..12),
        upper: bool, nr_pages in 700u64..2500,
    ) {
        let mut page = if upper { (PHYSMAP + (1 << 39)) >> 12 } else { 0 };
        let mut segments = Vec::new();
        for (gap, pages, writable, executable) in gaps {
            page += gap;
            segments.push(segment(page << 12, pages, writable, executable));
            page += pages;
        }
        check(&segments, 9000, nr_pages);
    }
}
