//! What hostile guests try, one attack a test.
use crate::addr::{Level, Mfn};
use crate::paging::{
    FrameInfo, FrameTable, Owner, PageType, PagingError, Teardown, TeardownProgress, update_va_mapping,
};
use crate::platform::PhysMem;
use crate::testing::machine::{A, D, FIRST_RAM, Machine, NX, P, U, W, entry};
use abi::layout::{HYPERVISOR_SLOT, SLOT_BASE};

const UPPER: [Level; 3] = [Level::L2, Level::L3, Level::L4];

#[test]
fn a_frame_mapped_writable_cannot_become_a_table() {
    let mut m = Machine::new(16);
    let (l1, frame) = (m.alloc(), m.alloc());
    m.poke(l1, 7, entry(frame, P | W));
    m.pin(l1, Level::L1).unwrap();
    for level in Level::ALL {
        assert_eq!(m.pin(frame, level), Err(PagingError::InUseAs(PageType::Writable)));
    }
    m.update(l1, 7, entry(frame, P)).unwrap();
    assert_eq!(m.pin(frame, Level::L1), Ok(()));
    m.audit();
}

#[test]
fn a_table_cannot_be_mapped_writable_from_anywhere() {
    let mut m = Machine::new(16);
    let [l4, l3, l2, l1] = m.pinned_chain(3);
    let second = m.alloc();
    m.pin(second, Level::L1).unwrap();
    for table in [l4, l3, l2, l1, second] {
        let kind = m.ft.page_type(table);
        for l1 in [l1, second] {
            assert_eq!(
                m.update(l1, 9, entry(table, P | W)),
                Err(PagingError::InUseAs(kind))
            );
            assert_eq!(m.mem.read(l1, 9), 0);
            // Read-only it may see its own tables, also in themselves.
            m.update(l1, 9, entry(table, P)).unwrap();
            m.update(l1, 9, 0).unwrap();
        }
    }
    m.audit();
}

#[test]
fn a_table_that_maps_itself_writable_is_not_validated() {
    let mut m = Machine::new(16);
    let l1 = m.alloc();
    m.poke(l1, 511, entry(l1, P | W));
    assert_eq!(m.pin(l1, Level::L1), Err(PagingError::InUseAs(PageType::L1)));
    assert_eq!((m.ft.page_type(l1), m.ft.uses(l1)), (PageType::None, 0));
    m.poke(l1, 511, entry(l1, P));
    m.pin(l1, Level::L1).unwrap();
    m.audit();
    m.unpin(l1).unwrap();
    m.take_apart_all();
    assert_eq!(m.ft.uses(l1), 0);
    m.release(l1).unwrap();
}

#[test]
fn a_refused_pin_gives_back_all_that_it_took() {
    let mut m = Machine::new(16);
    let (l1, data, child) = (m.alloc(), m.alloc(), m.alloc());
    m.poke(l1, 0, entry(data, P | W));
    m.poke(l1, 1, entry(data, P));
    m.poke(l1, 511, entry(Mfn(0), P));
    assert_eq!(m.pin(l1, Level::L1), Err(PagingError::NotRam));
    assert_eq!(
        (m.ft.uses(data), m.ft.type_uses(data), m.ft.page_type(data)),
        (0, 0, PageType::None)
    );
    let l2 = m.alloc();
    m.pin(child, Level::L1).unwrap();
    m.poke(l2, 0, entry(child, P));
    m.poke(l2, 1, entry(data, P));
    assert_eq!(m.pin(l2, Level::L2), Err(PagingError::NotATable(PageType::None)));
    assert_eq!((m.ft.uses(child), m.ft.type_uses(child)), (1, 1));
    assert!(!m.dom.has_leaving_tables());
    m.audit();
}

#[test]
fn only_the_domains_own_frames_can_be_named() {
    let mut m = Machine::new(16);
    let (l1, l2) = (m.alloc(), m.alloc());
    m.pin(l1, Level::L1).unwrap();
    m.pin(l2, Level::L2).unwrap();
    let foreign = m.ft.alloc(&mut m.mem, &mut m.other).unwrap();
    let hypervisors = m.ft.alloc_hypervisor(&mut m.mem).unwrap();
    let free = Mfn(15);
    assert_eq!(m.ft.owner(free), Owner::Free);
    let past_the_end = [Mfn(16), Mfn(u32::MAX)];
    let reserved = [Mfn(0), Mfn(FIRST_RAM - 1)];
    let cases = [foreign, hypervisors, free]
        .map(|mfn| (mfn, PagingError::NotOwned))
        .into_iter()
        .chain(
            past_the_end
                .into_iter()
                .chain(reserved)
                .map(|mfn| (mfn, PagingError::NotRam)),
        );
    for (mfn, error) in cases {
        for (table, flags) in [(l1, P), (l1, P | W), (l1, P | W | U | NX), (l2, P | W | U)] {
            assert_eq!(m.update(table, 0, entry(mfn, flags)), Err(error), "{mfn}");
            m.update(table, 0, entry(mfn, flags & !P)).unwrap();
        }
        assert_eq!(m.pin(mfn, Level::L1), Err(error));
        assert_eq!(m.unpin(mfn), Err(error));
        assert_eq!(m.set_root(mfn), Err(error));
        assert_eq!(m.release(mfn), Err(error));
        assert_eq!(m.update(mfn, 0, 0), Err(error));
    }
    // 40 bits of frame number, of which only 32 can exist: not its own frame by the lower ones.
    let own = m.alloc();
    for bit in 44..52 {
        assert_eq!(
            m.update(l1, 0, entry(own, P) | 1 << bit),
            Err(PagingError::NotRam)
        );
    }
    m.audit();
}

#[test]
fn a_frame_that_was_given_back_cannot_be_named() {
    let mut m = Machine::new(16);
    let (l1, frame) = (m.alloc(), m.alloc());
    m.pin(l1, Level::L1).unwrap();
    m.release(frame).unwrap();
    assert_eq!(m.update(l1, 0, entry(frame, P)), Err(PagingError::NotOwned));
    assert_eq!(m.release(frame), Err(PagingError::NotOwned));
    let foreign = m.ft.alloc(&mut m.mem, &mut m.other).unwrap();
    assert_eq!(foreign, frame);
    assert_eq!(m.update(l1, 0, entry(frame, P)), Err(PagingError::NotOwned));
    m.audit();
}

#[test]
fn no_present_entry_carries_any_other_bit() {
    let mut m = Machine::new(16);
    let tables = m.pinned_chain(3);
    let data = m.alloc();
    for (table, child, level) in [
        (tables[0], tables[1], Level::L4),
        (tables[1], tables[2], Level::L3),
        (tables[2], tables[3], Level::L2),
        (tables[3], data, Level::L1),
    ] {
        for bit in [3, 4, 7, 8, 59, 60, 61, 62] {
            let error = match (level, bit) {
                (Level::L2 | Level::L3, 7) => PagingError::Superpage,
                _ => PagingError::BadBit(bit),
            };
            assert_eq!(m.update(table, 5, entry(child, P | 1 << bit)), Err(error));
            assert_eq!(m.mem.read(table, 5), 0);
            m.update(table, 5, 1 << bit | U | W).unwrap();
            m.update(table, 5, 0).unwrap();
        }
        for allowed in [W, U, A, D, NX, 7 << 9, 0x7f << 52] {
            m.update(table, 5, entry(child, P | allowed)).unwrap();
            // A change of flags alone is checked as well.
            assert!(m.update(table, 5, entry(child, P | allowed | 1 << 7)).is_err());
            assert_eq!(m.mem.read(table, 5), entry(child, P | allowed));
            m.update(table, 5, 0).unwrap();
        }
    }
    m.audit();
}

#[test]
fn the_hypervisors_slot_is_out_of_reach() {
    let mut m = Machine::new(16);
    let [l4, l3, ..] = m.running_chain(3);
    let slot_entry = m.dom.slot_entry();
    assert_eq!(m.mem.read(l4, HYPERVISOR_SLOT), slot_entry);
    for value in [0, slot_entry, entry(l3, P | W), slot_entry & !W] {
        assert_eq!(
            m.update(l4, HYPERVISOR_SLOT, value),
            Err(PagingError::SlotForbidden)
        );
    }
    assert_eq!(m.mem.read(l4, HYPERVISOR_SLOT), slot_entry);
    // In tables of other levels entry 256 is like any other.
    m.update(l3, HYPERVISOR_SLOT, 0).unwrap();
    // The neighbours in the root are the guest's.
    m.update(l4, HYPERVISOR_SLOT - 1, entry(l3, P)).unwrap();
    m.update(l4, HYPERVISOR_SLOT + 1, entry(l3, P)).unwrap();
    for va in [SLOT_BASE, SLOT_BASE + 0x20_4000, 0xffff_807f_ffff_ffff] {
        let refused = update_va_mapping(&mut m.ft, &mut m.mem, &mut m.dom, va, 0);
        assert_eq!(refused, Err(PagingError::SlotForbidden));
    }
    // What the slot names cannot be named by any entry of the guest's own.
    let slot_table = Mfn::containing(slot_entry & !0xfff).unwrap();
    assert_eq!(m.update(l4, 0, slot_entry), Err(PagingError::NotOwned));
    assert_eq!(m.pin(slot_table, Level::L3), Err(PagingError::NotOwned));
    m.audit();
}

#[test]
fn a_root_whose_slot_is_not_empty_is_refused() {
    let mut m = Machine::new(16);
    let root = m.alloc();
    for value in [m.dom.slot_entry(), 1, 2, entry(root, 0)] {
        m.poke(root, HYPERVISOR_SLOT, value);
        assert_eq!(m.pin(root, Level::L4), Err(PagingError::SlotForbidden));
        assert_eq!(m.mem.read(root, HYPERVISOR_SLOT), value);
    }
    m.audit();
}

#[test]
fn the_slot_is_ours_from_the_first_pin_until_the_root_was_taken_apart() {
    let mut m = Machine::new(16);
    let root = m.alloc();
    m.pin(root, Level::L4).unwrap();
    m.set_root(root).unwrap();
    m.unpin(root).unwrap();
    assert_eq!(m.mem.read(root, HYPERVISOR_SLOT), m.dom.slot_entry());
    // The CPU marks the entry as used.
    m.mem.set_bits(root, HYPERVISOR_SLOT, A | D);
    m.audit();
    let next = m.alloc();
    m.pin(next, Level::L4).unwrap();
    m.set_root(next).unwrap();
    m.audit();
    m.take_apart_all();
    assert_eq!(m.mem.read(root, HYPERVISOR_SLOT), 0);
    assert_eq!(m.ft.page_type(root), PageType::None);
    m.pin(root, Level::L4).unwrap();
    m.audit();
}

#[test]
fn only_a_root_can_be_run_on() {
    let mut m = Machine::new(32);
    let [l4, l3, l2, l1] = m.pinned_chain(3);
    let data = m.alloc();
    for (mfn, kind) in [
        (l3, PageType::L3),
        (l2, PageType::L2),
        (l1, PageType::L1),
        (data, PageType::None),
    ] {
        assert_eq!(m.set_root(mfn), Err(PagingError::NotATable(kind)));
    }
    m.update(l1, 0, entry(data, P | W)).unwrap();
    assert_eq!(m.set_root(data), Err(PagingError::NotATable(PageType::Writable)));
    m.unpin(l4).unwrap();
    assert_eq!(m.set_root(l4), Err(PagingError::Busy));
    assert_eq!(m.dom.root(), None);
    m.take_apart_all();
    assert_eq!(m.set_root(l4), Err(PagingError::NotATable(PageType::None)));
    m.audit();
}

#[test]
fn the_root_it_runs_on_stays_a_table_when_it_is_unpinned() {
    let mut m = Machine::new(16);
    let [l4, ..] = m.running_chain(3);
    assert!(!m.dom.has_leaving_tables());
    assert_eq!(m.ft.page_type(l4), PageType::L4);
    assert_eq!(m.release(l4), Err(PagingError::StillUsed));
    // Running on it once more changes nothing.
    m.set_root(l4).unwrap();
    assert_eq!((m.ft.uses(l4), m.dom.has_leaving_tables()), (1, false));
    m.audit();
}

#[test]
fn pins_are_made_once_and_undone_once() {
    let mut m = Machine::new(16);
    let table = m.alloc();
    assert_eq!(m.unpin(table), Err(PagingError::NotPinned));
    m.pin(table, Level::L1).unwrap();
    assert_eq!(m.pin(table, Level::L1), Err(PagingError::AlreadyPinned));
    for level in UPPER {
        assert_eq!(m.pin(table, level), Err(PagingError::InUseAs(PageType::L1)));
    }
    assert_eq!(m.release(table), Err(PagingError::StillUsed));
    m.unpin(table).unwrap();
    assert_eq!(m.unpin(table), Err(PagingError::NotPinned));
    m.take_apart_all();
    assert_eq!(m.unpin(table), Err(PagingError::NotPinned));
    m.release(table).unwrap();
    m.audit();
}

#[test]
fn a_leaving_table_is_busy_until_it_was_taken_apart() {
    let mut m = Machine::new(16);
    let [_, _, l2, l1] = m.pinned_chain(3);
    let data = m.alloc();
    m.update(l1, 0, entry(data, P | W)).unwrap();
    m.update(l2, 3, 0).unwrap();
    m.unpin(l1).unwrap();
    m.audit();
    assert_eq!(m.pin(l1, Level::L1), Err(PagingError::Busy));
    assert_eq!(m.pin(l1, Level::L2), Err(PagingError::InUseAs(PageType::L1)));
    assert_eq!(m.update(l1, 0, 0), Err(PagingError::Busy));
    assert_eq!(m.update(l2, 3, entry(l1, P)), Err(PagingError::Busy));
    assert_eq!(m.release(l1), Err(PagingError::StillUsed));
    assert_eq!(m.release(data), Err(PagingError::StillUsed));
    assert_eq!(
        m.pin(data, Level::L1),
        Err(PagingError::InUseAs(PageType::Writable))
    );
    assert_eq!(m.take_apart_all(), 1);
    m.pin(data, Level::L1).unwrap();
    m.audit();
}

#[test]
fn a_tree_is_taken_apart_one_table_a_step_however_it_is_shared() {
    let mut m = Machine::new(64);
    let [l4, l3, l2, l1] = m.pinned_chain(3);
    let data = m.alloc();
    for index in 0..255 {
        m.update(l4, index, entry(l3, P)).unwrap();
        m.update(l3, index, entry(l2, P)).unwrap();
        m.update(l2, index, entry(l1, P)).unwrap();
        m.update(l1, index, entry(data, P | W)).unwrap();
    }
    assert_eq!(m.ft.type_uses(l1), 256);
    for table in [l1, l2, l3] {
        m.unpin(table).unwrap();
    }
    assert!(!m.dom.has_leaving_tables());
    m.unpin(l4).unwrap();
    assert_eq!(m.take_apart_all(), 4);
    for frame in [l4, l3, l2, l1, data] {
        assert_eq!((m.ft.uses(frame), m.ft.page_type(frame)), (0, PageType::None));
        m.release(frame).unwrap();
    }
    m.audit();
}

#[test]
fn a_frame_in_use_cannot_be_given_back() {
    let mut m = Machine::new(16);
    let [l4, l3, l2, l1] = m.pinned_chain(3);
    let (data, read_only) = (m.alloc(), m.alloc());
    m.update(l1, 0, entry(data, P | W)).unwrap();
    m.update(l1, 1, entry(read_only, P)).unwrap();
    for frame in [l4, l3, l2, l1, data, read_only] {
        assert_eq!(m.release(frame), Err(PagingError::StillUsed));
    }
    m.update(l1, 0, 0).unwrap();
    m.update(l1, 1, 0).unwrap();
    m.release(data).unwrap();
    m.release(read_only).unwrap();
    m.audit();
}

#[test]
fn only_tables_have_entries_to_update_and_512_of_them() {
    let mut m = Machine::new(16);
    let [.., l1] = m.pinned_chain(3);
    let data = m.alloc();
    assert_eq!(m.update(data, 0, 0), Err(PagingError::NotATable(PageType::None)));
    m.update(l1, 0, entry(data, P | W)).unwrap();
    assert_eq!(
        m.update(data, 0, 0),
        Err(PagingError::NotATable(PageType::Writable))
    );
    for index in [512, 513, usize::MAX] {
        assert_eq!(m.update(l1, index, 0), Err(PagingError::NoSuchEntry));
    }
    m.audit();
}

#[test]
fn an_upper_entry_names_a_table_of_the_level_below_and_nothing_else() {
    let mut m = Machine::new(16);
    let tables = m.pinned_chain(3);
    for (at, &table) in tables[..3].iter().enumerate() {
        for (child_at, &child) in tables.iter().enumerate() {
            let kind = m.ft.page_type(child);
            let expected = if child_at == at + 1 {
                Ok(())
            } else {
                Err(PagingError::NotATable(kind))
            };
            assert_eq!(m.update(table, 8, entry(child, P | W | U)), expected);
            m.update(table, 8, 0).unwrap();
        }
    }
    m.audit();
}

#[test]
fn two_l2_tables_may_share_an_l1_with_different_rights_and_the_leaf_still_decides() {
    let mut m = Machine::new(16);
    let [_, l3, l2, l1] = m.pinned_chain(3);
    let (second, data) = (m.alloc(), m.alloc());
    m.pin(second, Level::L2).unwrap();
    m.update(second, 0, entry(l1, P | W | U)).unwrap();
    m.update(l2, 3, entry(l1, P)).unwrap();
    m.update(l3, 4, entry(second, P | W | U)).unwrap();
    m.update(l1, 0, entry(data, P)).unwrap();
    // Writable through neither path, so it may become a table; then no path may make it writable.
    m.pin(data, Level::L1).unwrap();
    assert_eq!(
        m.update(l1, 0, entry(data, P | W)),
        Err(PagingError::InUseAs(PageType::L1))
    );
    m.audit();
}

#[test]
fn the_counts_cannot_be_made_to_wrap() {
    let mut m = Machine::new(16);
    let [.., l1] = m.pinned_chain(3);
    let data = m.alloc();
    m.ft.all_mut()[data.index()].uses = u32::MAX;
    assert_eq!(m.update(l1, 0, entry(data, P)), Err(PagingError::CountOverflow));
    assert_eq!(
        m.update(l1, 0, entry(data, P | W)),
        Err(PagingError::CountOverflow)
    );
    assert_eq!(m.pin(data, Level::L1), Err(PagingError::CountOverflow));
    assert_eq!((m.ft.page_type(data), m.mem.read(l1, 0)), (PageType::None, 0));
    m.ft.all_mut()[data.index()].uses = 0;
    m.audit();
}

/// Going on would hand out memory that is in use.
#[test]
#[should_panic(expected = "lost a use that nobody had")]
fn a_lost_use_stops_the_machine() {
    let mut m = Machine::new(16);
    let [.., l1] = m.pinned_chain(3);
    let data = m.alloc();
    m.update(l1, 0, entry(data, P)).unwrap();
    m.ft.all_mut()[data.index()].uses = 0;
    let _ = m.update(l1, 0, 0);
}

#[test]
#[should_panic(expected = "lost a use that nobody had")]
fn a_lost_use_as_a_type_stops_the_machine() {
    let mut m = Machine::new(16);
    let [.., l1] = m.pinned_chain(3);
    let data = m.alloc();
    m.update(l1, 0, entry(data, P | W)).unwrap();
    m.ft.all_mut()[data.index()].type_uses = 0;
    let _ = m.update(l1, 0, 0);
}

#[test]
fn what_a_guest_is_handed_is_zero() {
    let mut m = Machine::new(16);
    let frame = m.alloc();
    // ArrayMem starts as a pattern, as RAM starts with what the firmware left.
    assert_eq!(m.mem.words(frame), &[0; 512]);
    m.poke(frame, 5, 0x5ec2e7);
    m.release(frame).unwrap();
    assert_eq!(m.mem.words(frame), &[0; 512]);
    let hypervisors = m.ft.alloc_hypervisor(&mut m.mem).unwrap();
    m.mem.write(hypervisors, 9, 0x5ec2e7);
    m.ft.free_hypervisor(&mut m.mem, hypervisors);
    let again = m.ft.alloc(&mut m.mem, &mut m.other).unwrap();
    assert_eq!((again, m.mem.words(again)), (hypervisors, &[0; 512]));
}

#[test]
fn a_domains_frame_is_not_freed_as_the_hypervisors() {
    let mut m = Machine::new(16);
    let frame = m.alloc();
    for mfn in [frame, Mfn(0), Mfn(15), Mfn(99)] {
        let owner = m.ft.owner(mfn);
        m.ft.free_hypervisor(&mut m.mem, mfn);
        assert_eq!(m.ft.owner(mfn), owner);
    }
    m.audit();
}

#[test]
fn all_frames_come_back_from_a_dead_domain_and_its_neighbour_keeps_its_own() {
    let mut m = Machine::new(64);
    let theirs = m.ft.alloc(&mut m.mem, &mut m.other).unwrap();
    m.mem.write(theirs, 0, 42);
    let before = m.ft.free_count();
    let [_, _, l2, l1] = m.running_chain(3);
    let (pinned, data) = (m.alloc(), m.alloc());
    m.poke(data, 0, 0x5ec2e7);
    m.poke(pinned, 0, entry(pinned, P));
    m.pin(pinned, Level::L1).unwrap();
    m.update(l1, 0, entry(data, P | W)).unwrap();
    m.update(l1, 1, entry(l2, P)).unwrap();
    // It dies with a table on the worklist.
    m.update(l2, 3, 0).unwrap();
    assert!(m.dom.has_leaving_tables());
    assert_eq!(m.tear_down(), 6);
    assert_eq!(m.ft.free_count(), before);
    assert_eq!(
        (m.ft.owner(theirs), m.mem.read(theirs, 0)),
        (Owner::Domain(m.other.id()), 42)
    );
    m.audit();
}

#[test]
fn the_teardown_of_nothing_ends_at_once() {
    let mut m = Machine::new(16);
    let mut teardown = Teardown::begin(&mut m.ft, &mut m.dom);
    assert_eq!(
        teardown.step(&mut m.ft, &mut m.mem, &mut m.dom),
        TeardownProgress::More
    );
    let done = TeardownProgress::Done {
        returned: 0,
        owned: 0,
    };
    assert_eq!(teardown.step(&mut m.ft, &mut m.mem, &mut m.dom), done);
    assert_eq!(teardown.step(&mut m.ft, &mut m.mem, &mut m.dom), done);
}

#[test]
fn update_va_mapping_finds_the_entry_of_the_running_address_space() {
    let mut m = Machine::new(16);
    assert_eq!(
        update_va_mapping(&mut m.ft, &mut m.mem, &mut m.dom, 0, 0),
        Err(PagingError::NoRoot)
    );
    let [l4, l3, l2, l1] = m.running_chain(3);
    let data = m.alloc();
    let va = 3 << 39 | 3 << 30 | 3 << 21 | 17 << 12 | 5;
    update_va_mapping(&mut m.ft, &mut m.mem, &mut m.dom, va, entry(data, P | W))
        .unwrap()
        .by_cr3_write();
    assert_eq!(m.mem.read(l1, 17), entry(data, P | W));
    for (va, error) in [
        (4 << 39, PagingError::NoTable(Level::L4)),
        (3 << 39, PagingError::NoTable(Level::L3)),
        (3 << 39 | 3 << 30, PagingError::NoTable(Level::L2)),
        (1 << 47, PagingError::NonCanonical),
        (1 << 63, PagingError::NonCanonical),
    ] {
        assert_eq!(
            update_va_mapping(&mut m.ft, &mut m.mem, &mut m.dom, va, 0),
            Err(error)
        );
    }
    for table in [l4, l3, l2] {
        let refused = update_va_mapping(&mut m.ft, &mut m.mem, &mut m.dom, va, entry(table, P | W));
        assert!(refused.is_err());
    }
    m.audit();
}

#[test]
fn ram_is_added_once_and_within_the_table() {
    let mut m = Machine::new(16);
    let frame = m.alloc();
    let free = m.ft.free_count();
    m.ft.add_ram(Mfn(FIRST_RAM), u32::MAX);
    assert_eq!(
        (m.ft.free_count(), m.ft.owner(frame)),
        (free, Owner::Domain(m.dom.id()))
    );
    let mut empty = [FrameInfo::RESERVED; 0];
    let mut none = FrameTable::new(&mut empty);
    none.add_ram(Mfn(0), 9);
    assert_eq!(
        (none.free_count(), none.alloc(&mut m.mem, &mut m.other)),
        (0, None)
    );
}
