//! Builtins about directories and new files: `cd`, `pwd`, `umask`.
use super::operands;
use crate::flow::Outcome;
use crate::shell::Shell;
use userland::sh::Bytes;
use userland::text::{Text, octal};
use userland::{files, io, process};

pub(super) fn change_directory(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    let operands = operands(words);
    let operands = match operands {
        [option, rest @ ..] if option == b"-P" || option == b"-L" => rest,
        operands => operands,
    };
    let mut shows = false;
    let target = match operands.first().map(Bytes::as_slice) {
        None => shell.value(b"HOME"),
        Some(b"-") => {
            shows = true;
            shell.value(b"OLDPWD")
        }
        Some(target) => target.to_vec(),
    };
    let target = if target.is_empty() { b".".to_vec() } else { target };
    if let Err(error) = files::change_directory(&target) {
        shell.complain(format_args!("cd: can't cd to {}: {error}", Text(&target)));
        return Ok(2);
    }
    let before = shell.value(b"PWD");
    let now = files::current_directory().unwrap_or(target);
    if shows {
        io::print(io::STDOUT, format_args!("{}\n", Text(&now)));
    }
    shell.set(b"OLDPWD", before)?;
    shell.set(b"PWD", now)?;
    Ok(0)
}

pub(super) fn print_directory(shell: &mut Shell, _: &[Bytes]) -> Outcome {
    match files::current_directory() {
        Ok(directory) => {
            io::print(io::STDOUT, format_args!("{}\n", Text(&directory)));
            Ok(0)
        }
        Err(error) => {
            shell.complain(format_args!("pwd: {error}"));
            Ok(1)
        }
    }
}

pub(super) fn mask(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    match operands(words).first() {
        None => {
            let mask = process::set_mask(0o022);
            process::set_mask(mask);
            io::print(io::STDOUT, format_args!("{mask:04o}\n"));
            Ok(0)
        }
        Some(word) => match octal(word).filter(|mask| *mask <= 0o777) {
            Some(mask) => {
                process::set_mask(mask);
                Ok(0)
            }
            None => {
                shell.complain(format_args!("umask: {}: bad mask", Text(word)));
                Ok(2)
            }
        },
    }
}
