//! Domains: our record of a guest, its life from the building of its memory to the taking back of it.
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

pub mod build;
mod console;
pub mod layout;
pub mod start_info;

use crate::addr::{DomainId, Mfn};
use crate::boot_image::DomainSpec;
use crate::console::command::{Flags, Row};
use crate::crash::Identity;
use crate::crash::death::Obituary;
use crate::crash::pace::Pace;
use crate::event::{self, Ports};
use crate::guest_mem::LastPage;
use crate::paging::{DomainMemory, Teardown};
use crate::platform::PhysMem;
use crate::recorder::Recorder;
use crate::sched::restart::Ended;
use crate::sched::turn::{Scheduler, State};
use crate::switcher::Registers;
use crate::trap::table::TrapTable;
use crate::vcpu::{Vcpu, VcpuSet};
use abi::reason::Reason;
use abi::sched::{ShutdownReason, WAKE_EVENT, WAKE_INPUT, WAKE_OUTPUT};
use build::Builder;
pub use console::{Console, INPUT_BYTES, OUTPUT_BYTES, Until};

/// How an incarnation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// It was killed.
    Killed(Reason),
    /// It ended itself, with this code.
    Shutdown(ShutdownReason, u64),
}

impl End {
    /// What the restart policy asks.
    #[must_use]
    pub const fn kind(self) -> Ended {
        match self {
            Self::Killed(Reason::Destroyed) => Ended::Destroyed,
            Self::Killed(_) | Self::Shutdown(ShutdownReason::Crash, _) => Ended::Killed,
            Self::Shutdown(ShutdownReason::Reboot, _) => Ended::Reboot,
            Self::Shutdown(ShutdownReason::Poweroff, _) => Ended::PowerOff,
        }
    }
}

/// What follows when a domain has been taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Next {
    /// What its restart policy says.
    #[default]
    Policy,
    /// Nothing: a person has destroyed it.
    Nothing,
    /// It starts anew at once: a person has asked for it.
    Restart,
}

/// Where a domain is in its life. Building and dying go in bounded steps, each a turn of the domain's own.
#[allow(
    clippy::large_enum_variant,
    reason = "one per domain, and there is no heap to put the plan on"
)]
pub enum Stage {
    /// Its memory is being filled.
    Building(Builder),
    /// It runs, or waits.
    Live,
    /// It is over, which is yet to be told: after its last words, as soon as the ports have room. Until then it is kept as
    /// it was, for the record shows its page tables.
    Ending(End, Obituary),
    /// Its memory is being taken back.
    Dying(Teardown, End),
    /// It is over.
    Ended(End),
}

/// One domain.
pub struct Domain {
    /// Its number.
    pub id: DomainId,
    /// What the manifest says of it.
    pub config: DomainSpec<'static>,
    /// What it owns.
    pub memory: DomainMemory,
    /// Its processor.
    pub vcpu: Vcpu,
    /// Its console.
    pub console: Console,
    /// Where it is in its life.
    pub stage: Stage,
    /// What follows when this incarnation is over.
    pub next: Next,
    /// Its event channels.
    pub ports: Ports,
    /// How often it has been restarted.
    pub incarnation: u32,
    /// Where its last list of one operation lay.
    pub last_page: LastPage,
    /// Its last entries into the hypervisor.
    pub recorder: Recorder,
    /// Lines that it has written to its console: a witness's signs of life.
    pub lines: u64,
    /// Which of its ends are explained.
    pub explanations: Pace,
}

/// The hypervisor's heap gives out powers of two.
const _: () = assert!(size_of::<Domain>() <= 16 * 1024);

impl Domain {
    /// A domain that is about to be built for the first time.
    #[must_use]
    pub fn new(id: DomainId, config: DomainSpec<'static>, set: VcpuSet, vector_state: Mfn) -> Self {
        Self {
            id,
            config,
            memory: DomainMemory::new(id, set.slot_entry()),
            vcpu: Vcpu {
                registers: Registers::default(),
                registers_end: 0,
                set,
                vector_state,
                bases: [0; 2],
                traps: TrapTable::EMPTY,
                syscall_entry: None,
                kernel_stack: 0,
                upcall: None,
                timer_ns: None,
                virtual_time_ns: 0,
                time_version: 0,
            },
            console: Console::new(),
            stage: Stage::Building(Builder::new()),
            next: Next::Policy,
            ports: Ports::new(),
            incarnation: 0,
            last_page: LastPage::NONE,
            recorder: Recorder::new(),
            lines: 0,
            explanations: Pace::new(),
        }
    }

    /// The wake conditions that hold.
    #[must_use]
    pub fn conditions(&self, mem: &impl PhysMem) -> u64 {
        let event = if event::is_pending(mem, self.vcpu.set.shared_info()) {
            WAKE_EVENT
        } else {
            0
        };
        let input = if self.console.input.is_empty() {
            0
        } else {
            WAKE_INPUT
        };
        let output = if self.console.output.room() == 0 {
            0
        } else {
            WAKE_OUTPUT
        };
        input | output | event
    }

    /// Ends a wait: the guest learns which conditions hold.
    pub fn wake(&mut self, mem: &impl PhysMem) {
        self.vcpu.registers.rax = 0;
        self.vcpu.registers.rdx = self.conditions(mem);
    }

    /// Who it is, in records.
    #[must_use]
    pub const fn identity(&self) -> Identity<'static> {
        Identity {
            domain: self.id.0,
            name: self.config.name,
            incarnation: self.incarnation,
        }
    }

    /// Its row in the table of domains; the scheduler knows its state.
    #[must_use]
    pub fn row(&self, scheduler: &Scheduler, index: usize) -> Row<'static> {
        let ended = match self.stage {
            Stage::Ended(end) => Some(end),
            Stage::Building(_) | Stage::Live | Stage::Ending(..) | Stage::Dying(..) => None,
        };
        let (state, is_paused) = (scheduler.state(index), scheduler.is_paused(index));
        let state = Flags {
            running: state == State::Runnable && !is_paused,
            blocked: matches!(state, State::Blocked { .. }),
            paused: is_paused,
            shut_down: matches!(ended, Some(End::Shutdown(..))),
            crashed: matches!(ended, Some(End::Killed(_))),
            dying: matches!(self.stage, Stage::Ending(..) | Stage::Dying(..)),
        };
        Row {
            name: self.config.name,
            id: self.id.0,
            frames: self.config.memory_frames,
            state,
            time_ns: self.vcpu.virtual_time_ns,
        }
    }

    /// Whether it runs, or waits.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Live)
    }

    /// Whether it is over.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended(_))
    }
}

#[cfg(test)]
mod tests;
