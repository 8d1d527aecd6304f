//! The interrupt descriptor table: which gate a vector has, and the words of a gate (SDM vol. 3A, 6.14.1).
//!
//! 1. A gate to ring 0 is an interrupt gate; a gate to ring 1 is a trap gate, for ring 1 could never set IF again.
//! 2. A guest's wish decides the privilege of gates to ring 1 alone.
//! 3. Vectors that may strike while the stack is not to be trusted have a stack of their own.
use super::table::{Handler, TrapTable};
use crate::switcher::MISSING_SYSCALL_VECTOR;
use abi::hypercall::HYPERCALL_VECTOR;
use abi::selector::{HYPERVISOR_CS, KERNEL_CS};
use abi::trap::{EXCEPTIONS, FIRST_SOFTWARE_VECTOR, vector};

/// Gates of the table: up to the hypercall's, whatever lies beyond is refused by the table's limit.
pub const GATES: usize = HYPERCALL_VECTOR as usize + 1;

/// Interrupt-stack-table indices, 1 to 7 (0: none).
pub mod ist {
    /// Debug exceptions: can strike on the first instruction of the syscall entry, on the user's stack.
    pub const DB: u8 = 1;
    /// Non-maskable interrupts.
    pub const NMI: u8 = 2;
    /// Double faults.
    pub const DF: u8 = 3;
    /// Machine checks.
    pub const MC: u8 = 4;
}

/// What the table holds for a vector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gate {
    /// Nothing: `int n` is a #GP.
    Absent,
    /// The hypervisor's stub for this vector, in ring 0.
    Stub {
        /// Lowest privilege that may use it by `int n`.
        dpl: u8,
        /// Interrupt-stack-table index, 0 for the stack of the TSS.
        ist: u8,
    },
    /// Straight to the guest kernel.
    Direct {
        /// The handler.
        address: u64,
        /// Lowest privilege that may use it by `int n`.
        dpl: u8,
    },
}

impl Gate {
    /// The gate of `vector` while `table` is registered.
    #[must_use]
    pub fn of(vector: u8, table: &TrapTable) -> Self {
        if let Handler::Direct { address, dpl } = table.handler(vector) {
            return Self::Direct { address, dpl };
        }
        match vector {
            vector::DB => Self::Stub { dpl: 0, ist: ist::DB },
            vector::NMI => Self::Stub {
                dpl: 0,
                ist: ist::NMI,
            },
            vector::DF => Self::Stub { dpl: 0, ist: ist::DF },
            vector::MC => Self::Stub { dpl: 0, ist: ist::MC },
            vector::BP | vector::OF => Self::Stub { dpl: 3, ist: 0 },
            HYPERCALL_VECTOR | MISSING_SYSCALL_VECTOR => Self::Stub { dpl: 1, ist: 0 },
            // All other exceptions, and the external interrupts above them.
            _ if usize::from(vector) < EXCEPTIONS || vector < FIRST_SOFTWARE_VECTOR => {
                Self::Stub { dpl: 0, ist: 0 }
            }
            _ => Self::Absent,
        }
    }

    /// The two words of the table, low first. `stub` is the address of the vector's stub.
    #[must_use]
    pub const fn encode(self, stub: u64) -> [u64; 2] {
        match self {
            Self::Absent => [0, 0],
            Self::Stub { dpl, ist } => words(HYPERVISOR_CS, stub, INTERRUPT_GATE, dpl, ist),
            // The RPL of a gate's selector is not looked at; the SDM draws it as it is in a far pointer.
            Self::Direct { address, dpl } => words(KERNEL_CS, address, TRAP_GATE, dpl, 0),
        }
    }
}

const INTERRUPT_GATE: u64 = 0xe;
const TRAP_GATE: u64 = 0xf;
const PRESENT: u64 = 1 << 47;

const fn words(selector: u16, address: u64, kind: u64, dpl: u8, ist: u8) -> [u64; 2] {
    let low = (address & 0xffff)
        | (selector as u64) << 16
        | (ist as u64 & 7) << 32
        | kind << 40
        | (dpl as u64 & 3) << 45
        | PRESENT
        | (address >> 16 & 0xffff) << 48;
    [low, address >> 32]
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::trap::flags;

    fn words_of(bytes: [u8; 16]) -> [u64; 2] {
        [0, 8].map(|at| u64::from_le_bytes(core::array::from_fn(|n| bytes[at + n])))
    }

    const STUB: u64 = 0xffff_8000_0020_1234;
    const HANDLER: u64 = 0xffff_ffff_8123_4567;

    fn with_direct(vector: u8, dpl: u8) -> TrapTable {
        let mut entry = [0; 16];
        entry[0] = vector;
        entry[1] = flags::DIRECT | dpl;
        entry[2..4].copy_from_slice(&KERNEL_CS.to_le_bytes());
        entry[8..].copy_from_slice(&HANDLER.to_le_bytes());
        TrapTable::EMPTY.with_entries([Some(words_of(entry))]).unwrap()
    }

    #[test]
    fn every_exception_has_a_gate_whatever_is_registered() {
        for vector in 0..32 {
            assert!(matches!(Gate::of(vector, &TrapTable::EMPTY), Gate::Stub { .. }));
        }
    }

    #[test]
    fn ring_3_can_raise_only_breakpoint_and_overflow_by_default() {
        for vector in 0..=255 {
            if let Gate::Stub { dpl, .. } = Gate::of(vector, &TrapTable::EMPTY) {
                let expected = match vector {
                    3 | 4 => 3,
                    HYPERCALL_VECTOR | MISSING_SYSCALL_VECTOR => 1,
                    _ => 0,
                };
                assert_eq!(dpl, expected, "vector {vector:#x}");
            }
        }
    }

    #[test]
    fn four_exceptions_have_stacks_of_their_own() {
        let own: Vec<_> = (0..=255)
            .filter_map(|vector| match Gate::of(vector, &TrapTable::EMPTY) {
                Gate::Stub { ist, .. } if ist != 0 => Some((vector, ist)),
                _ => None,
            })
            .collect();
        assert_eq!(own, [(1, 1), (2, 2), (8, 3), (18, 4)]);
    }

    #[test]
    fn software_vectors_are_absent_until_registered_and_follow_what_is() {
        for vector in (0x40..=0x80).chain(0x83..=0xff) {
            assert_eq!(Gate::of(vector, &TrapTable::EMPTY), Gate::Absent);
        }
        let table = with_direct(0x80, 3);
        assert_eq!(
            Gate::of(0x80, &table),
            Gate::Direct {
                address: HANDLER,
                dpl: 3
            }
        );
        let mut removal = [0; 16];
        removal[0] = 0x80;
        assert_eq!(
            Gate::of(0x80, &table.with_entries([Some(words_of(removal))]).unwrap()),
            Gate::Absent
        );
    }

    #[test]
    fn an_exception_registered_direct_and_then_bounced_goes_back_to_the_stub() {
        let table = with_direct(6, 0);
        assert!(matches!(Gate::of(6, &table), Gate::Direct { .. }));
        let mut bounce = [0; 16];
        bounce[0] = 6;
        bounce[2..4].copy_from_slice(&KERNEL_CS.to_le_bytes());
        bounce[8..].copy_from_slice(&HANDLER.to_le_bytes());
        let table = table.with_entries([Some(words_of(bounce))]).unwrap();
        assert_eq!(Gate::of(6, &table), Gate::Stub { dpl: 0, ist: 0 });
    }

    #[test]
    fn a_stub_gate_is_a_present_interrupt_gate_to_ring_0() {
        let [low, high] = Gate::Stub { dpl: 3, ist: 2 }.encode(STUB);
        assert_eq!(low, 0x0020_ee02_0008_1234);
        assert_eq!(high, 0xffff_8000);
    }

    #[test]
    fn a_direct_gate_is_a_present_trap_gate_to_the_flat_ring_1_segment() {
        let [low, high] = Gate::Direct {
            address: HANDLER,
            dpl: 3,
        }
        .encode(0);
        assert_eq!(low, 0x8123_ef00_0019_4567);
        assert_eq!(high, 0xffff_ffff);
        let [low, _] = Gate::Direct {
            address: HANDLER,
            dpl: 0,
        }
        .encode(0);
        assert_eq!(low, 0x8123_8f00_0019_4567);
    }

    #[test]
    fn an_absent_gate_is_zero() {
        assert_eq!(Gate::Absent.encode(STUB), [0, 0]);
    }
}
