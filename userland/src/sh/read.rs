//! `read`: a line becomes the values of variables.
use super::Bytes;
use alloc::vec::Vec;

/// A byte of a line, and whether a backslash stood before it: then it separates nothing.
pub type Read = (u8, bool);

/// Splits a line at the separators of `IFS` into `count` values; the last one takes all that is left.
#[must_use]
pub fn assign(line: &[Read], separators: &[u8], count: usize) -> Vec<Bytes> {
    let is_separator = |(byte, escaped): &Read| !escaped && separators.contains(byte);
    let is_blank = |read: &Read| is_separator(read) && matches!(read.0, b' ' | b'\t' | b'\n');
    let skip_blanks = |rest: &mut &[Read]| {
        while let Some((first, after)) = rest.split_first()
            && is_blank(first)
        {
            *rest = after;
        }
    };
    let mut rest = line;
    while let Some((last, before)) = rest.split_last()
        && is_blank(last)
    {
        rest = before;
    }
    skip_blanks(&mut rest);
    let mut values = Vec::new();
    while values.len() + 1 < count {
        let end = rest.iter().position(is_separator).unwrap_or(rest.len());
        let (value, after) = rest.split_at(end);
        values.push(value.iter().map(|(byte, _)| *byte).collect());
        rest = after;
        skip_blanks(&mut rest);
        if let Some((first, after)) = rest.split_first()
            && is_separator(first)
        {
            rest = after;
            skip_blanks(&mut rest);
        }
    }
    // A single separator at the very end belongs to the value before it.
    if let Some((last, before)) = rest.split_last()
        && is_separator(last)
        && !before.iter().any(is_separator)
    {
        rest = before;
    }
    values.push(rest.iter().map(|(byte, _)| *byte).collect());
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assign_plain(line: &str, separators: &[u8], count: usize) -> Vec<Bytes> {
        let line: Vec<Read> = line.bytes().map(|byte| (byte, false)).collect();
        assign(&line, separators, count)
    }

    #[test]
    fn the_last_variable_takes_the_rest() {
        assert_eq!(
            assign_plain("  a b  c ", b" \t\n", 2),
            [b"a".to_vec(), b"b  c".to_vec()]
        );
        assert_eq!(assign_plain("a", b" \t\n", 2), [b"a".to_vec(), b"".to_vec()]);
        assert_eq!(assign_plain(" a b ", b" \t\n", 1), [b"a b"]);
        assert_eq!(assign_plain("a:b:c", b":", 2), [b"a".to_vec(), b"b:c".to_vec()]);
        assert_eq!(
            assign_plain("a::c", b":", 3),
            [b"a".to_vec(), b"".to_vec(), b"c".to_vec()]
        );
        assert_eq!(
            assign(&[(b'a', false), (b' ', true), (b'b', false)], b" ", 2),
            [b"a b".to_vec(), b"".to_vec()]
        );
    }
}
