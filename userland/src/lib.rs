#![doc = include_str!("../README.md")]
#![no_std]

pub mod arguments;
pub mod io;
#[cfg(feature = "hw")]
mod start;
pub mod sys;

pub use arguments::Arguments;

/// Names the program's main function, a `fn(Arguments) -> i32`; what it returns is the exit code.
#[macro_export]
macro_rules! program {
    ($main:path) => {
        #[unsafe(no_mangle)]
        extern "Rust" fn userland_main(arguments: $crate::Arguments) -> i32 {
            $main(arguments)
        }
    };
}
