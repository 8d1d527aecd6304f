//! What a hostile guest kernel would do next: cases that once hurt, and cases that come close.
use super::{Case, End};
use abi::reason::Reason;

/// Against the switcher and the ways in and out.
pub(super) const ENTRIES: &[Case] = &[
    Case::faults(
        "missing-syscall-with-a-direct-handler",
        "`syscall` with no entry registered is a #UD for a kernel that takes #UD directly, too: the CPU's own frame, on \
         the stack of stack_switch. A user program could else end its kernel with two bytes.",
    ),
    Case::dies(
        "missing-syscall-on-an-absent-stack",
        Reason::KernelStackNotPresent,
        "The same, when the stack of stack_switch is unmapped: the hypervisor itself has to store the frame, and finds \
         out before it does.",
    ),
    Case::passes(
        "missing-syscall-with-absurd-words",
        "Ring 1 jumps to the switcher's own `int` of a missing syscall with all words absurd that tell where the user \
         was: they are told to the guest as they are, and none is loaded.",
    ),
    Case::passes(
        "single-steps-across-every-way-in",
        "A single step across `int3`, a direct `int`, `syscall`, a hypercall, an iretq and loads of SS: each comes back \
         as #DB at the next instruction of the guest's, or not at all, and ring 0 takes no notice.",
    ),
    Case::passes(
        "shadow-of-a-stack-segment",
        "A load of SS holds interrupts and traps back for one instruction, which is a hypercall, a trap, a syscall.",
    ),
    Case::passes(
        "segments-that-vanish",
        "DS, ES, FS and GS hold segments of the guest's own, which it then clears, makes absent, or makes code, and \
         traps, calls, yields: nothing of the hypervisor's loads or uses them.",
    ),
    Case::passes(
        "bases-that-are-no-addresses",
        "FS and GS bases that are no addresses, set by instruction where the CPU lets it: traps, calls and a switch \
         of vCPU survive, and the base is then an address.",
    ),
    Case::passes(
        "probes-of-selectors",
        "LAR, LSL, VERR and VERW of every selector, and loads of every selector into DS, from both rings: an answer or \
         a fault, and no hypervisor segment is loaded.",
    ),
    Case::passes(
        "starts-clean",
        "A new vCPU finds zeros: in the words that it shares with the switcher, in the vector registers, in the \
         pointers that the x87 keeps of its last instruction, in its segment bases.",
    )
    .times(2),
    Case::passes(
        "direct-gates-are-ones-own",
        "Two guests register different handlers directly for the same vectors, and take turns.",
    ),
];

/// Into a mode that long mode does not have: QEMU's TCG lets ring 3 in, and its selectors look like ring 0's.
pub(super) const VIRTUAL_MODE: &[Case] = &[
    Case::dies(
        "iretd-to-virtual-8086-mode",
        Reason::VirtualMode,
        "A user program's 32-bit iret with VM set, and selectors whose low bits say ring 0: a page fault, a single step. \
         A faithful CPU ignores VM, and the guest gets a #GP.",
    )
    .times(2)
    .or_faults()
    .on_bochs(End::Passes),
    Case::dies(
        "interrupt-in-virtual-8086-mode",
        Reason::ReturnFrameInvalid,
        "The same, and then a loop: the timer interrupts what looks like the idle hypervisor.",
    )
    .or_faults()
    .on_bochs(End::Passes),
];

/// Against deliveries, to the last edge of the address space.
pub(super) const EDGES: &[Case] = &[
    Case::dies(
        "frame-ends-at-0-on-the-way-to-an-absent-segment",
        Reason::HandlerSegmentNotPresent,
        "A stack pointer near 0 puts the frame at the very top of the address space, where it fits; then the handler's \
         segment is absent. Who tells about it adds the frame's size to its address.",
    ),
    Case::dies(
        "frame-wraps-at-0",
        Reason::KernelStackNotPresent,
        "The same with the page at the top read and written, and not the one at 0: a frame across the two.",
    ),
];

/// Found dead when its turn comes: many of them, one after another.
pub(super) const DEAD_ON_RETURN: &[Case] = &[Case::dies(
    "yields-at-the-edge",
    Reason::ReturnFrameInvalid,
    "A yield whose last byte is the last canonical one leaves nowhere to return to. It shows when the guest's turn \
     comes; when many guests do it in one round, each is found dead while the last one's end is still on the stack.",
)];

/// Against whoever tells of an end: chains of frame pointers.
pub(super) const BACKTRACES: &[Case] = &[Case::dies(
    "frame-pointers-that-lead-astray",
    Reason::GuestPanic,
    "A kernel gives up with a chain of frame pointers that comes back to itself, leads into the slot, to a page that is \
     absent, to no address, to the end of all addresses, or goes on for ever: the record's backtrace ends, and nothing \
     is followed that the guest could not read itself.",
)
.times(BAD_CHAINS)];

/// Runs of `frame-pointers-that-lead-astray`.
pub const BAD_CHAINS: u32 = 8;

/// Against the time of others.
pub(super) const GREED: &[Case] = &[
    Case::passes(
        "prints-newlines",
        "An empty line is one byte for its writer and a whole prefix for the port. One call that prints four thousand \
         of them must not take the machine from everybody for a tenth of a second.",
    ),
    Case::passes(
        "pins-all-at-once",
        "The longest batch of the longest operation, and a list of such batches: each call comes back after its share.",
    ),
];

/// Nonsense, from fixed seeds.
pub(super) const NONSENSE: &[Case] = &[
    Case::anything_orderly(
        "random-code-in-ring-1",
        "Random bytes are run in ring 1 with random registers. Whatever they are, it is the guest's own affair.",
    )
    .times(40),
    Case::anything_orderly("random-code-in-ring-3", "Random bytes are run in ring 3: what they do comes back to the guest kernel.").times(4),
];
