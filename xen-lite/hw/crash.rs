//! Ends with a reason: a guest's (recorded, everybody else goes on) and the hypervisor's own (the machine stops).
use crate::machine::Machine;
use crate::memory::DirectMap;
use crate::report::{self, Who};
use crate::serial::Uart;
use crate::{entry, power, switcher};
use abi::layout::is_canonical;
use abi::reason::Reason;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};
use xen_lite::domain::Domain;
use xen_lite::domain::build::BuildError;
use xen_lite::guest_mem;
use xen_lite::hypercall::World;
use xen_lite::switcher::Registers;
use xen_lite::trap::table::BounceEntry;
use xen_lite::trap::verdict::{Fault, Window};

/// Why a guest is killed, with what is known of it.
#[derive(Clone, Copy)]
pub(crate) struct Death {
    pub(crate) reason: Reason,
    delivering: Option<u8>,
    trap: Option<Registers>,
    cr2: Option<u64>,
    handler: Option<u64>,
    nested: Option<Fault>,
    address: Option<u64>,
    code: Option<u64>,
    /// Words of the interrupted frame that are gone.
    frame_lost: bool,
}

impl Death {
    pub(crate) const fn new(reason: Reason) -> Self {
        Self {
            reason,
            delivering: None,
            trap: None,
            cr2: None,
            handler: None,
            nested: None,
            address: None,
            code: None,
            frame_lost: false,
        }
    }

    pub(crate) const fn delivering(mut self, vector: u8) -> Self {
        self.delivering = Some(vector);
        self
    }

    pub(crate) const fn trap(mut self, registers: &Registers) -> Self {
        self.trap = Some(*registers);
        self
    }

    pub(crate) const fn cr2(mut self, cr2: u64) -> Self {
        self.cr2 = Some(cr2);
        self
    }

    pub(crate) const fn handler(mut self, handler: u64) -> Self {
        self.handler = Some(handler);
        self
    }

    /// The address whose translation the record shows.
    pub(crate) const fn address(mut self, address: u64) -> Self {
        self.address = Some(address);
        self
    }

    pub(crate) const fn code(mut self, code: u64) -> Self {
        self.code = Some(code);
        self
    }
}

/// The frame that an iretq refused: it lies on the switcher's stack, where the nested fault found rsp.
pub(crate) fn refused_frame(world: &World<'_, DirectMap>, domain: &Domain, rsp: u64) -> BounceEntry {
    let word = |offset: u64| {
        domain
            .vcpu
            .set
            .read_write_word(&world.mem, rsp.wrapping_add(offset))
            .unwrap_or(0)
    };
    BounceEntry {
        address: word(0),
        cs: word(8),
    }
}

/// Gathers what a fault in one of the windows leaves: the guest's registers, its interrupted frame where that can still be
/// found, both faults. Also puts the registers where the record looks for them.
pub(crate) fn in_delivery(
    machine: &mut Machine,
    reason: Reason,
    window: Window,
    saved: &Registers,
    nested: Fault,
    delivering: Option<u8>,
) -> Death {
    let (scratch_rcx, scratch_rdx, cr2_word) = switcher::scratch();
    let (world, domain) = machine.world_and_running();
    let set = domain.vcpu.set;
    let word = |address: u64| set.read_write_word(&DirectMap, address);
    let mut guest = [0_u8; 48];
    let mut registers = *saved;
    let mut death = Death::new(reason);
    match window {
        Window::BounceStore => {
            // Six pops of three bytes each; those before rip have moved their word to the guest's stack.
            let moved = (saved.rip - switcher::text_address(switcher::Label::CopyStart)) / 3;
            let stack = saved.rdx.wrapping_sub(48);
            (registers.rcx, registers.rdx) = (scratch_rcx, scratch_rdx);
            let read = copy(world, domain, stack, &mut guest, moved * 8);
            let frame = [0, 1, 2, 3, 4, 5].map(|index: u64| {
                if index < moved {
                    read.then(|| le_word(&guest, index))
                } else {
                    word(saved.rsp.wrapping_add(8 * (index - moved)))
                }
            });
            put_frame(&mut registers, frame, &mut death);
            death.address = Some(if nested.vector == abi::trap::vector::PF {
                nested.cr2
            } else {
                stack
            });
            death.delivering = delivering;
            death.handler = delivering.map(|vector| domain.vcpu.traps.bounce_entry(vector).address);
        }
        Window::BounceIret => {
            let BounceEntry { address, cs } = refused_frame(world, domain, saved.rsp);
            let stack = word(saved.rsp.wrapping_add(24)).unwrap_or(0);
            let read = copy(world, domain, stack, &mut guest, 48);
            let frame = [0, 1, 2, 3, 4, 5].map(|index: u64| read.then(|| le_word(&guest, index)));
            put_frame(&mut registers, frame, &mut death);
            // The slot of a vector without handler holds the vector in the address's place.
            death.delivering = if cs == 0 {
                Some(address as u8)
            } else {
                domain.vcpu.traps.vector_at(address)
            };
            death.handler = (cs != 0).then_some(address);
        }
        Window::ExitIret => {
            let frame = [0, 8, 16, 24, 32].map(|offset| word(saved.rsp.wrapping_add(offset)));
            put_frame(
                &mut registers,
                [Some(0), frame[0], frame[1], frame[2], frame[3], frame[4]],
                &mut death,
            );
            death.address = frame[0];
        }
    }
    if death.delivering == Some(abi::trap::vector::PF) {
        death.cr2 = Some(cr2_word);
    }
    death.nested = Some(nested);
    death.trap = Some(registers);
    domain.vcpu.registers = registers;
    death
}

fn copy(world: &mut World<'_, DirectMap>, domain: &Domain, va: u64, into: &mut [u8], length: u64) -> bool {
    let Some(part) = into.get_mut(..length as usize) else {
        return false;
    };
    guest_mem::copy_from_guest(&world.frames, &mut world.mem, &domain.memory, va, part).is_ok()
}

fn le_word(bytes: &[u8], index: u64) -> u64 {
    bytes
        .as_chunks::<8>()
        .0
        .get(index as usize)
        .map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

/// Error code, rip, cs, rflags, rsp, ss into the registers; what is gone becomes 0 and is said to be gone.
fn put_frame(registers: &mut Registers, frame: [Option<u64>; 6], death: &mut Death) {
    death.frame_lost = frame.contains(&None);
    let [error, rip, cs, rflags, rsp, ss] = frame.map(|word| word.unwrap_or(0));
    (registers.error, registers.rip, registers.cs) = (error, rip, cs);
    (registers.rflags, registers.rsp, registers.ss) = (rflags, rsp, ss);
}

/// Prints and keeps the record of a killed guest.
pub(crate) fn record(machine: &mut Machine, index: usize, death: &Death) {
    let Some(domain) = machine.domains.get(index) else {
        return;
    };
    report::line(format_args!(
        "xen-lite: {} state=killed reason={}{}",
        Who(domain),
        death.reason.name(),
        Facts(death)
    ));
    machine.terminal.say(format_args!(
        "domain {} killed: {}",
        domain.config.name,
        death.reason.name()
    ));
}

struct Facts<'a>(&'a Death);

impl fmt::Display for Facts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let death = self.0;
        if let Some(vector) = death.delivering {
            write!(f, " vector={vector}")?;
        }
        if let Some(trap) = &death.trap {
            write!(f, " rip={:#x} cpl={}", trap.rip, trap.cpl())?;
        }
        if let Some(cr2) = death.cr2 {
            write!(f, " cr2={cr2:#x}")?;
        }
        if let Some(nested) = &death.nested {
            write!(
                f,
                " nested={} nested-error={:#x} nested-cr2={:#x}",
                nested.vector, nested.error_code, nested.cr2
            )?;
        }
        if let Some(trap) = &death.trap {
            write!(f, " error={:#x}", trap.error)?;
        }
        if let Some(handler) = death.handler {
            write!(f, " handler={handler:#x}")?;
        }
        if let Some(code) = death.code {
            write!(f, " code={code}")?;
        }
        Ok(())
    }
}

/// A domain that could not be built.
pub(crate) fn build_failed(machine: &mut Machine, index: usize, why: &BuildError) {
    let Some(domain) = machine.domains.get(index) else {
        return;
    };
    report::line(format_args!(
        "xen-lite: {} state=killed reason={}",
        Who(domain),
        why.reason().name()
    ));
    let name = domain.config.name;
    machine
        .terminal
        .say(format_args!("domain {name} cannot be built: {why}"));
}

// ------------------------------------------------------------------------------------------------ the hypervisor's own end

static STOPPING: AtomicBool = AtomicBool::new(false);

fn stop(what: &str, why: fmt::Arguments<'_>) -> ! {
    if !STOPPING.swap(true, Ordering::Relaxed) {
        // SAFETY: nothing that was interrupted goes on.
        unsafe { report::break_lock() };
        let mut people = Uart::new(0x3f8);
        let _ = write!(people, "\r\n(xen-lite) {what}: {why}\r\n");
        report::line(format_args!("xen-lite: event={what} {why}"));
        people.flush();
    }
    power::off()
}

/// What stands in the way of starting.
pub(crate) fn cannot_start(why: &str) -> ! {
    stop("panic", format_args!("cannot start: {why}"))
}

/// The same, for a boot image whose records are wrong.
pub(crate) fn bad_image(why: &dyn fmt::Display) -> ! {
    stop(
        "panic",
        format_args!("cannot start: the boot image's records: {why}"),
    )
}

/// An invariant of the hypervisor does not hold.
pub(crate) fn bug(why: fmt::Arguments<'_>) -> ! {
    stop("panic", why)
}

/// A fault in ring 0 that is no guest's doing.
pub(crate) fn hypervisor_fault(saved: &Registers, vector: u8, cr3: u64, cr2: u64) -> ! {
    let window = if entry::window_at(saved.rip).is_some() {
        " in-window"
    } else {
        ""
    };
    let canonical = if is_canonical(saved.rsp) {
        ""
    } else {
        " non-canonical-stack"
    };
    bug(format_args!(
        "vector={vector} error={:#x} rip={:#x} cs={:#x} rflags={:#x} rsp={:#x} cr2={cr2:#x} cr3={cr3:#x} rax={:#x} rcx={:#x} rdx={:#x}{window}{canonical}",
        saved.error, saved.rip, saved.cs, saved.rflags, saved.rsp, saved.rax, saved.rcx, saved.rdx
    ))
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
