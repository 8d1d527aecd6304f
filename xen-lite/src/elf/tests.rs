//! Kernels good and bad; and any bytes at all.
use super::*;
use proptest::prelude::*;

/// A program header.
#[derive(Clone, Copy, Debug)]
struct Load {
    kind: u32,
    flags: u32,
    offset: u64,
    vaddr: u64,
    file_size: u64,
    mem_size: u64,
}

const R: u32 = 4;
const W: u32 = 2;
const X: u32 = 1;
const BASE: u64 = 0xffff_ffff_8010_0000;
const DATA: u64 = 0x200;

const TEXT: Load = Load {
    kind: 1,
    flags: R | X,
    offset: DATA,
    vaddr: BASE,
    file_size: 0x100,
    mem_size: 0x100,
};
const BSS: Load = Load {
    kind: 1,
    flags: R | W,
    offset: DATA + 0x100,
    vaddr: BASE + 0x1100,
    file_size: 0x80,
    mem_size: 0x3000,
};

/// A file at a multiple of 8.
struct File(Vec<u64>, usize);

impl File {
    fn new(bytes: &[u8]) -> Self {
        let words = bytes.chunks(8).map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_ne_bytes(word)
        });
        Self(words.collect(), bytes.len())
    }

    /// Calls `check` with the bytes where they are aligned.
    fn plan(&self) -> Result<KernelPlan, ElfError> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|word| word.to_ne_bytes()).collect();
        // A byte vector need not be aligned: a copy with room to slide is.
        let mut room = vec![0u8; self.1 + 8];
        let shift = room.as_ptr().align_offset(8);
        room[shift..shift + self.1].copy_from_slice(&bytes[..self.1]);
        KernelPlan::from_elf(&room[shift..shift + self.1])
    }
}

fn elf(entry: u64, loads: &[Load]) -> Vec<u8> {
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0];
    file.resize(16, 0);
    file.extend(2u16.to_le_bytes());
    file.extend(62u16.to_le_bytes());
    file.extend(1u32.to_le_bytes());
    file.extend(entry.to_le_bytes());
    file.extend(64u64.to_le_bytes());
    file.extend(0u64.to_le_bytes());
    file.extend(0u32.to_le_bytes());
    for half in [64, 56, loads.len() as u16, 64, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    for load in loads {
        file.extend(load.kind.to_le_bytes());
        file.extend(load.flags.to_le_bytes());
        for word in [
            load.offset,
            load.vaddr,
            load.vaddr,
            load.file_size,
            load.mem_size,
            4096,
        ] {
            file.extend(word.to_le_bytes());
        }
    }
    let size = file.len().max(DATA as usize) + 0x1000;
    file.resize(size, 0xaa);
    file
}

fn plan(entry: u64, loads: &[Load]) -> Result<KernelPlan, ElfError> {
    File::new(&elf(entry, loads)).plan()
}

fn problem(load: Load) -> SegmentProblem {
    let ElfError::Segment(1, problem) = plan(BASE, &[TEXT, load]).unwrap_err() else {
        unreachable!()
    };
    problem
}

/// A good file with bytes changed at an offset.
fn patched(offset: usize, bytes: &[u8]) -> Result<KernelPlan, ElfError> {
    let mut file = elf(BASE, &[TEXT, BSS]);
    file[offset..offset + bytes.len()].copy_from_slice(bytes);
    File::new(&file).plan()
}

#[test]
fn a_kernel_becomes_sorted_segments() {
    for loads in [[TEXT, BSS], [BSS, TEXT]] {
        let plan = plan(BASE + 0xff, &loads).unwrap();
        assert_eq!(plan.entry(), BASE + 0xff);
        assert_eq!(plan.pages(), 5);
        let text = Segment {
            vaddr: BASE,
            pages: 1,
            offset: 0,
            file_start: DATA as usize,
            file_size: 0x100,
            writable: false,
            executable: true,
        };
        let bss = Segment {
            vaddr: BASE + 0x1000,
            pages: 4,
            offset: 0x100,
            file_start: DATA as usize + 0x100,
            file_size: 0x80,
            writable: true,
            executable: false,
        };
        assert_eq!(plan.segments(), [text, bss]);
    }
}

#[test]
fn each_page_gets_its_part_of_the_file() {
    let file: Vec<u8> = (0..0x4000u32).map(|byte| byte as u8).collect();
    let segment = Segment {
        vaddr: 0x10000,
        pages: 4,
        offset: 0xf00,
        file_start: 0x123,
        file_size: 0x1180,
        ..Segment::default()
    };
    assert_eq!(segment.bytes_of_page(&file, 0), (0xf00, &file[0x123..0x223]));
    assert_eq!(segment.bytes_of_page(&file, 1), (0, &file[0x223..0x1223]));
    assert_eq!(segment.bytes_of_page(&file, 2), (0, &file[0x1223..0x12a3]));
    assert_eq!(segment.bytes_of_page(&file, 3), (0, &[][..]));
    assert_eq!(segment.bytes_of_page(&file, u64::MAX), (0, &[][..]));
}

#[test]
fn other_headers_than_load_are_passed_over() {
    let wild = Load {
        offset: u64::MAX,
        vaddr: SLOT_BASE,
        file_size: u64::MAX,
        mem_size: u64::MAX,
        ..TEXT
    };
    for kind in [
        0,
        2,
        3,
        4,
        5,
        6,
        7,
        0x6474_e551,
        0x6474_e552,
        8,
        0x7fff_ffff,
        u32::MAX,
    ] {
        assert!(plan(BASE, &[Load { kind, ..wild }, TEXT]).is_ok());
    }
    let empty = Load {
        mem_size: 0,
        file_size: 0,
        ..BSS
    };
    assert_eq!(plan(BASE, &[TEXT, empty]).unwrap().segments().len(), 1);
}

#[test]
fn the_header_says_what_the_file_is() {
    assert_eq!(patched(0, b"\x7fELG"), Err(ElfError::NotElf));
    assert_eq!(patched(4, &[0]), Err(ElfError::NotElf));
    assert_eq!(patched(4, &[1]), Err(ElfError::NotElf64));
    assert_eq!(patched(5, &[2]), Err(ElfError::NotElf64));
    assert_eq!(patched(18, &[3]), Err(ElfError::Machine));
    assert_eq!(patched(16, &[3]), Err(ElfError::PositionIndependent));
    assert_eq!(patched(16, &[1]), Err(ElfError::NotExecutable));
}

#[test]
fn the_table_of_program_headers_lies_in_the_file() {
    let (offset, entry_size, count) = (32, 54, 56);
    assert_eq!(
        patched(offset, &u64::MAX.to_le_bytes()),
        Err(ElfError::ProgramHeaders)
    );
    assert_eq!(
        patched(offset, &(u64::MAX - 111).to_le_bytes()),
        Err(ElfError::ProgramHeaders)
    );
    assert_eq!(
        patched(offset, &0u64.to_le_bytes()),
        Err(ElfError::ProgramHeaders)
    );
    assert_eq!(
        patched(offset, &65u64.to_le_bytes()),
        Err(ElfError::ProgramHeaders)
    );
    assert_eq!(
        patched(offset, &0x11a8u64.to_le_bytes()),
        Err(ElfError::ProgramHeaders)
    );
    assert_eq!(
        patched(entry_size, &0u16.to_le_bytes()),
        Err(ElfError::ProgramHeaders)
    );
    assert_eq!(
        patched(entry_size, &55u16.to_le_bytes()),
        Err(ElfError::ProgramHeaders)
    );
    assert_eq!(
        patched(entry_size, &u16::MAX.to_le_bytes()),
        Err(ElfError::ProgramHeaders)
    );
    assert_eq!(
        patched(count, &u16::MAX.to_le_bytes()),
        Err(ElfError::ProgramHeaders)
    );
    assert_eq!(patched(count, &0u16.to_le_bytes()), Err(ElfError::NoSegments));
    // 56 bytes before the table: its first header would be a part of the file's, and nothing to load.
    assert_eq!(
        patched(offset, &8u64.to_le_bytes()),
        Err(ElfError::ProgramHeaders)
    );
}

#[test]
fn the_65th_program_header_is_too_many() {
    let mut loads = vec![Load { kind: 0, ..TEXT }; 63];
    loads.push(Load {
        offset: 0x1000,
        ..TEXT
    });
    assert_eq!(plan(BASE, &loads).map(|plan| plan.pages()), Ok(1));
    loads.push(Load { kind: 0, ..TEXT });
    assert_eq!(plan(BASE, &loads), Err(ElfError::ProgramHeaders));
}

#[test]
fn a_file_cut_anywhere_is_refused_or_loads_what_it_holds() {
    let file = elf(BASE, &[TEXT, BSS]);
    for length in 0..file.len() {
        let result = File::new(&file[..length]).plan();
        let end = (DATA + 0x180) as usize;
        assert_eq!(result.is_ok(), length >= end, "{length}");
        assert_eq!(result == Err(ElfError::Truncated), length < 64, "{length}");
    }
}

#[test]
fn a_file_at_an_odd_address_is_refused() {
    let room = [0u64; 100];
    let bytes: Vec<u8> = room.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let shift = bytes.as_ptr().align_offset(8) + 1;
    assert_eq!(KernelPlan::from_elf(&bytes[shift..]), Err(ElfError::Misaligned));
}

#[test]
fn a_segment_s_bytes_lie_in_the_file_and_fit_its_memory() {
    assert_eq!(
        problem(Load {
            file_size: 0x3001,
            ..BSS
        }),
        SegmentProblem::FileLargerThanMemory
    );
    assert_eq!(
        problem(Load {
            offset: u64::MAX,
            ..BSS
        }),
        SegmentProblem::OutsideFile
    );
    assert_eq!(
        problem(Load {
            offset: u64::MAX - 0x7f,
            ..BSS
        }),
        SegmentProblem::OutsideFile
    );
    assert_eq!(
        problem(Load {
            offset: 0x1200 - 0x7f,
            ..BSS
        }),
        SegmentProblem::OutsideFile
    );
    assert!(
        plan(
            BASE,
            &[
                TEXT,
                Load {
                    offset: u64::MAX,
                    file_size: 0,
                    ..BSS
                }
            ]
        )
        .is_ok()
    );
}

#[test]
fn a_segment_lies_in_the_guests_canonical_addresses() {
    use SegmentProblem::{InHypervisorSlot, InPhysmap, OutsideAddressSpace};
    let at = |vaddr, mem_size| Load {
        vaddr,
        mem_size,
        file_size: 0,
        ..BSS
    };
    let cases = [
        (0x0000_8000_0000_0000, 1, OutsideAddressSpace),
        (0x0000_7fff_ffff_f000, 0x1001, OutsideAddressSpace),
        (0x1000, u64::MAX, OutsideAddressSpace),
        (0x1000, 0xffff_ffff_0000_0000, OutsideAddressSpace),
        (u64::MAX, 2, OutsideAddressSpace),
        (u64::MAX, u64::MAX, OutsideAddressSpace),
        (0xffff_7fff_ffff_ffff, 1, OutsideAddressSpace),
        (SLOT_BASE, 1, InHypervisorSlot),
        (SLOT_END - 1, 1, InHypervisorSlot),
        (SLOT_END - 1, 0x1000, InHypervisorSlot),
        (PHYSMAP, 1, InPhysmap),
        (PHYSMAP - 1, 2, InPhysmap),
        (PHYSMAP_END - 1, 1, InPhysmap),
        (SLOT_END, PHYSMAP_END - SLOT_END + 0x1000, InPhysmap),
    ];
    for (vaddr, mem_size, expected) in cases {
        assert_eq!(
            problem(at(vaddr, mem_size)),
            expected,
            "{vaddr:#x} + {mem_size:#x}"
        );
    }
    for (vaddr, mem_size) in [
        (0, 1),
        (0x1000, 0x7fff_ffff_e000),
        (SLOT_END, 1),
        (PHYSMAP - 1, 1),
        (PHYSMAP_END, 1),
        (u64::MAX, 1),
    ] {
        assert!(
            plan(BASE, &[TEXT, at(vaddr, mem_size)]).is_ok(),
            "{vaddr:#x} + {mem_size:#x}"
        );
    }
}

#[test]
fn segments_share_no_page() {
    for vaddr in [BASE, BASE + 0xfff, BASE - 0x2fff, BASE - 0x1000] {
        let load = Load { vaddr, ..BSS };
        assert_eq!(problem(load), SegmentProblem::SharesPage, "{vaddr:#x}");
    }
    assert!(
        plan(
            BASE,
            &[
                TEXT,
                Load {
                    vaddr: BASE - 0x3000,
                    ..BSS
                }
            ]
        )
        .is_ok()
    );
}

#[test]
fn the_33rd_segment_is_too_many() {
    let mut loads = vec![TEXT];
    loads.extend((1..40).map(|page| Load {
        vaddr: BASE - page * 0x1000,
        mem_size: 0x1000,
        ..BSS
    }));
    assert_eq!(plan(BASE, &loads[..32]).unwrap().segments().len(), 32);
    assert_eq!(
        plan(BASE, &loads),
        Err(ElfError::Segment(32, SegmentProblem::TooMany))
    );
}

#[test]
fn the_entry_is_in_an_executable_segment() {
    for entry in [0, BASE - 1, BASE + 0x100, BASE + 0x1100, u64::MAX] {
        assert_eq!(plan(entry, &[TEXT, BSS]), Err(ElfError::Entry(entry)));
    }
}

#[test]
fn errors_name_the_program_header() {
    let error = plan(
        BASE,
        &[
            TEXT,
            Load {
                vaddr: SLOT_BASE,
                ..BSS
            },
        ],
    )
    .unwrap_err();
    assert_eq!(error.to_string(), "program header 1: in the hypervisor's slot");
}

/// What every accepted plan promises.
fn keeps_its_promises(plan: &KernelPlan, length: usize) -> Result<(), TestCaseError> {
    let mut next = 0;
    let mut entry_found = false;
    for segment in plan.segments() {
        prop_assert!(segment.pages > 0 && segment.pages <= 1 << 36);
        prop_assert!(
            segment.vaddr.is_multiple_of(4096) && segment.vaddr >= next && segment.last() > segment.vaddr
        );
        next = segment.last();
        prop_assert!(is_canonical(segment.vaddr) && is_canonical(segment.last()));
        prop_assert!(segment.vaddr >> 63 == segment.last() >> 63);
        for (start, end) in [(SLOT_BASE, SLOT_END), (PHYSMAP, PHYSMAP_END)] {
            prop_assert!(segment.last() < start || segment.vaddr >= end);
        }
        prop_assert!(segment.file_start + segment.file_size <= length);
        prop_assert!(
            segment.offset < 4096 && segment.offset + segment.file_size as u64 <= segment.pages * 4096
        );
        entry_found |= segment.executable && (segment.vaddr..=segment.last()).contains(&plan.entry());
    }
    prop_assert!(entry_found);
    Ok(())
}

fn interesting() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0u64..0x3000,
        (0u64..0x2000).prop_map(|offset| u64::MAX - offset),
        (0u64..0x6000).prop_map(|offset| BASE - 0x3000 + offset),
        (0u64..0x2000).prop_map(|offset| SLOT_BASE - 0x1000 + offset),
        (0u64..0x2000).prop_map(|offset| SLOT_END - 0x1000 + offset),
        (0u64..0x2000).prop_map(|offset| PHYSMAP_END - 0x1000 + offset),
    ]
}

proptest! {
    #[test]
    fn any_bytes_at_all_end_in_a_plan_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(plan) = File::new(&bytes).plan() {
            keeps_its_promises(&plan, bytes.len())?;
        }
    }

    #[test]
    fn a_good_file_with_a_few_bytes_changed_ends_in_a_plan_or_an_error(
        changes in proptest::collection::vec((0usize..64 + 3 * 56, any::<u8>()), 1..6),
        length in 0usize..0x1300,
    ) {
        let mut file = elf(BASE, &[TEXT, BSS, Load { kind: 4, ..BSS }]);
        for (offset, byte) in changes {
            file[offset] = byte;
        }
        file.truncate(length.max(64));
        if let Ok(plan) = File::new(&file).plan() {
            keeps_its_promises(&plan, file.len())?;
        }
    }

    #[test]
    fn whatever_the_program_headers_say_a_plan_keeps_its_promises(
        entry in interesting(),
        loads in proptest::collection::vec(
            (0u32..3, 0u32..8, interesting(), interesting(), interesting(), interesting()), 0..5),
    ) {
        let load = |(kind, flags, offset, vaddr, file_size, mem_size)| Load { kind, flags, offset, vaddr, file_size, mem_size };
        let mut loads: Vec<Load> = loads.into_iter().map(load).collect();
        loads.push(TEXT);
        let file = elf(entry, &loads);
        if let Ok(plan) = File::new(&file).plan() {
            keeps_its_promises(&plan, file.len())?;
        }
        let file = elf(BASE, &loads);
        if let Ok(plan) = File::new(&file).plan() {
            keeps_its_promises(&plan, file.len())?;
        }
    }
}
