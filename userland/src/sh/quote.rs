//! Quoting: how a string is written so that the shell reads it back.
use super::{Bytes, is_name_byte};

/// `text` as a word of the shell's.
#[must_use]
pub fn quote(text: &[u8]) -> Bytes {
    let is_plain = |byte: &u8| is_name_byte(*byte) || b"-./:,+@%".contains(byte);
    if !text.is_empty() && text.iter().all(is_plain) {
        return text.to_vec();
    }
    always(text)
}

/// `text` in single quotes.
#[must_use]
pub fn always(text: &[u8]) -> Bytes {
    let mut quoted = b"'".to_vec();
    for byte in text {
        match byte {
            b'\'' => quoted.extend_from_slice(b"'\\''"),
            byte => quoted.push(*byte),
        }
    }
    quoted.push(b'\'');
    quoted
}
