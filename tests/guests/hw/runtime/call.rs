//! The hypercalls, one function each.
use abi::callback::{CallbackOp, CallbackType};
use abi::console::ConsoleIo;
use abi::errno::Errno;
use abi::hypercall::{Hypercall, SegmentBase};
use abi::mmu::{MmuUpdate, MmuextCommand, MmuextOp};
use abi::sched::SchedOp;
pub use abi::stub::Returned;
use abi::trap::TrapInfo;

/// Any number, any arguments.
pub fn raw(number: u64, arguments: [u64; 5]) -> Returned {
    // SAFETY: ring 1 of a xen-lite guest; what a call does to this guest is the subject of the case that makes it.
    unsafe { abi::stub::hypercall_raw(number, arguments) }
}

/// A known call; missing arguments are 0.
pub fn call(number: Hypercall, arguments: &[u64]) -> Returned {
    let mut all = [0; 5];
    for (slot, argument) in all.iter_mut().zip(arguments) {
        *slot = *argument;
    }
    raw(number.raw(), all)
}

/// `set_trap_table` with a table of this guest.
pub fn set_trap_table(table: &[TrapInfo]) -> Returned {
    call(
        Hypercall::SetTrapTable,
        &[table.as_ptr() as u64, table.len() as u64],
    )
}

/// `mmu_update`, one request.
pub fn mmu_update(pointer: u64, value: u64) -> Result<u64, Errno> {
    let request = [MmuUpdate { pointer, value }];
    call(Hypercall::MmuUpdate, &[request.as_ptr() as u64, 1]).ok()
}

/// `mmuext_op`, one operation.
pub fn mmuext(command: MmuextCommand, arg1: u64, arg2: u64) -> Result<u64, Errno> {
    let operation = [MmuextOp {
        command: command.raw(),
        pad: 0,
        arg1,
        arg2,
    }];
    call(Hypercall::MmuextOp, &[operation.as_ptr() as u64, 1]).ok()
}

/// `update_va_mapping`.
pub fn update_va_mapping(va: u64, entry: u64, flush: u64) -> Result<u64, Errno> {
    call(Hypercall::UpdateVaMapping, &[va, entry, flush]).ok()
}

/// `update_descriptor`.
pub fn update_descriptor(selector: u64, descriptor: u64) -> Result<u64, Errno> {
    call(Hypercall::UpdateDescriptor, &[selector, descriptor]).ok()
}

/// `stack_switch`.
pub fn stack_switch(rsp: u64) -> Result<u64, Errno> {
    call(Hypercall::StackSwitch, &[rsp]).ok()
}

/// `set_segment_base`.
pub fn set_segment_base(which: SegmentBase, base: u64) -> Result<u64, Errno> {
    call(Hypercall::SetSegmentBase, &[which.raw(), base]).ok()
}

/// `callback_op` register, for the syscall entry.
pub fn register_syscall(entry: u64) -> Result<u64, Errno> {
    call(
        Hypercall::CallbackOp,
        &[CallbackOp::Register.raw(), CallbackType::Syscall.raw(), entry],
    )
    .ok()
}

/// `callback_op` unregister, for the syscall entry.
pub fn unregister_syscall() -> Result<u64, Errno> {
    call(
        Hypercall::CallbackOp,
        &[CallbackOp::Unregister.raw(), CallbackType::Syscall.raw()],
    )
    .ok()
}

/// `console_io` write: how many bytes were taken.
pub fn console_write(count: u64, buffer: u64) -> Result<u64, Errno> {
    call(Hypercall::ConsoleIo, &[ConsoleIo::Write.raw(), count, buffer]).ok()
}

/// `console_io` read: how many bytes came.
pub fn console_read(count: u64, buffer: u64) -> Result<u64, Errno> {
    call(Hypercall::ConsoleIo, &[ConsoleIo::Read.raw(), count, buffer]).ok()
}

/// `sched_op` yield.
pub fn yield_now() -> Result<u64, Errno> {
    call(Hypercall::SchedOp, &[SchedOp::Yield.raw()]).ok()
}

/// `sched_op` block.
pub fn block(timeout_ns: u64, wake_mask: u64) -> Returned {
    call(Hypercall::SchedOp, &[SchedOp::Block.raw(), timeout_ns, wake_mask])
}

/// `sched_op` shutdown; returns only when the hypervisor refused it.
pub fn shutdown(reason: u64, code: u64) -> Returned {
    call(Hypercall::SchedOp, &[SchedOp::Shutdown.raw(), reason, code])
}
