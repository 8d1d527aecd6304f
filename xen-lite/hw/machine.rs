//! The machine while guests run: whose turn it is, entering and leaving guests, their ends.
//!
//! One CPU, no nesting: every entry from a guest starts at the top of the hypervisor's stack and ends in a guest, in a
//! turn of another domain's, or in idling. So there is one [`Machine`], and whoever was entered has it alone.
mod fault;
mod guest;
mod life;
mod monitor;
mod speak;
mod turn;

pub(crate) use fault::ring0_fault;
pub(crate) use guest::WayBack;

use crate::clock::Clock;
use crate::cpu::Features;
use crate::fpu::Fpu;
use crate::memory::DirectMap;
use crate::panic;
use crate::terminal::Terminal;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use xen_lite::addr::Mfn;
use xen_lite::boot_image::BootImage;
use xen_lite::console::turns::Turns;
use xen_lite::crash::symbols::Symbols;
use xen_lite::domain::Domain;
use xen_lite::hypercall::World;
use xen_lite::paging::Sampling;
use xen_lite::recorder::Recorder;
use xen_lite::sched::turn::Scheduler;
use xen_lite::vcpu::VcpuSet;

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
    pub(crate) loaded: Loaded,
    pub(crate) scheduler: Scheduler,
    /// Ends so far, restarts included.
    pub(crate) ends: Ends,
    /// What `start_info.flags` says of the machine.
    pub(crate) start_flags: u64,
    pub(crate) cpu_test: Option<crate::cpu_test::CpuTest>,
    /// Who is heard next.
    pub(crate) turns: Turns,
    /// Before then nobody looks for keys: a port's FIFO holds what comes meanwhile.
    pub(crate) next_key_look: u64,
    /// When the loaded vCPU went on last, while it runs.
    pub(crate) running_since: Option<u64>,
    /// The wall clock at boot: seconds since 1970-01-01 UTC.
    pub(crate) wall_clock_s: u64,
    /// At which turns every frame is recounted.
    pub(crate) sampling: Sampling,
    /// A domain has ended for good since somebody looked whether any is still waited for.
    pub(crate) may_be_over: bool,
    /// Lines that each witness had written when the last of the others ended.
    pub(crate) witness_mark: Option<Vec<u64>>,
}

/// Which domain's vCPU is loaded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Loaded(usize);

impl Loaded {
    /// None's.
    pub(crate) const NOBODY: Self = Self(usize::MAX);

    /// The domain's index, if one's is.
    pub(crate) fn index(self) -> Option<usize> {
        (self != Self::NOBODY).then_some(self.0)
    }
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
    let machine = place.write(machine);
    INSTALLED.store(true, Ordering::Relaxed);
    machine
}

static INSTALLED: AtomicBool = AtomicBool::new(false);

/// The machine, if there is one, for last words.
///
/// # Safety
/// Nothing that was interrupted goes on.
pub(crate) unsafe fn at_the_end() -> Option<&'static Machine> {
    INSTALLED.load(Ordering::Relaxed).then(|| &*machine())
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
    /// The names of the hypervisor's own functions.
    pub(crate) fn own_symbols(&self) -> Symbols<'static> {
        let module = self.image.symbols_module();
        let module = module.and_then(|module| self.modules.get(module as usize));
        module.map_or(Symbols::NONE, |module| Symbols::parse(module))
    }

    /// Its index; one that no domain has, while none is loaded.
    #[inline]
    pub(crate) fn running_index(&self) -> usize {
        self.loaded.0
    }

    /// The names of the functions of a domain's kernel.
    pub(crate) fn symbols(&self, index: usize) -> Symbols<'static> {
        let module = self
            .domains
            .get(index)
            .and_then(|domain| domain.config.symbols_module);
        let module = module.and_then(|module| self.modules.get(module as usize));
        module.map_or(Symbols::NONE, |module| Symbols::parse(module))
    }

    /// The domain that was entered from.
    #[inline]
    pub(crate) fn running(&mut self) -> &mut Domain {
        let index = self.running_index();
        match self.domains.get_mut(index) {
            Some(domain) => domain,
            None => panic::bug(format_args!("no domain is loaded")),
        }
    }

    /// The same, with the world beside it.
    #[inline]
    pub(crate) fn world_and_running(&mut self) -> (&mut World<'static, DirectMap>, &mut Domain) {
        let index = self.running_index();
        match self.domains.get_mut(index) {
            Some(domain) => (&mut self.world, domain),
            None => panic::bug(format_args!("no domain is loaded")),
        }
    }
}
