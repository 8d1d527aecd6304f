//! Cases that end in a kill: what the hypervisor cannot deliver, and where it cannot return.
use super::{Case, End};
use abi::reason::Reason;

/// Handlers that cannot be fetched, and handlers that are not there.
pub(super) const HANDLERS: &[Case] = &[
    Case::dies(
        "bounced-handler-absent",
        Reason::HandlerNotPresent,
        "A handler's page is absent when it is registered; the first delivery finds out. xen-lite pages nothing in, \
         and a recursion of page faults would only end at the stack's end. One run for each vector.",
    )
    .times(9),
    Case::dies(
        "page-fault-handler-absent",
        Reason::HandlerNotPresent,
        "The page-fault handler itself is absent: nobody else could bring it back, so the guest ends at once and not \
         when its stack is exhausted.",
    ),
    Case::dies(
        "direct-handler-absent",
        Reason::HandlerNotPresent,
        "A direct trap enters ring 1 without the hypervisor; its absent handler is found by the page fault of the \
         first fetch all the same. One run for each vector.",
    )
    .times(9),
    Case::dies(
        "direct-handler-absent-from-ring-3",
        Reason::HandlerNotPresent,
        "The same, when a user program's `int 0x80` or #UD is what enters.",
    )
    .times(2),
    Case::dies(
        "bounced-handler-paged-out",
        Reason::HandlerNotPresent,
        "A handler that worked is paged out afterwards; the next delivery finds out. One run for each vector.",
    )
    .times(9),
    Case::dies(
        "page-fault-handler-paged-out",
        Reason::HandlerNotPresent,
        "The page-fault handler worked, then its own page went the way of the others.",
    ),
    Case::dies(
        "direct-handler-paged-out",
        Reason::HandlerNotPresent,
        "A direct handler (#UD, then int 0x80) worked, then was paged out.",
    )
    .times(2),
    Case::dies(
        "handler-absent-from-ring-3",
        Reason::HandlerNotPresent,
        "A user program's fault is bounced to a handler that is absent: the guest kernel broke the rule, so the guest \
         dies, whoever faulted.",
    ),
    Case::dies(
        "handler-no-execute",
        Reason::HandlerNotExecutable,
        "A handler's page is marked no-execute: #UD, #PF, and a direct #UD.",
    )
    .times(3),
    Case::dies(
        "handler-on-user-page",
        Reason::HandlerNotExecutable,
        "A handler works on a supervisor page and stops being fetchable when the page becomes the user's (SMEP): #UD, \
         #PF, and a direct #UD.",
    )
    .times(3),
    Case::dies(
        "page-fault-handler-straddles",
        Reason::KernelStackNotPresent,
        "The page-fault handler's first instruction continues on an absent page. The fetch that fails is not at its \
         first byte, so the recursion runs, as on bare hardware, to the end of the stack.",
    ),
    Case::dies(
        "page-fault-handler-faults-first",
        Reason::KernelStackNotPresent,
        "The page-fault handler's first instruction loads from an absent page: a recursion that ends at the guard \
         page below the stack, in bounded time.",
    ),
    Case::dies(
        "no-handler",
        Reason::NoHandler,
        "A trap for which nothing is registered has nowhere to go. One run for each vector.",
    )
    .times(10),
    Case::dies(
        "no-handler-from-ring-3",
        Reason::NoHandler,
        "A user program faults and its kernel has registered nothing at all.",
    ),
    Case::dies(
        "table-cleared-in-handler",
        Reason::NoHandler,
        "A handler takes its own entry away and then faults the same way: the second fault finds the empty entry.",
    ),
    Case::dies(
        "syscall-entry-absent",
        Reason::CallbackNotPresent,
        "The registered syscall entry's page is absent when a user program calls.",
    ),
    Case::dies(
        "syscall-entry-paged-out",
        Reason::CallbackNotPresent,
        "The syscall entry worked, then was paged out.",
    ),
    Case::dies(
        "syscall-entry-no-execute",
        Reason::CallbackNotPresent,
        "The syscall entry's page became no-execute.",
    ),
    Case::dies(
        "guest-panic",
        Reason::GuestPanic,
        "A guest kernel gives up by itself: recorded like a kill, with the guest's own code.",
    ),
];

/// Handlers whose code segment the CPU refuses.
pub(super) const SEGMENTS: &[Case] = &[
    Case::dies(
        "handler-segment-removed",
        Reason::HandlerSegmentNotPresent,
        "A handler on a code segment of the guest's own works; then update_descriptor makes the segment not present. \
         Found by the #NP of the bounce's iretq.",
    ),
    Case::dies(
        "handler-segment-absent",
        Reason::HandlerSegmentNotPresent,
        "The handler's segment was never present: legal to register, as in the paper, and fatal at delivery.",
    ),
    Case::dies(
        "handler-segment-data",
        Reason::HandlerSegmentInvalid,
        "The handler's selector names a data segment: the guest's own, then the flat ring-1 one.",
    )
    .times(2),
    Case::dies(
        "handler-segment-ring-3",
        Reason::HandlerSegmentInvalid,
        "The handler's selector names ring-3 code with RPL 1: the guest's own, then the flat one.",
    )
    .times(2),
    Case::dies(
        "handler-segment-beyond",
        Reason::HandlerSegmentInvalid,
        "The handler's selector lies beyond the table: just past it, and at its far end.",
    )
    .times(2),
    Case::dies(
        "handler-segment-empty",
        Reason::HandlerSegmentInvalid,
        "The handler's selector names a slot that was never filled.",
    ),
];

/// Kernel stacks that cannot take a frame.
pub(super) const STACKS: &[Case] = &[
    Case::dies(
        "stack-absent",
        Reason::KernelStackNotPresent,
        "The kernel's stack pointer is at an unmapped page when a trap comes: bounced, then direct.",
    )
    .times(2),
    Case::dies(
        "stack-near-zero",
        Reason::KernelStackNotPresent,
        "The frame would wrap around address 0: stack pointers 0, 8, 64, 144.",
    )
    .times(4),
    Case::dies(
        "stack-read-only",
        Reason::KernelStackReadOnly,
        "The kernel's stack is mapped read-only: bounced, then direct.",
    )
    .times(2),
    Case::dies(
        "stack-on-page-table",
        Reason::KernelStackReadOnly,
        "The stack pointer names one of the guest's own page tables, which it may only read: a frame there would be \
         entries of its choice.",
    ),
    Case::dies(
        "stack-non-canonical",
        Reason::KernelStackNonCanonical,
        "Stack pointers that are no addresses: just above the lower half, in the middle of nowhere, just below the \
         upper half, all but the sign.",
    )
    .times(4),
    Case::dies(
        "direct-divide-on-non-canonical-stack",
        Reason::KernelStackNonCanonical,
        "A direct #DE in ring 1 with a stack pointer that is no address is a true double fault for the CPU. It is the \
         guest's, not the hypervisor's.",
    ),
    Case::dies(
        "stack-recursion",
        Reason::KernelStackNotPresent,
        "A handler that faults again and again, until the guard page below its stack.",
    ),
    Case::dies(
        "trap-stack-absent",
        Reason::KernelStackNotPresent,
        "The stack of stack_switch is unmapped when ring 3 traps: a bounced #UD, a direct #UD (the CPU itself faults \
         while it delivers), int 0x80, syscall.",
    )
    .times(4),
    Case::dies(
        "trap-stack-read-only",
        Reason::KernelStackReadOnly,
        "The same with a read-only page: bounced #UD, direct #UD, int 0x80, syscall.",
    )
    .times(4),
];

/// How many places in the slot the sweep tries.
pub const SWEEP: u32 = 256 + 8;

/// Stack pointers that aim at the hypervisor's slot.
pub(super) const STACK_SWEEP: &[Case] = &[
    Case::dies(
        "stack-in-slot",
        Reason::KernelStackForbidden,
        "The kernel's stack pointer aims into the hypervisor's slot: at every frame position of the page with the \
         switcher's live stacks, and at the text, the tables, the time page, shared_info and both ends. A bounce \
         that stored there would overlay its own frame.",
    )
    .times(SWEEP),
];

/// Places that ring 0 cannot return to.
pub(super) const EXITS: &[Case] = &[
    Case::faults(
        "hypercall-at-the-canonical-edge",
        "`int 0x82` whose last byte is the last canonical one saves a return address that is none. A faithful CPU \
         refuses it at the exit iretq, in ring 0: the guest's fault, not the hypervisor's. TCG checks after the \
         iretq, so the guest gets the #GP there.",
    )
    .on_bochs(End::Killed(Reason::ReturnFrameInvalid)),
    Case::dies(
        "own-code-segment-removed",
        Reason::ReturnFrameInvalid,
        "A guest runs on a code segment of its own and makes it not present by hypercall: the exit iretq gets the \
         #NP.",
    ),
    Case::dies(
        "own-code-segment-becomes-data",
        Reason::ReturnFrameInvalid,
        "The same, when the code segment becomes a data segment meanwhile.",
    ),
    Case::dies(
        "own-stack-segment-removed",
        Reason::ReturnFrameInvalid,
        "The same with the stack segment, which the exit iretq loads too.",
    ),
];
