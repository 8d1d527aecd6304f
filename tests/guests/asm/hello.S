# A guest kernel in assembly: says hello through console_io, takes one trap of its own, and powers off.
# Built with `as` and `ld` alone; see abi/README.md for what it relies on.

        .intel_syntax noprefix
        .set SET_TRAP_TABLE, 0
        .set CONSOLE_IO, 18
        .set SCHED_OP, 29
        .set KERNEL_CS, 0x19
        .set UD, 6

        .text
        .global _start
_start:
        lea     rdi, [rip + hello]
        mov     esi, offset hello_end - hello
        call    print

        # One entry of a trap table: #UD, bounced.
        mov     eax, SET_TRAP_TABLE
        lea     rdi, [rip + table]
        mov     esi, 1
        int     0x82
        test    rax, rax
        js      failed
        ud2                             # comes back behind itself

        lea     rdi, [rip + goodbye]
        mov     esi, offset goodbye_end - goodbye
        call    print
        xor     edx, edx                # code 0
        jmp     power_off
failed:
        mov     edx, 1
power_off:
        mov     eax, SCHED_OP
        mov     edi, 2                  # shutdown
        xor     esi, esi                # poweroff
        int     0x82

# rdi: text, esi: how many bytes. console_io takes what fits and says how much.
print:
        mov     rbx, rdi
        mov     ebp, esi
1:      mov     eax, CONSOLE_IO
        xor     edi, edi                # write
        mov     esi, ebp
        mov     rdx, rbx
        int     0x82
        test    rax, rax
        js      failed
        add     rbx, rax
        sub     ebp, eax
        jnz     1b
        ret

        .balign 16
undefined_instruction:                  # error slot, rip, cs, rflags, rsp, ss
        add     qword ptr [rsp + 8], 2
        add     rsp, 8
        iretq

        .data
        .balign 16
table:  .byte   UD, 0
        .word   KERNEL_CS
        .long   0
        .quad   undefined_instruction
hello:  .ascii  "hello from assembly\n"
hello_end:
goodbye: .ascii "a trap came and went\n"
goodbye_end:
