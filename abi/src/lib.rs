//! What xen-lite, its guests and the tools around them agree on.
//!
//! Everything that two programs share stands here once: the address map, selectors, hypercall numbers,
//! structures, the reasons a guest can be killed for, and the records that `image-builder` packs for the
//! hypervisor. Names, numbers and fields follow Xen's public interface where the meaning is the same.
//!
//! Reading order: [`layout`] and [`selector`] (where things are), [`hypercall`] and [`errno`] (how to ask),
//! [`trap`] (how faults reach a guest kernel), [`mmu`] (page tables), [`sched`], [`console`], [`callback`],
//! [`start_info`] (what a guest finds at boot), [`reason`] (why it was killed), [`boot_image`] (what
//! image-builder hands to the hypervisor), [`stub`] (the hypercall instruction itself).
#![no_std]
#![deny(unsafe_code)]

pub mod boot_image;
pub mod callback;
pub mod console;
pub mod errno;
pub mod hypercall;
pub mod layout;
pub mod mmu;
mod numbered;
pub mod reason;
pub mod sched;
pub mod selector;
pub mod start_info;
pub mod stub;
pub mod trap;
pub mod version;
