//! Events, the upcall, the timer and the time page.
use super::Case;
use abi::reason::Reason;

/// What an honest guest relies on, and what a hostile one can put into its page of event bits.
pub(super) const UPCALLS: &[Case] = &[
    Case::passes(
        "upcall-frame",
        "An upcall from either ring finds the interrupted registers, a frame as of a bounced trap, and the mask set; \
         its return leaves everything as it was.",
    ),
    Case::passes(
        "ports-and-masks",
        "An event to oneself comes before the call returns; a masked port or upcall only notes it; unmasking delivers \
         it, once.",
    ),
    Case::passes(
        "one-shot-timer",
        "The timer fires once and not before its time, can be replaced and cancelled, and a deadline that is over \
         fires at once, from inside a multicall too.",
    ),
    Case::passes(
        "time-page",
        "Time goes forward; virtual time stands still while the domain waits; the page cannot be written.",
    ),
    Case::passes(
        "upcall-unregistered",
        "With no upcall registered events wait for one; bad addresses and regions are refused.",
    ),
    Case::passes(
        "traps-that-mask-events",
        "A handler registered so starts with the upcall masked, whoever delivers its trap: the bounce, or the \
         hypervisor after a jump to nowhere or a syscall without entry.",
    ),
    Case::passes(
        "nonsense-in-shared-info",
        "A page of event bits full of nonsense costs its guest upcalls, and nobody else anything.",
    ),
];

/// Upcalls that cannot be delivered: these runs die in turn.
pub(super) const UPCALL_ENDS: &[Case] = &[
    Case::dies(
        "upcall-not-there",
        Reason::CallbackNotPresent,
        "The upcall's page is absent, not executable, or was paged out after it had worked.",
    )
    .times(3),
    Case::dies(
        "upcall-finds-absent-stack",
        Reason::KernelStackNotPresent,
        "An upcall is due while the stack pointer aims at an absent page. A new frame, then the one of the return region.",
    )
    .times(2),
    Case::dies(
        "upcall-finds-page-table",
        Reason::KernelStackReadOnly,
        "The same at a page table, which the frame would overwrite. A new frame, then the one of the return region.",
    )
    .times(2),
    Case::dies(
        "upcall-finds-shared-info",
        Reason::KernelStackForbidden,
        "The same at shared_info, which is writable and yet no stack. A new frame, then the one of the return region.",
    )
    .times(2),
    Case::dies(
        "upcall-finds-no-address",
        Reason::KernelStackNonCanonical,
        "The same at what is no address. A new frame, then the one of the return region.",
    )
    .times(2),
];

/// Swept instruction by instruction, where the clock counts them.
pub(super) const WINDOWS: &[Case] = &[
    Case::passes(
        "event-in-the-return",
        "An event at each instruction of the upcall's return, from the clearing of the mask to the iretq: served once, \
         and the stack does not grow.",
    ),
    Case::passes(
        "words-across-an-upcall",
        "An upcall that faults itself, at each instruction between the delivery of a page fault or a syscall and the \
         handler's look at its word: the handler finds the right one.",
    ),
];

/// Two domains that know each other by the command line.
pub(super) const PEERS: &[Case] = &[Case::passes(
    "event-peer",
    "Events wake the other domain and come back; a storm of them leaves the receiver time to run; the end of one side \
     leaves the other's port unbound.",
)];
