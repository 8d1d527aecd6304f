//! The trap table: which handler a fault goes to, and how.
use crate::numbered::numbered;

/// One entry of a trap table; Xen's `struct trap_info`.
///
/// Entries replace what was registered for their vector; vectors that no entry names keep theirs. All
/// entries of a call are checked before any takes effect.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TrapInfo {
    /// The vector: an exception (0 to 31), or a software vector (see [`is_software_vector`]).
    pub vector: u8,
    /// Bits of [`crate::trap::flags`]; all others must be 0.
    pub flags: u8,
    /// Code selector of the handler, RPL 1. Whether its segment is present shows at delivery.
    pub cs: u16,
    /// Must be 0.
    pub pad: u32,
    /// Address of the handler; 0 removes the entry. Whether its page is present shows at delivery.
    pub address: u64,
}
const _: () = assert!(size_of::<TrapInfo>() == 16);

/// Bits of [`TrapInfo::flags`].
pub mod flags {
    /// Lowest privilege that may raise the vector by `int n`; direct and software vectors only.
    pub const DPL_MASK: u8 = 0b0011;
    /// Mask events while the handler runs; not with [`DIRECT`].
    pub const MASK_EVENTS: u8 = 0b0100;
    /// The CPU itself delivers: an IDT trap gate straight to ring 1. Not for every vector: [`super::may_be_direct`].
    pub const DIRECT: u8 = 0b1000;
}

/// Most entries of one `set_trap_table` call.
pub const MAX_ENTRIES: u64 = 256;
/// Number of exception vectors.
pub const EXCEPTIONS: usize = 32;
/// First vector that a guest may use for `int n` of its own.
pub const FIRST_SOFTWARE_VECTOR: u8 = 0x40;
/// Last vector that a guest may use for `int n` of its own.
pub const LAST_SOFTWARE_VECTOR: u8 = 0x80;

/// Exception vectors, by their SDM mnemonics (vol. 3A, table 6-1).
#[allow(missing_docs, reason = "the mnemonics are the documentation")]
pub mod vector {
    pub const DE: u8 = 0;
    pub const DB: u8 = 1;
    pub const NMI: u8 = 2;
    pub const BP: u8 = 3;
    pub const OF: u8 = 4;
    pub const BR: u8 = 5;
    pub const UD: u8 = 6;
    pub const NM: u8 = 7;
    pub const DF: u8 = 8;
    pub const TS: u8 = 10;
    pub const NP: u8 = 11;
    pub const SS: u8 = 12;
    pub const GP: u8 = 13;
    pub const PF: u8 = 14;
    pub const MF: u8 = 16;
    pub const AC: u8 = 17;
    pub const MC: u8 = 18;
    pub const XM: u8 = 19;
}

/// Whether a guest may take this vector by `int n` (always direct).
#[must_use]
pub const fn is_software_vector(vector: u8) -> bool {
    vector >= FIRST_SOFTWARE_VECTOR && vector <= LAST_SOFTWARE_VECTOR
}

/// Whether a guest may register a handler for this exception: all but those that no guest can take
/// (NMI, #DF, #MC) and the reserved ones.
#[must_use]
pub const fn is_guest_exception(vector: u8) -> bool {
    matches!(vector, 0 | 1 | 3..=7 | 10..=14 | 16 | 17 | 19)
}

/// Whether the CPU pushes an error code for this exception.
#[must_use]
pub const fn has_error_code(vector: u8) -> bool {
    matches!(vector, 8 | 10..=14 | 17)
}

/// Whether the CPU may deliver this vector to ring 1 by itself: it cannot arise inside the bounce.
#[must_use]
pub const fn may_be_direct(vector: u8) -> bool {
    matches!(vector, 0 | 3..=7 | 16 | 17 | 19) || is_software_vector(vector)
}

/// The frame that a bounced trap leaves on the guest kernel's stack, lowest address first.
///
/// From ring 3 it ends at the stack of `stack_switch`; from ring 1 it ends at (rsp - 128) rounded down to
/// 16. A direct trap's frame is the CPU's own: no error code slot except for #AC.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BounceFrame {
    /// The CPU's error code; 0 for vectors that have none.
    pub error_code: u64,
    /// Interrupted instruction.
    pub rip: u64,
    /// Its code selector; the RPL tells the ring.
    pub cs: u64,
    /// Interrupted flags.
    pub rflags: u64,
    /// Interrupted stack pointer.
    pub rsp: u64,
    /// Its stack selector (null with RPL 1 after a direct trap into ring 1).
    pub ss: u64,
}
const _: () = assert!(size_of::<BounceFrame>() == 48);

numbered! {
    /// Why an entry of a trap table was refused. `set_trap_table` returns -EINVAL and, in rdx,
    /// `index | refusal << 32`.
    pub enum TrapRefusal: u32 {
        /// The vector is the hypervisor's: NMI, #DF, #MC, reserved exceptions, interrupts, the hypercall.
        VectorReserved = 1, "vector-reserved";
        /// The selector is null.
        SelectorNull = 2, "selector-null";
        /// The selector names a segment of the hypervisor.
        SelectorReserved = 3, "selector-reserved";
        /// The selector's RPL is not 1.
        SelectorPrivilege = 4, "selector-privilege";
        /// The selector has its table bit set: there is no LDT.
        SelectorLocal = 5, "selector-local";
        /// The address is not canonical.
        AddressNonCanonical = 6, "address-non-canonical";
        /// The address lies in the hypervisor's slot.
        AddressForbidden = 7, "address-forbidden";
        /// This vector cannot be delivered directly.
        DirectNotAllowed = 8, "direct-not-allowed";
        /// A direct entry must name the flat ring-1 code selector.
        DirectSelector = 9, "direct-selector";
        /// A direct entry cannot mask events.
        DirectMasksEvents = 10, "direct-masks-events";
        /// A DPL on a vector that cannot have one.
        PrivilegeNotAllowed = 11, "privilege-not-allowed";
        /// A software vector that is not direct.
        SoftwareNotDirect = 12, "software-not-direct";
        /// Unknown flags, or padding that is not 0.
        FlagsReserved = 13, "flags-reserved";
        /// The entry could not be read (-EFAULT).
        Unreadable = 14, "unreadable";
    }
}
