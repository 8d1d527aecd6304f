//! Upcalls that cannot be delivered. Each way to come to one finds out by itself: before a hypercall returns or a tick
//! goes back to the guest; with a frame of its own, or in the region, where the hypervisor's hand stores one word.
use abi::layout::{PAGE_SIZE, SHARED_INFO, SLOT_END, SWITCHER_RW};
use guests::check;
use guests::runtime::frame::Frame;
use guests::runtime::memory::{self, KERNEL_DATA, NX};
use guests::runtime::time::{now_ns, set_timer};
use guests::runtime::{code, event, start_info, trap, upcall};

use super::Run;
use super::upcalls::{SOON_NS, SPIN, is_in_loop, loops_at, region_code, send_on};

pub(crate) const CASES: &[(&str, Run)] = &[
    ("upcall-not-there", not_there),
    ("upcall-on-absent-stack", on_absent),
    ("upcall-on-read-only-stack", on_read_only),
    ("upcall-on-forbidden-stack", on_forbidden),
    ("upcall-on-non-canonical-stack", on_non_canonical),
];

fn not_there(run: u32) {
    let page = code::kernel(&code::UD2);
    upcall::register(page, 0, 0);
    let (from, _) = event::looped_ports();
    match run {
        0 => {
            memory::unmap(page);
        }
        1 => memory::set(page, memory::leaf(page).value | NX),
        _ => {
            // Worked once, and then paged out.
            let found = trap::attempt(|| event::send(from));
            check!(found.is_err_and(|f| f.rip == page), "the upcall is entered");
            memory::unmap(page);
            event::clear_mask();
        }
    }
    event::send(from);
    check!(false, "the guest is dead, yet it goes on");
}

/// How an upcall becomes due.
#[derive(Clone, Copy)]
enum Way {
    /// By a hypercall.
    Call,
    /// By a hypercall in the region.
    CallInRegion,
    /// By the timer.
    Tick,
    /// By the timer in the region.
    TickInRegion,
}

const WAYS: [Way; 4] = [Way::Call, Way::CallInRegion, Way::Tick, Way::TickInRegion];

/// An upcall becomes due with this stack pointer.
fn dies_on(rsp: u64, way: Way) {
    let found = match way {
        Way::Call => {
            upcall::install();
            send_on(code::kernel(&[0xcd, 0x82]), rsp)
        }
        Way::CallInRegion => {
            let (rip, _, _) = region_code();
            send_on(rip, rsp)
        }
        Way::Tick | Way::TickInRegion => spin_on(rsp, way),
    };
    check!(false, "the guest is dead, yet it went on: {found:x?}");
}

fn spin_on(rsp: u64, way: Way) -> Frame {
    upcall::install();
    let _ = event::timer_port();
    let spin = code::kernel(&SPIN);
    loops_at(0, spin);
    upcall::hook(Some(|found| {
        is_in_loop(found);
    }));
    if matches!(way, Way::TickInRegion) {
        upcall::register(upcall::address(), spin, spin + 2);
    }
    let frame = Frame::ring1(spin, rsp);
    set_timer(now_ns().0 + SOON_NS);
    trap::run(&frame)
}

/// The ways in turn, and one more place for the region.
fn place(run: u32, usual: u64, last: u64) -> (u64, Way) {
    match WAYS.get(run as usize) {
        Some(way) => (usual, *way),
        None => (last, Way::CallInRegion),
    }
}

fn on_absent(run: u32) {
    let absent = memory::kernel_area(1) + PAGE_SIZE;
    // Just past the slot: the word below is the guest's own again, and nothing is mapped there.
    let (rsp, way) = place(run, absent, SLOT_END + 8);
    dies_on(rsp, way);
}

fn on_read_only(run: u32) {
    let page = match run {
        0 | 1 => {
            let page = memory::kernel_pages(1, KERNEL_DATA);
            memory::make_read_only(page);
            page
        }
        _ => memory::physmap(start_info().page_tables_pfn),
    };
    dies_on(page + PAGE_SIZE, WAYS[run as usize]);
}

fn on_forbidden(run: u32) {
    let usual = match run {
        0 => SWITCHER_RW + 0xa00,
        1 => SWITCHER_RW + 0x800,
        _ => SHARED_INFO + 0x800,
    };
    let (rsp, way) = place(run, usual, SLOT_END);
    dies_on(rsp, way);
}

fn on_non_canonical(run: u32) {
    dies_on(0x0000_8000_0000_2000, WAYS[run as usize]);
}
