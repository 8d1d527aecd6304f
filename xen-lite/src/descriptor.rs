//! The GDT: its constant part, and the rule by which a guest may fill its few slots.
//!
//! No system descriptor, no 32-bit or 16-bit code of any ring, no conforming code, none of ring 0 or 2 comes from a guest;
//! the accessed bit is set in all, for the table is read-only and the CPU would fault writing it.
use abi::errno::Errno;
use abi::selector::{self, FIRST_GUEST_DESCRIPTOR, GDT_ENTRIES};

/// Bits of a segment descriptor (SDM vol. 3A, 3.4.5).
mod bits {
    pub(super) const ACCESSED: u64 = 1 << 40;
    pub(super) const WRITABLE: u64 = 1 << 41;
    pub(super) const READABLE: u64 = 1 << 41;
    pub(super) const CONFORMING: u64 = 1 << 42;
    pub(super) const CODE: u64 = 1 << 43;
    pub(super) const NOT_SYSTEM: u64 = 1 << 44;
    pub(super) const DPL_SHIFT: u32 = 45;
    pub(super) const PRESENT: u64 = 1 << 47;
    pub(super) const LONG: u64 = 1 << 53;
    pub(super) const SIZE_32: u64 = 1 << 54;
    pub(super) const PAGES: u64 = 1 << 55;
    pub(super) const LIMIT_MAX: u64 = 0x000f_0000_0000_ffff;
}

/// A checked `update_descriptor` request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GuestDescriptor {
    /// Entry of the GDT.
    pub index: usize,
    /// The word to store.
    pub word: u64,
}

impl GuestDescriptor {
    /// Checks a request. `selector` has RPL and table bit 0; a `descriptor` of 0 clears the entry.
    ///
    /// Of data segments everything but privilege and L is the guest's: in 64-bit mode base, limit, expand-down, size and
    /// granularity of CS, DS, ES and SS mean nothing, and the base that FS or GS would take is below 4 GiB.
    ///
    /// # Errors
    /// EINVAL: the selector is not aligned or names no guest entry, or the descriptor is not allowed.
    pub fn from_guest(selector: u64, descriptor: u64) -> Result<Self, Errno> {
        if !selector.is_multiple_of(8) {
            return Err(Errno::Invalid);
        }
        let index = usize::try_from(selector / 8).map_err(|_| Errno::Invalid)?;
        if !(FIRST_GUEST_DESCRIPTOR..GDT_ENTRIES).contains(&index) {
            return Err(Errno::Invalid);
        }
        if descriptor == 0 {
            return Ok(Self { index, word: 0 });
        }
        if !is_allowed(descriptor) {
            return Err(Errno::Invalid);
        }
        Ok(Self {
            index,
            word: descriptor | bits::ACCESSED,
        })
    }
}

/// Absent ones are judged as present ones are, so that no forbidden word is ever in the table.
const fn is_allowed(descriptor: u64) -> bool {
    let dpl = descriptor >> bits::DPL_SHIFT & 3;
    let long = descriptor & bits::LONG != 0;
    let kind = if descriptor & bits::CODE != 0 {
        long && descriptor & (bits::SIZE_32 | bits::CONFORMING) == 0
    } else {
        !long
    };
    descriptor & bits::NOT_SYSTEM != 0 && (dpl == 1 || dpl == 3) && kind
}

/// What the TSS descriptor says of the task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TssState {
    /// As `ltr` wants to find it.
    Available,
    /// As `ltr` leaves it.
    Busy,
}

/// Last byte of the TSS: no I/O map follows.
pub const TSS_LIMIT: u64 = 103;

const fn flat(dpl: u64, kind: u64) -> u64 {
    bits::LIMIT_MAX
        | bits::PAGES
        | bits::PRESENT
        | bits::NOT_SYSTEM
        | bits::ACCESSED
        | dpl << bits::DPL_SHIFT
        | kind
}

const fn flat_code(dpl: u64) -> u64 {
    flat(dpl, bits::CODE | bits::READABLE | bits::LONG)
}

const fn flat_data(dpl: u64) -> u64 {
    flat(dpl, bits::WRITABLE | bits::SIZE_32)
}

/// The two words of a 64-bit TSS descriptor (SDM vol. 3A, 7.2.3).
#[must_use]
pub const fn tss_descriptor(address: u64, state: TssState) -> [u64; 2] {
    let kind: u64 = match state {
        TssState::Available => 0x9,
        TssState::Busy => 0xb,
    };
    let low =
        TSS_LIMIT | (address & 0xff_ffff) << 16 | kind << 40 | bits::PRESENT | (address >> 24 & 0xff) << 56;
    [low, address >> 32]
}

/// The GDT of a vCPU that has set no entry of its own.
#[must_use]
pub const fn gdt(tss_address: u64, state: TssState) -> [u64; GDT_ENTRIES] {
    let mut gdt = [0; GDT_ENTRIES];
    gdt[HYPERVISOR_CS] = flat_code(0);
    gdt[HYPERVISOR_DS] = flat_data(0);
    gdt[KERNEL_CS] = flat_code(1);
    gdt[KERNEL_SS] = flat_data(1);
    gdt[USER_SS] = flat_data(3);
    gdt[USER_CS] = flat_code(3);
    [gdt[TSS], gdt[TSS_HIGH]] = tss_descriptor(tss_address, state);
    gdt
}

const HYPERVISOR_CS: usize = selector::index(selector::HYPERVISOR_CS);
const HYPERVISOR_DS: usize = selector::index(selector::HYPERVISOR_DS);
const KERNEL_CS: usize = selector::index(selector::KERNEL_CS);
const KERNEL_SS: usize = selector::index(selector::KERNEL_SS);
const USER_SS: usize = selector::index(selector::USER_SS);
const USER_CS: usize = selector::index(selector::USER_CS);
const TSS: usize = selector::index(selector::TSS);
const TSS_HIGH: usize = TSS + 1;
const _: () = assert!(FIRST_GUEST_DESCRIPTOR > TSS_HIGH);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SLOT: u64 = (FIRST_GUEST_DESCRIPTOR * 8) as u64;
    const CODE_1: u64 = 0x00af_bb00_0000_ffff;
    const DATA_1: u64 = 0x00cf_b300_0000_ffff;
    const DPL_0: u64 = !(3 << 45);

    fn stored(descriptor: u64) -> Result<u64, Errno> {
        GuestDescriptor::from_guest(SLOT, descriptor).map(|request| request.word)
    }

    #[test]
    fn flat_segments_have_the_textbook_words() {
        let gdt = gdt(0, TssState::Busy);
        assert_eq!(
            gdt[..7],
            [
                0,
                0x00af_9b00_0000_ffff,
                0x00cf_9300_0000_ffff,
                0x00af_bb00_0000_ffff,
                0x00cf_b300_0000_ffff,
                0x00cf_f300_0000_ffff,
                0x00af_fb00_0000_ffff,
            ]
        );
        assert!(gdt[9..].iter().all(|word| *word == 0));
    }

    #[test]
    fn the_privilege_of_a_segment_is_that_of_its_selector() {
        let gdt = gdt(0, TssState::Busy);
        for selector in [0x08, 0x10, 0x19, 0x21, 0x2b, 0x33] {
            let dpl = gdt[selector::index(selector)] >> 45 & 3;
            assert_eq!(dpl, u64::from(selector::rpl(selector)));
        }
    }

    #[test]
    fn the_tss_descriptor_spreads_its_address_and_limit() {
        let address = 0xffff_8000_1234_5678;
        assert_eq!(
            tss_descriptor(address, TssState::Busy),
            [0x1200_8b34_5678_0067, 0xffff_8000]
        );
        assert_eq!(
            tss_descriptor(address, TssState::Available)[0],
            0x1200_8934_5678_0067
        );
        assert_eq!(
            gdt(address, TssState::Busy)[7..9],
            tss_descriptor(address, TssState::Busy)
        );
    }

    #[test]
    fn guest_slots_are_the_only_ones() {
        for index in 0..64u64 {
            let result = GuestDescriptor::from_guest(index * 8, CODE_1);
            assert_eq!(result.is_ok(), (16..32).contains(&index), "index {index}");
        }
        for selector in [u64::MAX, !7, 1 << 63, (1 << 32) + SLOT] {
            assert_eq!(GuestDescriptor::from_guest(selector, CODE_1), Err(Errno::Invalid));
        }
    }

    #[test]
    fn an_unaligned_selector_is_refused() {
        for low in 1..8 {
            assert_eq!(
                GuestDescriptor::from_guest(SLOT + low, CODE_1),
                Err(Errno::Invalid)
            );
        }
    }

    #[test]
    fn long_code_and_data_of_rings_1_and_3_are_allowed_and_marked_accessed() {
        for dpl in 0..4 {
            let allowed = dpl == 1 || dpl == 3;
            for descriptor in [CODE_1, DATA_1] {
                let descriptor = descriptor & DPL_0 & !bits::ACCESSED | dpl << 45;
                let expected = if allowed {
                    Ok(descriptor | bits::ACCESSED)
                } else {
                    Err(Errno::Invalid)
                };
                assert_eq!(stored(descriptor), expected);
            }
        }
    }

    #[test]
    fn code_that_is_not_64_bit_is_refused_present_or_not() {
        for present in [0, bits::PRESENT] {
            let code = CODE_1 & !bits::PRESENT | present;
            assert_eq!(stored(code), Ok(code));
            assert_eq!(stored(code & !bits::LONG), Err(Errno::Invalid), "16-bit");
            assert_eq!(
                stored(code & !bits::LONG | bits::SIZE_32),
                Err(Errno::Invalid),
                "32-bit"
            );
            assert_eq!(stored(code | bits::SIZE_32), Err(Errno::Invalid), "L and D");
            assert_eq!(stored(code | bits::CONFORMING), Err(Errno::Invalid), "conforming");
            assert_eq!(stored(code & !bits::NOT_SYSTEM), Err(Errno::Invalid), "system");
        }
    }

    #[test]
    fn no_gate_and_no_system_segment_is_allowed() {
        for kind in 0..16u64 {
            for dpl in 0..4 {
                let descriptor = bits::PRESENT | dpl << 45 | kind << 40 | 8 << 16;
                assert_eq!(stored(descriptor), Err(Errno::Invalid), "type {kind}");
            }
        }
    }

    #[test]
    fn zero_clears_and_expand_down_data_is_harmless() {
        assert_eq!(stored(0), Ok(0));
        let expand_down = DATA_1 | 1 << 42;
        assert_eq!(stored(expand_down), Ok(expand_down));
        assert_eq!(
            stored(DATA_1 | bits::LONG),
            Err(Errno::Invalid),
            "L is reserved in data"
        );
    }

    proptest! {
        #[test]
        fn whatever_is_stored_is_64_bit_code_or_data_of_ring_1_or_3(selector: u64, descriptor: u64) {
            for selector in [selector, SLOT] {
                if let Ok(GuestDescriptor { index, word }) = GuestDescriptor::from_guest(selector, descriptor)
                    && word != 0 {
                    prop_assert!((16..32).contains(&index));
                    prop_assert_eq!(word | bits::ACCESSED, word);
                    prop_assert!(word >> 44 & 1 == 1 && word >> 45 & 1 == 1);
                    if word >> 43 & 1 == 1 {
                        prop_assert_eq!(word >> 53 & 3, 1);
                        prop_assert_eq!(word >> 42 & 1, 0);
                    }
                }
            }
        }
    }
}
