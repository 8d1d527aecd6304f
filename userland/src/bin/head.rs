//! head [-n LINES | -c BYTES] FILE...: the beginning of files, ten lines if nothing else is said.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use userland::files::{File, READ};
use userland::io::{self, Input, Output};
use userland::text::{Text, number};
use userland::{Arguments, Errno, eprintln, options};

userland::program!(main);

#[derive(Clone, Copy)]
enum Much {
    Lines(i64),
    Bytes(i64),
}

fn main(arguments: Arguments) -> i32 {
    let list: Vec<&'static [u8]> = arguments.list();
    // `-5` is short for `-n 5`.
    let short = list
        .first()
        .and_then(|first| first.strip_prefix(b"-"))
        .and_then(number);
    let rest = if short.is_some() {
        list.get(1..).unwrap_or(&[])
    } else {
        &list
    };
    let Some(options) = options::sort_or_complain(b"head", rest, b"n:c:q") else {
        return 1;
    };
    let much = match (options.value(b'n'), options.value(b'c')) {
        (_, Some(bytes)) => number(bytes).map(Much::Bytes),
        (Some(lines), None) => number(lines).map(Much::Lines),
        (None, None) => Some(Much::Lines(short.unwrap_or(10))),
    };
    let Some(much) = much else {
        eprintln!("head: invalid number");
        return 1;
    };
    let mut output = Output::standard();
    let mut code = 0;
    let names = match options.operands.as_slice() {
        [] => &[b"-".as_slice()],
        names => names,
    };
    for (index, name) in names.iter().enumerate() {
        if names.len() > 1 && !options.has(b'q') {
            let gap: &[u8] = if index > 0 { b"\n" } else { b"" };
            output.bytes(&[gap, b"==> ", name, b" <==\n"].concat());
        }
        let shown = match *name {
            b"-" => show(io::STDIN, much, &mut output),
            name => File::open(name, READ).and_then(|file| show(file.fd(), much, &mut output)),
        };
        if let Err(error) = shown {
            eprintln!("head: cannot open '{}': {error}", Text(name));
            code = 1;
        }
    }
    output.finish("head", code)
}

fn show(fd: i32, much: Much, output: &mut Output) -> Result<(), Errno> {
    let mut input = Input::new(fd);
    match much {
        Much::Lines(lines) => {
            for _ in 0..lines {
                match input.line()? {
                    Some(line) => output.bytes(&line),
                    None => break,
                }
            }
        }
        Much::Bytes(bytes) => {
            let mut left = usize::try_from(bytes).unwrap_or(0);
            while left > 0 {
                let piece = input.piece()?;
                if piece.is_empty() {
                    break;
                }
                let count = piece.len().min(left);
                output.bytes(piece.get(..count).unwrap_or(&piece));
                left -= count;
            }
        }
    }
    Ok(())
}
