//! true: succeeds.
#![no_std]
#![no_main]

use userland::Arguments;

userland::program!(main);

fn main(_: Arguments) -> i32 {
    0
}
