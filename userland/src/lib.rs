#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod arguments;
pub mod columns;
pub mod dates;
pub mod directory;
pub mod errno;
pub mod expression;
pub mod files;
pub mod format;
#[cfg(feature = "hw")]
mod heap;
pub mod io;
pub mod options;
pub mod pattern;
pub mod process;
pub mod procfs;
pub mod regex;
pub mod sh;
pub mod signal;
#[cfg(feature = "hw")]
mod start;
pub mod sys;
pub mod terminal;
pub mod text;
pub mod time;
pub mod walk;

pub use arguments::Arguments;
pub use errno::Errno;

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
