//! sh: the shell. What a text means is in the library (`userland::sh`); here it is carried out.
//!
//! `sh [-efimuxs] [FILE [ARGUMENT...]]`, `sh -c TEXT [NAME [ARGUMENT...]]`
#![no_std]
#![no_main]

extern crate alloc;

mod builtins;
mod compound;
mod environment;
mod flow;
mod input;
mod job_control;
mod launch;
mod line;
mod program;
mod redirect;
mod run;
mod shell;
mod signals;
mod simple;

use shell::Shell;
use userland::{Arguments, process};

userland::program!(main);

fn main(arguments: Arguments) -> i32 {
    let mut shell = Shell::new(arguments);
    let code = match program::run(&mut shell, &arguments.list()) {
        Ok(code) => code,
        Err(flow) => flow.code(),
    };
    let code = shell.finish(code);
    process::exit(code)
}
