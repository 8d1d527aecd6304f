//! forkbomb [N]: children that all make children, N processes in all (64 if nothing is said) at most, and then waits for
//! them; says how many there were.
#![no_std]
#![no_main]

use userland::process::{self, Fork};
use userland::text::number;
use userland::{Arguments, files, println};

userland::program!(main);

fn main(arguments: Arguments) -> i32 {
    let most = arguments.get(1).and_then(number).unwrap_or(64).max(0);
    // Each byte in the pipe is leave to make one process.
    let Ok((leave, grants)) = files::pipe(0) else {
        return 1;
    };
    let Ok((count, reports)) = files::pipe(0) else {
        return 1;
    };
    for _ in 0..most.min(4000) {
        if files::write_all(grants.fd(), b".").is_err() {
            return 1;
        }
    }
    drop(grants);
    let mut byte = [0];
    let mut is_child = false;
    while files::read(leave.fd(), &mut byte) == Ok(1) {
        match process::fork() {
            Ok(Fork::Child) => {
                is_child = true;
                // The report is what is counted.
                let _ = files::write_all(reports.fd(), b".");
            }
            Ok(Fork::Parent(_)) => {}
            Err(_) => break,
        }
    }
    drop(reports);
    while process::wait(-1, 0).is_ok() {}
    if !is_child {
        let made = files::read_to_end(count.fd()).map_or(0, |reports| reports.len());
        println!("forkbomb: {made} processes made, all ended");
    }
    0
}
