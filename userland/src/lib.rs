//! The runtime of ring-3 programs.
#![no_std]
