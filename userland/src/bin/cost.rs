//! cost: what the kernel takes for the things that programs do all the time, in ticks of the time-stamp counter. Under
//! QEMU's instruction clock a tick is an instruction, of whoever executes it.
#![no_std]
#![no_main]

use core::arch::global_asm;
use core::arch::x86_64::_rdtsc;
use userland::process::{exit, map_anonymous};
use userland::sys::{self, Way};
use userland::{Arguments, Errno, eprintln, println};

userland::program!(main);

const READ: u32 = 0;
const WRITE: u32 = 1;
const CLOSE: u32 = 3;
const MUNMAP: u32 = 11;
const SIGACTION: u32 = 13;
const PIPE: u32 = 22;
const SCHED_YIELD: u32 = 24;
const GETPID: u32 = 39;
const FORK: u32 = 57;
const EXECVE: u32 = 59;
const WAIT4: u32 = 61;
const KILL: u32 = 62;
const SIGUSR1: usize = 10;
const SA_RESTORER: u64 = 0x0400_0000;
const PAGE: usize = 4096;

/// Does something so many times; the ticks that it took.
type Count = fn(u64) -> Result<u64, Errno>;
/// What it is called, how often it is done, and it.
type Row = (&'static str, u64, Count);

/// What is counted.
const ROWS: [Row; 12] = [
    ("getpid-int80", 1000, |times| calls(Way::Interrupt, times)),
    ("getpid-syscall", 1000, |times| calls(Way::Syscall, times)),
    ("fork-exit-wait", 50, fork_exit_wait),
    ("fork-exec-exit-wait", 50, fork_exec_exit_wait),
    ("exec", 50, exec),
    ("switch", 1000, switch),
    ("pipe-write-read", 1000, pipe_alone),
    ("pipe-round-trip", 1000, pipe_round_trip),
    ("page-fault-zero", 256, zero_pages),
    ("page-fault-copy", 64, copied_pages),
    ("map-touch-unmap-16", 100, map_touch_unmap),
    ("signal", 200, signal),
];

global_asm!(
    "cost_restorer:",
    "mov eax, 15",
    "int 0x80",
    "ud2",
    "cost_handler:",
    "ret",
);

unsafe extern "C" {
    fn cost_restorer();
    fn cost_handler();
}

fn main(arguments: Arguments) -> i32 {
    match arguments.get(1) {
        Some(b"nothing") => return 0,
        // One program after another in the same process, until none is left.
        Some(b"again") => return again(arguments.get(2).and_then(|digits| digits.first()).copied()),
        _ => {}
    }
    for (name, times, count) in ROWS {
        // Once for the pages that the first time brings in.
        let counted = count(1).and_then(|_| count(times));
        match counted {
            Ok(ticks) => println!("cost {name} {}", ticks / times),
            Err(errno) => {
                eprintln!("cost: {name}: error {}", errno.0);
                return 1;
            }
        }
    }
    0
}

fn now() -> u64 {
    // SAFETY: reading the counter changes nothing.
    unsafe { _rdtsc() }
}

fn call(number: u32, arguments: [usize; 4]) -> Result<usize, Errno> {
    let [first, second, third, fourth] = arguments;
    // SAFETY: callers pass memory of their own.
    unsafe { sys::call(Way::Interrupt, number, [first, second, third, fourth, 0, 0]) }
}

fn wait() -> Result<usize, Errno> {
    call(WAIT4, [usize::MAX, 0, 0, 0])
}

fn calls(way: Way, times: u64) -> Result<u64, Errno> {
    let start = now();
    for _ in 0..times {
        // SAFETY: the call has no argument.
        unsafe { sys::call(way, GETPID, [0; 6]) }?;
    }
    Ok(now() - start)
}

fn fork_exit_wait(times: u64) -> Result<u64, Errno> {
    let start = now();
    for _ in 0..times {
        if call(FORK, [0; 4])? == 0 {
            exit(0);
        }
        wait()?;
    }
    Ok(now() - start)
}

fn execute(argument: &core::ffi::CStr, second: &core::ffi::CStr) -> Result<usize, Errno> {
    let path = c"/bin/cost".as_ptr() as usize;
    let arguments = [path, argument.as_ptr() as usize, second.as_ptr() as usize, 0];
    call(EXECVE, [path, arguments.as_ptr() as usize, 0, 0])
}

fn fork_exec_exit_wait(times: u64) -> Result<u64, Errno> {
    let start = now();
    for _ in 0..times {
        if call(FORK, [0; 4])? == 0 {
            let _ = execute(c"nothing", c"");
            exit(1);
        }
        wait()?;
    }
    Ok(now() - start)
}

/// Ten programs, one in the place of the other, are one more than nine.
const CHAIN: u64 = 9;

fn again(left: Option<u8>) -> i32 {
    let next = match left {
        Some(digit @ b'1'..=b'9') => [digit - 1, 0],
        _ => return 0,
    };
    let next = core::ffi::CStr::from_bytes_with_nul(&next).unwrap_or_default();
    match execute(c"again", next) {
        Ok(_) => 0,
        Err(_) => 1,
    }
}

fn chain(first: &core::ffi::CStr) -> Result<u64, Errno> {
    let start = now();
    if call(FORK, [0; 4])? == 0 {
        let _ = execute(c"again", first);
        exit(1);
    }
    wait()?;
    Ok(now() - start)
}

fn exec(times: u64) -> Result<u64, Errno> {
    let mut ticks = 0;
    for _ in 0..times {
        let (one, ten) = (chain(c"0")?, chain(c"9")?);
        ticks += ten.saturating_sub(one) / CHAIN;
    }
    Ok(ticks)
}

/// Two processes hand the CPU to each other.
fn switch(times: u64) -> Result<u64, Errno> {
    let child = call(FORK, [0; 4])?;
    let start = now();
    for _ in 0..times / 2 + 1 {
        call(SCHED_YIELD, [0; 4])?;
    }
    let ticks = now() - start;
    if child == 0 {
        exit(0);
    }
    wait()?;
    Ok(ticks)
}

/// A pipe: the descriptors that read and write it.
fn pipe() -> Result<[usize; 2], Errno> {
    let mut ends = [0u32; 2];
    call(PIPE, [ends.as_mut_ptr() as usize, 0, 0, 0])?;
    Ok(ends.map(|end| end as usize))
}

/// One byte into a pipe, or out of it.
fn transfer(number: u32, end: usize) -> Result<usize, Errno> {
    let mut byte = [0u8; 1];
    call(number, [end, byte.as_mut_ptr() as usize, 1, 0])
}

/// One byte into a pipe and out of it again.
fn pipe_alone(times: u64) -> Result<u64, Errno> {
    let [reader, writer] = pipe()?;
    let start = now();
    for _ in 0..times {
        transfer(WRITE, writer)?;
        transfer(READ, reader)?;
    }
    let ticks = now() - start;
    call(CLOSE, [reader, 0, 0, 0])?;
    call(CLOSE, [writer, 0, 0, 0])?;
    Ok(ticks)
}

/// One byte to another process, which waits for it, and one back.
fn pipe_round_trip(times: u64) -> Result<u64, Errno> {
    let (there, back) = (pipe()?, pipe()?);
    if call(FORK, [0; 4])? == 0 {
        for _ in 0..times {
            transfer(READ, there[0])?;
            transfer(WRITE, back[1])?;
        }
        exit(0);
    }
    let start = now();
    for _ in 0..times {
        transfer(WRITE, there[1])?;
        transfer(READ, back[0])?;
    }
    let ticks = now() - start;
    wait()?;
    for end in there.into_iter().chain(back) {
        call(CLOSE, [end, 0, 0, 0])?;
    }
    Ok(ticks)
}

fn touch(memory: *mut u8, pages: u64) {
    for page in 0..pages as usize {
        // SAFETY: the caller has mapped so many pages.
        unsafe { memory.wrapping_add(page * PAGE).write_volatile(1) };
    }
}

fn zero_pages(times: u64) -> Result<u64, Errno> {
    let length = times as usize * PAGE;
    let memory = map_anonymous(length)?;
    let start = now();
    touch(memory, times);
    let ticks = now() - start;
    call(MUNMAP, [memory as usize, length, 0, 0])?;
    Ok(ticks)
}

fn copied_pages(times: u64) -> Result<u64, Errno> {
    let length = times as usize * PAGE;
    let memory = map_anonymous(length)?;
    touch(memory, times);
    let child = call(FORK, [0; 4])?;
    if child == 0 {
        // Keeps its half until the parent has its copies.
        loop {
            call(SCHED_YIELD, [0; 4])?;
        }
    }
    let start = now();
    touch(memory, times);
    let ticks = now() - start;
    call(KILL, [child, 9, 0, 0])?;
    wait()?;
    call(MUNMAP, [memory as usize, length, 0, 0])?;
    Ok(ticks)
}

fn map_touch_unmap(times: u64) -> Result<u64, Errno> {
    const PAGES: u64 = 16;
    let length = PAGES as usize * PAGE;
    let start = now();
    for _ in 0..times {
        let memory = map_anonymous(length)?;
        touch(memory, PAGES);
        call(MUNMAP, [memory as usize, length, 0, 0])?;
    }
    Ok(now() - start)
}

fn signal(times: u64) -> Result<u64, Errno> {
    let action = [
        cost_handler as *const () as u64,
        SA_RESTORER,
        cost_restorer as *const () as u64,
        0,
    ];
    call(SIGACTION, [SIGUSR1, action.as_ptr() as usize, 0, 8])?;
    let own = call(GETPID, [0; 4])?;
    let start = now();
    for _ in 0..times {
        call(KILL, [own, SIGUSR1, 0, 0])?;
    }
    Ok(now() - start)
}
