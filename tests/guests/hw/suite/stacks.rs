//! Kernel stacks that cannot take a frame.
use abi::layout::{MACHINE_TO_PFN, PAGE_SIZE, SHARED_INFO, SLOT_BASE, SLOT_END, SWITCHER_RO, SWITCHER_RW};
use abi::layout::{SWITCHER_TEXT, TIME_PAGE};
use abi::trap::vector;
use guests::catalogue::SWEEP;
use guests::check;
use guests::runtime::code::{self, Slot, UD2};
use guests::runtime::frame::Frame;
use guests::runtime::memory::{self, KERNEL_DATA};
use guests::runtime::trap::{self, Hooked, direct, register};
use guests::runtime::{call, start_info};

use super::Run;
use super::raise::{instructions, int};

pub(crate) const CASES: &[(&str, Run)] = &[
    ("stack-absent", absent),
    ("stack-near-zero", near_zero),
    ("stack-read-only", read_only),
    ("stack-on-page-table", on_page_table),
    ("stack-non-canonical", non_canonical),
    ("direct-divide-on-non-canonical-stack", direct_divide),
    ("stack-recursion", recursion),
    ("trap-stack-absent", trap_stack_absent),
    ("trap-stack-read-only", trap_stack_read_only),
    ("stack-in-slot", in_slot),
];

/// Raises #UD in ring 1 on this stack.
fn dies_on(rsp: u64) {
    dies_at(code::kernel(&UD2), rsp);
}

fn dies_at(rip: u64, rsp: u64) {
    let found = trap::run(&Frame::ring1(rip, rsp));
    check!(false, "the guest is dead, yet a handler ran: {found:x?}");
}

fn direct_ud() {
    register(direct(vector::UD, code::handler(vector::UD, Slot::Missing)));
}

fn absent(run: u32) {
    if run == 1 {
        direct_ud();
    }
    dies_on(memory::kernel_area(1) + PAGE_SIZE);
}

fn near_zero(run: u32) {
    dies_on([0, 8, 64, 144][run as usize]);
}

fn read_only(run: u32) {
    if run == 1 {
        direct_ud();
    }
    let page = memory::kernel_pages(1, KERNEL_DATA);
    memory::make_read_only(page);
    dies_on(page + PAGE_SIZE);
}

fn on_page_table(_: u32) {
    dies_on(memory::physmap(start_info().page_tables_pfn) + PAGE_SIZE);
}

fn non_canonical(run: u32) {
    let rsp = [
        0x0000_8000_0000_1000,
        0x1234_5678_9abc_def0,
        0xffff_7fff_ffff_f000,
        0x7fff_ffff_ffff_fff0,
    ];
    dies_on(rsp[run as usize]);
}

fn direct_divide(_: u32) {
    register(direct(vector::DE, code::handler(vector::DE, Slot::Missing)));
    dies_at(code::kernel(&instructions(vector::DE)), 0x0000_8000_0000_1000);
}

fn recursion(_: u32) {
    // The handler is a ud2 itself.
    register(trap::bounced(vector::UD, code::kernel(&UD2)));
    dies_on(memory::stack(2));
}

/// One of four ways from ring 3 onto the stack of stack_switch.
fn from_ring_3(run: u32, stack: u64) {
    let syscall = [0x0f, 0x05];
    let bytes = match run {
        0 => UD2,
        1 => {
            direct_ud();
            UD2
        }
        2 => {
            register(direct(0x80, code::handler(0x80, Slot::Missing)));
            int(0x80)
        }
        _ => {
            let done = call::register_syscall(trap::syscall_entry_address());
            check!(done.is_ok(), "a syscall entry is taken: {done:?}");
            syscall
        }
    };
    let user = Frame::ring3(code::user(&bytes), memory::user_stack());
    let switched = call::stack_switch(stack);
    check!(
        switched.is_ok(),
        "whether a stack is mapped shows at delivery: {switched:?}"
    );
    let found = trap::run(&user);
    check!(false, "the guest is dead, yet a handler ran: {found:x?}");
}

fn trap_stack_absent(run: u32) {
    from_ring_3(run, memory::kernel_area(1) + PAGE_SIZE);
}

fn trap_stack_read_only(run: u32) {
    let page = memory::kernel_pages(1, KERNEL_DATA);
    memory::make_read_only(page);
    from_ring_3(run, page + PAGE_SIZE);
}

/// The stack pointers of the sweep, so that the frame of a bounce would end at 16 * run in the live page.
fn in_slot(run: u32) {
    const RED_ZONE: u64 = 128;
    let elsewhere = [
        SLOT_BASE + RED_ZONE,
        SWITCHER_TEXT + PAGE_SIZE,
        SWITCHER_RO + PAGE_SIZE,
        TIME_PAGE + PAGE_SIZE,
        SHARED_INFO + PAGE_SIZE,
        MACHINE_TO_PFN + PAGE_SIZE,
        SLOT_END - 16,
        SWITCHER_RW + 2 * PAGE_SIZE,
    ];
    fn seen(frame: &mut Frame) -> Hooked {
        check!(false, "a frame in the slot is refused, yet {frame:x?}");
        Hooked::Pass
    }
    trap::hook(Some(seen));
    let rsp = match run.checked_sub(SWEEP - elsewhere.len() as u32) {
        Some(n) => elsewhere[n as usize],
        None => SWITCHER_RW + RED_ZONE + 16 + 16 * u64::from(run),
    };
    dies_on(rsp);
}
