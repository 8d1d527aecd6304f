//! Cases about events, the timer, and the pages that tell of them.
use super::Case;
use abi::reason::Reason;

/// What works, and what is refused.
pub(super) const EVENTS: &[Case] = &[
    Case::passes(
        "upcall-arrives",
        "An event is delivered once, masked, when neither the port nor the guest is masked; what came while they were \
         is delivered by unmask.",
    ),
    Case::passes(
        "ports-refuse",
        "Ports that do not exist, are closed, are bound already, or of domains that are dead or were never there, are \
         refused; a port that is closed leaves its other end unbound.",
    ),
    Case::passes(
        "ports-run-out",
        "All 1023 ports are taken: the next one is refused. All are closed, and can be had again.",
    ),
    Case::passes(
        "upcall-refuses",
        "An upcall or a region that is not canonical, in the slot, empty or backwards is refused, and the old one stays.",
    ),
    Case::passes(
        "upcall-in-the-region",
        "An event that is due between clear-mask and iretq enters the upcall on the frame that lies there: the stack \
         does not grow, however events fall.",
    ),
    Case::passes(
        "upcall-keeps-the-words",
        "An upcall that faults comes between a page fault and the read of its address: the handler still reads the \
         right one, since the upcall restores what it found.",
    ),
    Case::passes(
        "timer-fires",
        "The one-shot timer fires once and not before its time; late, cancelled and absurd deadlines.",
    ),
    Case::passes(
        "time-goes-on",
        "The time page is read-only, never torn, and never runs backwards; virtual time is at most real time.",
    ),
    Case::passes(
        "junk-in-shared-info",
        "A guest fills its shared page with junk while events come: it costs itself events, and nobody else anything.",
    ),
    Case::passes(
        "masked-by-the-gate",
        "A trap that is registered to mask events does, from both rings; others do not.",
    ),
];

/// Upcalls that cannot be delivered.
pub(super) const EVENT_KILLS: &[Case] = &[
    Case::dies(
        "upcall-absent",
        Reason::CallbackNotPresent,
        "The upcall's page is absent: from the start, then after it worked.",
    )
    .times(2),
    Case::dies("upcall-no-execute", Reason::CallbackNotPresent, "The upcall's page is marked no-execute."),
    Case::dies(
        "upcall-on-absent-stack",
        Reason::KernelStackNotPresent,
        "An event is due while the kernel's stack pointer is at an unmapped page.",
    ),
    Case::dies(
        "upcall-on-read-only-stack",
        Reason::KernelStackReadOnly,
        "An event is due while the kernel's stack is mapped read-only.",
    ),
    Case::dies(
        "upcall-on-forbidden-stack",
        Reason::KernelStackForbidden,
        "An event is due while the kernel's stack pointer aims at the switcher's stacks.",
    ),
    Case::dies(
        "upcall-on-non-canonical-stack",
        Reason::KernelStackNonCanonical,
        "An event is due while the kernel's stack pointer is no address.",
    ),
    Case::dies(
        "region-on-absent-stack",
        Reason::KernelStackNotPresent,
        "The same inside the region, where one word is pushed below the frame: at an unmapped page, and just past the \
         slot, whose end is never mapped.",
    )
    .times(2),
    Case::dies(
        "region-on-read-only-stack",
        Reason::KernelStackReadOnly,
        "Inside the region, on a read-only page: the hypervisor's store is judged as the guest's would be.",
    ),
    Case::dies(
        "region-on-forbidden-stack",
        Reason::KernelStackForbidden,
        "Inside the region, aimed at the switcher's stacks and at the slot's last word: this store is made by the \
         hypervisor's own hand.",
    )
    .times(2),
    Case::dies(
        "region-on-non-canonical-stack",
        Reason::KernelStackNonCanonical,
        "Inside the region, at no address at all.",
    ),
];
