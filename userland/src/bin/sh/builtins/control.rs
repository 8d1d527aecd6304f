//! Builtins that change where the shell goes: loops, functions, `eval`, `exec`, `exit`, `trap`.
use super::{operands, rest};
use crate::flow::{Flow, Outcome};
use crate::shell::Shell;
use alloc::vec::Vec;
use userland::sh::Bytes;
use userland::sh::quote;
use userland::signal::{self, Action};
use userland::text::{Text, number};
use userland::{Errno, files, io};

/// The number that a word is, or what stands for none.
fn count(shell: &Shell, words: &[Bytes], otherwise: i64) -> Result<i64, Flow> {
    match operands(words).first() {
        None => Ok(otherwise),
        Some(word) => number(word).filter(|number| *number >= 0).ok_or_else(|| {
            shell.complain(format_args!("Illegal number: {}", Text(word)));
            Flow::Abort(2)
        }),
    }
}

/// Loops to leave: at most those that there are.
fn levels(shell: &Shell, words: &[Bytes]) -> Result<usize, Flow> {
    let levels = count(shell, words, 1)?.max(1);
    Ok(usize::try_from(levels).unwrap_or(usize::MAX).min(shell.loops))
}

pub(super) fn leave_loop(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    match levels(shell, words)? {
        0 => Ok(0),
        levels => Err(Flow::Break(levels)),
    }
}

pub(super) fn continue_loop(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    match levels(shell, words)? {
        0 => Ok(0),
        levels => Err(Flow::Continue(levels)),
    }
}

/// The status that `exit` and `return` give, as a program's code.
fn code(shell: &Shell, words: &[Bytes]) -> Result<i32, Flow> {
    Ok((count(shell, words, shell.status.into())? & 0xff) as i32)
}

pub(super) fn leave_function(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    Err(Flow::Return(code(shell, words)?))
}

pub(super) fn exit(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    let code = code(shell, words)?;
    if shell.may_end() {
        Err(Flow::Exit(code))
    } else {
        Ok(1)
    }
}

pub(super) fn eval(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    let text = rest(words).join(b" ".as_slice());
    let line = shell.line;
    shell.status = 0;
    shell.text(&text, line)
}

pub(super) fn source(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    let Some(name) = operands(words).first() else {
        shell.complain(".: filename argument required");
        return Err(Flow::Abort(2));
    };
    let candidates: Vec<Bytes> = match name.contains(&b'/') {
        true => Vec::from([name.clone()]),
        false => {
            let path = shell.value(b"PATH");
            let directories = path.split(|byte| *byte == b':');
            directories
                .map(|directory| files::join(directory, name))
                .chain([name.clone()])
                .collect()
        }
    };
    let found = candidates
        .iter()
        .map(|path| files::content(path))
        .find(Result::is_ok);
    match found.unwrap_or(Err(Errno::ENOENT)) {
        Ok(text) => match shell.text(&text, 1) {
            Err(Flow::Return(code)) => Ok(code),
            outcome => outcome,
        },
        Err(error) => {
            shell.complain(format_args!(".: can't open '{}': {error}", Text(name)));
            Err(Flow::Abort(2))
        }
    }
}

pub(super) fn exec(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    let program = operands(words);
    if program.is_empty() {
        return Ok(0);
    }
    let was_interactive = shell.options.interactive;
    if was_interactive {
        shell.enter_subshell();
    }
    Err(Flow::Exit(shell.execute(program)))
}

pub(super) fn trap(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    let words = operands(words);
    let Some((command, conditions)) = words.split_first() else {
        for (number, command) in &shell.traps {
            let name = if *number == 0 {
                "EXIT"
            } else {
                signal::name(*number).unwrap_or("?")
            };
            io::print(
                io::STDOUT,
                format_args!("trap -- {} {name}\n", Text(&quote::always(command))),
            );
        }
        return Ok(0);
    };
    // Without a command, or with `-`, signals do again what they do by themselves.
    let (command, conditions) = match number(command) {
        Some(_) => (b"-".to_vec(), words),
        None if conditions.is_empty() => (b"-".to_vec(), words),
        None => (command.clone(), conditions),
    };
    let mut code = 0;
    for condition in conditions {
        let number = if condition == b"EXIT" {
            Some(0)
        } else {
            signal::parse(condition)
        };
        let Some(number) = number else {
            shell.complain(format_args!("trap: {}: bad trap", Text(condition)));
            code = 1;
            continue;
        };
        let action = match command.as_slice() {
            b"-" => {
                shell.traps.remove(&number);
                Action::Default
            }
            command => {
                shell.traps.insert(number, command.to_vec());
                if command.is_empty() {
                    Action::Ignore
                } else {
                    Action::Note
                }
            }
        };
        let keeps_noting = shell.options.interactive && number == signal::SIGINT && action == Action::Default;
        if number != 0 && !keeps_noting {
            // SIGKILL and SIGSTOP cannot be set, which nobody is told in other shells either.
            let _ = signal::set(number, action);
        }
    }
    Ok(code)
}
