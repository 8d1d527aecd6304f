//! Programs that name their interpreter in their first line: `#!PATH [ARGUMENT]`.
use crate::proc::Program;
use alloc::vec::Vec;

/// Most bytes of the first line, as on Linux.
const LINE_MAX: usize = 256;

/// What the first line of a script says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Script<'h> {
    /// Path of the interpreter.
    pub interpreter: &'h [u8],
    /// All that follows it on the line.
    pub argument: Option<&'h [u8]>,
}

/// Reads a file's beginning; nothing if it is no script.
#[must_use]
pub fn read(head: &[u8]) -> Option<Script<'_>> {
    let line = head.get(..head.len().min(LINE_MAX))?.strip_prefix(b"#!")?;
    let line = line.split(|byte| *byte == b'\n').next()?.trim_ascii();
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t'));
    let (interpreter, argument) = line.split_at_checked(end.unwrap_or(line.len()))?;
    if interpreter.is_empty() {
        return None;
    }
    let argument = argument.trim_ascii();
    Some(Script {
        interpreter,
        argument: (!argument.is_empty()).then_some(argument),
    })
}

impl Script<'_> {
    /// What to run in place of `script`: the interpreter, its argument, the script's path, the script's arguments.
    #[must_use]
    pub fn interpret(&self, script: Program) -> Program {
        let mut arguments = Vec::with_capacity(script.arguments.len() + 2);
        arguments.push(self.interpreter.to_vec());
        arguments.extend(self.argument.map(<[u8]>::to_vec));
        arguments.push(script.path);
        arguments.extend(script.arguments.into_iter().skip(1));
        Program {
            path: self.interpreter.to_vec(),
            arguments,
            environment: script.environment,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_the_interpreter_and_one_argument() {
        let script = |interpreter, argument| {
            Some(Script {
                interpreter,
                argument,
            })
        };
        assert_eq!(read(b"#!/bin/sh\necho"), script(b"/bin/sh", None));
        assert_eq!(read(b"#! /bin/awk  -f x \n"), script(b"/bin/awk", Some(b"-f x")));
        assert_eq!(read(b"#!\n"), None);
        assert_eq!(read(b"\x7fELF"), None);
    }

    #[test]
    fn the_interpreter_gets_the_script_and_its_arguments() {
        let program = Program {
            path: b"/bin/s".to_vec(),
            arguments: vec![b"s".to_vec(), b"x".to_vec()],
            environment: vec![b"A=1".to_vec()],
        };
        let script = read(b"#!/bin/sh -e").unwrap().interpret(program);
        assert_eq!(script.path, b"/bin/sh");
        assert_eq!(script.arguments, [&b"/bin/sh"[..], b"-e", b"/bin/s", b"x"]);
        assert_eq!(script.environment, [b"A=1"]);
    }
}
