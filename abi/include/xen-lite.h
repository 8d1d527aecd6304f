/* The interface between xen-lite and its guests, for C (C11, gcc or clang, x86-64) and for assembly.
 *
 * abi/README.md says what all of it means. This file is written from the crate `abi`:
 *     cargo run -p abi --example c-header
 * Nothing here needs a library: stddef.h and stdint.h come with the compiler. In assembly there are the numbers alone;
 * those that begin with XL_OFFSET_ and XL_SIZE_ are the layout of the structures.
 */
#ifndef XEN_LITE_H
#define XEN_LITE_H

/* Hypercalls ------------------------------------------------------------------------------------------------------- */

#define XL_HYPERCALL_VECTOR 0x82                /* The vector of a hypercall. */

#define XL_CALL_SET_TRAP_TABLE 0                /* (table, count): an array of struct xl_trap_info. */
/* (requests, count): an array of struct xl_mmu_update. rdx: how many were done. */
#define XL_CALL_MMU_UPDATE 1
#define XL_CALL_STACK_SWITCH 3                  /* (rsp): the stack on which traps from ring 3 arrive. */
/* (selector, descriptor): the selector with RPL and table bit 0, of a guest entry (16 to 31). Data, or code that is
 * 64-bit and not conforming, of DPL 1 or 3, present or not; 0 clears the entry. */
#define XL_CALL_UPDATE_DESCRIPTOR 10
#define XL_CALL_MEMORY_OP 12                    /* (command, ...), see "Memory: memory_op". */
/* (entries, count): an array of struct xl_multicall_entry. rdx: how many were done. */
#define XL_CALL_MULTICALL 13
/* (va, entry, flags): write one L1 entry of the current address space. */
#define XL_CALL_UPDATE_VA_MAPPING 14
#define XL_CALL_SET_TIMER_OP 15                 /* (deadline_ns), see "Time, and set_timer_op". */
#define XL_CALL_XEN_VERSION 17                  /* (command, buffer), see "Version: xen_version". */
#define XL_CALL_CONSOLE_IO 18                   /* (command, count, buffer), see "Console: console_io". */
#define XL_CALL_SET_SEGMENT_BASE 25             /* (which, base): see XL_BASE_. */
/* (operations, count): an array of struct xl_mmuext_op. rdx: how many were done. */
#define XL_CALL_MMUEXT_OP 26
#define XL_CALL_SCHED_OP 29                     /* (command, ...), see "Waiting and ending: sched_op". */
/* (command, type, address, region_start, region_end), see "Entry points that are not traps: callback_op". */
#define XL_CALL_CALLBACK_OP 30
#define XL_CALL_EVENT_CHANNEL_OP 32             /* (command, ...), see "Events: event_channel_op". */

#define XL_BASE_FS 0                            /* FS. */
/* GS. There is no swapgs in ring 1, so there is one GS base and no kernel GS base. */
#define XL_BASE_GS 1

/* Errors ----------------------------------------------------------------------------------------------------------- */

#define XL_EPERM 1                              /* Not allowed to this domain, or at this moment. */
#define XL_ENOENT 2                             /* No such thing. */
#define XL_ESRCH 3                              /* No such domain. */
#define XL_E2BIG 7                              /* More elements than one call takes. */
#define XL_EAGAIN 11                            /* Later, perhaps. */
#define XL_ENOMEM 12                            /* No memory left. */
/* A pointer argument that cannot be read, or written, as the call needs. */
#define XL_EFAULT 14
#define XL_EBUSY 16                             /* In use in a way that forbids it (a page type, a live root). */
#define XL_EEXIST 17                            /* There already. */
#define XL_EINVAL 22                            /* An argument outside its range. */
#define XL_ENOSPC 28                            /* No port or slot left. */
#define XL_ENOSYS 38                            /* No such hypercall or sub-function. */

/* Reasons for which a guest is ended ------------------------------------------------------------------------------- */

#define XL_REASON_NO_HANDLER 1                  /* A trap for which nothing is registered. */
#define XL_REASON_HANDLER_NOT_PRESENT 2         /* The page of a registered handler is not present. */
/* The page of a registered handler may not be executed in ring 1: no-execute, or a user page under SMEP. */
#define XL_REASON_HANDLER_NOT_EXECUTABLE 3
#define XL_REASON_HANDLER_SEGMENT_NOT_PRESENT 4 /* The handler's code segment is not present. */
#define XL_REASON_HANDLER_SEGMENT_INVALID 5     /* The handler's selector names no ring-1 code segment. */
/* The kernel stack on which a trap was to be delivered is not mapped. */
#define XL_REASON_KERNEL_STACK_NOT_PRESENT 6
/* The kernel stack on which a trap was to be delivered is mapped read-only. */
#define XL_REASON_KERNEL_STACK_READ_ONLY 7
/* The kernel stack on which a trap was to be delivered lies in the hypervisor's slot. */
#define XL_REASON_KERNEL_STACK_FORBIDDEN 8
/* The kernel stack on which a trap was to be delivered is not a canonical address. */
#define XL_REASON_KERNEL_STACK_NON_CANONICAL 9
/* The page of the registered syscall entry or event upcall is not present or not executable. */
#define XL_REASON_CALLBACK_NOT_PRESENT 10
/* The CPU refused the frame that a hypercall or interrupt returns to. */
#define XL_REASON_RETURN_FRAME_INVALID 11
#define XL_REASON_GUEST_PANIC 12                /* The guest kernel said so, by sched_op shutdown(crash). */
#define XL_REASON_OUT_OF_MEMORY 13              /* The domain could not be built: too little memory. */
/* The domain could not be built: its kernel is not a valid ELF64 executable. */
#define XL_REASON_KERNEL_IMAGE_INVALID 14
#define XL_REASON_DESTROYED 15                  /* A person ended it. */
/* The CPU raised a double fault while the guest ran, and its stack does not explain it. */
#define XL_REASON_DOUBLE_FAULT 16
/* It was in virtual-8086 mode when a trap came: an emulator let it in. */
#define XL_REASON_VIRTUAL_8086_MODE 17

/* Addresses -------------------------------------------------------------------------------------------------------- */

#define XL_PAGE_SIZE 4096                       /* Size of a page and of a machine frame, in bytes. */
#define XL_PAGE_SHIFT 12                        /* log2 of XL_PAGE_SIZE. */
#define XL_ENTRIES 512                          /* Entries of a page table. */
#define XL_HYPERVISOR_SLOT 256                  /* The L4 slot that belongs to xen-lite in every root table. */
#define XL_SWITCHER_TEXT_PAGES 4                /* Most pages that the switcher's text may take. */
#define XL_SLOT_BASE 0xffff800000000000         /* First address of XL_HYPERVISOR_SLOT. */
#define XL_SLOT_END 0xffff808000000000          /* First address past XL_HYPERVISOR_SLOT. */
#define XL_SWITCHER_TEXT 0xffff800000200000     /* Switcher text. */
#define XL_SWITCHER_RO 0xffff800000204000       /* Switcher read-only data. */
#define XL_SWITCHER_RW 0xffff800000208000       /* Switcher read-write data; struct xl_guest_words are at its start. */
#define XL_CR2_WORD 0xffff800000208000          /* Where cr2 is. */
#define XL_USER_RSP_WORD 0xffff800000208008     /* Where user_rsp is. */
#define XL_TIME_PAGE 0xffff800000209000         /* The time page: struct xl_time_info. */
#define XL_SHARED_INFO 0xffff80000020a000       /* struct xl_shared_info. */
/* The machine-to-pfn table: entry mfn is the pfn by which its owner knows that frame. */
#define XL_MACHINE_TO_PFN 0xffff800040000000
/* At start of day frame pfn of the domain is mapped at PHYSMAP + pfn * PAGE_SIZE: page tables read-only, all else
 * read-write, none executable. */
#define XL_PHYSMAP 0xffff880000000000

#define XL_SIZE_GUEST_WORDS 16
#define XL_OFFSET_GUEST_WORDS_CR2 0
#define XL_OFFSET_GUEST_WORDS_USER_RSP 8

/* Selectors -------------------------------------------------------------------------------------------------------- */

#define XL_HYPERVISOR_CS 0x8                    /* Hypervisor code, ring 0. */
#define XL_HYPERVISOR_DS 0x10                   /* Hypervisor data, ring 0. */
#define XL_KERNEL_CS 0x19                       /* Flat 64-bit code of the guest kernel, ring 1. */
#define XL_KERNEL_SS 0x21                       /* Flat data of the guest kernel, ring 1. */
#define XL_USER_SS 0x2b                         /* Flat data of user programs, ring 3. */
#define XL_USER_CS 0x33                         /* Flat 64-bit code of user programs, ring 3. */
#define XL_TSS 0x38                             /* The task-state segment; it takes two entries. */
#define XL_GDT_ENTRIES 32                       /* Entries of the GDT. */
/* First GDT entry that update_descriptor may set; the last one is GDT_ENTRIES - 1. */
#define XL_FIRST_GUEST_DESCRIPTOR 16

/* Start of day ----------------------------------------------------------------------------------------------------- */

#define XL_MAGIC 0x6574696c2d6e6578             /* "xen-lite" in memory order. */
#define XL_STACK_SIZE 16384                     /* Size of the initial stack, in bytes. */

#define XL_START_CONSOLE 0x1                    /* The user's keys went to this domain when it was built. */
/* The boot self-test found that this CPU (QEMU's TCG) gives ring 0 to ring-1 code that loads a null SS: do not load
 * one. */
#define XL_START_NULL_SS_UNSAFE 0x2
#define XL_START_SMEP 0x4                       /* Supervisor-mode execution prevention is on. */
#define XL_START_FSGSBASE 0x8                   /* RDFSBASE and its like work. */
#define XL_START_XSAVE 0x10                     /* XSAVE is on; XCR0 says which states. */
/* User-mode instruction prevention is on: SGDT, SIDT, STR, SMSW fault. */
#define XL_START_UMIP 0x20

#define XL_SIZE_START_INFO 1160
#define XL_OFFSET_START_INFO_MAGIC 0
#define XL_OFFSET_START_INFO_VERSION 8
#define XL_OFFSET_START_INFO_FLAGS 16
#define XL_OFFSET_START_INFO_DOMAIN_ID 24
#define XL_OFFSET_START_INFO_RESTART_COUNT 28
#define XL_OFFSET_START_INFO_NR_PAGES 32
#define XL_OFFSET_START_INFO_MFN_LIST 40
#define XL_OFFSET_START_INFO_MODULE 48
#define XL_OFFSET_START_INFO_MODULE_SIZE 56
#define XL_OFFSET_START_INFO_STACK 64
#define XL_OFFSET_START_INFO_PAGE_TABLES_PFN 72
#define XL_OFFSET_START_INFO_NR_PAGE_TABLES 80
#define XL_OFFSET_START_INFO_ROOT_MFN 88
#define XL_OFFSET_START_INFO_FIRST_FREE_PFN 96
#define XL_OFFSET_START_INFO_NAME 104
#define XL_OFFSET_START_INFO_COMMAND_LINE 136

/* Traps: set_trap_table -------------------------------------------------------------------------------------------- */

/* Lowest privilege that may raise the vector by int n; direct and software vectors only. */
#define XL_TRAP_DPL_MASK 0x3
#define XL_TRAP_MASK_EVENTS 0x4                 /* Mask events while the handler runs; not with XL_TRAP_DIRECT. */
/* The CPU itself delivers: an IDT trap gate straight to ring 1. Not for every vector: see abi/README.md. */
#define XL_TRAP_DIRECT 0x8

#define XL_MAX_TRAPS 256                        /* Most entries of one set_trap_table call. */
#define XL_EXCEPTIONS 32                        /* Number of exception vectors. */
#define XL_FIRST_SOFTWARE_VECTOR 0x40           /* First vector that a guest may use for int n of its own. */
#define XL_LAST_SOFTWARE_VECTOR 0x80            /* Last vector that a guest may use for int n of its own. */

#define XL_VECTOR_DE 0
#define XL_VECTOR_DB 1
#define XL_VECTOR_NMI 2
#define XL_VECTOR_BP 3
#define XL_VECTOR_OF 4
#define XL_VECTOR_BR 5
#define XL_VECTOR_UD 6
#define XL_VECTOR_NM 7
#define XL_VECTOR_DF 8
#define XL_VECTOR_TS 10
#define XL_VECTOR_NP 11
#define XL_VECTOR_SS 12
#define XL_VECTOR_GP 13
#define XL_VECTOR_PF 14
#define XL_VECTOR_MF 16
#define XL_VECTOR_AC 17
#define XL_VECTOR_MC 18
#define XL_VECTOR_XM 19

/* The vector is the hypervisor's: NMI, #DF, #MC, reserved exceptions, interrupts, the hypercall. */
#define XL_REFUSED_VECTOR_RESERVED 1
#define XL_REFUSED_SELECTOR_NULL 2              /* The selector is null. */
#define XL_REFUSED_SELECTOR_RESERVED 3          /* The selector names a segment of the hypervisor. */
#define XL_REFUSED_SELECTOR_PRIVILEGE 4         /* The selector's RPL is not 1. */
#define XL_REFUSED_SELECTOR_LOCAL 5             /* The selector has its table bit set: there is no LDT. */
#define XL_REFUSED_ADDRESS_NON_CANONICAL 6      /* The address is not canonical. */
#define XL_REFUSED_ADDRESS_FORBIDDEN 7          /* The address lies in the hypervisor's slot. */
#define XL_REFUSED_DIRECT_NOT_ALLOWED 8         /* This vector cannot be delivered directly. */
#define XL_REFUSED_DIRECT_SELECTOR 9            /* A direct entry must name the flat ring-1 code selector. */
#define XL_REFUSED_DIRECT_MASKS_EVENTS 10       /* A direct entry cannot mask events. */
#define XL_REFUSED_PRIVILEGE_NOT_ALLOWED 11     /* A DPL on a vector that cannot have one. */
#define XL_REFUSED_SOFTWARE_NOT_DIRECT 12       /* A software vector that is not direct. */
#define XL_REFUSED_FLAGS_RESERVED 13            /* Unknown flags, or padding that is not 0. */
#define XL_REFUSED_UNREADABLE 14                /* The entry could not be read (-EFAULT). */

#define XL_SIZE_TRAP_INFO 16
#define XL_OFFSET_TRAP_INFO_VECTOR 0
#define XL_OFFSET_TRAP_INFO_FLAGS 1
#define XL_OFFSET_TRAP_INFO_CS 2
#define XL_OFFSET_TRAP_INFO_PAD 4
#define XL_OFFSET_TRAP_INFO_ADDRESS 8

#define XL_SIZE_BOUNCE_FRAME 48
#define XL_OFFSET_BOUNCE_FRAME_ERROR_CODE 0
#define XL_OFFSET_BOUNCE_FRAME_RIP 8
#define XL_OFFSET_BOUNCE_FRAME_CS 16
#define XL_OFFSET_BOUNCE_FRAME_RFLAGS 24
#define XL_OFFSET_BOUNCE_FRAME_RSP 32
#define XL_OFFSET_BOUNCE_FRAME_SS 40

/* Page tables: mmu_update, update_va_mapping, mmuext_op ------------------------------------------------------------ */

#define XL_PTE_PRESENT 0x1                      /* The entry is valid. */
#define XL_PTE_WRITABLE 0x2                     /* Writes are allowed. */
#define XL_PTE_USER 0x4                         /* Ring 3 is allowed. */
#define XL_PTE_ACCESSED 0x20                    /* The CPU has used it. */
#define XL_PTE_DIRTY 0x40                       /* The CPU has written through it (L1). */
#define XL_PTE_AVAILABLE_LOW 0xe00              /* Free for the guest, low part. */
#define XL_PTE_AVAILABLE_HIGH 0x7f0000000000000 /* Free for the guest, high part. */
#define XL_PTE_NO_EXECUTE 0x8000000000000000    /* No instruction may be fetched. */

#define XL_PTE_FRAME 0xffffffffff000            /* The frame number's bits of an entry. */
/* Write a checked entry; accessed and dirty bits are taken from value. */
#define XL_MMU_NORMAL_PT_UPDATE 0
/* Say by which pfn one knows a frame of one's own: pointer is its machine address, value the pfn. */
#define XL_MMU_MACHPHYS_UPDATE 1
#define XL_MAX_BATCH 512                        /* Most requests of one mmu_update or mmuext_op call. */
#define XL_UVMF_NONE 0                          /* update_va_mapping: nothing to flush. */
#define XL_UVMF_TLB_FLUSH 1                     /* update_va_mapping: flush all of this vCPU's translations. */
#define XL_UVMF_INVLPG 2                        /* update_va_mapping: flush the translation of the address. */

#define XL_MMUEXT_PIN_L1 0                      /* Validate the frame as an L1 table and keep it one. */
/* Validate the frame as an L2 table; the L1 tables it names must be L1 tables already. */
#define XL_MMUEXT_PIN_L2 1
#define XL_MMUEXT_PIN_L3 2                      /* The same, one level up. */
/* The same for a root; its slot 256 must be empty and becomes xen-lite's. */
#define XL_MMUEXT_PIN_L4 3
#define XL_MMUEXT_UNPIN 4                       /* Undo a pin. */
#define XL_MMUEXT_NEW_BASEPTR 5                 /* Switch to another root (an L4 table). */
#define XL_MMUEXT_TLB_FLUSH_LOCAL 6             /* Flush this vCPU's translations. */
#define XL_MMUEXT_INVLPG_LOCAL 7                /* Flush one address's translation. */

#define XL_SIZE_MMU_UPDATE 16
#define XL_OFFSET_MMU_UPDATE_POINTER 0
#define XL_OFFSET_MMU_UPDATE_VALUE 8

#define XL_SIZE_MMUEXT_OP 24
#define XL_OFFSET_MMUEXT_OP_COMMAND 0
#define XL_OFFSET_MMUEXT_OP_PAD 4
#define XL_OFFSET_MMUEXT_OP_ARG1 8
#define XL_OFFSET_MMUEXT_OP_ARG2 16

/* Memory: memory_op ------------------------------------------------------------------------------------------------ */

/* (frames, count): writes count machine frame numbers of new frames, all zero. Returns how many were had, which may
 * be fewer. Never more than XL_MEMORY_MAXIMUM_RESERVATION in all. */
#define XL_MEMORY_INCREASE_RESERVATION 0
/* (frames, count): gives these machine frames up. They are mapped nowhere and no page tables. Returns how many were
 * given up: all before the first that is in use or not one's own. */
#define XL_MEMORY_DECREASE_RESERVATION 1
#define XL_MEMORY_CURRENT_RESERVATION 3         /* (): returns how many frames the domain has. */
#define XL_MEMORY_MAXIMUM_RESERVATION 4         /* (): returns how many frames it may have: as many as at its start. */

#define XL_MAX_FRAMES 512                       /* Most frames of one call. */

/* Several calls at once: multicall --------------------------------------------------------------------------------- */

#define XL_MAX_CALLS 64                         /* Most entries of one call. */

#define XL_SIZE_MULTICALL_ENTRY 64
#define XL_OFFSET_MULTICALL_ENTRY_NUMBER 0
#define XL_OFFSET_MULTICALL_ENTRY_RESULT 8
#define XL_OFFSET_MULTICALL_ENTRY_DETAIL 16
#define XL_OFFSET_MULTICALL_ENTRY_ARGUMENTS 24

/* Time, and set_timer_op ------------------------------------------------------------------------------------------- */

#define XL_SIZE_TIME_INFO 48
#define XL_OFFSET_TIME_INFO_VERSION 0
#define XL_OFFSET_TIME_INFO_TSC_TIMESTAMP 8
#define XL_OFFSET_TIME_INFO_SYSTEM_TIME_NS 16
#define XL_OFFSET_TIME_INFO_TSC_TO_NS_MUL 24
#define XL_OFFSET_TIME_INFO_VIRTUAL_TIME_NS 32
#define XL_OFFSET_TIME_INFO_WALL_CLOCK_S 40

/* Version: xen_version --------------------------------------------------------------------------------------------- */

#define XL_VERSION_VERSION 0                    /* Returns major << 16 | minor of the interface. */
#define XL_VERSION_EXTRAVERSION 1               /* (buffer): writes "-xen-lite", padded with NUL, 16 bytes. */

#define XL_VERSION_MAJOR 0                      /* Major version of this interface. */
#define XL_VERSION_MINOR 1                      /* Minor version of this interface. */

/* Console: console_io ---------------------------------------------------------------------------------------------- */

/* (count, buffer): write; returns how many bytes were taken, which may be fewer (even 0) when the ring is full. */
#define XL_CONSOLE_WRITE 0
/* (count, buffer): read what has been typed; returns how many bytes, 0 when nothing waits. */
#define XL_CONSOLE_READ 1

#define XL_MAX_TRANSFER 4096                    /* Most bytes that one call moves; a larger count is cut to it. */

/* Waiting and ending: sched_op ------------------------------------------------------------------------------------- */

#define XL_SCHED_YIELD 0                        /* (): let others run. */
/* (timeout_ns, wake_mask): sleep until a wake condition holds or, where timeout_ns is not 0, that much time has
 * passed. Returns at once when a condition holds already. rdx: all conditions that hold, those of the mask and
 * others. */
#define XL_SCHED_BLOCK 1
#define XL_SCHED_SHUTDOWN 2                     /* (reason, code): end this domain. Does not return. */

#define XL_WAKE_INPUT 1                         /* Wake condition: console input waits to be read. */
#define XL_WAKE_OUTPUT 2                        /* Wake condition: the console's output ring has room. */
/* Wake condition: an event is pending. Waiting for it clears the upcall mask, so that the upcall comes first. */
#define XL_WAKE_EVENT 4
#define XL_WAKE_DEFAULT 5                       /* What a wake mask of 0 means. */

#define XL_SHUTDOWN_POWEROFF 0                  /* Done. */
#define XL_SHUTDOWN_REBOOT 1                    /* Start again, at once. */
/* The guest kernel has panicked: recorded like a kill, reason guest-panic. */
#define XL_SHUTDOWN_CRASH 3

/* Entry points that are not traps: callback_op --------------------------------------------------------------------- */

/* (type, address, region_start, region_end): addresses canonical and outside the slot. The region, of the event
 * upcall alone, is region_start <= rip < region_end; both 0 for none. */
#define XL_CALLBACK_REGISTER 0
#define XL_CALLBACK_UNREGISTER 1                /* (type). */

#define XL_CALLBACK_TYPE_EVENT 0                /* Where events are delivered: see "Events: event_channel_op". */
/* Where the syscall instruction enters the guest kernel: on the stack of stack_switch, with the user's rip in rcx,
 * flags in r11, stack pointer in user_rsp. Nothing proves that it came from ring 3. With none registered, syscall is
 * a #UD. */
#define XL_CALLBACK_TYPE_SYSCALL 2

/* Events: event_channel_op ----------------------------------------------------------------------------------------- */

#define XL_PORTS 1024                           /* Ports of a domain: 1 to PORTS - 1; port 0 is none. */

/* (remote domain, remote port): returns a port of one's own, bound to a port that the remote has offered. */
#define XL_EVTCHN_BIND_INTERDOMAIN 0
#define XL_EVTCHN_BIND_VIRQ 1                   /* (virq): returns a port for a XL_VIRQ_ number; one port each. */
/* (port): gives it up, and what is pending there; the other end becomes unbound. */
#define XL_EVTCHN_CLOSE 3
#define XL_EVTCHN_SEND 4                        /* (port): notifies the other end. */
/* (port): returns a XL_PORT_ number; rdx: remote domain | remote port << 16, or the virq. */
#define XL_EVTCHN_STATUS 5
/* (remote domain): returns a port that this domain may bind to. One's own number is allowed: a loop. */
#define XL_EVTCHN_ALLOC_UNBOUND 6
/* (port): clears its mask bit, and delivers what is pending. Port 0: delivers what is pending. */
#define XL_EVTCHN_UNMASK 9

#define XL_VIRQ_TIMER 0                         /* The one-shot timer of set_timer_op. */
#define XL_VIRQ_CONSOLE 2                       /* Console input waits. */

#define XL_PORT_CLOSED 0                        /* Not in use. */
#define XL_PORT_UNBOUND 1                       /* Offered to a remote domain. */
#define XL_PORT_INTERDOMAIN 2                   /* Bound to a port of a remote domain. */
#define XL_PORT_VIRQ 4                          /* Bound to a virq. */

#define XL_SIZE_SHARED_INFO 272
#define XL_OFFSET_SHARED_INFO_UPCALL_PENDING 0
#define XL_OFFSET_SHARED_INFO_UPCALL_MASK 1
#define XL_OFFSET_SHARED_INFO_PAD 2
#define XL_OFFSET_SHARED_INFO_PENDING_SEL 8
#define XL_OFFSET_SHARED_INFO_EVTCHN_PENDING 16
#define XL_OFFSET_SHARED_INFO_EVTCHN_MASK 144

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

#define XL_ASSERT_SIZE(name, size) _Static_assert(sizeof(struct xl_##name) == (size), "size of " #name)
#define XL_ASSERT_AT(name, field, offset) \
    _Static_assert(offsetof(struct xl_##name, field) == (offset), "offset of " #name "." #field)

/* Words in the switcher's read-write page that tell a handler what registers cannot. An upcall may overwrite both
 * before a handler has read them: the upcall entry saves and restores them. */
struct xl_guest_words {
    uint64_t cr2;                               /* CR2 of the last page fault that was bounced to the guest. */
    uint64_t user_rsp;                          /* The stack pointer that the last syscall instruction came with. */
};
XL_ASSERT_SIZE(guest_words, XL_SIZE_GUEST_WORDS);
XL_ASSERT_AT(guest_words, cr2, XL_OFFSET_GUEST_WORDS_CR2);
XL_ASSERT_AT(guest_words, user_rsp, XL_OFFSET_GUEST_WORDS_USER_RSP);

/* The page that rsi points to. Addresses are virtual, in the physmap, unless they say otherwise. */
struct xl_start_info {
    uint64_t magic;                             /* XL_MAGIC. */
    uint64_t version;                           /* Interface version, as xen_version returns it. */
    uint64_t flags;                             /* Bits of XL_START_. */
    uint32_t domain_id;                         /* Number of the domain. */
    uint32_t restart_count;                     /* How often this domain has been restarted. */
    uint64_t nr_pages;                          /* Frames that the domain owns: pfns 0 to nr_pages - 1. */
    /* The frame list: nr_pages u64, entry pfn is the machine frame number. */
    uint64_t mfn_list;
    uint64_t module;                            /* The module of the manifest, 0 if there is none. */
    uint64_t module_size;                       /* Its size in bytes. */
    uint64_t stack;                             /* Bottom of the initial stack; it ends XL_STACK_SIZE above. */
    uint64_t page_tables_pfn;                   /* First page-table frame, as a pfn: the root. All tables follow it. */
    uint64_t nr_page_tables;                    /* How many frames of page tables there are. */
    uint64_t root_mfn;                          /* Machine frame of the root. */
    uint64_t first_free_pfn;                    /* All frames from this pfn on are unused. */
    uint8_t name[32];                           /* Name of the domain, NUL-padded. */
    uint8_t command_line[1024];                 /* Command line, NUL-terminated. */
};
XL_ASSERT_SIZE(start_info, XL_SIZE_START_INFO);
XL_ASSERT_AT(start_info, magic, XL_OFFSET_START_INFO_MAGIC);
XL_ASSERT_AT(start_info, version, XL_OFFSET_START_INFO_VERSION);
XL_ASSERT_AT(start_info, flags, XL_OFFSET_START_INFO_FLAGS);
XL_ASSERT_AT(start_info, domain_id, XL_OFFSET_START_INFO_DOMAIN_ID);
XL_ASSERT_AT(start_info, restart_count, XL_OFFSET_START_INFO_RESTART_COUNT);
XL_ASSERT_AT(start_info, nr_pages, XL_OFFSET_START_INFO_NR_PAGES);
XL_ASSERT_AT(start_info, mfn_list, XL_OFFSET_START_INFO_MFN_LIST);
XL_ASSERT_AT(start_info, module, XL_OFFSET_START_INFO_MODULE);
XL_ASSERT_AT(start_info, module_size, XL_OFFSET_START_INFO_MODULE_SIZE);
XL_ASSERT_AT(start_info, stack, XL_OFFSET_START_INFO_STACK);
XL_ASSERT_AT(start_info, page_tables_pfn, XL_OFFSET_START_INFO_PAGE_TABLES_PFN);
XL_ASSERT_AT(start_info, nr_page_tables, XL_OFFSET_START_INFO_NR_PAGE_TABLES);
XL_ASSERT_AT(start_info, root_mfn, XL_OFFSET_START_INFO_ROOT_MFN);
XL_ASSERT_AT(start_info, first_free_pfn, XL_OFFSET_START_INFO_FIRST_FREE_PFN);
XL_ASSERT_AT(start_info, name, XL_OFFSET_START_INFO_NAME);
XL_ASSERT_AT(start_info, command_line, XL_OFFSET_START_INFO_COMMAND_LINE);

/* One entry of a trap table; Xen's struct trap_info. Entries replace what was registered for their vector; vectors
 * that no entry names keep theirs. All entries of a call are checked before any takes effect. */
struct xl_trap_info {
    /* The vector: an exception (0 to 31), or a software vector (see XL_FIRST_SOFTWARE_VECTOR). */
    uint8_t vector;
    uint8_t flags;                              /* Bits of XL_TRAP_; all others must be 0. */
    /* Code selector of the handler, RPL 1. Whether its segment is present shows at delivery. */
    uint16_t cs;
    uint32_t pad;                               /* Must be 0. */
    /* Address of the handler; 0 removes the entry. Whether its page is present shows at delivery. */
    uint64_t address;
};
XL_ASSERT_SIZE(trap_info, XL_SIZE_TRAP_INFO);
XL_ASSERT_AT(trap_info, vector, XL_OFFSET_TRAP_INFO_VECTOR);
XL_ASSERT_AT(trap_info, flags, XL_OFFSET_TRAP_INFO_FLAGS);
XL_ASSERT_AT(trap_info, cs, XL_OFFSET_TRAP_INFO_CS);
XL_ASSERT_AT(trap_info, pad, XL_OFFSET_TRAP_INFO_PAD);
XL_ASSERT_AT(trap_info, address, XL_OFFSET_TRAP_INFO_ADDRESS);

/* The frame that a bounced trap leaves on the guest kernel's stack, lowest address first. From ring 3 it ends at the
 * stack of stack_switch; from ring 1 it ends at (rsp - 128) rounded down to 16. A direct trap's frame is the CPU's
 * own: no error code slot except for #AC. */
struct xl_bounce_frame {
    uint64_t error_code;                        /* The CPU's error code; 0 for vectors that have none. */
    uint64_t rip;                               /* Interrupted instruction. */
    uint64_t cs;                                /* Its code selector; the RPL tells the ring. */
    uint64_t rflags;                            /* Interrupted flags. */
    uint64_t rsp;                               /* Interrupted stack pointer. */
    /* Its stack selector (null with RPL 1 after a direct trap into ring 1). */
    uint64_t ss;
};
XL_ASSERT_SIZE(bounce_frame, XL_SIZE_BOUNCE_FRAME);
XL_ASSERT_AT(bounce_frame, error_code, XL_OFFSET_BOUNCE_FRAME_ERROR_CODE);
XL_ASSERT_AT(bounce_frame, rip, XL_OFFSET_BOUNCE_FRAME_RIP);
XL_ASSERT_AT(bounce_frame, cs, XL_OFFSET_BOUNCE_FRAME_CS);
XL_ASSERT_AT(bounce_frame, rflags, XL_OFFSET_BOUNCE_FRAME_RFLAGS);
XL_ASSERT_AT(bounce_frame, rsp, XL_OFFSET_BOUNCE_FRAME_RSP);
XL_ASSERT_AT(bounce_frame, ss, XL_OFFSET_BOUNCE_FRAME_SS);

/* One request of mmu_update: write value into the entry at machine address pointer. Bits 0 to 2 of pointer are the
 * command; XL_MMU_NORMAL_PT_UPDATE or XL_MMU_MACHPHYS_UPDATE. */
struct xl_mmu_update {
    uint64_t pointer;                           /* Machine address of the entry, with the command in its low bits. */
    uint64_t value;                             /* The new entry. */
};
XL_ASSERT_SIZE(mmu_update, XL_SIZE_MMU_UPDATE);
XL_ASSERT_AT(mmu_update, pointer, XL_OFFSET_MMU_UPDATE_POINTER);
XL_ASSERT_AT(mmu_update, value, XL_OFFSET_MMU_UPDATE_VALUE);

/* One operation of mmuext_op. */
struct xl_mmuext_op {
    uint32_t command;                           /* A XL_MMUEXT_ number. */
    uint32_t pad;                               /* Must be 0. */
    uint64_t arg1;                              /* A machine frame number, or (invlpg) an address. */
    /* new_baseptr: the new kernel stack, as for stack_switch, or 0 to keep it. Else 0. */
    uint64_t arg2;
};
XL_ASSERT_SIZE(mmuext_op, XL_SIZE_MMUEXT_OP);
XL_ASSERT_AT(mmuext_op, command, XL_OFFSET_MMUEXT_OP_COMMAND);
XL_ASSERT_AT(mmuext_op, pad, XL_OFFSET_MMUEXT_OP_PAD);
XL_ASSERT_AT(mmuext_op, arg1, XL_OFFSET_MMUEXT_OP_ARG1);
XL_ASSERT_AT(mmuext_op, arg2, XL_OFFSET_MMUEXT_OP_ARG2);

/* One call. Xen's struct multicall_entry, with one argument less and a second result word. */
struct xl_multicall_entry {
    uint64_t number;                            /* Number of the hypercall. */
    uint64_t result;                            /* Written: rax. */
    uint64_t detail;                            /* Written: rdx. */
    uint64_t arguments[5];                      /* Its arguments. */
};
XL_ASSERT_SIZE(multicall_entry, XL_SIZE_MULTICALL_ENTRY);
XL_ASSERT_AT(multicall_entry, number, XL_OFFSET_MULTICALL_ENTRY_NUMBER);
XL_ASSERT_AT(multicall_entry, result, XL_OFFSET_MULTICALL_ENTRY_RESULT);
XL_ASSERT_AT(multicall_entry, detail, XL_OFFSET_MULTICALL_ENTRY_DETAIL);
XL_ASSERT_AT(multicall_entry, arguments, XL_OFFSET_MULTICALL_ENTRY_ARGUMENTS);

/* The page at XL_TIME_PAGE. It changes only while the guest does not run, so that one read of version before and one
 * after tell whether all fields belong together. */
struct xl_time_info {
    uint64_t version;                           /* Grows with each change, by 2. */
    uint64_t tsc_timestamp;                     /* The TSC when the other fields were taken. */
    uint64_t system_time_ns;                    /* Real time: nanoseconds since the machine started, then. */
    uint64_t tsc_to_ns_mul;                     /* Nanoseconds per TSC tick, times 2^32. */
    /* Virtual time: nanoseconds for which this vCPU has run, then; it advances only while it runs. */
    uint64_t virtual_time_ns;
    uint64_t wall_clock_s;                      /* Wall clock at system time 0: seconds since 1970-01-01 UTC. */
};
XL_ASSERT_SIZE(time_info, XL_SIZE_TIME_INFO);
XL_ASSERT_AT(time_info, version, XL_OFFSET_TIME_INFO_VERSION);
XL_ASSERT_AT(time_info, tsc_timestamp, XL_OFFSET_TIME_INFO_TSC_TIMESTAMP);
XL_ASSERT_AT(time_info, system_time_ns, XL_OFFSET_TIME_INFO_SYSTEM_TIME_NS);
XL_ASSERT_AT(time_info, tsc_to_ns_mul, XL_OFFSET_TIME_INFO_TSC_TO_NS_MUL);
XL_ASSERT_AT(time_info, virtual_time_ns, XL_OFFSET_TIME_INFO_VIRTUAL_TIME_NS);
XL_ASSERT_AT(time_info, wall_clock_s, XL_OFFSET_TIME_INFO_WALL_CLOCK_S);

/* The page at XL_SHARED_INFO, which guest and hypervisor write. Fields are as in Xen's shared_info. */
struct xl_shared_info {
    uint8_t upcall_pending;                     /* Not 0: something unmasked is pending. */
    uint8_t upcall_mask;                        /* Not 0: no upcall. */
    uint8_t pad[6];                             /* Unused. */
    uint64_t pending_sel;                       /* Which words of evtchn_pending have news, by bit. */
    uint64_t evtchn_pending[16];                /* A bit for each port: it has fired. */
    uint64_t evtchn_mask[16];                   /* A bit for each port: it fires without notice. */
};
XL_ASSERT_SIZE(shared_info, XL_SIZE_SHARED_INFO);
XL_ASSERT_AT(shared_info, upcall_pending, XL_OFFSET_SHARED_INFO_UPCALL_PENDING);
XL_ASSERT_AT(shared_info, upcall_mask, XL_OFFSET_SHARED_INFO_UPCALL_MASK);
XL_ASSERT_AT(shared_info, pad, XL_OFFSET_SHARED_INFO_PAD);
XL_ASSERT_AT(shared_info, pending_sel, XL_OFFSET_SHARED_INFO_PENDING_SEL);
XL_ASSERT_AT(shared_info, evtchn_pending, XL_OFFSET_SHARED_INFO_EVTCHN_PENDING);
XL_ASSERT_AT(shared_info, evtchn_mask, XL_OFFSET_SHARED_INFO_EVTCHN_MASK);

/* A hypercall's answer. */
struct xl_answer {
    int64_t value;   /* rax: the result, or a negated error: -XL_EINVAL */
    uint64_t detail; /* rdx: the second word, 0 where the call has none */
};

/* Makes a hypercall. Arguments that a call does not have are ignored: pass 0. */
static inline struct xl_answer xl_hypercall(uint64_t number, uint64_t first, uint64_t second, uint64_t third,
                                            uint64_t fourth, uint64_t fifth)
{
    register uint64_t r10 __asm__("r10") = fourth;
    register uint64_t r8 __asm__("r8") = fifth;
    __asm__ volatile("int %[vector]"
                     : "+a"(number), "+D"(first), "+S"(second), "+d"(third), "+r"(r10), "+r"(r8)
                     : [vector] "i"(XL_HYPERCALL_VECTOR)
                     : "rcx", "r9", "r11", "memory");
    return (struct xl_answer){ (int64_t)number, third };
}

#endif /* __ASSEMBLER__ */
#endif /* XEN_LITE_H */
