//! The programs run on the host's Linux: the shell beside dash and BusyBox, the tools, the tests of the kernel's interface,
//! for which Linux is the oracle.
mod programs;
mod scripts;
mod terminal;
mod tools;
