//! usertests [-l | NAME...]: tests of the kernel's interface, each in a process of its own with a time limit. A NAME runs
//! the tests that begin with it. Linux is what they were checked against: they pass there too.
#![no_std]
#![no_main]

extern crate alloc;

mod check;
mod descriptors;
mod directories;
mod exec;
mod files;
mod handlers;
mod hostile;
mod memory;
mod pipes;
mod processes;
mod procfs;
mod raw;
mod registers;
mod runner;
mod scheduling;
mod signals;
mod terminals;
mod times;

use check::Test;
use userland::text::Text;
use userland::{Arguments, eprintln, println};

userland::program!(main);

/// All tests, by subject.
const GROUPS: &[&[Test]] = &[
    processes::TESTS,
    exec::TESTS,
    pipes::TESTS,
    descriptors::TESTS,
    files::TESTS,
    directories::TESTS,
    signals::TESTS,
    handlers::TESTS,
    memory::TESTS,
    registers::TESTS,
    scheduling::TESTS,
    times::TESTS,
    terminals::TESTS,
    procfs::TESTS,
    hostile::TESTS,
];

fn main(arguments: Arguments) -> i32 {
    let names = arguments.list();
    // `exec` runs this program again, to see what becomes of it.
    if let [b"--as-child", rest @ ..] = names.as_slice() {
        return exec::as_child(arguments, rest);
    }
    let all = || GROUPS.iter().copied().flatten();
    if names == [b"-l"] {
        all().for_each(|test| println!("{}", test.name));
        return 0;
    }
    let is_wanted =
        |test: &&Test| names.is_empty() || names.iter().any(|name| test.name.as_bytes().starts_with(name));
    if let Some(name) = names
        .iter()
        .find(|name| !all().any(|test| test.name.as_bytes().starts_with(name)))
    {
        eprintln!("usertests: there is no test {}", Text(name));
        return 2;
    }
    let (mut passed, mut failed) = (0, 0);
    for test in all().filter(is_wanted) {
        match runner::run(test) {
            Ok(()) => {
                println!("usertests: {} ok", test.name);
                passed += 1;
            }
            Err(what) => {
                println!("usertests: {} FAILED: {what}", test.name);
                failed += 1;
            }
        }
    }
    println!("usertests: {passed} passed, {failed} failed");
    i32::from(failed != 0)
}
