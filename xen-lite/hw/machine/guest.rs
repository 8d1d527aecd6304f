//! Entering and leaving guests.
use super::{Loaded, Machine, RECORDER};
use crate::cpu::SegmentBases;
use crate::memory::DirectMap;
use crate::ports::LOOK_NS;
use crate::switcher;
use abi::layout::HYPERVISOR_SLOT;
use abi::reason::Reason;
use abi::sched::ShutdownReason;
use abi::time::TimeInfo;
use core::sync::atomic::Ordering;
use xen_lite::addr::Mfn;
use xen_lite::crash::death::{Death, Obituary};
use xen_lite::domain::End;
use xen_lite::event;
use xen_lite::guest_mem;
use xen_lite::hypercall::{Answer, Leave};
use xen_lite::platform::PhysMem;
use xen_lite::sched::turn::{State, Turn};
use xen_lite::switcher::{Registers, UPCALL_SLOT, slot_address};
use xen_lite::trap::frame::{ReturnFrame, guest_rflags};
use xen_lite::upcall::{self, AfterCall, Entry};
use xen_lite::vcpu::VcpuSet;

impl Machine {
    /// Slot 256 names the boot set: no vCPU is loaded.
    pub(crate) fn show_idle_set(&mut self) {
        self.show_set(self.idle_set);
    }

    /// Lets slot 256 of the hypervisor's root name a set, and forgets every translation.
    fn show_set(&mut self, set: VcpuSet) {
        show_set(&mut self.world.mem, self.root, set);
    }

    /// Takes the loaded vCPU off the CPU, keeping its state.
    pub(crate) fn unload(&mut self) {
        self.stop_running(self.clock.now_ns());
        if self.loaded != Loaded::NOBODY {
            self.save();
            self.show_set(self.idle_set);
        }
    }

    /// The state of the loaded vCPU, if there is one, goes where it is kept; its set is still shown.
    #[inline(always)]
    fn save(&mut self) {
        let Some(index) = self.loaded.index() else {
            return;
        };
        self.loaded = Loaded::NOBODY;
        if let Some(domain) = self.domains.get_mut(index) {
            let page = DirectMap::address(domain.vcpu.vector_state) as *mut u8;
            // SAFETY: the vCPU's own page.
            unsafe { self.fpu.save(page) };
            let SegmentBases { fs, gs } = SegmentBases::read();
            domain.vcpu.bases = [fs, gs];
        }
    }

    /// Goes on with a live domain for its slice, or until somebody's timer is over.
    pub(super) fn run(&mut self, turn: Turn) -> ! {
        let is_loaded = self.loaded == Loaded(turn.domain);
        if !is_loaded {
            self.save();
        }
        let Self { domains, world, .. } = self;
        let Some(domain) = domains.get_mut(turn.domain) else {
            crate::panic::bug(format_args!("the turn of a domain that is not there"))
        };
        if !is_loaded {
            RECORDER.store(&raw mut domain.recorder, Ordering::Relaxed);
            // SAFETY: the page was saved to, or initialised when the domain was built.
            unsafe {
                self.fpu
                    .load(DirectMap::address(domain.vcpu.vector_state) as *const u8)
            };
            let [fs, gs] = domain.vcpu.bases;
            SegmentBases { fs, gs }.load();
            self.loaded = Loaded(turn.domain);
            show_set(&mut world.mem, self.root, domain.vcpu.set);
        }
        let (now, tsc) = self.clock.now();
        let time = TimeInfo {
            version: domain.vcpu.time_version.wrapping_add(2),
            tsc_timestamp: tsc,
            system_time_ns: now,
            tsc_to_ns_mul: self.clock.tsc_scale(),
            virtual_time_ns: domain.vcpu.virtual_time_ns,
            wall_clock_s: self.wall_clock_s,
        };
        domain.vcpu.time_version = time.version;
        domain.vcpu.set.set_time(&mut world.mem, &time);
        let own = domain.vcpu.timer_ns;
        // One that was called off may have left an earlier time behind: one interrupt too many, and it is forgotten.
        let others = match self.world.next_timer {
            next if own == Some(next) => self.next_timer_but_of(turn.domain),
            next => next,
        };
        let mut slice = turn.slice_before(now, own, Some(others));
        if self.has_to_send() {
            slice = slice.min(LOOK_NS);
        }
        self.running_since = Some(now);
        self.clock.arm(now, slice);
        self.resume_running()
    }

    /// The earliest timer of all others.
    #[inline(never)]
    fn next_timer_but_of(&self, index: usize) -> u64 {
        let others = self.domains.iter().enumerate().filter(|other| other.0 != index);
        others
            .filter_map(|(_, domain)| domain.vcpu.timer_ns)
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Goes on with the loaded vCPU: at its upcall if one is due.
    pub(crate) fn resume_running(&mut self) -> ! {
        let (world, domain) = self.world_and_running();
        match upcall::enter(world, domain) {
            Entry::AsItIs => {}
            Entry::Bounce => self.inject_slot(UPCALL_SLOT, 0),
            Entry::Kill(reason, stack) => {
                let registers = self.running().vcpu.registers;
                let death = Death::new(reason)
                    .walked(stack, guest_mem::Access::Write)
                    .registers(&registers);
                self.kill(death)
            }
        }
        let registers = &mut domain.vcpu.registers;
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
                let death = Death::new(reason).registers(registers);
                self.kill(death)
            }
        }
        let registers = &raw const *registers;
        // SAFETY: the set of the loaded vCPU is shown; its guest root is a validated L4 of its own.
        unsafe { switcher::resume(registers) }
    }

    /// The running guest takes a trap first; `registers` says where it stands.
    pub(super) fn inject(&mut self, vector: u8, error: u64) -> ! {
        let (world, domain) = self.world_and_running();
        if domain.vcpu.traps.masks_events(vector) {
            event::mask_upcall(&mut world.mem, domain.vcpu.set.shared_info());
        }
        self.inject_slot(slot_address(vector), error)
    }

    fn inject_slot(&mut self, slot: u64, error: u64) -> ! {
        let (world, domain) = self.world_and_running();
        domain.vcpu.registers.error = error;
        domain.vcpu.registers.rflags = guest_rflags(domain.vcpu.registers.rflags);
        domain.vcpu.set.set_inject_slot(&mut world.mem, slot);
        let registers = &raw const domain.vcpu.registers;
        // SAFETY: as for `resume_running`; the slot is one of the read-only page's.
        unsafe { switcher::inject(registers) }
    }

    /// A hypercall that returns, but not at once: there is more to do first.
    #[inline(never)]
    pub(crate) fn finish_hypercall(&mut self, Answer { value, detail }: Answer) -> ! {
        self.answer(value, detail);
        match self.finish_call() {
            Next::Caller => self.resume_running(),
            Next::Turn => self.next_turn(),
        }
    }

    /// A hypercall that does not return now, or not at all.
    #[inline(never)]
    pub(crate) fn leave_hypercall(&mut self, leave: Leave) -> ! {
        self.answer(0, 0);
        match leave {
            Leave::Yield => self.scheduler.yield_turn(),
            Leave::Block { timeout_ns, mask } => {
                let (index, now) = (self.running_index(), self.clock.now_ns());
                self.scheduler.set(index, State::blocked(now, timeout_ns, mask));
            }
            Leave::Shutdown {
                reason: ShutdownReason::Crash,
                code,
            } => {
                let registers = &self.running().vcpu.registers;
                let death = Death::new(Reason::GuestPanic).code(code).caller(registers);
                self.kill(death)
            }
            Leave::Shutdown { reason, code } => {
                let index = self.running_index();
                self.end(index, End::Shutdown(reason, code), Obituary::Shutdown);
            }
        }
        self.next_turn()
    }

    /// What the caller of a hypercall finds in its registers when it goes on.
    fn answer(&mut self, value: u64, detail: u64) {
        let registers = &mut self.running().vcpu.registers;
        (registers.rax, registers.rdx) = (value, detail);
        (registers.rcx, registers.rsi, registers.rdi) = (0, 0, 0);
        (registers.r8, registers.r9, registers.r10, registers.r11) = (0, 0, 0, 0);
    }

    /// How a hypercall's caller goes on, if no more is left to do than a segment base to be loaded.
    #[inline(always)]
    pub(crate) fn way_back(&mut self) -> WayBack {
        if !self.world.after.is_nothing() {
            self.load_bases();
            if !self.world.after.is_nothing() {
                return WayBack::Long;
            }
        }
        let (world, domain) = self.world_and_running();
        if domain.memory.has_leaving_tables() {
            return WayBack::Long;
        }
        match upcall::after_call(&mut world.mem, domain) {
            AfterCall::AsItIs => WayBack::AtOnce,
            AfterCall::Bounce => WayBack::Upcall,
            AfterCall::InRegion => WayBack::Long,
        }
    }

    /// Loads the segment bases that a call has set.
    #[inline(never)]
    fn load_bases(&mut self) {
        let bases = self.world.after.take_bases();
        if bases != [None; 2] {
            let now = SegmentBases::read();
            let [fs, gs] = bases;
            SegmentBases {
                fs: fs.unwrap_or(now.fs),
                gs: gs.unwrap_or(now.gs),
            }
            .load();
        }
    }

    /// What a call has left to do before its caller goes on.
    fn finish_call(&mut self) -> Next {
        self.load_bases();
        let written = self.world.after.take_written();
        let notified = self.world.after.take_notified();
        if written {
            self.speak();
        }
        if notified || self.running().memory.has_leaving_tables() {
            Next::Turn
        } else {
            Next::Caller
        }
    }
}

/// Lets slot 256 of the hypervisor's root name a set, and forgets every translation.
#[inline(always)]
fn show_set(mem: &mut impl PhysMem, root: Mfn, set: VcpuSet) {
    mem.write(root, HYPERVISOR_SLOT, set.slot_entry());
    // SAFETY: the same root; only slot 256 differs, and it maps the same kinds of pages at the same addresses.
    unsafe { core::arch::asm!("mov cr3, {}", in(reg) root.address()) };
}

/// How a hypercall's caller goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WayBack {
    /// Behind the call.
    AtOnce,
    /// The same, but it takes its upcall first.
    Upcall,
    /// By [`Machine::finish_hypercall`]: there is more to do.
    Long,
}

/// Who goes on after a hypercall.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Its caller.
    Caller,
    /// Whose turn it is.
    Turn,
}
