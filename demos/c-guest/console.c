/* The console, and how this kernel ends. */
#include "kernel.h"

/* console_io takes what there is room for, and says how much that was. */
static void write(const char *text, uint64_t count)
{
    while (count != 0) {
        int64_t taken =
            xl_hypercall(XL_CALL_CONSOLE_IO, XL_CONSOLE_WRITE, count, (uint64_t)text, 0, 0).value;
        if (taken < 0)
            power_off(XL_SHUTDOWN_CRASH, (uint64_t)-taken);
        text += taken;
        count -= (uint64_t)taken;
        if (count != 0)
            xl_hypercall(XL_CALL_SCHED_OP, XL_SCHED_BLOCK, 0, XL_WAKE_OUTPUT, 0, 0);
    }
}

void print(const char *text)
{
    uint64_t count = 0;
    while (text[count] != '\0')
        count++;
    write(text, count);
}

static void print_digits(uint64_t number, unsigned base)
{
    char digits[20];
    unsigned first = sizeof digits;
    do {
        digits[--first] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number != 0);
    write(digits + first, sizeof digits - first);
}

void print_number(int64_t number)
{
    if (number < 0)
        print("-");
    print_digits(number < 0 ? -(uint64_t)number : (uint64_t)number, 10);
}

void print_hex(uint64_t number)
{
    print("0x");
    print_digits(number, 16);
}

_Noreturn void power_off(uint64_t reason, uint64_t code)
{
    for (;;)
        xl_hypercall(XL_CALL_SCHED_OP, XL_SCHED_SHUTDOWN, reason, code, 0, 0);
}

_Noreturn void panic(const char *text, uint64_t number)
{
    print(text);
    print_hex(number);
    print("\n");
    power_off(XL_SHUTDOWN_CRASH, 1);
}
