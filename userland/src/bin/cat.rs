//! cat: prints what is typed, until Ctrl-D.
#![no_std]
#![no_main]

use userland::{Arguments, eprintln, io, sys};

userland::program!(main);

fn main(arguments: Arguments) -> i32 {
    if arguments.rest().any(|argument| argument != b"-") {
        eprintln!("cat: there are no files yet: only standard input");
        return 2;
    }
    let mut buffer = [0; 1024];
    loop {
        match sys::read(io::STDIN, &mut buffer) {
            Ok(0) => return 0,
            Ok(count) => io::write_all(io::STDOUT, buffer.get(..count).unwrap_or(&[])),
            Err(error) => {
                eprintln!("cat: read failed with error {}", error.0);
                return 1;
            }
        }
    }
}
