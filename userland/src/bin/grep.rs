//! grep [-FEvicnqhHslx] [-e] PATTERN FILE...: the lines in which a basic regular expression (-E: an extended one; -F: a
//! text) occurs. The code is 0 if there is one, 1 if there is none, 2 after an error.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::vec::Vec;
use userland::files::{File, READ};
use userland::io::{self, Input, Output, without_newline};
use userland::options::Options;
use userland::regex::{Case, Regex, Syntax};
use userland::text::Text;
use userland::{Arguments, Errno, eprintln, options};

userland::program!(main);

fn main(arguments: Arguments) -> i32 {
    let Some(mut options) = options::parse(arguments, b"FEGvicnqhHslxe:") else {
        return 2;
    };
    let text = match options.value(b'e') {
        Some(text) => text,
        None if options.operands.is_empty() => {
            eprintln!("usage: grep [-FEvicnqhHslx] [-e] PATTERN FILE...");
            return 2;
        }
        None => options.operands.remove(0),
    };
    let case = if options.has(b'i') {
        Case::Ignored
    } else {
        Case::Sensitive
    };
    // Each line of the pattern is one.
    let regexes: Result<Vec<_>, _> = text
        .split(|byte| *byte == b'\n')
        .map(|text| read(&options, text, case))
        .collect();
    let regexes = match regexes {
        Ok(regexes) => regexes,
        Err(message) => {
            eprintln!("grep: {message}");
            return 2;
        }
    };
    let names = match options.operands.as_slice() {
        [] => Vec::from([b"-".as_slice()]),
        names => names.to_vec(),
    };
    let shows_names = options.has(b'H') || names.len() > 1 && !options.has(b'h');
    let mut output = Output::standard();
    let (mut found, mut failed) = (false, false);
    for name in names {
        let prefix = if shows_names {
            format!("{}:", Text(name))
        } else {
            alloc::string::String::new()
        };
        let searched = match name {
            b"-" => search(
                io::STDIN,
                b"(standard input)",
                &prefix,
                &regexes,
                &options,
                &mut output,
            ),
            name => File::open(name, READ)
                .and_then(|file| search(file.fd(), name, &prefix, &regexes, &options, &mut output)),
        };
        match searched {
            Ok(here) => found |= here,
            Err(error) => {
                if !options.has(b's') {
                    eprintln!("grep: {}: {error}", Text(name));
                }
                failed = true;
            }
        }
        if found && options.has(b'q') {
            return 0;
        }
    }
    let code = if failed { 2 } else { i32::from(!found) };
    output.finish("grep", code)
}

fn read(options: &Options, text: &[u8], case: Case) -> Result<Regex, alloc::string::String> {
    let basic = |text: &[u8]| Regex::new(text, Syntax::Basic, case);
    let extended = |text: &[u8]| Regex::new(text, Syntax::Extended, case);
    match (options.has(b'F'), options.has(b'E'), options.has(b'x')) {
        (true, _, false) => Regex::fixed(text, case),
        (true, _, true) => {
            let escaped: Vec<u8> = text.iter().flat_map(|byte| escape(*byte)).collect();
            basic(&[b"^", escaped.as_slice(), b"$"].concat())
        }
        (false, true, true) => extended(&[b"^(", text, b")$"].concat()),
        (false, true, false) => extended(text),
        (false, false, true) => basic(&[b"^\\(", text, b"\\)$"].concat()),
        (false, false, false) => basic(text),
    }
}

fn escape(byte: u8) -> Vec<u8> {
    match byte {
        b'.' | b'*' | b'[' | b'^' | b'$' | b'\\' => Vec::from([b'\\', byte]),
        byte => Vec::from([byte]),
    }
}

fn search(
    fd: i32,
    name: &[u8],
    prefix: &str,
    regexes: &[Regex],
    options: &Options,
    output: &mut Output,
) -> Result<bool, Errno> {
    let mut input = Input::new(fd);
    let mut count = 0u64;
    let mut number = 0u64;
    let (quiet, counts, lists) = (options.has(b'q'), options.has(b'c'), options.has(b'l'));
    while let Some(line) = input.line()? {
        let line = without_newline(&line);
        number += 1;
        if regexes.iter().any(|regex| regex.occurs_in(line)) == options.has(b'v') {
            continue;
        }
        count += 1;
        if quiet || lists {
            break;
        }
        if !counts {
            output.bytes(prefix.as_bytes());
            if options.has(b'n') {
                output.bytes(format!("{number}:").as_bytes());
            }
            output.line(line);
        }
    }
    if lists && count > 0 && !quiet {
        output.line(name);
    } else if counts && !quiet {
        output.line(format!("{prefix}{count}").as_bytes());
    }
    Ok(count > 0)
}
