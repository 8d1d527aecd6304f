//! Where the switcher calls Rust. Interrupts are off; the root is the hypervisor's; the stack is named by the switcher's
//! read-only page. A guest's registers are saved in its vCPU.
use crate::machine::{self, WayBack, machine};
use crate::{panic, stacks, switcher};
use abi::hypercall::Hypercall;
use abi::trap::vector;
use abi::version::XenVersion;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use xen_lite::hypercall::{self, Answer, Outcome};
use xen_lite::recorder::Event;
use xen_lite::switcher::{MISSING_SYSCALL_VECTOR, Registers, Slot, TIMER_VECTOR};

/// The interrupt that ended an idle `hlt`, 0 if none.
pub(crate) static IDLE_INTERRUPT: AtomicU8 = AtomicU8::new(0);
/// NMIs so far.
static NMIS: AtomicU64 = AtomicU64::new(0);

/// rax and rdx as the C calling convention returns them, rax in the lower half. As one number, for then the compiler leaves
/// by a jump where a call's result is passed on.
type Result = u128;

#[inline(always)]
const fn result(value: u64, detail: u64) -> Result {
    (detail as u128) << 64 | value as u128
}

/// A hypercall. Returns only to the guest that made it.
pub(crate) extern "C" fn hypercall(a1: u64, a2: u64, a3: u64, a4: u64, a5: u64, number: u64) -> Result {
    machine::running_recorder().add(Event::Hypercall(number));
    // The cheapest call, kept free of the stack frame that the others need.
    if number == Hypercall::XenVersion.raw() && a1 == XenVersion::Version.raw() {
        return result(hypercall::VERSION, 0);
    }
    slow_hypercall(a1, a2, a3, a4, a5, number)
}

#[inline(never)]
extern "C" fn slow_hypercall(a1: u64, a2: u64, a3: u64, a4: u64, a5: u64, number: u64) -> Result {
    let machine = machine();
    let own = machine.running_index();
    let outcome = hypercall::dispatch(
        &mut machine.world,
        &mut machine.domains,
        own,
        number,
        [a1, a2, a3, a4, a5],
    );
    let answer = match outcome {
        Outcome::Return(answer) => answer,
        Outcome::Leave(leave) => machine.leave_hypercall(leave),
    };
    let Answer { value, detail } = answer;
    match machine.way_back() {
        WayBack::AtOnce => result(value, detail),
        // SAFETY: the guest's registers are where this call was entered with them; nothing is left to do for it.
        WayBack::Upcall => unsafe { switcher::return_to_upcall(value, detail) },
        WayBack::Long => machine.finish_hypercall(answer),
    }
}

/// A trap from a guest, all registers saved.
pub(crate) extern "C" fn guest_trap() -> ! {
    let machine = machine();
    if machine.testing_cpu() {
        machine.finish_cpu_test();
    }
    let domain = machine.running();
    let raw = domain.vcpu.registers.vector;
    if let Some(slot) = Slot::at(raw) {
        // The range check of the bounce from ring 1.
        machine.kill_for_stack(slot);
    }
    domain.recorder.add(Event::Trap(raw as u8));
    match raw as u8 {
        TIMER_VECTOR => machine.timer(),
        0x20..0x40 => machine.resume_running(),
        MISSING_SYSCALL_VECTOR => machine.missing_syscall(),
        vector::PF => machine.fetch_fault(),
        vector::DF => machine.double_fault(),
        other => panic::bug(format_args!("vector {other} from a guest has no rule")),
    }
}

/// A fault with CPL 0: `saved` is on the stack where it struck, `cr3` and `cr2` are what the CPU had.
pub(crate) extern "C" fn ring0_fault(saved: *const Registers, cr3: u64, cr2: u64) -> ! {
    // SAFETY: the switcher pushed a whole `Registers` there; the stack is mapped under the hypervisor's root as well.
    let saved = unsafe { saved.read() };
    machine::ring0_fault(&saved, cr3, cr2)
}

/// Abandons all that is on the stack, and gives the next turn from its top.
pub(crate) fn start_over() -> ! {
    extern "C" fn turn() -> ! {
        machine().next_turn()
    }
    // SAFETY: nothing below is returned to. Whoever was entered has the machine alone, and this is its last act.
    unsafe {
        core::arch::asm!(
            "mov rsp, {top}",
            "call {turn}",
            "ud2",
            top = in(reg) stacks::MAIN.top(),
            turn = sym turn,
            options(noreturn),
        )
    }
}

/// An NMI: counted. Nothing here touches what the interrupted code works on.
pub(crate) extern "C" fn nmi() {
    NMIS.fetch_add(1, Ordering::Relaxed);
}

/// Where the CPU is, for a fault that the switcher may raise.
pub(crate) fn window_at(rip: u64) -> Option<xen_lite::trap::verdict::Window> {
    use switcher::{Label, text_address};
    use xen_lite::trap::verdict::Window;
    if (text_address(Label::CopyStart)..text_address(Label::CopyEnd)).contains(&rip) {
        Some(Window::BounceStore)
    } else if rip == text_address(Label::BounceIret) {
        Some(Window::BounceIret)
    } else if rip == text_address(Label::ExitIret) {
        Some(Window::ExitIret)
    } else {
        None
    }
}
