//! Cases about events: ports, the upcall, the timer, and the pages that tell of them.
use super::Case;
use abi::reason::Reason;

/// What an honest guest relies on, what is refused, and what a hostile one can put into its page of event bits.
pub(super) const EVENTS: &[Case] = &[
    Case::passes(
        "upcall-frame",
        "An upcall from either ring finds the interrupted registers, a frame as of a bounced trap, and the mask set; \
         its return leaves everything as it was.",
    ),
    Case::refused(
        "upcall-refuses",
        "With no upcall registered events wait for one. One that is not canonical or in the slot, and a region that is \
         empty or backwards, are refused, and the old one stays.",
    ),
    Case::passes(
        "upcall-in-the-region",
        "An event that is due between clear-mask and iretq enters the upcall on the frame that lies there: the stack \
         does not grow, however events fall.",
    ),
    Case::passes(
        "upcall-keeps-the-words",
        "An upcall that faults comes between a page fault and the read of its address: the handler still reads the \
         right one, since the upcall restores what it found. Else user A would go on at user B's address.",
    ),
    Case::passes(
        "upcall-moves-the-stack",
        "An upcall that interrupts a user program sets another stack for its traps: the next one is there already.",
    ),
    Case::passes(
        "traps-that-mask-events",
        "A handler registered so starts with the upcall masked, whoever delivers its trap: the bounce, or the \
         hypervisor after a jump to nowhere or a syscall without entry; others leave it as it was.",
    ),
    Case::passes(
        "nonsense-in-shared-info",
        "A page of event bits full of nonsense costs its guest upcalls, and nobody else anything; the bits decide what \
         this guest is told, and not whom its ports notify.",
    ),
    Case::passes(
        "ports-and-masks",
        "An event to oneself comes before the call returns; a masked port or upcall only notes it; unmasking delivers \
         it, once; waiting unmasks.",
    ),
    Case::refused(
        "ports-refuse",
        "Ports that do not exist, are closed, are bound already, or of domains that were never there, are refused; a \
         port that is closed leaves its other end unbound.",
    ),
    Case::refused(
        "ports-run-out",
        "All 1023 ports are taken: the next one is refused. All are closed, and can be had again.",
    ),
    Case::passes(
        "one-shot-timer",
        "The timer fires once and not before its time, can be replaced and cancelled; a deadline that is over fires at \
         once, from inside a multicall too, and one beyond all time never.",
    ),
    Case::passes(
        "time-page",
        "Time goes forward; virtual time is at most real time and stands still while the domain waits; the page cannot \
         be written, and no call sets its clock: a guest that could would set everybody's.",
    ),
    Case::passes(
        "time-page-is-never-torn",
        "Others have turns between the reads of two fields: then the version says so, and where it says nothing the \
         fields belong together.",
    ),
];

/// Upcalls that cannot be delivered: these runs die in turn, by each way to come to an upcall.
pub(super) const KILLS: &[Case] = &[
    Case::dies(
        "upcall-not-there",
        Reason::CallbackNotPresent,
        "The upcall's page is absent, not executable, or was paged out after it had worked.",
    )
    .times(3),
    Case::dies(
        "upcall-on-absent-stack",
        Reason::KernelStackNotPresent,
        "An upcall is due while the stack pointer aims at an absent page: by a hypercall and by a tick, with a frame \
         of its own and in the region. Then just past the slot.",
    )
    .times(5),
    Case::dies(
        "upcall-on-read-only-stack",
        Reason::KernelStackReadOnly,
        "The same at a read-only page, and at a page table, which the frame would overwrite: the hypervisor's own store \
         is judged as the guest's would be.",
    )
    .times(4),
    Case::dies(
        "upcall-on-forbidden-stack",
        Reason::KernelStackForbidden,
        "The same at the switcher's stacks, and at shared_info, which is writable and yet no stack; then at the slot's \
         last word.",
    )
    .times(5),
    Case::dies(
        "upcall-on-non-canonical-stack",
        Reason::KernelStackNonCanonical,
        "The same at what is no address.",
    )
    .times(4),
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
         handler's look at its word: the handler finds the right one. That no instruction was left out is checked.",
    ),
];

/// Two domains that know each other by the command line.
pub(super) const PEERS: &[Case] = &[
    Case::passes(
        "event-peer",
        "Events wake the other domain and come back; a storm of them leaves the receiver time to run; the end of one \
         side leaves the other's port unbound.",
    ),
    Case::anything_orderly(
        "events-to-the-mortal",
        "One sends without end to another that ends in order, reboots, panics, and is killed by the event itself. The \
         sender is told by its port; the next incarnation finds no event and no port of the last one's.",
    )
    .times(8),
    Case::passes(
        "events-to-the-paused",
        "One sends to another that a person has paused: it is not woken, and finds what came when it goes on.",
    ),
];
