//! uname [-asnrvm]: the system's names.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::ffi::c_char;
use userland::io::Output;
use userland::{Arguments, eprintln, options, process};

userland::program!(main);

fn main(arguments: Arguments) -> i32 {
    let Some(options) = options::parse(arguments, b"asnrvm") else {
        return 1;
    };
    let names = match process::system_names() {
        Ok(names) => names,
        Err(error) => {
            eprintln!("uname: {error}");
            return 1;
        }
    };
    let all = [
        (b's', names.sysname),
        (b'n', names.nodename),
        (b'r', names.release),
        (b'v', names.version),
        (b'm', names.machine),
    ];
    let mut shown: Vec<Vec<u8>> = all
        .iter()
        .filter(|(letter, _)| options.has(*letter) || options.has(b'a'))
        .map(|(_, name)| text(name))
        .collect();
    if shown.is_empty() {
        shown.push(text(&names.sysname));
    }
    let mut output = Output::standard();
    output.line(&shown.join(b" ".as_slice()));
    output.finish("uname", 0)
}

fn text(name: &[c_char]) -> Vec<u8> {
    name.iter()
        .map(|letter| *letter as u8)
        .take_while(|letter| *letter != 0)
        .collect()
}
