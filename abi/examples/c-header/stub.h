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
