//! Events: the timer and the console. They are masked while the kernel runs.
use abi::event::{EventChannelOp, PORTS, SharedInfo, Virq};
use abi::hypercall::Hypercall;
use abi::layout::SHARED_INFO;
use abi::stub::hypercall;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use pv_kernel::machine::Events;

const WORDS: usize = PORTS / 64;

/// A byte of shared_info, which the hypervisor writes too.
fn byte(offset: usize) -> &'static AtomicU8 {
    // SAFETY: the page is mapped for good, and everyone accesses it by single instructions.
    unsafe { AtomicU8::from_ptr((SHARED_INFO + offset as u64) as *mut u8) }
}

/// A word of it.
fn word(offset: usize) -> &'static AtomicU64 {
    // SAFETY: as above; the fields are aligned.
    unsafe { AtomicU64::from_ptr((SHARED_INFO + offset as u64) as *mut u64) }
}

/// Masks events.
pub(crate) fn mask() {
    byte(offset_of!(SharedInfo, upcall_mask)).store(1, Ordering::SeqCst);
}

/// The ports at which events arrive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    timer: u64,
    console: u64,
}

impl Ports {
    /// Binds both.
    pub(crate) fn bind() -> Self {
        Self {
            timer: bind(Virq::Timer),
            console: bind(Virq::Console),
        }
    }

    /// What has happened since the last time.
    pub(crate) fn take(self) -> Events {
        let mut events = Events::default();
        if byte(offset_of!(SharedInfo, upcall_pending)).load(Ordering::SeqCst) == 0 {
            return events;
        }
        byte(offset_of!(SharedInfo, upcall_pending)).store(0, Ordering::SeqCst);
        let mut news = word(offset_of!(SharedInfo, pending_sel)).swap(0, Ordering::SeqCst);
        while news != 0 {
            let index = news.trailing_zeros() as usize % WORDS;
            news &= news - 1;
            let offset = offset_of!(SharedInfo, evtchn_pending) + index * 8;
            let fired = word(offset).swap(0, Ordering::SeqCst);
            let has = |port: u64| port / 64 == index as u64 && fired & 1 << (port % 64) != 0;
            events.timer |= has(self.timer);
            events.console |= has(self.console);
        }
        events
    }
}

fn bind(virq: Virq) -> u64 {
    let arguments = [EventChannelOp::BindVirq.raw(), virq.raw(), 0, 0, 0];
    // SAFETY: the upcall is registered, and events are masked until a program runs.
    let returned = unsafe { hypercall(Hypercall::EventChannelOp, arguments) };
    match returned.ok() {
        Ok(port) => port,
        Err(errno) => panic!("bind_virq refused: {errno:?}"),
    }
}
