#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod addr;
pub mod archive;
mod balloon;
pub mod cause;
pub mod context;
pub mod errno;
pub mod exec;
pub mod fs;
pub mod kernel;
pub mod machine;
pub mod mm;
pub mod options;
pub mod proc;
pub mod programs;
pub mod resident;
pub mod run;
pub mod schedule;
pub mod signal;
pub mod syscall;
pub mod trap;
pub mod tty;
pub mod wait;

#[cfg(test)]
mod model;
