//! The audit finds what it is there to find, and changes nothing.
use crate::addr::{DomainId, Mfn};
use crate::paging::frame_table::State;
use crate::paging::{AuditFault, PageType, audit};
use crate::platform::PhysMem;
use crate::testing::machine::{A, D, FIRST_RAM, Machine, NX, P, U, W, entry};
use abi::layout::HYPERVISOR_SLOT;

/// A machine in which everything occurs, and its running chain.
fn busy_machine() -> (Machine, [Mfn; 4], Mfn) {
    let mut m = Machine::new(24);
    let chain = m.running_chain(3);
    let data = m.alloc();
    m.update(chain[3], 0, entry(data, P | W)).unwrap();
    m.update(chain[3], 1, entry(data, P)).unwrap();
    (m, chain, data)
}

/// What the audit says; it must leave the frame table as it was.
fn faults(m: &mut Machine) -> Result<(), AuditFault> {
    let before = m.ft.snapshot();
    let result = audit(&mut m.ft, &m.mem, [&m.dom, &m.other].into_iter()).map(|_| ());
    assert!(m.ft.snapshot() == before, "the audit changed something");
    result
}

#[test]
fn a_clean_audit_counts_what_is_there() {
    let (mut m, ..) = busy_machine();
    let report = m.audit();
    assert_eq!(
        (report.owned, report.tables, report.hypervisor, report.entries),
        (5, 4, 2, 5)
    );
    assert_eq!(report.free, 24 - FIRST_RAM - 5 - 2);
}

#[test]
fn what_the_cpu_marks_is_no_fault() {
    let (mut m, [l4, l3, l2, l1], _) = busy_machine();
    for table in [l4, l3, l2] {
        m.mem.set_bits(table, 3, A);
    }
    m.mem.set_bits(l4, HYPERVISOR_SLOT, A);
    m.mem.set_bits(l1, 0, A | D);
    assert_eq!(faults(&mut m), Ok(()));
}

#[test]
fn a_lost_or_invented_use_is_found_with_both_numbers() {
    let (mut m, _, data) = busy_machine();
    m.ft.all_mut()[data.index()].uses += 1;
    assert_eq!(
        faults(&mut m),
        Err(AuditFault::Uses {
            mfn: data,
            stored: 3,
            found: 2
        })
    );
    m.ft.all_mut()[data.index()].uses -= 2;
    assert_eq!(
        faults(&mut m),
        Err(AuditFault::Uses {
            mfn: data,
            stored: 1,
            found: 2
        })
    );
    m.ft.all_mut()[data.index()].uses += 1;
    m.ft.all_mut()[data.index()].type_uses += 1;
    assert_eq!(
        faults(&mut m),
        Err(AuditFault::TypeUses {
            mfn: data,
            stored: 2,
            found: 1
        })
    );
}

#[test]
fn a_table_written_behind_our_back_is_found() {
    let (m, [l4, l3, l2, l1], data) = busy_machine();
    let foreign = Mfn(23);
    for (table, index, word) in [
        (l1, 5, entry(l1, P | W)),
        (l1, 5, entry(l4, P | W)),
        (l1, 5, entry(foreign, P)),
        (l1, 5, entry(Mfn(0), P)),
        (l1, 5, entry(data, P | 1 << 4)),
        (l2, 5, entry(data, P | 1 << 7)),
        (l2, 5, entry(l3, P)),
        (l4, 5, entry(l2, P)),
    ] {
        let (mut broken, ..) = busy_machine();
        broken.mem.write(table, index, word);
        assert_eq!(
            faults(&mut broken),
            Err(AuditFault::Entry { table, index }),
            "{word:#x}"
        );
    }
    drop(m);
    for (index, word) in [(0, 0), (1, entry(data, P | W)), (7, entry(data, P | U | NX))] {
        let (mut broken, ..) = busy_machine();
        broken.mem.write(l1, index, word);
        assert!(matches!(
            faults(&mut broken),
            Err(AuditFault::Uses { .. } | AuditFault::TypeUses { .. })
        ));
    }
}

#[test]
fn a_root_without_our_slot_is_found() {
    let (mut m, [l4, ..], _) = busy_machine();
    let ours = m.mem.read(l4, HYPERVISOR_SLOT);
    for word in [0, ours | U, ours & !W, ours + 0x1000, ours ^ NX] {
        m.mem.write(l4, HYPERVISOR_SLOT, word);
        assert_eq!(faults(&mut m), Err(AuditFault::Slot(l4)));
    }
}

#[test]
fn states_that_cannot_be_are_found() {
    let free = Mfn(23);
    type Break = fn(&mut Machine, Mfn, Mfn);
    type Expected = fn(Mfn, Mfn) -> AuditFault;
    let breaks: [(Break, Expected); 9] = [
        (
            |m, data, _| m.ft.all_mut()[data.index()].kind = PageType::None,
            |data, _| AuditFault::Inconsistent(data),
        ),
        (
            |m, data, _| m.ft.all_mut()[data.index()].state = State::Pinned,
            |data, _| AuditFault::Inconsistent(data),
        ),
        (
            |m, data, _| m.ft.all_mut()[data.index()].state = State::Leaving,
            |data, _| AuditFault::Inconsistent(data),
        ),
        (
            |m, _, free| m.ft.all_mut()[free.index()].uses = 1,
            |_, free| AuditFault::Inconsistent(free),
        ),
        (
            |m, data, _| m.ft.all_mut()[data.index()].domain = DomainId(77),
            |data, _| AuditFault::NoDomain(data),
        ),
        (
            |m, _, free| m.ft.all_mut()[free.index()].link = free.0,
            |_, _| AuditFault::FreeList,
        ),
        (
            |m, _, free| m.ft.all_mut()[free.index()].link = 9999,
            |_, _| AuditFault::FreeList,
        ),
        (
            |m, _, free| m.ft.all_mut()[free.index() - 1].link = u32::MAX,
            |_, _| AuditFault::FreeList,
        ),
        (|m, _, _| m.dom.owned += 1, |_, _| AuditFault::Totals),
    ];
    for (at, (make, expected)) in breaks.into_iter().enumerate() {
        let (mut m, _, data) = busy_machine();
        make(&mut m, data, free);
        assert_eq!(faults(&mut m), Err(expected(data, free)), "case {at}");
    }
}

#[test]
fn a_lost_leaving_table_is_found() {
    let (mut m, [_, _, l2, _], _) = busy_machine();
    m.update(l2, 3, 0).unwrap();
    assert_eq!(faults(&mut m), Ok(()));
    let whole = m.dom.leaving;
    for broken in [u32::MAX, 23, 9999] {
        m.dom.leaving = broken;
        assert_eq!(faults(&mut m), Err(AuditFault::Worklist(m.dom.id())));
    }
    m.dom.leaving = whole;
    assert_eq!(faults(&mut m), Ok(()));
}

#[test]
fn a_root_that_is_none_is_found() {
    let (mut m, [l4, l3, ..], _) = busy_machine();
    m.dom.root = Some(l3);
    assert_eq!(faults(&mut m), Err(AuditFault::Root(m.dom.id())));
    m.dom.root = None;
    assert_eq!(
        faults(&mut m),
        Err(AuditFault::Uses {
            mfn: l4,
            stored: 1,
            found: 0
        })
    );
}

#[test]
fn a_fault_is_one_word() {
    let mfn = Mfn(0x1a);
    for fault in [
        AuditFault::Inconsistent(mfn),
        AuditFault::Uses {
            mfn,
            stored: 3,
            found: 2,
        },
        AuditFault::TypeUses {
            mfn,
            stored: 3,
            found: 2,
        },
        AuditFault::Entry { table: mfn, index: 7 },
        AuditFault::Slot(mfn),
        AuditFault::Root(DomainId(1)),
        AuditFault::NoDomain(mfn),
        AuditFault::FreeList,
        AuditFault::Worklist(DomainId(1)),
        AuditFault::Totals,
    ] {
        let text = fault.to_string();
        assert!(text.chars().all(|c| c.is_ascii_graphic() && c != '='), "{text}");
    }
    assert_eq!(
        AuditFault::Uses {
            mfn,
            stored: 3,
            found: 2
        }
        .to_string(),
        "uses-differ,mfn:0x1a,stored:3,found:2"
    );
}
