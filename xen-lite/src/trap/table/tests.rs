//! The rule entry by entry, then whatever may come.
use super::*;
use abi::layout::{SLOT_BASE, SLOT_END};
use abi::trap::vector;
use proptest::prelude::*;

const HANDLER: u64 = 0xffff_ffff_8010_0000;

fn entry(vector: u8) -> TrapInfo {
    TrapInfo {
        vector,
        flags: 0,
        cs: selector::KERNEL_CS,
        pad: 0,
        address: HANDLER,
    }
}

fn direct(vector: u8, dpl: u8) -> TrapInfo {
    TrapInfo {
        flags: flags::DIRECT | dpl,
        ..entry(vector)
    }
}

fn words(raw: TrapInfo) -> [u64; 2] {
    let bytes = bytes(raw);
    let word = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().unwrap());
    [word(0), word(8)]
}

fn bytes(raw: TrapInfo) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[0] = raw.vector;
    bytes[1] = raw.flags;
    bytes[2..4].copy_from_slice(&raw.cs.to_le_bytes());
    bytes[4..8].copy_from_slice(&raw.pad.to_le_bytes());
    bytes[8..].copy_from_slice(&raw.address.to_le_bytes());
    bytes
}

fn register(entries: &[TrapInfo]) -> Result<TrapTable, Refused> {
    TrapTable::EMPTY.with_entries(entries.iter().map(|raw| Some(words(*raw))))
}

fn refusal(raw: TrapInfo) -> TrapRefusal {
    let refused = register(&[raw]).unwrap_err();
    assert_eq!(refused.index, 0);
    refused.reason
}

#[test]
fn an_entry_is_read_field_by_field() {
    let raw = TrapInfo {
        vector: 1,
        flags: 2,
        cs: 0x0403,
        pad: 0x0807_0605,
        address: 0x100f_0e0d_0c0b_0a09,
    };
    let expected: Vec<u8> = (1..=16).collect();
    assert_eq!(bytes(raw).to_vec(), expected);
    assert_eq!(parse(words(raw)), raw);
}

#[test]
fn every_guest_exception_can_be_bounced_and_no_other() {
    for vector in 0..=255 {
        let result = register(&[entry(vector)]);
        if is_guest_exception(vector) {
            let handler = Handler::Bounce {
                cs: selector::KERNEL_CS,
                address: HANDLER,
                mask_events: false,
            };
            assert_eq!(result.unwrap().handler(vector), handler);
        } else if is_software_vector(vector) {
            assert_eq!(result.unwrap_err().reason, TrapRefusal::SoftwareNotDirect);
        } else {
            assert_eq!(
                result.unwrap_err().reason,
                TrapRefusal::VectorReserved,
                "vector {vector:#x}"
            );
        }
    }
}

#[test]
fn the_hypervisors_vectors_are_refused_even_for_removal() {
    for vector in [2, 8, 9, 15, 18, 20, 31, 0x20, 0x3f, 0x81, 0x82, 0x83, 0xff] {
        for flags in [0, flags::DIRECT, flags::DIRECT | 3] {
            for address in [0, HANDLER] {
                let raw = TrapInfo {
                    flags,
                    address,
                    ..entry(vector)
                };
                assert_eq!(refusal(raw), TrapRefusal::VectorReserved, "vector {vector:#x}");
            }
        }
    }
}

#[test]
fn reserved_selectors_are_refused_with_every_rpl_and_table_bit() {
    for low in 0..8u16 {
        for (index, expected) in [
            (0, TrapRefusal::SelectorNull),
            (selector::HYPERVISOR_CS, TrapRefusal::SelectorReserved),
            (selector::HYPERVISOR_DS, TrapRefusal::SelectorReserved),
            (selector::TSS, TrapRefusal::SelectorReserved),
            (selector::TSS + 8, TrapRefusal::SelectorReserved),
        ] {
            let expected = if low & 4 != 0 {
                TrapRefusal::SelectorLocal
            } else {
                expected
            };
            for flags in [0, flags::DIRECT] {
                let raw = TrapInfo {
                    cs: index | low,
                    flags,
                    ..entry(vector::UD)
                };
                assert_eq!(refusal(raw), expected, "selector {:#x}", index | low);
            }
        }
    }
}

#[test]
fn only_rpl_1_is_accepted() {
    for rpl in [0, 2, 3] {
        let raw = TrapInfo {
            cs: (selector::KERNEL_CS & !3) | rpl,
            ..entry(vector::PF)
        };
        assert_eq!(refusal(raw), TrapRefusal::SelectorPrivilege);
    }
}

#[test]
fn a_segment_that_may_turn_out_unusable_is_accepted_until_delivery() {
    for cs in [selector::KERNEL_SS, 0x81, 0xfff9, (selector::USER_CS & !3) | 1] {
        assert!(
            register(&[TrapInfo {
                cs,
                ..entry(vector::PF)
            }])
            .is_ok(),
            "selector {cs:#x}"
        );
    }
}

#[test]
fn addresses_are_canonical_and_outside_the_slot() {
    let cases = [
        (0x0000_8000_0000_0000, TrapRefusal::AddressNonCanonical),
        (0xffff_7fff_ffff_ffff, TrapRefusal::AddressNonCanonical),
        (1 << 63, TrapRefusal::AddressNonCanonical),
        (SLOT_BASE, TrapRefusal::AddressForbidden),
        (SLOT_BASE + 0x20_0000, TrapRefusal::AddressForbidden),
        (SLOT_END - 1, TrapRefusal::AddressForbidden),
    ];
    for (address, expected) in cases {
        assert_eq!(
            refusal(TrapInfo {
                address,
                ..entry(vector::PF)
            }),
            expected
        );
        assert_eq!(
            refusal(TrapInfo {
                address,
                ..direct(0x80, 3)
            }),
            expected
        );
    }
    for address in [1, 0x7fff_ffff_ffff, SLOT_END, u64::MAX] {
        assert!(
            register(&[TrapInfo {
                address,
                ..entry(vector::PF)
            }])
            .is_ok()
        );
    }
}

#[test]
fn direct_is_for_vectors_that_cannot_arise_inside_the_bounce() {
    for vector in (0..=255).filter(|vector| is_guest_exception(*vector) || is_software_vector(*vector)) {
        let result = register(&[direct(vector, 0)]);
        if may_be_direct(vector) {
            let handler = Handler::Direct {
                address: HANDLER,
                dpl: 0,
            };
            assert_eq!(result.unwrap().handler(vector), handler);
        } else {
            assert_eq!(result.unwrap_err().reason, TrapRefusal::DirectNotAllowed);
        }
    }
    let refused = [
        vector::PF,
        vector::GP,
        vector::SS,
        vector::NP,
        vector::TS,
        vector::DB,
    ];
    for vector in refused {
        assert_eq!(refusal(direct(vector, 0)), TrapRefusal::DirectNotAllowed);
    }
}

#[test]
fn a_direct_handler_is_on_the_flat_segment_and_masks_nothing() {
    let raw = direct(vector::UD, 0);
    assert_eq!(refusal(TrapInfo { cs: 0x81, ..raw }), TrapRefusal::DirectSelector);
    let masks = TrapInfo {
        flags: raw.flags | flags::MASK_EVENTS,
        ..raw
    };
    assert_eq!(refusal(masks), TrapRefusal::DirectMasksEvents);
}

#[test]
fn a_privilege_is_for_direct_vectors_without_an_error_code() {
    for dpl in 1..=3 {
        for vector in (0..32).filter(|vector| is_guest_exception(*vector)) {
            let raw = TrapInfo {
                flags: dpl,
                ..entry(vector)
            };
            assert_eq!(refusal(raw), TrapRefusal::PrivilegeNotAllowed);
        }
        assert_eq!(refusal(direct(vector::AC, dpl)), TrapRefusal::PrivilegeNotAllowed);
        let handler = Handler::Direct {
            address: HANDLER,
            dpl,
        };
        assert_eq!(
            register(&[direct(vector::BP, dpl)]).unwrap().handler(vector::BP),
            handler
        );
        assert_eq!(register(&[direct(0x80, dpl)]).unwrap().handler(0x80), handler);
    }
}

#[test]
fn unknown_flags_and_padding_are_refused() {
    for bit in 4..8 {
        assert_eq!(
            refusal(TrapInfo {
                flags: 1 << bit,
                ..entry(14)
            }),
            TrapRefusal::FlagsReserved
        );
        let removal = TrapInfo {
            flags: 1 << bit,
            address: 0,
            ..entry(14)
        };
        assert_eq!(refusal(removal), TrapRefusal::FlagsReserved);
    }
    assert_eq!(
        refusal(TrapInfo {
            pad: 1 << 31,
            ..entry(14)
        }),
        TrapRefusal::FlagsReserved
    );
}

#[test]
fn a_refused_entry_leaves_no_trace_of_the_others() {
    let before = register(&[entry(vector::PF), direct(0x80, 3)]).unwrap();
    let copy = before.clone();
    for position in 0..5 {
        let mut entries = [entry(0), entry(3), entry(6), entry(13), entry(16)];
        entries[position].cs = selector::HYPERVISOR_CS;
        let refused = before
            .with_entries(entries.map(|raw| Some(words(raw))))
            .unwrap_err();
        assert_eq!(
            refused,
            Refused {
                index: position as u32,
                reason: TrapRefusal::SelectorReserved
            }
        );
        assert_eq!(refused.errno(), Errno::Invalid);
        assert_eq!(refused.detail(), position as u64 | 3 << 32);
    }
    assert_eq!(before, copy);
}

#[test]
fn an_unreadable_entry_is_a_fault_at_its_index() {
    let refused = TrapTable::EMPTY
        .with_entries([Some(words(entry(14))), None])
        .unwrap_err();
    assert_eq!(
        refused,
        Refused {
            index: 1,
            reason: TrapRefusal::Unreadable
        }
    );
    assert_eq!(refused.errno(), Errno::Fault);
}

#[test]
fn the_later_of_two_entries_counts_but_both_are_checked() {
    let table = register(&[entry(6), direct(6, 3)]).unwrap();
    assert_eq!(
        table.handler(6),
        Handler::Direct {
            address: HANDLER,
            dpl: 3
        }
    );
    let bad = TrapInfo { cs: 0, ..entry(6) };
    assert_eq!(register(&[bad, entry(6)]).unwrap_err().index, 0);
}

#[test]
fn address_0_removes_and_vectors_not_named_stay() {
    let table = register(&[entry(6), entry(14)]).unwrap();
    let removal = TrapInfo {
        vector: 6,
        ..TrapInfo::default()
    };
    let table = table.with_entries([Some(words(removal))]).unwrap();
    assert_eq!(table.handler(6), Handler::None);
    assert_ne!(table.handler(14), Handler::None);
    assert_eq!(table.with_entries([]).unwrap(), table);
}

#[test]
fn the_bounce_finds_nothing_where_nothing_is_to_be_bounced() {
    let table = register(&[entry(14), direct(6, 0)]).unwrap();
    assert_eq!(
        table.bounce_entry(14),
        BounceEntry {
            address: HANDLER,
            cs: u64::from(selector::KERNEL_CS)
        }
    );
    assert!(table.bounce_entry(6).is_empty());
    assert!(table.bounce_entry(13).is_empty());
}

#[test]
fn a_handler_is_found_by_its_address() {
    let at = |raw: TrapInfo, address| TrapInfo { address, ..raw };
    let table = register(&[
        at(entry(14), 0x1000),
        at(direct(0x80, 3), 0x2000),
        at(direct(0, 0), 0x3000),
    ]);
    let table = table.unwrap();
    assert_eq!(table.vector_at(0x1000), Some(14));
    assert_eq!(table.vector_at(0x2000), Some(0x80));
    assert_eq!(table.vector_at(0x3000), Some(0));
    assert_eq!(table.vector_at(0), None);
    assert_eq!(table.handlers().count(), 32 + 65);
}

proptest! {
    #[test]
    fn whatever_is_registered_keeps_the_invariants(entries in proptest::collection::vec(
        (any::<u8>(), any::<u8>(), any::<u16>(), 0u32..2, prop_oneof![any::<u64>(), Just(HANDLER), Just(0)]), 0..6)) {
        let raw = |(vector, flags, cs, pad, address)| TrapInfo { vector, flags, cs, pad, address };
        if let Ok(table) = register(&entries.into_iter().map(raw).collect::<Vec<_>>()) {
            for (vector, handler) in table.handlers() {
                if let Some(address) = handler.address() {
                    prop_assert!(is_canonical(address) && !in_hypervisor_slot(address) && address != 0);
                }
                match handler {
                    Handler::None => {}
                    Handler::Bounce { cs, .. } => prop_assert!(
                        is_guest_exception(vector) && cs & 7 == 1 && ![0, 1, 2, 7, 8].contains(&(cs >> 3))),
                    Handler::Direct { dpl, .. } => prop_assert!(
                        may_be_direct(vector) && (dpl == 0 || !has_error_code(vector))),
                }
            }
        }
    }
}

/// The refusals in the order in which `abi/README.md` lists them.
fn listed() -> Vec<TrapRefusal> {
    let page = include_str!("../../../../abi/README.md");
    let (_, section) = page.split_once("\n### Refusals\n").unwrap();
    let (section, _) = section.split_once("\n### ").unwrap();
    let numbers = section
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    numbers
        .filter_map(|number| number.parse().ok())
        .filter_map(TrapRefusal::from_raw)
        .collect()
}

/// An entry of a field, and what it is refused for; `None` where it is as it should be.
type Fault<T> = (T, Option<TrapRefusal>);

#[test]
fn an_entry_with_several_faults_is_refused_for_the_one_that_the_page_lists_first() {
    use TrapRefusal as R;
    let order = listed();
    assert_eq!(order.len(), R::ALL.len());
    let place = |refusal: &R| order.iter().position(|listed| listed == refusal).unwrap();
    let vectors = [(vector::UD, None), (vector::NMI, Some(R::VectorReserved))];
    let pads = [(0, None), (1, Some(R::FlagsReserved))];
    let selectors: [Fault<u16>; 5] = [
        (selector::KERNEL_CS, None),
        (4, Some(R::SelectorLocal)),
        (3, Some(R::SelectorNull)),
        (selector::HYPERVISOR_CS, Some(R::SelectorReserved)),
        (selector::KERNEL_CS & !3, Some(R::SelectorPrivilege)),
    ];
    let addresses = [
        (HANDLER, None),
        (1 << 47, Some(R::AddressNonCanonical)),
        (SLOT_BASE, Some(R::AddressForbidden)),
    ];
    let ways = [
        (0, None),
        (flags::DIRECT | flags::MASK_EVENTS, Some(R::DirectMasksEvents)),
        (3, Some(R::PrivilegeNotAllowed)),
    ];
    let mut checked = 0;
    for (vector, v) in vectors {
        for (pad, p) in pads {
            for (cs, s) in selectors {
                for (address, a) in addresses {
                    for (flags, f) in ways {
                        let entry = TrapInfo {
                            vector,
                            flags,
                            cs,
                            pad,
                            address,
                        };
                        let first = [v, p, s, a, f].into_iter().flatten().min_by_key(place);
                        assert_eq!(
                            register(&[entry]).err().map(|refused| refused.reason),
                            first,
                            "{entry:x?}"
                        );
                        checked += 1;
                    }
                }
            }
        }
    }
    assert_eq!(checked, 180);
}

#[test]
fn what_the_way_of_delivery_forbids_is_told_in_the_pages_order() {
    let order = listed();
    let place = |refusal: TrapRefusal| order.iter().position(|listed| *listed == refusal).unwrap();
    let own = 0x81;
    let all = flags::DIRECT | flags::MASK_EVENTS | 3;
    // Each breaks the rule that is named and every later one that can be broken with it.
    let broken = [
        (
            TrapRefusal::DirectNotAllowed,
            TrapInfo {
                vector: vector::GP,
                flags: all,
                cs: own,
                ..entry(0)
            },
        ),
        (
            TrapRefusal::DirectSelector,
            TrapInfo {
                vector: vector::AC,
                flags: all,
                cs: own,
                ..entry(0)
            },
        ),
        (
            TrapRefusal::DirectMasksEvents,
            TrapInfo {
                vector: vector::AC,
                flags: all,
                ..entry(0)
            },
        ),
        (
            TrapRefusal::SoftwareNotDirect,
            TrapInfo {
                vector: 0x40,
                flags: 3,
                ..entry(0)
            },
        ),
        (
            TrapRefusal::PrivilegeNotAllowed,
            TrapInfo {
                vector: vector::GP,
                flags: 3,
                ..entry(0)
            },
        ),
    ];
    assert!(broken.iter().map(|(refused, _)| place(*refused)).is_sorted());
    for (refused, entry) in broken {
        assert_eq!(refusal(entry), refused, "{entry:x?}");
    }
}
