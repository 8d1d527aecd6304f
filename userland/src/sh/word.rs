//! Words: quotes, parameters, substitutions.
use super::ast::{Change, Extent, List, Missing, Parameter, Part, Word};
use super::grammar::ends_word;
use super::parse::{Error, Parser};
use super::{Bytes, is_name_byte};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// What ends a word, and what is special in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    /// A blank or an operator.
    Word,
    /// The same; `~` is special after `:` too.
    Assignment,
    /// `}`, of `${name-word}`.
    Brace,
    /// `}` within double quotes.
    QuotedBrace,
    /// `"`.
    Quotes,
    /// The end of the text.
    Here,
    /// `))`.
    Arithmetic,
}

impl Ending {
    /// Whether only `$`, `` ` `` and some backslashes are special, as in double quotes.
    fn is_quoted(self) -> bool {
        matches!(
            self,
            Self::QuotedBrace | Self::Quotes | Self::Here | Self::Arithmetic
        )
    }

    /// What a backslash takes its meaning from.
    fn escapes(self, byte: u8) -> bool {
        match self {
            Self::Here | Self::Arithmetic => matches!(byte, b'$' | b'`' | b'\\'),
            Self::Quotes => matches!(byte, b'$' | b'`' | b'\\' | b'"'),
            Self::QuotedBrace => matches!(byte, b'$' | b'`' | b'\\' | b'"' | b'}'),
            _ => true,
        }
    }
}

/// Gathers parts; plain bytes join.
#[derive(Default)]
struct Parts(Vec<Part>);

impl Parts {
    fn plain(&mut self, byte: u8) {
        match self.0.last_mut() {
            Some(Part::Plain(text)) => text.push(byte),
            _ => self.0.push(Part::Plain(Vec::from([byte]))),
        }
    }

    fn quoted(&mut self, byte: u8) {
        match self.0.last_mut() {
            Some(Part::Quoted(text)) => text.push(byte),
            _ => self.0.push(Part::Quoted(Vec::from([byte]))),
        }
    }
}

impl Parser<'_> {
    /// Reads a word up to what ends it, which is passed only if it is a bracket or quote of the word's own.
    pub(super) fn word(&mut self, ending: Ending) -> Result<Word, Error> {
        self.deeper(|parser| parser.parts(ending))
            .map(|parts| Word(parts.0))
    }

    fn parts(&mut self, ending: Ending) -> Result<Parts, Error> {
        let mut parts = Parts::default();
        let mut brackets = 0usize;
        let start = self.place;
        loop {
            let Some(byte) = self.peek() else {
                return match ending {
                    Ending::Word | Ending::Assignment | Ending::Here => Ok(parts),
                    _ => Err(Error::Incomplete),
                };
            };
            match byte {
                byte if ends_word(byte) && matches!(ending, Ending::Word | Ending::Assignment) => {
                    return Ok(parts);
                }
                b'}' if matches!(ending, Ending::Brace | Ending::QuotedBrace) => {
                    self.place += 1;
                    return Ok(parts);
                }
                b'"' if ending == Ending::Quotes => {
                    self.place += 1;
                    return Ok(parts);
                }
                b')' if ending == Ending::Arithmetic && brackets == 0 => {
                    return if self.eat(b"))") {
                        Ok(parts)
                    } else {
                        Err(self.unexpected())
                    };
                }
                b'\\' => self.backslash(ending, &mut parts),
                b'$' => self.dollar(ending, &mut parts)?,
                b'`' => {
                    let list = self.backquotes(ending)?;
                    parts.0.push(Part::Command(list));
                }
                b'"' if !matches!(ending, Ending::Here | Ending::Arithmetic) => {
                    self.place += 1;
                    let inner = self.word(Ending::Quotes)?;
                    parts.0.push(Part::Quotes(inner.0));
                }
                b'\'' if !ending.is_quoted() => {
                    self.place += 1;
                    let text = self.single_quoted()?;
                    parts.0.push(Part::Quoted(text));
                }
                b'~' if self.tilde_is_special(ending, start) => {
                    self.place += 1;
                    let user = self.name();
                    parts.0.push(Part::Tilde(user));
                }
                byte => {
                    if ending == Ending::Arithmetic {
                        brackets = match byte {
                            b'(' => brackets + 1,
                            b')' => brackets - 1,
                            _ => brackets,
                        };
                    }
                    self.place += 1;
                    parts.plain(byte);
                }
            }
        }
    }

    /// Whether a `~` here stands for a home directory: at the beginning, with a name or nothing up to the next slash.
    fn tilde_is_special(&self, ending: Ending, start: usize) -> bool {
        let before = self
            .place
            .checked_sub(1)
            .and_then(|place| self.text.get(place))
            .copied();
        let place_is_right = match ending {
            Ending::Word | Ending::Brace => self.place == start,
            Ending::Assignment => self.place == start || before == Some(b':'),
            _ => false,
        };
        let mut after = self.rest().iter().skip(1);
        let next = after
            .find(|byte| !is_name_byte(**byte) && **byte != b'-')
            .copied();
        place_is_right && next.is_none_or(|byte| ends_word(byte) || matches!(byte, b'/' | b':' | b'}'))
    }

    fn backslash(&mut self, ending: Ending, parts: &mut Parts) {
        self.place += 1;
        match self.peek() {
            Some(b'\n') => self.place += 1,
            Some(byte) if ending.escapes(byte) => {
                self.place += 1;
                parts.quoted(byte);
            }
            _ if ending.is_quoted() => parts.plain(b'\\'),
            _ => parts.quoted(b'\\'),
        }
    }

    fn single_quoted(&mut self) -> Result<Bytes, Error> {
        let rest = self.rest();
        let end = rest
            .iter()
            .position(|byte| *byte == b'\'')
            .ok_or(Error::Incomplete)?;
        self.place += end + 1;
        Ok(rest.get(..end).unwrap_or(&[]).to_vec())
    }

    /// What a `$` begins.
    fn dollar(&mut self, ending: Ending, parts: &mut Parts) -> Result<(), Error> {
        self.place += 1;
        let part = match self.peek() {
            Some(b'(') => self.substitution()?,
            Some(b'{') => {
                self.place += 1;
                self.deeper(|parser| parser.braced(ending))?
            }
            Some(b'\'') if !ending.is_quoted() => {
                self.place += 1;
                Part::Quoted(self.ansi_quoted()?)
            }
            Some(byte) if byte.is_ascii_alphabetic() || byte == b'_' => parameter(self.name()),
            Some(byte) if byte.is_ascii_digit() || b"@*#?-$!".contains(&byte) => {
                self.place += 1;
                parameter(Vec::from([byte]))
            }
            _ => {
                parts.plain(b'$');
                return Ok(());
            }
        };
        parts.0.push(part);
        Ok(())
    }

    /// `(list)` or `((expression))` behind a `$`.
    fn substitution(&mut self) -> Result<Part, Error> {
        if self.is_arithmetic()? {
            self.place += 2;
            return Ok(Part::Arithmetic(self.word(Ending::Arithmetic)?));
        }
        self.place += 1;
        // Here-documents of the surrounding command come later.
        let waiting = core::mem::take(&mut self.waiting);
        let list = self.deeper(Self::substituted_list);
        self.waiting.extend(waiting);
        let list = list?;
        if self.eat(b")") {
            Ok(Part::Command(list))
        } else {
            Err(self.unexpected())
        }
    }

    /// Whether `((` comes and ends with `))`: it may also be a subshell in a command substitution. Brackets are
    /// counted, so that nothing has to be tried in two ways at every level.
    fn is_arithmetic(&self) -> Result<bool, Error> {
        let Some(rest) = self.rest().strip_prefix(b"((") else {
            return Ok(false);
        };
        let mut open = 2usize;
        let mut bytes = rest.iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\\' => {
                    bytes.next();
                }
                b'(' => open += 1,
                b')' => open -= 1,
                _ => {}
            }
            if open == 1 {
                return bytes.next().map(|next| *next == b')').ok_or(Error::Incomplete);
            }
        }
        Err(Error::Incomplete)
    }

    fn substituted_list(&mut self) -> Result<List, Error> {
        self.newlines()?;
        if self.peek() == Some(b')') {
            return Ok(List::default());
        }
        self.compound_list()
    }

    /// `` `...` ``: a text of its own, in which some backslashes are taken away first.
    fn backquotes(&mut self, ending: Ending) -> Result<List, Error> {
        self.place += 1;
        let mut text = Bytes::new();
        loop {
            match self.next().ok_or(Error::Incomplete)? {
                b'`' => break,
                b'\\' => match self.peek() {
                    Some(byte @ (b'$' | b'`' | b'\\')) => {
                        self.place += 1;
                        text.push(byte);
                    }
                    Some(b'"') if ending == Ending::Quotes => {
                        self.place += 1;
                        text.push(b'"');
                    }
                    _ => text.push(b'\\'),
                },
                byte => text.push(byte),
            }
        }
        self.deeper(|parser| {
            let mut inner = parser.inner(&text);
            let mut list = List::default();
            while let Some(line) = inner.next_line()? {
                list.0.extend(line.0);
            }
            Ok(list)
        })
    }

    /// `name...}` behind `${`.
    fn braced(&mut self, ending: Ending) -> Result<Part, Error> {
        if self.peek() == Some(b'#') && self.peek_at(1) != Some(b'}') {
            let start = self.place;
            self.place += 1;
            let name = self.parameter_name()?;
            if self.eat(b"}") {
                return Ok(changed(name, Change::Length));
            }
            // `${#-word}` and the like are about `$#`.
            self.place = start;
        }
        let name = self.parameter_name()?;
        let missing = if self.eat(b":") {
            Missing::Empty
        } else {
            Missing::Unset
        };
        let ending = if ending.is_quoted() {
            Ending::QuotedBrace
        } else {
            Ending::Brace
        };
        let sign = self.next().ok_or(Error::Incomplete)?;
        if sign == b'}' && missing == Missing::Unset {
            return Ok(changed(name, Change::None));
        }
        let change = match sign {
            b'-' => Change::Default(missing, self.word(ending)?),
            b'=' => Change::Assign(missing, self.word(ending)?),
            b'+' => Change::Alternative(missing, self.word(ending)?),
            b'?' => Change::Error(missing, self.word(ending)?),
            b'%' | b'#' if missing == Missing::Unset => {
                let extent = if self.eat(&[sign]) {
                    Extent::Longest
                } else {
                    Extent::Shortest
                };
                let pattern = self.word(Ending::Brace)?;
                match sign {
                    b'%' => Change::RemoveSuffix(extent, pattern),
                    _ => Change::RemovePrefix(extent, pattern),
                }
            }
            _ => return Err(self.error("Bad substitution")),
        };
        Ok(changed(name, change))
    }

    fn parameter_name(&mut self) -> Result<Bytes, Error> {
        match self.peek() {
            None => Err(Error::Incomplete),
            Some(byte) if byte.is_ascii_digit() => {
                let rest = self.rest();
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                self.place += digits;
                Ok(rest.get(..digits).unwrap_or(&[]).to_vec())
            }
            Some(byte) if b"@*#?-$!".contains(&byte) => {
                self.place += 1;
                Ok(Vec::from([byte]))
            }
            Some(byte) if is_name_byte(byte) => Ok(self.name()),
            Some(_) => Err(self.error("Bad substitution")),
        }
    }

    /// `$'...'`: the escapes of C.
    fn ansi_quoted(&mut self) -> Result<Bytes, Error> {
        let rest = self.rest();
        let mut length = 0;
        loop {
            match rest.get(length).ok_or(Error::Incomplete)? {
                b'\'' => break,
                b'\\' => length += 2,
                _ => length += 1,
            }
        }
        self.place += length + 1;
        let mut text = crate::format::unescape_ansi(rest.get(..length).unwrap_or(&[]));
        // No string of a shell can hold a NUL: it ends there.
        if let Some(end) = text.iter().position(|byte| *byte == 0) {
            text.truncate(end);
        }
        Ok(text)
    }
}

fn parameter(name: Bytes) -> Part {
    changed(name, Change::None)
}

fn changed(name: Bytes, change: Change) -> Part {
    Part::Parameter(Box::new(Parameter { name, change }))
}
