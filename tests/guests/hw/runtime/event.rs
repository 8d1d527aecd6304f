//! Events: ports, the page of their bits, what has been served.
use abi::errno::Errno;
use abi::event::{EventChannelOp, PORTS, SharedInfo, Virq};
use abi::hypercall::Hypercall;
use abi::layout::SHARED_INFO;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::call::{self, Returned};

const PENDING: usize = offset_of!(SharedInfo, upcall_pending);
const MASK: usize = offset_of!(SharedInfo, upcall_mask);
const SELECTOR: usize = offset_of!(SharedInfo, pending_sel);
const PORTS_PENDING: usize = offset_of!(SharedInfo, evtchn_pending);
const PORTS_MASK: usize = offset_of!(SharedInfo, evtchn_mask);

static SERVED: [AtomicU64; PORTS] = [const { AtomicU64::new(0) }; PORTS];

fn byte(offset: usize) -> &'static AtomicU8 {
    // SAFETY: in the shared page, which is mapped for as long as the guest lives and changed by single accesses.
    unsafe { AtomicU8::from_ptr((SHARED_INFO + offset as u64) as *mut u8) }
}

/// A word of the page; `offset` is a multiple of 8.
#[must_use]
pub fn word(offset: usize) -> &'static AtomicU64 {
    // SAFETY: as for `byte`.
    unsafe { AtomicU64::from_ptr((SHARED_INFO + offset as u64) as *mut u64) }
}

/// Whether the hypervisor says that something is pending.
#[must_use]
pub fn is_pending() -> bool {
    byte(PENDING).load(Ordering::SeqCst) != 0
}

/// Whether the upcall is masked.
#[must_use]
pub fn is_masked() -> bool {
    byte(MASK).load(Ordering::SeqCst) != 0
}

/// Masks the upcall; any value but 0 does.
pub fn mask(value: u8) {
    byte(MASK).store(value, Ordering::SeqCst);
}

/// Takes the mask away by hand, which delivers nothing.
pub fn clear_mask() {
    mask(0);
}

fn bit_of(first: usize, port: u64) -> (&'static AtomicU64, u64) {
    (word(first + port as usize / 64 * 8), 1 << (port % 64))
}

/// Whether a port has fired and was not served.
#[must_use]
pub fn has_fired(port: u64) -> bool {
    let (word, bit) = bit_of(PORTS_PENDING, port);
    word.load(Ordering::SeqCst) & bit != 0
}

/// Forgets that a port has fired, and that anything is pending.
pub fn clear(port: u64) {
    let (word, bit) = bit_of(PORTS_PENDING, port);
    word.fetch_and(!bit, Ordering::SeqCst);
    self::word(SELECTOR).store(0, Ordering::SeqCst);
    byte(PENDING).store(0, Ordering::SeqCst);
}

/// Masks a port.
pub fn mask_port(port: u64) {
    let (word, bit) = bit_of(PORTS_MASK, port);
    word.fetch_or(bit, Ordering::SeqCst);
}

/// Events served at a port.
#[must_use]
pub fn served(port: u64) -> u64 {
    let count = SERVED.get(port as usize);
    count.map_or(0, |count| count.load(Ordering::Relaxed))
}

/// Serves everything that is pending: counts it and clears its bits.
pub(super) fn serve() {
    byte(PENDING).store(0, Ordering::SeqCst);
    let mut words = word(SELECTOR).swap(0, Ordering::SeqCst);
    while words != 0 {
        let index = words.trailing_zeros() as usize;
        words &= words - 1;
        if index >= PORTS / 64 {
            continue;
        }
        let open = !word(PORTS_MASK + 8 * index).load(Ordering::SeqCst);
        let fired = word(PORTS_PENDING + 8 * index);
        let mut ports = fired.fetch_and(!open, Ordering::SeqCst) & open;
        while ports != 0 {
            let port = index * 64 + ports.trailing_zeros() as usize;
            ports &= ports - 1;
            if let Some(count) = SERVED.get(port) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// `event_channel_op`; missing arguments are 0.
pub fn channel(op: EventChannelOp, arguments: &[u64]) -> Returned {
    let mut all = [op.raw(), 0, 0];
    for (slot, argument) in all[1..].iter_mut().zip(arguments) {
        *slot = *argument;
    }
    call::call(Hypercall::EventChannelOp, &all)
}

/// One that must succeed.
pub fn channel_done(op: EventChannelOp, arguments: &[u64]) -> u64 {
    let done = channel(op, arguments).ok();
    crate::check!(done.is_ok(), "{op:?} {arguments:?} is done: {done:?}");
    done.unwrap_or_default()
}

/// One that must be refused.
pub fn channel_refused(op: EventChannelOp, arguments: &[u64], errno: Errno) {
    let done = channel(op, arguments).ok();
    crate::check_eq!(done, Err(errno), "{} of {arguments:x?}", op.name());
}

/// Both ends of a channel from this domain to itself.
#[must_use]
pub fn looped_ports() -> (u64, u64) {
    let own = u64::from(super::start_info().domain_id);
    let offered = channel_done(EventChannelOp::AllocUnbound, &[own]);
    (
        offered,
        channel_done(EventChannelOp::BindInterdomain, &[own, offered]),
    )
}

/// A port for the timer.
#[must_use]
pub fn timer_port() -> u64 {
    channel_done(EventChannelOp::BindVirq, &[Virq::Timer.raw()])
}

/// Notifies the other end of a port.
pub fn send(port: u64) {
    channel_done(EventChannelOp::Send, &[port]);
}
