//! procs: several processes, each with memory and registers of its own.
#![no_std]
#![no_main]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use userland::process::{self, Fork, Pid, Status};
use userland::{Arguments, eprintln, println};

userland::program!(main);

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

/// Runs `child` in a process of its own; its number.
fn fork(child: impl FnOnce() -> i32) -> Result<Pid, &'static str> {
    match process::fork() {
        Ok(Fork::Child) => process::exit(child()),
        Ok(Fork::Parent(pid)) => Ok(pid),
        Err(_) => Err("fork failed"),
    }
}

/// Waits for a child; its number and how it ended.
fn wait() -> Result<(Pid, Status), &'static str> {
    process::wait(-1, 0).ok().flatten().ok_or("wait4 failed")
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
        process::give_way();
        if word() == 2 { 0 } else { 2 }
    })?;
    set_word(3);
    process::give_way();
    expect(word() == 3, "the child's write is seen")?;
    expect(
        wait()? == (child, Status::Exited(0)),
        "the child saw the parent's write",
    )?;
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
        process::give_way();
        if xmm() == 2 { 0 } else { 2 }
    })?;
    process::give_way();
    expect(xmm() == 1, "the child's registers are seen")?;
    expect(
        wait()?.1 == Status::Exited(0),
        "the child saw the parent's registers",
    )
}

fn exec() -> Check {
    let arguments = [c"procs".into(), c"again".into()];
    fork(|| {
        let _ = process::execute(b"/bin/procs", &arguments, &[]);
        1
    })?;
    expect(
        wait()?.1 == Status::Exited(42),
        "the program that was executed did not run",
    )
}

/// A child's child outlives it.
fn generations() -> Check {
    fork(|| match fork(|| 0) {
        Ok(_) => 9,
        Err(_) => 1,
    })?;
    expect(wait()?.1 == Status::Exited(9), "the child did not fork")
}

fn many() -> Check {
    const CHILDREN: usize = 20;
    for index in 0..CHILDREN {
        fork(|| index as i32)?;
    }
    let mut seen = 0_u32;
    for _ in 0..CHILDREN {
        match wait()?.1 {
            Status::Exited(code @ 0..20) => seen |= 1 << code,
            _ => return Err("a child ended in another way"),
        }
    }
    expect(seen == (1 << CHILDREN) - 1, "a child's code is lost")?;
    expect(wait().is_err(), "there are more children than were made")
}
