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
use abi::layout::{in_hypervisor_slot, is_canonical, is_guest_address};
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
    /// Whether the upcall is masked on the way to it.
    #[must_use]
    pub const fn masks_events(self) -> bool {
        matches!(
            self,
            Self::Bounce {
                mask_events: true,
                ..
            }
        )
    }

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

/// A checked entry of a `set_trap_table` call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Registration {
    /// A vector that a guest may register.
    pub vector: u8,
    /// What is to be registered for it.
    pub handler: Handler,
}

impl Registration {
    /// Checks an entry, the two words of a [`TrapInfo`].
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_guest(words: [u64; 2]) -> Result<Self, TrapRefusal> {
        let raw = parse(words);
        Ok(Self {
            vector: raw.vector,
            handler: check(raw)?,
        })
    }
}

const SOFTWARE_VECTORS: usize = (LAST_SOFTWARE_VECTOR - FIRST_SOFTWARE_VECTOR) as usize + 1;

/// What is registered for one vector: the two words of an entry that was checked, without its vector. Nothing is 0, 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Packed([u64; 2]);

/// In the first word: the vector, the flags, the selector.
const VECTOR: u64 = 0xff;
const MASKED: u64 = (flags::MASK_EVENTS as u64) << 8;
const DIRECT: u64 = (flags::DIRECT as u64) << 8;
const FLAT: u64 = (selector::KERNEL_CS as u64) << 16;

impl Packed {
    const NONE: Self = Self([0, 0]);

    const fn of(handler: Handler) -> Self {
        match handler {
            Handler::None => Self::NONE,
            Handler::Bounce {
                cs,
                address,
                mask_events,
            } => {
                let masked = if mask_events { MASKED } else { 0 };
                Self([(cs as u64) << 16 | masked, address])
            }
            Handler::Direct { address, dpl } => Self([FLAT | DIRECT | (dpl as u64) << 8, address]),
        }
    }

    const fn handler(self) -> Handler {
        let TrapInfo {
            flags, cs, address, ..
        } = parse(self.0);
        match self.0 {
            [0, 0] => Handler::None,
            [head, _] if head & DIRECT != 0 => Handler::Direct {
                address,
                dpl: flags & flags::DPL_MASK,
            },
            [head, _] => Handler::Bounce {
                cs,
                address,
                mask_events: head & MASKED != 0,
            },
        }
    }

    /// Whether a vector's gate is the same under both: who takes it, and whether events are masked on the way.
    #[inline(always)]
    const fn has_the_gate_of(self, Self([other, _]): Self) -> bool {
        let Self([own, _]) = self;
        (own | other) & DIRECT == 0 && (own ^ other) & MASKED == 0
    }
}

/// All that a vCPU has registered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrapTable {
    exceptions: [Packed; EXCEPTIONS],
    software: [Packed; SOFTWARE_VECTORS],
}

impl Default for TrapTable {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl TrapTable {
    /// The table that a domain starts with.
    pub const EMPTY: Self = Self {
        exceptions: [Packed::NONE; EXCEPTIONS],
        software: [Packed::NONE; SOFTWARE_VECTORS],
    };

    /// What is registered for `vector`.
    #[must_use]
    pub fn handler(&self, vector: u8) -> Handler {
        let slot = match vector.checked_sub(FIRST_SOFTWARE_VECTOR) {
            None => self.exceptions.get(usize::from(vector)),
            Some(index) => self.software.get(usize::from(index)),
        };
        slot.copied().unwrap_or(Packed::NONE).handler()
    }

    /// Whether the upcall is masked on the way to the handler of `vector`.
    #[must_use]
    pub fn masks_events(&self, vector: u8) -> bool {
        self.handler(vector).masks_events()
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
            .zip(self.exceptions.iter())
            .chain((FIRST_SOFTWARE_VECTOR..=LAST_SOFTWARE_VECTOR).zip(self.software.iter()))
            .map(|(vector, packed)| (vector, packed.handler()))
    }

    /// The table after a `set_trap_table` call with these entries; `None` is an entry that could not be read.
    ///
    /// Where two entries name one vector the later one counts, as if written in turn; both are checked.
    ///
    /// # Errors
    /// The first entry that may not be registered.
    pub fn with_entries(&self, entries: impl IntoIterator<Item = Option<[u64; 2]>>) -> Result<Self, Refused> {
        let mut table = self.clone();
        for (index, words) in (0u32..).zip(entries) {
            let refused = |reason| Refused { index, reason };
            let words = words.ok_or(refused(TrapRefusal::Unreadable))?;
            table.set(Registration::from_guest(words).map_err(refused)?);
        }
        Ok(table)
    }

    /// Carries a registration out.
    pub fn set(&mut self, Registration { vector, handler }: Registration) {
        if let Some(slot) = self.slot_mut(vector) {
            *slot = Packed::of(handler);
        }
    }

    /// Carries out an entry if it is a bounce to the flat segment and needs no other gate than the vector has; says what the
    /// bounce reads from now on. `None`: nothing was done.
    #[inline(always)]
    pub fn set_plain(&mut self, entry: CheckedEntry) -> Option<(u8, BounceEntry)> {
        let CheckedEntry { head, address } = entry;
        let [vector, ..] = head.to_le_bytes();
        if head & !(VECTOR | MASKED) != FLAT || address == 0 {
            return None;
        }
        let slot = self.exceptions.get_mut(usize::from(vector))?;
        let packed = Packed([head & !VECTOR, address]);
        if !packed.has_the_gate_of(*slot) {
            return None;
        }
        *slot = packed;
        let cs = u64::from(selector::KERNEL_CS);
        Some((vector, BounceEntry { address, cs }))
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

    fn slot_mut(&mut self, vector: u8) -> Option<&mut Packed> {
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

/// An entry as its two words say: vector, flags, selector and padding, then the address.
#[must_use]
#[inline(always)]
pub const fn parse([head, address]: [u64; 2]) -> TrapInfo {
    let [vector, flags, cs0, cs1, p0, p1, p2, p3] = head.to_le_bytes();
    TrapInfo {
        vector,
        flags,
        cs: u16::from_le_bytes([cs0, cs1]),
        pad: u32::from_le_bytes([p0, p1, p2, p3]),
        address,
    }
}

/// By vector: the exceptions that a guest may register.
static GUEST_EXCEPTIONS: [bool; 256] = {
    let mut table = [false; 256];
    let mut vector = 0;
    while vector < EXCEPTIONS {
        #[allow(clippy::indexing_slicing, reason = "a constant")]
        {
            table[vector] = is_guest_exception(vector as u8);
        }
        vector += 1;
    }
    table
};

/// Entries that were checked and may be registered, each the two words of a [`TrapInfo`].
#[derive(Clone, Copy, Debug)]
pub struct Checked<'a>(&'a [[u64; 2]]);

impl<'a> Checked<'a> {
    /// Checks all entries of a table. Nearly every one is seen to be good at a glance.
    ///
    /// # Errors
    /// The first that may not be registered.
    #[inline(always)]
    pub fn from_guest(entries: &'a [[u64; 2]]) -> Result<Self, Refused> {
        for (index, entry) in entries.iter().enumerate() {
            let [head, address] = *entry;
            if !is_plain_bounce(head, address)
                && let Err(reason) = check_slowly(head, address)
            {
                let index = index as u32;
                return Err(Refused { index, reason });
            }
        }
        Ok(Self(entries))
    }

    /// One after the other.
    #[inline(always)]
    pub fn entries(self) -> impl Iterator<Item = CheckedEntry> + 'a {
        self.0.iter().map(|[head, address]| CheckedEntry {
            head: *head,
            address: *address,
        })
    }
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct CheckedEntry {
    head: u64,
    address: u64,
}

impl CheckedEntry {
    /// What it asks for.
    #[must_use]
    pub fn registration(self) -> Option<Registration> {
        Registration::from_guest([self.head, self.address]).ok()
    }
}

#[inline(never)]
fn check_slowly(head: u64, address: u64) -> Result<(), TrapRefusal> {
    check(parse([head, address])).map(|_| ())
}

/// Whether an entry asks for what nearly all do, a bounce to the flat segment, and for nothing that [`check`] would not allow.
#[inline(always)]
fn is_plain_bounce(head: u64, address: u64) -> bool {
    let [vector, ..] = head.to_le_bytes();
    head & !(VECTOR | MASKED) == FLAT
        && GUEST_EXCEPTIONS.get(usize::from(vector)) == Some(&true)
        && address != 0
        && is_guest_address(address)
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
mod tests;
