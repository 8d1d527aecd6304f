//! procs: several processes, each with memory and registers of its own.
#![no_std]
#![no_main]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use userland::sys::{self, Errno, Way};
use userland::{Arguments, eprintln, println};

userland::program!(main);

const SCHED_YIELD: usize = 24;
const FORK: usize = 57;
const EXECVE: usize = 59;
const WAIT4: usize = 61;

/// What the steps find wrong.
type Check = Result<(), &'static str>;

static WORD: AtomicU64 = AtomicU64::new(1);

/// A check with its name.
type Named = (&'static str, fn() -> Check);

/// What is checked.
const CHECKS: [Named; 5] = [
    ("memory", memory),
    ("vectors", vectors),
    ("exec", exec),
    ("generations", generations),
    ("many", many),
];

fn main(arguments: Arguments) -> i32 {
    if arguments.get(1) == Some(b"again") {
        return 42;
    }
    for (name, check) in CHECKS {
        if let Err(wrong) = check() {
            eprintln!("procs: {name}: {wrong}");
            return 1;
        }
    }
    println!("procs: every process is its own");
    0
}

fn call(number: usize, arguments: [usize; 4]) -> Result<usize, Errno> {
    let [first, second, third, fourth] = arguments;
    // SAFETY: callers pass memory of their own.
    unsafe { sys::call(Way::Interrupt, number, [first, second, third, fourth, 0, 0]) }
}

/// Runs `child` in a process of its own; its number.
fn fork(child: impl FnOnce() -> i32) -> Result<usize, &'static str> {
    match call(FORK, [0; 4]) {
        Ok(0) => sys::exit(child()),
        Ok(pid) => Ok(pid),
        Err(_) => Err("fork failed"),
    }
}

/// Waits for a child; its number and what wait4 says of its end.
fn wait() -> Result<(usize, u32), &'static str> {
    let mut status = 0_u32;
    let pid = call(WAIT4, [usize::MAX, &raw mut status as usize, 0, 0]);
    pid.map(|pid| (pid, status)).map_err(|_| "wait4 failed")
}

fn yield_now() {
    // It cannot fail.
    let _ = call(SCHED_YIELD, [0; 4]);
}

fn expect(holds: bool, wrong: &'static str) -> Check {
    if holds { Ok(()) } else { Err(wrong) }
}

fn word() -> u64 {
    WORD.load(Ordering::Relaxed)
}

fn set_word(value: u64) {
    WORD.store(value, Ordering::Relaxed);
}

fn memory() -> Check {
    set_word(1);
    let child = fork(|| {
        if word() != 1 {
            return 1;
        }
        set_word(2);
        yield_now();
        if word() == 2 { 0 } else { 2 }
    })?;
    set_word(3);
    yield_now();
    expect(word() == 3, "the child's write is seen")?;
    expect(wait()? == (child, 0), "the child saw the parent's write")?;
    expect(word() == 3, "the parent's write is lost")
}

fn xmm() -> u64 {
    let value;
    // SAFETY: a copy between registers.
    unsafe { asm!("movq {}, xmm5", out(reg) value, options(nomem, nostack)) };
    value
}

fn set_xmm(value: u64) {
    // SAFETY: the program is built without vector registers.
    unsafe { asm!("movq xmm5, {}", in(reg) value, options(nomem, nostack)) };
}

fn vectors() -> Check {
    set_xmm(1);
    fork(|| {
        if xmm() != 1 {
            return 1;
        }
        set_xmm(2);
        yield_now();
        if xmm() == 2 { 0 } else { 2 }
    })?;
    yield_now();
    expect(xmm() == 1, "the child's registers are seen")?;
    expect(wait()?.1 == 0, "the child saw the parent's registers")
}

fn exec() -> Check {
    let path = c"/bin/procs".as_ptr() as usize;
    let arguments = [path, c"again".as_ptr() as usize, 0];
    fork(|| {
        let _ = call(EXECVE, [path, arguments.as_ptr() as usize, 0, 0]);
        1
    })?;
    expect(wait()?.1 == 42 << 8, "the program that was executed did not run")
}

/// A child's child outlives it.
fn generations() -> Check {
    fork(|| match fork(|| 0) {
        Ok(_) => 9,
        Err(_) => 1,
    })?;
    expect(wait()?.1 == 9 << 8, "the child did not fork")
}

fn many() -> Check {
    const CHILDREN: usize = 20;
    for index in 0..CHILDREN {
        fork(|| index as i32)?;
    }
    let mut seen = 0_u32;
    for _ in 0..CHILDREN {
        seen |= 1 << (wait()?.1 >> 8);
    }
    expect(seen == (1 << CHILDREN) - 1, "a child's code is lost")?;
    expect(wait().is_err(), "there are more children than were made")
}
