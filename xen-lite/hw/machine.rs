//! The machine while guests run: whose turn it is, entering and leaving guests, their ends.
//!
//! One CPU, no nesting: every entry from a guest starts at the top of the hypervisor's stack and ends in a guest, in a
//! turn of another domain's, or in idling. So there is one [`Machine`], and whoever was entered has it alone.
use crate::clock::Clock;
use crate::cpu::{Features, SegmentBases};
use crate::fpu::Fpu;
use crate::memory::DirectMap;
use crate::terminal::Terminal;
use crate::{crash, entry, power, report, switcher};
use abi::hypercall::{Hypercall, SegmentBase};
use abi::layout::HYPERVISOR_SLOT;
use abi::reason::Reason;
use abi::sched::ShutdownReason;
use abi::start_info::flags::CONSOLE;
use abi::trap::vector;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicPtr, Ordering};
use xen_lite::addr::Mfn;
use xen_lite::boot_image::{BootImage, DomainSpec};
use xen_lite::domain::build::{self, Build};
use xen_lite::domain::{Domain, End, Stage};
use xen_lite::guest_mem;
use xen_lite::hypercall::{Outcome, World};
use xen_lite::paging::{self, Progress, Teardown, TeardownProgress};
use xen_lite::platform::PhysMem;
use xen_lite::record::Record;
use xen_lite::recorder::Recorder;
use xen_lite::sched::restart::{Restart, restart};
use xen_lite::sched::turn::{Scheduler, State, Turn, Work};
use xen_lite::switcher::{Registers, slot_address, slot_vector};
use xen_lite::trap::verdict::{self, EntryPoint, FetchFault, FetchVerdict, Smep, Verdict, Window};
use xen_lite::vcpu::VcpuSet;

/// How long a guest runs before others get their turn.
const SLICE_NS: u64 = 10_000_000;
/// How often the console is looked at while everybody waits.
const IDLE_POLL_NS: u64 = 2_000_000;
/// Steps of building or teardown in one turn: each is a page or a table.
const STEPS_PER_TURN: u32 = 64;

/// Everything.
pub(crate) struct Machine {
    pub(crate) world: World<'static, DirectMap>,
    pub(crate) domains: Vec<Domain>,
    pub(crate) image: BootImage<'static>,
    pub(crate) modules: Vec<&'static [u8]>,
    pub(crate) clock: Clock,
    pub(crate) features: Features,
    pub(crate) fpu: Fpu,
    pub(crate) terminal: Terminal,
    /// The hypervisor's root table.
    pub(crate) root: Mfn,
    /// What slot 256 names while no vCPU is loaded.
    pub(crate) idle_set: VcpuSet,
    /// The domain whose vCPU is loaded.
    pub(crate) loaded: Option<usize>,
    pub(crate) scheduler: Scheduler,
    /// Ends so far, restarts included.
    pub(crate) ends: Ends,
    /// What `start_info.flags` says of the machine.
    pub(crate) start_flags: u64,
    pub(crate) cpu_test: Option<crate::cpu_test::CpuTest>,
    /// Lines that each witness had written when the last of the others ended.
    pub(crate) witness_mark: Option<Vec<u64>>,
}

/// How incarnations have ended.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ends {
    pub(crate) killed: u64,
    pub(crate) shut_down: u64,
}

struct Cell(UnsafeCell<MaybeUninit<Machine>>);
// SAFETY: one CPU, and interrupts are off whenever Rust runs (but for the idle `hlt`, whose handler does not come here).
unsafe impl Sync for Cell {}
static MACHINE: Cell = Cell(UnsafeCell::new(MaybeUninit::uninit()));

/// Puts the machine in its place.
///
/// # Safety
/// Once, at boot, before the first guest.
pub(crate) unsafe fn install(machine: Machine) -> &'static mut Machine {
    // SAFETY: nobody has a reference yet.
    let place = unsafe { &mut *MACHINE.0.get() };
    place.write(machine)
}

/// The machine, for the one who was entered.
#[inline]
pub(crate) fn machine() -> &'static mut Machine {
    // SAFETY: entries from guests happen after `install`, and every earlier user of the reference is gone: its
    // stack was abandoned when the guest was entered.
    let place = unsafe { &mut *MACHINE.0.get() };
    // SAFETY: as above.
    unsafe { place.assume_init_mut() }
}

/// The loaded vCPU's flight recorder: where a hypercall notes itself without looking for its domain.
static RECORDER: AtomicPtr<Recorder> = AtomicPtr::new(core::ptr::null_mut());

/// The flight recorder of the domain that was entered from.
#[inline]
pub(crate) fn running_recorder() -> &'static mut Recorder {
    // SAFETY: set when the vCPU was loaded, to a field of a domain that never moves; a hypercall comes from no other, and
    // nobody else uses it while that is being noted.
    unsafe { &mut *RECORDER.load(Ordering::Relaxed) }
}

impl Machine {
    fn running_index(&self) -> usize {
        self.loaded.unwrap_or(0)
    }

    /// The domain that was entered from.
    #[inline]
    pub(crate) fn running(&mut self) -> &mut Domain {
        let index = self.running_index();
        match self.domains.get_mut(index) {
            Some(domain) => domain,
            None => crash::bug(format_args!("no domain is loaded")),
        }
    }

    /// The same, with the world beside it.
    pub(crate) fn world_and_running(&mut self) -> (&mut World<'static, DirectMap>, &mut Domain) {
        let index = self.running_index();
        match self.domains.get_mut(index) {
            Some(domain) => (&mut self.world, domain),
            None => crash::bug(format_args!("no domain is loaded")),
        }
    }

    // ---------------------------------------------------------------------------------------- entering and leaving

    /// Slot 256 names the boot set: no vCPU is loaded.
    pub(crate) fn show_idle_set(&mut self) {
        self.show_set(self.idle_set);
    }

    /// Lets slot 256 of the hypervisor's root name a set, and forgets every translation.
    fn show_set(&mut self, set: VcpuSet) {
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

    fn load(&mut self, index: usize) {
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
    fn run(&mut self, index: usize) -> ! {
        self.load(index);
        self.clock.arm(SLICE_NS);
        self.resume_running()
    }

    /// Goes on with the loaded vCPU.
    pub(crate) fn resume_running(&mut self) -> ! {
        let registers = &raw const self.running().vcpu.registers;
        // SAFETY: the set of the loaded vCPU is shown; its guest root is a validated L4 of its own.
        unsafe { switcher::resume(registers) }
    }

    /// The running guest takes a trap first; `registers` says where it stands.
    fn inject(&mut self, vector: u8, error: u64) -> ! {
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

    // ------------------------------------------------------------------------------------------------------- turns

    /// The timer: others get their turn.
    pub(crate) fn timer(&mut self) -> ! {
        self.clock.end_of_interrupt();
        self.next_turn()
    }

    /// Gives turns until one of them is a guest's run.
    pub(crate) fn next_turn(&mut self) -> ! {
        loop {
            self.terminal
                .poll(&mut self.domains, self.image.console_domain() as usize);
            let now = self.clock.now_ns();
            for (index, domain) in self.domains.iter_mut().enumerate() {
                if self.scheduler.wake(index, domain.conditions()) {
                    domain.wake();
                }
            }
            self.scheduler.expire(now, |index| {
                if let Some(domain) = self.domains.get_mut(index) {
                    domain.wake();
                }
            });
            self.finish_if_over();
            match self.scheduler.next_turn() {
                Some(Turn {
                    domain,
                    work: Work::Run,
                }) => self.run_or_clean(domain),
                Some(Turn {
                    domain,
                    work: Work::Build,
                }) => self.build(domain),
                Some(Turn {
                    domain,
                    work: Work::TakeApart,
                }) => self.take_back(domain),
                None => self.idle(now),
            }
        }
    }

    /// A slice for a live domain; first, in its own time, what its last hypercall left to be taken apart.
    fn run_or_clean(&mut self, index: usize) {
        let Some(domain) = self.domains.get_mut(index) else {
            return;
        };
        if !domain.memory.has_leaving_tables() {
            self.run(index)
        }
        for _ in 0..STEPS_PER_TURN {
            let World { mem, frames, .. } = &mut self.world;
            if paging::take_apart_one(frames, mem, &mut domain.memory) == Progress::Done {
                break;
            }
        }
    }

    /// Waits for an interrupt, or for the console to be looked at again.
    fn idle(&mut self, now: u64) {
        let next = self.scheduler.next_deadline();
        let delay = next
            .map_or(IDLE_POLL_NS, |next| next.saturating_sub(now))
            .clamp(1_000, IDLE_POLL_NS);
        self.unload();
        entry::IDLE_INTERRUPT.store(0, Ordering::Relaxed);
        self.clock.arm(delay);
        // SAFETY: the timer's stub only stores the vector; the next instruction turns interrupts off again.
        unsafe { core::arch::asm!("sti", "hlt", "cli") };
        if entry::IDLE_INTERRUPT.load(Ordering::Relaxed) != 0 {
            self.clock.end_of_interrupt();
        }
    }

    // ---------------------------------------------------------------------------------------------- building, ending

    fn build(&mut self, index: usize) {
        let flags = self.start_flags
            | if index == self.image.console_domain() as usize {
                CONSOLE
            } else {
                0
            };
        let Some(domain) = self.domains.get_mut(index) else {
            return;
        };
        // Taken out while it works on its domain.
        let Stage::Building(mut builder) = core::mem::replace(&mut domain.stage, Stage::Live) else {
            return;
        };
        for _ in 0..STEPS_PER_TURN {
            match build::step(&mut self.world, domain, &mut builder, &self.modules, flags) {
                Build::More => {}
                Build::Done => {
                    for (word, value) in self.fpu.initial_words() {
                        self.world.mem.write(domain.vcpu.vector_state, word, value);
                    }
                    self.scheduler.set(index, State::Runnable);
                    report::record(&Record::DomainStart(domain.identity()));
                    return;
                }
                Build::Failed(error) => {
                    crash::build_failed(self, index, &error);
                    self.end(index, End::Killed(error.reason()));
                    return;
                }
            }
        }
        domain.stage = Stage::Building(builder);
    }

    /// A domain's incarnation is over: the CPU leaves it, its memory is taken back from now on.
    pub(crate) fn end(&mut self, index: usize, end: End) {
        if self.loaded == Some(index) {
            self.unload();
        }
        self.terminal.flush(&mut self.domains, index);
        let Some(domain) = self.domains.get_mut(index) else {
            return;
        };
        match end {
            End::Killed(_) => self.ends.killed += 1,
            End::Shutdown(reason, code) => {
                self.ends.shut_down += 1;
                report::record(&Record::Shutdown {
                    identity: domain.identity(),
                    reason,
                    code,
                });
            }
        }
        self.scheduler.set(index, State::Dying);
        domain.stage = Stage::Dying(Teardown::begin(&mut self.world.frames, &mut domain.memory), end);
    }

    fn take_back(&mut self, index: usize) {
        let Some(domain) = self.domains.get_mut(index) else {
            return;
        };
        let Stage::Dying(teardown, end) = &mut domain.stage else {
            return;
        };
        let end = *end;
        for _ in 0..STEPS_PER_TURN {
            let progress = teardown.step(&mut self.world.frames, &mut self.world.mem, &mut domain.memory);
            if let TeardownProgress::Done { returned, owned } = progress {
                self.world.mem.zero(domain.vcpu.vector_state);
                let (returned, owned) = (u64::from(returned), u64::from(owned));
                report::record(&Record::Frames {
                    identity: domain.identity(),
                    returned,
                    owned,
                });
                let DomainSpec {
                    restart: policy,
                    restart_max,
                    ..
                } = domain.config;
                match restart(policy, restart_max, domain.incarnation, end.kind()) {
                    Restart::After { delay_ns } => {
                        domain.incarnation += 1;
                        domain.stage = Stage::Building(build::Builder::new());
                        let until = self.clock.now_ns().saturating_add(delay_ns);
                        self.scheduler.set(index, State::Waiting { until });
                    }
                    Restart::Stay => {
                        domain.stage = Stage::Ended(end);
                        self.scheduler.set(index, State::Dead);
                    }
                }
                if self.image.audit_each_end() {
                    self.audit();
                }
                return;
            }
        }
    }

    /// Recomputes every count; says what it found.
    pub(crate) fn audit(&mut self) {
        let domains = self.domains.iter().map(|domain| &domain.memory);
        match paging::audit(&mut self.world.frames, &self.world.mem, domains) {
            Ok(_) => report::record(&Record::Audit(Ok(()))),
            Err(fault) => report::record(&Record::Audit(Err(&fault))),
        }
    }

    /// Ends the machine when nobody is left, or only witnesses that have shown that they live.
    fn finish_if_over(&mut self) {
        let until_others = self.image.until_others_ended();
        let waited_for = |domain: &Domain| !(until_others && domain.config.witness);
        if self
            .domains
            .iter()
            .any(|domain| waited_for(domain) && !domain.has_ended())
        {
            return;
        }
        let mark = self
            .witness_mark
            .get_or_insert_with(|| self.domains.iter().map(|domain| domain.lines).collect());
        let alive = self
            .domains
            .iter()
            .zip(mark.iter())
            .all(|(domain, lines)| domain.has_ended() || waited_for(domain) || domain.lines > *lines);
        if alive {
            self.finish();
        }
    }

    fn finish(&mut self) -> ! {
        for index in 0..self.domains.len() {
            self.terminal.flush(&mut self.domains, index);
        }
        self.audit();
        for domain in self.domains.iter().filter(|domain| !domain.has_ended()) {
            report::record(&Record::Alive {
                identity: domain.identity(),
                lines: domain.lines,
            });
        }
        let Ends { killed, shut_down } = self.ends;
        report::record(&Record::End {
            domains: self.domains.len() as u64,
            killed,
            shutdown: shut_down,
        });
        self.terminal.finish();
        power::off()
    }

    // -------------------------------------------------------------------------------------------------------- faults

    /// Ends the running domain with a record.
    pub(crate) fn kill(&mut self, death: crash::Death) -> ! {
        let index = self.running_index();
        self.terminal.flush(&mut self.domains, index);
        crash::record(self, index, &death);
        self.end(index, End::Killed(death.reason));
        self.next_turn()
    }

    /// The bounce of `vector` from ring 1 found the stack pointer in the slot.
    pub(crate) fn kill_for_stack(&mut self, vector: u8) -> ! {
        let domain = self.running();
        let registers = domain.vcpu.registers;
        let delivery = crash::delivery(domain, vector, Some(registers.error), Some(registers.rsp));
        let death = crash::Death::new(Reason::KernelStackForbidden)
            .delivery(delivery)
            .registers(&registers);
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
            self.inject(vector::UD, 0)
        }
        registers.rip = registers.rip.wrapping_sub(2);
        self.inject(
            vector::GP,
            u64::from(xen_lite::switcher::MISSING_SYSCALL_VECTOR) * 8 + 2,
        )
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
        let callbacks = [domain.vcpu.syscall_entry.unwrap_or(0)];
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
            None => crash::bug(format_args!("a domain runs without a root")),
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
                let death = crash::Death::new(reason)
                    .fault(fault)
                    .entry_point(registers.rip)
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
        let death = crash::Death::new(verdict::double_fault(stack))
            .fault(fault)
            .walked(stack.wrapping_sub(8), guest_mem::Access::Write)
            .registers(&registers);
        self.kill(death)
    }
}

/// A fault with CPL 0. In one of the switcher's windows it is the guest's; anywhere else it is ours.
pub(crate) fn ring0_fault(saved: &Registers, cr3: u64, cr2: u64) -> ! {
    let raw = saved.vector;
    let nested_vector = slot_vector(raw).unwrap_or(raw as u8);
    let Some(window) = entry::window_at(saved.rip) else {
        crash::hypervisor_fault(saved, nested_vector, cr3, cr2)
    };
    let machine = machine();
    if machine.loaded.is_none() {
        crash::hypervisor_fault(saved, nested_vector, cr3, cr2)
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
        Verdict::Bug => crash::hypervisor_fault(saved, nested_vector, cr3, cr2),
    }
}
