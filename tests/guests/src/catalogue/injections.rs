//! Cases in which the CPU or the hypervisor delivers a fault to the guest, or nothing happens at all.
use super::Case;

/// Instructions that ring 0 alone may execute.
pub(super) const PRIVILEGED: &[Case] = &[
    Case::faults(
        "privileged-in-ring-1",
        "Every privileged instruction in ring 1 faults to the guest kernel, once, at that instruction, with every \
         register as it was. A CPU that executed one would have given away ring 0.",
    ),
    Case::faults(
        "privileged-in-ring-3",
        "The same in ring 3: the guest kernel gets the fault with the user's selectors, and may kill that program.",
    ),
    Case::faults(
        "every-msr",
        "RDMSR and WRMSR of every index that CPUs give to anything, from both rings: a #GP each time, and nothing is read \
         or written. There is no call for them either.",
    ),
    Case::passes(
        "silent-flags",
        "POPF and IRET that clear IF or set IOPL change neither, and say nothing: interrupts stay on in both rings.",
    ),
    Case::faults(
        "software-interrupts",
        "`int n` for all 256 n, from both rings: #BP and #OF arrive, the hypercall is one in ring 1, everything else \
         is a #GP, once.",
    )
    .times(2),
    Case::faults(
        "null-stack-segment",
        "Where the CPU keeps its word, ring 1 may load a null SS with RPL 1 and stays in ring 1; RPL 0 faults. Not \
         tried on TCG, which gives ring 0 away here.",
    ),
];

/// Ways to change the ring, and ways back.
pub(super) const RETURNS: &[Case] = &[
    Case::faults(
        "iretq-to-ring-0",
        "A guest's iretq with the hypervisor's selectors, or the right ones with another RPL: #GP at the iretq.",
    ),
    Case::faults(
        "iretq-with-odd-frames",
        "Mismatched and null stack segments, NT, a non-canonical address: #GP. VM, VIF and IOPL in the image are \
         ignored; TF gives #DB after one instruction; a null SS with RPL 1 back to ring 1 works.",
    ),
    Case::faults(
        "far-transfers",
        "Far calls, jumps and returns to every selector of the table, with every RPL: ring 1 stays ring 1.",
    ),
    Case::faults(
        "call-gate-at-address-0",
        "LDTR is live after a reset, with base 0: a guest that maps address 0, writes a call gate there and far-calls \
         an LDT selector would be in ring 0. Here it is a #GP, from ring 1 and from ring 3.",
    ),
    Case::faults(
        "syscall-without-entry",
        "`syscall` with no entry registered is a #UD for the guest kernel, never a jump to address 0; from ring 1 too.",
    ),
    Case::passes(
        "syscall-with-flags",
        "`syscall` with TF, NT, AC, DF and IOPL bits set by the user: the entry runs in ring 1 with clean flags, or \
         the guest gets #DB; ring 0 survives the single step.",
    ),
    Case::passes(
        "syscall-from-ring-1",
        "`syscall` in ring 1 enters like a user's: nothing concludes where it came from.",
    ),
    Case::passes(
        "syscall-words",
        "The user's stack pointer is in its word, rip in rcx, flags in r11, all else untouched.",
    ),
];

/// What a handler finds.
pub(super) const FRAMES: &[Case] = &[
    Case::passes(
        "bounced-frames-from-ring-1",
        "For every alignment of the stack pointer the frame is 16-aligned below the red zone, which is untouched; \
         registers, flags, rip and rsp are the interrupted ones; the error slot is there.",
    ),
    Case::passes(
        "bounced-frames-from-ring-3",
        "The frame ends at the stack of stack_switch, wherever that is.",
    ),
    Case::passes(
        "direct-frames",
        "A direct trap's frame is the CPU's own, from both rings, with registers kept; a fault inside the handler, \
         with its null SS, nests and returns.",
    ),
    Case::faults(
        "error-codes",
        "Error codes as the CPU gave them for #GP, #NP, #SS, #PF; 0 for vectors that have none. #BP and #OF come \
         after their instruction, faults at it.",
    ),
    Case::faults(
        "page-fault-address",
        "CR2's word is the address, for loads, stores and fetches, from both rings.",
    ),
    Case::passes(
        "entry-flags",
        "A bounced handler starts with clean flags, whatever DF, AC, NT and TF the interrupted code had.",
    ),
    Case::faults(
        "restarted-faults",
        "A page fault is mended by its handler and the instruction restarted, from both rings, a hundred times.",
    ),
    Case::faults(
        "null-call",
        "A jump to address 0 in ring 1 with empty vectors is an ordinary page fault, although its address equals the \
         empty entries'.",
    ),
    Case::faults(
        "handler-writes-to-itself",
        "A handler whose first instruction stores to its own address: CR2 equals RIP equals a handler, and yet it is \
         a data fault for the guest.",
    ),
    Case::passes(
        "handler-made-executable-without-flush",
        "A handler page is no-execute, then executable, with no flush asked for; the next trap arrives all the same.",
    ),
    Case::faults(
        "other-handler-straddles",
        "A handler that continues on an absent page, for a vector other than #PF, is the guest's to mend: it gets the \
         page fault.",
    ),
    Case::passes(
        "vector-state",
        "x87 and SSE registers start clean, survive other domains' turns, and hold nothing of theirs.",
    ),
    Case::passes(
        "stack-on-user-page",
        "A kernel stack on a user page serves, with AC set and clear (there is no SMAP), and no fault of the bounce's \
         own is made of it.",
    ),
    Case::passes(
        "extended-vector-state",
        "The upper halves of the AVX registers, where the CPU has them: clean at the start, kept, and nobody else's.",
    ),
    Case::passes(
        "registers-survive-preemption",
        "All general registers hold a pattern while timer ticks and other domains come and go.",
    ),
];

/// What ring 1 can do to the switcher, which is mapped around it.
pub(super) const SWITCHER: &[Case] = &[
    Case::faults(
        "slot-is-read-only",
        "Stores from ring 1 to the switcher's text, the GDT, the IDT, the TSS, the trap table, the time page and the \
         machine-to-pfn table fault; ring 3 cannot even read there.",
    ),
    Case::passes(
        "junk-in-the-switchers-data",
        "Ring 1 fills the switcher's read-write page with junk, patterns and forged ring-0 frames between traps, \
         hypercalls, system calls and waits: nothing there is trusted.",
    ),
    Case::passes(
        "secrets-of-others",
        "Another domain holds a value in all its registers while timer ticks come; it is never seen in the pages of \
         the slot that this one reads.",
    ),
];

/// Runs of `jumps-into-the-switcher`; each tries as many bytes as [`JUMPS_EACH`] says, the last one all that are left.
pub const JUMPS: u32 = 256;
/// See [`JUMPS`].
pub const JUMPS_EACH: u32 = 12;

/// What ring 1 finds when it runs ring 0's code.
pub(super) const SWITCHER_JUMPS: &[Case] = &[Case::anything_orderly(
    "jumps-into-the-switcher",
    "Ring 1 jumps to every byte of the switcher's text: whatever it meets there faults in ring 1, and is the \
         guest's own affair, up to a forbidden stack of its own making.",
)
.times(JUMPS)];

/// Text that means to fool a terminal, or a tool that reads the log.
pub(super) const CONSOLE: &[Case] = &[
    Case::passes(
        "forged-machine-lines",
        "A guest prints lines as the hypervisor prints them for machines and for people: they stay its own text, \
         behind its prefix.",
    ),
    Case::passes(
        "terminal-escapes",
        "Cursor reports, clipboard writes, title changes, C1 controls and their UTF-8 forms are shown as text.",
    ),
    Case::passes(
        "lines-without-end",
        "A line of ten thousand characters without an end, carriage returns, backspaces and bells cannot leave their \
         line or hide its prefix.",
    ),
];
