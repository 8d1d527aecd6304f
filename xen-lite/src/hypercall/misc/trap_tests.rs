//! Trap tables as the switcher's page has them.
use crate::testing::world::{Bench, at};
use crate::trap::table::TrapTable;
use abi::errno::Errno;
use abi::hypercall::Hypercall;
use abi::layout::{SLOT_BASE, SLOT_END};
use abi::selector::KERNEL_CS;
use abi::trap::{TrapRefusal, flags};
use proptest::prelude::*;

const HANDLER: u64 = 0xffff_ffff_8010_0000;

fn entry(vector: u8, flags: u8, address: u64) -> [u64; 2] {
    let head = u64::from(vector) | u64::from(flags) << 8 | u64::from(KERNEL_CS) << 16;
    [head, address]
}

fn register(bench: &mut Bench, table: &[[u64; 2]]) -> (Result<u64, Errno>, u64) {
    bench.write(0, at(0, 8), table.as_flattened());
    bench.ask_quick(0, Hypercall::SetTrapTable, &[at(0, 8), table.len() as u64])
}

/// Everything that the switcher reads, and what it would be if all of it were derived anew from what is registered.
fn pages(bench: &mut Bench) -> [Vec<u64>; 2] {
    let vcpu = &bench.domains[0].vcpu;
    let page = vcpu.set.frames()[3];
    let now = bench.world.mem.words(page).to_vec();
    let set = vcpu.set;
    set.set_traps(&mut bench.world.mem, &bench.world.common, &vcpu.traps);
    [now, bench.world.mem.words(page).to_vec()]
}

#[test]
fn a_gate_that_is_left_alone_is_the_gate_that_would_be_made() {
    let mut bench = Bench::new(1);
    bench.world.common.stubs = core::array::from_fn(|n| 0x1000 + n as u64);
    bench.world.common.masked_stubs = core::array::from_fn(|n| 0x2000 + n as u64);
    let set = bench.domains[0].vcpu.set;
    set.set_traps(
        &mut bench.world.mem,
        &bench.world.common,
        &bench.domains[0].vcpu.traps,
    );
    let kinds = [
        entry(6, 0, HANDLER),
        entry(6, flags::MASK_EVENTS, HANDLER + 16),
        entry(6, flags::DIRECT, HANDLER + 32),
        entry(6, 0, 0),
        [6 | 0x81 << 16, HANDLER + 48],
        [6 | u64::from(flags::MASK_EVENTS) << 8 | 0x81 << 16, HANDLER + 64],
        // The same kinds again, with other addresses.
        entry(6, 0, HANDLER + 80),
        entry(6, flags::MASK_EVENTS, HANDLER + 96),
        entry(6, flags::DIRECT, HANDLER + 112),
        [6 | 0x81 << 16, HANDLER + 128],
    ];
    // From each kind of handler to each.
    for before in kinds {
        for after in kinds {
            assert_eq!(register(&mut bench, &[before]), (Ok(0), 0));
            assert_eq!(register(&mut bench, &[after]), (Ok(0), 0));
            let [now, anew] = pages(&mut bench);
            assert_eq!(now, anew, "{before:x?}, then {after:x?}");
            let expected = TrapTable::EMPTY.with_entries([Some(after)]).unwrap();
            assert_eq!(
                bench.domains[0].vcpu.traps, expected,
                "{before:x?}, then {after:x?}"
            );
        }
    }
}

#[test]
fn a_table_with_one_bad_entry_changes_nothing_wherever_it_stands() {
    let mut bench = Bench::new(1);
    let good = entry(14, 0, HANDLER);
    assert_eq!(register(&mut bench, &[good]), (Ok(0), 0));
    let [before, _] = pages(&mut bench);
    for (bad, reason) in [
        (entry(2, 0, HANDLER), TrapRefusal::VectorReserved),
        (entry(20, 0, HANDLER), TrapRefusal::VectorReserved),
        (entry(0x90, 0, HANDLER), TrapRefusal::VectorReserved),
        (entry(14, 0x10, HANDLER), TrapRefusal::FlagsReserved),
        ([good[0] | 1 << 32, HANDLER], TrapRefusal::FlagsReserved),
        ([14, HANDLER], TrapRefusal::SelectorNull),
        (entry(14, 0, SLOT_BASE), TrapRefusal::AddressForbidden),
        (entry(14, 0, SLOT_END - 1), TrapRefusal::AddressForbidden),
        (entry(14, 0, 1 << 47), TrapRefusal::AddressNonCanonical),
        (entry(14, 1, HANDLER), TrapRefusal::PrivilegeNotAllowed),
        (entry(0x80, 0, HANDLER), TrapRefusal::SoftwareNotDirect),
    ] {
        for place in 0..4_usize {
            let mut table = [entry(13, 0, HANDLER + 1), entry(6, 0, HANDLER), good, good];
            table[place] = bad;
            let detail = place as u64 | u64::from(reason.raw()) << 32;
            assert_eq!(register(&mut bench, &table), (Err(Errno::Invalid), detail));
            let [now, anew] = pages(&mut bench);
            assert!(now == before && anew == before, "{bad:x?} at {place}");
        }
    }
}

#[test]
fn a_long_table_is_read_as_far_as_it_goes() {
    let mut bench = Bench::new(1);
    let table = [entry(14, 0, HANDLER); 200];
    assert_eq!(register(&mut bench, &table), (Ok(0), 0));
    // Across two pages, and at an odd address.
    let list = at(0, 0) + 4096 - 64;
    bench.write(0, list, table[..20].as_flattened());
    let asked = bench.ask_quick(0, Hypercall::SetTrapTable, &[list, 20]);
    assert_eq!(asked, (Ok(0), 0));
    let bytes: Vec<u8> = core::iter::once(0)
        .chain(
            table[..20]
                .as_flattened()
                .iter()
                .flat_map(|word| word.to_le_bytes()),
        )
        .chain([0; 7])
        .collect();
    let words: Vec<u64> = bytes
        .as_chunks::<8>()
        .0
        .iter()
        .map(|word| u64::from_le_bytes(*word))
        .collect();
    bench.write(0, list, &words);
    let asked = bench.ask_quick(0, Hypercall::SetTrapTable, &[list + 1, 20]);
    assert_eq!(asked, (Ok(0), 0));
    // The last page is absent: the entry that crosses into it is the first that cannot be read.
    let list = at(3, 0) + 4096 - 24;
    let asked = bench.ask_quick(0, Hypercall::SetTrapTable, &[list, 3]);
    let detail = 1 | u64::from(TrapRefusal::Unreadable.raw()) << 32;
    assert_eq!(asked, (Err(Errno::Fault), detail));
}

proptest! {
    #[test]
    fn whatever_is_registered_the_page_says_the_same(
        tables in proptest::collection::vec(
            proptest::collection::vec(
                (
                    prop_oneof![4 => 0_u8..20, 1 => any::<u8>()],
                    prop_oneof![2 => Just(0), 1 => 0_u8..16],
                    proptest::sample::select(&[0, 1, HANDLER, HANDLER + 16, SLOT_END, SLOT_BASE, 1 << 47]),
                ),
                1..8,
            ),
            1..12,
        ),
    ) {
        let mut bench = Bench::new(1);
        bench.world.common.stubs = core::array::from_fn(|n| 0x1000 + n as u64);
        bench.world.common.masked_stubs = core::array::from_fn(|n| 0x2000 + n as u64);
        let set = bench.domains[0].vcpu.set;
        set.set_traps(&mut bench.world.mem, &bench.world.common, &bench.domains[0].vcpu.traps);
        for table in tables {
            let table: Vec<_> = table
                .into_iter()
                .map(|(vector, flags, address)| entry(vector, flags, address))
                .collect();
            let before = bench.domains[0].vcpu.traps.clone();
            let expected = before.with_entries(table.iter().copied().map(Some));
            let (result, detail) = register(&mut bench, &table);
            prop_assert_eq!(result.err(), expected.as_ref().err().map(|refused| refused.errno()));
            prop_assert_eq!(detail, expected.as_ref().err().map_or(0, |refused| refused.detail()));
            prop_assert_eq!(&bench.domains[0].vcpu.traps, &expected.unwrap_or(before));
            let [now, anew] = pages(&mut bench);
            prop_assert_eq!(now, anew);
        }
    }
}
