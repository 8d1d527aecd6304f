//! What every step stands on: handlers for all that may come, and an upcall that ends a step which does not end.
use abi::callback::{CallbackOp, CallbackType};
use abi::event::{EventChannelOp, PORTS, SharedInfo, Virq};
use abi::hypercall::{Hypercall, SegmentBase};
use abi::layout::{CR2_WORD, SHARED_INFO, USER_RSP_WORD};
use abi::multicall::MulticallEntry;
use abi::trap::{TrapInfo, is_guest_exception};
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};
use guests::runtime::frame::Frame;
use guests::runtime::trap::{Hooked, bounced, bounced_handler};
use guests::runtime::{UNEXPECTED_TRAP, call, end, event, memory, time, trap};

use super::STEP;

/// After so many steps it is laid anew, whatever they have made of it.
pub(crate) const EVERY: u64 = 16;
/// A step that has run so long does not end by itself.
const PATIENCE_NS: u64 = 4_000_000;
/// When that is looked at.
const WATCH_NS: u64 = 2_000_000;

const fn entry(call: Hypercall, arguments: [u64; 5]) -> MulticallEntry {
    MulticallEntry {
        number: call.raw(),
        result: 0,
        detail: 0,
        arguments,
    }
}

/// Takes back whatever a step may have done to the ways in and out, and begins to watch this one. A guest whose floor is gone
/// has ended anyway.
pub(crate) fn lay() {
    let mut table = [TrapInfo::default(); 32];
    let mut used = 0;
    for vector in (0..32).filter(|vector| is_guest_exception(*vector)) {
        table[used] = bounced(vector, bounced_handler(vector));
        used += 1;
    }
    let register = CallbackOp::Register.raw();
    let calls = [
        entry(
            Hypercall::SetTrapTable,
            [table.as_ptr() as u64, used as u64, 0, 0, 0],
        ),
        entry(Hypercall::StackSwitch, [trap::trap_stack(), 0, 0, 0, 0]),
        entry(
            Hypercall::CallbackOp,
            [register, CallbackType::Event.raw(), upcall_address(), 0, 0],
        ),
        entry(
            Hypercall::CallbackOp,
            [
                register,
                CallbackType::Syscall.raw(),
                trap::syscall_entry_address(),
                0,
                0,
            ],
        ),
        entry(Hypercall::SetSegmentBase, [SegmentBase::Fs.raw(), 0, 0, 0, 0]),
        entry(Hypercall::SetSegmentBase, [SegmentBase::Gs.raw(), 0, 0, 0, 0]),
        // The timer's port is whichever it is; it may have been closed.
        entry(
            Hypercall::EventChannelOp,
            [EventChannelOp::BindVirq.raw(), Virq::Timer.raw(), 0, 0, 0],
        ),
        entry(Hypercall::SetTimerOp, [watch(), 0, 0, 0, 0]),
    ];
    // Nothing is pending, no port is masked; first, for the watch's event may come at once.
    for word in (SHARED_INFO..SHARED_INFO + size_of::<SharedInfo>() as u64).step_by(8) {
        memory::poke(word, 0);
    }
    event::mask(1);
    call::call(Hypercall::Multicall, &[calls.as_ptr() as u64, calls.len() as u64]);
    trap::hook(Some(end_what_does_not_end));
    event::clear_mask();
}

/// This step has some time more.
pub(crate) fn arm() {
    call::call(Hypercall::SetTimerOp, &[watch()]);
}

/// The step that is watched, and what had run of this guest's time when that began.
static WATCHED: AtomicU64 = AtomicU64::new(u64::MAX);
static SINCE: AtomicU64 = AtomicU64::new(0);

/// When the next look at this step is due.
fn watch() -> u64 {
    let (now, ran) = time::now_ns();
    let step = STEP.load(Ordering::Relaxed);
    if WATCHED.swap(step, Ordering::Relaxed) != step {
        SINCE.store(ran, Ordering::Relaxed);
    }
    now + WATCH_NS
}

core::arch::global_asm!(
    // The upcall: its frame is a bounced trap's.
    ".global fuzz_upcall",
    "fuzz_upcall:",
    "push {vector}",
    "jmp guest_trap_common",
    vector = const UPCALL_VECTOR,
);

unsafe extern "C" {
    static fuzz_upcall: u8;
}

/// What [`Frame::vector`] says in the upcall.
const UPCALL_VECTOR: u64 = 0xf1;

/// The upcall that watches.
pub(crate) fn upcall_address() -> u64 {
    (&raw const fuzz_upcall) as u64
}

/// An upcall in a step that has had its time ends it.
fn end_what_does_not_end(frame: &mut Frame) -> Hooked {
    if frame.vector != UPCALL_VECTOR {
        if !trap::is_attempted() {
            guests::println!("a trap that nothing expects: {frame:x?}");
            end(super::judged(UNEXPECTED_TRAP));
        }
        return Hooked::Pass;
    }
    // Whatever is pending has been served, but for the masks.
    event::word(offset_of!(SharedInfo, upcall_pending)).fetch_and(0xff00, Ordering::SeqCst);
    event::word(offset_of!(SharedInfo, pending_sel)).store(0, Ordering::SeqCst);
    for word in 0..PORTS / 64 {
        event::word(offset_of!(SharedInfo, evtchn_pending) + word * 8).store(0, Ordering::SeqCst);
    }
    arm();
    // A trap in here may have changed what the interrupted handler has not read yet.
    memory::poke(CR2_WORD, frame.cr2);
    memory::poke(USER_RSP_WORD, frame.user_rsp);
    event::clear_mask();
    let ran = time::now_ns().1.wrapping_sub(SINCE.load(Ordering::Relaxed));
    if ran < PATIENCE_NS || !trap::is_attempted() {
        return Hooked::Resume;
    }
    WATCHED.store(u64::MAX, Ordering::Relaxed);
    Hooked::Pass
}
