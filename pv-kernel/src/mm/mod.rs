//! Memory: which frames are free, what a program may touch, and what is mapped.
pub mod area;
pub mod fault;
pub mod frames;
pub mod layout;
pub mod space;
pub mod user_mem;
