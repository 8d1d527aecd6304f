//! Which traps the kernel takes, and how; what it does about its own.
use crate::entry::{
    STUB_SIZE, event_region_end, event_region_start, event_upcall, int80_stub, syscall_entry, trap_stack,
    trap_stubs,
};
use crate::{events, pager};
use abi::callback::{CallbackOp, CallbackType};
use abi::hypercall::Hypercall;
use abi::selector::KERNEL_CS;
use abi::stub::hypercall;
use abi::trap::{EXCEPTIONS, TrapInfo, flags, is_guest_exception, may_be_direct, vector};
use pv_kernel::context::{Context, INT80_VECTOR};
use pv_kernel::resident::pager::KernelFault;

const RING3: u8 = 3;
/// What a program may raise by an instruction of its own.
const USER_VECTORS: [u8; 3] = [vector::BP, vector::OF, INT80_VECTOR as u8];

/// Registers every handler, the upcall, and the stack on which traps from ring 3 arrive.
pub(crate) fn register() {
    let mut table = [TrapInfo::default(); EXCEPTIONS + 1];
    let mut count = 0;
    let stubs = trap_stubs as *const () as u64;
    let exceptions = (0..EXCEPTIONS as u8).filter(|vector| is_guest_exception(*vector));
    let exceptions = exceptions.map(|vector| (vector, stubs + u64::from(vector) * STUB_SIZE));
    let int80 = (INT80_VECTOR as u8, int80_stub as *const () as u64);
    for ((vector, address), slot) in exceptions.chain([int80]).zip(table.iter_mut()) {
        *slot = TrapInfo {
            vector,
            flags: way_of(vector),
            cs: KERNEL_CS,
            pad: 0,
            address,
        };
        count += 1;
    }
    call(Hypercall::SetTrapTable, [table.as_ptr() as u64, count, 0, 0, 0]);
    let entry = syscall_entry as *const () as u64;
    let register = [
        CallbackOp::Register.raw(),
        CallbackType::Syscall.raw(),
        entry,
        0,
        0,
    ];
    call(Hypercall::CallbackOp, register);
    let register = [
        CallbackOp::Register.raw(),
        CallbackType::Event.raw(),
        event_upcall as *const () as u64,
        event_region_start as *const () as u64,
        event_region_end as *const () as u64,
    ];
    events::mask();
    call(Hypercall::CallbackOp, register);
    call(Hypercall::StackSwitch, [trap_stack(), 0, 0, 0, 0]);
}

const fn way_of(vector: u8) -> u8 {
    // What is bounced comes with events masked; after a direct trap the stub masks them.
    let mut way = if may_be_direct(vector) {
        flags::DIRECT
    } else {
        flags::MASK_EVENTS
    };
    let mut index = 0;
    while index < USER_VECTORS.len() {
        if USER_VECTORS[index] == vector {
            way |= RING3;
        }
        index += 1;
    }
    way
}

fn call(number: Hypercall, arguments: [u64; 5]) {
    // SAFETY: handlers, entry and stack are this kernel's own and stay where they are.
    let returned = unsafe { hypercall(number, arguments) };
    assert!(returned.ok().is_ok(), "{} refused: {returned:x?}", number.name());
}

/// A trap of the kernel itself: a page that it may not have yet, or the end.
pub(crate) extern "C" fn kernel_trap(context: &mut Context) {
    let is_page_fault = context.vector == u64::from(vector::PF);
    if is_page_fault && pager::fault(context.cr2, context.error) != KernelFault::Bug {
        return;
    }
    let Context {
        vector,
        error,
        rip,
        cr2,
        rsp,
        ..
    } = *context;
    panic!("trap {vector} in the kernel, error {error:#x}, at rip {rip:#x}, rsp {rsp:#x}, cr2 {cr2:#x}");
}
