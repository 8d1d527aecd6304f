//! Why a domain was killed: a closed list, one reason for one cause.
use crate::numbered::numbered;

numbered! {
    /// The reason in the machine line of a crash record.
    pub enum Reason: u16 {
        /// A trap for which nothing is registered.
        NoHandler = 1, "no-handler";
        /// The page of a registered handler is not present.
        HandlerNotPresent = 2, "handler-not-present";
        /// The page of a registered handler may not be executed in ring 1: no-execute, or a user page under SMEP.
        HandlerNotExecutable = 3, "handler-not-executable";
        /// The handler's code segment is not present.
        HandlerSegmentNotPresent = 4, "handler-segment-not-present";
        /// The handler's selector names no ring-1 code segment.
        HandlerSegmentInvalid = 5, "handler-segment-invalid";
        /// The kernel stack on which a trap was to be delivered is not mapped.
        KernelStackNotPresent = 6, "kernel-stack-not-present";
        /// The kernel stack on which a trap was to be delivered is mapped read-only.
        KernelStackReadOnly = 7, "kernel-stack-read-only";
        /// The kernel stack on which a trap was to be delivered lies in the hypervisor's slot.
        KernelStackForbidden = 8, "kernel-stack-forbidden";
        /// The kernel stack on which a trap was to be delivered is not a canonical address.
        KernelStackNonCanonical = 9, "kernel-stack-non-canonical";
        /// The page of the registered syscall entry or event upcall is not present or not executable.
        CallbackNotPresent = 10, "callback-not-present";
        /// The CPU refused the frame that a hypercall or interrupt returns to.
        ReturnFrameInvalid = 11, "return-frame-invalid";
        /// The guest kernel said so, by sched_op shutdown(crash).
        GuestPanic = 12, "guest-panic";
        /// The domain could not be built: too little memory.
        OutOfMemory = 13, "out-of-memory";
        /// The domain could not be built: its kernel is not a valid ELF64 executable.
        KernelImageInvalid = 14, "kernel-image-invalid";
        /// A person ended it.
        Destroyed = 15, "destroyed";
        /// The CPU raised a double fault while the guest ran, and its stack does not explain it.
        DoubleFault = 16, "double-fault";
        /// It was in virtual-8086 mode when a trap came: an emulator let it in.
        VirtualMode = 17, "virtual-8086-mode";
    }
}

impl Reason {
    /// The rule that was broken, for people.
    #[must_use]
    pub const fn rule(self) -> &'static str {
        match self {
            Self::NoHandler => "a guest kernel registers a handler for every trap that it can cause",
            Self::HandlerNotPresent => "a guest kernel keeps its trap handlers resident",
            Self::HandlerNotExecutable => "a trap handler lies in a page that ring 1 may execute",
            Self::HandlerSegmentNotPresent => "the code segment of a trap handler is present",
            Self::HandlerSegmentInvalid => {
                "the selector of a trap handler names a 64-bit ring-1 code segment"
            }
            Self::KernelStackNotPresent => "a guest kernel keeps its stack resident",
            Self::KernelStackReadOnly => "a guest kernel's stack can be written",
            Self::KernelStackForbidden => "a guest kernel's stack lies outside the hypervisor's slot",
            Self::KernelStackNonCanonical => "a guest kernel's stack has a canonical address",
            Self::CallbackNotPresent => {
                "a guest kernel keeps its syscall entry and its event upcall resident"
            }
            Self::ReturnFrameInvalid => {
                "the place that a guest returns to is canonical and its segments are present"
            }
            Self::GuestPanic => "none: the guest kernel gave up by itself",
            Self::OutOfMemory => {
                "a domain's memory holds its kernel, its module, its tables, and is to be had"
            }
            Self::KernelImageInvalid => {
                "a kernel is an ELF64 executable for x86-64 that lies outside the slot"
            }
            Self::Destroyed => "none: it was ended from the console",
            Self::DoubleFault => "a trap that the CPU delivers by itself can be delivered",
            Self::VirtualMode => "guests run 64-bit code: long mode has no virtual-8086 mode",
        }
    }

    /// Why the rule exists, for people.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::HandlerNotPresent | Self::CallbackNotPresent | Self::KernelStackNotPresent => {
                "xen-lite does no paging for guests: only the guest knows where the page went, and the code that \
                 could bring it back is what cannot run"
            }
            Self::HandlerNotExecutable | Self::KernelStackReadOnly => {
                "the rights of a page are its guest's own decision, and the code that could change them is what cannot run"
            }
            Self::NoHandler
            | Self::HandlerSegmentNotPresent
            | Self::HandlerSegmentInvalid
            | Self::DoubleFault => {
                "there is no other place to deliver the trap to: the fault happened inside the delivery itself"
            }
            Self::KernelStackForbidden | Self::KernelStackNonCanonical => {
                "a trap frame written there would hit the hypervisor, or nothing"
            }
            Self::ReturnFrameInvalid => "the CPU cannot resume a guest at a place that it refuses",
            Self::VirtualMode => {
                "its selectors mean nothing, and no CPU can be brought there; QEMU's TCG can, by a 32-bit iret with VM \
                 set, from any ring"
            }
            Self::GuestPanic | Self::Destroyed => "",
            Self::OutOfMemory | Self::KernelImageInvalid => "a domain is built whole or not at all",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_of_what_is_absent_is_it_said_that_nobody_can_page_it_in() {
        for reason in Reason::ALL {
            let is_absent =
                reason.name().ends_with("-not-present") && *reason != Reason::HandlerSegmentNotPresent;
            assert_eq!(
                reason.why().contains("no paging for guests"),
                is_absent,
                "{}",
                reason.name()
            );
        }
    }
}
