//! stress [ROUNDS]: rounds (8 if nothing is said) of everything at once: children that write to pipes, take memory, write
//! files and start programs; checks what comes back.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::ffi::CString;
use alloc::format;
use alloc::vec::Vec;
use userland::files::{self, CREATE, File, READ};
use userland::process::{self, Fork, Status};
use userland::text::number;
use userland::{Arguments, eprintln, println};

userland::program!(main);

const CHILDREN: usize = 6;
const BYTES: usize = 20_000;

fn main(arguments: Arguments) -> i32 {
    let rounds = arguments.get(1).and_then(number).unwrap_or(8).clamp(0, 10_000);
    for round in 0..rounds {
        if let Err(what) = one_round(round as usize) {
            eprintln!("stress: round {round}: {what}");
            return 1;
        }
    }
    println!("stress: {rounds} rounds of {CHILDREN} processes, everything is right");
    0
}

fn one_round(round: usize) -> Result<(), &'static str> {
    let mut open: Vec<(i32, File)> = Vec::new();
    for child in 0..CHILDREN {
        let (reader, writer) = files::pipe(0).map_err(|_| "pipe failed")?;
        match process::fork().map_err(|_| "fork failed")? {
            Fork::Child => {
                drop(reader);
                process::exit(work(round, child, writer.fd()))
            }
            Fork::Parent(pid) => open.push((pid, reader)),
        }
    }
    for (child, (pid, reader)) in open.into_iter().enumerate() {
        let content = files::read_to_end(reader.fd()).map_err(|_| "reading failed")?;
        if content != pattern(round, child) {
            return Err("other bytes came through a pipe");
        }
        if process::wait_for(pid) != Ok(Status::Exited(0)) {
            return Err("a child failed");
        }
    }
    Ok(())
}

fn pattern(round: usize, child: usize) -> Vec<u8> {
    (0..BYTES)
        .map(|index| (index.wrapping_mul(31) + round * 7 + child) as u8)
        .collect()
}

fn work(round: usize, child: usize, writer: i32) -> i32 {
    let bytes = pattern(round, child);
    let path = format!("/tmp/stress-{}", process::id());
    let stored = File::open(path.as_bytes(), CREATE).and_then(|file| files::write_all(file.fd(), &bytes));
    let read = File::open(path.as_bytes(), READ).and_then(|file| files::read_to_end(file.fd()));
    let removed = files::unlink(path.as_bytes());
    let sent = files::write_all(writer, &bytes);
    if stored.is_err() || read.as_ref() != Ok(&bytes) || removed.is_err() || sent.is_err() {
        return 1;
    }
    // The last act of some is to become another program.
    if child.is_multiple_of(2) {
        let name = CString::from(c"true");
        let _ = process::execute(b"/bin/true", &[name], &[]);
        return 2;
    }
    0
}
