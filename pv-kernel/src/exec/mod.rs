//! Starting a program: its file, and what is on its stack.
pub mod elf;
pub mod script;
pub mod stack;
