//! The command line of a test guest: words of the form `key=value`, separated by spaces.

/// The bytes before the first NUL, as far as they are UTF-8.
#[must_use]
pub fn text(bytes: &[u8]) -> &str {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    core::str::from_utf8(&bytes[..end]).unwrap_or_default()
}

/// The value of the first word with this key.
#[must_use]
pub fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split_ascii_whitespace()
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_only_as_a_whole_word() {
        assert_eq!(value("xcases=1 cases=a,b group=", "cases"), Some("a,b"));
        assert_eq!(value("xcases=1 cases=a,b group=", "group"), Some(""));
        assert_eq!(value("cases", "cases"), None);
    }

    #[test]
    fn text_ends_at_the_first_nul() {
        assert_eq!(text(b"abc\0def"), "abc");
        assert_eq!(text(b"abc"), "abc");
    }
}
