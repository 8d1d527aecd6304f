//! A guest's end: recorded, and everybody else goes on.
use crate::machine::Machine;
use crate::memory::DirectMap;
use crate::terminal::Terminal;
use crate::{ports, switcher};
use abi::reason::Reason;
use abi::trap::BounceFrame;
use xen_lite::crash::backtrace::{Backtrace, GuestStack, Start};
use xen_lite::crash::death::{Death, interrupted};
use xen_lite::crash::{CrashRecord, Delivery, Walk, WalkLine};
use xen_lite::domain::Domain;
use xen_lite::domain::build::BuildError;
use xen_lite::guest_mem::{self, Access, Refusal, Smep};
use xen_lite::hypercall::World;
use xen_lite::switcher::Registers;
use xen_lite::trap::table::{BounceEntry, Handler};
use xen_lite::trap::verdict::{Fault, Window};

/// The frame that an iretq refused: it lies on the switcher's stack, where the nested fault found rsp.
pub(crate) fn refused_frame(domain: &Domain, rsp: u64) -> BounceEntry {
    let word = |offset| {
        domain
            .vcpu
            .set
            .read_write_word(&DirectMap, rsp.wrapping_add(offset))
            .unwrap_or(0)
    };
    BounceEntry {
        address: word(0),
        cs: word(8),
    }
}

/// Gathers what a fault in one of the windows leaves: the guest's registers, its interrupted frame where that can still be
/// found, the trap that was on its way, the fault that ended it.
pub(crate) fn in_delivery(
    machine: &mut Machine,
    reason: Reason,
    window: Window,
    saved: &Registers,
    nested: Fault,
    delivering: Option<u8>,
) -> Death {
    let (scratch_rcx, scratch_rdx) = switcher::scratch();
    let (world, domain) = machine.world_and_running();
    let set = domain.vcpu.set;
    let word = |address: u64| set.read_write_word(&DirectMap, address);
    let mut guest = [0_u8; size_of::<BounceFrame>()];
    let mut general = *saved;
    let death = Death::new(reason).fault(nested);
    match window {
        Window::BounceStore => {
            // Six pops of three bytes each; those before rip have moved their word to the guest's stack.
            let moved = (saved.rip - switcher::text_address(switcher::Label::CopyStart)) / 3;
            let stack = saved.rdx.wrapping_sub(guest.len() as u64);
            (general.rcx, general.rdx) = (scratch_rcx, scratch_rdx);
            let read = read_back(world, domain, stack, &mut guest, moved * 8);
            let [error, frame @ ..] = [0, 1, 2, 3, 4, 5].map(|index: u64| {
                if index < moved {
                    read.then(|| le_word(&guest, index))
                } else {
                    word(saved.rsp.wrapping_add(8 * (index - moved)))
                }
            });
            let address = if nested.vector == abi::trap::vector::PF {
                nested.cr2
            } else {
                stack
            };
            let mut death = death.walked(address, Access::Write);
            death.delivery = delivering.map(|vector| delivery(domain, vector, error, Some(saved.rdx)));
            death.registers = Some(interrupted(&general, frame));
            death
        }
        Window::BounceIret => {
            let BounceEntry { address, cs } = refused_frame(domain, saved.rsp);
            let stack = word(saved.rsp.wrapping_add(24)).unwrap_or(0);
            let read = read_back(world, domain, stack, &mut guest, size_of::<BounceFrame>() as u64);
            let [error, frame @ ..] =
                [0, 1, 2, 3, 4, 5].map(|index: u64| read.then(|| le_word(&guest, index)));
            // The slot of a vector without handler holds the vector in the address's place.
            let vector = if cs == 0 {
                Some(address as u8)
            } else {
                domain.vcpu.traps.vector_at(address)
            };
            let mut death = death;
            death.delivery = vector.map(|vector| {
                delivery(
                    domain,
                    vector,
                    error,
                    // A frame may end at the top of the address space: its end is then 0.
                    Some(stack.wrapping_add(size_of::<BounceFrame>() as u64)),
                )
            });
            death.registers = Some(interrupted(&general, frame));
            death
        }
        Window::ExitIret => {
            let frame = [0, 8, 16, 24, 32].map(|offset| word(saved.rsp.wrapping_add(offset)));
            let mut death = death;
            death.registers = Some(interrupted(&general, frame));
            death
        }
    }
}

/// A trap on its way, as the table has it.
pub(crate) fn delivery(domain: &Domain, vector: u8, error: Option<u64>, stack: Option<u64>) -> Delivery {
    let (handler, selector) = match domain.vcpu.traps.handler(vector) {
        Handler::None => (None, None),
        Handler::Bounce { cs, address, .. } => (Some(address), Some(cs)),
        Handler::Direct { address, .. } => (Some(address), Some(abi::selector::KERNEL_CS)),
    };
    let error_code = error.filter(|_| abi::trap::has_error_code(vector));
    Delivery {
        vector,
        error_code,
        handler,
        selector,
        stack,
    }
}

fn read_back(
    world: &mut World<'_, DirectMap>,
    domain: &Domain,
    va: u64,
    into: &mut [u8],
    length: u64,
) -> bool {
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

/// Prints the record of a killed guest: the line for machines, the rest for people.
pub(crate) fn record(machine: &mut Machine, index: usize, death: &Death) {
    let smep = if machine.features.smep {
        Smep::On
    } else {
        Smep::Off
    };
    let length = length(machine, index);
    let symbols = machine.symbols(index);
    let Some(domain) = machine.domains.get(index) else {
        return;
    };
    let backtrace = death.registers.map(|registers| {
        let mut stack = GuestStack {
            frames: &machine.world.frames,
            mem: &mut machine.world.mem,
            domain: &domain.memory,
            symbols,
        };
        match Start::of(&registers, death.arrival, &mut stack) {
            Some(start) => Backtrace::follow(start, &mut stack),
            None => Backtrace::GONE,
        }
    });
    let walk = death
        .walked
        .zip(domain.memory.root())
        .map(|((address, access), root)| {
            let walk = guest_mem::walk(&machine.world.frames, &machine.world.mem, root, address);
            let access = match access {
                Access::Fetch(_) => Access::Fetch(smep),
                other => other,
            };
            let mut lines = [None; 4];
            for (line, step) in lines.iter_mut().zip(walk.steps()) {
                *line = Some(WalkLine {
                    level: step.level,
                    index: step.index as u16,
                    entry: step.entry,
                });
            }
            let stopped = walk
                .check(access)
                .err()
                .and_then(|refusal| stopped_at(refusal, &lines));
            (address, lines, stopped)
        });
    let mut lines = [WalkLine {
        level: xen_lite::addr::Level::L4,
        index: 0,
        entry: 0,
    }; 4];
    let mut count = 0;
    if let Some((_, found, _)) = &walk {
        for (line, found) in lines.iter_mut().zip(found.iter().flatten()) {
            *line = *found;
            count += 1;
        }
    }
    let record = CrashRecord {
        fault: death.fault,
        delivery: death.delivery,
        entry_point: death.entry_point,
        code: death.code,
        walk: walk.and_then(|(address, _, stopped)| {
            Some(Walk {
                address,
                lines: lines.get(..count)?,
                stopped,
            })
        }),
        registers: death.registers,
        recent: Some(&domain.recorder),
        backtrace: backtrace.as_ref(),
        symbols,
        ..CrashRecord::new(domain.identity(), death.reason)
    };
    tell(&mut machine.terminal, &record, length);
}

/// How much of a record people get.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Length {
    /// The line for machines alone: the manifest says so, or the domain has been explained often enough lately.
    Line,
    /// The explanation.
    Full,
}

fn length(machine: &mut Machine, index: usize) -> Length {
    let now = machine.clock.now_ns();
    let explained = machine
        .domains
        .get_mut(index)
        .is_some_and(|domain| !domain.config.record_line && domain.explanations.take(now));
    if explained { Length::Full } else { Length::Line }
}

fn tell(terminal: &mut Terminal, record: &CrashRecord<'_>, length: Length) {
    ports::line(record.identity.domain, format_args!("{}", record.machine_line()));
    match length {
        Length::Line => terminal.say(format_args!("{}", record.machine_line())),
        Length::Full => terminal.say_lines(format_args!("{}", record.explanation())),
    }
}

/// The line of a walk at which ring 1 is refused, and why, in words.
fn stopped_at(refusal: Refusal, lines: &[Option<WalkLine>]) -> Option<(usize, &'static str)> {
    let (level, why) = match refusal {
        Refusal::NotPresent(level) => (level, "not present: nothing is mapped here"),
        Refusal::ReadOnly(level) => (level, "read-only: the frame cannot be written"),
        Refusal::NoExecute(level) => (level, "no-execute: nothing can be fetched"),
        Refusal::UserPage => (
            xen_lite::addr::Level::L1,
            "a user page: SMEP forbids ring 1 to run it",
        ),
        Refusal::NonCanonical | Refusal::HypervisorSlot | Refusal::NotATable(_) => return None,
    };
    let position = lines.iter().flatten().position(|line| line.level == level)?;
    Some((position, why))
}

/// A domain that could not be built.
pub(crate) fn build_failed(machine: &mut Machine, index: usize, why: &BuildError) {
    let length = length(machine, index);
    let Some(domain) = machine.domains.get(index) else {
        return;
    };
    let record = CrashRecord {
        detail: Some(why),
        ..CrashRecord::new(domain.identity(), why.reason())
    };
    tell(&mut machine.terminal, &record, length);
}
