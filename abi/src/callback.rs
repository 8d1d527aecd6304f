//! `callback_op`: entry points that are not traps. All are entered in ring 1, on the flat segments.
use crate::numbered::numbered;

numbered! {
    /// The command in rdi. Numbers are Xen's.
    pub enum CallbackOp: u64 {
        /// `(type, address, region_start, region_end)`: addresses canonical and outside the slot. The region, of the event
        /// upcall alone, is `region_start <= rip < region_end`; both 0 for none.
        Register = 0, "register";
        /// `(type)`.
        Unregister = 1, "unregister";
    }
}

numbered! {
    /// Which entry point. Numbers are Xen's.
    pub enum CallbackType: u64 {
        /// Where events are delivered: see [`crate::event`].
        Event = 0, "event";
        /// Where the `syscall` instruction enters the guest kernel: on the stack of `stack_switch`, with the user's
        /// rip in rcx, flags in r11, stack pointer in [`crate::layout::GuestWords::user_rsp`]. Nothing proves that it
        /// came from ring 3. With none registered, `syscall` is a #UD.
        Syscall = 2, "syscall";
    }
}
