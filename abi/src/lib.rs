#![doc = include_str!("../README.md")]
//!
//! # This crate
//! Everything above stands here once, for Rust: what two programs share has one number in one place, and xen-lite, its
//! guests and the tools around them take it from here. `include/xen-lite.h`, for guests in C and assembly, is written
//! from here too: `cargo run -p abi --example c-header`, and a test says when that has to be done.
//!
//! Reading order: [`layout`] and [`selector`] (where things are), [`hypercall`] and [`errno`] (how to ask),
//! [`trap`] (how faults reach a guest kernel), [`mmu`] (page tables), [`sched`], [`console`], [`callback`], [`version`],
//! [`start_info`] (what a guest finds at boot), [`reason`] (why it was killed), [`boot_image`] (what image-builder hands
//! to the hypervisor) with [`symbols`] (the names of functions), [`stub`] (the hypercall instruction itself).
#![no_std]
#![deny(unsafe_code)]

pub mod boot_image;
pub mod callback;
pub mod console;
pub mod errno;
pub mod event;
pub mod hypercall;
pub mod layout;
pub mod memory;
pub mod mmu;
pub mod multicall;
mod numbered;
pub mod reason;
pub mod sched;
pub mod selector;
pub mod start_info;
pub mod stub;
pub mod symbols;
pub mod time;
pub mod trap;
pub mod version;
