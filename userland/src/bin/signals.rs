//! signals: handlers run, see what they should, and the program goes on with all of its registers.
#![no_std]
#![no_main]

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU64, Ordering};
use userland::sys::{self, Way};
use userland::{Arguments, Errno, eprintln, println, process};

userland::program!(main);

const SIGACTION: usize = 13;
const PAUSE: usize = 34;
const NANOSLEEP: usize = 35;
const SETITIMER: usize = 38;
const GETPID: usize = 39;
const FORK: usize = 57;
const WAIT4: usize = 61;
const KILL: usize = 62;
const SIGALTSTACK: usize = 131;

const SIGILL: usize = 4;
const SIGFPE: usize = 8;
const SIGKILL: usize = 9;
const SIGUSR1: usize = 10;
const SIGSEGV: usize = 11;
const SIGALRM: usize = 14;

const SA_SIGINFO: u64 = 4;
const SA_RESTORER: u64 = 0x0400_0000;
const SA_ONSTACK: u64 = 0x0800_0000;

/// Places in a ucontext.
const UC_RBX: usize = (40 + 11 * 8) / 8;
const UC_RIP: usize = (40 + 16 * 8) / 8;

type Check = Result<(), &'static str>;
/// A check with its name.
type Named = (&'static str, fn() -> Check);

/// What is checked.
const CHECKS: [Named; 7] = [
    ("own signal", own_signal),
    ("vectors", vectors),
    ("illegal instruction", illegal),
    ("bad address", bad_address),
    ("stack", stack),
    ("timer", timer),
    ("busy loop", busy_loop),
];

static COUNT: AtomicU64 = AtomicU64::new(0);
static SEEN_SIGNAL: AtomicU64 = AtomicU64::new(0);
static SEEN_ADDRESS: AtomicU64 = AtomicU64::new(0);
static SEEN_STACK: AtomicU64 = AtomicU64::new(0);
/// How far the handler moves the program's rip.
static SKIP: AtomicU64 = AtomicU64::new(0);

global_asm!(
    "restorer:",
    "mov eax, 15",
    "int 0x80",
    "ud2",
    "handler:",
    "pcmpeqd xmm3, xmm3",
    "sub rsp, 8",
    "call {seen}",
    "add rsp, 8",
    "ret",
    seen = sym seen,
);

unsafe extern "C" {
    fn restorer();
    fn handler();
}

extern "C" fn seen(signal: u64, info: *const u64, context: *mut u64) {
    COUNT.fetch_add(1, Ordering::Relaxed);
    SEEN_SIGNAL.store(signal, Ordering::Relaxed);
    // SAFETY: the kernel's siginfo has 128 bytes.
    let address = unsafe { info.wrapping_add(2).read() };
    SEEN_ADDRESS.store(address, Ordering::Relaxed);
    SEEN_STACK.store((&raw const address) as u64, Ordering::Relaxed);
    let rip = context.wrapping_add(UC_RIP);
    // SAFETY: the kernel's ucontext.
    let old = unsafe { rip.read() };
    // SAFETY: likewise.
    unsafe { rip.write(old + SKIP.load(Ordering::Relaxed)) };
    let rbx = context.wrapping_add(UC_RBX);
    // SAFETY: likewise.
    let old = unsafe { rbx.read() };
    // SAFETY: likewise.
    unsafe { rbx.write(old.wrapping_add(1)) };
}

fn main(_: Arguments) -> i32 {
    for (name, check) in CHECKS {
        if let Err(wrong) = check() {
            eprintln!("signals: {name}: {wrong}");
            return 1;
        }
    }
    println!("signals: handlers run and come back");
    0
}

fn call(number: usize, arguments: [usize; 4]) -> Result<usize, Errno> {
    let [first, second, third, fourth] = arguments;
    // SAFETY: callers pass memory of their own.
    unsafe {
        sys::call(
            Way::Interrupt,
            number as u32,
            [first, second, third, fourth, 0, 0],
        )
    }
}

fn expect(holds: bool, wrong: &'static str) -> Check {
    if holds { Ok(()) } else { Err(wrong) }
}

fn on(signal: usize, flags: u64, skip: u64) -> Check {
    SKIP.store(skip, Ordering::Relaxed);
    COUNT.store(0, Ordering::Relaxed);
    let action = [
        handler as *const () as u64,
        flags | SA_SIGINFO | SA_RESTORER,
        restorer as *const () as u64,
        0,
    ];
    let set = call(SIGACTION, [signal, action.as_ptr() as usize, 0, 8]);
    expect(set.is_ok(), "rt_sigaction failed")
}

fn came(signal: usize) -> Check {
    expect(COUNT.load(Ordering::Relaxed) == 1, "the handler did not run once")?;
    expect(
        SEEN_SIGNAL.load(Ordering::Relaxed) == signal as u64,
        "another signal came",
    )
}

fn kill_self(signal: usize) -> Check {
    let pid = call(GETPID, [0; 4]).unwrap_or(0);
    expect(call(KILL, [pid, signal, 0, 0]) == Ok(0), "kill failed")
}

fn own_signal() -> Check {
    on(SIGUSR1, 0, 0)?;
    kill_self(SIGUSR1)?;
    came(SIGUSR1)
}

fn vectors() -> Check {
    on(SIGUSR1, 0, 0)?;
    let pid = call(GETPID, [0; 4]).unwrap_or(0);
    let (before, after): (u64, u64) = (0x1122_3344, 0);
    let mut after = after;
    // SAFETY: a call that the handler interrupts; the program is built without vector registers.
    unsafe {
        asm!(
            "movq xmm3, {before}",
            "syscall",
            "movq {after}, xmm3",
            before = in(reg) before,
            after = inout(reg) after,
            inlateout("rax") KILL => _,
            in("rdi") pid,
            in("rsi") SIGUSR1,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    came(SIGUSR1)?;
    expect(before == after, "a vector register is lost")
}

fn illegal() -> Check {
    on(SIGILL, 0, 2)?;
    let mut kept = 5_u64;
    // SAFETY: the handler goes on behind the instruction, and adds 1 to rbx, which the program exchanges with `kept`.
    unsafe { asm!("xchg rbx, {0}", "ud2", "xchg rbx, {0}", inout(reg) kept) };
    came(SIGILL)?;
    expect(kept == 6, "what the handler wrote is lost")
}

fn bad_address() -> Check {
    on(SIGSEGV, 0, 3)?;
    // SAFETY: three bytes that the handler skips.
    unsafe { asm!("mov rax, [rcx]", in("rcx") 0x1234, out("rax") _) };
    came(SIGSEGV)?;
    expect(
        SEEN_ADDRESS.load(Ordering::Relaxed) == 0x1234,
        "the address is another",
    )
}

fn stack() -> Check {
    const SIZE: usize = 32 * 1024;
    let Ok(start) = process::map_anonymous(SIZE) else {
        return Err("mmap failed");
    };
    let stack = [start as usize, 0, SIZE];
    expect(
        call(SIGALTSTACK, [stack.as_ptr() as usize, 0, 0, 0]) == Ok(0),
        "sigaltstack failed",
    )?;
    on(SIGFPE, SA_ONSTACK, 2)?;
    // SAFETY: two bytes that the handler skips.
    unsafe { asm!("div ecx", in("ecx") 0, inout("eax") 1 => _, inout("edx") 0 => _) };
    came(SIGFPE)?;
    let at = SEEN_STACK.load(Ordering::Relaxed) as usize;
    expect(
        (start as usize..start as usize + SIZE).contains(&at),
        "the handler ran on another stack",
    )
}

fn set_timer(value: [u64; 4]) -> Check {
    let set = call(SETITIMER, [0, value.as_ptr() as usize, 0, 0]);
    expect(set == Ok(0), "setitimer failed")
}

/// The timer comes again and again: one that comes before the pause does not count.
fn timer() -> Check {
    on(SIGALRM, 0, 0)?;
    set_timer([0, 50_000, 0, 50_000])?;
    let paused = call(PAUSE, [0; 4]);
    set_timer([0; 4])?;
    expect(paused == Err(Errno::EINTR), "pause was not interrupted")?;
    expect(
        SEEN_SIGNAL.load(Ordering::Relaxed) == SIGALRM as u64,
        "another signal came",
    )
}

/// A child that never calls the kernel does not keep its parent from ending it.
fn busy_loop() -> Check {
    let Ok(child) = call(FORK, [0; 4]) else {
        return Err("fork failed");
    };
    if child == 0 {
        loop {
            core::hint::spin_loop();
        }
    }
    let time = [0_u64, 30_000_000];
    expect(
        call(NANOSLEEP, [time.as_ptr() as usize, 0, 0, 0]) == Ok(0),
        "nanosleep failed",
    )?;
    expect(call(KILL, [child, SIGKILL, 0, 0]) == Ok(0), "kill failed")?;
    let mut status = 0_u32;
    expect(
        call(WAIT4, [child, &raw mut status as usize, 0, 0]) == Ok(child),
        "wait4 failed",
    )?;
    expect(status == SIGKILL as u32, "the child was not killed")
}
