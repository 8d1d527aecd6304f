//! The decisions of pv-kernel: everything that can be decided without touching the machine.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
