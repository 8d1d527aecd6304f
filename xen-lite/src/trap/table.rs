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
use abi::layout::{SLOT_END, in_hypervisor_slot, is_canonical};
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

/// What is registered for one vector: the two words of an entry that was checked; the second is 0 where nothing is. The
/// first is the word of those entries that [`TrapTable::renew`] may carry out. Where there are none, its vector is not this one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Packed([u64; 2]);

/// In the first word: the vector, the flags, the selector.
const VECTOR: u64 = 0xff;
const MASKED: u64 = (flags::MASK_EVENTS as u64) << 8;
const DIRECT: u64 = (flags::DIRECT as u64) << 8;
const FLAT: u64 = (selector::KERNEL_CS as u64) << 16;

impl Packed {
    /// Nothing. An exception's gate is then that of a bounce that masks no events.
    const fn none(vector: u8) -> Self {
        Self([
            if is_guest_exception(vector) {
                FLAT | vector as u64
            } else {
                Self::another(vector)
            },
            0,
        ])
    }

    const fn of(Registration { vector, handler }: Registration) -> Self {
        match handler {
            Handler::None => Self::none(vector),
            Handler::Bounce {
                cs,
                address,
                mask_events,
            } => {
                let masked = if mask_events { MASKED } else { 0 };
                let vector = if cs == selector::KERNEL_CS {
                    vector as u64
                } else {
                    Self::another(vector)
                };
                Self([(cs as u64) << 16 | masked | vector, address])
            }
            Handler::Direct { address, dpl } => {
                Self([FLAT | DIRECT | (dpl as u64) << 8 | Self::another(vector), address])
            }
        }
    }

    /// A vector that differs from this one in the lowest bit too: no entry for this one has it.
    const fn another(vector: u8) -> u64 {
        !(vector as u64) & VECTOR
    }

    const fn handler(self) -> Handler {
        let Self(words) = self;
        let TrapInfo {
            flags, cs, address, ..
        } = parse(words);
        match words {
            [_, 0] => Handler::None,
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
}

/// Nothing, for vectors that follow each other.
const fn nothing<const N: usize>(first: u8) -> [Packed; N] {
    let mut table = [Packed::none(first); N];
    let mut index = 0;
    while index < N {
        #[allow(clippy::indexing_slicing, reason = "a constant")]
        {
            table[index] = Packed::none(first + index as u8);
        }
        index += 1;
    }
    table
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
        exceptions: nothing(0),
        software: nothing(FIRST_SOFTWARE_VECTOR),
    };

    /// What is registered for `vector`.
    #[must_use]
    pub fn handler(&self, vector: u8) -> Handler {
        let slot = match vector.checked_sub(FIRST_SOFTWARE_VECTOR) {
            None => self.exceptions.get(usize::from(vector)),
            Some(index) => self.software.get(usize::from(index)),
        };
        slot.map_or(Handler::None, |packed| packed.handler())
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
    pub fn set(&mut self, registration: Registration) {
        if let Some(slot) = self.slot_mut(registration.vector) {
            *slot = Packed::of(registration);
        }
    }

    /// Checks all entries of a call, each the two words of a [`TrapInfo`], and says what they change.
    ///
    /// # Errors
    /// The first that may not be registered.
    #[inline(always)]
    pub fn check(&self, entries: &[[u64; 2]]) -> Result<Change, Refused> {
        if entries.iter().all(|entry| self.renews(*entry)) {
            Ok(Change::Addresses)
        } else {
            check_each(entries)
        }
    }

    /// Whether an entry is what is registered for its vector already, or could be at first, but for another address. Then that
    /// is all that there is to be checked, and those of kernels lie in the upper half.
    #[inline(always)]
    fn renews(&self, [head, address]: [u64; 2]) -> bool {
        let known = self.exceptions.get(exception(head));
        known.is_some_and(|Packed([known, _])| *known == head) && address >= SLOT_END
    }

    /// Carries out an entry of a call of which [`Self::check`] says that it changes addresses alone. Returns the exception, and
    /// what the bounce of it reads from now on; its gate is the same.
    #[inline(always)]
    pub fn renew(&mut self, [head, address]: [u64; 2]) -> (usize, BounceEntry) {
        let exception = exception(head);
        if let Some(Packed([_, known])) = self.exceptions.get_mut(exception) {
            *known = address;
        }
        let cs = u64::from(selector::KERNEL_CS);
        (exception, BounceEntry { address, cs })
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

/// What the entries of a call change.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Where handlers of exceptions begin, and nothing else.
    Addresses,
    /// Whatever they say.
    Any,
}

/// The exception that an entry is for, by its first word, if it is for one.
#[inline(always)]
const fn exception(head: u64) -> usize {
    head as usize % EXCEPTIONS
}

#[inline(never)]
fn check_each(entries: &[[u64; 2]]) -> Result<Change, Refused> {
    for (index, entry) in (0..).zip(entries) {
        check(parse(*entry)).map_err(|reason| Refused { index, reason })?;
    }
    Ok(Change::Any)
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
