//! test EXPRESSION, [ EXPRESSION ]: whether it is true.
#![no_std]
#![no_main]

use userland::expression::{self, Real};
use userland::{Arguments, eprintln};

userland::program!(main);

fn main(arguments: Arguments) -> i32 {
    let mut list = arguments.list();
    if arguments.name() == b"[" && list.pop() != Some(b"]") {
        eprintln!("[: missing ]");
        return 2;
    }
    match expression::evaluate(&list, &Real) {
        Ok(result) => i32::from(!result),
        Err(message) => {
            eprintln!("test: {message}");
            2
        }
    }
}
