//! Events, the timer, and the pages that tell of them.
use abi::errno::Errno;
use abi::event::{EventChannelOp, PORTS, PortStatus, Virq};
use abi::hypercall::Hypercall;
use abi::layout::{PAGE_SIZE, SHARED_INFO, SLOT_BASE, SLOT_END, SWITCHER_RW, TIME_PAGE};
use abi::sched::WAKE_EVENT;
use abi::time::TimeInfo;
use abi::trap::vector;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};
use guests::runtime::frame::{FLAGS, Frame};
use guests::runtime::memory::{self, KERNEL_DATA, NX};
use guests::runtime::trap::{self, Hooked, UPCALL_VECTOR, attempt};
use guests::runtime::{call, code, event, start_info, tsc};
use guests::{check, check_eq};

use super::Run;

pub(crate) const CASES: &[(&str, Run)] = &[
    ("upcall-arrives", arrives),
    ("ports-refuse", ports_refuse),
    ("ports-run-out", ports_run_out),
    ("upcall-refuses", upcall_refuses),
    ("upcall-absent", upcall_absent),
    ("upcall-no-execute", upcall_no_execute),
    ("upcall-on-absent-stack", |_| on_stack(absent_stack() + PAGE_SIZE)),
    ("upcall-on-read-only-stack", |_| {
        on_stack(read_only_stack() + PAGE_SIZE)
    }),
    ("upcall-on-forbidden-stack", |_| on_stack(SWITCHER_RW + 0xa00)),
    ("upcall-on-non-canonical-stack", |_| on_stack(NON_CANONICAL)),
    ("upcall-in-the-region", in_region),
    ("region-on-absent-stack", |run| {
        in_region_on([absent_stack(), SLOT_END + 8][run as usize])
    }),
    ("region-on-read-only-stack", |_| {
        in_region_on(read_only_stack() + 0x800)
    }),
    ("region-on-forbidden-stack", |run| {
        in_region_on([SWITCHER_RW + 0x800, SLOT_END][run as usize])
    }),
    ("region-on-non-canonical-stack", |_| in_region_on(NON_CANONICAL)),
    ("upcall-keeps-the-words", keeps_words),
    ("timer-fires", timer_fires),
    ("time-goes-on", time_goes_on),
    ("junk-in-shared-info", junk),
    ("masked-by-the-gate", masked_by_gate),
];

fn upcall() {
    let done = event::register_upcall(trap::upcall_address(), [0, 0]);
    check!(done.is_ok(), "an upcall is taken: {done:?}");
}

static MASK_IN_UPCALL: AtomicU64 = AtomicU64::new(0);
static UPCALLS: AtomicU64 = AtomicU64::new(0);
static LAST_AT: AtomicU64 = AtomicU64::new(0);
static LAST_ERROR: AtomicU64 = AtomicU64::new(0);

fn watch(frame: &mut Frame) -> Hooked {
    if frame.vector == UPCALL_VECTOR {
        UPCALLS.fetch_add(1, Ordering::Relaxed);
        MASK_IN_UPCALL.store(u64::from(event::is_masked()), Ordering::Relaxed);
        LAST_AT.store(frame.at, Ordering::Relaxed);
        LAST_ERROR.store(frame.error, Ordering::Relaxed);
    }
    Hooked::Pass
}

fn upcalls() -> u64 {
    UPCALLS.load(Ordering::Relaxed)
}

fn arrives(_: u32) {
    let (offered, bound) = event::looped_ports();
    event::send(bound);
    check!(
        event::has_fired(offered) && event::is_pending(),
        "without an upcall the bits tell"
    );
    trap::hook(Some(watch));
    upcall();
    check!(call::yield_now().is_ok(), "a hypercall");
    check_eq!(
        (upcalls(), event::served()),
        (1, 1),
        "what was pending is delivered"
    );
    check_eq!(
        MASK_IN_UPCALL.load(Ordering::Relaxed),
        1,
        "the upcall runs masked"
    );
    check_eq!(LAST_ERROR.load(Ordering::Relaxed), 0, "its error slot");
    check!(!event::has_fired(offered) && !event::is_masked(), "all is served");
    for n in 2..50 {
        event::send(if n % 2 == 0 { bound } else { offered });
        check_eq!((upcalls(), event::served()), (n, n), "an upcall for each event");
    }
    event::mask();
    let before = upcalls();
    event::send(bound);
    check_eq!(upcalls(), before, "masked: no upcall");
    event::clear_mask();
    check!(
        event::operate(EventChannelOp::Unmask, &[0]).ok().is_ok(),
        "unmask of port 0"
    );
    check_eq!(upcalls(), before + 1, "delivers");
    event::mask_port(offered);
    event::send(bound);
    check!(
        event::has_fired(offered) && !event::is_pending(),
        "a masked port fires without notice"
    );
    check_eq!(upcalls(), before + 1, "no upcall");
    check!(
        event::operate(EventChannelOp::Unmask, &[offered]).ok().is_ok(),
        "unmask of the port"
    );
    check_eq!(upcalls(), before + 2, "delivers what came meanwhile");
}

fn refused(command: EventChannelOp, arguments: &[u64], errno: Errno) {
    let done = event::operate(command, arguments).ok();
    check_eq!(done, Err(errno), "{} of {arguments:x?}", command.name());
}

fn ports_refuse(_: u32) {
    let own = u64::from(start_info().domain_id);
    let (offered, bound) = event::looped_ports();
    for port in [
        0,
        offered + 2,
        PORTS as u64 - 1,
        PORTS as u64,
        1 << 16 | offered,
        1 << 32 | offered,
        u64::MAX,
    ] {
        for command in [EventChannelOp::Send, EventChannelOp::Close] {
            refused(command, &[port], Errno::Invalid);
        }
        refused(EventChannelOp::BindInterdomain, &[own, port], Errno::Invalid);
    }
    for port in [0, PORTS as u64, u64::MAX] {
        refused(EventChannelOp::Status, &[port], Errno::Invalid);
    }
    for domain in [999, 1 << 16 | own, 1 << 32 | own, u64::MAX, 0x7ff0] {
        refused(EventChannelOp::AllocUnbound, &[domain], Errno::NoDomain);
        refused(EventChannelOp::BindInterdomain, &[domain, 1], Errno::NoDomain);
    }
    // A port that somebody is bound to already is offered to nobody.
    refused(EventChannelOp::BindInterdomain, &[own, offered], Errno::Invalid);
    refused(EventChannelOp::BindInterdomain, &[own, bound], Errno::Invalid);
    for virq in [1, 3, 99, u64::MAX] {
        refused(EventChannelOp::BindVirq, &[virq], Errno::Invalid);
    }
    let timer = event::operate(EventChannelOp::BindVirq, &[Virq::Timer.raw()]).ok();
    check!(timer.is_ok(), "the timer: {timer:?}");
    refused(EventChannelOp::BindVirq, &[Virq::Timer.raw()], Errno::Exists);
    refused(EventChannelOp::Send, &[timer.unwrap_or_default()], Errno::Invalid);
    let status = event::operate(EventChannelOp::Status, &[bound]);
    check_eq!(status.ok(), Ok(PortStatus::Interdomain.raw()), "the bound port");
    check_eq!(status.detail, own | offered << 16, "names its other end");
    check!(
        event::operate(EventChannelOp::Close, &[offered]).ok().is_ok(),
        "close"
    );
    let status = event::operate(EventChannelOp::Status, &[bound]).ok();
    check_eq!(
        status,
        Ok(PortStatus::Unbound.raw()),
        "the other end becomes unbound"
    );
    refused(EventChannelOp::Close, &[offered], Errno::Invalid);
    event::send(bound);
}

fn ports_run_out(_: u32) {
    let own = u64::from(start_info().domain_id);
    for round in 0..2 {
        for n in 1..PORTS as u64 {
            let port = event::operate(EventChannelOp::AllocUnbound, &[own]).ok();
            check!(
                port.is_ok_and(|port| port > 0 && port < PORTS as u64),
                "port {n}, round {round}: {port:?}"
            );
        }
        refused(EventChannelOp::AllocUnbound, &[own], Errno::NoSpace);
        refused(EventChannelOp::BindVirq, &[Virq::Timer.raw()], Errno::NoSpace);
        for port in 1..PORTS as u64 {
            check!(
                event::operate(EventChannelOp::Close, &[port]).ok().is_ok(),
                "close of {port}"
            );
        }
    }
}

fn upcall_refuses(_: u32) {
    let good = trap::upcall_address();
    let bad = [
        0x0000_8000_0000_0000,
        0x1234_5678_9abc_def0,
        SLOT_BASE,
        SWITCHER_RW,
        SLOT_END - 1,
    ];
    for address in bad {
        check_eq!(
            event::register_upcall(address, [0, 0]),
            Err(Errno::Invalid),
            "an upcall at {address:#x}"
        );
        check!(
            event::register_upcall(good, [address, address + 1]).is_err(),
            "a region at {address:#x}"
        );
        check!(
            event::register_upcall(good, [good, address]).is_err(),
            "a region to {address:#x}"
        );
    }
    check!(
        event::register_upcall(good, [good + 8, good]).is_err(),
        "a region that ends before it starts"
    );
    check!(
        event::register_upcall(good, [good, good]).is_err(),
        "an empty region"
    );
    arrives(0);
}

/// Makes the upcall due; this guest does not come back.
fn dies() {
    let (_, bound) = event::looped_ports();
    event::send(bound);
    check!(false, "the guest is dead, yet it went on");
}

fn upcall_absent(run: u32) {
    let page = code::jump_to(trap::upcall_address());
    let done = event::register_upcall(page, [0, 0]);
    check!(
        done.is_ok(),
        "whether the page is there shows at delivery: {done:?}"
    );
    if run == 1 {
        let (_, bound) = event::looped_ports();
        event::send(bound);
        check_eq!(event::served(), 1, "the upcall works while it is there");
    }
    memory::unmap(page);
    dies();
}

fn upcall_no_execute(_: u32) {
    let page = code::jump_to(trap::upcall_address());
    let done = event::register_upcall(page, [0, 0]);
    check!(done.is_ok(), "an upcall: {done:?}");
    memory::set(page, memory::leaf(page).value | NX);
    dies();
}

/// A send from this stack pointer, at these instructions.
fn send_on(rip: u64, rsp: u64) -> Frame {
    let (_, bound) = event::looped_ports();
    let mut frame = Frame::ring1(rip, rsp);
    frame.rax = Hypercall::EventChannelOp.raw();
    (frame.rdi, frame.rsi) = (EventChannelOp::Send.raw(), bound);
    trap::run(&frame)
}

const NON_CANONICAL: u64 = 0x0000_8000_0000_2000;

fn absent_stack() -> u64 {
    memory::kernel_area(1)
}

fn read_only_stack() -> u64 {
    let page = memory::kernel_pages(1, KERNEL_DATA);
    memory::make_read_only(page);
    page
}

fn on_stack(rsp: u64) {
    upcall();
    let found = send_on(code::kernel(&[0xcd, 0x82]), rsp);
    check!(false, "the guest is dead, yet it went on: {found:x?}");
}

/// `int 0x82; iretq`, the region being the iretq; a frame that returns to a ud2 lies on the stack.
fn region_code() -> (u64, u64, u64) {
    let rip = code::kernel(&[0xcd, 0x82, 0x48, 0xcf]);
    let done = event::register_upcall(trap::upcall_address(), [rip + 2, rip + 4]);
    check!(done.is_ok(), "an upcall with a region: {done:?}");
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

fn in_region(_: u32) {
    trap::hook(Some(watch));
    let (rip, rsp, target) = region_code();
    for n in 1..200 {
        let found = send_on(rip, rsp);
        check_eq!(
            (found.vector, found.rip),
            (u64::from(vector::UD), target),
            "the return took place"
        );
        check_eq!(upcalls(), n, "after an upcall");
        check_eq!(
            LAST_AT.load(Ordering::Relaxed),
            rsp - 8 - 16 * 8,
            "on the frame that lay there"
        );
        check!(
            LAST_ERROR.load(Ordering::Relaxed) != 0,
            "which tells how far the return had come"
        );
    }
    // The same registers outside the region: a frame of its own, below the red zone.
    let done = event::register_upcall(trap::upcall_address(), [0, 0]);
    check!(done.is_ok(), "an upcall without one: {done:?}");
    let found = send_on(rip, rsp);
    check_eq!(
        (found.vector, found.rip),
        (u64::from(vector::UD), target),
        "the return took place"
    );
    let at = LAST_AT.load(Ordering::Relaxed) + guests::runtime::frame::BOUNCED_AT as u64;
    check_eq!(at, trap::bounced_from_ring1_at(rsp), "a frame of its own");
}

fn in_region_on(rsp: u64) {
    let (rip, _, _) = region_code();
    let found = send_on(rip, rsp);
    check!(false, "the guest is dead, yet it went on: {found:x?}");
}

fn keeps_words(_: u32) {
    // The upcall takes a page fault of its own.
    fn faulting(frame: &mut Frame) -> Hooked {
        if frame.vector == UPCALL_VECTOR {
            UPCALLS.fetch_add(1, Ordering::Relaxed);
            let inner = attempt(|| {
                let _ = memory::peek(0x10);
            });
            check!(inner.is_err_and(|f| f.cr2 == 0x10), "a page fault in the upcall");
        }
        Hooked::Pass
    }
    trap::hook(Some(faulting));
    upcall();
    let (_, bound) = event::looped_ports();
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
    // Only the outer fault's handler sends: the one in the upcall is the runtime's again.
    let sending = code::kernel(&bytes);
    let hole = memory::user_area(1) + 0x770;
    for n in 1..20 {
        trap::register(trap::bounced(vector::PF, sending));
        // The upcall comes between the fault and the read of its address; the inner fault sends once more, masked.
        let mut user = Frame::ring3(code::user(&[0x48, 0x8b, 0x03]), memory::user_stack());
        user.rbx = hole;
        let found = trap::run(&user);
        check_eq!(
            (found.vector, found.cr2),
            (u64::from(vector::PF), hole),
            "the address of the outer fault"
        );
        check!(upcalls() >= n, "an upcall came between");
        trap::register(trap::bounced(vector::PF, trap::bounced_handler(vector::PF)));
    }
}

fn time() -> TimeInfo {
    let field = |offset: usize| memory::peek(TIME_PAGE + offset as u64);
    loop {
        let version = field(offset_of!(TimeInfo, version));
        let info = TimeInfo {
            version,
            tsc_timestamp: field(offset_of!(TimeInfo, tsc_timestamp)),
            system_time_ns: field(offset_of!(TimeInfo, system_time_ns)),
            tsc_to_ns_mul: field(offset_of!(TimeInfo, tsc_to_ns_mul)),
            virtual_time_ns: field(offset_of!(TimeInfo, virtual_time_ns)),
            wall_clock_s: field(offset_of!(TimeInfo, wall_clock_s)),
        };
        if version % 2 == 0 && field(offset_of!(TimeInfo, version)) == version {
            return info;
        }
    }
}

fn now() -> u64 {
    let info = time();
    let ticks = u128::from(tsc().wrapping_sub(info.tsc_timestamp));
    info.system_time_ns + ((ticks * u128::from(info.tsc_to_ns_mul)) >> 32) as u64
}

fn set_timer(deadline: u64) {
    let done = call::call(Hypercall::SetTimerOp, &[deadline]).ok();
    check!(done.is_ok(), "set_timer_op({deadline}): {done:?}");
}

fn timer_fires(_: u32) {
    trap::hook(Some(watch));
    upcall();
    let port = event::operate(EventChannelOp::BindVirq, &[Virq::Timer.raw()]).ok();
    check!(port.is_ok(), "the timer's port: {port:?}");
    for n in 1..10 {
        let deadline = now() + 2_000_000;
        set_timer(deadline);
        while event::served() < n {
            let waited = call::block(0, WAKE_EVENT);
            check!(waited.ok().is_ok(), "a wait for events: {waited:x?}");
        }
        check!(now() >= deadline, "not before its time");
    }
    let served = event::served();
    set_timer(1);
    let _ = call::block(20_000_000, WAKE_EVENT);
    check_eq!(
        event::served(),
        served + 1,
        "a deadline that has passed fires at once"
    );
    // On a busy machine the time may come before the next call does: then once more.
    let mut before = event::served();
    for _ in 0..10 {
        before = event::served();
        set_timer(now() + 30_000_000);
        set_timer(0);
        if event::served() == before {
            break;
        }
    }
    let _ = call::block(40_000_000, WAKE_EVENT);
    check_eq!(event::served(), before, "0 sets nothing");
    for deadline in [u64::MAX, u64::MAX - 1, 1 << 63] {
        set_timer(deadline);
        let _ = call::block(2_000_000, WAKE_EVENT);
    }
    check_eq!(event::served(), before, "a deadline beyond all time never comes");
}

fn time_goes_on(_: u32) {
    const YEAR_2025: u64 = 1_735_689_600;
    let first = time();
    check!(
        first.wall_clock_s > YEAR_2025,
        "the wall clock has been set: {}",
        first.wall_clock_s
    );
    let (mut last, mut last_now) = (first, now());
    for n in 0..500 {
        if n % 50 == 0 {
            call::block(1_000_000, 0);
        } else {
            let _ = call::yield_now();
        }
        let (info, time) = (time(), now());
        check!(time >= last_now, "time goes on: {time} after {last_now}");
        check!(info.system_time_ns >= last.system_time_ns, "so does the page's");
        check!(info.virtual_time_ns >= last.virtual_time_ns, "and virtual time");
        check!(
            info.virtual_time_ns <= info.system_time_ns,
            "which is never more than real time"
        );
        check_eq!(info.wall_clock_s, first.wall_clock_s, "the wall clock's start");
        (last, last_now) = (info, time);
    }
    check!(last.version > first.version, "the page was brought up to date");
    let stored = attempt(|| memory::poke(TIME_PAGE, 0));
    check!(
        stored.is_err_and(|f| f.vector == 14 && f.error == 3),
        "the page is read-only"
    );
}

fn junk(_: u32) {
    trap::hook(Some(watch));
    upcall();
    let (_, bound) = event::looped_ports();
    let words = || (SHARED_INFO..SHARED_INFO + PAGE_SIZE).step_by(8);
    let mut state = 88_172_645_463_325_252_u64;
    for round in 0..60 {
        for at in words() {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let value = match round % 4 {
                0 => u64::MAX,
                1 => state,
                2 => state & 0xff,
                _ => SWITCHER_RW,
            };
            memory::poke(at, value);
        }
        event::clear_mask();
        event::send(bound);
        let _ = call::yield_now();
        check_eq!(
            code::run_in_ring1(&code::UD2).vector,
            u64::from(vector::UD),
            "traps go on"
        );
        words().for_each(|at| memory::poke(at, 0));
    }
    let before = event::served();
    event::send(bound);
    check_eq!(
        event::served(),
        before + 1,
        "events go on once the page makes sense again"
    );
}

fn masked_by_gate(_: u32) {
    upcall();
    let handler = trap::bounced_handler(vector::UD);
    let entry = abi::trap::TrapInfo {
        flags: abi::trap::flags::MASK_EVENTS,
        ..trap::bounced(vector::UD, handler)
    };
    fn look(frame: &mut Frame) -> Hooked {
        if frame.vector == u64::from(vector::UD) {
            MASK_IN_UPCALL.store(u64::from(event::is_masked()), Ordering::Relaxed);
        }
        Hooked::Pass
    }
    trap::hook(Some(look));
    check_eq!(
        code::run_in_ring1(&code::UD2).vector,
        u64::from(vector::UD),
        "unmasked gate, ring 1"
    );
    check_eq!(
        MASK_IN_UPCALL.load(Ordering::Relaxed),
        0,
        "leaves events as they are"
    );
    trap::register(entry);
    for from_user in [false, true] {
        event::clear_mask();
        let found = if from_user {
            code::run_in_ring3(&code::UD2)
        } else {
            code::run_in_ring1(&code::UD2)
        };
        check_eq!(found.vector, u64::from(vector::UD), "a gate that masks events");
        check_eq!(MASK_IN_UPCALL.load(Ordering::Relaxed), 1, "masks them");
    }
    event::clear_mask();
}
