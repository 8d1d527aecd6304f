//! usertests
#![no_std]
#![no_main]
userland::program!(main);
fn main(_: userland::Arguments) -> i32 {
    0
}
