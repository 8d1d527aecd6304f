//! Here-documents: lines that follow a command and are its input.
use super::Bytes;
use super::ast::{Part, Word};
use super::parse::{Error, Parser, Waiting};
use super::word::Ending;
use alloc::vec::Vec;

/// What ends a here-document whose redirection names `word`, and whether any of it was quoted.
pub(super) fn delimiter(word: &Word) -> (Bytes, bool) {
    fn gather(parts: &[Part], text: &mut Bytes) -> bool {
        let mut quoted = false;
        for part in parts {
            match part {
                Part::Plain(plain) => text.extend_from_slice(plain),
                Part::Tilde(user) => {
                    text.push(b'~');
                    text.extend_from_slice(user);
                }
                Part::Quoted(inner) => {
                    text.extend_from_slice(inner);
                    quoted = true;
                }
                Part::Quotes(inner) => {
                    gather(inner, text);
                    quoted = true;
                }
                Part::Parameter(parameter) => {
                    text.push(b'$');
                    text.extend_from_slice(&parameter.name);
                }
                Part::Command(_) | Part::Arithmetic(_) => {}
            }
        }
        quoted
    }
    let mut text = Bytes::new();
    let quoted = gather(&word.0, &mut text);
    (text, quoted)
}

impl Parser<'_> {
    /// Reads the lines of a here-document.
    pub(super) fn here_document(&mut self, waiting: &Waiting) -> Result<(), Error> {
        let mut body = Bytes::new();
        loop {
            let rest = self.rest();
            if rest.is_empty() {
                return Err(Error::Incomplete);
            }
            let end = rest.iter().position(|byte| *byte == b'\n');
            let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest);
            self.place += end.map_or(rest.len(), |end| end + 1);
            let tabs = match waiting.kind.strips_tabs {
                true => line.iter().take_while(|byte| **byte == b'\t').count(),
                false => 0,
            };
            let line = line.get(tabs..).unwrap_or(line);
            if line == waiting.delimiter {
                break;
            }
            body.extend_from_slice(line);
            body.push(b'\n');
        }
        let word = match waiting.kind.is_literal {
            true => Word(Vec::from([Part::Quoted(body)])),
            false => self.inner(&body).word(Ending::Here)?,
        };
        // Each is read once.
        let _ = waiting.body.set(word);
        Ok(())
    }
}
