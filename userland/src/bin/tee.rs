//! tee [-a] FILE...: copies standard input to standard output and to files.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use userland::files::{self, APPEND, CREATE, File};
use userland::io::{self, Input};
use userland::text::Text;
use userland::{Arguments, eprintln, options};

userland::program!(main);

fn main(arguments: Arguments) -> i32 {
    let Some(options) = options::parse(arguments, b"ai") else {
        return 1;
    };
    let flags = if options.has(b'a') { APPEND } else { CREATE };
    let mut code = 0;
    let mut outputs: Vec<(&[u8], i32)> = Vec::from([(b"standard output".as_slice(), io::STDOUT)]);
    let mut open = Vec::new();
    for name in &options.operands {
        match File::open(name, flags) {
            Ok(file) => {
                outputs.push((name, file.fd()));
                open.push(file);
            }
            Err(error) => {
                eprintln!("tee: {}: {error}", Text(name));
                code = 1;
            }
        }
    }
    let mut input = Input::new(io::STDIN);
    loop {
        let piece = match input.piece() {
            Ok(piece) if piece.is_empty() => return code,
            Ok(piece) => piece,
            Err(error) => {
                eprintln!("tee: read error: {error}");
                return 1;
            }
        };
        for (name, fd) in &outputs {
            if let Err(error) = files::write_all(*fd, &piece) {
                eprintln!("tee: {}: {error}", Text(name));
                code = 1;
            }
        }
    }
}
