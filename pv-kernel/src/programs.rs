//! The list of what to run: `etc/programs`, one command a line, its arguments separated by NUL.
use alloc::vec::Vec;

/// Name of the list in the archive.
pub const LIST: &[u8] = b"etc/programs";
/// Most bytes of the arguments of one command, so that they fit the kernel's heap.
pub const MAX_COMMAND: usize = 16 * 1024;
/// Most arguments of one command, its name included.
pub const MAX_ARGUMENTS: usize = 256;

/// What is wrong with a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// A line, counted from 1, whose command has no name.
    NoName(usize),
    /// A line, counted from 1, that is too long or has too many arguments.
    TooLong(usize),
    /// There is no command at all.
    Empty,
}

impl core::fmt::Display for Malformed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoName(line) => write!(f, "line {line} names no program"),
            Self::TooLong(line) => write!(f, "line {line} is too long"),
            Self::Empty => f.write_str("no program in it"),
        }
    }
}

/// Checks a whole list.
///
/// # Errors
/// [`Malformed`].
pub fn check(list: &[u8]) -> Result<(), Malformed> {
    let mut any = false;
    for (number, line) in (1..).zip(lines(list)) {
        any = true;
        if line.len() > MAX_COMMAND || line.split(|byte| *byte == 0).count() > MAX_ARGUMENTS {
            return Err(Malformed::TooLong(number));
        }
        if line.first().is_none_or(|byte| *byte == 0) {
            return Err(Malformed::NoName(number));
        }
    }
    if any { Ok(()) } else { Err(Malformed::Empty) }
}

/// The commands of a list, each with its arguments; the first is the program's name.
pub fn commands(list: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    lines(list).map(|line| line.split(|byte| *byte == 0).collect())
}

fn lines(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let body = list.strip_suffix(b"\n").unwrap_or(list);
    let lines = body.split(|byte| *byte == b'\n');
    lines.filter(move |_| !body.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_command_and_nul_separates_its_arguments() {
        let list = b"echo\0hello\0wide world\0\ncat\n";
        assert_eq!(check(list), Ok(()));
        let commands: Vec<Vec<&[u8]>> = commands(list).collect();
        assert_eq!(
            commands,
            [
                vec![&b"echo"[..], b"hello", b"wide world", b""],
                vec![&b"cat"[..]]
            ]
        );
    }

    #[test]
    fn the_last_line_needs_no_end() {
        assert_eq!(commands(b"cat").count(), 1);
    }

    #[test]
    fn a_list_without_a_command_is_refused() {
        assert_eq!(check(b""), Err(Malformed::Empty));
        assert_eq!(check(b"\n"), Err(Malformed::Empty));
        assert_eq!(check(b"echo\n\ncat\n"), Err(Malformed::NoName(2)));
        assert_eq!(check(b"\0hello\n"), Err(Malformed::NoName(1)));
        assert_eq!(check(&[b'x'; MAX_COMMAND + 1]), Err(Malformed::TooLong(1)));
    }
}
