// From the boot loader to Rust: 32-bit protected mode without paging -> 64-bit mode at the high addresses.
//
// Two ways in, both with interrupts off and flat segments:
//   boot_multiboot  GRUB (multiboot2): eax = magic, ebx = information
//   boot_pvh        qemu -kernel (PVH): ebx = hvm_start_info
// State: no stack until `boot_common` sets one; an NMI here resets the machine, as everywhere before an IDT.

.section .boot.header, "a"
.balign 8
multiboot_header:
    .long 0xe85250d6                    // multiboot2
    .long 0                             // i386, protected mode
    .long multiboot_end - multiboot_header
    .long -(0xe85250d6 + 0 + (multiboot_end - multiboot_header))
    .balign 8
    .short 6, 0                         // modules start on page boundaries
    .long 8
    .balign 8
    .short 0, 0                         // end
    .long 8
multiboot_end:

.section .note.xen, "a", @note
.balign 4
    .long 4, 4, 18                      // name size, value size, XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long boot_pvh

.section .boot.text, "ax"
.code32
.global boot_multiboot
boot_multiboot:
    mov esi, eax
    jmp boot_common
boot_pvh:
    xor esi, esi
boot_common:
    cld
    mov esp, offset boot_stack_top
    mov edi, ebx                        // rdi, rsi: the arguments of `boot`

    // A CPU without long mode or no-execute stops here: R3 refuses such a machine.
    mov eax, 0x80000001
    push ebx
    cpuid
    pop ebx
    bt edx, 29
    jnc boot_refuse
    bt edx, 20
    jnc boot_refuse

    // 2 MiB pages: 4 GiB at 0, the first 1 GiB of them again at KERNEL_BASE.
    mov eax, offset boot_l2
    mov ecx, 0
1:  mov edx, ecx
    shl edx, 21
    or edx, 0x83
    mov [eax + ecx * 8], edx
    mov dword ptr [eax + ecx * 8 + 4], 0
    inc ecx
    cmp ecx, 2048
    jb 1b
    mov dword ptr [boot_l3_low], offset boot_l2 + 0x0003
    mov dword ptr [boot_l3_low + 8], offset boot_l2 + 0x1003
    mov dword ptr [boot_l3_low + 16], offset boot_l2 + 0x2003
    mov dword ptr [boot_l3_low + 24], offset boot_l2 + 0x3003
    mov dword ptr [boot_l3_high + 510 * 8], offset boot_l2 + 0x0003
    mov dword ptr [boot_l4], offset boot_l3_low + 3
    mov dword ptr [boot_l4 + 511 * 8], offset boot_l3_high + 3

    mov eax, 0x20                       // CR4: PAE
    mov cr4, eax
    mov eax, offset boot_l4
    mov cr3, eax
    mov ecx, 0xc0000080                 // EFER: LME, NXE
    rdmsr
    or eax, 0x900
    wrmsr
    mov eax, 0x80000011                 // CR0: PG, ET, PE
    mov cr0, eax
    lgdt [boot_gdt_pointer]
    mov eax, 8
    push eax
    mov eax, offset boot_long
    push eax
    retf
boot_refuse:
    mov dword ptr [0xb8000], 0x4f584f4e // "NX" on the screen: there is no console yet
2:  hlt
    jmp 2b

.code64
boot_long:
    mov eax, 0x10
    mov ss, eax
    mov ds, eax
    mov es, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    movabs rsp, offset {BOOT_STACK} + {BOOT_STACK_SIZE}
    mov edi, edi
    mov esi, esi
    movabs rax, offset {BOOT}
    call rax
    ud2

.section .boot.data, "aw"
.balign 16
boot_gdt:
    .quad 0
    .quad 0x00209b0000000000            // 64-bit code, ring 0, accessed
    .quad 0x0000930000000000            // data, ring 0, accessed
boot_gdt_pointer:
    .short 23
    .long boot_gdt
.balign 16
    .skip 256
boot_stack_top:

.section .boot.tables, "aw", @nobits
.balign 4096
boot_l4:      .skip 4096
boot_l3_low:  .skip 4096
boot_l3_high: .skip 4096
boot_l2:      .skip 4096 * 4
