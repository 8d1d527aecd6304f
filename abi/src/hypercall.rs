//! Hypercall numbers, and how a call is made.
//!
//! `int 0x82` in ring 1: number in rax, arguments in rdi, rsi, rdx, r10, r8; the result in rax, a second word
//! in rdx (0 where the call's description names none). rcx, rsi, rdi, r8 to r11 come back as 0; rbx, rbp, rsp,
//! r12 to r15, the flags and all vector registers are kept. From ring 3 the instruction is a #GP.
use crate::numbered::numbered;

/// The vector of a hypercall.
pub const HYPERCALL_VECTOR: u8 = 0x82;

numbered! {
    /// What a guest can ask for.
    pub enum Hypercall: u64 {
        /// `(table, count)`: an array of [`crate::trap::TrapInfo`].
        SetTrapTable = 0, "set_trap_table";
        /// `(requests, count)`: an array of [`crate::mmu::MmuUpdate`]. rdx: how many were done.
        MmuUpdate = 1, "mmu_update";
        /// `(rsp)`: the stack on which traps from ring 3 arrive.
        StackSwitch = 3, "stack_switch";
        /// `(selector, descriptor)`: the selector with RPL and table bit 0, of a guest entry (16 to 31). Data, or code
        /// that is 64-bit and not conforming, of DPL 1 or 3, present or not; 0 clears the entry.
        UpdateDescriptor = 10, "update_descriptor";
        /// `(command, ...)`, see [`crate::memory`].
        MemoryOp = 12, "memory_op";
        /// `(entries, count)`: an array of [`crate::multicall::MulticallEntry`]. rdx: how many were done.
        Multicall = 13, "multicall";
        /// `(va, entry, flags)`: write one L1 entry of the current address space.
        UpdateVaMapping = 14, "update_va_mapping";
        /// `(deadline_ns)`, see [`crate::time`].
        SetTimerOp = 15, "set_timer_op";
        /// `(command, buffer)`, see [`crate::version`].
        XenVersion = 17, "xen_version";
        /// `(command, count, buffer)`, see [`crate::console`].
        ConsoleIo = 18, "console_io";
        /// `(which, base)`: see [`SegmentBase`].
        SetSegmentBase = 25, "set_segment_base";
        /// `(operations, count)`: an array of [`crate::mmu::MmuextOp`]. rdx: how many were done.
        MmuextOp = 26, "mmuext_op";
        /// `(command, ...)`, see [`crate::sched`].
        SchedOp = 29, "sched_op";
        /// `(command, type, address, region_start, region_end)`, see [`crate::callback`].
        CallbackOp = 30, "callback_op";
        /// `(command, ...)`, see [`crate::event`].
        EventChannelOp = 32, "event_channel_op";
    }
}

numbered! {
    /// Which base `set_segment_base` sets. Canonical addresses outside the hypervisor's slot only.
    pub enum SegmentBase: u64 {
        /// FS.
        Fs = 0, "fs";
        /// GS. There is no `swapgs` in ring 1, so there is one GS base and no kernel GS base.
        Gs = 1, "gs";
    }
}
