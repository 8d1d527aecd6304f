//! Event channels: ports, what is pending, and when the upcall is due.
//!
//! The bits lie in a page that the guest can write at will (`abi::event::SharedInfo`). They decide only what the guest itself
//! is told; whom a port notifies stands in [`Ports`], which is the hypervisor's. A page that is full of nonsense costs its
//! guest events and nobody else anything.
use crate::addr::{DomainId, Mfn};
use crate::domain::Domain;
use crate::platform::PhysMem;
use abi::errno::Errno;
use abi::event::{EventChannelOp, PORTS, PortStatus, SharedInfo, Virq};
use core::mem::offset_of;

/// What a port is bound to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Port {
    /// Nothing.
    Closed,
    /// Offered to a domain.
    Unbound(DomainId),
    /// A port of a domain.
    Interdomain(DomainId, u16),
    /// The hypervisor.
    Virq(Virq),
}

/// The same in 4 bytes, for a domain has many ports and few that are open: what it is in bits 0 and 1, a port or a virq
/// above, a domain in the upper half. A closed port is 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Packed(u32);

const _: () = assert!(PORTS <= 1 << Packed::NUMBER_BITS);

impl Packed {
    const CLOSED: Self = Self(0);
    const UNBOUND: u32 = 1;
    const INTERDOMAIN: u32 = 2;
    const VIRQ: u32 = 3;
    const KIND: u32 = 3;
    const NUMBER_SHIFT: u32 = 2;
    const NUMBER_BITS: u32 = 14;
    const NUMBER: u32 = (1 << Self::NUMBER_BITS) - 1;
    const DOMAIN_SHIFT: u32 = 16;

    /// `None`: a number that no port and no virq has.
    #[inline(always)]
    fn of(port: Port) -> Option<Self> {
        let (kind, number, domain) = match port {
            Port::Closed => (0, 0, 0),
            Port::Unbound(remote) => (Self::UNBOUND, 0, remote.0),
            Port::Interdomain(remote, port) => (Self::INTERDOMAIN, u32::from(port), remote.0),
            Port::Virq(virq) => (Self::VIRQ, u32::try_from(virq.raw()).ok()?, 0),
        };
        let domain = u32::from(domain) << Self::DOMAIN_SHIFT;
        (number <= Self::NUMBER).then_some(Self(domain | number << Self::NUMBER_SHIFT | kind))
    }

    /// The other end of a port that has one.
    #[inline(always)]
    fn interdomain(self) -> Option<(DomainId, u16)> {
        let Self(word) = self;
        let number = (word >> Self::NUMBER_SHIFT & Self::NUMBER) as u16;
        (word & Self::KIND == Self::INTERDOMAIN).then_some((self.domain(), number))
    }

    #[inline(always)]
    const fn domain(self) -> DomainId {
        DomainId((self.0 >> Self::DOMAIN_SHIFT) as u16)
    }

    fn port(self) -> Port {
        let Self(word) = self;
        if let Some((domain, port)) = self.interdomain() {
            return Port::Interdomain(domain, port);
        }
        let number = word >> Self::NUMBER_SHIFT & Self::NUMBER;
        match word & Self::KIND {
            Self::UNBOUND => Port::Unbound(self.domain()),
            Self::VIRQ => Virq::from_raw(u64::from(number)).map_or(Port::Closed, Port::Virq),
            _ => Port::Closed,
        }
    }
}

/// All ports of a domain.
pub struct Ports([Packed; PORTS]);

impl Default for Ports {
    fn default() -> Self {
        Self::new()
    }
}

impl Ports {
    /// All closed.
    #[must_use]
    pub const fn new() -> Self {
        Self([Packed::CLOSED; PORTS])
    }

    /// What a port is bound to; ports that do not exist are closed.
    #[must_use]
    #[inline(always)]
    pub fn get(&self, port: u64) -> Port {
        // Port 0 is closed for good.
        let port = usize::try_from(port).ok().and_then(|port| self.0.get(port));
        port.map_or(Port::Closed, |port| port.port())
    }

    /// Where a port leads that leads to another one.
    #[inline(always)]
    fn leads_to(&self, port: u64) -> Option<(DomainId, u16)> {
        let packed = *self.0.get(usize::try_from(port).ok()?)?;
        packed.interdomain()
    }

    fn set(&mut self, port: u16, to: Port) {
        let slot = self.0.get_mut(usize::from(port)).filter(|_| port != 0);
        if let (Some(slot), Some(to)) = (slot, Packed::of(to)) {
            *slot = to;
        }
    }

    fn open(&mut self, to: Port) -> Result<u16, Errno> {
        let free = self
            .0
            .iter()
            .skip(1)
            .position(|port| *port == Packed::CLOSED)
            .ok_or(Errno::NoSpace)?;
        let port = u16::try_from(free + 1).map_err(|_| Errno::NoSpace)?;
        self.set(port, to);
        Ok(port)
    }

    /// The port that a virq is bound to.
    #[must_use]
    pub fn of_virq(&self, virq: Virq) -> Option<u16> {
        let bound = Packed::of(Port::Virq(virq))?;
        let index = self.0.iter().position(|port| *port == bound)?;
        u16::try_from(index).ok()
    }
}

const FLAGS: usize = 0;
const UPCALL_PENDING: u64 = 0xff;
const UPCALL_MASK: u64 = 0xff00;
const SELECTOR: usize = offset_of!(SharedInfo, pending_sel) / 8;
const PENDING: usize = offset_of!(SharedInfo, evtchn_pending) / 8;
const MASK: usize = offset_of!(SharedInfo, evtchn_mask) / 8;
const _: () =
    assert!(offset_of!(SharedInfo, upcall_pending) == 0 && offset_of!(SharedInfo, upcall_mask) == 1);

/// A port's word in each of the two bitmaps, and its bit there.
fn place(port: u16) -> (usize, u64) {
    (usize::from(port) / 64 % (PORTS / 64), 1 << (port % 64))
}

/// Sets a port's pending bit, and, unless it is masked, what leads to it.
#[inline(always)]
pub fn raise(mem: &mut impl PhysMem, shared: Mfn, port: u16) {
    let (word, bit) = place(port);
    mem.set_bits(shared, PENDING + word, bit);
    if mem.read(shared, MASK + word) & bit == 0 {
        announce(mem, shared, word);
    }
}

#[inline(always)]
fn announce(mem: &mut impl PhysMem, shared: Mfn, word: usize) {
    mem.set_bits(shared, SELECTOR, 1 << word);
    mem.set_bits(shared, FLAGS, 1);
}

/// Raises a virq, if it is bound.
pub fn raise_virq(mem: &mut impl PhysMem, domain: &Domain, virq: Virq) {
    if let Some(port) = domain.ports.of_virq(virq) {
        raise(mem, domain.vcpu.set.shared_info(), port);
    }
}

/// Whether something unmasked is pending.
#[must_use]
#[inline]
pub fn is_pending(mem: &impl PhysMem, shared: Mfn) -> bool {
    mem.read(shared, FLAGS) & UPCALL_PENDING != 0
}

/// Whether the upcall is to be entered.
#[must_use]
#[inline]
pub fn is_due(mem: &impl PhysMem, shared: Mfn) -> bool {
    // The mask's byte is 0, the lower one is not.
    let flags = mem.read(shared, FLAGS) & (UPCALL_MASK | UPCALL_PENDING);
    flags.wrapping_sub(1) < UPCALL_PENDING
}

/// Masks the upcall, as its entry does.
pub fn mask_upcall(mem: &mut impl PhysMem, shared: Mfn) {
    mem.set_bits(shared, FLAGS, 1 << 8);
}

/// Unmasks it, as waiting for events does.
pub fn unmask_upcall(mem: &mut impl PhysMem, shared: Mfn) {
    let flags = mem.read(shared, FLAGS);
    mem.write(shared, FLAGS, flags & !UPCALL_MASK);
}

/// Carries out an `event_channel_op` of domain `own`. Returns rax and rdx, and which other domain was notified.
///
/// # Errors
/// What the caller is told; nothing has changed.
#[inline(never)]
pub fn operate(
    mem: &mut impl PhysMem,
    domains: &mut [Domain],
    own: usize,
    op: EventChannelOp,
    arguments: [u64; 2],
) -> Result<Done, Errno> {
    let [first, second] = arguments;
    let caller = domains.get_mut(own).ok_or(Errno::NoDomain)?;
    let own_id = caller.id;
    match op {
        EventChannelOp::AllocUnbound => {
            let remote = named(domains, first)?;
            Done::value(open(domains, own, Port::Unbound(remote))?)
        }
        EventChannelOp::BindVirq => {
            let virq = Virq::from_raw(first).ok_or(Errno::Invalid)?;
            if caller.ports.of_virq(virq).is_some() {
                return Err(Errno::Exists);
            }
            Done::value(open(domains, own, Port::Virq(virq))?)
        }
        EventChannelOp::BindInterdomain => {
            let remote = named(domains, first)?;
            let other = domains.get(usize::from(remote.0)).ok_or(Errno::NoDomain)?;
            if other.ports.get(second) != Port::Unbound(own_id) {
                return Err(Errno::Invalid);
            }
            let remote_port = u16::try_from(second).map_err(|_| Errno::Invalid)?;
            let port = open(domains, own, Port::Interdomain(remote, remote_port))?;
            if let Some(other) = domains.get_mut(usize::from(remote.0)) {
                other.ports.set(remote_port, Port::Interdomain(own_id, port));
            }
            Done::value(port)
        }
        EventChannelOp::Close => {
            let port = live_port(caller, first)?;
            let (word, bit) = place(port);
            let shared = caller.vcpu.set.shared_info();
            let pending = mem.read(shared, PENDING + word);
            mem.write(shared, PENDING + word, pending & !bit);
            close(domains, own, port);
            Done::value(0_u16)
        }
        EventChannelOp::Send => Ok(Done {
            value: 0,
            detail: 0,
            notified: send(mem, domains, own, first)?,
        }),
        EventChannelOp::Status => {
            if first >= PORTS as u64 || first == 0 {
                return Err(Errno::Invalid);
            }
            let (status, detail) = match caller.ports.get(first) {
                Port::Closed => (PortStatus::Closed, 0),
                Port::Unbound(remote) => (PortStatus::Unbound, u64::from(remote.0)),
                Port::Interdomain(remote, port) => (
                    PortStatus::Interdomain,
                    u64::from(remote.0) | u64::from(port) << 16,
                ),
                Port::Virq(virq) => (PortStatus::Virq, virq.raw()),
            };
            Ok(Done {
                value: status.raw(),
                detail,
                notified: None,
            })
        }
        EventChannelOp::Unmask => {
            if first != 0 {
                let port = live_port(caller, first)?;
                let (word, bit) = place(port);
                let shared = caller.vcpu.set.shared_info();
                let mask = mem.read(shared, MASK + word);
                mem.write(shared, MASK + word, mask & !bit);
                if mem.read(shared, PENDING + word) & bit != 0 {
                    announce(mem, shared, word);
                }
            }
            Done::value(0_u16)
        }
    }
}

/// Sends an event through a port of domain `own`. Returns which other domain was notified.
///
/// # Errors
/// The port leads nowhere.
#[inline(always)]
pub fn send(
    mem: &mut impl PhysMem,
    domains: &[Domain],
    own: usize,
    port: u64,
) -> Result<Option<DomainId>, Errno> {
    let caller = domains.get(own).ok_or(Errno::NoDomain)?;
    if let Some((remote, port)) = caller.ports.leads_to(port) {
        if let Some(other) = domains.get(usize::from(remote.0)) {
            raise(mem, other.vcpu.set.shared_info(), port);
        }
        return Ok((remote != caller.id).then_some(remote));
    }
    match caller.ports.get(port) {
        // Nobody listens yet: an event into the void, as in Xen.
        Port::Unbound(_) => Ok(None),
        Port::Interdomain(..) | Port::Virq(_) | Port::Closed => Err(Errno::Invalid),
    }
}

/// What an operation returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Done {
    /// rax.
    pub value: u64,
    /// rdx.
    pub detail: u64,
    /// This other domain has got an event.
    pub notified: Option<DomainId>,
}

impl Done {
    fn value(value: u16) -> Result<Self, Errno> {
        Ok(Self {
            value: u64::from(value),
            detail: 0,
            notified: None,
        })
    }
}

/// A domain that exists, by the number that a guest gave.
fn named(domains: &[Domain], number: u64) -> Result<DomainId, Errno> {
    let index = usize::try_from(number).map_err(|_| Errno::NoDomain)?;
    let domain = domains.get(index).ok_or(Errno::NoDomain)?;
    if domain.has_ended() {
        Err(Errno::NoDomain)
    } else {
        Ok(domain.id)
    }
}

fn open(domains: &mut [Domain], own: usize, to: Port) -> Result<u16, Errno> {
    domains.get_mut(own).ok_or(Errno::NoDomain)?.ports.open(to)
}

fn live_port(domain: &Domain, port: u64) -> Result<u16, Errno> {
    match domain.ports.get(port) {
        Port::Closed => Err(Errno::Invalid),
        _ => u16::try_from(port).map_err(|_| Errno::Invalid),
    }
}

fn close(domains: &mut [Domain], own: usize, port: u16) {
    let Some(domain) = domains.get_mut(own) else {
        return;
    };
    let id = domain.id;
    let was = domain.ports.get(u64::from(port));
    domain.ports.set(port, Port::Closed);
    if let Port::Interdomain(remote, remote_port) = was {
        // A loop's other end is the domain's own; either end may be closed first.
        let end = Port::Interdomain(id, port);
        let other = domains.get_mut(usize::from(remote.0));
        if let Some(other) = other.filter(|other| other.ports.get(u64::from(remote_port)) == end) {
            other.ports.set(remote_port, Port::Unbound(id));
        }
    }
}

/// Closes all ports of a domain that has ended.
pub fn close_all(domains: &mut [Domain], own: usize) {
    for port in 1..PORTS as u16 {
        close(domains, own, port);
    }
}

#[cfg(test)]
mod tests;
