//! Builtins that print, test and read: `echo`, `printf`, `test`, `read`.
use super::rest;
use crate::flow::Outcome;
use crate::shell::Shell;
use alloc::vec::Vec;
use userland::expression::{self, Real};
use userland::sh::Bytes;
use userland::sh::is_name;
use userland::sh::read::{Read, assign};
use userland::text::Text;
use userland::{Errno, files, format, io};

fn slices(words: &[Bytes]) -> Vec<&[u8]> {
    words.iter().map(Vec::as_slice).collect()
}

fn print(shell: &Shell, name: &str, text: &[u8], code: i32) -> i32 {
    match files::write_all(io::STDOUT, text) {
        Ok(()) => code,
        Err(error) => {
            shell.complain(format_args!("{name}: write error: {error}"));
            1
        }
    }
}

pub(super) fn echo(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    Ok(print(shell, "echo", &format::echo(&slices(rest(words))), 0))
}

pub(super) fn printf(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    let words = slices(super::operands(words));
    let Some((text, arguments)) = words.split_first() else {
        shell.complain("usage: printf FORMAT [ARGUMENT...]");
        return Ok(2);
    };
    let printed = format::printf(text, arguments);
    for complaint in &printed.complaints {
        shell.complain(format_args!("printf: {complaint}"));
    }
    let code = i32::from(!printed.complaints.is_empty());
    Ok(print(shell, "printf", &printed.output, code))
}

pub(super) fn test(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    let mut arguments = slices(rest(words));
    if words.first().is_some_and(|name| name == b"[") && arguments.pop() != Some(b"]") {
        shell.complain("[: missing ]");
        return Ok(2);
    }
    match expression::evaluate(&arguments, &Real) {
        Ok(result) => Ok(i32::from(!result)),
        Err(message) => {
            shell.complain(format_args!("test: {message}"));
            Ok(2)
        }
    }
}

pub(super) fn read(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    let mut names = rest(words);
    let mut is_raw = false;
    while let Some((option, after)) = names.split_first() {
        match (option.as_slice(), after) {
            (b"-r", _) => {
                is_raw = true;
                names = after;
            }
            (b"-p", [prompt, after @ ..]) => {
                io::print(io::STDERR, format_args!("{}", Text(prompt)));
                names = after;
            }
            _ => break,
        }
    }
    let rest_name = [b"REPLY".to_vec()];
    let names = if names.is_empty() { &rest_name } else { names };
    if let Some(bad) = names.iter().find(|name| !is_name(name)) {
        shell.complain(format_args!("read: {}: bad variable name", Text(bad)));
        return Ok(2);
    }
    let (line, code) = match read_line(shell, is_raw) {
        Some(read) => read,
        None => return shell.check_signals().map(|()| 1),
    };
    let separators = shell
        .variables
        .get(b"IFS")
        .cloned()
        .unwrap_or_else(|| b" \t\n".to_vec());
    let values = assign(&line, &separators, names.len());
    for (name, value) in names.iter().zip(values) {
        shell.set(name, value)?;
    }
    Ok(code)
}

/// A line, and 0, or 1 if it ended without a newline; `None` if a signal came.
fn read_line(shell: &Shell, is_raw: bool) -> Option<(Vec<Read>, i32)> {
    let mut line = Vec::new();
    let mut escaped = false;
    let mut byte = [0];
    loop {
        match files::read(io::STDIN, &mut byte) {
            Ok(1) => {}
            Ok(_) => return Some((line, 1)),
            Err(Errno::EINTR) if userland::signal::any_noted() => return None,
            Err(Errno::EINTR) => continue,
            Err(error) => {
                shell.complain(format_args!("read: {error}"));
                return Some((line, 1));
            }
        }
        match byte[0] {
            b'\n' if escaped => escaped = false,
            b'\n' => return Some((line, 0)),
            b'\\' if !is_raw && !escaped => escaped = true,
            0 => {}
            byte => {
                line.push((byte, escaped));
                escaped = false;
            }
        }
    }
}
