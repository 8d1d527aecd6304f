//! `test`: expressions about strings, numbers and files.
use crate::files::{self, Stat};
use crate::terminal;
use crate::text::{Text, number};
use alloc::format;
use alloc::string::String;
use linux_raw_sys::general as raw;

/// What a file test needs to know of the system.
pub trait System {
    /// Whether the unary test `letter` is true of `operand`.
    fn is(&self, letter: u8, operand: &[u8]) -> bool;
    /// Whether the first file is newer (`-nt`), older (`-ot`), the same (`-ef`) as the second.
    fn compare(&self, operator: &[u8], first: &[u8], second: &[u8]) -> bool;
}

/// The system that the program runs on.
#[derive(Clone, Copy, Debug)]
pub struct Real;

impl System for Real {
    fn is(&self, letter: u8, operand: &[u8]) -> bool {
        let of_kind = |kind| files::stat(operand).is_ok_and(|stat| files::is_kind(stat.st_mode, kind));
        let has_mode = |bits| files::stat(operand).is_ok_and(|stat| stat.st_mode & bits != 0);
        match letter {
            b'e' => files::stat(operand).is_ok(),
            b'f' => of_kind(raw::S_IFREG),
            b'd' => of_kind(raw::S_IFDIR),
            b'c' => of_kind(raw::S_IFCHR),
            b'b' => of_kind(raw::S_IFBLK),
            b'p' => of_kind(raw::S_IFIFO),
            b'S' => of_kind(raw::S_IFSOCK),
            b'h' | b'L' => files::lstat(operand).is_ok_and(|stat| files::is_kind(stat.st_mode, raw::S_IFLNK)),
            b's' => files::stat(operand).is_ok_and(|stat| stat.st_size > 0),
            b'r' => files::access(operand, raw::R_OK).is_ok(),
            b'w' => files::access(operand, raw::W_OK).is_ok(),
            b'x' => files::access(operand, raw::X_OK).is_ok(),
            b'u' => has_mode(raw::S_ISUID),
            b'g' => has_mode(raw::S_ISGID),
            b'k' => has_mode(raw::S_ISVTX),
            b't' => {
                let fd = number(operand).and_then(|fd| i32::try_from(fd).ok());
                fd.is_some_and(terminal::is_terminal)
            }
            _ => false,
        }
    }

    fn compare(&self, operator: &[u8], first: &[u8], second: &[u8]) -> bool {
        let time = |stat: &Stat| (stat.st_mtime, stat.st_mtime_nsec);
        match (files::stat(first), files::stat(second)) {
            (Ok(first), Ok(second)) => match operator {
                b"-nt" => time(&first) > time(&second),
                b"-ot" => time(&first) < time(&second),
                _ => (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino),
            },
            (Ok(_), Err(_)) => operator == b"-nt",
            (Err(_), Ok(_)) => operator == b"-ot",
            (Err(_), Err(_)) => false,
        }
    }
}

/// Unary tests of files and strings.
const UNARY: &[u8] = b"bcdefghkLpRrSstuwxnz";
/// Binary operators.
const BINARY: [&[u8]; 13] = [
    b"=", b"==", b"!=", b"<", b">", b"-eq", b"-ne", b"-gt", b"-ge", b"-lt", b"-le", b"-nt", b"-ot",
];
/// How deep expressions may be nested.
const DEPTH: usize = 100;

/// Whether the expression is true; an empty one is false.
///
/// # Errors
/// What to say if it makes no sense.
pub fn evaluate(arguments: &[&[u8]], system: &dyn System) -> Result<bool, String> {
    // What POSIX says of few arguments decides where more would be ambiguous.
    match arguments {
        [] => return Ok(false),
        [only] => return Ok(!only.is_empty()),
        [b"!", only] => return Ok(only.is_empty()),
        [first, operator, second] if is_binary(operator) => return binary(first, operator, second, system),
        [b"!", rest @ ..] if rest.len() == 3 && rest.get(1).is_some_and(|word| is_binary(word)) => {
            return evaluate(rest, system).map(|result| !result);
        }
        _ => {}
    }
    let mut reader = Reader {
        rest: arguments,
        system,
        depth: 0,
    };
    let result = reader.either()?;
    match reader.rest.first() {
        None => Ok(result),
        Some(word) => Err(format!("{}: unexpected operator", Text(word))),
    }
}

fn is_binary(word: &[u8]) -> bool {
    word == b"-ef" || BINARY.contains(&word)
}

struct Reader<'a> {
    rest: &'a [&'a [u8]],
    system: &'a dyn System,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<&'a [u8], String> {
        let (first, rest) = self.rest.split_first().ok_or("argument expected")?;
        self.rest = rest;
        Ok(first)
    }

    fn eat(&mut self, word: &[u8]) -> bool {
        let comes = self.rest.first() == Some(&word);
        if comes {
            self.rest = self.rest.get(1..).unwrap_or(&[]);
        }
        comes
    }

    fn either(&mut self) -> Result<bool, String> {
        if self.depth == DEPTH {
            return Err("nested too deep".into());
        }
        self.depth += 1;
        let mut result = self.both()?;
        while self.eat(b"-o") {
            result |= self.both()?;
        }
        self.depth -= 1;
        Ok(result)
    }

    fn both(&mut self) -> Result<bool, String> {
        let mut result = self.negated()?;
        while self.eat(b"-a") {
            result &= self.negated()?;
        }
        Ok(result)
    }

    fn negated(&mut self) -> Result<bool, String> {
        let mut negations = 0;
        while self.rest.len() > 1 && self.eat(b"!") {
            negations += 1;
        }
        Ok(self.primary()? != (negations % 2 == 1))
    }

    fn primary(&mut self) -> Result<bool, String> {
        let first = self.next()?;
        if let [operator, second, ..] = self.rest
            && is_binary(operator)
        {
            self.rest = self.rest.get(2..).unwrap_or(&[]);
            return binary(first, operator, second, self.system);
        }
        if first == b"(" && !self.rest.is_empty() {
            let result = self.either()?;
            return if self.eat(b")") {
                Ok(result)
            } else {
                Err("closing paren expected".into())
            };
        }
        match first {
            [b'-', letter] if UNARY.contains(letter) && !self.rest.is_empty() => {
                let operand = self.next()?;
                Ok(match letter {
                    b'n' => !operand.is_empty(),
                    b'z' => operand.is_empty(),
                    letter => self.system.is(*letter, operand),
                })
            }
            _ => Ok(!first.is_empty()),
        }
    }
}

fn binary(first: &[u8], operator: &[u8], second: &[u8], system: &dyn System) -> Result<bool, String> {
    let text = match operator {
        b"=" | b"==" => first == second,
        b"!=" => first != second,
        b"<" => first < second,
        b">" => first > second,
        b"-nt" | b"-ot" | b"-ef" => system.compare(operator, first, second),
        _ => {
            let value = |text: &[u8]| {
                number(text.trim_ascii()).ok_or_else(|| format!("Illegal number: {}", Text(text)))
            };
            let (first, second) = (value(first)?, value(second)?);
            match operator {
                b"-eq" => first == second,
                b"-ne" => first != second,
                b"-gt" => first > second,
                b"-ge" => first >= second,
                b"-lt" => first < second,
                _ => first <= second,
            }
        }
    };
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    /// Every file is a directory and the first is newer.
    struct Model;

    impl System for Model {
        fn is(&self, letter: u8, _: &[u8]) -> bool {
            matches!(letter, b'd' | b'e')
        }
        fn compare(&self, operator: &[u8], _: &[u8], _: &[u8]) -> bool {
            operator == b"-nt"
        }
    }

    fn test(text: &str) -> Result<bool, String> {
        let words: Vec<&[u8]> = text.split_whitespace().map(str::as_bytes).collect();
        evaluate(&words, &Model)
    }

    #[test]
    fn expressions_are_read_as_posix_has_them() {
        for (text, expected) in [
            ("", false),
            ("a", true),
            ("-n", true),
            ("! a", false),
            ("-d /", true),
            ("-f /", false),
            ("a = a", true),
            ("! = !", true),
            ("! a = b", true),
            ("-z = -z", true),
            ("1 -lt 2 -a 3 -ge 3", true),
            ("1 -gt 2 -o a = a", true),
            ("( a = b ) -o ! ( 1 -eq 2 )", true),
            ("a -nt b", true),
            ("-e x -a -n y", true),
        ] {
            assert_eq!(test(text), Ok(expected), "{text}");
        }
        for bad in ["1 -eq x", "a b", "( a", "a = b c", &"( ".repeat(5000)] {
            assert!(test(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_expression_panics(words: Vec<proptest::sample::Index>) {
            let known = ["!", "(", ")", "-a", "-o", "-n", "-z", "=", "-eq", "1", "x", "-d", ""];
            let words: Vec<&[u8]> = words.iter().map(|index| index.get(&known).as_bytes()).collect();
            let _ = evaluate(&words, &Model);
        }
    }
}
