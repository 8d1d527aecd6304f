//! The order of the boot: from the hypervisor's start_info to the first program.
use crate::events::Ports;
use crate::machine::{BaseInstructions, Eviction, RingOne, shutdown};
use crate::tables::{DirectTables, physmap};
use crate::vector_state::Saving;
use crate::{heap, pager, stack, traps, vector_state};
use abi::hypercall::Hypercall;
use abi::layout::{ENTRIES, PAGE_SHIFT, PAGE_SIZE};
use abi::mmu::UVMF_INVLPG;
use abi::sched::ShutdownReason;
use abi::start_info::{MAGIC, StartInfo, flags};
use abi::stub::hypercall;
use core::slice;
use core::sync::atomic::AtomicU64;
use pv_kernel::addr::Pfn;
use pv_kernel::kernel::Kernel;
use pv_kernel::mm::frames::{FrameState, FrameTable};
use pv_kernel::mm::space::make_kernel_tables;
use pv_kernel::options::Options;
use pv_kernel::resident::pager::{HEAP_BASE, HEAP_MAX_PAGES};
use pv_kernel::run;

/// The heap may have one in so many of the free frames.
const HEAP_SHARE: u64 = 4;
/// Less than half a mebibyte is too little for the kernel.
const HEAP_MIN_PAGES: u64 = 96;

/// Runs the kernel from its first instruction to its last.
pub(crate) extern "C" fn boot(start_info: *const StartInfo) -> ! {
    // SAFETY: the hypervisor's promise: rsi leads to start_info, which nobody writes any more.
    let info = unsafe { &*start_info };
    assert!(info.magic == MAGIC, "rsi does not lead to start_info");
    traps::register();
    take_out(stack::guard_page());

    // SAFETY: start_info's promise: so many words are there.
    let frame_list =
        unsafe { slice::from_raw_parts(info.mfn_list as *const AtomicU64, info.nr_pages as usize) };
    // SAFETY: the list is the domain's, and this is the boot path.
    let tables = unsafe { DirectTables::new(frame_list) };
    let root = Pfn(info.page_tables_pfn);
    let (mut frames, first_page) = frame_table(info);

    let options = Options::parse(&info.command_line);
    let has = |flag: u64| info.flags & flag != 0;
    let bases = if has(flags::FSGSBASE) {
        BaseInstructions::Usable
    } else {
        BaseInstructions::Absent
    };
    let eviction = if options.evict {
        Eviction::EveryTrap
    } else {
        Eviction::Never
    };
    // SAFETY: the one call.
    let mut machine = unsafe { RingOne::new(tables, root, first_page, bases, eviction, Ports::bind()) };

    open_heap(&mut machine, &mut frames, tables, root);
    // The probe is on the heap.
    vector_state::open(if has(flags::XSAVE) {
        Saving::Xsave
    } else {
        Saving::Fxsave
    });
    pager::page_out_text();

    let mut kernel = Kernel::new(machine, frames, root, module(info), name(info), options);
    if !options.quiet {
        let (free, all) = (kernel.frames.free(), info.nr_pages);
        let megabytes = (all << PAGE_SHIFT) >> 20;
        kernel.say(format_args!(
            "ring 1, {megabytes} MiB, {free} of {all} frames free"
        ));
    }
    let verdict = run::all(&mut kernel);
    if !options.quiet {
        let paged = pager::counts();
        let (heap, text) = (paged.heap, paged.text);
        kernel.say(format_args!(
            "done; {heap} kernel heap pages were touched, {text} kernel code pages paged in"
        ));
    }
    shutdown(ShutdownReason::Poweroff, verdict.code())
}

/// Removes a page of the kernel's image from the address space.
fn take_out(address: u64) {
    // SAFETY: nothing refers to the page.
    let returned = unsafe { hypercall(Hypercall::UpdateVaMapping, [address, 0, UVMF_INVLPG, 0, 0]) };
    assert!(returned.ok().is_ok(), "update_va_mapping refused: {returned:x?}");
}

/// The table of all free frames, which lies in the first of them, and the first frame that is in the table.
fn frame_table(info: &StartInfo) -> (FrameTable<'static>, Pfn) {
    let free = info.nr_pages.saturating_sub(info.first_free_pfn);
    let pages = (free * size_of::<FrameState>() as u64).div_ceil(PAGE_SIZE);
    let first = Pfn(info.first_free_pfn + pages);
    let count = free.saturating_sub(pages) as usize;
    let place = physmap(Pfn(info.first_free_pfn)) as *mut FrameState;
    // SAFETY: the frames are free and zero, the physmap maps them one after another, and zeros are a `FrameState`.
    let states = unsafe { slice::from_raw_parts_mut(place, count) };
    (FrameTable::new(first, states), first)
}

/// Gives the heap its tables and its first frames, and opens it.
fn open_heap(machine: &mut RingOne, frames: &mut FrameTable<'_>, tables: DirectTables, root: Pfn) {
    let free = frames.free();
    let share = (free / HEAP_SHARE).min(HEAP_MAX_PAGES);
    let pages = share.max(HEAP_MIN_PAGES);
    let per_table = ENTRIES as u64;
    for table in 0..pages.div_ceil(per_table) {
        let first = HEAP_BASE + table * per_table * PAGE_SIZE;
        make_kernel_tables(machine, frames, root, first)
            .unwrap_or_else(|_| panic!("too little memory: {free} free frames"));
    }
    pager::open(tables, root, pages);
    while let (1.., Ok(frame)) = (pager::heap_wants(), frames.take()) {
        pager::grow_heap(frame);
    }
    heap::open((pages * PAGE_SIZE) as usize);
}

/// The domain's module.
fn module(info: &StartInfo) -> &'static [u8] {
    if info.module == 0 {
        return &[];
    }
    // SAFETY: start_info's promise: so many bytes are there, and nobody writes them.
    unsafe { slice::from_raw_parts(info.module as *const u8, info.module_size as usize) }
}

/// The domain's name.
fn name(info: &StartInfo) -> &str {
    let name = info.name.split(|byte| *byte == 0).next().unwrap_or(&[]);
    core::str::from_utf8(name).unwrap_or("guest")
}
