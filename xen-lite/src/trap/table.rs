//! The trap table of a vCPU, and the rule by which a guest may change it.
//!
//! Trusts nothing of an entry. What it guarantees of a [`TrapTable`]:
//! 1. every handler address is canonical and outside the hypervisor's slot;
//! 2. every selector names an entry of the GDT that is not the hypervisor's, with RPL 1 (whether a usable segment is
//!    there shows at delivery);
//! 3. a direct handler runs on the flat ring-1 code segment, and only for vectors that cannot arise inside the bounce;
//! 4. no vector that the CPU pushes an error code for can be raised by `int n`.
//!
//! A call takes effect as a whole or not at all: [`TrapTable::with_entries`] returns a new table.
use abi::errno::Errno;
use abi::layout::{in_hypervisor_slot, is_canonical};
use abi::selector;
use abi::trap::{
    EXCEPTIONS, FIRST_SOFTWARE_VECTOR, LAST_SOFTWARE_VECTOR, TrapInfo, TrapRefusal, flags, has_error_code,
    is_guest_exception, is_software_vector, may_be_direct,
};

/// What a guest has registered for one vector.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Handler {
    /// Nothing.
    #[default]
    None,
    /// Ring 0 delivers it to `cs:address`.
    Bounce {
        /// Code selector, RPL 1.
        cs: u16,
        /// Where the handler begins.
        address: u64,
        /// Events are masked on entry.
        mask_events: bool,
    },
    /// The CPU delivers it, on the flat ring-1 code segment.
    Direct {
        /// Where the handler begins.
        address: u64,
        /// Lowest privilege that may raise it by `int n`: 0 to 3.
        dpl: u8,
    },
}

impl Handler {
    /// Where the handler begins, if there is one.
    #[must_use]
    pub const fn address(self) -> Option<u64> {
        match self {
            Self::None => None,
            Self::Bounce { address, .. } | Self::Direct { address, .. } => Some(address),
        }
    }
}

/// The first entry that was refused, and why. The table is as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Which entry of the call, from 0.
    pub index: u32,
    /// What is wrong with it.
    pub reason: TrapRefusal,
}

impl Refused {
    /// What the hypercall returns in rax.
    #[must_use]
    pub const fn errno(self) -> Errno {
        match self.reason {
            TrapRefusal::Unreadable => Errno::Fault,
            _ => Errno::Invalid,
        }
    }

    /// What the hypercall returns in rdx.
    #[must_use]
    pub const fn detail(self) -> u64 {
        self.index as u64 | (self.reason.raw() as u64) << 32
    }
}

const SOFTWARE_VECTORS: usize = (LAST_SOFTWARE_VECTOR - FIRST_SOFTWARE_VECTOR) as usize + 1;

/// All that a vCPU has registered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrapTable {
    exceptions: [Handler; EXCEPTIONS],
    software: [Handler; SOFTWARE_VECTORS],
}

impl Default for TrapTable {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl TrapTable {
    /// The table that a domain starts with.
    pub const EMPTY: Self = Self {
        exceptions: [Handler::None; EXCEPTIONS],
        software: [Handler::None; SOFTWARE_VECTORS],
    };

    /// What is registered for `vector`.
    #[must_use]
    pub fn handler(&self, vector: u8) -> Handler {
        let slot = match vector.checked_sub(FIRST_SOFTWARE_VECTOR) {
            None => self.exceptions.get(usize::from(vector)),
            Some(index) => self.software.get(usize::from(index)),
        };
        slot.copied().unwrap_or(Handler::None)
    }

    /// The vector whose handler begins at `address`, exceptions first.
    #[must_use]
    pub fn vector_at(&self, address: u64) -> Option<u8> {
        self.handlers()
            .find(|(_, handler)| handler.address() == Some(address))
            .map(|(vector, _)| vector)
    }

    /// Every vector that a guest may register, with what is registered for it.
    pub fn handlers(&self) -> impl Iterator<Item = (u8, Handler)> + '_ {
        (0u8..)
            .zip(self.exceptions.iter().copied())
            .chain((FIRST_SOFTWARE_VECTOR..=LAST_SOFTWARE_VECTOR).zip(self.software.iter().copied()))
    }

    /// The table after a `set_trap_table` call with these entries; `None` is an entry that could not be read.
    ///
    /// Where two entries name one vector the later one counts, as if written in turn; both are checked.
    ///
    /// # Errors
    /// The first entry that may not be registered.
    pub fn with_entries(
        &self,
        entries: impl IntoIterator<Item = Option<[u8; size_of::<TrapInfo>()]>>,
    ) -> Result<Self, Refused> {
        let mut table = self.clone();
        for (index, bytes) in (0u32..).zip(entries) {
            let refused = |reason| Refused { index, reason };
            let raw = parse(bytes.ok_or(refused(TrapRefusal::Unreadable))?);
            let handler = check(raw).map_err(refused)?;
            if let Some(slot) = table.slot_mut(raw.vector) {
                *slot = handler;
            }
        }
        Ok(table)
    }

    /// What the bounce reads for an exception: the handler's address and selector. Both 0 where nothing is registered
    /// or the CPU delivers by itself: the bounce's iretq refuses a null code selector.
    #[must_use]
    pub fn bounce_entry(&self, vector: u8) -> BounceEntry {
        match self.handler(vector) {
            Handler::Bounce { cs, address, .. } => BounceEntry {
                address,
                cs: u64::from(cs),
            },
            Handler::None | Handler::Direct { .. } => BounceEntry::EMPTY,
        }
    }

    fn slot_mut(&mut self, vector: u8) -> Option<&mut Handler> {
        match vector.checked_sub(FIRST_SOFTWARE_VECTOR) {
            None => self.exceptions.get_mut(usize::from(vector)),
            Some(index) => self.software.get_mut(usize::from(index)),
        }
    }
}

/// One entry of the table that the bounce reads, in the switcher's read-only page.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BounceEntry {
    /// The handler's address.
    pub address: u64,
    /// Its code selector; 0 is the sentinel that iretq refuses.
    pub cs: u64,
}
const _: () = assert!(size_of::<BounceEntry>() == 16);
const _: () = assert!(core::mem::offset_of!(BounceEntry, cs) == 8);

impl BounceEntry {
    /// No handler.
    pub const EMPTY: Self = Self { address: 0, cs: 0 };

    /// Whether there is no handler.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.cs == 0
    }
}

/// An entry as it lies in the guest's memory.
#[must_use]
pub const fn parse(bytes: [u8; size_of::<TrapInfo>()]) -> TrapInfo {
    let [
        vector,
        flags,
        cs0,
        cs1,
        p0,
        p1,
        p2,
        p3,
        a0,
        a1,
        a2,
        a3,
        a4,
        a5,
        a6,
        a7,
    ] = bytes;
    TrapInfo {
        vector,
        flags,
        cs: u16::from_le_bytes([cs0, cs1]),
        pad: u32::from_le_bytes([p0, p1, p2, p3]),
        address: u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
    }
}

/// The handler that an entry asks for.
///
/// Order: vector, reserved bits, removal, selector, address, then what the way of delivery allows. An entry with address
/// 0 removes; its selector and known flags mean nothing then.
fn check(raw: TrapInfo) -> Result<Handler, TrapRefusal> {
    if !is_guest_exception(raw.vector) && !is_software_vector(raw.vector) {
        return Err(TrapRefusal::VectorReserved);
    }
    if raw.flags & !(flags::DPL_MASK | flags::MASK_EVENTS | flags::DIRECT) != 0 || raw.pad != 0 {
        return Err(TrapRefusal::FlagsReserved);
    }
    if raw.address == 0 {
        return Ok(Handler::None);
    }
    check_selector(raw.cs)?;
    if !is_canonical(raw.address) {
        return Err(TrapRefusal::AddressNonCanonical);
    }
    if in_hypervisor_slot(raw.address) {
        return Err(TrapRefusal::AddressForbidden);
    }
    if raw.flags & flags::DIRECT != 0 {
        check_direct(raw)
    } else {
        check_bounce(raw)
    }
}

/// The selector is compared by the entry it names, so no RPL and no table bit hides a reserved one.
fn check_selector(cs: u16) -> Result<(), TrapRefusal> {
    const TABLE_BIT: u16 = 0b100;
    const TSS: usize = selector::index(selector::TSS);
    const TSS_HIGH: usize = TSS + 1;
    const HYPERVISOR_CS: usize = selector::index(selector::HYPERVISOR_CS);
    const HYPERVISOR_DS: usize = selector::index(selector::HYPERVISOR_DS);
    if cs & TABLE_BIT != 0 {
        return Err(TrapRefusal::SelectorLocal);
    }
    match selector::index(cs) {
        0 => Err(TrapRefusal::SelectorNull),
        HYPERVISOR_CS | HYPERVISOR_DS | TSS | TSS_HIGH => Err(TrapRefusal::SelectorReserved),
        _ if selector::rpl(cs) != 1 => Err(TrapRefusal::SelectorPrivilege),
        _ => Ok(()),
    }
}

fn check_direct(raw: TrapInfo) -> Result<Handler, TrapRefusal> {
    let dpl = raw.flags & flags::DPL_MASK;
    if !may_be_direct(raw.vector) {
        return Err(TrapRefusal::DirectNotAllowed);
    }
    if raw.cs != selector::KERNEL_CS {
        return Err(TrapRefusal::DirectSelector);
    }
    if raw.flags & flags::MASK_EVENTS != 0 {
        return Err(TrapRefusal::DirectMasksEvents);
    }
    // `int n` pushes no error code: the handler of such a vector would read its frame one word off.
    if has_error_code(raw.vector) && dpl != 0 {
        return Err(TrapRefusal::PrivilegeNotAllowed);
    }
    Ok(Handler::Direct {
        address: raw.address,
        dpl,
    })
}

fn check_bounce(raw: TrapInfo) -> Result<Handler, TrapRefusal> {
    if is_software_vector(raw.vector) {
        return Err(TrapRefusal::SoftwareNotDirect);
    }
    // A bounced vector's gate leads to ring 0: who may use it is the hypervisor's to say.
    if raw.flags & flags::DPL_MASK != 0 {
        return Err(TrapRefusal::PrivilegeNotAllowed);
    }
    let mask_events = raw.flags & flags::MASK_EVENTS != 0;
    Ok(Handler::Bounce {
        cs: raw.cs,
        address: raw.address,
        mask_events,
    })
}

#[cfg(test)]
mod tests {
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
        TrapTable::EMPTY.with_entries(entries.iter().map(|raw| Some(bytes(*raw))))
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
        assert_eq!(parse(bytes(raw)), raw);
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
                .with_entries(entries.map(|raw| Some(bytes(raw))))
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
            .with_entries([Some(bytes(entry(14))), None])
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
        let table = table.with_entries([Some(bytes(removal))]).unwrap();
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
}
