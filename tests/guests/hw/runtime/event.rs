//! Events: the shared page, the upcall, ports.
use abi::callback::{CallbackOp, CallbackType};
use abi::errno::Errno;
use abi::event::{EventChannelOp, SharedInfo};
use abi::hypercall::Hypercall;
use abi::layout::SHARED_INFO;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::call::{self, Returned};

static SERVED: AtomicU64 = AtomicU64::new(0);

const PENDING: usize = offset_of!(SharedInfo, upcall_pending);
const MASK: usize = offset_of!(SharedInfo, upcall_mask);
const SELECTOR: usize = offset_of!(SharedInfo, pending_sel);
const PORTS_PENDING: usize = offset_of!(SharedInfo, evtchn_pending);
const PORTS_MASK: usize = offset_of!(SharedInfo, evtchn_mask);

fn byte(offset: usize) -> &'static AtomicU8 {
    // SAFETY: in the shared page, which is mapped for as long as the guest lives and changed by single accesses.
    unsafe { AtomicU8::from_ptr((SHARED_INFO + offset as u64) as *mut u8) }
}

fn word(offset: usize) -> &'static AtomicU64 {
    // SAFETY: as for `byte`; all offsets are multiples of 8.
    unsafe { AtomicU64::from_ptr((SHARED_INFO + offset as u64) as *mut u64) }
}

/// Whether the hypervisor says that something is pending.
#[must_use]
pub fn is_pending() -> bool {
    byte(PENDING).load(Ordering::SeqCst) != 0
}

/// Whether upcalls are masked.
#[must_use]
pub fn is_masked() -> bool {
    byte(MASK).load(Ordering::SeqCst) != 0
}

/// Masks upcalls.
pub fn mask() {
    byte(MASK).store(1, Ordering::SeqCst);
}

/// Takes the mask away; delivers nothing by itself.
pub fn clear_mask() {
    byte(MASK).store(0, Ordering::SeqCst);
}

fn bit_of(first: usize, port: u64) -> (&'static AtomicU64, u64) {
    (word(first + port as usize / 64 * 8), 1 << (port % 64))
}

/// Whether a port has fired.
#[must_use]
pub fn has_fired(port: u64) -> bool {
    let (word, bit) = bit_of(PORTS_PENDING, port);
    word.load(Ordering::SeqCst) & bit != 0
}

/// Masks a port.
pub fn mask_port(port: u64) {
    let (word, bit) = bit_of(PORTS_MASK, port);
    word.fetch_or(bit, Ordering::SeqCst);
}

/// How many events have been served.
#[must_use]
pub fn served() -> u64 {
    SERVED.load(Ordering::SeqCst)
}

/// Serves everything that is pending: counts it and clears its bits.
pub fn serve() {
    while byte(PENDING).swap(0, Ordering::SeqCst) != 0 {
        let mut selected = word(SELECTOR).swap(0, Ordering::SeqCst);
        while selected != 0 {
            let n = selected.trailing_zeros() as usize;
            selected &= selected - 1;
            if n >= abi::event::PORTS / 64 {
                continue;
            }
            let masked = word(PORTS_MASK + n * 8).load(Ordering::SeqCst);
            let fired = word(PORTS_PENDING + n * 8).fetch_and(masked, Ordering::SeqCst) & !masked;
            SERVED.fetch_add(u64::from(fired.count_ones()), Ordering::SeqCst);
        }
    }
}

/// `event_channel_op`; missing arguments are 0.
pub fn operate(command: EventChannelOp, arguments: &[u64]) -> Returned {
    let mut all = [command.raw(), 0, 0];
    for (slot, argument) in all[1..].iter_mut().zip(arguments) {
        *slot = *argument;
    }
    call::call(Hypercall::EventChannelOp, &all)
}

/// Registers the event upcall with a region; 0 and 0 for none.
///
/// # Errors
/// What the hypervisor said.
pub fn register_upcall(address: u64, region: [u64; 2]) -> Result<u64, Errno> {
    let arguments = [
        CallbackOp::Register.raw(),
        CallbackType::Event.raw(),
        address,
        region[0],
        region[1],
    ];
    call::call(Hypercall::CallbackOp, &arguments).ok()
}

/// Two ports of this domain that are bound to each other.
#[must_use]
pub fn looped_ports() -> (u64, u64) {
    let own = u64::from(super::start_info().domain_id);
    let offered = operate(EventChannelOp::AllocUnbound, &[own]).ok();
    crate::check!(offered.is_ok(), "a port is offered: {offered:?}");
    let offered = offered.unwrap_or_default();
    let bound = operate(EventChannelOp::BindInterdomain, &[own, offered]).ok();
    crate::check!(bound.is_ok(), "and bound to another one: {bound:?}");
    (offered, bound.unwrap_or_default())
}

/// Notifies the other end of a port.
pub fn send(port: u64) {
    let sent = operate(EventChannelOp::Send, &[port]).ok();
    crate::check!(sent.is_ok(), "send: {sent:?}");
}
