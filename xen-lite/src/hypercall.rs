//! What a guest can ask for: decoding, checks, effects on the domain.
//!
//! A call ends as an [`Outcome`]. A refused call has changed nothing; a refused batch has done what the second result word
//! says. Every pointer goes through [`crate::guest_mem`]. What the caller can make the hypervisor do in one call is bounded:
//! [`abi::mmu::MAX_BATCH`] entries, [`abi::console::MAX_TRANSFER`] bytes, and [`Work`] for all that a batch or a list of
//! calls makes of them.
mod memory;
mod misc;
mod multicall;
mod staging;

pub use staging::Staging;

use crate::addr::DomainId;
use crate::domain::Domain;
use crate::event::{self, Done};
use crate::paging::{self, FrameTable, Progress};
use crate::platform::PhysMem;
use crate::sched::set::Set;
use crate::sched::turn::effective_mask;
use crate::vcpu::Common;
use abi::errno::Errno;
use abi::event::EventChannelOp;
use abi::hypercall::{Hypercall, SegmentBase};
use abi::layout::ENTRIES;
use abi::sched::{SchedOp, ShutdownReason, WAKE_EVENT, WAKE_INPUT, WAKE_OUTPUT};
use abi::version::{MAJOR, MINOR, XenVersion};
use bitflags::bitflags;

/// What one call may still do: interrupts are off while it does it. A batch, or a list of calls, that has more to do ends
/// with EAGAIN where it stands; tables that still wait to be taken apart are done before the guest goes on, in its own
/// time. The unit is about one page-table entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Work(u32);

impl Work {
    /// A table is looked at entry by entry.
    pub const TABLE: u32 = ENTRIES as u32;
    /// A frame is scrubbed, or copied from.
    pub const FRAME: u32 = 16;
    /// An entry of a page table is changed.
    pub const ENTRY: u32 = 1;
    /// A call in a list of calls: as much as the largest trap table, or transfer to the console, takes.
    pub const CALL: u32 = 128;
    /// The share of one call: 16 tables.
    pub const PER_CALL: Self = Self(16 * Self::TABLE);

    /// Counts what is about to be done.
    pub const fn spend(&mut self, units: u32) {
        self.0 = self.0.saturating_sub(units);
    }

    /// Whether the call has done its share.
    #[must_use]
    pub const fn is_done(self) -> bool {
        self.0 == 0
    }
}

/// Memory and what is common to all vCPUs.
pub struct World<'a, M> {
    /// Memory by frame.
    pub mem: M,
    /// Who owns it, and as what.
    pub frames: FrameTable<'a>,
    /// What every vCPU's set is made of.
    pub common: Common,
    /// What a hypercall leaves for the machine to do before its caller goes on.
    pub after: After,
    /// No vCPU's timer is earlier; `u64::MAX` for none. Nanoseconds since boot.
    pub next_timer: u64,
    /// Sleepers among these may have something to wake for. Nobody wakes but for an event, a key, room for output, or at its
    /// time; and no domain changes anything of its own while it sleeps.
    pub stirred: Set,
    /// Some domain may have written text that is to be passed on.
    pub has_text: bool,
    /// What it may still do by itself.
    pub work: Work,
    /// Where its lists are copied to.
    pub staging: Staging,
}

impl<M: PhysMem> World<'_, M> {
    /// Takes leaving tables apart, as far as the call's share of work goes.
    #[inline(always)]
    fn take_apart(&mut self, domain: &mut Domain) {
        if domain.memory.has_leaving_tables() {
            self.take_all_apart(domain);
        }
    }

    #[inline(never)]
    fn take_all_apart(&mut self, domain: &mut Domain) {
        while domain.memory.has_leaving_tables() && !self.work.is_done() {
            self.work.spend(Work::TABLE);
            let (Progress::More | Progress::Done) =
                paging::take_apart_one(&mut self.frames, &mut self.mem, &mut domain.memory);
        }
    }
}

bitflags! {
    /// Kinds of effects that are not memory's.
    #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
    struct Effects: u8 {
        const FS_BASE = 1;
        const GS_BASE = 2;
        const NOTIFIED = 4;
        const WRITTEN = 8;
    }
}

/// Effects that are not memory's: what is left for the machine to do.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct After {
    effects: Effects,
    /// Meaningful where the effects say so.
    bases: [u64; 2],
}

impl After {
    /// Whether nothing is left to do.
    #[must_use]
    #[inline]
    pub const fn is_nothing(self) -> bool {
        self.effects.is_empty()
    }

    /// Segment bases to load, FS and GS: none is left then.
    pub fn take_bases(&mut self) -> [Option<u64>; 2] {
        let [fs, gs] = self.bases;
        let bases = [
            self.effects.contains(Effects::FS_BASE).then_some(fs),
            self.effects.contains(Effects::GS_BASE).then_some(gs),
        ];
        self.effects.remove(Effects::FS_BASE.union(Effects::GS_BASE));
        bases
    }

    /// Whether another domain has got an event, or a timer is set: the turn may end. Not so any more then.
    pub const fn take_notified(&mut self) -> bool {
        self.take(Effects::NOTIFIED)
    }

    /// Whether the console has got text. Not so any more then.
    pub const fn take_written(&mut self) -> bool {
        self.take(Effects::WRITTEN)
    }

    const fn take(&mut self, effect: Effects) -> bool {
        let is_there = self.effects.contains(effect);
        self.effects = self.effects.difference(effect);
        is_there
    }

    const fn notify(&mut self) {
        self.effects = self.effects.union(Effects::NOTIFIED);
    }

    const fn write(&mut self) {
        self.effects = self.effects.union(Effects::WRITTEN);
    }

    const fn load_base(&mut self, which: SegmentBase, base: u64) {
        let [fs, gs] = &mut self.bases;
        let (place, effect) = match which {
            SegmentBase::Fs => (fs, Effects::FS_BASE),
            SegmentBase::Gs => (gs, Effects::GS_BASE),
        };
        *place = base;
        self.effects = self.effects.union(effect);
    }
}

/// What a hypercall returns to its caller.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// rax.
    pub value: u64,
    /// rdx.
    pub detail: u64,
}

impl Answer {
    /// Success, nothing to say.
    const DONE: Self = Self { value: 0, detail: 0 };

    const fn refused(errno: Errno) -> Self {
        Self {
            value: errno.to_rax(),
            detail: 0,
        }
    }

    fn of(result: Result<u64, Errno>) -> Self {
        match result {
            Ok(value) => Self { value, detail: 0 },
            Err(errno) => Self::refused(errno),
        }
    }
}

/// How a hypercall ends.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Its caller goes on behind it.
    Return(Answer),
    /// Its caller does not go on now.
    Leave(Leave),
}

impl Outcome {
    const fn refused(errno: Errno) -> Self {
        Self::Return(Answer::refused(errno))
    }
}

/// How a hypercall ends whose caller does not go on now.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leave {
    /// It goes on after the others have had their turn.
    Yield,
    /// It goes on when a condition of the mask holds, or after that time if it is not 0.
    Block {
        /// Nanoseconds.
        timeout_ns: u64,
        /// [`WAKE_INPUT`], [`WAKE_OUTPUT`], [`WAKE_EVENT`].
        mask: u64,
    },
    /// The domain has ended itself.
    Shutdown {
        /// How.
        reason: ShutdownReason,
        /// With what.
        code: u64,
    },
}

/// Who calls: one of all domains, which runs.
struct Caller<'a> {
    domains: &'a mut [Domain],
    own: usize,
}

/// Carries out a hypercall of domain `own`, which runs.
#[inline(always)]
pub fn dispatch(
    world: &mut World<'_, impl PhysMem>,
    domains: &mut [Domain],
    own: usize,
    number: u64,
    arguments: [u64; 5],
) -> Outcome {
    world.work = Work::PER_CALL;
    let [first, second, third, ..] = arguments;
    match Hypercall::from_raw(number) {
        Some(Hypercall::SchedOp) => match domains.get(own) {
            Some(domain) => sched_op(world, domain, first, second, third),
            None => Outcome::refused(Errno::NoDomain),
        },
        Some(Hypercall::Multicall) => {
            let mut caller = Caller { domains, own };
            Outcome::Return(multicall::multicall(world, &mut caller, first, second))
        }
        call => Outcome::Return(carry_out(world, domains, own, call, arguments)),
    }
}

/// Carries out a call that may be part of another one; both share what may be done. Each call is a function of its own that
/// keeps the registers it needs, so that those who choose it need none.
#[inline(always)]
fn carry_out(
    world: &mut World<'_, impl PhysMem>,
    domains: &mut [Domain],
    own: usize,
    call: Option<Hypercall>,
    [first, second, third, fourth, fifth]: [u64; 5],
) -> Answer {
    if call == Some(Hypercall::EventChannelOp) {
        // The one that matters, apart from those that need more room.
        return if first == EventChannelOp::Send.raw() {
            send_event(world, domains, own, second)
        } else {
            manage_event_channels(world, &mut Caller { domains, own }, first, [second, third])
        };
    }
    let Some(domain) = domains.get_mut(own) else {
        return Answer::refused(Errno::NoDomain);
    };
    match call {
        Some(Hypercall::XenVersion) => version(world, domain, first, second),
        Some(Hypercall::SetTrapTable) => misc::set_trap_table(world, domain, first, second),
        Some(Hypercall::MmuUpdate) => memory::mmu_update(world, domain, first, second),
        Some(Hypercall::StackSwitch) => misc::stack_switch(world, domain, first),
        Some(Hypercall::UpdateDescriptor) => misc::update_descriptor(world, domain, first, second),
        Some(Hypercall::MemoryOp) => memory::memory_op(world, domain, first, second, third),
        Some(Hypercall::UpdateVaMapping) => memory::update_va_mapping(world, domain, first, second, third),
        Some(Hypercall::SetTimerOp) => set_timer(world, domain, first),
        Some(Hypercall::ConsoleIo) => misc::console_io(world, domain, first, second, third),
        Some(Hypercall::SetSegmentBase) => misc::set_segment_base(world, first, second),
        Some(Hypercall::MmuextOp) => memory::mmuext_op(world, domain, first, second),
        Some(Hypercall::CallbackOp) => {
            misc::callback_op(world, domain, &[first, second, third, fourth, fifth])
        }
        // Neither is a part of another call.
        Some(Hypercall::SchedOp | Hypercall::Multicall) => Answer::refused(Errno::Perm),
        Some(Hypercall::EventChannelOp) | None => Answer::refused(Errno::NoSys),
    }
}

#[inline(never)]
fn set_timer(world: &mut World<'_, impl PhysMem>, domain: &mut Domain, deadline: u64) -> Answer {
    domain.vcpu.timer_ns = (deadline != 0).then_some(deadline);
    world.next_timer = world.next_timer.min(domain.vcpu.timer_ns.unwrap_or(u64::MAX));
    // It may be over already, or before the end of the turn; also when this is one call of several.
    world.after.notify();
    Answer::DONE
}

#[inline(never)]
fn send_event(world: &mut World<'_, impl PhysMem>, domains: &[Domain], own: usize, port: u64) -> Answer {
    match event::send(&mut world.mem, domains, own, port) {
        Ok(notified) => {
            notify(world, notified);
            Answer::DONE
        }
        Err(errno) => Answer::refused(errno),
    }
}

/// Another domain has got an event, if one has: it may wake, and be due.
#[inline(always)]
fn notify<M>(world: &mut World<'_, M>, notified: Option<DomainId>) {
    if let Some(DomainId(domain)) = notified {
        world.stirred.put(usize::from(domain), true);
        world.after.notify();
    }
}

#[inline(never)]
fn manage_event_channels(
    world: &mut World<'_, impl PhysMem>,
    caller: &mut Caller<'_>,
    command: u64,
    arguments: [u64; 2],
) -> Answer {
    let Some(op) = EventChannelOp::from_raw(command) else {
        return Answer::refused(Errno::NoSys);
    };
    match event::operate(&mut world.mem, caller.domains, caller.own, op, arguments) {
        Ok(Done {
            value,
            detail,
            notified,
        }) => {
            notify(world, notified);
            Answer { value, detail }
        }
        Err(errno) => Answer::refused(errno),
    }
}

/// The interface's version, as `xen_version` returns it.
pub const VERSION: u64 = MAJOR << 16 | MINOR;

#[inline(always)]
fn version(world: &mut World<'_, impl PhysMem>, domain: &Domain, command: u64, buffer: u64) -> Answer {
    match XenVersion::from_raw(command) {
        Some(XenVersion::Version) => Answer {
            value: VERSION,
            detail: 0,
        },
        Some(XenVersion::ExtraVersion) => {
            Answer::of(misc::copy_out(world, domain, buffer, &abi::version::EXTRA_VERSION).map(|()| 0))
        }
        None => Answer::refused(Errno::NoSys),
    }
}

#[inline(never)]
fn sched_op(
    world: &mut World<'_, impl PhysMem>,
    domain: &Domain,
    command: u64,
    first: u64,
    second: u64,
) -> Outcome {
    match SchedOp::from_raw(command) {
        Some(SchedOp::Yield) => Outcome::Leave(Leave::Yield),
        Some(SchedOp::Block) => {
            let mask = effective_mask(second);
            if mask & !(WAKE_INPUT | WAKE_OUTPUT | WAKE_EVENT) != 0 {
                return Outcome::refused(Errno::Invalid);
            }
            if mask & WAKE_EVENT != 0 {
                event::unmask_upcall(&mut world.mem, domain.vcpu.set.shared_info());
            }
            match domain.conditions(&world.mem) {
                holds if holds & mask == 0 => Outcome::Leave(Leave::Block {
                    timeout_ns: first,
                    mask,
                }),
                // All of them, as after a wait.
                holds => Outcome::Return(Answer {
                    value: 0,
                    detail: holds,
                }),
            }
        }
        Some(SchedOp::Shutdown) => match ShutdownReason::from_raw(first) {
            Some(reason) => Outcome::Leave(Leave::Shutdown { reason, code: second }),
            None => Outcome::refused(Errno::Invalid),
        },
        None => Outcome::refused(Errno::NoSys),
    }
}

#[cfg(test)]
mod order;
#[cfg(test)]
mod tests;
