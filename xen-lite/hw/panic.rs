//! The hypervisor's own end: a fault of ring 0 that is no guest's, or a check that fails. The machine stops, with a record.
use crate::machine::{self, Machine};
use crate::{cpu, entry, memory, ports, power, stacks};
use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering};
use xen_lite::console::command::Way;
use xen_lite::crash::own::{self, Calls, OwnFault, PanicRecord, Running, Why};
use xen_lite::crash::symbols::Symbols;
use xen_lite::switcher::Registers;
use xen_lite::trap::verdict::Fault;

/// How often the end has begun: once, and once more for each panic or fault within it.
static ENDS: AtomicU8 = AtomicU8::new(0);

/// The machine's end, with all that is known. What fails while that is being said cuts it short; what fails then is not
/// said any more. So this never comes back, and never goes in a circle.
#[inline(never)]
fn stop(why: &Why<'_>) -> ! {
    let stack_pointer = cpu::stack_pointer();
    match ENDS.fetch_add(1, Ordering::Relaxed) {
        0 => {
            // SAFETY: nothing that was interrupted goes on.
            unsafe { ports::last_words(why) };
            explain(why, stack_pointer);
        }
        // SAFETY: as above.
        1 => unsafe { ports::cut_short() },
        2 => {}
        _ => power::cut(),
    }
    power::off()
}

/// What is known beside the message. A frame of its own, below the part of the stack that it looks at: its lists are no calls.
#[inline(never)]
fn explain(why: &Why<'_>, stack_pointer: u64) {
    // SAFETY: nothing that was interrupted goes on.
    let machine = unsafe { machine::at_the_end() };
    let running = machine
        .and_then(|machine| machine.domains.get(machine.loaded.index()?))
        .map(|domain| Running {
            identity: domain.identity(),
            recent: &domain.recorder,
            entered: domain.vcpu.registers.frame(),
        });
    let fault = match why {
        Why::Fault(fault) => Some(*fault),
        Why::Message(_) => None,
    };
    let (rsp, cr3) = fault.map_or((stack_pointer, cpu::root()), |fault| (fault.saved.rsp, fault.cr3));
    let is_return = |address| memory::code_before(address).is_some_and(|bytes| own::ends_with_call(&bytes));
    let calls = stacks::words_above(rsp).map(|words| Calls::among(words, is_return));
    let record = PanicRecord {
        fault,
        cr3,
        rsp,
        running,
        calls: calls.as_ref(),
        symbols: machine.map_or(Symbols::NONE, Machine::own_symbols),
    };
    // SAFETY: as above.
    unsafe { ports::last_lines(&record) };
}

/// What stands in the way of starting.
pub(crate) fn cannot_start(why: &str) -> ! {
    bug(format_args!("cannot start: {why}"))
}

/// The same, for a boot image whose records are wrong.
pub(crate) fn bad_image(why: &dyn fmt::Display) -> ! {
    bug(format_args!("cannot start: the boot image's records: {why}"))
}

/// An invariant of the hypervisor does not hold.
pub(crate) fn bug(why: fmt::Arguments<'_>) -> ! {
    stop(&Why::Message(why))
}

/// A fault in ring 0 that is no guest's doing.
pub(crate) fn hypervisor_fault(saved: &Registers, vector: u8, cr3: u64, cr2: u64) -> ! {
    stop(&Why::Fault(OwnFault {
        fault: Fault {
            vector,
            error_code: saved.error,
            cr2,
        },
        saved: *saved,
        cr3,
        window: entry::window_at(saved.rip),
    }))
}

/// Ends the machine because a person wants to see how it would.
pub(crate) fn on_purpose(way: Way) -> ! {
    match way {
        Way::Message => bug(format_args!("a person has asked for it")),
        Way::Fault => write_nowhere(),
        Way::Stack => bug(format_args!("{} calls, and no end of the stack", deeper(0))),
        Way::Record => bug(format_args!("{}", Unspeakable)),
    }
}

/// A page fault: the lower half is empty.
fn write_nowhere() -> ! {
    // SAFETY: nothing is there, and so nothing is written.
    unsafe { core::arch::asm!("mov byte ptr [{0}], 0", in(reg) abi::layout::PAGE_SIZE, options(nostack)) };
    bug(format_args!("something is mapped in the lower half"))
}

/// Calls itself until the stack is full.
#[inline(never)]
fn deeper(depth: u64) -> u64 {
    // All of it is written: nothing of what the stack held before shows through.
    let room = [depth; 64];
    let last = |room: &[u64; 64]| core::hint::black_box(room).last().copied().unwrap_or(0);
    if last(&room) == u64::MAX {
        return depth;
    }
    let rest = deeper(depth + 1);
    rest + last(&room).min(1)
}

/// A text in the middle of which the writer comes to harm.
struct Unspeakable;

impl fmt::Display for Unspeakable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("so far")?;
        write_nowhere()
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    match info.location() {
        Some(place) => bug(format_args!(
            "{} at={}:{}",
            info.message(),
            place.file(),
            place.line()
        )),
        None => bug(format_args!("{}", info.message())),
    }
}
