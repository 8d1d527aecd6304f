//! Builtins about variables, parameters and options.
use super::{operands, rest};
use crate::flow::{Flow, Outcome};
use crate::shell::Shell;
use alloc::vec::Vec;
use userland::io::Output;
use userland::sh::getopts::{self as options, Found};
use userland::sh::quote;
use userland::sh::{Bytes, is_name};
use userland::text::{Text, number};

/// `NAME=value` or `NAME`.
fn split(word: &[u8]) -> (&[u8], Option<&[u8]>) {
    match word.iter().position(|byte| *byte == b'=') {
        Some(sign) => {
            let (name, value) = word.split_at(sign);
            (name, value.get(1..))
        }
        None => (word, None),
    }
}

/// Whether a variable is to be shown.
type Shows = fn(&userland::sh::variables::Variable) -> bool;

/// Prints variables so that they can be read back.
fn print(shell: &Shell, before: &[u8], shows: Shows) -> Outcome {
    let mut output = Output::standard();
    for (name, variable) in shell.variables.iter().filter(|(_, variable)| shows(variable)) {
        output.bytes(before);
        output.bytes(name);
        if let Some(value) = &variable.value {
            output.bytes(b"=");
            output.bytes(&quote::always(value));
        }
        output.bytes(b"\n");
    }
    Ok(0)
}

/// Sets what `export`, `readonly` and `local` name, after `mark` has been there.
fn declare(
    shell: &mut Shell,
    words: &[Bytes],
    mut before: impl FnMut(&mut Shell, &[u8]) -> Result<(), Flow>,
    after: impl Fn(&mut Shell, &[u8]),
) -> Outcome {
    for word in words {
        let (name, value) = split(word);
        if !is_name(name) {
            shell.complain(format_args!("{}: bad variable name", Text(name)));
            return Err(Flow::Abort(2));
        }
        before(shell, name)?;
        if let Some(value) = value {
            shell.set(name, value.to_vec())?;
        }
        after(shell, name);
    }
    Ok(0)
}

pub(super) fn export(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    match operands(words) {
        [] => print(shell, b"export ", |variable| variable.is_exported),
        [option] if option == b"-p" => print(shell, b"export ", |variable| variable.is_exported),
        names => declare(
            shell,
            names,
            |_, _| Ok(()),
            |shell, name| shell.variables.export(name),
        ),
    }
}

pub(super) fn readonly(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    match operands(words) {
        [] => print(shell, b"readonly ", |variable| variable.is_readonly),
        [option] if option == b"-p" => print(shell, b"readonly ", |variable| variable.is_readonly),
        names => declare(
            shell,
            names,
            |_, _| Ok(()),
            |shell, name| shell.variables.make_readonly(name),
        ),
    }
}

pub(super) fn local(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    let make_local = |shell: &mut Shell, name: &[u8]| {
        shell.variables.make_local(name).map_err(|message| {
            shell.complain(message);
            Flow::Abort(2)
        })
    };
    declare(shell, operands(words), make_local, |_, _| {})
}

pub(super) fn unset(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    let (of_functions, names) = match rest(words) {
        [option, names @ ..] if option == b"-f" => (true, names),
        [option, names @ ..] if option == b"-v" || option == b"--" => (false, names),
        names => (false, names),
    };
    for name in names {
        if of_functions {
            shell.functions.remove(name);
        } else if let Err(message) = shell.variables.unset(name) {
            shell.complain(message);
            return Err(Flow::Abort(2));
        }
    }
    Ok(0)
}

pub(super) fn shift(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    let count = operands(words).first().map_or(Some(1), |word| number(word));
    match count.and_then(|count| usize::try_from(count).ok()) {
        Some(count) if count <= shell.positional.len() => {
            shell.positional.drain(..count);
            Ok(0)
        }
        _ => {
            shell.complain("shift: can't shift that many");
            Err(Flow::Abort(2))
        }
    }
}

/// Options by letter and name, and where each is kept.
const OPTIONS: [(u8, &[u8]); 7] = [
    (b'e', b"errexit"),
    (b'f', b"noglob"),
    (b'i', b"interactive"),
    (b'm', b"monitor"),
    (b'u', b"nounset"),
    (b'x', b"xtrace"),
    (b'b', b"notify"),
];

impl Shell {
    fn option(&mut self, letter: u8) -> Option<&mut bool> {
        Some(match letter {
            b'e' => &mut self.options.exit_on_error,
            b'f' => &mut self.options.no_names,
            b'm' => &mut self.options.monitor,
            b'u' => &mut self.options.refuses_unset,
            b'x' => &mut self.options.traces,
            _ => return None,
        })
    }

    /// Turns an option on or off.
    pub(crate) fn set_option(&mut self, letter: u8, value: bool) -> Result<(), ()> {
        *self.option(letter).ok_or(())? = value;
        Ok(())
    }

    /// `$-`
    pub(crate) fn option_letters(&self) -> Bytes {
        let options = &self.options;
        let all = [
            (b'e', options.exit_on_error),
            (b'f', options.no_names),
            (b'i', options.interactive),
            (b'm', options.monitor),
            (b'u', options.refuses_unset),
            (b'x', options.traces),
        ];
        all.into_iter()
            .filter(|(_, is_on)| *is_on)
            .map(|(letter, _)| letter)
            .collect()
    }
}

pub(super) fn set(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    let mut rest = rest(words);
    if rest.is_empty() {
        return print(shell, b"", |variable| variable.value.is_some());
    }
    while let Some((word, after)) = rest.split_first() {
        let (sign, letters) = match word.split_first() {
            Some((sign @ (b'-' | b'+'), letters)) if !letters.is_empty() => (*sign, letters),
            _ => break,
        };
        rest = after;
        if letters == b"-" {
            shell.positional = rest.to_vec();
            return Ok(0);
        }
        for letter in letters {
            let letter = match (letter, rest.split_first()) {
                (b'o', Some((name, after))) => {
                    rest = after;
                    let known = OPTIONS.iter().find(|(_, known)| known == name);
                    known.map_or(b'?', |(letter, _)| *letter)
                }
                (letter, _) => *letter,
            };
            if letter != b'b' && shell.set_option(letter, sign == b'-').is_err() {
                shell.complain(format_args!("set: illegal option -{}", Text(&[letter])));
                return Err(Flow::Abort(2));
            }
        }
    }
    if !rest.is_empty() {
        shell.positional = rest.to_vec();
    }
    Ok(0)
}

pub(super) fn getopts(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    let [known, name, arguments @ ..] = rest(words) else {
        shell.complain("usage: getopts OPTIONS NAME [ARGUMENT...]");
        return Ok(2);
    };
    let arguments: Vec<Bytes> = match arguments {
        [] => shell.positional.clone(),
        arguments => arguments.to_vec(),
    };
    let mut place = shell.getopts;
    let found = options::next(known, &arguments, &mut place);
    let is_silent = known.starts_with(b":");
    let index = alloc::format!("{}", place.index).into_bytes();
    // Setting OPTIND begins anew; the place in the word is ours to keep.
    shell.set(b"OPTIND", index)?;
    shell.getopts = place;
    let (value, argument) = match found {
        Found::Option(letter, argument) => (letter, argument),
        Found::Unknown(letter) if is_silent => (b'?', Some(Vec::from([letter]))),
        Found::NoArgument(letter) if is_silent => (b':', Some(Vec::from([letter]))),
        Found::Unknown(letter) => {
            shell.complain(format_args!("Illegal option -{}", Text(&[letter])));
            (b'?', None)
        }
        Found::NoArgument(letter) => {
            shell.complain(format_args!("No arg for -{} option", Text(&[letter])));
            (b'?', None)
        }
        Found::End => {
            shell.set(name, b"?".to_vec())?;
            return Ok(1);
        }
    };
    shell.set(name, Vec::from([value]))?;
    match argument {
        Some(argument) => shell.set(b"OPTARG", argument)?,
        None => {
            // It is not read-only, or setting it would have failed before.
            let _ = shell.variables.unset(b"OPTARG");
        }
    }
    Ok(0)
}
