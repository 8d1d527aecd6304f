//! sort [-nru] FILE...: lines in order, by bytes or (-n) by the number at their beginning; -r backwards, -u each once.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::cmp::Ordering;
use userland::files::{File, READ};
use userland::io::{self, Input, Output, without_newline};
use userland::text::Text;
use userland::{Arguments, Errno, eprintln, options};

userland::program!(main);

fn main(arguments: Arguments) -> i32 {
    let Some(options) = options::parse(arguments, b"nru") else {
        return 2;
    };
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let names = match options.operands.as_slice() {
        [] => &[b"-".as_slice()],
        names => names,
    };
    for name in names {
        let read = match *name {
            b"-" => gather(io::STDIN, &mut lines),
            name => File::open(name, READ).and_then(|file| gather(file.fd(), &mut lines)),
        };
        if let Err(error) = read {
            eprintln!("sort: cannot read: {}: {error}", Text(name));
            return 2;
        }
    }
    let by_number = options.has(b'n');
    let compare = |one: &Vec<u8>, other: &Vec<u8>| match by_number {
        true => compare_numbers(one, other),
        false => one.cmp(other),
    };
    // Lines that are the same number are in the order of their bytes, unless each is wanted once.
    lines.sort_by(|one, other| match (compare(one, other), options.has(b'u')) {
        (Ordering::Equal, false) => one.cmp(other),
        (order, _) => order,
    });
    if options.has(b'u') {
        lines.dedup_by(|one, other| compare(one, other) == Ordering::Equal);
    }
    if options.has(b'r') {
        lines.reverse();
    }
    let mut output = Output::standard();
    lines.iter().for_each(|line| output.line(line));
    output.finish("sort", 0)
}

fn gather(fd: i32, lines: &mut Vec<Vec<u8>>) -> Result<(), Errno> {
    let mut input = Input::new(fd);
    while let Some(line) = input.line()? {
        lines.push(without_newline(&line).to_vec());
    }
    Ok(())
}

/// A number's sign, whole digits without leading zeros, and fraction without trailing ones: of any length.
fn parts(line: &[u8]) -> (bool, &[u8], &[u8]) {
    let line = line.trim_ascii_start();
    let (is_negative, line) = match line.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let count = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (whole, rest) = line.split_at(count(line));
    let fraction = rest
        .strip_prefix(b".")
        .map_or(b"".as_slice(), |rest| rest.split_at(count(rest)).0);
    let zeros = whole.iter().take_while(|byte| **byte == b'0').count();
    let kept = fraction
        .iter()
        .rposition(|byte| *byte != b'0')
        .map_or(0, |last| last + 1);
    let (whole, fraction) = (
        whole.get(zeros..).unwrap_or(&[]),
        fraction.get(..kept).unwrap_or(&[]),
    );
    (
        is_negative && !(whole.is_empty() && fraction.is_empty()),
        whole,
        fraction,
    )
}

fn compare_numbers(one: &[u8], other: &[u8]) -> Ordering {
    let (one_negative, one_whole, one_fraction) = parts(one);
    let (other_negative, other_whole, other_fraction) = parts(other);
    let sizes = one_whole.len().cmp(&other_whole.len());
    let sizes = sizes
        .then_with(|| one_whole.cmp(other_whole))
        .then_with(|| one_fraction.cmp(other_fraction));
    match (one_negative, other_negative) {
        (false, false) => sizes,
        (true, true) => sizes.reverse(),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    }
}
