//! Why a guest was killed, as it was found; the record is made of it when there is room to write it.
use super::Delivery;
use super::backtrace::Arrival;
use crate::domain::build::BuildError;
use crate::guest_mem::Access;
use crate::switcher::Registers;
use crate::trap::verdict::Fault;
use abi::reason::Reason;

/// What is to be said of an end.
#[allow(
    clippy::large_enum_variant,
    reason = "one per domain, and there is no heap to put it on"
)]
#[derive(Clone, Copy, Debug)]
pub enum Obituary {
    /// It has ended itself: the line for machines.
    Shutdown,
    /// It was killed.
    Killed(Death),
    /// It could not be built.
    NotBuilt(BuildError),
}

/// Why a guest is killed, with what is known of it: a [`super::CrashRecord`] to be.
#[derive(Clone, Copy, Debug)]
pub struct Death {
    /// Why.
    pub reason: Reason,
    /// The fault that ended it.
    pub fault: Option<Fault>,
    /// What was being delivered.
    pub delivery: Option<Delivery>,
    /// An entry point that could not be fetched.
    pub entry_point: Option<u64>,
    /// How it was reached.
    pub arrival: Option<Arrival>,
    /// What it said itself.
    pub code: Option<u64>,
    /// The address whose walk is shown, and what was wanted of it.
    pub walked: Option<(u64, Access)>,
    /// The guest as it was interrupted.
    pub registers: Option<super::Registers>,
}

impl Death {
    /// Nothing more is known than why.
    #[must_use]
    pub const fn new(reason: Reason) -> Self {
        Self {
            reason,
            fault: None,
            delivery: None,
            entry_point: None,
            arrival: None,
            code: None,
            walked: None,
            registers: None,
        }
    }

    /// By this fault.
    #[must_use]
    pub const fn fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    /// On the way to a handler.
    #[must_use]
    pub const fn delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = Some(delivery);
        self
    }

    /// An entry point that could not be fetched, and how it was reached.
    #[must_use]
    pub const fn entry_point(mut self, address: u64, arrival: Arrival) -> Self {
        self.entry_point = Some(address);
        self.arrival = Some(arrival);
        self
    }

    /// The record shows the walk of this address.
    #[must_use]
    pub const fn walked(mut self, address: u64, access: Access) -> Self {
        self.walked = Some((address, access));
        self
    }

    /// The guest's own code.
    #[must_use]
    pub const fn code(mut self, code: u64) -> Self {
        self.code = Some(code);
        self
    }

    /// The guest as it was interrupted, whole.
    #[must_use]
    pub fn registers(mut self, registers: &Registers) -> Self {
        let Registers {
            rip,
            cs,
            rflags,
            rsp,
            ss,
            ..
        } = *registers;
        self.registers = Some(interrupted(registers, [rip, cs, rflags, rsp, ss].map(Some)));
        self
    }

    /// The guest as it made a hypercall: those registers are gone that a call changes.
    #[must_use]
    pub fn caller(self, registers: &Registers) -> Self {
        let mut death = self.registers(registers);
        if let Some(super::Registers { general, .. }) = &mut death.registers {
            let [rax, _, rcx, rdx, rsi, rdi, _, r8, r9, r10, r11, ..] = general;
            for register in [rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11] {
                *register = None;
            }
        }
        death
    }
}

/// General registers from `saved`, the rest from the interrupted frame as far as it was found.
#[must_use]
pub fn interrupted(saved: &Registers, [rip, cs, rflags, rsp, ss]: [Option<u64>; 5]) -> super::Registers {
    let r = saved;
    let general = [
        r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15,
    ];
    super::Registers {
        general: general.map(Some),
        rip,
        cs,
        rflags,
        rsp,
        ss,
    }
}
