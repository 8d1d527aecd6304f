//! What a guest may make the hypervisor read and write, and what a walk says.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]
use super::copy::Pages;
use super::{
    Access, CopyFault, Outcome, Refusal, Rights, Smep, Window, copy_from_guest, copy_to_guest, read_array,
    read_words, walk,
};
use crate::addr::{DomainId, Level, Mfn};
use crate::paging::{DomainMemory, pin, update_entry};
use crate::platform::PhysMem;
use crate::testing::machine::{A, D, Machine, NX, P, U, W, entry};
use abi::layout::{CR2_WORD, HYPERVISOR_SLOT, MACHINE_TO_PFN, SHARED_INFO, SLOT_BASE, SLOT_END, SWITCHER_RO};

/// The address that entry 3 of each table leads to, and the pages after it.
const BASE: u64 = 3 << 39 | 3 << 30 | 3 << 21;

/// A running domain: page 0 and 1 of `BASE` writable, page 2 read-only, page 3 its own L1 read-only, page 4
/// absent, page 5 writable.
struct Guest {
    m: Machine,
    tables: [Mfn; 4],
    pages: [Mfn; 4],
}

fn guest() -> Guest {
    let mut m = Machine::new(32);
    let tables = m.running_chain(3);
    let pages = [m.alloc(), m.alloc(), m.alloc(), m.alloc()];
    for (index, word) in [
        (0, entry(pages[0], P | W)),
        (1, entry(pages[1], P | W)),
        (2, entry(pages[2], P)),
        (3, entry(tables[3], P)),
        (5, entry(pages[3], P | W)),
    ] {
        m.update(tables[3], index, word).unwrap();
    }
    Guest { m, tables, pages }
}

impl Guest {
    fn read(&mut self, va: u64, len: usize) -> Result<Vec<u8>, CopyFault> {
        let mut into = vec![0xee; len];
        let result = copy_from_guest(&self.m.ft, &mut self.m.mem, &self.m.dom, va, &mut into);
        if result.is_err() {
            assert_eq!(into, vec![0xee; len], "a refused copy has copied something");
        }
        result.map(|()| into)
    }

    fn write(&mut self, va: u64, from: &[u8]) -> Result<(), CopyFault> {
        let everything = |guest: &Self| -> Vec<[u64; 512]> {
            (0..32).map(|frame| *guest.m.mem.words(Mfn(frame))).collect()
        };
        let before = everything(self);
        let result = copy_to_guest(&self.m.ft, &mut self.m.mem, &self.m.dom, va, from);
        if result.is_err() {
            assert!(everything(self) == before, "a refused copy has written something");
        }
        self.m.audit();
        result
    }

    fn outcome(&self, va: u64) -> Outcome {
        walk(&self.m.ft, &self.m.mem, self.tables[0], va).outcome()
    }

    fn check(&self, va: u64, access: Access) -> Result<Mfn, Refusal> {
        walk(&self.m.ft, &self.m.mem, self.tables[0], va).check(access)
    }
}

#[test]
fn bytes_go_both_ways_across_pages_that_are_not_neighbours() {
    let mut g = guest();
    let text: Vec<u8> = (0..5000u32).map(|n| (n % 251) as u8).collect();
    g.write(BASE + 3000, &text).unwrap();
    assert_eq!(g.read(BASE + 3000, 5000), Ok(text.clone()));
    let mut byte = [0];
    g.m.mem.read_bytes(g.pages[1], 0, &mut byte);
    assert_eq!(byte[0], text[4096 - 3000]);
}

#[test]
fn the_length_of_each_part_is_exact() {
    let mut g = guest();
    for (offset, len) in [
        (0, 1),
        (0, 4096),
        (1, 4095),
        (1, 4096),
        (4095, 1),
        (4095, 2),
        (0, 8192),
        (7, 8185),
    ] {
        g.m.mem.zero(g.pages[0]);
        g.m.mem.zero(g.pages[1]);
        g.write(BASE + offset, &vec![0xab; len]).unwrap();
        let all = g.read(BASE, 8192).unwrap();
        let start = offset as usize;
        assert!(
            all.iter()
                .enumerate()
                .all(|(at, &byte)| (byte == 0xab) == (start..start + len).contains(&at))
        );
    }
}

#[test]
fn nothing_can_be_copied_from_or_to_anywhere() {
    let mut g = guest();
    for va in [0, SLOT_BASE, 1 << 47, u64::MAX, 0x1234_5678_9abc_def0] {
        assert_eq!(g.read(va, 0), Ok(vec![]));
        assert_eq!(g.write(va, &[]), Ok(()));
    }
}

#[test]
fn the_hypervisors_slot_is_refused_in_either_direction() {
    let mut g = guest();
    for va in [
        SLOT_BASE,
        SWITCHER_RO,
        CR2_WORD,
        SHARED_INFO,
        MACHINE_TO_PFN,
        SLOT_END - 1,
        SLOT_END - 8,
    ] {
        for len in [1, 8, 4096, 5000] {
            assert_eq!(g.read(va, len), Err(CopyFault::HypervisorSlot));
            assert_eq!(g.write(va, &vec![1; len]), Err(CopyFault::HypervisorSlot));
        }
    }
    // Ends in the slot.
    assert_eq!(g.read(SLOT_BASE - 1, 2), Err(CopyFault::HypervisorSlot));
    assert_eq!(
        g.write(SLOT_BASE - 4000, &[1; 4096]),
        Err(CopyFault::HypervisorSlot)
    );
}

#[test]
fn a_range_must_be_canonical_and_must_not_wrap() {
    let mut g = guest();
    for (va, len, fault) in [
        (1 << 47, 1, CopyFault::NonCanonical),
        ((1 << 47) - 1, 2, CopyFault::NonCanonical),
        (SLOT_BASE - 1, 1, CopyFault::NonCanonical),
        (u64::MAX, 2, CopyFault::Wraps),
        (u64::MAX - 8, 4096, CopyFault::Wraps),
    ] {
        assert_eq!(g.read(va, len), Err(fault));
        assert_eq!(g.write(va, &vec![1; len]), Err(fault));
    }
    // Both ends of the address space are addresses like any other.
    for (va, len) in [(u64::MAX, 1), (u64::MAX - 7, 8), (0, 1), ((1 << 47) - 8, 8)] {
        let page_va = va;
        let fault = CopyFault::Refused(page_va, Refusal::NotPresent(Level::L4));
        assert_eq!(g.read(va, len), Err(fault));
        assert_eq!(g.write(va, &vec![1; len]), Err(fault));
    }
}

#[test]
fn a_range_as_long_as_an_address_space_is_refused() {
    let slot = (SLOT_END - SLOT_BASE) as usize;
    for (va, len, fault) in [
        (0, usize::MAX, CopyFault::HypervisorSlot),
        (1, usize::MAX, CopyFault::HypervisorSlot),
        (2, usize::MAX, CopyFault::Wraps),
        (SLOT_BASE - 1, slot + 2, CopyFault::HypervisorSlot),
        (0, SLOT_BASE as usize, CopyFault::NonCanonical),
        (0, (1 << 47) + 1, CopyFault::NonCanonical),
    ] {
        assert_eq!(Pages::from_guest(va, len).err(), Some(fault), "{va:#x} {len:#x}");
    }
    assert!(Pages::from_guest(0, 1 << 47).is_ok());
    assert!(Pages::from_guest(SLOT_END, (u64::MAX - SLOT_END) as usize + 1).is_ok());
}

#[test]
fn the_last_page_of_the_address_space_can_be_copied() {
    let mut g = guest();
    let [l4, l3, l2, l1] = g.tables;
    for (table, child) in [(l4, l3), (l3, l2), (l2, l1), (l1, g.pages[0])] {
        g.m.update(table, 511, entry(child, P | W)).unwrap();
    }
    g.write(u64::MAX - 7, &[7; 8]).unwrap();
    assert_eq!(g.read(u64::MAX - 7, 8), Ok(vec![7; 8]));
    assert_eq!(g.read(u64::MAX - 7, 9), Err(CopyFault::Wraps));
}

#[test]
fn a_page_table_is_readable_where_it_is_mapped_and_never_written() {
    let mut g = guest();
    let table = BASE + 3 * 4096;
    assert_eq!(
        g.read(table, 8).unwrap(),
        g.m.mem.read(g.tables[3], 0).to_le_bytes()
    );
    for va in [table, table - 1, table + 4095] {
        let refused = g.write(va, &[0xff; 8]);
        assert!(matches!(refused, Err(CopyFault::Refused(_, _))), "{refused:?}");
    }
    // Even if its mapping said writable, its type does not.
    let l1 = g.tables[3];
    g.m.mem.set_bits(l1, 3, W);
    let before = *g.m.mem.words(l1);
    let result = copy_to_guest(&g.m.ft, &mut g.m.mem, &g.m.dom, table, &[0xff; 8]);
    assert_eq!(
        (result, g.m.mem.words(l1)),
        (Err(CopyFault::WrongFrame(table)), &before)
    );
}

#[test]
fn writing_needs_w_at_every_level() {
    let mut g = guest();
    for (table, level) in g.tables.into_iter().zip([Level::L4, Level::L3, Level::L2]) {
        let word = g.m.mem.read(table, 3);
        g.m.update(table, 3, word & !W).unwrap();
        assert_eq!(
            g.write(BASE, &[1]),
            Err(CopyFault::Refused(BASE, Refusal::ReadOnly(level)))
        );
        assert!(g.read(BASE, 1).is_ok());
        g.m.update(table, 3, word).unwrap();
        assert_eq!(g.write(BASE, &[1]), Ok(()));
    }
    let read_only = BASE + 2 * 4096;
    let fault = CopyFault::Refused(read_only, Refusal::ReadOnly(Level::L1));
    assert_eq!(g.write(read_only, &[1]), Err(fault));
    assert_eq!(g.write(read_only - 1, &[1, 2]), Err(fault));
}

#[test]
fn a_hole_refuses_the_whole_range_and_marks_nothing() {
    let mut g = guest();
    let hole = BASE + 4 * 4096;
    let fault = CopyFault::Refused(hole, Refusal::NotPresent(Level::L1));
    let before = *g.m.mem.words(g.tables[3]);
    assert_eq!(g.read(hole - 1, 4098), Err(fault));
    assert_eq!(g.read(hole, 1), Err(fault));
    assert_eq!(g.write(hole, &[1]), Err(fault));
    assert_eq!(g.m.mem.words(g.tables[3]), &before);
    for (va, level) in [
        (9 << 39, Level::L4),
        (3 << 39 | 9 << 30, Level::L3),
        (3 << 39 | 3 << 30 | 9 << 21, Level::L2),
    ] {
        assert_eq!(
            g.read(va, 1),
            Err(CopyFault::Refused(va, Refusal::NotPresent(level)))
        );
    }
}

#[test]
fn accessed_and_dirty_are_set_as_the_cpu_would() {
    let mut g = guest();
    let [l4, l3, l2, l1] = g.tables;
    g.read(BASE, 1).unwrap();
    assert_eq!(g.m.mem.read(l1, 0) & (A | D), A);
    assert_eq!(g.m.mem.read(l1, 1) & (A | D), 0);
    g.write(BASE + 4095, &[1, 2]).unwrap();
    assert_eq!(g.m.mem.read(l1, 0) & (A | D), A | D);
    assert_eq!(g.m.mem.read(l1, 1) & (A | D), A | D);
    for table in [l4, l3, l2] {
        assert_eq!(g.m.mem.read(table, 3) & (A | D), A);
    }
    g.m.audit();
}

#[test]
fn a_frame_that_is_not_the_domains_is_refused_even_if_it_is_mapped() {
    let mut g = guest();
    let foreign = g.m.ft.alloc(&mut g.m.mem, &mut g.m.other).unwrap();
    // No hypercall can do this.
    g.m.mem.write(g.tables[3], 0, entry(foreign, P | W));
    let fault = Err(CopyFault::WrongFrame(BASE));
    let mut into = [0];
    assert_eq!(
        copy_from_guest(&g.m.ft, &mut g.m.mem, &g.m.dom, BASE, &mut into),
        fault
    );
    assert_eq!(copy_to_guest(&g.m.ft, &mut g.m.mem, &g.m.dom, BASE, &[1]), fault);
    // Nor if its own domain may write to it.
    let Machine { ft, mem, other, .. } = &mut g.m;
    let table = ft.alloc(mem, other).unwrap();
    pin(ft, mem, other, table, Level::L1).unwrap().by_cr3_write();
    update_entry(ft, mem, other, table, 0, entry(foreign, P | W))
        .unwrap()
        .by_cr3_write();
    assert_eq!(copy_to_guest(&g.m.ft, &mut g.m.mem, &g.m.dom, BASE, &[1]), fault);
}

#[test]
fn a_domain_without_a_root_has_no_memory_to_copy() {
    let mut g = guest();
    let dom = DomainMemory::new(DomainId(9), 0);
    let mut into = [0];
    assert_eq!(
        copy_from_guest(&g.m.ft, &mut g.m.mem, &dom, BASE, &mut into),
        Err(CopyFault::NoRoot)
    );
    assert_eq!(
        copy_to_guest(&g.m.ft, &mut g.m.mem, &dom, BASE, &[1]),
        Err(CopyFault::NoRoot)
    );
}

#[test]
fn a_walk_tells_every_entry_down_to_the_one_that_stopped_it() {
    let g = guest();
    let hole = walk(&g.m.ft, &g.m.mem, g.tables[0], BASE + 4 * 4096 + 123);
    assert_eq!(hole.outcome(), Outcome::NotPresent(Level::L1));
    let steps: Vec<_> = hole
        .steps()
        .map(|step| (step.table, step.level, step.index, step.entry))
        .collect();
    let [l4, l3, l2, l1] = g.tables;
    let word = |table| g.m.mem.read(table, 3);
    assert_eq!(
        steps,
        [
            (l4, Level::L4, 3, word(l4)),
            (l3, Level::L3, 3, word(l3)),
            (l2, Level::L2, 3, word(l2)),
            (l1, Level::L1, 4, 0)
        ]
    );
    let at_root = walk(&g.m.ft, &g.m.mem, l4, 9 << 39);
    assert_eq!(
        (at_root.outcome(), at_root.steps().count()),
        (Outcome::NotPresent(Level::L4), 1)
    );
}

#[test]
fn addresses_that_are_not_walked_are_named() {
    let g = guest();
    for va in [1 << 47, SLOT_BASE - 1, 1 << 63] {
        assert_eq!(g.outcome(va), Outcome::NonCanonical);
        assert_eq!(g.check(va, Access::Read), Err(Refusal::NonCanonical));
    }
    for va in [SLOT_BASE, CR2_WORD, SLOT_END - 1] {
        assert_eq!(g.outcome(va), Outcome::HypervisorSlot);
        assert_eq!(g.check(va, Access::Fetch(Smep::On)), Err(Refusal::HypervisorSlot));
    }
    assert_eq!(Level::L4.index_of(SLOT_BASE), HYPERVISOR_SLOT);
    // A root that is none.
    let no_root = walk(&g.m.ft, &g.m.mem, g.pages[0], BASE);
    assert_eq!(
        (no_root.outcome(), no_root.steps().count()),
        (Outcome::NotATable(Level::L4), 0)
    );
}

#[test]
fn rights_are_what_all_levels_allow_together() {
    let all = Rights {
        writable: true,
        user: true,
        executable: true,
    };
    let reset = |g: &mut Guest| {
        let [l4, l3, l2, l1] = g.tables;
        for (table, child) in [(l4, l3), (l3, l2), (l2, l1)] {
            g.m.update(table, 3, entry(child, P | W | U)).unwrap();
        }
        g.m.update(l1, 0, entry(g.pages[0], P | W | U)).unwrap();
    };
    let mut g = guest();
    for (at, level) in [Level::L4, Level::L3, Level::L2, Level::L1]
        .into_iter()
        .enumerate()
    {
        reset(&mut g);
        let mfn = g.pages[0];
        assert_eq!(g.outcome(BASE), Outcome::Mapped { mfn, rights: all });
        let (table, index) = (g.tables[at], if level == Level::L1 { 0 } else { 3 });
        let word = g.m.mem.read(table, index);

        g.m.update(table, index, word & !W).unwrap();
        assert_eq!(
            g.outcome(BASE),
            Outcome::Mapped {
                mfn,
                rights: Rights {
                    writable: false,
                    ..all
                }
            }
        );
        assert_eq!(g.check(BASE, Access::Write), Err(Refusal::ReadOnly(level)));
        assert_eq!(g.check(BASE, Access::Read), Ok(mfn));

        g.m.update(table, index, word | NX).unwrap();
        assert_eq!(
            g.outcome(BASE),
            Outcome::Mapped {
                mfn,
                rights: Rights {
                    executable: false,
                    ..all
                }
            }
        );
        assert_eq!(
            g.check(BASE, Access::Fetch(Smep::Off)),
            Err(Refusal::NoExecute(level))
        );

        g.m.update(table, index, word & !U).unwrap();
        assert_eq!(
            g.outcome(BASE),
            Outcome::Mapped {
                mfn,
                rights: Rights { user: false, ..all }
            }
        );
        assert_eq!(g.check(BASE, Access::Fetch(Smep::On)), Ok(mfn));
    }
}

#[test]
fn a_user_page_is_data_to_ring_1_and_code_only_without_smep() {
    let mut g = guest();
    g.m.update(g.tables[3], 0, entry(g.pages[0], P | W | U)).unwrap();
    assert_eq!(g.check(BASE, Access::Fetch(Smep::On)), Err(Refusal::UserPage));
    assert_eq!(g.check(BASE, Access::Fetch(Smep::Off)), Ok(g.pages[0]));
    assert_eq!(g.write(BASE, &[1, 2, 3]), Ok(()));
    assert_eq!(g.read(BASE, 3), Ok(vec![1, 2, 3]));
}

#[test]
fn a_stack_that_cannot_be_written_is_a_kill_with_its_own_reason() {
    use abi::reason::Reason;
    let mut g = guest();
    for (va, reason) in [
        (BASE + 2 * 4096, Reason::KernelStackReadOnly),
        (BASE + 3 * 4096, Reason::KernelStackReadOnly),
        (BASE + 4 * 4096, Reason::KernelStackNotPresent),
        (BASE - 8, Reason::KernelStackNotPresent),
        (1 << 47, Reason::KernelStackNonCanonical),
        (0u64.wrapping_sub(4), Reason::KernelStackNonCanonical),
        (CR2_WORD, Reason::KernelStackForbidden),
    ] {
        let fault = g.write(va, &[0; 8]).unwrap_err();
        assert_eq!(fault.as_stack(), reason, "{va:#x}");
    }
}

fn word(bytes: &[u8], index: usize) -> u64 {
    u64::from_le_bytes(*bytes[8 * index..].first_chunk().unwrap())
}

#[test]
fn words_are_the_bytes_that_lie_there_whatever_the_address() {
    let mut g = guest();
    let text: Vec<u8> = (0..8192u32).map(|n| (n % 251) as u8).collect();
    g.write(BASE, &text).unwrap();
    for offset in [0, 8, 1, 7, 4096 - 24, 4096 - 16, 4096 - 17, 4096 - 8, 8192 - 24] {
        let from = &text[offset..];
        let expected = [word(from, 0), word(from, 1), word(from, 2)];
        let va = BASE + offset as u64;
        let Guest { m, .. } = &mut g;
        assert_eq!(read_array::<3>(&m.ft, &mut m.mem, &m.dom, va), Ok(expected));
        let mut words = [0; 3];
        read_words(&m.ft, &mut m.mem, &m.dom, va, &mut words).unwrap();
        assert_eq!(words, expected);
    }
    let mut all = [0; 1024];
    read_words(&g.m.ft, &mut g.m.mem, &g.m.dom, BASE, &mut all).unwrap();
    assert!((0..1024).all(|index| all[index] == word(&text, index)));
    assert_eq!(
        read_words(&g.m.ft, &mut g.m.mem, &g.m.dom, SLOT_BASE, &mut []),
        Ok(())
    );
}

#[test]
fn words_are_refused_where_bytes_are_and_nothing_is_read_or_marked_then() {
    for va in [
        0,
        BASE + 4 * 4096,
        BASE + 4 * 4096 - 8,
        BASE + 4 * 4096 - 12,
        BASE + 6 * 4096 - 16,
        SLOT_BASE,
        SLOT_BASE - 8,
        SLOT_BASE - 16,
        SLOT_END - 8,
        SLOT_END - 4,
        SHARED_INFO,
        (1 << 47) - 16,
        (1 << 47) - 12,
        1 << 47,
        0xffff_7fff_ffff_fff8,
        u64::MAX - 7,
        u64::MAX - 23,
        u64::MAX - 24,
        u64::MAX,
    ] {
        let mut g = guest();
        let before: Vec<[u64; 512]> = (0..32).map(|frame| *g.m.mem.words(Mfn(frame))).collect();
        let fault = g.read(va, 24).unwrap_err();
        let Guest { m, .. } = &mut g;
        assert_eq!(
            read_array::<3>(&m.ft, &mut m.mem, &m.dom, va),
            Err(fault),
            "{va:#x}"
        );
        let mut words = [7; 3];
        assert_eq!(read_words(&m.ft, &mut m.mem, &m.dom, va, &mut words), Err(fault));
        assert_eq!(words, [7; 3]);
        let after: Vec<[u64; 512]> = (0..32).map(|frame| *g.m.mem.words(Mfn(frame))).collect();
        assert!(before == after, "{va:#x}");
    }
}

#[test]
fn the_last_words_of_either_half_can_be_read() {
    for (va, index) in [(u64::MAX - 15, 511), ((1 << 47) - 16, 511), (SLOT_END, 0)] {
        let mut m = Machine::new(32);
        let tables = [m.alloc(), m.alloc(), m.alloc(), m.alloc()];
        let page = m.alloc();
        for (pair, level) in tables.windows(2).zip([Level::L4, Level::L3, Level::L2]) {
            m.poke(pair[0], level.index_of(va), entry(pair[1], P | W));
        }
        m.poke(tables[3], Level::L1.index_of(va), entry(page, P | W));
        for (level, &table) in Level::ALL.into_iter().zip(tables.iter().rev()) {
            m.pin(table, level).unwrap();
        }
        m.set_root(tables[0]).unwrap();
        let first = if index == 0 { 0 } else { 510 };
        m.poke(page, first, 5);
        m.poke(page, first + 1, 6);
        assert_eq!(read_array::<2>(&m.ft, &mut m.mem, &m.dom, va), Ok([5, 6]));
    }
}

fn look(g: &mut Guest, window: &mut Window, va: u64) -> Option<(Mfn, usize)> {
    let Machine { ft, mem, dom, .. } = &mut g.m;
    window.words(ft, mem, dom, va, 2)
}

#[test]
fn a_window_shows_what_the_guest_may_write_and_nothing_else() {
    let mut g = guest();
    let mut window = Window::NONE;
    assert_eq!(look(&mut g, &mut window, BASE + 16), Some((g.pages[0], 2)));
    assert_eq!(
        look(&mut g, &mut window, BASE + 4096 - 16),
        Some((g.pages[0], 510))
    );
    assert_eq!(look(&mut g, &mut window, BASE + 4096), Some((g.pages[1], 0)));
    assert_eq!(g.m.mem.read(g.tables[3], 0) & (A | D), A | D);
    for va in [
        BASE + 4096 - 8,
        BASE + 4,
        BASE + 2 * 4096,
        BASE + 3 * 4096,
        BASE + 4 * 4096,
        SLOT_BASE,
        SHARED_INFO,
        1 << 47,
        u64::MAX - 15,
    ] {
        assert_eq!(look(&mut g, &mut window, va), None, "{va:#x}");
    }
    assert_eq!(
        look(&mut g, &mut window, BASE),
        Some((g.pages[0], 0)),
        "after a refusal"
    );
}

#[test]
fn a_window_is_closed_by_whatever_changes_a_translation() {
    type Change = fn(&mut Guest);
    let changes: [(&str, Change); 8] = [
        ("the page is unmapped", |g| g.m.update(g.tables[3], 0, 0).unwrap()),
        ("it becomes read-only", |g| {
            g.m.update(g.tables[3], 0, entry(g.pages[0], P)).unwrap();
        }),
        ("another page comes there", |g| {
            g.m.update(g.tables[3], 0, entry(g.pages[1], P | W)).unwrap();
        }),
        ("its bits are cleared", |g| {
            g.m.update(g.tables[3], 0, entry(g.pages[0], P | W)).unwrap();
        }),
        ("the table above is unlinked", |g| {
            g.m.update(g.tables[1], 3, 0).unwrap()
        }),
        ("the way there becomes read-only", |g| {
            g.m.update(g.tables[0], 3, entry(g.tables[1], P)).unwrap();
        }),
        ("another root", |g| {
            let root = g.m.alloc();
            g.m.pin(root, Level::L4).unwrap();
            g.m.set_root(root).unwrap();
        }),
        ("a frame changes hands", |g| {
            let frame = g.m.alloc();
            g.m.release(frame).unwrap();
        }),
    ];
    for (what, change) in changes {
        let mut g = guest();
        let mut window = Window::NONE;
        let before = look(&mut g, &mut window, BASE);
        assert!(before.is_some() && window.is_good(&g.m.ft));
        change(&mut g);
        assert!(!window.is_good(&g.m.ft), "{what}");
        let mut anew = Window::NONE;
        let fresh = look(&mut g, &mut anew, BASE);
        assert_eq!(look(&mut g, &mut window, BASE), fresh, "{what}");
        if fresh.is_some() {
            assert_eq!(g.m.mem.read(g.tables[3], 0) & (A | D), A | D, "{what}");
        }
    }
}

#[test]
fn a_window_is_closed_by_another_root_though_nothing_else_has_changed() {
    let mut g = guest();
    let root = g.m.alloc();
    g.m.pin(root, Level::L4).unwrap();
    let mut window = Window::NONE;
    assert!(look(&mut g, &mut window, BASE).is_some());
    g.m.set_root(root).unwrap();
    assert!(!window.is_good(&g.m.ft));
    assert_eq!(look(&mut g, &mut window, BASE), None);
}
