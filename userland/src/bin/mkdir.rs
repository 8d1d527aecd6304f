//! mkdir [-p] [-m MODE] DIRECTORY...: makes directories; with -p those above them too, and none need be new.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use userland::text::{Text, octal};
use userland::{Arguments, Errno, eprintln, files, options};

userland::program!(main);

fn main(arguments: Arguments) -> i32 {
    let Some(options) = options::parse(arguments, b"pvm:") else {
        return 1;
    };
    if options.operands.is_empty() {
        eprintln!("mkdir: missing operand");
        return 1;
    }
    let Some(mode) = options.value(b'm').map_or(Some(0o777), octal) else {
        eprintln!("mkdir: invalid mode");
        return 1;
    };
    let mut code = 0;
    for path in &options.operands {
        let made = if options.has(b'p') {
            with_parents(path, mode)
        } else {
            files::make_directory(path, mode)
        };
        if let Err(error) = made {
            eprintln!("mkdir: cannot create directory '{}': {error}", Text(path));
            code = 1;
        }
    }
    code
}

fn with_parents(path: &[u8], mode: u32) -> files::Result<()> {
    let mut made: Vec<u8> = Vec::new();
    for (index, part) in path.split(|byte| *byte == b'/').enumerate() {
        if index > 0 {
            made.push(b'/');
        }
        if part.is_empty() {
            continue;
        }
        made.extend_from_slice(part);
        match files::make_directory(&made, mode) {
            Err(Errno::EEXIST) if files::is_directory(&made) => {}
            result => result?,
        }
    }
    Ok(())
}
