//! Cases in which the hypervisor says no and the guest lives.
use super::Case;

/// `set_trap_table` is the paper's check: all or nothing, with index and reason.
pub(super) const REGISTRATION: &[Case] = &[
    Case::refused(
        "refuses-reserved-selectors",
        "Every selector that names a segment of the hypervisor, with every RPL: a handler there would run in ring 0, \
         or in the task state. The index decides, not the value.",
    ),
    Case::refused(
        "refuses-other-privileges",
        "A handler's selector has RPL 1: the flat code segment with RPL 0, 2 and 3 is refused, and so is each of the \
         guest's own slots.",
    ),
    Case::refused(
        "refuses-null-selectors",
        "A null selector (0 to 3) names no segment: refused at registration.",
    ),
    Case::refused(
        "refuses-local-selectors",
        "There is no LDT: a selector with the table bit is refused.",
    ),
    Case::refused(
        "refuses-bad-addresses",
        "A handler is a canonical address outside the hypervisor's slot: both edges of the hole, and the first and \
         the last byte of the slot, are refused.",
    ),
    Case::refused(
        "refuses-direct-where-the-bounce-could-fault",
        "A direct entry for a vector that can arise inside the switcher (#PF, #GP, #SS, #NP, #TS, #DB), or that the \
         hypervisor keeps, is refused.",
    ),
    Case::refused(
        "refuses-direct-with-extras",
        "A direct entry masks no events and names exactly the flat ring-1 code selector.",
    ),
    Case::refused(
        "refuses-privilege-on-error-code-vectors",
        "`int 14`, `int 8`, `int 17` from ring 3 would enter a stub eight bytes off: a DPL on a vector with an error \
         code is refused, for #AC's direct entry too.",
    ),
    Case::refused(
        "refuses-reserved-vectors",
        "NMI, #DF, #MC, the reserved exceptions, the interrupts' vectors and the hypercall's are not the guest's: it \
         cannot take over its own hypercalls.",
    ),
    Case::refused(
        "refuses-soft-vectors-that-bounce",
        "A software vector is direct or refused.",
    ),
    Case::refused(
        "refuses-unknown-flags",
        "Unknown flags and padding that is not zero are refused.",
    ),
    Case::refused(
        "refuses-all-or-nothing",
        "One bad entry at position k of n: none of the n is installed, k and the reason are reported, for every k.",
    ),
    Case::refused(
        "refuses-bad-table-pointers",
        "A table at null, in the slot, wrapping past 2^64, straddling the canonical edge, running into an unmapped \
         page, or too long: an error, and the old table is intact.",
    ),
    Case::passes(
        "direct-then-bounced-then-direct",
        "The same vector registered direct, then bounced, then direct: the gate follows.",
    ),
];

/// `update_descriptor` and what runs on its segments.
pub(super) const DESCRIPTORS: &[Case] = &[
    Case::refused(
        "refuses-privileged-descriptors",
        "Data and code of DPL 0 and 2, system segments and every kind of gate are refused: each would be a way to \
         ring 0.",
    ),
    Case::refused(
        "refuses-32-bit-code",
        "Code with L=0 of any DPL, L=D=1, and conforming code are refused: no 32-bit segment ever exists, so that no \
         compatibility-mode entry does either.",
    ),
    Case::refused(
        "refuses-reserved-slots",
        "Slots that are the hypervisor's, the null slot, slots beyond the table and the local table are refused.",
    ),
    Case::passes(
        "accessed-is-forced",
        "A descriptor without the accessed bit is taken and loads without a fault: the CPU never needs to write the \
         read-only table.",
    ),
    Case::passes(
        "own-segments-survive-a-switch",
        "A guest's own segments serve it before and after it has been descheduled.",
    ),
    Case::passes(
        "data-selectors-become-null",
        "DS, ES, FS and GS are null after the vCPU was switched away; the hypervisor never loads a guest's selectors.",
    ),
];

/// All other calls, with what a hostile kernel would pass.
pub(super) const CALLS: &[Case] = &[
    Case::refused(
        "unknown-calls",
        "Unknown hypercall numbers and unknown sub-functions give ENOSYS, and nothing else.",
    ),
    Case::refused(
        "no-debug-registers",
        "There is no set_debugreg, as there are no debug registers for guests.",
    ),
    Case::passes(
        "hypercall-clobbers-what-it-says",
        "What a hypercall keeps and what it clears is written down; nothing of the hypervisor is left in a register.",
    ),
    Case::faults(
        "hypercall-from-ring-3",
        "`int 0x82` in a user program is a #GP for its kernel.",
    ),
    Case::refused(
        "bad-in-pointers",
        "Every call that reads memory, with null, a hole, the slot, a non-canonical address, a wrap, a buffer that \
         runs into an unmapped page: EFAULT.",
    ),
    Case::refused(
        "bad-out-pointers",
        "Every call that writes memory, aimed at a read-only page, the guest's own page tables, the GDT, the IDT, the \
         switcher's stacks, the machine-to-pfn table, a range that ends in the slot: EFAULT, and nothing is written.",
    ),
    Case::passes(
        "good-pointers",
        "Buffers that cross from one page to the next with frames out of order, and a buffer that ends at the last \
         byte of a mapping, are served.",
    ),
    Case::refused(
        "batches-are-bounded",
        "mmu_update and mmuext_op take so many elements and no more; a bad element stops the batch, and rdx says how \
         far it came.",
    ),
    Case::refused(
        "segment-bases",
        "FS and GS bases that are not canonical, or in the slot, are refused; a good one is there for the next load \
         and after a switch.",
    ),
    Case::passes(
        "gs-base-means-nothing-to-entries",
        "GS is aimed at an unmapped page and traps come: no entry of the hypervisor uses a guest's GS.",
    ),
    Case::refused(
        "stack-switch-refuses",
        "A trap stack that is not canonical, not 16-aligned, or in the slot is refused, and the old one stays.",
    ),
    Case::refused(
        "callback-refuses",
        "A syscall entry that is not canonical or in the slot is refused, and the old one stays; so are unknown types.",
    ),
    Case::passes(
        "console-limits",
        "console_io moves what fits: nothing for 0, no more than its limit, and says so.",
    ),
    Case::passes(
        "block-with-a-timeout-returns",
        "A blocked guest with a timeout goes on, and time has passed.",
    ),
    Case::passes("yield-returns", "A guest that yields a hundred times goes on."),
    Case::passes(
        "multicall",
        "Several calls for one entry: each has its own result, a refused one does not stop the others, the list may lie \
         across pages, its length is bounded.",
    ),
    Case::refused(
        "multicall-refuses",
        "A multicall in a multicall, and calls that may not come back, are refused one by one; a list that cannot be \
         written is EFAULT.",
    ),
    Case::refused(
        "memory-op",
        "Frames are given up and had again, zeroed, never more than the domain's share; one that is mapped, a page \
         table, foreign, given up already, or no frame at all is refused.",
    ),
    Case::refused(
        "machine-to-pfn",
        "A guest says by which pfn it knows its own frames; entries of other frames, and the table's own pages, are not \
         its to write.",
    ),
    Case::passes("version", "xen_version says who is there, and start_info agrees."),
];

/// Direct paging: what would give a guest a writable page table or a frame that is not its own.
pub(super) const PAGING: &[Case] = &[
    Case::refused(
        "tables-are-never-writable",
        "A page-table frame mapped writable, by update_va_mapping or mmu_update, at its own place or at an alias, \
         before or after a pin: refused.",
    ),
    Case::refused(
        "a-writable-frame-is-no-table",
        "A frame with a writable mapping cannot be pinned as a table of any level.",
    ),
    Case::refused(
        "foreign-frames",
        "Frames that are not the guest's (the hypervisor's, another domain's, beyond all memory, devices') cannot be \
         mapped, read-only or not.",
    ),
    Case::refused(
        "forbidden-bits",
        "Large pages at L2 and L3, PWT, PCD, PAT, G, protection keys, in a present entry: refused one by one; an entry \
         that is not present may hold anything.",
    ),
    Case::refused(
        "the-slot-is-not-the-guests",
        "Writes to slot 256 of the root by mmu_update, and update_va_mapping of addresses in the slot: refused.",
    ),
    Case::refused(
        "roots",
        "A new root must be a pinned L4: an L1, a data frame, an unpinned one, another's, low bits set: refused, and \
         the old root stays.",
    ),
    Case::refused(
        "pins",
        "Pinning twice, unpinning what is not pinned, one frame as two levels, the live root: refused.",
    ),
    Case::passes(
        "a-second-root-serves",
        "A root that the guest built by itself becomes current, with the switcher in its slot 256; traps arrive; the \
         first one serves again.",
    ),
    Case::refused(
        "a-root-with-slot-256-is-refused",
        "A frame that has something in entry 256 cannot become a root: the guest would name the hypervisor's tables.",
    ),
    Case::passes(
        "one-table-in-two-places",
        "Two L2 entries share an L1 table, one read-only: the CPU takes the stricter of each path, and the frames' \
         counts hold.",
    ),
    Case::faults(
        "user-pages-and-ring-1",
        "Ring 1 reads and writes a user page (there is no SMAP) and cannot execute it (SMEP).",
    ),
    Case::faults(
        "stale-translations",
        "A page is unmapped or made read-only with a flush: the next access faults.",
    ),
    Case::passes(
        "fresh-frames-are-zero",
        "All frames that a guest is given are zero, whoever had them before.",
    )
    .times(2),
    Case::refused(
        "no-alias-of-the-slot",
        "The frames of the GDT, the IDT, the switcher's stacks and of the slot's own tables are the hypervisor's: no \
         frame number in reach of a guest maps them.",
    ),
];
