//! Starting a program: what its file asks for, and what its stack holds when it begins.
pub mod elf;
pub mod stack;
