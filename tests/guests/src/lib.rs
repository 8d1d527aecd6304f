//! Test guests: small kernels on `abi` alone, each of which does one thing to its hypervisor.
//!
//! [`catalogue`] says what the cases of the guest `suite` are and how each must end; the suites of `tests/e2e` read
//! it too. [`command_line`] picks the case of an incarnation. [`codec`] is the store of the guest `pager`.
//! [`fuzz`] says what the guest of that name does, which draws [`lot`]s.
//! The runtime (feature `hw`) is the guests' kernel library.
#![no_std]
#![deny(unsafe_code)]

pub mod catalogue;
pub mod codec;
pub mod command_line;
pub mod fuzz;
pub mod lot;

/// What the guest `spinner` keeps in its registers with `mode=secret`, combined with [`SECRET_MASK`] so that nobody who
/// looks for it holds the value itself.
pub const SECRET_MASKED: u64 = 0x7ea5_0f5e_c2e7_5ca1;
/// See [`SECRET_MASKED`].
pub const SECRET_MASK: u64 = 0x1357_9bdf_0246_8ace;

#[cfg(feature = "hw")]
#[path = "../hw/runtime/mod.rs"]
pub mod runtime;
