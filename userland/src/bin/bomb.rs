//! bomb: children that fork for ever, each with some memory, until there is nothing left; then all of them are ended, and
//! the kernel is as it was.
#![no_std]
#![no_main]

use userland::sys::{self, Way};
use userland::{Arguments, Errno, eprintln, println, process};

userland::program!(main);

const NANOSLEEP: usize = 35;
const GETPID: usize = 39;
const FORK: usize = 57;
const WAIT4: usize = 61;
const KILL: usize = 62;
const SETPGID: usize = 109;
const SIGKILL: usize = 9;

/// Bytes that each child writes.
const MEMORY: usize = 256 * 1024;
const PAGE: usize = 4096;
/// How long they may go on, in nanoseconds.
const FUSE: usize = 300_000_000;

fn main(_: Arguments) -> i32 {
    let bomb = match call(FORK, [0; 4]) {
        Ok(0) => explode(),
        Ok(pid) => pid,
        Err(_) => return failed("the first fork failed"),
    };
    // Whoever is first makes the group; the other finds it made.
    let _ = call(SETPGID, [bomb, bomb, 0, 0]);
    let time = [0, FUSE];
    let _ = call(NANOSLEEP, [time.as_ptr() as usize, 0, 0, 0]);
    if call(KILL, [bomb.wrapping_neg(), SIGKILL, 0, 0]).is_err() {
        return failed("nothing was left to end");
    }
    if call(WAIT4, [bomb, 0, 0, 0]) != Ok(bomb) {
        return failed("the child is not there");
    }
    // All others were killed before this process had its turn again, but not all of them have ended.
    loop {
        match call(FORK, [0; 4]) {
            Ok(0) => return 0,
            Ok(child) if call(WAIT4, [child, 0, 0, 0]) == Ok(child) => break,
            Ok(_) => return failed("a child is lost"),
            Err(_) => {
                let _ = call(NANOSLEEP, [time.as_ptr() as usize, 0, 0, 0]);
            }
        }
    }
    println!("bomb: all is as before");
    0
}

fn explode() -> ! {
    let own = call(GETPID, [0; 4]).unwrap_or(0);
    let _ = call(SETPGID, [own, own, 0, 0]);
    loop {
        if call(FORK, [0; 4]) == Ok(0)
            && let Ok(memory) = process::map_anonymous(MEMORY)
        {
            for offset in (0..MEMORY).step_by(PAGE) {
                // SAFETY: the kernel has just mapped it.
                unsafe { memory.wrapping_add(offset).write_volatile(1) };
            }
        }
    }
}

fn failed(why: &str) -> i32 {
    eprintln!("bomb: {why}");
    1
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
