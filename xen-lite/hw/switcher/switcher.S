// The switcher: the only code of ring 0 that is mapped while a guest runs.
//
// Every entry to and exit from ring 0 passes here. Its text is read-only to the guest; so is `sw_ro` (GDT, IDT,
// TSS, trap table, the words that lead to the hypervisor); `sw_rw` (these stacks and scratch words) can be
// READ AND WRITTEN BY RING 1 whenever the guest runs. Hence:
//   - nothing in sw_rw is trusted across a guest run;
//   - every store to an address that a guest chose comes before an iretq frame is built, and that frame is built from
//     registers, constants and sw_ro alone;
//   - no Rust runs on a stack of sw_rw.
// All data is addressed relative to RIP and lies at the same place under the guest's and the hypervisor's CR3.
//
// What may fault in ring 0, and nothing else: sw_copy_start..sw_copy_end (stores to the guest's stack),
// sw_bounce_iret, sw_exit_iret. Rust tells them apart by the saved CPL and RIP together: a guest can jump
// to these labels in ring 1.
//
// On every stub's stack: [error code,] rip, cs, rflags, rsp, ss. A `slot` is the address of a trap-table entry.

.section .switcher, "ax"
.balign 4096
.global sw_text
sw_text:

// ------------------------------------------------------------------------------------------------------------
// Exceptions. cr3: the guest's (or the hypervisor's, CPL 0) | stack: RSP0 | interrupts off | an NMI has its own stack.

// An exception that cannot arise inside the bounce: at CPL 0 it is a hypervisor bug, found in sw_from_kernel.
.macro SW_PLAIN vector
sw_stub_\vector:
    push 0
    mov [rip + sw_rw + {SCRATCH_RCX}], rcx
    lea rcx, [rip + sw_ro + {TRAPS} + 16 * \vector]
    jmp sw_bounce
.endm
.macro SW_PLAIN_WITH_ERROR vector
sw_stub_\vector:
    mov [rip + sw_rw + {SCRATCH_RCX}], rcx
    lea rcx, [rip + sw_ro + {TRAPS} + 16 * \vector]
    jmp sw_bounce
.endm
// One that the bounce or an exit iretq can raise: at CPL 0 the scratch words still hold the guest's registers,
// so the test comes first.
.macro SW_NESTING vector
sw_stub_\vector:
    test byte ptr [rsp + 16], 3
    jz 1f
    mov [rip + sw_rw + {SCRATCH_RCX}], rcx
    lea rcx, [rip + sw_ro + {TRAPS} + 16 * \vector]
    jmp sw_bounce
1:  push \vector
    jmp sw_ring0
.endm

SW_PLAIN 0
// #DB has a stack of its own (IST): in ring 0 it can strike at the first instruction of any entry, while rsp is
// still the user's (TF or a held-back breakpoint across `syscall`). There it is dropped.
sw_stub_1:
    push 0
    test byte ptr [rsp + 16], 3
    jz 1f
    mov [rip + sw_rw + {SCRATCH_RCX}], rcx
    lea rcx, [rip + sw_ro + {TRAPS} + 16]
    jmp sw_bounce
1:  test byte ptr [rsp + 26], 2         // VM: not ring 0 at all, see ring0_fault
    jnz 2f
    and qword ptr [rsp + 24], ~0x100    // TF
    push rax
    xor eax, eax
    mov dr7, rax
    pop rax
    add rsp, 8
    iretq
2:  push 1
    jmp sw_ring0
SW_PLAIN 3
SW_PLAIN 4
SW_PLAIN 5
SW_PLAIN 6
SW_PLAIN 7
SW_PLAIN 9
SW_NESTING 10
SW_NESTING 11
SW_NESTING 12
SW_NESTING 13
SW_PLAIN 15
SW_PLAIN 16
SW_PLAIN_WITH_ERROR 17
SW_PLAIN 19
SW_PLAIN 20
SW_PLAIN_WITH_ERROR 21
SW_PLAIN 22
SW_PLAIN 23
SW_PLAIN 24
SW_PLAIN 25
SW_PLAIN 26
SW_PLAIN 27
SW_PLAIN 28
SW_PLAIN_WITH_ERROR 29
SW_PLAIN_WITH_ERROR 30
SW_PLAIN 31

// #PF: the address goes to the guest's CR2 word. A fetch that faults in ring 1 (CR2 = RIP) may be a trap handler that is
// not there: Rust looks before the bounce would nest. Ring 3 never fetches a handler, so its way is the shorter one.
sw_stub_14:
    test byte ptr [rsp + 16], 2
    jz 1f
    mov [rip + sw_rw + {SCRATCH_RCX}], rcx
    mov rcx, cr2
    mov [rip + sw_rw + {CR2}], rcx
    lea rcx, [rip + sw_ro + {TRAPS} + 16 * 14]
    mov [rip + sw_rw + {SCRATCH_RDX}], rdx
    jmp sw_from_user
1:  test byte ptr [rsp + 16], 1
    jz 3f
    mov [rip + sw_rw + {SCRATCH_RCX}], rcx
    mov rcx, cr2
    mov [rip + sw_rw + {CR2}], rcx
    cmp rcx, [rsp + 8]
    je 2f
    lea rcx, [rip + sw_ro + {TRAPS} + 16 * 14]
    mov [rip + sw_rw + {SCRATCH_RDX}], rdx
    jmp sw_from_ring1
2:  mov rcx, [rip + sw_rw + {SCRATCH_RCX}]
    push 14
    jmp sw_enter
3:  push 14
    jmp sw_ring0

// The same exceptions, registered with the wish to mask events: the upcall mask is set on the way.
.macro SW_MASKED vectors:vararg
.irp vector, \vectors
sw_masked_\vector:
    mov byte ptr [rip + sw_shared + {UPCALL_MASK}], 1
    jmp sw_stub_\vector
.endr
.endm
sw_masked_1:                            // not for one that ring 0 drops
    test byte ptr [rsp + 8], 3
    jz sw_stub_1
    mov byte ptr [rip + sw_shared + {UPCALL_MASK}], 1
    jmp sw_stub_1
SW_MASKED 0, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 16, 17, 19

// ------------------------------------------------------------------------------------------------------------
// The bounce: rcx = slot, the guest's rcx is in scratch. Moves the six words of the frame to the guest's stack and
// enters the handler. `pop` is restartable, so a fault leaves the words that were not moved yet in place.
sw_bounce:
    mov [rip + sw_rw + {SCRATCH_RDX}], rdx
    test byte ptr [rsp + 16], 2
    jz sw_from_kernel
sw_from_user:
    mov rdx, [rip + sw_ro + {RSP1}]     // checked when it was set
.global sw_copy_start
sw_copy_start:
    pop qword ptr [rdx - 48]
    pop qword ptr [rdx - 40]
    pop qword ptr [rdx - 32]
    pop qword ptr [rdx - 24]
    pop qword ptr [rdx - 16]
    pop qword ptr [rdx - 8]
.global sw_copy_end
sw_copy_end:
    lea rdx, [rdx - 48]
    push {KERNEL_SS}
    push rdx
    push {FLAGS}
    push qword ptr [rcx + 8]
    push qword ptr [rcx]
    mov rdx, [rip + sw_rw + {SCRATCH_RDX}]
    mov rcx, [rip + sw_rw + {SCRATCH_RCX}]
.global sw_bounce_iret
sw_bounce_iret:
    iretq

sw_from_kernel:
    test byte ptr [rsp + 16], 1
    jnz sw_from_ring1
    push rcx                            // CPL 0: the hypervisor's own fault
    mov rdx, [rip + sw_rw + {SCRATCH_RDX}]
    mov rcx, [rip + sw_rw + {SCRATCH_RCX}]
    jmp sw_ring0

// ------------------------------------------------------------------------------------------------------------
// `syscall`. cr3: the guest's | stack: still the caller's | FMASK has cleared IF, TF, DF, NT, AC.
// The frame is read-only: it is the stack for one instruction, and an NMI or #DB has its own.
.global sw_syscall
sw_syscall:
    mov [rip + sw_rw + {USER_RSP}], rsp
    lea rsp, [rip + sw_ro + {SYSCALL_FRAME}]
    iretq

// Where that frame leads while no entry is registered: back here, from ring 1.
.global sw_no_syscall
sw_no_syscall:
    int {MISSING_SYSCALL_VECTOR}
.global sw_no_syscall_end
sw_no_syscall_end:
    ud2
sw_missing_syscall:
    push 0
    push {MISSING_SYSCALL_VECTOR}
    jmp sw_enter

// ------------------------------------------------------------------------------------------------------------
// Hypercall: `int 0x82`, from ring 1 alone (the gate's DPL). Caller-saved registers hold arguments or nothing, so only
// the others are kept. Rust returns here unless the vCPU is not to go on; then it leaves by sw_resume.
sw_hypercall:
    mov rcx, [rip + sw_ro + {HYPERVISOR_CR3}]
    mov cr3, rcx
    mov r11, rsp
    mov rsp, [rip + sw_ro + {REGISTERS_END}]
    push qword ptr [r11 + 32]
    push qword ptr [r11 + 24]
    push qword ptr [r11 + 16]
    push qword ptr [r11 + 8]
    push qword ptr [r11]
    mov [rsp - 48], rbx                 // as in `Registers`, counted down from rip
    mov [rsp - 56], rbp
    mov [rsp - 112], r12
    mov [rsp - 120], r13
    mov [rsp - 128], r14
    mov [rsp - 136], r15
    and dword ptr [rsp + 16], {FLAGS_KEPT}
    mov rsp, [rip + sw_ro + {STACK}]
    mov rcx, r10
    mov r9, rax
    cld
    movabs rax, offset {HYPERCALL}
    call rax
    mov r11, [rip + sw_ro + {REGISTERS_END}]
    mov rsp, [rip + sw_ro + {RSP0}]
    push qword ptr [r11 - 8]
    push qword ptr [r11 - 16]
    push qword ptr [r11 - 24]
    push qword ptr [r11 - 32]
    push qword ptr [r11 - 40]
    xor esi, esi
    xor edi, edi
    xor r8d, r8d
    xor r9d, r9d
    xor r10d, r10d
    xor r11d, r11d
    mov rcx, [rip + sw_ro + {GUEST_CR3}]
    mov cr3, rcx
    xor ecx, ecx
.global sw_exit_iret
sw_exit_iret:
    iretq

// The same return, but the guest first takes its upcall. cr3: the hypervisor's | stack: the hypervisor's, abandoned here |
// rax, rdx: the guest's. A hypercall comes from ring 1 alone, so the frame goes below its stack pointer.
.global sw_return_to_upcall
sw_return_to_upcall:
    mov r11, [rip + sw_ro + {REGISTERS_END}]
    mov rsp, [rip + sw_ro + {RSP0}]
    push qword ptr [r11 - 8]
    push qword ptr [r11 - 16]
    push qword ptr [r11 - 24]
    push qword ptr [r11 - 32]
    push qword ptr [r11 - 40]
    push 0                              // the error code
    mov rbx, [r11 - 40 - 48]            // where sw_hypercall has put them
    mov rbp, [r11 - 40 - 56]
    mov r12, [r11 - 40 - 112]
    mov r13, [r11 - 40 - 120]
    mov r14, [r11 - 40 - 128]
    mov r15, [r11 - 40 - 136]
    xor esi, esi
    xor edi, edi
    xor r8d, r8d
    xor r9d, r9d
    xor r10d, r10d
    xor r11d, r11d
    mov rcx, [rip + sw_ro + {GUEST_CR3}]
    mov cr3, rcx
    mov qword ptr [rip + sw_rw + {SCRATCH_RCX}], 0
    mov [rip + sw_rw + {SCRATCH_RDX}], rdx
    lea rcx, [rip + sw_ro + {UPCALL}]
// The bounce from ring 1: the frame goes below the interrupted stack pointer, past the red zone; not into the slot.
sw_from_ring1:
    mov rdx, [rsp + 32]
    add rdx, -128
    and rdx, -16
    mov [rip + sw_rw + {SCRATCH_RSP}], rdx
    sub dword ptr [rip + sw_rw + {SCRATCH_RSP} + 4], 0xffff8000
    cmp dword ptr [rip + sw_rw + {SCRATCH_RSP} + 4], 0x80
    jae sw_copy_start
    push rcx                            // the slot, in the vector's place: "stack forbidden while delivering"
    mov rdx, [rip + sw_rw + {SCRATCH_RDX}]
    mov rcx, [rip + sw_rw + {SCRATCH_RCX}]
    jmp sw_enter

// ------------------------------------------------------------------------------------------------------------
// Interrupts: vectors 0x20 to 0x3f, 8 bytes each.
.balign 8
sw_interrupts:
.set vector, 0x20
.rept 0x20
    .balign 8
    push vector
    jmp sw_interrupt
    .set vector, vector + 1
.endr
sw_interrupt:                           // [vector, rip, cs, rflags, rsp, ss]
    test byte ptr [rsp + 16], 3
    jz 1f
2:  push qword ptr [rsp]                // [vector, (error) vector, rip, ...]
    jmp sw_enter
1:  test byte ptr [rsp + 26], 2         // VM: not ring 0 at all
    jnz 2b
    push rax                            // the hypervisor idles in `sti; hlt`: leave it a note, on its own stack
    push rcx
    mov rcx, [rsp + 16]
    movabs rax, offset {IDLE_INTERRUPT}
    mov [rax], cl
    pop rcx
    pop rax
    add rsp, 8
    iretq

// ------------------------------------------------------------------------------------------------------------
// From the guest into the hypervisor with all registers kept: [vector or slot, error, rip, cs, rflags, rsp, ss].
sw_enter:
    push rax
    mov rax, [rip + sw_ro + {HYPERVISOR_CR3}]
    mov cr3, rax
    mov rax, rsp
    mov rsp, [rip + sw_ro + {REGISTERS_END}]
    push qword ptr [rax + 56]
    push qword ptr [rax + 48]
    push qword ptr [rax + 40]
    push qword ptr [rax + 32]
    push qword ptr [rax + 24]
    push qword ptr [rax + 16]
    push qword ptr [rax + 8]
    push qword ptr [rax]
    push rcx
    push rdx
    push rbx
    push rbp
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
    mov rsp, [rip + sw_ro + {STACK}]
    cld
    movabs rax, offset {GUEST_TRAP}
    call rax
    ud2

// A fault with CPL 0: [vector or slot, error, rip, cs, rflags, rsp, ss] on whatever stack was live. Rust decides whether the
// guest caused it. Registers are pushed as `Registers`; under the guest's CR3 they are the guest's own.
sw_ring0:
    push rax
    push rcx
    push rdx
    push rbx
    push rbp
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
    mov rdi, rsp
    mov rsi, cr3
    mov rdx, cr2
    mov rax, [rip + sw_ro + {HYPERVISOR_CR3}]
    mov cr3, rax
    mov rsp, [rip + sw_ro + {FAULT_STACK}]
    cld
    movabs rax, offset {RING0_FAULT}
    call rax
    ud2

// ------------------------------------------------------------------------------------------------------------
// #DF and #MC never return to where they struck. A #DF that interrupted a guest is the guest's (a direct trap whose
// frame the CPU could not push).
sw_stub_8:                              // stack: IST, with error code 0
    push 8
    test byte ptr [rsp + 24], 3
    jz sw_ring0
    jmp sw_enter
sw_stub_18:
    push 0
    push 18
    jmp sw_ring0

// NMI: can strike anywhere, also in the middle of an entry under either CR3. It keeps registers on the hypervisor's NMI
// stack, restores the CR3 that it found, and wipes the two words it had to put into sw_rw.
sw_stub_2:
    push rax
    mov rax, cr3
    push rax
    mov rax, [rip + sw_ro + {HYPERVISOR_CR3}]
    mov cr3, rax
    mov rax, rsp
    mov rsp, [rip + sw_ro + {NMI_STACK}]
    push rax
    push rcx
    push rdx
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    cld
    movabs rax, offset {NMI}
    call rax
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rsp
    pop rax
    mov cr3, rax
    mov qword ptr [rsp - 8], 0
    pop rax
    mov qword ptr [rsp - 8], 0
    test byte ptr [rsp + 8], 3
    jnz sw_exit_iret
    test byte ptr [rsp + 18], 2         // VM: not ring 0 at all
    jnz sw_exit_iret
    iretq

// ------------------------------------------------------------------------------------------------------------
// Into the guest. cr3: the hypervisor's | stack: the hypervisor's, abandoned here | rdi: *const Registers.
.macro SW_LOAD_REGISTERS                // all but rax (pushed last) and the frame
    push qword ptr [rdi + {REG_RAX}]
    mov rcx, [rdi + {REG_RCX}]
    mov rdx, [rdi + {REG_RDX}]
    mov rbx, [rdi + {REG_RBX}]
    mov rbp, [rdi + {REG_RBP}]
    mov rsi, [rdi + {REG_RSI}]
    mov r8, [rdi + {REG_R8}]
    mov r9, [rdi + {REG_R9}]
    mov r10, [rdi + {REG_R10}]
    mov r11, [rdi + {REG_R11}]
    mov r12, [rdi + {REG_R12}]
    mov r13, [rdi + {REG_R13}]
    mov r14, [rdi + {REG_R14}]
    mov r15, [rdi + {REG_R15}]
    mov rdi, [rdi + {REG_RDI}]
    mov rax, [rip + sw_ro + {GUEST_CR3}]
    mov cr3, rax
    pop rax
.endm
.macro SW_PUSH_FRAME
    mov rsp, [rip + sw_ro + {RSP0}]
    push qword ptr [rdi + {REG_SS}]
    push qword ptr [rdi + {REG_RSP}]
    push qword ptr [rdi + {REG_RFLAGS}]
    push qword ptr [rdi + {REG_CS}]
    push qword ptr [rdi + {REG_RIP}]
.endm

.global sw_resume
sw_resume:
    SW_PUSH_FRAME
    SW_LOAD_REGISTERS
    jmp sw_exit_iret

// The same, but the guest first takes the trap whose slot stands in sw_ro, with the error code of `Registers`.
.global sw_inject
sw_inject:
    SW_PUSH_FRAME
    push qword ptr [rdi + {REG_ERROR}]
    SW_LOAD_REGISTERS
    mov [rip + sw_rw + {SCRATCH_RCX}], rcx
    mov rcx, [rip + sw_ro + {INJECT_SLOT}]
    jmp sw_bounce

.global sw_text_end
sw_text_end:

// Addresses of the stubs, for the IDT: 32 exceptions, then hypercall, missing syscall, first interrupt.
.section .rodata.switcher, "a"
.balign 8
.global sw_stubs
sw_stubs:
    .quad sw_stub_0, sw_stub_1, sw_stub_2, sw_stub_3, sw_stub_4, sw_stub_5, sw_stub_6, sw_stub_7
    .quad sw_stub_8, sw_stub_9, sw_stub_10, sw_stub_11, sw_stub_12, sw_stub_13, sw_stub_14, sw_stub_15
    .quad sw_stub_16, sw_stub_17, sw_stub_18, sw_stub_19, sw_stub_20, sw_stub_21, sw_stub_22, sw_stub_23
    .quad sw_stub_24, sw_stub_25, sw_stub_26, sw_stub_27, sw_stub_28, sw_stub_29, sw_stub_30, sw_stub_31
    .quad sw_hypercall, sw_missing_syscall, sw_interrupts
.global sw_masked_stubs
sw_masked_stubs:                        // by exception, 0 where there is none
    .quad sw_masked_0, sw_masked_1, 0, sw_masked_3, sw_masked_4, sw_masked_5, sw_masked_6, sw_masked_7
    .quad 0, 0, sw_masked_10, sw_masked_11, sw_masked_12, sw_masked_13, sw_masked_14, 0
    .quad sw_masked_16, sw_masked_17, 0, sw_masked_19, 0, 0, 0, 0
    .quad 0, 0, 0, 0, 0, 0, 0, 0
