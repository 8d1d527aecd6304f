//! Handlers that cannot be fetched, and handlers that are not there.
use abi::sched::ShutdownReason;
use abi::trap::{TrapInfo, vector};
use guests::runtime::code::{self, Slot};
use guests::runtime::frame::Frame;
use guests::runtime::memory::{self, NX, U};
use guests::runtime::trap::{self, Hooked, SYSCALL_VECTOR, bounced, direct, register};
use guests::runtime::{call, start_info};
use guests::{check, check_eq};

use super::Run;
use super::raise::{BUT_PAGE_FAULT, BY_INT, BY_ITSELF, dies, instructions, int, works};

pub(crate) const CASES: &[(&str, Run)] = &[
    ("bounced-handler-absent", bounced_absent),
    ("page-fault-handler-absent", page_fault_absent),
    ("direct-handler-absent", direct_absent),
    ("direct-handler-absent-from-ring-3", direct_absent_from_ring_3),
    ("bounced-handler-paged-out", bounced_paged_out),
    ("page-fault-handler-paged-out", page_fault_paged_out),
    ("direct-handler-paged-out", direct_paged_out),
    ("handler-absent-from-ring-3", absent_from_ring_3),
    ("handler-no-execute", no_execute),
    ("handler-on-user-page", on_user_page),
    ("page-fault-handler-straddles", page_fault_straddles),
    ("page-fault-handler-faults-first", page_fault_faults_first),
    ("no-handler", no_handler),
    ("no-handler-from-ring-3", no_handler_from_ring_3),
    ("table-cleared-in-handler", table_cleared),
    ("syscall-entry-absent", syscall_absent),
    ("syscall-entry-paged-out", syscall_paged_out),
    ("syscall-entry-no-execute", syscall_no_execute),
    ("guest-panic", guest_panic),
];

const SYSCALL: [u8; 2] = [0x0f, 0x05];

fn absent(vector: u8) {
    let handler = code::handler(vector, Slot::There);
    memory::unmap(handler);
    register(bounced(vector, handler));
    dies(&instructions(vector));
}

fn paged_out(vector: u8) {
    let handler = code::handler(vector, Slot::There);
    register(bounced(vector, handler));
    works(&instructions(vector), vector);
    memory::unmap(handler);
    dies(&instructions(vector));
}

fn bounced_absent(run: u32) {
    absent(BUT_PAGE_FAULT[run as usize]);
}

fn page_fault_absent(_: u32) {
    absent(vector::PF);
}

fn bounced_paged_out(run: u32) {
    paged_out(BUT_PAGE_FAULT[run as usize]);
}

/// A handler that the linker has put in a page of its own.
#[unsafe(naked)]
#[unsafe(link_section = ".page_of_text.page_fault_handler")]
extern "C" fn page_fault_handler() {
    core::arch::naked_asm!("push {vector}", "jmp guest_trap_common", vector = const vector::PF)
}

/// Faults, as any code of a kernel may.
#[inline(never)]
fn touch(page: u64) {
    check_eq!(memory::peek(page), 0, "nothing is there to be read");
}

fn page_fault_paged_out(_: u32) {
    let handler = page_fault_handler as *const () as u64;
    register(bounced(vector::PF, handler));
    works(&instructions(vector::PF), vector::PF);
    memory::unmap(handler);
    touch(memory::kernel_area(1));
    check!(false, "the guest is dead, yet it goes on");
}

fn direct_absent(run: u32) {
    let vector = BY_INT[run as usize];
    let handler = code::handler(vector, Slot::Missing);
    memory::unmap(handler);
    register(direct(vector, handler));
    dies(&int(vector));
}

/// A direct entry, and the bytes that raise it in either ring.
fn direct_pair(run: u32) -> (u8, [u8; 2]) {
    if run == 0 {
        (vector::UD, code::UD2)
    } else {
        (0x80, int(0x80))
    }
}

fn direct_absent_from_ring_3(run: u32) {
    let (vector, bytes) = direct_pair(run);
    let handler = code::handler(vector, Slot::Missing);
    memory::unmap(handler);
    register(direct(vector, handler));
    let found = code::run_in_ring3(&bytes);
    check!(false, "the guest is dead, yet a handler ran: {found:x?}");
}

fn direct_paged_out(run: u32) {
    let (vector, bytes) = direct_pair(run);
    let handler = code::handler(vector, Slot::Missing);
    register(direct(vector, handler));
    works(&bytes, vector);
    memory::unmap(handler);
    dies(&bytes);
}

fn absent_from_ring_3(_: u32) {
    let handler = code::handler(vector::GP, Slot::There);
    memory::unmap(handler);
    register(bounced(vector::GP, handler));
    let found = code::run_in_ring3(&instructions(vector::GP));
    check!(false, "the guest is dead, yet a handler ran: {found:x?}");
}

/// One of three handlers on a page that can be changed, and what raises it.
fn one_of_three(run: u32, flags: u64) -> (u64, u8) {
    let (vector, slot) = match run {
        0 => (vector::UD, Slot::There),
        1 => (vector::PF, Slot::There),
        _ => (vector::UD, Slot::Missing),
    };
    let page = if flags & U != 0 {
        memory::user_pages(1, flags & !U)
    } else {
        memory::kernel_pages(1, flags)
    };
    code::place(page, code::Handler::new(vector, slot).bytes());
    register(if slot == Slot::There {
        bounced(vector, page)
    } else {
        direct(vector, page)
    });
    (page, vector)
}

fn no_execute(run: u32) {
    let (page, vector) = one_of_three(run, memory::KERNEL_CODE);
    works(&instructions(vector), vector);
    memory::set(page, memory::leaf(page).value | NX);
    dies(&instructions(vector));
}

fn on_user_page(run: u32) {
    check!(
        start_info().flags & abi::start_info::flags::SMEP != 0,
        "this CPU has SMEP"
    );
    let (page, vector) = one_of_three(run, memory::USER_CODE);
    works(&instructions(vector), vector);
    memory::set(page, memory::leaf(page).value | U);
    dies(&instructions(vector));
}

fn page_fault_straddles(_: u32) {
    // movabs rax, imm64 takes ten bytes; four of them are on the page.
    let page = code::kernel(&[]);
    let at = page + abi::layout::PAGE_SIZE - 4;
    memory::poke_bytes(memory::alias(at), &[0x48, 0xb8, 1, 2]);
    register(bounced(vector::PF, at));
    dies(&instructions(vector::PF));
}

fn page_fault_faults_first(_: u32) {
    // movabs rax, [an unmapped page]
    let handler = code::kernel(&instructions(vector::PF));
    register(bounced(vector::PF, handler));
    dies(&instructions(vector::PF));
}

fn forget(vector: u8) {
    register(TrapInfo {
        vector,
        cs: abi::selector::KERNEL_CS,
        ..TrapInfo::default()
    });
}

fn no_handler(run: u32) {
    let vector = BY_ITSELF[run as usize];
    let bytes = instructions(vector);
    forget(vector);
    dies(&bytes);
}

fn no_handler_from_ring_3(_: u32) {
    let bytes = code::UD2;
    for vector in (0..32).filter(|vector| abi::trap::is_guest_exception(*vector)) {
        forget(vector);
    }
    let found = code::run_in_ring3(&bytes);
    check!(false, "the guest is dead, yet a handler ran: {found:x?}");
}

fn table_cleared(_: u32) {
    fn clear(frame: &mut Frame) -> Hooked {
        if frame.vector == u64::from(vector::UD) {
            forget(vector::UD);
            // The frame still points at the ud2: going back raises it again.
            return Hooked::Resume;
        }
        Hooked::Pass
    }
    trap::hook(Some(clear));
    dies(&code::UD2);
}

fn syscall_entry() -> u64 {
    let entry = code::jump_to(trap::syscall_entry_address());
    let done = call::register_syscall(entry);
    check!(done.is_ok(), "a syscall entry is taken: {done:?}");
    entry
}

fn syscall_works() {
    let found = code::run_in_ring3(&SYSCALL);
    check_eq!(
        found.vector,
        SYSCALL_VECTOR,
        "a syscall arrives while its entry is there"
    );
}

fn syscall_dies() {
    let found = code::run_in_ring3(&SYSCALL);
    check!(false, "the guest is dead, yet it got {found:x?}");
}

fn syscall_absent(_: u32) {
    memory::unmap(syscall_entry());
    syscall_dies();
}

fn syscall_paged_out(_: u32) {
    let entry = syscall_entry();
    syscall_works();
    memory::unmap(entry);
    syscall_dies();
}

fn syscall_no_execute(_: u32) {
    let entry = syscall_entry();
    syscall_works();
    memory::set(entry, memory::leaf(entry).value | NX);
    syscall_dies();
}

fn guest_panic(_: u32) {
    call::shutdown(ShutdownReason::Crash.raw(), 7);
    check!(false, "a guest that gave up does not go on");
}
