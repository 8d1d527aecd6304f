//! pv-kernel in ring 1: the machine under the decisions of the library. All of it is resident.
#![no_std]
#![no_main]

extern crate alloc;

mod balloon;
mod boot;
mod clock;
mod entry;
mod events;
mod heap;
mod machine;
mod pager;
mod panic;
mod stack;
mod tables;
mod traps;
mod vector_state;
