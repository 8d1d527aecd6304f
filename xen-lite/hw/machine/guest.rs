//! Entering and leaving guests.
use super::{Machine, RECORDER};
use crate::cpu::SegmentBases;
use crate::memory::DirectMap;
use crate::{crash, switcher};
use abi::hypercall::{Hypercall, SegmentBase};
use abi::layout::HYPERVISOR_SLOT;
use abi::reason::Reason;
use abi::sched::ShutdownReason;
use core::sync::atomic::Ordering;
use xen_lite::domain::End;
use xen_lite::hypercall::Outcome;
use xen_lite::platform::PhysMem;
use xen_lite::sched::turn::State;
use xen_lite::switcher::{Registers, slot_address};
use xen_lite::trap::frame::ReturnFrame;
use xen_lite::vcpu::VcpuSet;

/// How long a guest runs before others get their turn.
const SLICE_NS: u64 = 10_000_000;

impl Machine {
    /// Slot 256 names the boot set: no vCPU is loaded.
    pub(crate) fn show_idle_set(&mut self) {
        self.show_set(self.idle_set);
    }

    /// Lets slot 256 of the hypervisor's root name a set, and forgets every translation.
    pub(super) fn show_set(&mut self, set: VcpuSet) {
        self.world.mem.write(self.root, HYPERVISOR_SLOT, set.slot_entry());
        // SAFETY: the same root; only slot 256 differs, and it maps the same kinds of pages at the same addresses.
        unsafe { core::arch::asm!("mov cr3, {}", in(reg) self.root.address()) };
    }

    /// Takes the loaded vCPU off the CPU, keeping its state.
    pub(crate) fn unload(&mut self) {
        let Some(index) = self.loaded.take() else { return };
        if let Some(domain) = self.domains.get_mut(index) {
            let page = DirectMap::address(domain.vcpu.vector_state) as *mut u8;
            // SAFETY: the vCPU's own page.
            unsafe { self.fpu.save(page) };
            let SegmentBases { fs, gs } = SegmentBases::read();
            domain.vcpu.bases = [fs, gs];
        }
        self.show_set(self.idle_set);
    }

    pub(super) fn load(&mut self, index: usize) {
        if self.loaded == Some(index) {
            return;
        }
        self.unload();
        let Some(domain) = self.domains.get_mut(index) else {
            return;
        };
        RECORDER.store(&raw mut domain.recorder, Ordering::Relaxed);
        let (set, vector_state, [fs, gs]) = (domain.vcpu.set, domain.vcpu.vector_state, domain.vcpu.bases);
        // SAFETY: the page was saved to, or initialised when the domain was built.
        unsafe { self.fpu.load(DirectMap::address(vector_state) as *const u8) };
        SegmentBases { fs, gs }.load();
        self.loaded = Some(index);
        self.show_set(set);
    }

    /// Goes on with a live domain for a slice.
    pub(super) fn run(&mut self, index: usize) -> ! {
        self.load(index);
        self.clock.arm(SLICE_NS);
        self.resume_running()
    }

    /// Goes on with the loaded vCPU.
    pub(crate) fn resume_running(&mut self) -> ! {
        let registers = &mut self.running().vcpu.registers;
        let Registers {
            rip,
            cs,
            rflags,
            rsp,
            ss,
            ..
        } = *registers;
        match (ReturnFrame {
            rip,
            cs,
            rflags,
            rsp,
            ss,
        })
        .sanitised()
        {
            Ok(frame) => registers.rflags = frame.rflags,
            Err(reason) => {
                let death = crash::Death::new(reason).registers(registers);
                self.kill(death)
            }
        }
        let registers = &raw const self.running().vcpu.registers;
        // SAFETY: the set of the loaded vCPU is shown; its guest root is a validated L4 of its own.
        unsafe { switcher::resume(registers) }
    }

    /// The running guest takes a trap first; `registers` says where it stands.
    pub(super) fn inject(&mut self, vector: u8, error: u64) -> ! {
        let (world, domain) = self.world_and_running();
        domain.vcpu.registers.error = error;
        domain
            .vcpu
            .set
            .set_inject_slot(&mut world.mem, slot_address(vector));
        let registers = &raw const domain.vcpu.registers;
        // SAFETY: as for `resume_running`; the slot is one of the trap table's.
        unsafe { switcher::inject(registers) }
    }

    /// A hypercall that does not simply return.
    pub(crate) fn leave_hypercall(&mut self, outcome: Outcome) -> ! {
        let now = self.clock.now_ns();
        let domain = self.running();
        let registers = &mut domain.vcpu.registers;
        (registers.rax, registers.rdx) = (0, 0);
        (registers.rcx, registers.rsi, registers.rdi) = (0, 0, 0);
        (registers.r8, registers.r9, registers.r10, registers.r11) = (0, 0, 0, 0);
        match outcome {
            Outcome::Return { value, detail } => (registers.rax, registers.rdx) = (value, detail),
            Outcome::SetBase { which, base } => {
                let bases = SegmentBases::read();
                match which {
                    SegmentBase::Fs => SegmentBases { fs: base, ..bases }.load(),
                    SegmentBase::Gs => SegmentBases { gs: base, ..bases }.load(),
                }
                self.resume_running();
            }
            Outcome::Yield => {}
            Outcome::Block { timeout_ns, mask } => {
                let index = self.running_index();
                self.scheduler.set(index, State::blocked(now, timeout_ns, mask));
            }
            Outcome::Shutdown {
                reason: ShutdownReason::Crash,
                code,
            } => {
                self.kill(crash::Death::new(Reason::GuestPanic).code(code));
            }
            Outcome::Shutdown { reason, code } => {
                let index = self.running_index();
                self.end(index, End::Shutdown(reason, code));
            }
        }
        self.next_turn()
    }

    /// After a call that returns at once: what was written to the console goes out.
    pub(crate) fn after_console_io(&mut self, number: u64) {
        if number == Hypercall::ConsoleIo.raw() {
            let index = self.running_index();
            self.terminal.drain(&mut self.domains, index);
        }
    }
}
