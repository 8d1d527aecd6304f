//! echo [-neE] ARGUMENT...: prints its arguments.
#![no_std]
#![no_main]

use userland::io::Output;
use userland::{Arguments, format};

userland::program!(main);

fn main(arguments: Arguments) -> i32 {
    let mut output = Output::standard();
    output.bytes(&format::echo(&arguments.list()));
    output.finish("echo", 0)
}
