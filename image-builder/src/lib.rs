#![doc = include_str!("../README.md")]
//!
//! # The modules
//!
//! Reading order: [`manifest`] (what a scene is), [`toolchain`], [`bare_metal`] and [`c_kernel`] (building), [`pack`], [`records`],
//! [`archive`], [`elf`] and [`symbols`] (what goes on the disk), [`grub`] and [`image`] (the disk), [`qemu`], [`bochs`] and
//! [`emulator`] (running), [`dialogue`] (somebody who types what the console asks for), [`console`], [`annotate`],
//! [`source_lines`], [`machine_line`] and [`verdict`] (what was said, and what it means), [`scene`] (all of it in one),
//! [`cases`] (scenes of bad guests), [`cli`] and [`cmd`] (the commands). Below stand [`setup`] (other people's programs),
//! [`workspace`] (where things are) and [`similar`] (names that were mistyped).
#![forbid(unsafe_code)]

pub mod annotate;
pub mod archive;
pub mod bare_metal;
pub mod bochs;
pub mod c_kernel;
pub mod cases;
pub mod cli;
pub mod cmd;
pub mod console;
pub mod dialogue;
pub mod elf;
pub mod emulator;
pub mod grub;
pub mod image;
pub mod machine_line;
pub mod manifest;
pub mod pack;
pub mod qemu;
pub mod records;
pub mod scene;
pub mod setup;
pub mod similar;
pub mod source_lines;
pub mod symbols;
pub mod toolchain;
pub mod verdict;
pub mod workspace;
