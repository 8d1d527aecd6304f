//! What a hostile guest kernel would do next.
use abi::hypercall::Hypercall;
use abi::layout::{CR2_WORD, PAGE_SIZE, SWITCHER_RW, SWITCHER_TEXT, USER_RSP_WORD};
use abi::mmu::{MAX_BATCH, MmuextCommand, MmuextOp};
use abi::sched::SchedOp;
use abi::selector::{HYPERVISOR_CS, HYPERVISOR_DS, TSS, USER_CS};
use abi::start_info::flags;
use abi::trap::vector;
use core::sync::atomic::{AtomicU64, Ordering};
use guests::runtime::code::{self, Slot, UD2};
use guests::runtime::frame::{AC, Frame, TF};
use guests::runtime::memory::{self, KERNEL_DATA, NX, P};
use guests::runtime::trap::{Hooked, SYSCALL_VECTOR, attempt, direct, register};
use guests::runtime::{call, start_info, trap, tsc};
use guests::{check, check_eq, command_line};

use super::Run;
use super::raise::{CODE_RING_1, DATA_RING_1, PRESENT, int, own_segment, own_selector};

pub(crate) const CASES: &[(&str, Run)] = &[
    ("missing-syscall-with-a-direct-handler", missing_direct),
    ("missing-syscall-on-an-absent-stack", missing_absent_stack),
    ("missing-syscall-with-absurd-words", missing_absurd),
    ("single-steps-across-every-way-in", single_steps),
    ("shadow-of-a-stack-segment", shadows),
    ("segments-that-vanish", vanishing_segments),
    ("bases-that-are-no-addresses", bad_bases),
    ("probes-of-selectors", probes),
    ("starts-clean", starts_clean),
    ("direct-gates-are-ones-own", own_gates),
    ("iretd-to-virtual-8086-mode", virtual_mode),
    ("interrupt-in-virtual-8086-mode", virtual_mode_loop),
    (
        "frame-ends-at-0-on-the-way-to-an-absent-segment",
        frame_at_the_top,
    ),
    ("frame-wraps-at-0", frame_wraps),
    ("yields-at-the-edge", yields_at_the_edge),
    ("prints-newlines", newlines),
    ("pins-all-at-once", pins),
];

const SYSCALL: [u8; 2] = [0x0f, 0x05];
const INT_82: [u8; 2] = [0xcd, 0x82];
const DF: u64 = 1 << 10;

/// Takes #UD as the CPU delivers it.
fn direct_invalid_opcode() {
    register(direct(vector::UD, code::handler(vector::UD, Slot::Missing)));
}

fn missing_direct(_: u32) {
    direct_invalid_opcode();
    let user = Frame::ring3(code::user(&SYSCALL), memory::user_stack() - 24).with_pattern(0x5ca1);
    for flags in [0, DF, AC, DF | AC] {
        let mut frame = user;
        frame.rflags |= flags;
        for _ in 0..3 {
            let before = trap::count(vector::UD);
            let found = trap::run(&frame);
            check_eq!(
                (found.vector, found.rip, found.cs, found.rsp, found.ss),
                (u64::from(vector::UD), frame.rip, frame.cs, frame.rsp, frame.ss),
                "a syscall is a #UD at its instruction"
            );
            check_eq!(found.rflags & (DF | AC), flags, "the user's flags");
            check_eq!(
                found.at,
                trap::trap_stack() - 22 * 8,
                "on the stack of stack_switch"
            );
            let others = |f: &Frame| Frame { rcx: 0, r11: 0, ..*f }.general();
            check_eq!(others(&found), others(&frame), "all registers that syscall keeps");
            check_eq!(trap::count(vector::UD) - before, 1, "once");
        }
    }
    let found = trap::run(&Frame::ring1(code::kernel(&SYSCALL), memory::stack(1)));
    check_eq!(found.vector, u64::from(vector::UD), "syscall in ring 1");
    let found = trap::run(&Frame::ring3(code::user(&UD2), user.rsp));
    check_eq!(found.vector, u64::from(vector::UD), "ud2 goes on as ever");
}

fn missing_absent_stack(_: u32) {
    direct_invalid_opcode();
    let stack = memory::stack(1);
    let switched = call::stack_switch(stack);
    check!(switched.is_ok(), "a trap stack: {switched:?}");
    let frame = Frame::ring3(code::user(&SYSCALL), memory::user_stack());
    check_eq!(
        trap::run(&frame).vector,
        u64::from(vector::UD),
        "it works while the stack is there"
    );
    memory::unmap(stack - PAGE_SIZE);
    let found = trap::run(&frame);
    check!(false, "the guest is dead, yet a handler ran: {found:x?}");
}

/// Where the switcher's text has an unregistered `syscall` end: `int 0x81; ud2`.
fn no_syscall() -> u64 {
    let wanted = [0xcd, 0x81, 0x0f, 0x0b];
    let found = (SWITCHER_TEXT..SWITCHER_TEXT + PAGE_SIZE - 4)
        .find(|at| (0..4).all(|n| memory::peek_byte(at + n) == wanted[n as usize]));
    check!(found.is_some(), "the switcher has its int 0x81");
    found.unwrap_or(0)
}

fn missing_absurd(_: u32) {
    const ABSURD: [u64; 6] = [
        0,
        1,
        0x0000_8000_0000_0001,
        u64::MAX,
        SWITCHER_RW + 0x800,
        1 << 63,
    ];
    // IOPL, NT, VM, VIF, VIP
    const FORBIDDEN: u64 = 0x001a_7000;
    let at = no_syscall();
    for way in 0..2 {
        if way == 1 {
            direct_invalid_opcode();
        }
        for rip in ABSURD {
            for rsp in ABSURD {
                let mut frame = Frame::ring1(at, memory::physmap(start_info().first_free_pfn) + 0x800);
                (frame.rcx, frame.r11) = (rip, u64::MAX);
                memory::poke(USER_RSP_WORD, rsp);
                let found = trap::run(&frame);
                check_eq!(
                    (found.vector, found.rip, found.cs, found.rsp),
                    (
                        u64::from(vector::UD),
                        rip.wrapping_sub(2),
                        u64::from(USER_CS),
                        rsp
                    ),
                    "the words are told as they are"
                );
                check_eq!(found.rflags & FORBIDDEN, 0, "flags that no guest has");
            }
        }
        // The same gate from a guest's own code is nobody's.
        for found in [code::run_in_ring1(&int(0x81)), code::run_in_ring3(&int(0x81))] {
            check_eq!(found.vector, u64::from(vector::GP), "int 0x81");
        }
    }
}

/// Traps that a stepped sequence may meet, all of which go on; #DB is counted.
fn step_on(frame: &mut Frame) -> Hooked {
    const DB: u64 = vector::DB as u64;
    match frame.vector {
        DB => {
            STEPS.fetch_add(1, Ordering::Relaxed);
            let page = STEPPED.load(Ordering::Relaxed);
            check!(
                frame.ring() != 0 && (page..page + PAGE_SIZE).contains(&frame.rip),
                "a step is at the guest's next instruction: {frame:x?}"
            );
            Hooked::Resume
        }
        3 | 0x40 | SYSCALL_VECTOR => Hooked::Resume,
        // A hypercall from ring 3.
        13 if frame.ring() == 3 => {
            frame.rip += 2;
            Hooked::Resume
        }
        _ => Hooked::Pass,
    }
}

static STEPS: AtomicU64 = AtomicU64::new(0);
static STEPPED: AtomicU64 = AtomicU64::new(0);

/// Runs a sequence that `ud2` ends, with and without single steps; returns how many steps there were.
fn step(mut frame: Frame, steps: bool) -> u64 {
    STEPS.store(0, Ordering::Relaxed);
    STEPPED.store(frame.rip & !(PAGE_SIZE - 1), Ordering::Relaxed);
    if steps {
        frame.rflags |= TF;
    }
    trap::hook(Some(step_on));
    let found = trap::run(&frame);
    trap::hook(None);
    check_eq!(
        (found.vector, found.cs),
        (u64::from(vector::UD), frame.cs),
        "the sequence comes to its end"
    );
    STEPS.load(Ordering::Relaxed)
}

fn ways_in() {
    register(direct(0x40, code::handler(0x40, Slot::Missing)));
    let done = call::register_syscall(trap::syscall_entry_address());
    check!(done.is_ok(), "a syscall entry: {done:?}");
}

/// xor edi, edi; mov eax, xen_version
const VERSION_CALL: [u8; 7] = [0x31, 0xff, 0xb8, Hypercall::XenVersion as u8, 0, 0, 0];
/// xor edi, edi; mov eax, sched_op (yield)
const YIELD_CALL: [u8; 7] = [0x31, 0xff, 0xb8, Hypercall::SchedOp as u8, 0, 0, 0];

fn single_steps(_: u32) {
    ways_in();
    let kernel = [
        &[0x90, 0xcc, 0x90, 0xcd, 0x40, 0x90][..],
        &VERSION_CALL,
        &INT_82,
        &YIELD_CALL,
        &INT_82,
        &[0x90],
        &UD2,
    ];
    let user = [
        &[0x90, 0xcc, 0x90, 0xcd, 0x40, 0x90][..],
        &SYSCALL,
        &[0x90],
        &INT_82,
        &SYSCALL,
        &UD2,
    ];
    for _ in 0..20 {
        let frame = Frame::ring1(place(&kernel, Ring::One), memory_of(Ring::One));
        check!(step(frame, true) >= 6, "ring 1 is stepped");
        let frame = Frame::ring3(place(&user, Ring::Three), memory_of(Ring::Three));
        check!(step(frame, true) >= 4, "ring 3 is stepped");
    }
}

fn shadows(_: u32) {
    ways_in();
    // mov ecx, ss; then mov ss, ecx before each way in
    let load: &[u8] = &[0x8e, 0xd1];
    let kernel = [
        &[0x8c, 0xd1][..],
        load,
        &[0xcc],
        load,
        &[0xcd, 0x40],
        &VERSION_CALL,
        &[0x8c, 0xd1],
        load,
        &INT_82,
        &YIELD_CALL,
        &[0x8c, 0xd1],
        load,
        &INT_82,
        &UD2,
    ];
    let user = [
        &[0x8c, 0xd3, 0x89, 0xd9][..],
        load,
        &[0xcc],
        load,
        &[0xcd, 0x40],
        load,
        &INT_82,
        load,
        &SYSCALL,
        // syscall took rcx
        &[0x89, 0xd9],
        load,
        &[0x90],
        &UD2,
    ];
    for steps in [false, true] {
        for _ in 0..20 {
            step(
                Frame::ring1(place(&kernel, Ring::One), memory_of(Ring::One)),
                steps,
            );
            step(
                Frame::ring3(place(&user, Ring::Three), memory_of(Ring::Three)),
                steps,
            );
        }
    }
    // Loads without end do not hold interrupts back.
    let storm = [0x8c, 0xd1, 0x8e, 0xd1, 0x8e, 0xd1, 0xff, 0xca, 0x75, 0xf8];
    let mut frame = Frame::ring1(code::kernel(&storm), memory_of(Ring::One));
    frame.rdx = 200_000;
    check_eq!(trap::run(&frame).vector, u64::from(vector::UD), "the storm ends");
}

#[derive(Clone, Copy, PartialEq)]
enum Ring {
    One,
    Three,
}

/// A page for code and a stack for each ring, made at the first use.
static PAGES: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

fn page(ring: Ring, n: usize) -> u64 {
    if PAGES[0].load(Ordering::Relaxed) == 0 {
        for (slot, address) in PAGES.iter().zip([
            code::kernel(&[]),
            memory::stack(2),
            code::user(&[]),
            memory::user_stack(),
        ]) {
            slot.store(address, Ordering::Relaxed);
        }
    }
    PAGES[if ring == Ring::One { 0 } else { 2 } + n].load(Ordering::Relaxed)
}

fn memory_of(ring: Ring) -> u64 {
    page(ring, 1)
}

fn place(parts: &[&[u8]], ring: Ring) -> u64 {
    let start = page(ring, 0);
    let mut at = start;
    for part in parts {
        memory::poke_bytes(memory::alias(at), part);
        at += part.len() as u64;
    }
    start
}

const DATA_RING_3: u64 = 0x00cf_f300_0000_ffff;
const BASED: u64 = 0x1240_f334_5600_0000;
const EXPAND_DOWN: u64 = 0x0000_f700_0000_0000;

static BECOMES: AtomicU64 = AtomicU64::new(0);

fn pull_the_rug(frame: &mut Frame) -> Hooked {
    if frame.vector != u64::from(vector::BP) {
        return Hooked::Pass;
    }
    own_segment(2, BECOMES.load(Ordering::Relaxed));
    check!(call::yield_now().is_ok(), "a yield");
    let nested = attempt(|| {
        let _ = memory::peek(8);
    });
    check!(nested.is_err(), "a trap in the handler");
    let waited = call::block(200_000, 0);
    check!(waited.ok().is_ok(), "a wait: {waited:x?}");
    Hooked::Resume
}

fn vanishing_segments(_: u32) {
    // mov ds, ecx; mov es, ecx; mov fs, ecx; mov gs, ecx; int3; int3
    let load = [
        0x8e, 0xd9, 0x8e, 0xc1, 0x8e, 0xe1, 0x8e, 0xe9, 0xcc, 0xcc, 0x0f, 0x0b,
    ];
    trap::hook(Some(pull_the_rug));
    for ring in [Ring::One, Ring::Three] {
        for segment in [DATA_RING_3, DATA_RING_3 & !(1 << 41), BASED, EXPAND_DOWN] {
            for becomes in [0, segment & !PRESENT, CODE_RING_1, DATA_RING_1] {
                own_segment(2, segment);
                BECOMES.store(becomes, Ordering::Relaxed);
                let at = place(&[&load], ring);
                let mut frame = match ring {
                    Ring::One => Frame::ring1(at, memory_of(ring)),
                    Ring::Three => Frame::ring3(at, memory_of(ring)),
                };
                frame.rcx = u64::from(own_selector(2) | 3);
                let found = trap::run(&frame);
                check_eq!(
                    (found.vector, found.cs),
                    (u64::from(vector::UD), frame.cs),
                    "with {segment:#x}, then {becomes:#x}"
                );
            }
        }
    }
    trap::hook(None);
}

fn bad_bases(_: u32) {
    if start_info().flags & flags::FSGSBASE == 0 {
        return;
    }
    // wrfsbase rax; then wrgsbase rax
    let writes = [[0xf3, 0x48, 0x0f, 0xae, 0xd0], [0xf3, 0x48, 0x0f, 0xae, 0xd8]];
    // rdfsbase rax; rdgsbase rcx
    let read = [0xf3, 0x48, 0x0f, 0xae, 0xc0, 0xf3, 0x48, 0x0f, 0xae, 0xc9];
    for base in [1 << 47, 0xffff_7fff_ffff_ffff, 1 << 63, u64::MAX >> 1] {
        for ring in [Ring::One, Ring::Three] {
            for write in writes {
                let at = place(&[&write, &UD2], ring);
                let mut frame = match ring {
                    Ring::One => Frame::ring1(at, memory_of(ring)),
                    Ring::Three => Frame::ring3(at, memory_of(ring)),
                };
                frame.rax = base;
                let found = trap::run(&frame);
                check!(
                    matches!(found.vector as u8, vector::UD | vector::GP),
                    "a base of {base:#x}: {found:x?}"
                );
                check!(call::yield_now().is_ok(), "a yield");
                let waited = call::block(200_000, 0);
                check!(waited.ok().is_ok(), "a wait: {waited:x?}");
                check!(
                    call::set_segment_base(abi::hypercall::SegmentBase::Fs, 0).is_ok(),
                    "a good base"
                );
            }
        }
        let found = code::run_in_ring1(&read);
        for base in [found.rax, found.rcx] {
            check!(abi::layout::is_canonical(base), "{base:#x} is an address by now");
        }
    }
}

fn probes(_: u32) {
    // again: lar eax, cx; lsl eax, cx; verr cx; verw cx; dec ecx; jns again
    let all = [
        0x0f, 0x02, 0xc1, 0x0f, 0x03, 0xc1, 0x0f, 0x00, 0xe1, 0x0f, 0x00, 0xe9, 0xff, 0xc9, 0x79, 0xf0,
    ];
    // lar eax, cx; setz al; movzx eax, al
    let one = [0x0f, 0x02, 0xc1, 0x0f, 0x94, 0xc0, 0x0f, 0xb6, 0xc0];
    // mov ds, ecx
    let load = [0x8e, 0xd9];
    for ring in [Ring::One, Ring::Three] {
        let run = |bytes: &[u8], selector: u64| {
            let at = place(&[bytes, &UD2], ring);
            let mut frame = match ring {
                Ring::One => Frame::ring1(at, memory_of(ring)),
                Ring::Three => Frame::ring3(at, memory_of(ring)),
            };
            frame.rcx = selector;
            trap::run(&frame)
        };
        check_eq!(
            run(&all, 0xffff).vector,
            u64::from(vector::UD),
            "probes fault never"
        );
        for selector in [HYPERVISOR_CS, HYPERVISOR_DS, TSS] {
            let found = run(&one, u64::from(selector));
            check_eq!(found.rax, 0, "nothing is told about {selector:#x}");
        }
        for selector in (0..0x120).chain([0x7ff8, 0xfffc, 0xffff]) {
            let found = run(&load, selector);
            let loaded = found.vector == u64::from(vector::UD);
            check!(
                loaded || matches!(found.vector as u8, vector::GP | vector::NP),
                "a load of {selector:#x}: {found:x?}"
            );
            let reserved = matches!(selector >> 3, 1 | 2 | 7 | 8);
            check!(
                !(loaded && reserved),
                "{selector:#x} is the hypervisor's, and was loaded"
            );
        }
    }
}

fn starts_clean(run: u32) {
    let image = memory::kernel_pages(1, KERNEL_DATA);
    // SAFETY: the page is this guest's own.
    unsafe { core::arch::asm!("fxsave64 [{}]", in(reg) image, options(nostack)) };
    check_eq!(
        (memory::peek(image) & 0xff_ffff, memory::peek(image) >> 48),
        (0x37f, 0),
        "x87 control, status, last opcode"
    );
    check_eq!(
        (memory::peek(image + 8), memory::peek(image + 16)),
        (0, 0),
        "x87's last instruction and operand"
    );
    let zero = (32..416).step_by(8).all(|at| memory::peek(image + at) == 0);
    check!(zero, "vector registers");
    check_eq!(
        memory::peek(USER_RSP_WORD),
        0,
        "the word of a user's stack pointer"
    );
    // Everything but the stack that this guest's own entries have used by now.
    let zero = (SWITCHER_RW + 16..SWITCHER_RW + 0x200)
        .step_by(8)
        .all(|at| memory::peek(at) == 0);
    check!(zero, "the switcher's data");
    let segments: u64;
    // SAFETY: reads selectors.
    unsafe {
        core::arch::asm!(
            "mov {all:e}, ds", "mov {one:e}, es", "or {all}, {one}", "mov {one:e}, fs", "or {all}, {one}",
            "mov {one:e}, gs", "or {all}, {one}",
            all = out(reg) segments, one = out(reg) _, options(nomem, nostack),
        );
    }
    check_eq!(segments, 0, "data segments");
    if start_info().flags & flags::FSGSBASE != 0 {
        let (fs, gs): (u64, u64);
        // SAFETY: reads the bases; the flag says that it may.
        unsafe {
            core::arch::asm!("rdfsbase {}", "rdgsbase {}", out(reg) fs, out(reg) gs, options(nomem, nostack))
        };
        check_eq!((fs, gs), (0, 0), "segment bases");
    }
    if run == 0 {
        dirty();
    }
}

/// Leaves traces everywhere, for the next incarnation not to find.
fn dirty() {
    for at in (SWITCHER_RW..SWITCHER_RW + PAGE_SIZE).step_by(8) {
        memory::poke(at, 0x6666_6666_6666_6666);
    }
    memory::poke(CR2_WORD, 0x6666);
    own_segment(0, DATA_RING_1);
    let mut frame = Frame::ring1(
        // fild dword [rsp]; fsqrt; movq xmm3, rsp; mov ds, ecx; mov es, ecx
        code::kernel(&[
            0xdb, 0x04, 0x24, 0xd9, 0xfa, 0x66, 0x48, 0x0f, 0x6e, 0xdc, 0x8e, 0xd9, 0x8e, 0xc1,
        ]),
        memory::stack(1) - 64,
    );
    frame.rcx = u64::from(own_selector(0));
    check_eq!(trap::run(&frame).vector, u64::from(vector::UD), "traces");
    for which in [abi::hypercall::SegmentBase::Fs, abi::hypercall::SegmentBase::Gs] {
        check!(call::set_segment_base(which, 0x6660).is_ok(), "a base");
    }
}

fn own_gates(_: u32) {
    let mark = 0x1000 + u64::from(start_info().domain_id);
    // mov eax, mark; iretq
    let mut handler = [0xb8, 0, 0, 0, 0, 0x48, 0xcf];
    handler[1..5].copy_from_slice(&(mark as u32).to_le_bytes());
    for vector in [0x40, 0x41, 0x80, vector::BP] {
        let at = code::kernel(&handler);
        register(direct(vector, at));
        let user = Frame::ring3(code::user(&int(vector)), memory::user_stack());
        let kernel = Frame::ring1(code::kernel(&int(vector)), memory::stack(1));
        for _ in 0..100 {
            for frame in [user, kernel] {
                let found = trap::run(&frame);
                check_eq!(
                    (found.vector, found.rax),
                    (u64::from(vector::UD), mark),
                    "int {vector:#x} reaches this guest's own handler"
                );
            }
            check!(call::yield_now().is_ok(), "a yield");
        }
    }
}

/// A 32-bit iret in ring 3 whose image has VM set and a code selector that says ring 0.
fn to_virtual_mode(flags: u32) {
    const VM: u32 = 1 << 17;
    const SELECTOR: u32 = 0x8000;
    let stack = memory::user_stack() - 64;
    for (n, word) in [0, SELECTOR, VM | flags, 0x100, SELECTOR, 0, 0, 0, 0]
        .into_iter()
        .enumerate()
    {
        memory::poke_bytes(stack + 4 * n as u64, &word.to_le_bytes());
    }
    let found = trap::run(&Frame::ring3(code::user(&[0xcf]), stack));
    check_eq!(
        (found.vector, found.cs),
        (u64::from(vector::GP), u64::from(USER_CS)),
        "a selector beyond the table"
    );
}

fn virtual_mode(run: u32) {
    // Nothing is mapped at 0x8000:0; and a single step there.
    if run == 1 {
        memory::map(0x8_0000, memory::allocate(), memory::USER_CODE);
        memory::poke_bytes(memory::alias(0x8_0000), &[0x90, 0x90]);
    }
    to_virtual_mode(if run == 1 { 0x302 } else { 0x202 });
}

fn virtual_mode_loop(_: u32) {
    memory::map(0x8_0000, memory::allocate(), memory::USER_CODE);
    memory::poke_bytes(memory::alias(0x8_0000), &[0xeb, 0xfe]);
    to_virtual_mode(0x202);
}

/// Registers #UD on a segment of the guest's own that is absent by the time it is needed.
fn absent_segment() {
    own_segment(0, CODE_RING_1 & !PRESENT);
    register(abi::trap::TrapInfo {
        vector: vector::UD,
        flags: 0,
        cs: own_selector(0),
        pad: 0,
        address: trap::bounced_handler(vector::UD),
    });
}

const TOP_PAGE: u64 = 0u64.wrapping_sub(PAGE_SIZE);

fn frame_at_the_top(_: u32) {
    memory::map(TOP_PAGE, memory::allocate(), KERNEL_DATA);
    absent_segment();
    let found = trap::run(&Frame::ring1(code::kernel(&UD2), 128 + 8));
    check!(false, "the guest is dead, yet a handler ran: {found:x?}");
}

fn frame_wraps(_: u32) {
    memory::map(TOP_PAGE, memory::allocate(), KERNEL_DATA);
    let found = trap::run(&Frame::ring1(code::kernel(&UD2), 128 + 16));
    check!(false, "the guest is dead, yet a handler ran: {found:x?}");
}

fn yields_at_the_edge(_: u32) {
    const LAST_PAGE: u64 = 0x0000_7fff_ffff_f000;
    let at = LAST_PAGE + 0xffe;
    memory::map(LAST_PAGE, memory::allocate(), memory::KERNEL_CODE);
    memory::poke_bytes(memory::alias(at), &INT_82);
    // All of them go together.
    let _ = call::block(30_000_000, 0);
    let mut frame = Frame::ring1(at, memory::stack(1));
    (frame.rax, frame.rdi) = (Hypercall::SchedOp.raw(), SchedOp::Yield.raw());
    let found = trap::run(&frame);
    check!(false, "the guest is dead, yet it went on: {found:x?}");
}

/// Ticks of one call, where the command line says that they are counted instructions.
fn within(limit: u64, what: &str, f: impl FnOnce()) {
    let before = tsc();
    f();
    let ticks = tsc() - before;
    let line = command_line::text(&start_info().command_line);
    guests::println!("{what}: {ticks} ticks");
    if command_line::value(line, "ticks") == Some("counted") {
        check!(ticks < limit, "{what}: {ticks} ticks");
    }
}

fn newlines(_: u32) {
    const BYTES: u64 = 4096;
    let text = memory::kernel_pages(1, KERNEL_DATA);
    for at in (text..text + BYTES).step_by(8) {
        memory::poke(at, 0x0a0a_0a0a_0a0a_0a0a);
    }
    for _ in 0..4 {
        within(1_000_000, "a call that prints", || {
            let written = call::console_write(BYTES, text);
            check!(written.is_ok(), "newlines: {written:?}");
        });
    }
}

fn pins(_: u32) {
    const TABLES: u64 = MAX_BATCH;
    let operations = memory::kernel_pages(3, KERNEL_DATA);
    let size = size_of::<MmuextOp>() as u64;
    let target = memory::mfn(memory::allocate()) << 12 | P | NX;
    for n in 0..TABLES {
        let frame = memory::allocate();
        for at in (memory::physmap(frame)..memory::physmap(frame + 1)).step_by(8) {
            memory::poke(at, target);
        }
        memory::make_read_only(memory::physmap(frame));
        let operation = operations + n * size;
        memory::poke(operation, u64::from(MmuextCommand::PinL1.raw()));
        memory::poke(operation + 8, memory::mfn(frame));
        memory::poke(operation + 16, 0);
    }
    for command in [MmuextCommand::PinL1, MmuextCommand::Unpin] {
        for n in 0..TABLES {
            memory::poke(operations + n * size, u64::from(command.raw()));
        }
        let mut done = 0;
        while done < TABLES {
            within(3_000_000, "a batch of pins", || {
                let arguments = [operations + done * size, TABLES - done];
                let returned = call::call(Hypercall::MmuextOp, &arguments);
                check!(
                    matches!(returned.ok(), Ok(_) | Err(abi::errno::Errno::Again)),
                    "a batch of pins: {returned:x?}"
                );
                check!(returned.detail > 0, "each call does something");
                done += returned.detail;
            });
        }
    }
}
