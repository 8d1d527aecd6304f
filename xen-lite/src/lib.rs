#![doc = include_str!("../README.md")]
//!
//! # This library
//! The decisions: everything that can be decided without touching the machine. It has no `unsafe`, runs on any host and is
//! tested there; `hw/` is the machine, and calls it. Imports point down the list of modules.
#![cfg_attr(not(any(test, feature = "fuzzing")), no_std)]
#![forbid(unsafe_code)]

pub mod addr;
pub mod boot_image;
pub mod console;
pub mod crash;
pub mod descriptor;
pub mod domain;
pub mod elf;
pub mod event;
pub mod guest_mem;
pub mod hypercall;
pub mod paging;
pub mod platform;
pub mod record;
pub mod recorder;
pub mod sched;
pub mod switcher;
pub mod trap;
pub mod upcall;
pub mod vcpu;
pub mod wall_clock;

#[cfg(any(test, feature = "fuzzing"))]
#[cfg_attr(
    not(test),
    allow(dead_code, reason = "a fuzzer needs less of it than the tests do")
)]
pub mod testing;
