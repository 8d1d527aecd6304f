//! Faults that are a guest's end, or its own to handle.
use super::{Machine, machine};
use crate::{crash, entry, panic, switcher};
use abi::reason::Reason;
use abi::trap::{has_error_code, vector};
use xen_lite::crash::backtrace::Arrival;
use xen_lite::crash::death::{Death, Obituary};
use xen_lite::domain::End;
use xen_lite::guest_mem;
use xen_lite::recorder::Event;
use xen_lite::switcher::{Registers, Slot, slot_vector};
use xen_lite::trap::frame::{DirectTrap, direct_trap, rflags};
use xen_lite::trap::table::Handler;
use xen_lite::trap::verdict::{self, EntryPoint, FetchFault, FetchVerdict, Smep, Verdict, Window};

impl Machine {
    /// Ends the running domain with a record. A domain may also be found dead when its turn comes, and so may the next
    /// one: what led here is abandoned, or the stack would grow with each of them.
    #[inline(never)]
    pub(crate) fn kill(&mut self, death: Death) -> ! {
        let index = self.running_index();
        self.end(index, End::Killed(death.reason), Obituary::Killed(death));
        entry::start_over()
    }

    /// A delivery to ring 1 found the stack pointer in the slot.
    pub(crate) fn kill_for_stack(&mut self, slot: Slot) -> ! {
        let domain = self.running();
        let registers = domain.vcpu.registers;
        let death = Death::new(Reason::KernelStackForbidden).registers(&registers);
        let death = match slot.vector() {
            Some(vector) => {
                domain.recorder.add(Event::Trap(vector));
                let (error, stack) = (Some(registers.error), Some(registers.rsp));
                death.delivery(crash::delivery(domain, vector, error, stack))
            }
            None => death,
        };
        self.kill(death)
    }

    /// `syscall` came with no entry registered: a #UD at the instruction. Or ring 1 used our gate: #GP, as for any other.
    pub(crate) fn missing_syscall(&mut self) -> ! {
        let (world, domain) = self.world_and_running();
        let registers = &mut domain.vcpu.registers;
        if registers.rip == switcher::text_address(switcher::Label::NoSyscallEnd) {
            registers.rip = registers.rcx.wrapping_sub(2);
            registers.rflags = xen_lite::trap::frame::guest_rflags(registers.r11);
            registers.rsp = domain.vcpu.set.user_rsp(&world.mem);
            registers.cs = u64::from(abi::selector::USER_CS);
            registers.ss = u64::from(abi::selector::USER_SS);
            self.invalid_opcode()
        }
        registers.rip = registers.rip.wrapping_sub(2);
        self.inject(
            vector::GP,
            u64::from(xen_lite::switcher::MISSING_SYSCALL_VECTOR) * 8 + 2,
        )
    }

    /// A #UD for the running guest, whichever way it has asked for it.
    fn invalid_opcode(&mut self) -> ! {
        let (world, domain) = self.world_and_running();
        let Handler::Direct { address, .. } = domain.vcpu.traps.handler(vector::UD) else {
            self.inject(vector::UD, 0)
        };
        let stack = domain.vcpu.kernel_stack;
        let DirectTrap { words, handler } = direct_trap(domain.vcpu.registers.frame(), address, stack);
        let frame = words.as_flattened();
        match guest_mem::copy_to_guest(&world.frames, &mut world.mem, &domain.memory, handler.rsp, frame) {
            Ok(()) => {
                domain.vcpu.registers.set_frame(handler);
                self.resume_running()
            }
            Err(fault) => {
                let registers = domain.vcpu.registers;
                let delivery = crash::delivery(domain, vector::UD, None, Some(stack));
                let death = Death::new(fault.as_stack())
                    .delivery(delivery)
                    .walked(handler.rsp, guest_mem::Access::Write)
                    .registers(&registers);
                self.kill(death)
            }
        }
    }

    /// A page fault in ring 1 with CR2 = rip.
    pub(crate) fn fetch_fault(&mut self) -> ! {
        let smep = if self.features.smep { Smep::On } else { Smep::Off };
        let (world, domain) = self.world_and_running();
        let registers = domain.vcpu.registers;
        let fault = FetchFault {
            cpl: registers.cpl() as u8,
            cr2: registers.rip,
            rip: registers.rip,
            error_code: registers.error,
        };
        let arrival = match domain.vcpu.traps.vector_at(registers.rip) {
            Some(vector) => match domain.vcpu.traps.handler(vector) {
                Handler::Direct { .. } if !has_error_code(vector) => Arrival::WithoutErrorCode,
                _ => Arrival::WithErrorCode,
            },
            None if domain.vcpu.syscall_entry == Some(registers.rip) => Arrival::Syscall,
            None => Arrival::WithErrorCode,
        };
        let upcall = domain.vcpu.upcall.map_or(0, |upcall| upcall.address);
        let callbacks = [domain.vcpu.syscall_entry.unwrap_or(0), upcall];
        let registered = EntryPoint::at(registers.rip, &domain.vcpu.traps, &callbacks);
        let fresh = match domain.memory.root() {
            Some(root) => {
                let walk = guest_mem::walk(&world.frames, &world.mem, root, registers.rip);
                let mut entries = [0; 4];
                for (entry, step) in entries.iter_mut().zip(walk.steps()) {
                    *entry = step.entry;
                }
                verdict::Fetch::judge(&entries, smep)
            }
            None => panic::bug(format_args!("a domain runs without a root")),
        };
        match verdict::fetch_fault(fault, registered, fresh) {
            FetchVerdict::Ordinary => {
                domain.vcpu.set.set_cr2(&mut world.mem, registers.rip);
                self.inject(vector::PF, registers.error)
            }
            FetchVerdict::FlushAndResume => self.resume_running(),
            FetchVerdict::Kill(reason) => {
                let fault = verdict::Fault {
                    vector: vector::PF,
                    error_code: registers.error,
                    cr2: registers.rip,
                };
                let death = Death::new(reason)
                    .fault(fault)
                    .entry_point(registers.rip, arrival)
                    .walked(registers.rip, guest_mem::Access::Fetch(guest_mem::Smep::On))
                    .registers(&registers);
                let death = match registered {
                    Some(EntryPoint::Handler(vector)) => {
                        death.delivery(crash::delivery(domain, vector, None, None))
                    }
                    _ => death,
                };
                self.kill(death)
            }
        }
    }

    /// A #DF that interrupted the guest: the CPU could not deliver a direct trap.
    pub(crate) fn double_fault(&mut self) -> ! {
        let domain = self.running();
        let registers = domain.vcpu.registers;
        let stack = if registers.cpl() == 1 {
            registers.rsp
        } else {
            domain.vcpu.kernel_stack
        };
        let fault = verdict::Fault {
            vector: vector::DF,
            error_code: registers.error,
            cr2: 0,
        };
        let death = Death::new(verdict::double_fault(stack))
            .fault(fault)
            .walked(stack.wrapping_sub(8), guest_mem::Access::Write)
            .registers(&registers);
        self.kill(death)
    }
}

/// A fault with CPL 0. In one of the switcher's windows it is the guest's; anywhere else it is ours. Ring 0 has never the VM
/// flag: a frame that has is a guest's, and its selectors are no selectors (QEMU's TCG lets guests into virtual-8086 mode).
pub(crate) fn ring0_fault(saved: &Registers, cr3: u64, cr2: u64) -> ! {
    let raw = saved.vector;
    let nested_vector = slot_vector(raw).unwrap_or(raw as u8);
    let machine = machine();
    if saved.rflags & rflags::VIRTUAL_8086 != 0 && machine.loaded.index().is_some() {
        let fault = verdict::Fault {
            vector: nested_vector,
            error_code: saved.error,
            cr2,
        };
        let death = Death::new(Reason::VirtualMode).fault(fault).registers(saved);
        machine.kill(death)
    }
    let Some(window) = entry::window_at(saved.rip) else {
        panic::hypervisor_fault(saved, nested_vector, cr3, cr2)
    };
    if machine.loaded.index().is_none() {
        panic::hypervisor_fault(saved, nested_vector, cr3, cr2)
    }
    let domain = machine.running();
    // The bounce keeps the slot in rcx and the stack's address in rdx, until it has loaded the guest's own again.
    let slot = match window {
        Window::BounceStore => saved.rcx,
        Window::BounceIret | Window::ExitIret => 0,
    };
    let delivering = slot_vector(slot);
    let entry = match (window, delivering) {
        (Window::BounceStore, Some(vector)) => domain.vcpu.traps.bounce_entry(vector),
        // The frame that iretq refused lies where the fault's stack pointer was: rip, cs, ...
        _ => crash::refused_frame(domain, saved.rsp),
    };
    let nested = verdict::Fault {
        vector: nested_vector,
        error_code: saved.error,
        cr2,
    };
    match verdict::fault_in_delivery(window, nested, entry) {
        Verdict::Kill(reason) => {
            let death = crash::in_delivery(machine, reason, window, saved, nested, delivering);
            machine.kill(death)
        }
        Verdict::Bug => panic::hypervisor_fault(saved, nested_vector, cr3, cr2),
    }
}
