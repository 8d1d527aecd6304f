//! Entering a guest at its event upcall.
use crate::domain::Domain;
use crate::event;
use crate::guest_mem::copy_to_guest;
use crate::hypercall::World;
use crate::platform::PhysMem;
use crate::switcher::ENTRY_FLAGS;
use abi::reason::Reason;
use abi::selector::{KERNEL_CS, KERNEL_SS};

/// A registered upcall.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Upcall {
    /// Where it begins.
    pub address: u64,
    /// From its first instruction on an upcall needs no new frame: one for the return lies at rsp.
    pub region_start: u64,
    /// The end of that region.
    pub region_end: u64,
}

/// How the guest goes on.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// Where its registers say.
    AsItIs,
    /// It takes the upcall first, with a new frame.
    Bounce,
    /// An upcall was due inside the region, and the stack cannot take the one word more at this address.
    Kill(Reason, u64),
}

/// How a guest goes on that has made a hypercall of which nothing is left to be done.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AfterCall {
    /// Behind the call.
    AsItIs,
    /// It takes the upcall first, with a new frame; events are masked.
    Bounce,
    /// It takes the upcall first, but was inside the region: [`enter`] decides how.
    InRegion,
}

/// [`enter`] for a guest that has made a hypercall: it was in ring 1, and its frame is the call's.
#[inline(always)]
pub fn after_call(mem: &mut impl PhysMem, domain: &Domain) -> AfterCall {
    let Some(upcall) = domain.vcpu.upcall else {
        return AfterCall::AsItIs;
    };
    let shared = domain.vcpu.set.shared_info();
    if !event::is_due(mem, shared) {
        return AfterCall::AsItIs;
    }
    if (upcall.region_start..upcall.region_end).contains(&domain.vcpu.registers.rip) {
        return AfterCall::InRegion;
    }
    event::mask_upcall(mem, shared);
    AfterCall::Bounce
}

/// Decides how a guest goes on, and prepares it. With [`Entry::AsItIs`] an upcall may have been entered on the frame
/// that lay there already: the registers say so.
pub fn enter(world: &mut World<'_, impl PhysMem>, domain: &mut Domain) -> Entry {
    let shared = domain.vcpu.set.shared_info();
    let Some(upcall) = domain.vcpu.upcall else {
        return Entry::AsItIs;
    };
    if !event::is_due(&world.mem, shared) {
        return Entry::AsItIs;
    }
    event::mask_upcall(&mut world.mem, shared);
    let registers = &domain.vcpu.registers;
    let in_region = (upcall.region_start..upcall.region_end).contains(&registers.rip) && registers.cpl() == 1;
    if !in_region {
        return Entry::Bounce;
    }
    // [rip, cs, rflags, rsp, ss] of the return lies at rsp; the word below it makes it a frame as any other. It says how
    // far the return had come: by it the upcall finds the registers that a return keeps elsewhere meanwhile.
    let rsp = registers.rsp.wrapping_sub(8);
    let interrupted = registers.rip.to_le_bytes();
    match copy_to_guest(&world.frames, &mut world.mem, &domain.memory, rsp, &interrupted) {
        Ok(()) => {
            domain.vcpu.registers.rsp = rsp;
            domain.vcpu.registers.rip = upcall.address;
            domain.vcpu.registers.rflags = ENTRY_FLAGS;
            // The return may run on segments of the guest's own, or on the null SS of a direct trap.
            domain.vcpu.registers.cs = u64::from(KERNEL_CS);
            domain.vcpu.registers.ss = u64::from(KERNEL_SS);
            Entry::AsItIs
        }
        Err(fault) => Entry::Kill(fault.as_stack(), rsp),
    }
}

#[cfg(test)]
mod tests;
