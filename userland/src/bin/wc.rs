//! wc [-lwc] FILE...: counts lines, words and bytes.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::fmt::Write;
use userland::files::{File, READ};
use userland::io::{self, Input, Output};
use userland::options::Options;
use userland::text::Text;
use userland::{Arguments, Errno, eprintln, options};

userland::program!(main);

/// Lines, words, bytes.
type Counts = [u64; 3];

fn main(arguments: Arguments) -> i32 {
    let Some(options) = options::parse(arguments, b"lwcm") else {
        return 1;
    };
    let mut output = Output::standard();
    let mut code = 0;
    let mut rows: Vec<(Counts, &[u8])> = Vec::new();
    let names = match options.operands.as_slice() {
        [] => &[b"".as_slice()],
        names => names,
    };
    for name in names {
        let counted = match *name {
            b"" | b"-" => count(io::STDIN),
            name => File::open(name, READ).and_then(|file| count(file.fd())),
        };
        match counted {
            Ok(counts) => rows.push((counts, name)),
            Err(error) => {
                eprintln!("wc: {}: {error}", Text(name));
                code = 1;
            }
        }
    }
    if names.len() > 1 {
        let total = rows.iter().fold([0; 3], |sum, (counts, _)| {
            core::array::from_fn(|index| sum[index] + counts[index])
        });
        rows.push((total, b"total"));
    }
    let one_column = shown(&options).iter().filter(|is_shown| **is_shown).count() == 1;
    let largest = rows
        .iter()
        .flat_map(|(counts, _)| counts)
        .copied()
        .max()
        .unwrap_or(0);
    let width = match (one_column && rows.len() == 1, options.operands.is_empty()) {
        (true, _) => 1,
        (false, true) => 7,
        (false, false) => alloc::format!("{largest}").len(),
    };
    for (counts, name) in rows {
        print(&mut output, shown(&options), width, counts, name);
    }
    output.finish("wc", code)
}

/// Which columns are shown: all three if none was asked for.
fn shown(options: &Options) -> [bool; 3] {
    let asked = [
        options.has(b'l'),
        options.has(b'w'),
        options.has(b'c') || options.has(b'm'),
    ];
    if asked == [false; 3] { [true; 3] } else { asked }
}

fn print(output: &mut Output, shown: [bool; 3], width: usize, counts: Counts, name: &[u8]) {
    let mut separator = "";
    for (count, _) in counts.iter().zip(shown).filter(|(_, is_shown)| *is_shown) {
        // The output takes everything.
        let _ = write!(output, "{separator}{count:width$}");
        separator = " ";
    }
    if !name.is_empty() {
        output.bytes(b" ");
        output.bytes(name);
    }
    output.bytes(b"\n");
}

fn count(fd: i32) -> Result<Counts, Errno> {
    let mut input = Input::new(fd);
    let [mut lines, mut words, mut bytes] = [0; 3];
    let mut in_word = false;
    loop {
        let piece = input.piece()?;
        if piece.is_empty() {
            return Ok([lines, words, bytes]);
        }
        for byte in &piece {
            lines += u64::from(*byte == b'\n');
            let is_blank = matches!(byte, b' ' | 9..=13);
            words += u64::from(!is_blank && !in_word);
            in_word = !is_blank;
        }
        bytes += piece.len() as u64;
    }
}
