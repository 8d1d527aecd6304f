//! Events, the upcall, the timer and the time page.
use abi::callback::{CallbackOp, CallbackType};
use abi::event::{EventChannelOp, PortStatus, SharedInfo, Virq};
use abi::hypercall::Hypercall;
use abi::layout::{CR2_WORD, PAGE_SIZE, SHARED_INFO, TIME_PAGE, USER_RSP_WORD};
use abi::multicall::MulticallEntry;
use abi::time::TimeInfo;
use abi::trap::{flags, vector};
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};
use guests::runtime::frame::Frame;
use guests::runtime::memory::{self, NX};
use guests::runtime::trap::{self, Hooked};
use guests::runtime::upcall::{self, UpcallFrame, channel, channel_done, now_ns, set_timer};
use guests::runtime::{call, code, start_info};
use guests::{check, check_eq, command_line};

use super::Run;
use super::raise::{BUT_PAGE_FAULT, instructions};

pub(crate) const CASES: &[(&str, Run)] = &[
    ("upcall-frame", frame),
    ("ports-and-masks", masks),
    ("one-shot-timer", timer),
    ("time-page", time_page),
    ("upcall-unregistered", unregistered),
    ("traps-that-mask-events", masking_traps),
    ("nonsense-in-shared-info", nonsense),
    ("upcall-not-there", not_there),
    ("upcall-finds-absent-stack", on_absent_stack),
    ("upcall-finds-page-table", on_page_table),
    ("upcall-finds-shared-info", on_shared_info),
    ("upcall-finds-no-address", on_no_address),
    ("event-in-the-return", in_the_return),
    ("words-across-an-upcall", words_kept),
    ("event-peer", peer),
];

const SPIN: [u8; 2] = [0xeb, 0xfe];
const SOON_NS: u64 = 200_000;
/// Longer than all others' turns between two calls.
const LONG_NS: u64 = 200_000_000;
const PENDING: usize = offset_of!(SharedInfo, evtchn_pending);
const MASK: usize = offset_of!(SharedInfo, evtchn_mask);

/// The upcall with a port for the timer.
fn with_timer() -> u64 {
    upcall::install();
    channel_done(EventChannelOp::BindVirq, [Virq::Timer.raw(), 0])
}

fn wait_ns(nanoseconds: u64) {
    let end = now_ns().0 + nanoseconds;
    while now_ns().0 < end {
        core::hint::spin_loop();
    }
}

static SEEN: [AtomicU64; 24] = [const { AtomicU64::new(0) }; 24];

/// Where the endless loops are.
static LOOPS: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

static DELAY_NS: AtomicU64 = AtomicU64::new(SOON_NS);

/// Whether the upcall came to one of the loops; if it came before (others may run for long), there will be another.
fn is_in_loop(found: &UpcallFrame) -> bool {
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
    let at = (&raw const *found) as u64 + offset_of!(UpcallFrame, error) as u64;
    let rest = [
        found.error,
        found.rip,
        found.cs,
        found.rflags,
        found.rsp,
        found.ss,
    ];
    for (seen, value) in SEEN[15..].iter().zip(rest) {
        seen.store(value, Ordering::Relaxed);
    }
    SEEN[21].store(at, Ordering::Relaxed);
    SEEN[22].store(u64::from(upcall::is_masked()), Ordering::Relaxed);
    found.rip += 2;
}

fn frame(_: u32) {
    with_timer();
    upcall::hook(Some(leave_loop));
    let (kernel, user) = (code::kernel(&SPIN), code::user(&SPIN));
    LOOPS[0].store(kernel, Ordering::Relaxed);
    LOOPS[1].store(user, Ordering::Relaxed);
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
        check!(!upcall::is_masked(), "the return has cleared the mask");
    }
}

/// Both ends of a loop.
fn own_loop() -> (u64, u64) {
    let own = u64::from(start_info().domain_id);
    let offered = channel_done(EventChannelOp::AllocUnbound, [own, 0]);
    (
        offered,
        channel_done(EventChannelOp::BindInterdomain, [own, offered]),
    )
}

fn masks(_: u32) {
    upcall::install();
    let (from, to) = own_loop();
    let bit = 1_u64 << to;
    let send = || channel_done(EventChannelOp::Send, [from, 0]);
    send();
    check_eq!(upcall::served(to), 1, "an event comes before the call returns");
    upcall::word(MASK).fetch_or(bit, Ordering::SeqCst);
    send();
    send();
    check_eq!(
        (upcall::count(), upcall::word(PENDING).load(Ordering::SeqCst)),
        (1, bit),
        "a masked port notes it"
    );
    channel_done(EventChannelOp::Unmask, [to, 0]);
    check_eq!(
        (upcall::count(), upcall::served(to)),
        (2, 2),
        "once, when it is unmasked"
    );
    channel_done(EventChannelOp::Unmask, [to, 0]);
    check_eq!(upcall::count(), 2, "and not again");
    upcall::set_mask(0xff);
    send();
    check_eq!(upcall::count(), 2, "no upcall while it is masked");
    channel_done(EventChannelOp::Unmask, [0, 0]);
    check_eq!(upcall::count(), 2, "unmasking a port is not unmasking the upcall");
    upcall::set_mask(0);
    check_eq!(upcall::count(), 2, "clearing it by hand delivers nothing");
    channel_done(EventChannelOp::Unmask, [0, 0]);
    check_eq!((upcall::count(), upcall::served(to)), (3, 3), "port 0 delivers");
    upcall::set_mask(1);
    send();
    let blocked = call::block(0, abi::sched::WAKE_EVENT);
    check!(blocked.ok().is_ok(), "a wait with an event pending: {blocked:x?}");
    check_eq!((upcall::count(), upcall::served(to)), (4, 4), "waiting unmasks");
    channel_done(EventChannelOp::Close, [to, 0]);
    send();
    check_eq!(upcall::count(), 4, "into the void");
}

fn timer(_: u32) {
    let port = with_timer();
    let fired = || upcall::served(port);
    static AT: AtomicU64 = AtomicU64::new(0);
    upcall::hook(Some(|_| AT.store(now_ns().0, Ordering::Relaxed)));
    let mut expected = 0;
    let mut once = |deadline: u64, what: &str| {
        wait_until(deadline + LONG_NS);
        expected += 1;
        check_eq!(fired(), expected, "{what}: once");
        let at = AT.load(Ordering::Relaxed);
        check!(at >= deadline, "{what}: at {at}, not before {deadline}");
    };
    let deadline = now_ns().0 + SOON_NS;
    set_timer(deadline);
    once(deadline, "set");
    // Others may run for long between two calls.
    let later = now_ns().0 + 2 * LONG_NS;
    set_timer(now_ns().0 + LONG_NS);
    set_timer(later);
    once(later, "replaced by a later one");
    let sooner = now_ns().0 + SOON_NS;
    set_timer(sooner + LONG_NS);
    set_timer(sooner);
    once(sooner, "replaced by a sooner one");
    set_timer(now_ns().0 + LONG_NS);
    set_timer(0);
    wait_ns(2 * LONG_NS);
    check_eq!(fired(), 3, "cancelled");
    for past in [1, now_ns().0] {
        let before = fired();
        set_timer(past);
        check_eq!(
            fired(),
            before + 1,
            "a deadline that is over, before the call returns"
        );
    }
    set_timer(u64::MAX);
    let mut entry = MulticallEntry {
        number: Hypercall::SetTimerOp.raw(),
        ..MulticallEntry::default()
    };
    entry.arguments[0] = 1;
    let list = [entry];
    let done = call::call(Hypercall::Multicall, &[list.as_ptr() as u64, 1]).ok();
    check_eq!((done, fired()), (Ok(0), 6), "the same from inside a multicall");
    let deadline = now_ns().0 + 3_000_000;
    set_timer(deadline);
    let blocked = call::block(0, abi::sched::WAKE_EVENT);
    check!(
        blocked.ok().is_ok() && now_ns().0 >= deadline,
        "a wait ends by the timer: {blocked:x?}"
    );
    check_eq!(fired(), 7, "the upcall comes before the wait returns");
}

fn time_page(_: u32) {
    let field = |offset: usize| memory::peek(TIME_PAGE + offset as u64);
    let (mut last, mut version) = (now_ns(), 0);
    for round in 0..200 {
        let now = now_ns();
        check!(
            now.0 >= last.0 && now.1 >= last.1,
            "time goes forward: {now:?} after {last:?}"
        );
        check!(
            now.1 - last.1 <= now.0 - last.0 + 1000,
            "virtual time runs no faster: {now:?} after {last:?}"
        );
        last = now;
        let next = field(offset_of!(TimeInfo, version));
        check!(next >= version && next % 2 == 0, "version {next} after {version}");
        version = next;
        if round % 4 == 0 {
            let _ = call::yield_now();
        }
    }
    let before = now_ns();
    let blocked = call::block(20_000_000, abi::sched::WAKE_EVENT);
    check!(blocked.ok().is_ok(), "a wait: {blocked:x?}");
    let after = now_ns();
    check!(after.0 - before.0 >= 20_000_000, "it took its time");
    check!(
        after.1 - before.1 < 10_000_000,
        "virtual time stands still meanwhile: {before:?} {after:?}"
    );
    check!(
        field(offset_of!(TimeInfo, wall_clock_s)) > 1_577_836_800,
        "it is past 2020"
    );
    for offset in (0..PAGE_SIZE).step_by(8) {
        let stored = trap::attempt(|| memory::poke(TIME_PAGE + offset, 0));
        check!(
            stored.is_err_and(|found| found.vector == 14 && found.error == 3),
            "a store at {offset} faults"
        );
    }
}

fn unregistered(_: u32) {
    let (from, to) = own_loop();
    channel_done(EventChannelOp::Send, [from, 0]);
    let _ = call::yield_now();
    check!(!upcall::is_masked(), "nothing was delivered");
    for bad in [
        [0, 0, 0],
        [1 << 47, 0, 0],
        [SHARED_INFO, 0, 0],
        [0x1000, 0x2000, 0x1000],
        [0x1000, 0x2000, 0x2000],
        [0x1000, SHARED_INFO, SHARED_INFO + 1],
        [0x1000, 0, 0x2000],
        [0x1000, 0x1000, 1 << 47],
    ] {
        let [address, start, end] = bad;
        let (register, event) = (CallbackOp::Register.raw(), CallbackType::Event.raw());
        let done = call::call(Hypercall::CallbackOp, &[register, event, address, start, end]).ok();
        check_eq!(done, Err(abi::errno::Errno::Invalid), "{bad:x?} is refused");
    }
    upcall::install();
    let _ = call::yield_now();
    check_eq!(upcall::served(to), 1, "the event has waited for its upcall");
    let (unregister, event) = (CallbackOp::Unregister.raw(), CallbackType::Event.raw());
    let done = call::call(Hypercall::CallbackOp, &[unregister, event]).ok();
    check_eq!(done, Ok(0), "unregistered");
    channel_done(EventChannelOp::Send, [from, 0]);
    let _ = call::yield_now();
    check_eq!(upcall::served(to), 1, "no upcall any more");
}

fn masking_traps(_: u32) {
    fn look(_: &mut Frame) -> Hooked {
        SEEN[0].store(u64::from(upcall::is_masked()), Ordering::Relaxed);
        Hooked::Pass
    }
    fn seen(what: &str, found: &Frame, vector: u8, masks: u64) {
        check_eq!(found.vector, u64::from(vector), "{what}");
        check_eq!(SEEN[0].load(Ordering::Relaxed), masks, "{what}: the mask");
        upcall::set_mask(0);
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
    let (from, _) = own_loop();
    for value in [u64::MAX, 0x5555_5555_5555_5555, 0xffff_ffff_ffff_00ff, 1] {
        for offset in (0..PAGE_SIZE).step_by(8) {
            upcall::word(offset as usize).store(value, Ordering::SeqCst);
        }
        for port in [from, 0, 1023] {
            let _ = channel(EventChannelOp::Send, [port, 0]);
            let _ = channel(EventChannelOp::Unmask, [port, 0]);
        }
        let _ = call::yield_now();
        call::block(100_000, 0);
    }
    check!(upcall::count() > 0, "the nonsense made upcalls, and no more");
}

fn not_there(run: u32) {
    let page = code::kernel(&code::UD2);
    upcall::register(page, 0, 0);
    let (from, _) = own_loop();
    match run {
        0 => {
            memory::unmap(page);
        }
        1 => memory::set(page, memory::leaf(page).value | NX),
        _ => {
            // Worked once, and then paged out.
            let found = trap::attempt(|| {
                channel_done(EventChannelOp::Send, [from, 0]);
            });
            check!(found.is_err_and(|f| f.rip == page), "the upcall is entered");
            memory::unmap(page);
            upcall::set_mask(0);
        }
    }
    channel_done(EventChannelOp::Send, [from, 0]);
    check!(false, "the guest is dead, yet it goes on");
}

/// Runs a loop on this stack until the timer's upcall; in the second run inside the region.
fn upcall_on(rsp: u64, run: u32) {
    with_timer();
    let spin = code::kernel(&SPIN);
    LOOPS[0].store(spin, Ordering::Relaxed);
    upcall::hook(Some(|found| {
        is_in_loop(found);
    }));
    if run == 1 {
        upcall::register(upcall::address(), spin, spin + 2);
    }
    let frame = Frame::ring1(spin, rsp);
    set_timer(now_ns().0 + SOON_NS);
    let found = trap::run(&frame);
    check!(false, "the guest is dead, yet {found:x?}");
}

fn on_absent_stack(run: u32) {
    upcall_on(memory::kernel_area(1) + PAGE_SIZE, run);
}

fn on_page_table(run: u32) {
    upcall_on(memory::physmap(start_info().page_tables_pfn) + PAGE_SIZE, run);
}

fn on_shared_info(run: u32) {
    upcall_on(SHARED_INFO + 0x800, run);
}

fn on_no_address(run: u32) {
    upcall_on(0x0000_8000_0000_1000, run);
}

/// Sweeps the timer over the instructions of an upcall's return, one by one (the TSC counts instructions here).
fn in_the_return(_: u32) {
    let timer = with_timer();
    let (from, to) = own_loop();
    static DEPTH: AtomicU64 = AtomicU64::new(0);
    upcall::hook(Some(|found| {
        SEEN[0].store(found.error, Ordering::Relaxed);
        if found.error != 0 {
            DEPTH.fetch_add(1, Ordering::Relaxed);
        }
    }));
    let [region, end] = upcall::region();
    let (mut lowest, mut places, mut served) = (u64::MAX, 0_u64, (0, 0));
    // One upcall alone, to know how deep it is and how long all takes.
    let _ = upcall::lowest_frame();
    channel_done(EventChannelOp::Send, [from, 0]);
    let usual = upcall::lowest_frame();
    served.1 += 1;
    for step in 0..SWEPT {
        let start = arm(step);
        channel_done(EventChannelOp::Send, [from, 0]);
        wait_until(start + AHEAD_NS + SWEPT + 5000);
        served = (served.0 + 1, served.1 + 1);
        check_eq!(
            (upcall::served(timer), upcall::served(to)),
            served,
            "each event is served once, at step {step}"
        );
        lowest = lowest.min(upcall::lowest_frame());
        let at = SEEN[0].load(Ordering::Relaxed);
        if (region..end).contains(&at) {
            places |= 1 << (at - region);
        }
        SEEN[0].store(0, Ordering::Relaxed);
    }
    let depth = usual - lowest;
    guests::println!(
        "places in the region: {places:#b}, {} upcalls there, {depth} bytes deeper",
        DEPTH.load(Ordering::Relaxed)
    );
    check!(
        places.count_ones() >= 4,
        "the four instructions up to the iretq were each interrupted: {places:#b}"
    );
    check!(depth < 512, "the stack does not grow: {depth} bytes");
}

/// Steps of a sweep: each moves the timer by one instruction.
const SWEPT: u64 = 1500;
/// So that setting the timer is over before it fires.
const AHEAD_NS: u64 = 20_000;

/// More than it fires late.
const LATE_NS: u64 = 700;

fn wait_until(end: u64) {
    while now_ns().0 < end {
        core::hint::spin_loop();
    }
}

/// Sets the timer, and waits until the first place of the sweep is near. Returns when it began.
fn arm(step: u64) -> u64 {
    let start = now_ns().0;
    // It fires late by what the hypervisor does between looking at the clock and setting its own timer.
    set_timer(start + AHEAD_NS - LATE_NS + step);
    wait_until(start + AHEAD_NS);
    start
}

/// Sweeps the timer over the delivery of a page fault, and of a syscall, until the handler has read its word.
fn words_kept(_: u32) {
    let timer = with_timer();
    let done = call::register_syscall(trap::syscall_entry_address());
    check!(done.is_ok(), "a syscall entry: {done:?}");
    fn inner(frame: &mut Frame) -> Hooked {
        if frame.rip == upcall::touch_address() {
            frame.rip += 3;
            return Hooked::Resume;
        }
        Hooked::Pass
    }
    static INNER: AtomicU64 = AtomicU64::new(0);
    INNER.store(memory::kernel_area(1), Ordering::Relaxed);
    trap::hook(Some(inner));
    upcall::hook(Some(|found| {
        let places = [trap::bounced_handler(vector::PF), trap::syscall_entry_address()];
        for (seen, place) in SEEN.iter().zip(places) {
            seen.fetch_add(u64::from(found.rip == place), Ordering::Relaxed);
        }
        // A fault inside the upcall overwrites one word; a syscall would the other.
        upcall::touch(INNER.load(Ordering::Relaxed));
        check_eq!(
            memory::peek(CR2_WORD),
            INNER.load(Ordering::Relaxed),
            "the inner fault's address"
        );
        memory::poke(USER_RSP_WORD, 0xbad);
    }));
    // mov rax, [rbx]
    let (kernel, user) = (code::kernel(&[0x48, 0x8b, 0x03]), code::user(&[0x0f, 0x05]));
    let (stack, user_stack) = (memory::stack(1), memory::user_stack());
    let hole = memory::kernel_area(1);
    for step in 0..SWEPT {
        let mut fault = Frame::ring1(kernel, stack);
        fault.rbx = hole;
        let start = arm(step);
        let found = trap::run(&fault);
        check_eq!(
            (found.vector, found.cr2),
            (14, hole),
            "the outer fault's address, at step {step}"
        );
        wait_until(start + AHEAD_NS + SWEPT + 5000);
        let start = arm(step);
        let found = trap::run(&Frame::ring3(user, user_stack - step));
        check_eq!(
            (found.vector, found.user_rsp, found.rsp),
            (trap::SYSCALL_VECTOR, user_stack - step, user_stack - step),
            "the user's stack pointer, at step {step}"
        );
        wait_until(start + AHEAD_NS + SWEPT + 5000);
    }
    check_eq!(upcall::served(timer), 2 * SWEPT, "the upcalls came");
    for (n, handler) in ["the page fault's handler", "the syscall entry"]
        .iter()
        .enumerate()
    {
        let count = SEEN[n].load(Ordering::Relaxed);
        check!(count > 0, "an upcall came at the first instruction of {handler}");
    }
}

const ROUNDS: u64 = 300;
const STORM: u64 = 500;

/// Two domains: `role=echo` answers each event of the other, which then storms it and ends.
fn peer(_: u32) {
    let line = command_line::text(&start_info().command_line);
    let other: u64 = command_line::value(line, "peer")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    upcall::install();
    if command_line::value(line, "role") == Some("echo") {
        echo(other);
    } else {
        storm(other);
    }
}

fn wait_for(port: u64, count: u64) {
    while upcall::served(port) < count {
        let woken = call::block(1_000_000_000, abi::sched::WAKE_EVENT);
        check!(woken.ok().is_ok(), "a wait for events: {woken:x?}");
    }
}

fn echo(other: u64) {
    let port = channel_done(EventChannelOp::AllocUnbound, [other, 0]);
    check_eq!(port, 1, "the first port, as the other assumes");
    for round in 1..=ROUNDS {
        wait_for(port, round);
        channel_done(EventChannelOp::Send, [port, 0]);
    }
    // Now the storm: this domain's own work goes on.
    let mut work = 0_u64;
    loop {
        let status = channel(EventChannelOp::Status, [port, 0]);
        if status.value == PortStatus::Unbound.raw() {
            check_eq!(status.detail, other, "offered to the other's next incarnation");
            break;
        }
        for _ in 0..100 {
            work = core::hint::black_box(work + 1);
        }
    }
    guests::println!("worked {work} during a storm of {} events", upcall::served(port));
    check!(work > 0, "the receiver runs");
    channel_done(EventChannelOp::Send, [port, 0]);
}

fn storm(other: u64) {
    let port = loop {
        match channel(EventChannelOp::BindInterdomain, [other, 1]).ok() {
            Ok(port) => break port,
            Err(_) => {
                let _ = call::yield_now();
            }
        }
    };
    for round in 1..=ROUNDS {
        channel_done(EventChannelOp::Send, [port, 0]);
        wait_for(port, round);
    }
    for _ in 0..STORM {
        channel_done(EventChannelOp::Send, [port, 0]);
    }
}
