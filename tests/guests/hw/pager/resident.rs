//! What the guest keeps: the page-fault handler, the pager, their data.
//!
//! Code here is in `.resident.text` and calls nothing that is not; data is in `.resident.data`. Frames are reached
//! through the physmap, which the pager never changes.
#![allow(unsafe_code, reason = "a pager edits the memory that Rust code runs from")]
use abi::hypercall::Hypercall;
use abi::layout::PAGE_SIZE;
use abi::mmu::{PTE_FRAME, UVMF_INVLPG};
use abi::sched::{SchedOp, ShutdownReason};
use core::cell::UnsafeCell;
use guests::codec::{self, RECENT};

const PAGE: usize = PAGE_SIZE as usize;
const MAX_PAGES: usize = 256;
const MAX_ROOM: usize = 64;
const UNIT: usize = 256;
const MAX_UNITS: usize = 128 * PAGE / UNIT;
const NONE: u16 = u16::MAX;
/// The guest's shutdown code when the pager itself is at fault; the low byte says where.
const BROKEN: u64 = 0xB000;

/// One page that comes and goes.
#[derive(Clone, Copy)]
struct Page {
    va: u64,
    /// Its entry's bits but the frame.
    flags: u64,
    /// The frame that it is in.
    frame: Frame,
    is_in: bool,
    of_the_image: bool,
    /// Where the store has it, in units; how many bytes; a whole page is not compressed.
    unit: u16,
    size: u16,
}

#[derive(Clone, Copy)]
struct Frame {
    machine: u64,
    physmap: u64,
}

/// What happened.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Pages that went to the store.
    pub(crate) out: u64,
    /// Pages that came back.
    pub(crate) into: u64,
    /// Of these, pages of the kernel's own image.
    pub(crate) image_in: u64,
    /// Page faults.
    pub(crate) faults: u64,
    /// Bytes that the store took for all that went out.
    pub(crate) stored: u64,
    /// Bytes that went out.
    pub(crate) paged: u64,
}

struct Pager {
    pages: [Page; MAX_PAGES],
    used: usize,
    arena: u64,
    units: usize,
    taken: [bool; MAX_UNITS],
    /// Pages that are in, oldest at `oldest`.
    inside: [u16; MAX_ROOM],
    oldest: usize,
    room: usize,
    counts: Counts,
    busy: bool,
    packed: [u8; PAGE],
    recent: [u16; RECENT],
}

const NO_FRAME: Frame = Frame {
    machine: 0,
    physmap: 0,
};

struct Resident(UnsafeCell<Pager>);
// SAFETY: one vCPU; the handler runs only when other code has faulted, and this module does not fault (`busy`).
unsafe impl Sync for Resident {}

#[unsafe(link_section = ".resident.data")]
static PAGER: Resident = Resident(UnsafeCell::new(Pager {
    pages: [Page {
        va: 0,
        flags: 0,
        frame: NO_FRAME,
        is_in: false,
        of_the_image: false,
        unit: 0,
        size: 0,
    }; MAX_PAGES],
    used: 0,
    arena: 0,
    units: 0,
    taken: [false; MAX_UNITS],
    inside: [NONE; MAX_ROOM],
    oldest: 0,
    room: 0,
    counts: Counts {
        out: 0,
        into: 0,
        image_in: 0,
        faults: 0,
        stored: 0,
        paged: 0,
    },
    busy: false,
    packed: [0; PAGE],
    recent: [0; RECENT],
}));

// The bounced #PF: saves what the ABI of functions lets `fault` change, and goes back.
core::arch::global_asm!(
    ".pushsection .resident.text, \"ax\"",
    "resident_handler:",
    "push rax",
    "push rcx",
    "push rdx",
    "push rsi",
    "push rdi",
    "push r8",
    "push r9",
    "push r10",
    "push r11",
    "push rbp",
    "mov rbp, rsp",
    "and rsp, -16",
    "cld",
    "movabs rax, qword ptr [{cr2}]",
    "mov rdi, rax",
    "call {fault}",
    "mov rsp, rbp",
    "pop rbp",
    "pop r11",
    "pop r10",
    "pop r9",
    "pop r8",
    "pop rdi",
    "pop rsi",
    "pop rdx",
    "pop rcx",
    "pop rax",
    "add rsp, 8",
    "iretq",
    ".popsection",
    cr2 = const abi::layout::CR2_WORD,
    fault = sym fault,
);

unsafe extern "C" {
    static resident_handler: u8;
}

/// The page-fault handler to register.
pub(crate) fn handler() -> u64 {
    (&raw const resident_handler) as u64
}

#[inline(always)]
fn pager() -> &'static mut Pager {
    // SAFETY: see `Resident`; no caller keeps the reference while pageable code runs.
    unsafe { &mut *PAGER.0.get() }
}

#[inline(always)]
fn call(number: Hypercall, arguments: [u64; 3]) -> bool {
    let result: u64;
    // SAFETY: registers as the interface says; the arguments name pages of this pager alone.
    unsafe {
        core::arch::asm!(
            "int 0x82",
            inlateout("rax") number.raw() => result,
            inlateout("rdi") arguments[0] => _,
            inlateout("rsi") arguments[1] => _,
            inlateout("rdx") arguments[2] => _,
            lateout("rcx") _, lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _,
        );
    }
    result as i64 >= 0
}

#[inline(always)]
fn insist(good: bool, place: u64) {
    if !good {
        call(
            Hypercall::SchedOp,
            [
                SchedOp::Shutdown.raw(),
                ShutdownReason::Poweroff.raw(),
                BROKEN + place,
            ],
        );
    }
}

#[inline(always)]
fn bytes(at: u64, length: usize) -> &'static mut [u8] {
    // SAFETY: a frame in the physmap, or units of the arena, that the pager alone uses at this moment.
    unsafe { core::slice::from_raw_parts_mut(at as *mut u8, length) }
}

#[inline(always)]
fn copy(from: &[u8], to: &mut [u8]) {
    let mut n = 0;
    while n < to.len() {
        to[n] = from[n];
        n += 1;
    }
}

#[inline(always)]
fn units_for(size: usize) -> usize {
    size.div_ceil(UNIT)
}

/// The first run of free units that is long enough.
#[inline(always)]
fn find_units(pager: &Pager, wanted: usize) -> usize {
    let (mut start, mut length, mut n) = (0, 0, 0);
    while n < pager.units && length < wanted {
        if pager.taken[n] {
            start = n + 1;
            length = 0;
        } else {
            length += 1;
        }
        n += 1;
    }
    insist(length == wanted, 1);
    start
}

#[inline(always)]
fn mark(pager: &mut Pager, unit: usize, count: usize, taken: bool) {
    let mut n = 0;
    while n < count {
        pager.taken[unit + n] = taken;
        n += 1;
    }
}

/// Takes a page out: unmapped, then stored; its frame is free.
#[unsafe(link_section = ".resident.text")]
#[inline(never)]
fn page_out(index: usize) -> Frame {
    let pager = pager();
    let page = pager.pages[index];
    insist(call(Hypercall::UpdateVaMapping, [page.va, 0, UVMF_INVLPG]), 2);
    let content = bytes(page.frame.physmap, PAGE);
    let limit = PAGE - UNIT;
    let packed = codec::compress(content, &mut pager.packed[..limit], &mut pager.recent);
    let size = match packed {
        Some(size) => size,
        None => PAGE,
    };
    let unit = find_units(pager, units_for(size));
    mark(pager, unit, units_for(size), true);
    let store = bytes(pager.arena + (unit * UNIT) as u64, size);
    copy(if size == PAGE { content } else { &pager.packed }, store);
    let page = &mut pager.pages[index];
    page.is_in = false;
    page.unit = unit as u16;
    page.size = size as u16;
    pager.counts.out += 1;
    pager.counts.stored += size as u64;
    pager.counts.paged += PAGE as u64;
    page.frame
}

/// Brings a page in, into a frame that held another one.
#[unsafe(link_section = ".resident.text")]
#[inline(never)]
fn page_in(index: usize, frame: Frame) {
    let pager = pager();
    let page = pager.pages[index];
    let (unit, size) = (page.unit as usize, page.size as usize);
    let store = bytes(pager.arena + (unit * UNIT) as u64, size);
    let content = bytes(frame.physmap, PAGE);
    if size == PAGE {
        copy(store, content);
    } else {
        insist(codec::decompress(store, content), 3);
    }
    mark(pager, unit, units_for(size), false);
    insist(
        call(
            Hypercall::UpdateVaMapping,
            [page.va, frame.machine | page.flags, UVMF_INVLPG],
        ),
        4,
    );
    pager.pages[index].frame = frame;
    pager.pages[index].is_in = true;
    pager.counts.into += 1;
    if page.of_the_image {
        pager.counts.image_in += 1;
    }
}

/// A page fault: the oldest page makes room for the one that is wanted.
#[unsafe(link_section = ".resident.text")]
#[inline(never)]
extern "C" fn fault(address: u64) {
    let pager = pager();
    insist(!pager.busy, 5);
    pager.busy = true;
    pager.counts.faults += 1;
    let wanted = address & !(PAGE_SIZE - 1);
    let mut index = 0;
    while index < pager.used && pager.pages[index].va != wanted {
        index += 1;
    }
    insist(index < pager.used, 6);
    insist(!pager.pages[index].is_in, 7);
    let place = pager.oldest;
    let victim = pager.inside[place];
    insist(victim != NONE, 8);
    let frame = page_out(victim as usize);
    page_in(index, frame);
    pager.inside[place] = index as u16;
    pager.oldest = if place + 1 == pager.room { 0 } else { place + 1 };
    pager.busy = false;
}

/// Where the store is.
pub(crate) fn set_arena(arena: u64, pages: u64) {
    let pager = pager();
    pager.arena = arena;
    pager.units = (pages as usize * PAGE / UNIT).min(MAX_UNITS);
}

/// Adds a page that may be taken out from now on.
pub(crate) fn add(va: u64, entry: u64, physmap: u64, of_the_image: bool) {
    let pager = pager();
    let machine = entry & PTE_FRAME;
    pager.pages[pager.used] = Page {
        va,
        flags: entry & !PTE_FRAME,
        frame: Frame { machine, physmap },
        is_in: true,
        of_the_image,
        unit: 0,
        size: 0,
    };
    pager.used += 1;
}

/// Takes everything out but `room` pages; from its return on the fault handler does the rest.
#[unsafe(link_section = ".resident.text")]
#[inline(never)]
pub(crate) fn begin(room: usize) {
    let pager = pager();
    pager.room = room;
    let mut n = 0;
    while n < pager.used {
        if n < room {
            pager.inside[n] = n as u16;
        } else {
            page_out(n);
        }
        n += 1;
    }
}

/// What happened so far.
pub(crate) fn counts() -> Counts {
    pager().counts
}
