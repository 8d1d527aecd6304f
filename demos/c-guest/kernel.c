/* A guest kernel in C, written against xen-lite.h and abi/README.md alone.
 *
 * It registers its traps, binds the timer, and enters a program in ring 3 of which not one page is there: they come when
 * the program touches them. The program calls by `int 0x80`, which the CPU delivers to ring 1 by itself, and by `syscall`;
 * it waits until the timer has gone off, and ends. With `wrong=NAME` on its command line the kernel makes a mistake
 * instead: see wrong.c.
 */
#include "kernel.h"

/* Vectors that are not exceptions, as in entry.S. */
enum { INT80 = 0x80, EVENT = 0x100 };
/* System calls: number in rax, argument in rdi, result in rax. */
enum { SAY, TICKS, EXIT };

/* The program's part of the address space: its text, 64 pages of heap, and the stack. */
#define PROGRAM 0x0000008000000000
#define HEAP 0x0000008000100000
#define HEAP_PAGES 64
#define STACK 0x0000008000200000
#define STACK_TOP (STACK + 4 * XL_PAGE_SIZE)

static volatile struct xl_shared_info *const shared = (volatile struct xl_shared_info *)XL_SHARED_INFO;
static volatile struct xl_guest_words *const words = (volatile struct xl_guest_words *)XL_SWITCHER_RW;
static const volatile struct xl_time_info *const clock = (const volatile struct xl_time_info *)XL_TIME_PAGE;

static uint64_t timer_port;
static volatile uint64_t ticks;
static uint64_t pages_brought;

/* The program -----------------------------------------------------------------------------------------------------
 * It is paged to PROGRAM, so it refers to nothing but itself, by relative jumps. */

#define RING_3 __attribute__((section("ring3"), noinline))
extern const char __start_ring3[], __stop_ring3[]; /* the linker's */

RING_3 static uint64_t by_int80(uint64_t number, uint64_t argument)
{
    __asm__ volatile("int $0x80" : "+a"(number) : "D"(argument) : "memory");
    return number;
}

RING_3 static uint64_t by_syscall(uint64_t number, uint64_t argument)
{
    __asm__ volatile("syscall" : "+a"(number) : "D"(argument) : "rcx", "r11", "memory");
    return number;
}

RING_3 static void program(void)
{
    volatile uint64_t *heap = (volatile uint64_t *)HEAP;
    uint64_t sum = 0;
    for (unsigned page = 0; page < HEAP_PAGES; page++)
        heap[page * XL_ENTRIES] = page;
    for (unsigned page = 0; page < HEAP_PAGES; page++)
        sum += heap[page * XL_ENTRIES];
    by_int80(SAY, sum);
    while (by_int80(TICKS, 0) == 0)
        ;
    by_syscall(SAY, by_syscall(TICKS, 0));
    by_syscall(EXIT, sum == HEAP_PAGES * (HEAP_PAGES - 1) / 2 ? 0 : 1);
}

/* The kernel --------------------------------------------------------------------------------------------------- */

/* A page of the program's that is not there: heap and stack begin as zeros, the text is copied. */
static void bring(uint64_t address)
{
    uint64_t pfn = new_frame();
    uint64_t rights = XL_PTE_USER | XL_PTE_WRITABLE | XL_PTE_NO_EXECUTE;
    if (address < HEAP) {
        uint64_t size = (uint64_t)(__stop_ring3 - __start_ring3);
        uint64_t offset = (address & ~(uint64_t)(XL_PAGE_SIZE - 1)) - PROGRAM;
        volatile char *page = in_physmap(pfn);
        for (uint64_t at = 0; at < XL_PAGE_SIZE && offset + at < size; at++)
            page[at] = __start_ring3[offset + at];
        rights = XL_PTE_USER;
    }
    map(address, pfn, rights);
    pages_brought++;
}

static void page_fault(const struct frame *frame)
{
    uint64_t address = words->cr2;
    int is_users = (frame->at.cs & 3) == 3;
    int is_absent = (frame->at.error_code & 1) == 0;
    int is_the_programs = (address >= PROGRAM && address < PROGRAM + (uint64_t)(__stop_ring3 - __start_ring3)) ||
                          (address >= HEAP && address < HEAP + HEAP_PAGES * XL_PAGE_SIZE) ||
                          (address >= STACK && address < STACK_TOP);
    if (!is_users || !is_absent || !is_the_programs)
        panic("nothing can be done about a page fault at ", address);
    bring(address);
}

static uint64_t system_call(uint64_t number, uint64_t argument)
{
    switch (number) {
    case SAY:
        print("ring 3 says ");
        print_number((int64_t)argument);
        print("\n");
        return 0;
    case TICKS:
        return ticks;
    case EXIT:
        print("the program has ended; pages that were brought: ");
        print_number((int64_t)pages_brought);
        print("\n");
        power_off(XL_SHUTDOWN_POWEROFF, argument);
    default:
        return (uint64_t)-XL_ENOSYS;
    }
}

/* Serves what is pending. Comes between any two instructions, and a trap in here would overwrite the two words. */
static void events(void)
{
    struct xl_guest_words kept = *words;
    shared->upcall_pending = 0;
    uint64_t news = __atomic_exchange_n(&shared->pending_sel, 0, __ATOMIC_SEQ_CST);
    for (unsigned word = 0; word < XL_PORTS / 64; word++) {
        if ((news >> word & 1) == 0)
            continue;
        uint64_t fired = shared->evtchn_pending[word] & ~shared->evtchn_mask[word];
        __atomic_and_fetch(&shared->evtchn_pending[word], ~fired, __ATOMIC_SEQ_CST);
        if (word == timer_port / 64 && (fired >> timer_port % 64 & 1))
            ticks++;
    }
    *words = kept;
}

void trap(struct frame *frame)
{
    switch (frame->vector) {
    case XL_VECTOR_PF:
        page_fault(frame);
        break;
    case INT80:
        frame->rax = system_call(frame->rax, frame->rdi);
        break;
    case EVENT:
        events();
        break;
    default:
        print("trap ");
        print_number((int64_t)frame->vector);
        panic(" at ", frame->at.rip);
    }
}

/* Every exception that a guest can have is bounced to its stub; `int 0x80` comes directly, from ring 3 too. */
static void register_traps(void)
{
    static const uint8_t exceptions[] = { 0, 1, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 16, 17, 19 };
    struct xl_trap_info table[sizeof exceptions + 1];
    for (unsigned n = 0; n < sizeof exceptions; n++)
        table[n] = (struct xl_trap_info){
            .vector = exceptions[n], .cs = XL_KERNEL_CS, .address = (uint64_t)stubs + 16 * exceptions[n]
        };
    table[sizeof exceptions] = (struct xl_trap_info){
        .vector = INT80, .flags = XL_TRAP_DIRECT | 3, .cs = XL_KERNEL_CS, .address = (uint64_t)stub_int80
    };
    must(xl_hypercall(XL_CALL_SET_TRAP_TABLE, (uint64_t)table, sizeof exceptions + 1, 0, 0, 0));
    must(xl_hypercall(XL_CALL_CALLBACK_OP, XL_CALLBACK_REGISTER, XL_CALLBACK_TYPE_SYSCALL, (uint64_t)stub_syscall, 0, 0));
    must(xl_hypercall(XL_CALL_CALLBACK_OP, XL_CALLBACK_REGISTER, XL_CALLBACK_TYPE_EVENT, (uint64_t)upcall,
                      (uint64_t)region_start, (uint64_t)region_end));
}

/* Nanoseconds since the machine started. */
static uint64_t now(void)
{
    uint64_t version, time;
    do {
        version = clock->version;
        unsigned __int128 passed = __builtin_ia32_rdtsc() - clock->tsc_timestamp;
        time = clock->system_time_ns + (uint64_t)(passed * clock->tsc_to_ns_mul >> 32);
    } while (version != clock->version);
    return time;
}

/* The text behind `wrong=`, or nothing. */
static const char *wrong_use(const struct xl_start_info *start)
{
    const char *key = "wrong=", *line = (const char *)start->command_line;
    while (*key != '\0')
        if (*line++ != *key++)
            return 0;
    return line;
}

_Noreturn void kernel_main(const struct xl_start_info *start)
{
    memory_init(start);
    register_traps();
    if (wrong_use(start))
        wrong(start, wrong_use(start));

    print("hello from ");
    print((const char *)start->name);
    print(", a kernel in C\n");
    timer_port = must(xl_hypercall(XL_CALL_EVENT_CHANNEL_OP, XL_EVTCHN_BIND_VIRQ, XL_VIRQ_TIMER, 0, 0, 0));
    must(xl_hypercall(XL_CALL_SET_TIMER_OP, now() + 20000000, 0, 0, 0, 0));

    /* From here on this stack is the one for traps from ring 3, from its top; nothing on it is needed again. */
    must(xl_hypercall(XL_CALL_STACK_SWITCH, start->stack + XL_STACK_SIZE, 0, 0, 0, 0));
    struct frame program_frame = { .at = { .rip = PROGRAM + (uint64_t)((const char *)program - __start_ring3),
                                           .cs = XL_USER_CS,
                                           .rflags = 0x202,
                                           .rsp = STACK_TOP - 8,
                                           .ss = XL_USER_SS } };
    resume(&program_frame);
}
