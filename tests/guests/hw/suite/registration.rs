//! `set_trap_table`: all or nothing, with index and reason.
use abi::errno::Errno;
use abi::layout::{PAGE_SIZE, SLOT_BASE, SLOT_END, SWITCHER_RO};
use abi::selector::{HYPERVISOR_CS, HYPERVISOR_DS, KERNEL_CS, KERNEL_SS, TSS, USER_CS};
use abi::trap::{TrapInfo, TrapRefusal, flags, may_be_direct, vector};
use guests::runtime::call::{self, Returned};
use guests::runtime::code::{self, Slot};
use guests::runtime::{memory, trap};
use guests::{check, check_eq};

use super::Run;
use super::raise::{int, own_selector};

pub(crate) const CASES: &[(&str, Run)] = &[
    ("refuses-reserved-selectors", reserved_selectors),
    ("refuses-other-privileges", other_privileges),
    ("refuses-null-selectors", null_selectors),
    ("refuses-local-selectors", local_selectors),
    ("refuses-bad-addresses", bad_addresses),
    ("refuses-direct-where-the-bounce-could-fault", direct_not_allowed),
    ("refuses-direct-with-extras", direct_with_extras),
    (
        "refuses-privilege-on-error-code-vectors",
        privilege_on_error_codes,
    ),
    ("refuses-reserved-vectors", reserved_vectors),
    ("refuses-soft-vectors-that-bounce", soft_vectors),
    ("refuses-unknown-flags", unknown_flags),
    ("refuses-all-or-nothing", all_or_nothing),
    ("refuses-bad-table-pointers", bad_pointers),
    ("direct-then-bounced-then-direct", gate_follows),
];

/// A good entry for #UD that is not the one which is registered.
fn good() -> TrapInfo {
    trap::bounced(vector::UD, code::handler(0x77, Slot::There))
}

/// #UD still reaches the handler that was registered first.
fn old_table_stands() {
    let found = code::run_in_ring1(&code::UD2);
    check_eq!(
        found.vector,
        u64::from(vector::UD),
        "the old #UD handler is still the registered one"
    );
}

fn refusal(returned: Returned) -> (Option<Errno>, u64, Option<TrapRefusal>) {
    (
        Errno::from_rax(returned.value),
        returned.detail & 0xffff_ffff,
        TrapRefusal::from_raw((returned.detail >> 32) as u32),
    )
}

/// The entry is refused for one of these reasons, at index 1, behind a good entry that is not installed either.
fn refused(entry: TrapInfo, allowed: &[TrapRefusal]) {
    let returned = call::set_trap_table(&[good(), entry]);
    let (errno, index, reason) = refusal(returned);
    check_eq!(errno, Some(Errno::Invalid), "{entry:x?} is refused");
    check_eq!(index, 1, "index of the refused {entry:x?}");
    check!(
        reason.is_some_and(|reason| allowed.contains(&reason)),
        "{entry:x?} is refused as {allowed:?}, not {reason:?}"
    );
}

fn with_selector(cs: u16) -> TrapInfo {
    TrapInfo { cs, ..good() }
}

fn reserved_selectors(_: u32) {
    for base in [HYPERVISOR_CS, HYPERVISOR_DS, TSS, TSS + 8] {
        for rpl in 0..4 {
            refused(
                with_selector(base | rpl),
                &[TrapRefusal::SelectorReserved, TrapRefusal::SelectorPrivilege],
            );
        }
        refused(with_selector(base | 1), &[TrapRefusal::SelectorReserved]);
    }
    old_table_stands();
}

fn other_privileges(_: u32) {
    for base in [KERNEL_CS, KERNEL_SS, USER_CS, own_selector(0), own_selector(15)] {
        for rpl in [0, 2, 3] {
            refused(with_selector(base & !3 | rpl), &[TrapRefusal::SelectorPrivilege]);
        }
    }
    old_table_stands();
}

fn null_selectors(_: u32) {
    for cs in 0..4 {
        refused(with_selector(cs), &[TrapRefusal::SelectorNull]);
    }
    old_table_stands();
}

fn local_selectors(_: u32) {
    for cs in [0x0c | 1, KERNEL_CS | 4, own_selector(0) | 4, 4 | 1] {
        refused(with_selector(cs), &[TrapRefusal::SelectorLocal]);
    }
    old_table_stands();
}

fn bad_addresses(_: u32) {
    for address in [
        0x0000_8000_0000_0000,
        0xffff_7fff_ffff_ffff,
        0x1234_5678_9abc_def0,
    ] {
        refused(
            TrapInfo { address, ..good() },
            &[TrapRefusal::AddressNonCanonical],
        );
    }
    for address in [SLOT_BASE, SLOT_BASE + 1, SLOT_BASE + 0x20_0000, SLOT_END - 1] {
        refused(TrapInfo { address, ..good() }, &[TrapRefusal::AddressForbidden]);
    }
    // The last byte below the hole and the first one past the slot are anyone's.
    for address in [0x0000_7fff_ffff_ffff, SLOT_END] {
        let taken = call::set_trap_table(&[TrapInfo {
            address,
            ..trap::bounced(vector::BR, 0)
        }]);
        check!(taken.ok().is_ok(), "{address:#x} is taken: {taken:x?}");
    }
    old_table_stands();
}

fn direct_not_allowed(_: u32) {
    for vector in (0..32).filter(|vector| !may_be_direct(*vector)) {
        refused(
            TrapInfo {
                vector,
                flags: flags::DIRECT,
                ..good()
            },
            &[TrapRefusal::DirectNotAllowed, TrapRefusal::VectorReserved],
        );
    }
    old_table_stands();
}

fn direct_with_extras(_: u32) {
    refused(
        TrapInfo {
            flags: flags::DIRECT | flags::MASK_EVENTS,
            ..good()
        },
        &[TrapRefusal::DirectMasksEvents],
    );
    for cs in [own_selector(0), KERNEL_SS] {
        refused(
            TrapInfo {
                flags: flags::DIRECT,
                cs,
                ..good()
            },
            &[TrapRefusal::DirectSelector],
        );
    }
    old_table_stands();
}

fn privilege_on_error_codes(_: u32) {
    for vector in [
        vector::TS,
        vector::NP,
        vector::SS,
        vector::GP,
        vector::PF,
        vector::AC,
    ] {
        for dpl in [1, 2, 3] {
            refused(
                TrapInfo {
                    vector,
                    flags: dpl,
                    ..good()
                },
                &[TrapRefusal::PrivilegeNotAllowed],
            );
        }
    }
    refused(
        TrapInfo {
            vector: vector::AC,
            flags: flags::DIRECT | 3,
            ..good()
        },
        &[TrapRefusal::PrivilegeNotAllowed],
    );
    refused(
        TrapInfo {
            vector: vector::DF,
            flags: 3,
            ..good()
        },
        &[TrapRefusal::VectorReserved, TrapRefusal::PrivilegeNotAllowed],
    );
    old_table_stands();
}

fn reserved_vectors(_: u32) {
    let reserved = [
        2, 8, 9, 15, 18, 20, 21, 29, 30, 31, 32, 0x3f, 0x81, 0x82, 0x83, 0xf0, 0xff,
    ];
    for vector in reserved {
        for flags in [0, flags::DIRECT] {
            refused(
                TrapInfo {
                    vector,
                    flags,
                    ..good()
                },
                &[
                    TrapRefusal::VectorReserved,
                    TrapRefusal::DirectNotAllowed,
                    TrapRefusal::SoftwareNotDirect,
                ],
            );
        }
    }
    old_table_stands();
    // The hypercall still is one.
    check!(call::yield_now().is_ok(), "hypercalls go where they went");
}

fn soft_vectors(_: u32) {
    for vector in [0x40, 0x41, 0x7f, 0x80] {
        refused(
            TrapInfo {
                vector,
                flags: 3,
                ..good()
            },
            &[TrapRefusal::SoftwareNotDirect],
        );
    }
    old_table_stands();
}

fn unknown_flags(_: u32) {
    for flags in [0x10, 0x20, 0x40, 0x80, 0xf0] {
        refused(TrapInfo { flags, ..good() }, &[TrapRefusal::FlagsReserved]);
    }
    for pad in [1, 0x8000_0000] {
        refused(TrapInfo { pad, ..good() }, &[TrapRefusal::FlagsReserved]);
    }
    old_table_stands();
}

fn all_or_nothing(_: u32) {
    const N: usize = 8;
    for k in 0..N {
        let mut table = [good(); N];
        for (entry, vector) in table.iter_mut().zip([0, 1, 3, 4, 5, 6, 7, 13]) {
            entry.vector = vector;
        }
        table[k].cs = HYPERVISOR_CS | 1;
        let (errno, index, reason) = refusal(call::set_trap_table(&table));
        check_eq!(errno, Some(Errno::Invalid), "a table with a bad entry at {k}");
        check_eq!(index, k as u64, "the index of the bad entry");
        check_eq!(reason, Some(TrapRefusal::SelectorReserved), "the reason");
        old_table_stands();
    }
}

fn bad_pointers(_: u32) {
    let page = memory::kernel_pages(1, memory::KERNEL_DATA);
    let entry = good();
    let last = page + PAGE_SIZE - 16;
    for at in [page, last] {
        memory::poke(at, u64::from(entry.vector) | u64::from(entry.cs) << 16);
        memory::poke(at + 8, entry.address);
    }
    let tables = [
        (0, 1),
        (8, 1),
        (SWITCHER_RO, 1),
        (SLOT_BASE - 16, 2),
        (SLOT_END - 16, 2),
        (u64::MAX - 15, 2),
        (u64::MAX - 7, 1),
        (0x0000_7fff_ffff_fff0, 2),
        (0x0000_8000_0000_0000, 1),
        (last, 2),
        (last + 8, 1),
        (memory::kernel_area(1), 1),
    ];
    for (pointer, count) in tables {
        let returned = call::call(abi::hypercall::Hypercall::SetTrapTable, &[pointer, count]);
        check_eq!(
            refusal(returned).0,
            Some(Errno::Fault),
            "a table of {count} at {pointer:#x}"
        );
        old_table_stands();
    }
    for count in [abi::trap::MAX_ENTRIES + 1, u64::MAX, 1 << 60] {
        let returned = call::call(abi::hypercall::Hypercall::SetTrapTable, &[page, count]);
        check!(
            returned.ok().is_err(),
            "a table of {count:#x} entries: {returned:x?}"
        );
        old_table_stands();
    }
    let none = call::call(abi::hypercall::Hypercall::SetTrapTable, &[page, 0]);
    check!(
        none.ok().is_ok(),
        "a table of no entries changes nothing: {none:x?}"
    );
    old_table_stands();
    let fits = call::call(abi::hypercall::Hypercall::SetTrapTable, &[last, 1]);
    check!(fits.ok().is_ok(), "a table that ends with its page: {fits:x?}");
    check_eq!(code::run_in_ring1(&code::UD2).vector, 0x77, "the new handler");
}

fn gate_follows(_: u32) {
    for vector in [vector::UD, vector::BP] {
        let instruction: &[u8] = if vector == vector::UD { &code::UD2 } else { &int(3) };
        let rsp = memory::stack(1);
        let direct = code::handler(0xd0, Slot::Missing);
        let bounced = code::handler(0xb0, Slot::There);
        let rip = code::kernel(instruction);
        let run = || trap::run(&guests::runtime::frame::Frame::ring1(rip, rsp));
        for _ in 0..2 {
            trap::register(trap::direct(vector, direct));
            let found = run();
            check_eq!(
                (found.vector, found.at),
                (0xd0, rsp - 22 * 8),
                "direct: a frame right below rsp"
            );
            trap::register(trap::bounced(vector, bounced));
            let found = run();
            check_eq!(
                (found.vector, found.at + guests::runtime::frame::BOUNCED_AT as u64),
                (0xb0, trap::bounced_from_ring1_at(rsp)),
                "bounced: a frame below the red zone"
            );
        }
    }
}
