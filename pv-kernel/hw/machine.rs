//! The machine that the library's traits speak of: ring 1 on xen-lite.
use crate::entry::{ring3_enter, trap_context};
use crate::events::{self, Ports};
use crate::tables::{DirectTables, physmap};
use crate::{balloon, clock, heap, pager, vector_state};
use abi::console::{ConsoleIo, MAX_TRANSFER};
use abi::hypercall::{Hypercall, SegmentBase};
use abi::mmu::{MmuUpdate, MmuextOp};
use abi::sched::{SchedOp, ShutdownReason, WAKE_EVENT, WAKE_OUTPUT};
use abi::stub::hypercall;
use core::arch::asm;
use core::arch::x86_64::{__cpuid, _rdtsc};
use pv_kernel::addr::{Mfn, Pfn};
use pv_kernel::context::Context;
use pv_kernel::machine::{Balloon, Clock, Cpu, Events, Heap, Memory, Page, Tables, Terminal};
use pv_kernel::proc::{UserState, VectorLayout};

/// Whether RDFSBASE and its like may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BaseInstructions {
    Usable,
    Absent,
}

/// Whether pageable code is paged out at every trap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Eviction {
    Never,
    EveryTrap,
}

/// The machine; there is one.
#[derive(Debug)]
pub(crate) struct RingOne {
    tables: DirectTables,
    /// The root that maps the kernel and no program.
    root: Pfn,
    first_page: Pfn,
    base_instructions: BaseInstructions,
    eviction: Eviction,
    ports: Ports,
    fs_base: u64,
    gs_base: u64,
}

impl RingOne {
    /// # Safety
    /// Called once: the bytes of the frames from `first_page` on are reached through it alone.
    pub(crate) const unsafe fn new(
        tables: DirectTables,
        root: Pfn,
        first_page: Pfn,
        base_instructions: BaseInstructions,
        eviction: Eviction,
        ports: Ports,
    ) -> Self {
        Self {
            tables,
            root,
            first_page,
            base_instructions,
            eviction,
            ports,
            fs_base: 0,
            gs_base: 0,
        }
    }
}

impl Tables for RingOne {
    fn mfn_of(&self, frame: Pfn) -> Mfn {
        self.tables.mfn_of(frame)
    }

    fn pfn_of(&self, frame: Mfn) -> Pfn {
        self.tables.pfn_of(frame)
    }

    fn entry(&self, table: Pfn, index: u16) -> u64 {
        self.tables.entry(table, index)
    }

    fn next_entry(&self, table: Pfn, index: u16, end: u16) -> Option<(u16, u64)> {
        self.tables.next_entry(table, index, end)
    }

    fn mmu_update(&mut self, requests: &[MmuUpdate]) {
        self.tables.mmu_update(requests);
    }

    fn mmuext(&mut self, operations: &[MmuextOp]) {
        self.tables.mmuext(operations);
    }

    fn change_tables(&mut self, updates: &[MmuUpdate], operations: &[MmuextOp]) {
        self.tables.change_tables(updates, operations);
    }
}

impl Memory for RingOne {
    fn page(&mut self, frame: Pfn) -> &mut Page {
        // `mfn_of` panics for a frame that is not the domain's.
        let Mfn(_) = self.mfn_of(frame);
        assert!(frame >= self.first_page, "{frame:?} is not for programs");
        // SAFETY: the physmap maps the frame; it belongs to the frame table, so nothing of Rust's lies in it, and the
        // borrow of the one machine keeps a second reference away.
        unsafe { &mut *(physmap(frame) as *mut Page) }
    }

    fn copy_page(&mut self, from: Pfn, to: Pfn) {
        assert!(from != to);
        let from = core::ptr::from_mut(self.page(from)).cast_const();
        let to = self.page(to);
        // SAFETY: two frames of the frame table, by the physmap: they do not overlap, and the second reference is used up.
        unsafe { core::ptr::copy_nonoverlapping(from, to, 1) };
    }
}

impl Balloon for RingOne {
    fn give_up(&mut self, frames: &[Pfn]) -> usize {
        balloon::give_up(&mut self.tables, self.root, frames)
    }

    fn get_back(&mut self, frames: &[Pfn]) -> usize {
        balloon::get_back(&mut self.tables, self.root, frames)
    }
}

impl Heap for RingOne {
    fn heap_wants(&self) -> usize {
        pager::heap_wants()
    }

    fn grow_heap(&mut self, frame: Pfn) {
        pager::grow_heap(frame);
    }

    fn heap_has(&self, bytes: usize) -> bool {
        heap::has(bytes)
    }
}

impl Terminal for RingOne {
    fn write(&mut self, bytes: &[u8]) -> usize {
        console_write(bytes)
    }

    fn read(&mut self, buffer: &mut [u8]) -> usize {
        let count = (buffer.len() as u64).min(MAX_TRANSFER);
        let arguments = [ConsoleIo::Read.raw(), count, buffer.as_mut_ptr() as u64, 0, 0];
        // SAFETY: the buffer is ours and as long as said.
        let read = unsafe { hypercall(Hypercall::ConsoleIo, arguments) };
        read.ok()
            .ok()
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(0)
    }

    fn wait_for_room(&mut self) {
        block(None, WAKE_OUTPUT);
    }
}

impl Clock for RingOne {
    fn now_ns(&self) -> u64 {
        clock::now_ns()
    }

    fn wall_clock_base_ns(&self) -> u64 {
        clock::wall_clock_base_ns()
    }

    fn set_timer(&mut self, deadline_ns: u64) {
        clock::set_timer(deadline_ns);
    }

    fn take_events(&mut self) -> Events {
        self.ports.take()
    }

    fn sleep(&mut self, until_ns: Option<u64>) {
        block(until_ns, WAKE_EVENT);
    }

    fn sleep_for_room(&mut self, until_ns: Option<u64>) {
        block(until_ns, WAKE_EVENT | WAKE_OUTPUT);
    }
}

/// Sleeps until one of the conditions holds or, if it is given, a system time comes.
fn block(until_ns: Option<u64>, conditions: u64) {
    // No time at all would mean for ever.
    let timeout_ns = until_ns.map_or(0, |until| until.saturating_sub(clock::now_ns()).max(1));
    let arguments = [SchedOp::Block.raw(), timeout_ns, conditions, 0, 0];
    // SAFETY: it only takes time, and an upcall that masks events again.
    unsafe { hypercall(Hypercall::SchedOp, arguments) };
    // Waiting for events has unmasked them, and it may have been the time that ended it.
    events::mask();
}

/// Prints some of `bytes`; how many.
pub(crate) fn console_write(bytes: &[u8]) -> usize {
    let count = (bytes.len() as u64).min(MAX_TRANSFER);
    let arguments = [ConsoleIo::Write.raw(), count, bytes.as_ptr() as u64, 0, 0];
    // SAFETY: the hypervisor only reads the bytes.
    let written = unsafe { hypercall(Hypercall::ConsoleIo, arguments) };
    written
        .ok()
        .ok()
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or(0)
        .min(bytes.len())
}

/// Ends the domain.
pub(crate) fn shutdown(reason: ShutdownReason, code: u64) -> ! {
    let arguments = [SchedOp::Shutdown.raw(), reason.raw(), code, 0, 0];
    loop {
        // SAFETY: nothing runs after it.
        unsafe { hypercall(Hypercall::SchedOp, arguments) };
    }
}

impl Cpu for RingOne {
    fn run_user(&mut self, context: &mut Context) {
        let area = trap_context();
        // SAFETY: no program runs, so the area is Rust's.
        unsafe { area.write(*context) };
        // SAFETY: the context has ring 3's segments and flags and a canonical rip; kernel and trap area are mapped in
        // every address space.
        unsafe { ring3_enter() };
        // SAFETY: as above.
        *context = unsafe { area.read() };
        if self.eviction == Eviction::EveryTrap {
            pager::page_out_text();
        }
    }

    fn vector_layout(&self) -> VectorLayout {
        vector_state::layout()
    }

    fn save_user_state(&mut self, state: &mut UserState) {
        vector_state::save(&mut state.vectors);
        state.fs_base = self.fs_base();
        state.gs_base = self.gs_base();
    }

    fn load_user_state(&mut self, state: &UserState) {
        vector_state::load(&state.vectors);
        // SAFETY: 64-bit code needs no data segments; SS is not touched.
        unsafe {
            asm!(
                "mov ds, {0:e}",
                "mov es, {0:e}",
                "mov fs, {0:e}",
                "mov gs, {0:e}",
                in(reg) 0,
                options(nomem, nostack, preserves_flags)
            );
        }
        self.set_fs_base(state.fs_base);
        self.set_gs_base(state.gs_base);
    }

    fn features(&self) -> [u64; 2] {
        // CPUID.01H:EDX is what Linux calls hwcap; bit 1 of hwcap2 says that programs may use RDFSBASE and its like.
        const FSGSBASE: u64 = 1 << 1;
        let features = __cpuid(1).edx;
        let more = match self.base_instructions {
            BaseInstructions::Usable => FSGSBASE,
            BaseInstructions::Absent => 0,
        };
        [u64::from(features), more]
    }

    fn random(&mut self) -> [u8; 16] {
        let words = [0, 1].map(|salt: u64| {
            // SAFETY: reading the counter changes nothing.
            let counter = unsafe { _rdtsc() };
            // Spreads the few bits that change (the finaliser of MurmurHash3).
            let mixed = (counter ^ counter >> 33 ^ salt << 63).wrapping_mul(0xff51_afd7_ed55_8ccd);
            (mixed ^ mixed >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53)
        });
        let [low, high] = words.map(u128::from);
        (low | high << 64).to_le_bytes()
    }

    fn yield_now(&mut self) {
        // SAFETY: it only takes time.
        unsafe { hypercall(Hypercall::SchedOp, [SchedOp::Yield.raw(), 0, 0, 0, 0]) };
    }

    fn set_fs_base(&mut self, base: u64) {
        self.fs_base = base;
        if self.base_instructions == BaseInstructions::Absent {
            return set_base(SegmentBase::Fs, base);
        }
        // SAFETY: start_info says that the instruction works; the kernel itself does not use FS.
        unsafe { asm!("wrfsbase {}", in(reg) base, options(nomem, nostack, preserves_flags)) };
    }

    fn set_gs_base(&mut self, base: u64) {
        self.gs_base = base;
        if self.base_instructions == BaseInstructions::Absent {
            return set_base(SegmentBase::Gs, base);
        }
        // SAFETY: as for FS.
        unsafe { asm!("wrgsbase {}", in(reg) base, options(nomem, nostack, preserves_flags)) };
    }

    fn fs_base(&self) -> u64 {
        if self.base_instructions == BaseInstructions::Absent {
            return self.fs_base;
        }
        let base;
        // SAFETY: start_info says that the instruction works.
        unsafe { asm!("rdfsbase {}", out(reg) base, options(nomem, nostack, preserves_flags)) };
        base
    }

    fn gs_base(&self) -> u64 {
        if self.base_instructions == BaseInstructions::Absent {
            return self.gs_base;
        }
        let base;
        // SAFETY: start_info says that the instruction works.
        unsafe { asm!("rdgsbase {}", out(reg) base, options(nomem, nostack, preserves_flags)) };
        base
    }
}

fn set_base(which: SegmentBase, base: u64) {
    // SAFETY: the kernel itself uses neither FS nor GS.
    let returned = unsafe { hypercall(Hypercall::SetSegmentBase, [which.raw(), base, 0, 0, 0]) };
    assert!(returned.ok().is_ok(), "set_segment_base refused {base:#x}");
}
