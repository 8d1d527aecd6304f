//! Which of a guest's bytes are text, and what the others look like.
//!
//! A character is shown if every terminal gives it at least one column and nothing but a place in its line. Controls of
//! any kind (C0, DEL, C1 raw or as UTF-8), bidirectional overrides, joiners, combining marks and whatever else is not on
//! the list become `\x1b` or `\u{202e}`: a mark without a column would let a cursor movement that is counted in
//! characters reach what stands before the line.
use core::fmt::{self, Write};

/// A character, or a byte that is part of none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece {
    /// Any Unicode character, controls included.
    Char(char),
    /// A byte that is not UTF-8 where it stands.
    Raw(u8),
}

/// Puts bytes together to characters.
#[derive(Clone, Copy, Default, Debug)]
pub struct Decoder {
    pending: [u8; 4],
    len: usize,
}

impl Decoder {
    /// Nothing has come yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            pending: [0; 4],
            len: 0,
        }
    }

    /// Takes a byte; gives out what it completes.
    pub fn push(&mut self, byte: u8, mut piece: impl FnMut(Piece)) {
        if let Some(slot) = self.pending.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        }
        while let Some(found) = self.first() {
            self.drop_front(match found {
                Piece::Char(character) => character.len_utf8(),
                Piece::Raw(_) => 1,
            });
            piece(found);
        }
    }

    /// Gives out the beginning of a character that will not be completed.
    pub fn finish(&mut self, mut piece: impl FnMut(Piece)) {
        for byte in self.pending.iter().take(self.len) {
            piece(Piece::Raw(*byte));
        }
        self.len = 0;
    }

    /// The first piece of what is pending, unless it may yet become a character.
    fn first(&self) -> Option<Piece> {
        let pending = self.pending.get(..self.len)?;
        let byte = *pending.first()?;
        let character = |text: &str| text.chars().next().map(Piece::Char);
        match core::str::from_utf8(pending) {
            Ok(text) => character(text),
            Err(error) if error.valid_up_to() > 0 => {
                let valid = pending.get(..error.valid_up_to())?;
                character(core::str::from_utf8(valid).ok()?)
            }
            Err(error) => error.error_len().map(|_| Piece::Raw(byte)),
        }
    }

    fn drop_front(&mut self, count: usize) {
        self.pending.rotate_left(count.min(4));
        self.len = self.len.saturating_sub(count);
    }
}

/// Ranges of characters beyond ASCII that are shown: letters of scripts without combining marks or joining, punctuation,
/// arrows, mathematics, boxes; CJK and pictures, which take two columns where the terminal knows them.
const SHOWN: [(char, char); 21] = [
    ('\u{a1}', '\u{ac}'),
    ('\u{ae}', '\u{2ff}'),
    ('\u{370}', '\u{377}'),
    ('\u{37b}', '\u{37f}'),
    ('\u{384}', '\u{38a}'),
    ('\u{38e}', '\u{3a1}'),
    ('\u{3a3}', '\u{482}'),
    ('\u{48a}', '\u{52f}'),
    ('\u{1e00}', '\u{1eff}'),
    ('\u{2010}', '\u{2027}'),
    ('\u{2030}', '\u{205e}'),
    ('\u{20a0}', '\u{20bf}'),
    ('\u{2190}', '\u{22ff}'),
    ('\u{2500}', '\u{25fc}'),
    ('\u{3041}', '\u{3096}'),
    ('\u{309b}', '\u{30ff}'),
    ('\u{3400}', '\u{4dbf}'),
    ('\u{4e00}', '\u{9fff}'),
    ('\u{ac00}', '\u{d7a3}'),
    ('\u{1f300}', '\u{1f3fa}'),
    ('\u{1f400}', '\u{1f64f}'),
];

/// Whether a character is shown as it is.
#[must_use]
pub fn is_shown(character: char) -> bool {
    matches!(character, ' '..='~')
        || SHOWN
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&character))
}

/// The text of what is not shown as it is: at most 10 ASCII characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Escaped(pub Piece);

impl fmt::Display for Escaped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Piece::Raw(byte) => write!(f, "\\x{byte:02x}"),
            Piece::Char(character) if character.is_ascii() => write!(f, "\\x{:02x}", u32::from(character)),
            Piece::Char(character) => write!(f, "\\u{{{:x}}}", u32::from(character)),
        }
    }
}

/// Text of which only what is shown as it is remains so.
#[derive(Clone, Copy, Debug)]
pub struct Safe<'a>(pub &'a [u8]);

impl fmt::Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut decoder = Decoder::default();
        let mut result = Ok(());
        let mut show = |piece| {
            result = result.and_then(|()| match piece {
                Piece::Char(character) if is_shown(character) => f.write_char(character),
                _ => write!(f, "{}", Escaped(piece)),
            });
        };
        for byte in self.0 {
            decoder.push(*byte, &mut show);
        }
        decoder.finish(&mut show);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn safe(bytes: &[u8]) -> String {
        Safe(bytes).to_string()
    }

    #[test]
    fn text_is_shown_as_it_is() {
        for text in [
            "Hello, world! ~\\",
            "Grüße, čeština, Ελλάδα, Привет",
            "中文 かな 한국",
            "→ ≤ ┌─┐ € 🐧",
        ] {
            assert_eq!(safe(text.as_bytes()), text);
        }
    }

    #[test]
    fn controls_of_every_kind_are_spelled_out() {
        assert_eq!(safe(b"\x1b[6n"), "\\x1b[6n");
        assert_eq!(safe(b"\x00\x07\x0b\x0c\x7f"), "\\x00\\x07\\x0b\\x0c\\x7f");
        assert_eq!(safe(b"\x9b6n"), "\\x9b6n");
        assert_eq!(safe("\u{9b}6n".as_bytes()), "\\u{9b}6n");
        assert_eq!(safe(b"\x1b]52;c;aGk=\x07"), "\\x1b]52;c;aGk=\\x07");
    }

    #[test]
    fn what_reorders_joins_or_has_no_column_is_spelled_out() {
        let invisible =
            "\u{202e}\u{200b}\u{200d}\u{2066}\u{feff}\u{ad}\u{301}\u{fe0f}\u{1f3fb}\u{1f1e6}\u{e0041}";
        for character in invisible.chars() {
            assert_eq!(
                safe(character.to_string().as_bytes()),
                format!("\\u{{{:x}}}", u32::from(character))
            );
        }
    }

    #[test]
    fn broken_utf_8_is_spelled_out_byte_by_byte() {
        assert_eq!(safe(b"a\xc3"), "a\\xc3");
        assert_eq!(safe(b"\xc3a"), "\\xc3a");
        assert_eq!(safe(b"\xe2\x82a"), "\\xe2\\x82a");
        assert_eq!(safe(b"\xe2\x82\xe2\x82\xac"), "\\xe2\\x82€");
        assert_eq!(safe(b"\xc0\x9b"), "\\xc0\\x9b", "overlong");
        assert_eq!(safe(b"\xed\xa0\x80"), "\\xed\\xa0\\x80", "surrogate");
        assert_eq!(
            safe(b"\xf4\x90\x80\x80"),
            "\\xf4\\x90\\x80\\x80",
            "beyond Unicode"
        );
        assert_eq!(safe(b"\xff\xfe"), "\\xff\\xfe");
    }

    proptest! {
        #[test]
        fn the_decoder_agrees_with_the_standard_library(bytes in proptest::collection::vec(
            prop_oneof![any::<u8>(), 0x80u8..0xc0, 0xc2u8..0xf5], 0..40)) {
            let mut expected = Vec::new();
            for chunk in bytes.utf8_chunks() {
                expected.extend(chunk.valid().chars().map(Piece::Char));
                expected.extend(chunk.invalid().iter().copied().map(Piece::Raw));
            }
            let mut pieces = Vec::new();
            let mut decoder = Decoder::default();
            for byte in bytes {
                decoder.push(byte, |piece| pieces.push(piece));
            }
            decoder.finish(|piece| pieces.push(piece));
            prop_assert_eq!(pieces, expected);
        }

        #[test]
        fn whatever_comes_in_only_shown_characters_come_out(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(safe(&bytes).chars().all(is_shown));
        }
    }
}
