//! tail [-n LINES | -c BYTES] FILE...: the end of files, ten lines if nothing else is said; `+N` is from there on.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use userland::files::{File, READ};
use userland::io::{self, Output};
use userland::text::{Text, number};
use userland::{Arguments, Errno, eprintln, files, options};

userland::program!(main);

/// How much, and from where it is counted.
#[derive(Clone, Copy)]
enum Much {
    LastLines(usize),
    LastBytes(usize),
    FromLine(usize),
    FromByte(usize),
}

fn main(arguments: Arguments) -> i32 {
    let list: Vec<&'static [u8]> = arguments.list();
    let short = list
        .first()
        .and_then(|first| first.strip_prefix(b"-"))
        .and_then(number);
    let rest = if short.is_some() {
        list.get(1..).unwrap_or(&[])
    } else {
        &list
    };
    let Some(options) = options::sort_or_complain(b"tail", rest, b"n:c:q") else {
        return 1;
    };
    let count = |text: &[u8]| number(text).and_then(|count| usize::try_from(count.unsigned_abs()).ok());
    let much = match (options.value(b'n'), options.value(b'c')) {
        (_, Some(text)) if text.starts_with(b"+") => count(text).map(Much::FromByte),
        (_, Some(text)) => count(text).map(Much::LastBytes),
        (Some(text), None) if text.starts_with(b"+") => count(text).map(Much::FromLine),
        (Some(text), None) => count(text).map(Much::LastLines),
        (None, None) => Some(Much::LastLines(
            short.map_or(10, |short| short.unsigned_abs() as usize),
        )),
    };
    let Some(much) = much else {
        eprintln!("tail: invalid number");
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
        let content: Result<_, Errno> = match *name {
            b"-" => files::read_to_end(io::STDIN),
            name => File::open(name, READ).and_then(|file| files::read_to_end(file.fd())),
        };
        match content {
            Ok(content) => output.bytes(part(&content, much)),
            Err(error) => {
                eprintln!("tail: cannot open '{}': {error}", Text(name));
                code = 1;
            }
        }
    }
    output.finish("tail", code)
}

fn part(content: &[u8], much: Much) -> &[u8] {
    let start = match much {
        Much::LastBytes(count) => content.len().saturating_sub(count),
        Much::FromByte(first) => first.saturating_sub(1),
        Much::LastLines(0) => content.len(),
        Much::LastLines(count) => {
            let body = content.strip_suffix(b"\n").unwrap_or(content);
            let mut ends = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
            ends.nth(count - 1).map_or(0, |(end, _)| end + 1)
        }
        Much::FromLine(0 | 1) => 0,
        Much::FromLine(first) => {
            let mut ends = content.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
            ends.nth(first - 2).map_or(content.len(), |(end, _)| end + 1)
        }
    };
    content.get(start..).unwrap_or(&[])
}
