//! The runtime of the test guests.
#![no_std]
