//! env [-i] [NAME=VALUE...] [PROGRAM ARGUMENT...]: runs a program in a changed environment, or prints that.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::ffi::CString;
use alloc::vec::Vec;
use userland::files::{access, join};
use userland::io::Output;
use userland::text::Text;
use userland::{Arguments, Errno, eprintln, process};

userland::program!(main);

fn main(arguments: Arguments) -> i32 {
    let list = arguments.list();
    let mut rest = list.as_slice();
    let mut environment: Vec<&[u8]> = arguments.environment().collect();
    if let [b"-i" | b"-", after @ ..] = rest {
        environment.clear();
        rest = after;
    }
    while let [setting, after @ ..] = rest
        && let Some(sign) = setting.iter().position(|byte| *byte == b'=')
    {
        let name = setting.get(..=sign).unwrap_or(setting);
        environment.retain(|entry| !entry.starts_with(name));
        environment.push(setting);
        rest = after;
    }
    let Some(name) = rest.first() else {
        let mut output = Output::standard();
        environment.iter().for_each(|entry| output.line(entry));
        return output.finish("env", 0);
    };
    let error = run(name, &strings(rest), &strings(&environment), &environment);
    eprintln!("env: '{}': {error}", Text(name));
    if error == Errno::ENOENT { 127 } else { 126 }
}

/// Arguments and settings hold no NUL: they came as strings that end in one.
fn strings(slices: &[&[u8]]) -> Vec<CString> {
    slices
        .iter()
        .map(|slice| CString::new(*slice).unwrap_or_default())
        .collect()
}

fn run(name: &[u8], arguments: &[CString], environment: &[CString], entries: &[&[u8]]) -> Errno {
    if name.contains(&b'/') {
        return process::execute(name, arguments, environment);
    }
    let path = entries
        .iter()
        .find_map(|entry| entry.strip_prefix(b"PATH="))
        .unwrap_or(b"/bin:/usr/bin");
    let mut error = Errno::ENOENT;
    for directory in path.split(|byte| *byte == b':') {
        let candidate = join(directory, name);
        if access(&candidate, 0).is_ok() {
            error = process::execute(&candidate, arguments, environment);
        }
    }
    error
}
