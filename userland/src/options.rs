//! Options of programs: single letters after `-`, several in one word, `--` ends them.
use crate::text::Text;
use crate::{Arguments, eprintln};
use alloc::vec::Vec;

/// What a program was told.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Options {
    /// The options in the order in which they stand, each with its argument.
    found: Vec<(u8, Option<&'static [u8]>)>,
    /// What is no option.
    pub operands: Vec<&'static [u8]>,
}

impl Options {
    /// Whether `letter` was given.
    #[must_use]
    pub fn has(&self, letter: u8) -> bool {
        self.found.iter().any(|(found, _)| *found == letter)
    }

    /// The argument of `letter`; the last one if it was given more than once.
    #[must_use]
    pub fn value(&self, letter: u8) -> Option<&'static [u8]> {
        let found = self.found.iter().rev().find(|(found, _)| *found == letter);
        found.and_then(|(_, value)| *value)
    }
}

/// Why the arguments make no sense.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// This is no option.
    Unknown(u8),
    /// Options are single letters.
    Word(&'static [u8]),
    /// This option needs an argument.
    NoArgument(u8),
}

/// Sorts arguments by `known`: letters, with a colon behind those that take an argument. Options may follow operands.
///
/// # Errors
/// See [`Error`].
pub fn sort(arguments: &[&'static [u8]], known: &[u8]) -> Result<Options, Error> {
    let mut options = Options::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if *argument == b"--" {
            options.operands.extend(rest.by_ref());
        } else if argument.starts_with(b"--") {
            return Err(Error::Word(argument));
        } else if argument.len() > 1 && argument.starts_with(b"-") {
            let mut letters = argument.get(1..).unwrap_or(&[]);
            while let Some((letter, after)) = letters.split_first() {
                letters = after;
                let place = known
                    .iter()
                    .position(|option| option == letter && *letter != b':');
                let place = place.ok_or(Error::Unknown(*letter))?;
                let mut value = None;
                if known.get(place + 1) == Some(&b':') {
                    value = match letters.is_empty() {
                        true => rest.next().copied(),
                        false => Some(letters),
                    };
                    letters = &[];
                    value.ok_or(Error::NoArgument(*letter))?;
                }
                options.found.push((*letter, value));
            }
        } else {
            options.operands.push(argument);
        }
    }
    Ok(options)
}

/// [`sort`] of a program's arguments; `None` after a message, for an end with code 1 (or what the program has for it).
#[must_use]
pub fn parse(arguments: Arguments, known: &[u8]) -> Option<Options> {
    sort_or_complain(arguments.name(), &arguments.list(), known)
}

/// [`sort`] with a message in the name of `program` if it fails.
#[must_use]
pub fn sort_or_complain(program: &[u8], arguments: &[&'static [u8]], known: &[u8]) -> Option<Options> {
    match sort(arguments, known) {
        Ok(options) => return Some(options),
        Err(Error::Unknown(letter)) => {
            eprintln!("{}: invalid option -- '{}'", Text(program), Text(&[letter]));
        }
        Err(Error::Word(word)) => {
            eprintln!("{}: unrecognized option '{}'", Text(program), Text(word));
        }
        Err(Error::NoArgument(letter)) => {
            eprintln!(
                "{}: option requires an argument -- '{}'",
                Text(program),
                Text(&[letter])
            );
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_stand_anywhere_before_two_dashes() {
        let options = sort(&[b"-ab", b"x", b"-n5", b"-n", b"7", b"-", b"--", b"-c"], b"abn:").unwrap();
        assert!(options.has(b'a') && options.has(b'b') && !options.has(b'c'));
        assert_eq!(options.value(b'n'), Some(b"7".as_slice()));
        assert_eq!(options.operands, [b"x".as_slice(), b"-", b"-c"]);
        assert_eq!(sort(&[b"-x"], b"a"), Err(Error::Unknown(b'x')));
        assert_eq!(sort(&[b"-n"], b"n:"), Err(Error::NoArgument(b'n')));
        assert_eq!(sort(&[b"--help"], b"h"), Err(Error::Word(b"--help")));
        assert_eq!(sort(&[b"-:"], b"n:"), Err(Error::Unknown(b':')));
    }
}
