//! Events at every instruction of a return and of a delivery. The clock counts instructions here, so a timer that moves by
//! a nanosecond moves by an instruction.
use abi::layout::{CR2_WORD, USER_RSP_WORD};
use abi::trap::vector;
use core::sync::atomic::{AtomicU64, Ordering};
use guests::runtime::event::{self, looped_ports, send, served};
use guests::runtime::frame::Frame;
use guests::runtime::memory;
use guests::runtime::time::{now_ns, set_timer, wait_until};
use guests::runtime::trap::{self, Hooked};
use guests::runtime::upcall::{self, UpcallFrame};
use guests::runtime::{call, code};
use guests::{check, check_eq};

use super::Run;

pub(crate) const CASES: &[(&str, Run)] = &[
    ("event-in-the-return", in_the_return),
    ("words-across-an-upcall", words_kept),
];

/// Steps of a sweep: each moves the timer by one instruction.
const SWEPT: u64 = 1500;
/// So that setting the timer is over before it fires.
const AHEAD_NS: u64 = 20_000;
/// More than it fires late.
const LATE_NS: u64 = 700;

/// Sets the timer, and waits until the first place of the sweep is near. Returns when the sweep's step is over.
fn arm(step: u64) -> u64 {
    let start = now_ns().0;
    // It fires late by what the hypervisor does between looking at the clock and setting its own timer.
    set_timer(start + AHEAD_NS - LATE_NS + step);
    wait_until(start + AHEAD_NS);
    start + AHEAD_NS + SWEPT + 5000
}

/// The steps of a sweep, each of them twice: now and then the hypervisor looks for keys when the timer is set, and the step is
/// where another one belongs. Not so the next one.
fn steps() -> impl Iterator<Item = u64> {
    (0..SWEPT).flat_map(|step| [step; TRIES])
}

const TRIES: usize = 2;

static SEEN: AtomicU64 = AtomicU64::new(0);
static DEPTH: AtomicU64 = AtomicU64::new(0);

fn in_the_return(_: u32) {
    upcall::install();
    let timer = event::timer_port();
    let (from, to) = looped_ports();
    upcall::hook(Some(|found| {
        SEEN.store(found.error, Ordering::Relaxed);
        if found.error != 0 {
            DEPTH.fetch_add(1, Ordering::Relaxed);
        }
    }));
    let [region, end] = upcall::region();
    let (mut lowest, mut places, mut expected) = (u64::MAX, 0_u64, (0, 0));
    // One upcall alone, to know how deep it is and how long all takes.
    let _ = upcall::lowest_frame();
    send(from);
    let usual = upcall::lowest_frame();
    expected.1 += 1;
    for step in steps() {
        let over = arm(step);
        send(from);
        wait_until(over);
        expected = (expected.0 + 1, expected.1 + 1);
        check_eq!(
            (served(timer), served(to)),
            expected,
            "each event is served once, at step {step}"
        );
        lowest = lowest.min(upcall::lowest_frame());
        let at = SEEN.swap(0, Ordering::Relaxed);
        if (region..end).contains(&at) {
            places |= 1 << (at - region);
        }
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

/// Where the last upcall came, and how many handlers had read their words by then.
static AT: AtomicU64 = AtomicU64::new(0);
static READS: AtomicU64 = AtomicU64::new(0);

fn disturb(found: &mut UpcallFrame) {
    // One that comes to the inner fault's handler, or to this hook, is not the sweep's.
    AT.store(found.rip, Ordering::Relaxed);
    READS.store(trap::reads(), Ordering::Relaxed);
    // A fault inside the upcall overwrites one word; a syscall would the other.
    let hole = memory::kernel_area(1);
    upcall::touch(hole);
    check_eq!(memory::peek(CR2_WORD), hole, "the inner fault's address");
    memory::poke(USER_RSP_WORD, 0xbad);
}

/// The places between a delivery and the look at its word, in the order in which the sweep came to them.
struct Window {
    handler: u64,
    places: [u64; MOST_PLACES],
    count: usize,
    last_step: u64,
}

const MOST_PLACES: usize = 128;
/// Instructions of the runtime's entries until they call into Rust, where the words are read: no fewer are interrupted.
const LEAST_PLACES: usize = 22;

impl Window {
    fn new(handler: u64) -> Self {
        Self {
            handler,
            places: [0; MOST_PLACES],
            count: 0,
            last_step: 0,
        }
    }

    /// The step's upcall came at `at`, with the words still to be read if `unread`.
    fn add(&mut self, step: u64, at: u64, unread: bool) {
        if !unread || (self.count == 0 && at != self.handler) {
            return;
        }
        check!(
            self.count == 0 || step.wrapping_sub(self.last_step) <= 1,
            "no step is left out between {} and {step}",
            self.last_step
        );
        self.last_step = step;
        // What was due while ring 0 made the delivery comes at the first instruction; and a string instruction is
        // interrupted many times.
        if self.places.iter().take(self.count).any(|place| *place == at) {
            return;
        }
        if let Some(slot) = self.places.get_mut(self.count) {
            *slot = at;
            self.count += 1;
        }
    }

    /// As each step moves the timer by one instruction, and no step is missing, no instruction is.
    fn check(&self, what: &str) {
        let places = &self.places[..self.count];
        guests::println!("{what}: {} places until the word is read", self.count);
        check!(
            (LEAST_PLACES..MOST_PLACES).contains(&self.count) && places[0] == self.handler,
            "{what}: from its first instruction on: {places:x?}"
        );
    }
}

/// Sweeps the timer over the delivery of a page fault, and of a syscall, until the handler has read its word.
fn words_kept(_: u32) {
    upcall::install();
    let timer = event::timer_port();
    let done = call::register_syscall(trap::syscall_entry_address());
    check!(done.is_ok(), "a syscall entry: {done:?}");
    fn inner(frame: &mut Frame) -> Hooked {
        if frame.rip == upcall::touch_address() {
            frame.rip += 3;
            return Hooked::Resume;
        }
        Hooked::Pass
    }
    trap::hook(Some(inner));
    upcall::hook(Some(disturb));
    // mov rax, [rbx]
    let (kernel, user) = (code::kernel(&[0x48, 0x8b, 0x03]), code::user(&[0x0f, 0x05]));
    let (stack, user_stack) = (memory::stack(1), memory::user_stack());
    let hole = memory::kernel_area(1);
    let mut windows = [
        Window::new(trap::bounced_handler(vector::PF)),
        Window::new(trap::syscall_entry_address()),
    ];
    for step in steps() {
        let mut fault = Frame::ring1(kernel, stack);
        fault.rbx = hole;
        let before = trap::reads();
        let over = arm(step);
        let found = trap::run(&fault);
        check_eq!(
            (found.vector, found.cr2),
            (14, hole),
            "the outer fault's address, at step {step}"
        );
        wait_until(over);
        let unread = || READS.load(Ordering::Relaxed) == before;
        windows[0].add(step, AT.load(Ordering::Relaxed), unread());

        let before = trap::reads();
        let over = arm(step);
        let found = trap::run(&Frame::ring3(user, user_stack - step));
        check_eq!(
            (found.vector, found.user_rsp, found.rsp),
            (trap::SYSCALL_VECTOR, user_stack - step, user_stack - step),
            "the user's stack pointer, at step {step}"
        );
        wait_until(over);
        windows[1].add(
            step,
            AT.load(Ordering::Relaxed),
            READS.load(Ordering::Relaxed) == before,
        );
    }
    check_eq!(served(timer), 2 * TRIES as u64 * SWEPT, "the upcalls came");
    windows[0].check("page fault");
    windows[1].check("syscall");
}
