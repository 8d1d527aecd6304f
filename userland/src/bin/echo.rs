//! echo ARGUMENT...: prints its arguments.
#![no_std]
#![no_main]

use userland::{Arguments, io};

userland::program!(main);

fn main(arguments: Arguments) -> i32 {
    let mut separator: &[u8] = b"";
    for argument in arguments.rest() {
        io::write_all(io::STDOUT, separator);
        io::write_all(io::STDOUT, argument);
        separator = b" ";
    }
    io::write_all(io::STDOUT, b"\n");
    0
}
