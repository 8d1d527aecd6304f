//! Bytes that are mostly text: showing them, reading numbers from them.
use core::fmt::{self, Write};

/// Shows bytes as text; what is not UTF-8 becomes U+FFFD.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a>(pub &'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}

/// A decimal number that is all of `text`, perhaps after a sign.
#[must_use]
pub fn number(text: &[u8]) -> Option<i64> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

/// An octal number that is all of `text`.
#[must_use]
pub fn octal(text: &[u8]) -> Option<u32> {
    u32::from_str_radix(core::str::from_utf8(text).ok()?, 8).ok()
}

/// The position of `needle` in `hay`.
#[must_use]
pub fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    hay.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn bytes_that_are_no_text_are_shown_as_such() {
        assert_eq!(Text(b"a\xffb").to_string(), "a\u{fffd}b");
        assert_eq!(number(b"-12"), Some(-12));
        assert_eq!(number(b"12x"), None);
        assert_eq!(octal(b"755"), Some(0o755));
        assert_eq!(find(b"hello", b"lo"), Some(3));
        assert_eq!(find(b"hello", b"xx"), None);
    }
}
