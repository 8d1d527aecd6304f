//! What an upcall finds, when it comes, what it keeps; and what a guest can put in its way.
use abi::errno::Errno;
use abi::event::EventChannelOp;
use abi::hypercall::Hypercall;
use abi::layout::{CR2_WORD, PAGE_SIZE, SHARED_INFO, SLOT_BASE, SLOT_END, SWITCHER_RW};
use abi::trap::{BounceFrame, flags, vector};
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};
use guests::runtime::event::{self, channel, looped_ports, send, served};
use guests::runtime::frame::{FLAGS, Frame};
use guests::runtime::memory;
use guests::runtime::time::{now_ns, set_timer};
use guests::runtime::trap::{self, Hooked};
use guests::runtime::upcall::{self, UpcallFrame};
use guests::runtime::{call, code};
use guests::{check, check_eq};

use super::Run;
use super::raise::{BUT_PAGE_FAULT, instructions};

pub(crate) const CASES: &[(&str, Run)] = &[
    ("upcall-frame", frame),
    ("upcall-refuses", refuses),
    ("upcall-in-the-region", in_region),
    ("upcall-keeps-the-words", keeps_words),
    ("upcall-moves-the-stack", moves_stack),
    ("traps-that-mask-events", masking_traps),
    ("nonsense-in-shared-info", nonsense),
];

/// `jmp` to itself.
pub(super) const SPIN: [u8; 2] = [0xeb, 0xfe];
/// When the timer fires in such a loop.
pub(super) const SOON_NS: u64 = 200_000;

/// Where the endless loops are.
static LOOPS: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
static DELAY_NS: AtomicU64 = AtomicU64::new(SOON_NS);
static SEEN: [AtomicU64; 24] = [const { AtomicU64::new(0) }; 24];

/// Makes an endless loop known.
pub(super) fn loops_at(place: usize, rip: u64) {
    LOOPS[place].store(rip, Ordering::Relaxed);
}

/// Whether the upcall came to one of the loops; if it came before (others may run for long), there will be another.
pub(super) fn is_in_loop(found: &UpcallFrame) -> bool {
    let is_in = LOOPS.iter().any(|at| at.load(Ordering::Relaxed) == found.rip);
    if !is_in {
        // Setting it may give others a turn that is longer than what was left.
        let delay = DELAY_NS.load(Ordering::Relaxed) * 2;
        DELAY_NS.store(delay, Ordering::Relaxed);
        set_timer(now_ns().0 + delay);
    }
    is_in
}

/// Notes what the upcall found, and lets the endless loop end in its `ud2`.
fn leave_loop(found: &mut UpcallFrame) {
    if !is_in_loop(found) {
        return;
    }
    for (seen, value) in SEEN.iter().zip(found.general) {
        seen.store(value, Ordering::Relaxed);
    }
    let rest = [
        found.error,
        found.rip,
        found.cs,
        found.rflags,
        found.rsp,
        found.ss,
        frame_at(found),
        u64::from(event::is_masked()),
    ];
    for (seen, value) in SEEN[15..].iter().zip(rest) {
        seen.store(value, Ordering::Relaxed);
    }
    found.rip += 2;
}

/// Where the frame begins that was delivered: at its error code.
fn frame_at(found: &UpcallFrame) -> u64 {
    (&raw const *found) as u64 + offset_of!(UpcallFrame, error) as u64
}

fn frame(_: u32) {
    upcall::install();
    let _ = event::timer_port();
    upcall::hook(Some(leave_loop));
    let (kernel, user) = (code::kernel(&SPIN), code::user(&SPIN));
    loops_at(0, kernel);
    loops_at(1, user);
    let (stack, user_stack) = (memory::stack(1), memory::user_stack());
    for n in 0..32 {
        let pattern = if n % 2 == 0 {
            Frame::ring1(kernel, stack - n)
        } else {
            Frame::ring3(user, user_stack - n)
        }
        .with_pattern(n + 1);
        set_timer(now_ns().0 + SOON_NS);
        let found = trap::run(&pattern);
        check_eq!(found.vector, u64::from(vector::UD), "the loop was left");
        check_eq!(found.general(), pattern.general(), "registers are kept");
        check_eq!(
            (found.rip, found.rsp),
            (pattern.rip + 2, pattern.rsp),
            "the return"
        );
        let seen = |n: usize| SEEN[n].load(Ordering::Relaxed);
        let mut general = pattern.general();
        // The entry's order: rax, rcx, rdx, rbx, rbp, ... from the top.
        general.reverse();
        for (n, value) in general.iter().enumerate() {
            check_eq!(seen(n), *value, "register {n} as the upcall found it");
        }
        check_eq!((seen(15), seen(16)), (0, pattern.rip), "error code and rip");
        check_eq!((seen(17), seen(20)), (pattern.cs, pattern.ss), "selectors");
        check_eq!(
            (seen(18) & !0x8d5, seen(19)),
            (0x202, pattern.rsp),
            "flags and rsp"
        );
        let at = if pattern.ring() == 1 {
            trap::bounced_from_ring1_at(pattern.rsp)
        } else {
            trap::trap_stack() - 48
        };
        check_eq!(
            (seen(21), seen(22)),
            (at, 1),
            "where the frame is; the mask is set"
        );
        check!(!event::is_masked(), "the return has cleared the mask");
    }
}

fn refuses(_: u32) {
    let (from, to) = looped_ports();
    send(from);
    let _ = call::yield_now();
    check!(!event::is_masked(), "with no upcall nothing is delivered");
    let good = upcall::address();
    let bad = [
        1 << 47,
        0x1234_5678_9abc_def0,
        SLOT_BASE,
        SHARED_INFO,
        SWITCHER_RW,
        SLOT_END - 1,
    ];
    for address in bad {
        for [upcall, start, end] in [
            [address, 0, 0],
            [good, address, address + 1],
            [good, good, address],
        ] {
            let done = upcall::try_register(upcall, start, end);
            check_eq!(
                done,
                Err(Errno::Invalid),
                "{upcall:#x}, region {start:#x} to {end:#x}"
            );
        }
    }
    for [address, start, end] in [
        [0, 0, 0],
        [good, good + 8, good],
        [good, good, good],
        [good, 0, good],
    ] {
        let done = upcall::try_register(address, start, end);
        check_eq!(
            done,
            Err(Errno::Invalid),
            "{address:#x}, region {start:#x} to {end:#x}"
        );
    }
    upcall::install();
    let _ = call::yield_now();
    check_eq!(served(to), 1, "the event has waited for its upcall");
    check!(
        upcall::try_register(SLOT_BASE, 0, 0).is_err(),
        "a refused one leaves the old one"
    );
    send(from);
    check_eq!(served(to), 2, "which serves");
    upcall::unregister();
    send(from);
    let _ = call::yield_now();
    check_eq!(served(to), 2, "no upcall any more");
}

/// `int 0x82; iretq`, the region being the iretq; a frame that returns to a ud2 lies on the stack. The instructions, the
/// stack pointer, and where the frame returns to.
pub(super) fn region_code() -> (u64, u64, u64) {
    let rip = code::kernel(&[0xcd, 0x82, 0x48, 0xcf]);
    upcall::register(upcall::address(), rip + 2, rip + 4);
    let stack = memory::stack(2);
    let rsp = stack - 40;
    let target = code::kernel(&code::UD2);
    let frame = Frame::ring1(target, stack - 0x400);
    for (n, word) in [frame.rip, frame.cs, FLAGS, frame.rsp, frame.ss]
        .into_iter()
        .enumerate()
    {
        memory::poke(rsp + n as u64 * 8, word);
    }
    (rip, rsp, target)
}

/// A send from this stack pointer, at these instructions.
pub(super) fn send_on(rip: u64, rsp: u64) -> Frame {
    let (_, bound) = looped_ports();
    let mut frame = Frame::ring1(rip, rsp);
    frame.rax = Hypercall::EventChannelOp.raw();
    (frame.rdi, frame.rsi) = (EventChannelOp::Send.raw(), bound);
    trap::run(&frame)
}

fn in_region(_: u32) {
    upcall::hook(Some(|found| {
        SEEN[0].store(found.error, Ordering::Relaxed);
        SEEN[1].store(frame_at(found), Ordering::Relaxed);
    }));
    let seen = |n: usize| SEEN[n].load(Ordering::Relaxed);
    let (rip, rsp, target) = region_code();
    let returned = |found: &Frame| {
        let at = (u64::from(vector::UD), target);
        check_eq!((found.vector, found.rip), at, "the return took place");
    };
    for n in 1..200 {
        returned(&send_on(rip, rsp));
        check_eq!(
            (upcall::count(), upcall::count_in_region()),
            (n, n),
            "after an upcall"
        );
        check_eq!(seen(1), rsp - 8, "on the frame that lay there");
        check!(seen(0) != 0, "which tells how far the return had come");
    }
    // The same registers outside the region: a frame of its own, below the red zone.
    upcall::register(upcall::address(), 0, 0);
    returned(&send_on(rip, rsp));
    check_eq!(seen(1), trap::bounced_from_ring1_at(rsp), "a frame of its own");
}

fn keeps_words(_: u32) {
    fn inner(frame: &mut Frame) -> Hooked {
        if frame.rip == upcall::touch_address() {
            frame.rip += 3;
            return Hooked::Resume;
        }
        Hooked::Pass
    }
    trap::hook(Some(inner));
    // The upcall takes a page fault of its own, whose handler does not send.
    upcall::hook(Some(|_| {
        trap::register(trap::bounced(vector::PF, trap::bounced_handler(vector::PF)));
        upcall::touch(0x10);
        check_eq!(memory::peek(CR2_WORD), 0x10, "a page fault in the upcall");
    }));
    upcall::install();
    let (_, bound) = looped_ports();
    // mov eax, 32; mov edi, 4; mov esi, port; int 0x82; jmp to the runtime's page-fault handler
    let mut bytes = [0; 17 + 14];
    bytes[0] = 0xb8;
    bytes[1..5].copy_from_slice(&(Hypercall::EventChannelOp.raw() as u32).to_le_bytes());
    bytes[5] = 0xbf;
    bytes[6..10].copy_from_slice(&(EventChannelOp::Send.raw() as u32).to_le_bytes());
    bytes[10] = 0xbe;
    bytes[11..15].copy_from_slice(&(bound as u32).to_le_bytes());
    bytes[15..17].copy_from_slice(&[0xcd, 0x82]);
    bytes[17..23].copy_from_slice(&[0xff, 0x25, 0, 0, 0, 0]);
    bytes[23..31].copy_from_slice(&trap::bounced_handler(vector::PF).to_le_bytes());
    let sending = code::kernel(&bytes);
    let hole = memory::user_area(1) + 0x770;
    for n in 1..20 {
        trap::register(trap::bounced(vector::PF, sending));
        // The upcall comes between the fault and the read of its address.
        let mut user = Frame::ring3(code::user(&[0x48, 0x8b, 0x03]), memory::user_stack());
        user.rbx = hole;
        let found = trap::run(&user);
        check_eq!(
            (found.vector, found.cr2),
            (u64::from(vector::PF), hole),
            "the address of the outer fault"
        );
        check_eq!(upcall::count(), n, "an upcall came between");
    }
}

fn moves_stack(_: u32) {
    /// The top of the stack for the next trap.
    static STACK: AtomicU64 = AtomicU64::new(0);
    fn look(frame: &mut Frame) -> Hooked {
        SEEN[0].store(frame.at, Ordering::Relaxed);
        Hooked::Pass
    }
    trap::hook(Some(look));
    upcall::install();
    let _ = event::timer_port();
    upcall::hook(Some(|found| {
        if is_in_loop(found) {
            let done = call::stack_switch(STACK.load(Ordering::Relaxed));
            check!(done.is_ok(), "a stack: {done:?}");
            found.rip += 2;
        }
    }));
    let user = code::user(&SPIN);
    loops_at(1, user);
    let stacks = [memory::stack(1), memory::stack(1)];
    for n in 0..10 {
        let stack = stacks[n % 2];
        STACK.store(stack, Ordering::Relaxed);
        set_timer(now_ns().0 + SOON_NS);
        let found = trap::run(&Frame::ring3(user, memory::user_stack()));
        check_eq!(found.vector, u64::from(vector::UD), "the user's loop was left");
        let top = SEEN[0].load(Ordering::Relaxed) + size_of::<BounceFrame>() as u64 + 16 * 8;
        check_eq!(top, stack, "the trap is on the stack that the upcall has set");
    }
    let done = call::stack_switch(trap::trap_stack());
    check!(done.is_ok(), "the usual one again: {done:?}");
}

fn masking_traps(_: u32) {
    fn look(_: &mut Frame) -> Hooked {
        SEEN[0].store(u64::from(event::is_masked()), Ordering::Relaxed);
        Hooked::Pass
    }
    fn seen(what: &str, found: &Frame, vector: u8, masks: u64) {
        check_eq!(found.vector, u64::from(vector), "{what}");
        check_eq!(SEEN[0].load(Ordering::Relaxed), masks, "{what}: the mask");
        event::clear_mask();
    }
    trap::hook(Some(look));
    for masks in [0, 1] {
        for vector in (0..32).filter(|vector| abi::trap::is_guest_exception(*vector)) {
            let mut entry = trap::bounced(vector, trap::bounced_handler(vector));
            entry.flags = if masks == 1 { flags::MASK_EVENTS } else { 0 };
            trap::register(entry);
        }
        for vector in BUT_PAGE_FAULT.into_iter().chain([vector::PF]) {
            seen(
                "from ring 1",
                &code::run_in_ring1(&instructions(vector)),
                vector,
                masks,
            );
        }
        seen("from ring 3", &code::run_in_ring3(&code::UD2), vector::UD, masks);
        // Those that the hypervisor injects: a jump to nowhere, and a syscall without entry.
        let nowhere = trap::run(&Frame::ring1(memory::kernel_area(1), memory::stack(1)));
        seen("a fetch from nowhere", &nowhere, vector::PF, masks);
        seen(
            "syscall without entry",
            &code::run_in_ring3(&[0x0f, 0x05]),
            vector::UD,
            masks,
        );
    }
}

fn nonsense(_: u32) {
    upcall::install();
    let (from, to) = looped_ports();
    let words = || {
        (0..PAGE_SIZE)
            .step_by(8)
            .map(|offset| event::word(offset as usize))
    };
    let mut state = 88_172_645_463_325_252_u64;
    for round in 0..64 {
        for word in words() {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let value = match round % 8 {
                0 => u64::MAX,
                1 => state,
                2 => state & 0xff,
                3 => SWITCHER_RW,
                4 => 0x5555_5555_5555_5555,
                5 => 0xffff_ffff_ffff_00ff,
                6 => 1,
                _ => state & 0xffff_0000_ffff,
            };
            word.store(value, Ordering::SeqCst);
        }
        if round % 2 == 0 {
            event::clear_mask();
        }
        for port in [from, 0, 1023] {
            let _ = channel(EventChannelOp::Send, &[port]);
            let _ = channel(EventChannelOp::Unmask, &[port]);
        }
        let _ = call::yield_now();
        call::block(100_000, 0);
        let trapped = code::run_in_ring1(&code::UD2).vector;
        check_eq!(trapped, u64::from(vector::UD), "traps go on");
        words().for_each(|word| word.store(0, Ordering::SeqCst));
    }
    check!(upcall::count() > 0, "the nonsense made upcalls, and no more");
    let before = served(to);
    send(from);
    check_eq!(
        served(to),
        before + 1,
        "events go on once the page makes sense again"
    );
}
