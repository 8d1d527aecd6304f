/* Wrong uses of the interface, one by one: what a kernel may not do, and what it is told. Each is a row of "Wrong uses" in
 * abi/README.md, in this order. Most are refused, and the kernel prints the answer and ends well; for some it is ended.
 *
 * `wrong=NAME` picks one; `wrong=each` picks one for each start of the domain.
 */
#include "kernel.h"

#define CALL(...) CALL_(__VA_ARGS__, 0, 0, 0, 0, 0)
#define CALL_(number, a, b, c, d, e, ...) \
    xl_hypercall(number, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), (uint64_t)(e))

#define WRITABLE (XL_PTE_WRITABLE | XL_PTE_NO_EXECUTE)
#define NOWHERE 0x0000100000000000       /* nothing is mapped there, and there is no table for it */
#define NOT_CANONICAL 0x0000900000000000
#define OWN_SELECTOR (8 * XL_FIRST_GUEST_DESCRIPTOR)
#define RING_1_CODE 0x00afbb000000ffff
#define PRESENT_SEGMENT (1ULL << 47)

static const struct xl_start_info *start;
static char page[XL_PAGE_SIZE] __attribute__((aligned(XL_PAGE_SIZE)));

/* Registering -------------------------------------------------------------------------------------------------- */

/* A good entry for #UD, to be spoiled. */
static struct xl_trap_info good(void)
{
    return (struct xl_trap_info){
        .vector = XL_VECTOR_UD, .cs = XL_KERNEL_CS, .address = (uint64_t)stubs + 16 * XL_VECTOR_UD
    };
}

static struct xl_answer register_one(struct xl_trap_info entry)
{
    return CALL(XL_CALL_SET_TRAP_TABLE, &entry, 1);
}

/* Defines NAME, which registers a good entry with fields that are not. */
#define ENTRY(name, ...)                           \
    static struct xl_answer name(void)             \
    {                                              \
        struct xl_trap_info entry = good();        \
        __VA_ARGS__;                               \
        return register_one(entry);                \
    }
/* Defines NAME, which makes one call. */
#define ASK(name, ...)                             \
    static struct xl_answer name(void)             \
    {                                              \
        return CALL(__VA_ARGS__);                  \
    }

ASK(table_too_long, XL_CALL_SET_TRAP_TABLE, page, XL_MAX_TRAPS + 1)
ASK(table_nowhere, XL_CALL_SET_TRAP_TABLE, NOWHERE, 1)
ENTRY(vector_reserved, entry.vector = XL_VECTOR_NMI)
ENTRY(vector_of_hypercall, entry.vector = XL_HYPERCALL_VECTOR)
ENTRY(trap_padding, entry.pad = 1)
ENTRY(selector_local, entry.cs = XL_KERNEL_CS | 4)
ENTRY(selector_null, entry.cs = 1)
ENTRY(selector_of_hypervisor, entry.cs = XL_HYPERVISOR_CS | 1)
ENTRY(selector_of_ring_0, entry.cs = XL_KERNEL_CS & ~3)
ENTRY(handler_not_canonical, entry.address = NOT_CANONICAL)
ENTRY(handler_in_slot, entry.address = XL_SWITCHER_TEXT)
ENTRY(direct_page_fault, entry.vector = XL_VECTOR_PF; entry.flags = XL_TRAP_DIRECT)
ENTRY(direct_own_selector, entry.cs = OWN_SELECTOR | 1; entry.flags = XL_TRAP_DIRECT)
ENTRY(direct_masked, entry.flags = XL_TRAP_DIRECT | XL_TRAP_MASK_EVENTS)
ENTRY(software_bounced, entry.vector = XL_LAST_SOFTWARE_VECTOR)
ENTRY(privilege_bounced, entry.flags = 3)

static struct xl_answer second_entry(void)
{
    struct xl_trap_info table[2] = { good(), good() };
    table[1].cs = XL_TSS | 1;
    return CALL(XL_CALL_SET_TRAP_TABLE, table, 2);
}

ASK(stack_unaligned, XL_CALL_STACK_SWITCH, start->stack + XL_STACK_SIZE - 8)
ASK(stack_null, XL_CALL_STACK_SWITCH, 0)
ASK(stack_in_slot, XL_CALL_STACK_SWITCH, XL_SLOT_END)
ASK(callback_null, XL_CALL_CALLBACK_OP, XL_CALLBACK_REGISTER, XL_CALLBACK_TYPE_SYSCALL, 0)
ASK(region_empty, XL_CALL_CALLBACK_OP, XL_CALLBACK_REGISTER, XL_CALLBACK_TYPE_EVENT, upcall, region_start, region_start)
ASK(descriptor_of_xen_lite, XL_CALL_UPDATE_DESCRIPTOR, XL_KERNEL_CS & ~3, RING_1_CODE)
ASK(descriptor_of_ring_0, XL_CALL_UPDATE_DESCRIPTOR, OWN_SELECTOR, 0x00af9b000000ffff)
ASK(descriptor_of_32_bits, XL_CALL_UPDATE_DESCRIPTOR, OWN_SELECTOR, 0x00cfbb000000ffff)
ASK(base_not_canonical, XL_CALL_SET_SEGMENT_BASE, XL_BASE_GS, NOT_CANONICAL)

/* Page tables -------------------------------------------------------------------------------------------------- */

static struct xl_answer operate(uint32_t command, uint32_t pad, uint64_t mfn)
{
    struct xl_mmuext_op operation = { .command = command, .pad = pad, .arg1 = mfn };
    return CALL(XL_CALL_MMUEXT_OP, &operation, 1);
}

static struct xl_answer update(uint64_t mfn, unsigned index, uint64_t entry)
{
    struct xl_mmu_update request = { (mfn << XL_PAGE_SHIFT) + index * sizeof entry, entry };
    return CALL(XL_CALL_MMU_UPDATE, &request, 1);
}

static uint64_t frame_entry(uint64_t pfn, uint64_t rights)
{
    return mfn_of(pfn) << XL_PAGE_SHIFT | XL_PTE_PRESENT | rights;
}

static struct xl_answer pin_writable(void)
{
    return operate(XL_MMUEXT_PIN_L1, 0, mfn_of(new_frame()));
}

static struct xl_answer pin_twice(void)
{
    return operate(XL_MMUEXT_PIN_L1, 0, mfn_of(new_table(1)));
}

static struct xl_answer pin_as_another_level(void)
{
    return operate(XL_MMUEXT_PIN_L2, 0, mfn_of(new_table(1)));
}

static struct xl_answer unpin_not_pinned(void)
{
    return operate(XL_MMUEXT_UNPIN, 0, mfn_of(new_frame()));
}

static struct xl_answer operation_padding(void)
{
    return operate(XL_MMUEXT_TLB_FLUSH_LOCAL, 1, 0);
}

static struct xl_answer table_writable(void)
{
    uint64_t table = new_table(1);
    return remap((uint64_t)in_physmap(table), table, WRITABLE);
}

static struct xl_answer superpage(void)
{
    return update(mfn_of(new_table(2)), 0, frame_entry(new_frame(), 0x80));
}

static struct xl_answer uncached(void)
{
    return update(mfn_of(new_table(1)), 0, frame_entry(new_frame(), 0x10));
}

static struct xl_answer not_a_table(void)
{
    return update(mfn_of(new_table(2)), 0, frame_entry(new_frame(), XL_PTE_WRITABLE));
}

static struct xl_answer update_no_table(void)
{
    return update(mfn_of(new_frame()), 0, 0);
}

static struct xl_answer slot_256(void)
{
    return update(start->root_mfn, XL_HYPERVISOR_SLOT, 0);
}

static struct xl_answer foreign_frame(void)
{
    return CALL(XL_CALL_UPDATE_VA_MAPPING, page, XL_PTE_PRESENT | WRITABLE, XL_UVMF_INVLPG);
}

static struct xl_answer foreign_pfn(void)
{
    struct xl_mmu_update request = { XL_MMU_MACHPHYS_UPDATE, 7 };
    return CALL(XL_CALL_MMU_UPDATE, &request, 1);
}

ASK(mapping_in_slot, XL_CALL_UPDATE_VA_MAPPING, XL_TIME_PAGE, 0, XL_UVMF_INVLPG)
ASK(mapping_without_table, XL_CALL_UPDATE_VA_MAPPING, NOWHERE, 0, XL_UVMF_INVLPG)
ASK(mapping_flags, XL_CALL_UPDATE_VA_MAPPING, page, 0, 3)
ASK(batch_too_long, XL_CALL_MMU_UPDATE, page, XL_MAX_BATCH + 1)

static struct xl_answer batch_stops(void)
{
    struct xl_mmuext_op operations[3] = {
        { .command = XL_MMUEXT_TLB_FLUSH_LOCAL }, { .command = 99 }, { .command = XL_MMUEXT_TLB_FLUSH_LOCAL }
    };
    return CALL(XL_CALL_MMUEXT_OP, operations, 3);
}

static struct xl_answer root_of_data(void)
{
    return operate(XL_MMUEXT_NEW_BASEPTR, 0, mfn_of(new_frame()));
}

static struct xl_answer give_up_in_use(void)
{
    uint64_t mfn = mfn_of(new_frame());
    return CALL(XL_CALL_MEMORY_OP, XL_MEMORY_DECREASE_RESERVATION, &mfn, 1);
}

ASK(one_frame_more, XL_CALL_MEMORY_OP, XL_MEMORY_INCREASE_RESERVATION, page, 1)

/* Other calls -------------------------------------------------------------------------------------------------- */

ASK(call_unknown, 77)
ASK(command_unknown, XL_CALL_SCHED_OP, 99)
ASK(pointer_null, XL_CALL_CONSOLE_IO, XL_CONSOLE_WRITE, 1, 0)
ASK(pointer_into_slot, XL_CALL_CONSOLE_IO, XL_CONSOLE_WRITE, 8, XL_SLOT_BASE - 4)
ASK(result_to_read_only, XL_CALL_XEN_VERSION, XL_VERSION_EXTRAVERSION, stubs)
ASK(condition_unknown, XL_CALL_SCHED_OP, XL_SCHED_BLOCK, 0, 8)
ASK(shutdown_reason_unknown, XL_CALL_SCHED_OP, XL_SCHED_SHUTDOWN, 2)
ASK(port_closed, XL_CALL_EVENT_CHANNEL_OP, XL_EVTCHN_SEND, 5)
ASK(domain_absent, XL_CALL_EVENT_CHANNEL_OP, XL_EVTCHN_ALLOC_UNBOUND, 999)

static struct xl_answer virq_twice(void)
{
    must(CALL(XL_CALL_EVENT_CHANNEL_OP, XL_EVTCHN_BIND_VIRQ, XL_VIRQ_TIMER));
    return CALL(XL_CALL_EVENT_CHANNEL_OP, XL_EVTCHN_BIND_VIRQ, XL_VIRQ_TIMER);
}

static struct xl_answer list_of_shutdown(void)
{
    struct xl_multicall_entry entry = { .number = XL_CALL_SCHED_OP, .arguments = { XL_SCHED_SHUTDOWN } };
    must(CALL(XL_CALL_MULTICALL, &entry, 1));
    return (struct xl_answer){ (int64_t)entry.result, entry.detail };
}

/* What ends this kernel ---------------------------------------------------------------------------------------- */

static const struct xl_answer SURVIVED = { 0, 0 };

static struct xl_answer undefined_instruction(void)
{
    __asm__ volatile("ud2");
    return SURVIVED;
}

/* #UD with a stack pointer of one's own. */
static struct xl_answer on_stack(uint64_t rsp)
{
    __asm__ volatile("mov %0, %%rsp\n\tud2" : : "r"(rsp));
    __builtin_unreachable();
}

/* Defines NAME, which registers an entry that is accepted, and has a #UD delivered to it. */
#define DELIVER(name, ...)                         \
    static struct xl_answer name(void)             \
    {                                              \
        struct xl_trap_info entry = good();        \
        __VA_ARGS__;                               \
        must(register_one(entry));                 \
        return undefined_instruction();            \
    }

DELIVER(handler_null, entry.address = 0)
DELIVER(handler_absent, entry.address = NOWHERE)
DELIVER(handler_no_execute, entry.address = (uint64_t)page)
DELIVER(handler_segment_empty, entry.cs = OWN_SELECTOR | 1)
DELIVER(handler_segment_absent, entry.cs = OWN_SELECTOR | 1;
        must(CALL(XL_CALL_UPDATE_DESCRIPTOR, OWN_SELECTOR, RING_1_CODE & ~PRESENT_SEGMENT)))

/* The page-fault handler is called, and is not there to fetch the page that it is on. */
static struct xl_answer page_fault_handler_absent(void)
{
    struct xl_trap_info entry = good();
    entry.vector = XL_VECTOR_PF;
    entry.address = (uint64_t)page;
    must(register_one(entry));
    must(CALL(XL_CALL_UPDATE_VA_MAPPING, page, 0, XL_UVMF_INVLPG));
    *(volatile char *)NOWHERE = 1;
    return SURVIVED;
}

static struct xl_answer stack_absent(void)
{
    return on_stack(NOWHERE + XL_PAGE_SIZE);
}

static struct xl_answer stack_read_only(void)
{
    return on_stack((uint64_t)in_physmap(new_table(1)) + XL_PAGE_SIZE);
}

static struct xl_answer stack_of_xen_lite(void)
{
    return on_stack(XL_SWITCHER_RW + 0x800);
}

static struct xl_answer stack_not_canonical(void)
{
    return on_stack(NOT_CANONICAL);
}

static struct xl_answer syscall_entry_absent(void)
{
    must(CALL(XL_CALL_CALLBACK_OP, XL_CALLBACK_REGISTER, XL_CALLBACK_TYPE_SYSCALL, NOWHERE));
    __asm__ volatile("syscall" : : : "rcx", "r11", "memory");
    return SURVIVED;
}

/* Takes away the code segment that it runs on. */
static struct xl_answer own_segment_removed(void)
{
    must(CALL(XL_CALL_UPDATE_DESCRIPTOR, OWN_SELECTOR, RING_1_CODE));
    __asm__ volatile("pushq %0\n\tleaq 1f(%%rip), %%rax\n\tpushq %%rax\n\tlretq\n1:"
                     :
                     : "i"(OWN_SELECTOR | 1)
                     : "rax", "memory");
    return CALL(XL_CALL_UPDATE_DESCRIPTOR, OWN_SELECTOR, 0);
}

static struct xl_answer gives_up(void)
{
    panic("so says the kernel: ", 1);
}

/* The list ----------------------------------------------------------------------------------------------------- */

#define USE(name) { #name, name }
static const struct {
    const char *name;
    struct xl_answer (*use)(void);
} uses[] = {
    USE(table_too_long), USE(table_nowhere), USE(vector_reserved), USE(vector_of_hypercall), USE(trap_padding),
    USE(selector_local), USE(selector_null), USE(selector_of_hypervisor), USE(selector_of_ring_0),
    USE(handler_not_canonical), USE(handler_in_slot), USE(direct_page_fault), USE(direct_own_selector),
    USE(direct_masked), USE(software_bounced), USE(privilege_bounced), USE(second_entry),
    USE(stack_unaligned), USE(stack_null), USE(stack_in_slot), USE(callback_null), USE(region_empty),
    USE(descriptor_of_xen_lite), USE(descriptor_of_ring_0), USE(descriptor_of_32_bits), USE(base_not_canonical),
    USE(pin_writable), USE(pin_twice), USE(pin_as_another_level), USE(unpin_not_pinned), USE(operation_padding),
    USE(table_writable), USE(superpage), USE(uncached), USE(not_a_table), USE(update_no_table), USE(slot_256),
    USE(foreign_frame), USE(foreign_pfn), USE(mapping_in_slot), USE(mapping_without_table), USE(mapping_flags),
    USE(batch_too_long), USE(batch_stops), USE(root_of_data), USE(give_up_in_use), USE(one_frame_more),
    USE(call_unknown), USE(command_unknown), USE(pointer_null), USE(pointer_into_slot), USE(result_to_read_only),
    USE(condition_unknown), USE(shutdown_reason_unknown), USE(port_closed), USE(domain_absent), USE(virq_twice),
    USE(list_of_shutdown),
    USE(handler_null), USE(handler_absent), USE(page_fault_handler_absent), USE(handler_no_execute),
    USE(handler_segment_empty), USE(handler_segment_absent), USE(stack_absent), USE(stack_read_only),
    USE(stack_of_xen_lite), USE(stack_not_canonical), USE(syscall_entry_absent), USE(own_segment_removed),
    USE(gives_up),
};

static int is_same(const char *one, const char *other)
{
    while (*one != '\0' && *one == *other) {
        one++;
        other++;
    }
    return *one == *other;
}

_Noreturn void wrong(const struct xl_start_info *info, const char *name)
{
    start = info;
    for (unsigned n = 0; n < sizeof uses / sizeof uses[0]; n++) {
        if (is_same(name, "each") ? n != info->restart_count : !is_same(name, uses[n].name))
            continue;
        struct xl_answer answer = uses[n].use();
        print(uses[n].name);
        print(": rax ");
        print_number(answer.value);
        print(" rdx ");
        print_hex(answer.detail);
        print("\n");
        power_off(XL_SHUTDOWN_POWEROFF, 0);
    }
    print("there is no such wrong use\n");
    power_off(XL_SHUTDOWN_POWEROFF, 2);
}
