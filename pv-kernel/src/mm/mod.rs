//! Memory: which frames are free, what a program may touch, and what is mapped.
pub mod area;
mod batch;
pub mod fault;
mod fork;
pub mod frames;
pub mod layout;
pub mod program_file;
pub mod space;
pub mod user_mem;
