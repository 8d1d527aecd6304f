//! Patterns of the shell: `*`, `?`, `[...]`, as in `case`, `${name%pattern}` and file names.
use alloc::vec::Vec;

/// A byte, and whether it was quoted: then it is only itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Char {
    /// The byte.
    pub byte: u8,
    /// Whether it was quoted.
    pub quoted: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Token {
    Byte(u8),
    /// `?`
    One,
    /// `*`
    Any,
    /// `[...]`, `[!...]`
    Class {
        negated: bool,
        ranges: Vec<(u8, u8)>,
    },
}

impl Token {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Byte(wanted) => *wanted == byte,
            Self::One | Self::Any => true,
            Self::Class { negated, ranges } => {
                ranges
                    .iter()
                    .any(|(first, last)| (*first..=*last).contains(&byte))
                    != *negated
            }
        }
    }
}

/// A pattern, ready to be compared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern(Vec<Token>);

impl Pattern {
    /// Reads a pattern; a `[` without its `]` is itself.
    #[must_use]
    pub fn new(chars: &[Char]) -> Self {
        let mut tokens = Vec::new();
        let mut rest = chars;
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            let token = match first.byte {
                byte if first.quoted => Token::Byte(byte),
                b'*' if tokens.last() == Some(&Token::Any) => continue,
                b'*' => Token::Any,
                b'?' => Token::One,
                b'[' => match class(after) {
                    Some((class, after)) => {
                        rest = after;
                        class
                    }
                    None => Token::Byte(b'['),
                },
                byte => Token::Byte(byte),
            };
            tokens.push(token);
        }
        Self(tokens)
    }

    /// A pattern nothing of which is quoted but by backslashes.
    #[must_use]
    pub fn from_text(text: &[u8]) -> Self {
        let mut chars = Vec::new();
        let mut bytes = text.iter().copied();
        while let Some(byte) = bytes.next() {
            chars.push(match byte {
                b'\\' => Char {
                    byte: bytes.next().unwrap_or(b'\\'),
                    quoted: true,
                },
                byte => Char { byte, quoted: false },
            });
        }
        Self::new(&chars)
    }

    /// Whether it is all of `text`.
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> bool {
        let (mut token, mut place) = (0, 0);
        // Where the last `*` was, and how far it reaches.
        let mut star: Option<(usize, usize)> = None;
        loop {
            match (self.0.get(token), text.get(place)) {
                (None, None) => return true,
                (Some(Token::Any), _) => {
                    star = Some((token, place));
                    token += 1;
                }
                (Some(wanted), Some(byte)) if wanted.takes(*byte) => {
                    token += 1;
                    place += 1;
                }
                _ => match &mut star {
                    Some((at, reach)) if *reach < text.len() => {
                        *reach += 1;
                        (token, place) = (*at + 1, *reach);
                    }
                    _ => return false,
                },
            }
        }
    }

    /// Whether it begins with a dot of its own.
    #[must_use]
    pub fn begins_with_dot(&self) -> bool {
        self.0.first() == Some(&Token::Byte(b'.'))
    }
}

/// Whether anything in `chars` is special.
#[must_use]
pub fn is_special(chars: &[Char]) -> bool {
    chars
        .iter()
        .any(|char| !char.quoted && matches!(char.byte, b'*' | b'?' | b'['))
}

/// What is in brackets, and what follows them.
fn class(mut rest: &[Char]) -> Option<(Token, &[Char])> {
    let negated = matches!(rest.first(), Some(char) if !char.quoted && matches!(char.byte, b'!' | b'^'));
    if negated {
        rest = rest.get(1..)?;
    }
    let mut ranges = Vec::new();
    let mut is_first = true;
    loop {
        let (char, after) = rest.split_first()?;
        rest = after;
        if char.byte == b']' && !char.quoted && !is_first {
            return Some((Token::Class { negated, ranges }, rest));
        }
        is_first = false;
        if char.byte == b'['
            && !char.quoted
            && let Some((named, after)) = named_class(rest)
        {
            ranges.extend_from_slice(named);
            rest = after;
            continue;
        }
        match rest {
            [dash, last, after @ ..]
                if dash.byte == b'-' && !dash.quoted && (last.byte != b']' || last.quoted) =>
            {
                ranges.push((char.byte, last.byte));
                rest = after;
            }
            _ => ranges.push((char.byte, char.byte)),
        }
    }
}

/// The first and the last byte of each range.
type Ranges = &'static [(u8, u8)];

const CLASSES: &[(&[u8], Ranges)] = &[
    (b"alnum", &[(b'a', b'z'), (b'A', b'Z'), (b'0', b'9')]),
    (b"alpha", &[(b'a', b'z'), (b'A', b'Z')]),
    (b"blank", &[(b' ', b' '), (b'\t', b'\t')]),
    (b"cntrl", &[(0, 31), (127, 127)]),
    (b"digit", &[(b'0', b'9')]),
    (b"graph", &[(33, 126)]),
    (b"lower", &[(b'a', b'z')]),
    (b"print", &[(32, 126)]),
    (b"punct", &[(33, 47), (58, 64), (91, 96), (123, 126)]),
    (b"space", &[(b' ', b' '), (9, 13)]),
    (b"upper", &[(b'A', b'Z')]),
    (b"xdigit", &[(b'0', b'9'), (b'a', b'f'), (b'A', b'F')]),
];

/// The bytes of the class `name`, such as `digit`.
#[must_use]
pub fn class_of(name: &[u8]) -> Option<&'static [(u8, u8)]> {
    CLASSES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, ranges)| *ranges)
}

/// `:name:]`, and what follows.
fn named_class(rest: &[Char]) -> Option<(Ranges, &[Char])> {
    let rest = rest.strip_prefix(&[Char {
        byte: b':',
        quoted: false,
    }])?;
    let end = rest.iter().position(|char| char.byte == b':')?;
    let name: Vec<u8> = rest.get(..end)?.iter().map(|char| char.byte).collect();
    let after = rest.get(end + 1..)?;
    let after = after.strip_prefix(&[Char {
        byte: b']',
        quoted: false,
    }])?;
    Some((class_of(&name)?, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_match_as_in_posix() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbbd", false),
            ("*a*b*", "xxaxxbxx", true),
            ("?", "", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]x]", "]", true),
            ("[x", "[x", true),
            ("[[:digit:]]*", "7up", true),
            ("[[:digit:]]", "x", false),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("[a-]", "-", true),
        ] {
            let matches = Pattern::from_text(pattern.as_bytes()).matches(text.as_bytes());
            assert_eq!(matches, expected, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn a_quoted_text_matches_itself_alone(text: Vec<u8>, other: Vec<u8>) {
            let chars: Vec<_> = text.iter().map(|byte| Char { byte: *byte, quoted: true }).collect();
            let pattern = Pattern::new(&chars);
            prop_assert!(pattern.matches(&text));
            prop_assert_eq!(pattern.matches(&other), text == other);
        }

        #[test]
        fn no_pattern_panics(pattern: Vec<u8>, text: Vec<u8>) {
            let _ = Pattern::from_text(&pattern).matches(&text);
        }
    }
}
