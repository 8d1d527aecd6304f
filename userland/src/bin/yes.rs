//! yes [TEXT...]: prints a line again and again, until nobody reads it.
#![no_std]
#![no_main]

use userland::{Arguments, eprintln, files, io};

userland::program!(main);

/// Bytes to print at a time.
const PIECE: usize = 4096;

fn main(arguments: Arguments) -> i32 {
    let mut line = arguments.list().join(b" ".as_slice());
    if line.is_empty() {
        line.push(b'y');
    }
    line.push(b'\n');
    let piece = line.repeat((PIECE / line.len()).max(1));
    loop {
        if let Err(error) = files::write_all(io::STDOUT, &piece) {
            eprintln!("yes: standard output: {error}");
            return 1;
        }
    }
}
