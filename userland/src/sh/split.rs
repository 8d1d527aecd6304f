//! Fields: what an expansion becomes when it is split, and what quotes keep together.
use super::Bytes;
use crate::pattern::Char;
use alloc::vec::Vec;

/// Gathers the fields that words expand to.
#[derive(Debug)]
pub struct Fields {
    done: Vec<Vec<Char>>,
    current: Option<Vec<Char>>,
    separators: Bytes,
    /// The last field was ended by blanks: one more separator may belong to them.
    after_blanks: bool,
}

impl Fields {
    /// None yet. `separators` is `IFS`.
    #[must_use]
    pub fn new(separators: &[u8]) -> Self {
        Self {
            done: Vec::new(),
            current: None,
            separators: separators.to_vec(),
            after_blanks: false,
        }
    }

    /// Makes sure of a field here, though it may stay empty.
    pub fn begin(&mut self) -> &mut Vec<Char> {
        self.after_blanks = false;
        self.current.get_or_insert_default()
    }

    /// Ends the field here, if there is one.
    pub fn end(&mut self) {
        self.done.extend(self.current.take());
    }

    /// Adds text that is not split and whose special characters are special.
    pub fn plain(&mut self, text: &[u8]) {
        self.add(text, |byte| Char { byte, quoted: false });
    }

    /// Adds text in which nothing is special.
    pub fn quoted(&mut self, text: &[u8]) {
        self.add(text, |byte| Char { byte, quoted: true });
    }

    fn add(&mut self, text: &[u8], char: impl Fn(u8) -> Char) {
        self.begin().extend(text.iter().map(|byte| char(*byte)));
    }

    /// Adds the result of an expansion, split at separators.
    pub fn split(&mut self, text: &[u8]) {
        for byte in text {
            if !self.separators.contains(byte) {
                self.begin().push(Char {
                    byte: *byte,
                    quoted: false,
                });
            } else if matches!(byte, b' ' | b'\t' | b'\n') {
                if self.current.is_some() {
                    self.end();
                    self.after_blanks = true;
                }
            } else if self.current.is_some() {
                self.end();
            } else if self.after_blanks {
                self.after_blanks = false;
            } else {
                self.done.push(Vec::new());
            }
        }
    }

    /// The fields.
    #[must_use]
    pub fn finish(mut self) -> Vec<Vec<Char>> {
        self.end();
        self.done
    }
}

/// The bytes of a field.
#[must_use]
pub fn bytes_of(field: &[Char]) -> Bytes {
    field.iter().map(|char| char.byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(separators: &[u8], text: &[u8]) -> Vec<Bytes> {
        let mut fields = Fields::new(separators);
        fields.split(text);
        fields.finish().iter().map(|field| bytes_of(field)).collect()
    }

    #[test]
    fn blanks_join_and_other_separators_do_not() {
        assert_eq!(split(b" \t\n", b"  a  b\n"), [b"a", b"b"]);
        assert_eq!(
            split(b":", b"a::b:"),
            [b"a".to_vec(), b"".to_vec(), b"b".to_vec()]
        );
        assert_eq!(split(b" :", b"a : b"), [b"a", b"b"]);
        assert_eq!(split(b" :", b": a"), [b"".to_vec(), b"a".to_vec()]);
        assert_eq!(split(b"", b"a b"), [b"a b"]);
        assert!(split(b" ", b"   ").is_empty());
    }
}
