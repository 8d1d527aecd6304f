//! A page that is known is read as any other is, whatever has happened since.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]
use super::LastPage;
use crate::addr::{Level, Mfn};
use crate::guest_mem::read_array;
use crate::testing::bytes::Bytes;
use crate::testing::machine::{A, D, Machine, NX, P, U, W, entry};
use abi::layout::{MACHINE_TO_PFN, SHARED_INFO, SLOT_BASE, SLOT_END};
use proptest::prelude::*;

/// The address that entry 3 of each table leads to, and the pages after it.
const BASE: u64 = 3 << 39 | 3 << 30 | 3 << 21;
const PAGE: u64 = 4096;

/// A running domain with a second root, pinned, which has the tables below the first in common; a second L1 table beside the
/// first; pages 0 and 1 of `BASE` are mapped. All is marked as accessed.
struct Guest {
    m: Machine,
    roots: [Mfn; 2],
    /// L3, L2, L1, and the other L1.
    tables: [Mfn; 4],
    pages: [Mfn; 3],
    last: LastPage,
}

fn guest() -> Guest {
    let mut m = Machine::new(32);
    let [root, l3, l2, l1] = m.running_chain(3);
    let (second, other) = (m.alloc(), m.alloc());
    let pages = [m.alloc(), m.alloc(), m.alloc()];
    for (page, first) in pages.into_iter().zip([10, 20, 30]) {
        (0..512).for_each(|index| m.poke(page, index, first * 1000 + index as u64));
    }
    m.pin(root, Level::L4).unwrap();
    m.pin(other, Level::L1).unwrap();
    m.update(other, 0, entry(pages[2], P | A)).unwrap();
    m.update(l1, 0, entry(pages[0], P | W | A)).unwrap();
    m.update(l1, 1, entry(pages[1], P | A)).unwrap();
    for (table, below) in [(root, l3), (l3, l2), (l2, l1)] {
        m.update(table, 3, entry(below, P | W | A)).unwrap();
    }
    m.poke(second, 3, entry(l3, P | W | A));
    m.pin(second, Level::L4).unwrap();
    Guest {
        m,
        roots: [root, second],
        tables: [l3, l2, l1, other],
        pages,
        last: LastPage::NONE,
    }
}

impl Guest {
    /// Whether the page is known; it is from now on.
    fn is_known(&mut self, va: u64) -> bool {
        let Machine { ft, mem, dom, .. } = &self.m;
        let known = self.last.read::<3>(ft, mem, dom, va).is_some();
        self.compare(va);
        known
    }

    /// The quick way and the general one: the same words or the same refusal, and the same memory after it.
    fn compare(&mut self, va: u64) {
        let Machine { ft, mem, dom, .. } = &mut self.m;
        let mut general = mem.clone();
        let expected = read_array::<3>(ft, &mut general, dom, va);
        let read = match self.last.read(ft, mem, dom, va) {
            Some(words) => Ok(words),
            None => self.last.read_anew(ft, mem, dom, va),
        };
        assert_eq!(read, expected, "{va:#x}");
        assert!(*mem == general, "{va:#x}: memory differs");
    }

    /// Takes the tables of the first root apart, and makes them anew with another page in the same place.
    fn rebuild(&mut self) {
        let [first, second] = self.roots;
        let [l3, l2, l1, _] = self.tables;
        self.m.update(second, 3, 0).unwrap();
        self.m.set_root(second).unwrap();
        self.m.unpin(first).unwrap();
        assert_eq!(self.m.take_apart_all(), 4);
        self.m.poke(l1, 0, entry(self.pages[1], P | A));
        for (table, level) in [
            (l1, Level::L1),
            (l2, Level::L2),
            (l3, Level::L3),
            (first, Level::L4),
        ] {
            self.m.pin(table, level).unwrap();
        }
        self.m.set_root(first).unwrap();
    }
}

#[test]
fn a_page_is_known_after_its_first_list_alone() {
    let mut g = guest();
    assert!(!g.is_known(BASE + 16));
    for va in [BASE, BASE + 16, BASE + PAGE - 24] {
        assert!(g.is_known(va), "{va:#x}");
    }
    for va in [
        BASE - 8,
        BASE + 4,
        BASE + PAGE - 23,
        BASE + PAGE - 16,
        BASE + PAGE,
        BASE + 2 * PAGE,
        SLOT_BASE,
        SLOT_END - 24,
        SHARED_INFO,
        MACHINE_TO_PFN,
        1 << 47,
        0,
        8,
        u64::MAX,
        u64::MAX - 23,
    ] {
        g.compare(BASE);
        assert!(!g.is_known(va), "{va:#x}");
    }
}

#[test]
fn nothing_is_known_at_first() {
    let mut g = guest();
    for va in [0, 8, BASE] {
        assert!(!g.is_known(va));
        g.last = LastPage::NONE;
    }
    g.m.update(g.roots[0], 0, 0).unwrap();
    assert!(!g.is_known(0));
}

#[test]
fn a_page_is_known_after_what_changes_nothing_about_it() {
    type Step = fn(&mut Guest);
    let steps: [(&str, Step); 3] = [
        ("a root with the same tables", |g| {
            g.m.set_root(g.roots[1]).unwrap()
        }),
        ("and back", |g| {
            g.m.set_root(g.roots[1]).unwrap();
            g.m.set_root(g.roots[0]).unwrap();
        }),
        ("it is written to", |g| g.m.poke(g.pages[0], 0, 5)),
    ];
    for (what, step) in steps {
        let mut g = guest();
        g.compare(BASE);
        step(&mut g);
        assert!(g.is_known(BASE), "{what}");
    }
}

#[test]
fn a_page_is_not_known_any_more_when_it_may_lie_elsewhere() {
    type Change = fn(&mut Guest);
    let changes: [(&str, Change); 9] = [
        ("it is unmapped", |g| g.m.update(g.tables[2], 0, 0).unwrap()),
        ("another comes there", |g| {
            g.m.update(g.tables[2], 0, entry(g.pages[1], P | A)).unwrap();
        }),
        ("its mark is cleared", |g| {
            g.m.update(g.tables[2], 0, entry(g.pages[0], P | W)).unwrap();
        }),
        ("another table comes above it", |g| {
            g.m.update(g.tables[1], 3, entry(g.tables[3], P | W | A)).unwrap();
        }),
        ("the root's entry goes", |g| {
            g.m.update(g.roots[0], 3, 0).unwrap();
        }),
        ("its mark is cleared in the root", |g| {
            g.m.update(g.roots[0], 3, entry(g.tables[0], P | W | U)).unwrap();
        }),
        ("a root without it", |g| {
            let root = g.m.alloc();
            g.m.pin(root, Level::L4).unwrap();
            g.m.set_root(root).unwrap();
        }),
        ("a root by which it is not marked", |g| {
            let root = g.m.alloc();
            g.m.poke(root, 3, entry(g.tables[0], P | W));
            g.m.pin(root, Level::L4).unwrap();
            g.m.set_root(root).unwrap();
        }),
        ("all tables are made anew", Guest::rebuild),
    ];
    for (what, change) in changes {
        let mut g = guest();
        g.compare(BASE);
        change(&mut g);
        assert!(!g.is_known(BASE), "{what}");
    }
}

#[test]
fn a_root_with_other_tables_leads_elsewhere_though_nothing_else_has_changed() {
    let mut g = guest();
    let root = g.m.alloc();
    let [l3, l2, l1] = [g.m.alloc(), g.m.alloc(), g.m.alloc()];
    g.m.poke(l1, 0, entry(g.pages[2], P | A));
    for (table, below) in [(root, l3), (l3, l2), (l2, l1)] {
        g.m.poke(table, 3, entry(below, P | A));
    }
    for (table, level) in [
        (l1, Level::L1),
        (l2, Level::L2),
        (l3, Level::L3),
        (root, Level::L4),
    ] {
        g.m.pin(table, level).unwrap();
    }
    g.compare(BASE);
    g.m.set_root(root).unwrap();
    assert!(!g.is_known(BASE));
    assert!(g.is_known(BASE + 8));
    g.m.set_root(g.roots[0]).unwrap();
    assert!(!g.is_known(BASE));
}

#[test]
fn a_table_that_is_made_anew_is_found_anew_though_no_entry_was_changed_by_a_call() {
    let mut g = guest();
    let [l3, l2, l1, _] = g.tables;
    // All hang on the two roots alone: the domain goes over to a third, and the two are let go.
    let third = g.m.alloc();
    g.m.pin(third, Level::L4).unwrap();
    g.compare(BASE);
    g.m.set_root(third).unwrap();
    g.m.unpin(g.roots[1]).unwrap();
    g.m.unpin(g.roots[0]).unwrap();
    g.m.take_apart_all();
    g.m.poke(l1, 0, entry(g.pages[1], P | A));
    for (table, level) in [
        (l1, Level::L1),
        (l2, Level::L2),
        (l3, Level::L3),
        (g.roots[0], Level::L4),
    ] {
        g.m.pin(table, level).unwrap();
    }
    g.m.set_root(g.roots[0]).unwrap();
    assert!(!g.is_known(BASE));
}

/// One step of a random world.
fn step(g: &mut Guest, bytes: &mut Bytes<'_>) {
    let tables = [
        g.roots[0],
        g.roots[1],
        g.tables[0],
        g.tables[1],
        g.tables[2],
        g.tables[3],
    ];
    let levels = [Level::L4, Level::L4, Level::L3, Level::L2, Level::L1, Level::L1];
    let which = usize::from(bytes.below(6));
    let (table, level) = (tables[which], levels[which]);
    let flags = bytes.of(&[
        P | W | A,
        P | W | A,
        P | A,
        P | A | D,
        P | W,
        P,
        P | W | A | U | NX,
        0,
    ]);
    let page = bytes.of(&g.pages);
    let index = match level {
        Level::L1 => usize::from(bytes.below(3)),
        _ => usize::from(bytes.of(&[3_u8, 3, 3, 0])),
    };
    let fitting = match level {
        Level::L4 => g.tables[0],
        Level::L3 => g.tables[1],
        Level::L2 => bytes.of(&[g.tables[2], g.tables[3]]),
        Level::L1 => page,
    };
    // What is refused has changed nothing.
    match bytes.below(8) {
        0 | 1 => drop(g.m.update(table, index, entry(fitting, flags))),
        2 | 3 => drop(g.m.set_root(bytes.of(&g.roots))),
        4 => drop(g.m.unpin(table)),
        5 => drop(g.m.pin(table, level)),
        6 => {
            g.m.take_apart_all();
        }
        _ if g.m.ft.page_type(table).level().is_none() => g.m.poke(table, index, entry(fitting, flags)),
        _ => g.m.poke(page, usize::from(bytes.below(4)), bytes.word()),
    }
    for _ in 0..3 {
        let offset = bytes.of(&[0_u64, 8, 16, 4, PAGE - 24, PAGE - 16, PAGE, PAGE + 8, 2 * PAGE]);
        g.compare(bytes.of(&[BASE, BASE, BASE, BASE, BASE - 3 * (1 << 21), 0, SLOT_BASE]) + offset);
    }
}

proptest! {
    #[test]
    fn whatever_happens_a_list_is_read_as_by_the_general_way(
        choices in proptest::collection::vec(any::<u8>(), 0..2000),
    ) {
        let mut g = guest();
        let mut bytes = Bytes::new(&choices);
        while !bytes.is_empty() {
            step(&mut g, &mut bytes);
        }
        g.m.audit();
    }
}
