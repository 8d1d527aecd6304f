//! `echo -e`, `printf`: escapes and formats.
use crate::sh::arith;
use crate::text::Text;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Where escapes are read, for they differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flavour {
    /// `\0NNN`, and `\c` ends all output.
    Echo,
    /// `\NNN`.
    Printf,
    /// `$'...'`: `\NNN`, quotes, `\e`.
    Ansi,
}

/// An escape behind a backslash.
enum Escape {
    Byte(u8),
    /// `\c`: no more output.
    Stop,
    /// Not an escape: the backslash stands for itself.
    None,
}

/// Reads the escape at the beginning of `text` (behind the backslash); what follows.
fn escape(text: &[u8], flavour: Flavour) -> (Escape, &[u8]) {
    let Some((first, rest)) = text.split_first() else {
        return (Escape::None, text);
    };
    let byte = match first {
        b'a' => 7,
        b'b' => 8,
        b'e' => 0x1b,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b'\\' => b'\\',
        b'"' | b'\'' if flavour != Flavour::Echo => *first,
        b'c' if flavour != Flavour::Ansi => return (Escape::Stop, rest),
        b'x' => {
            let (value, rest) = digits(rest, 16, 2);
            return match value {
                Some(byte) => (Escape::Byte(byte), rest),
                None => (Escape::None, text),
            };
        }
        b'0' if flavour == Flavour::Echo => {
            let (value, rest) = digits(rest, 8, 3);
            return (Escape::Byte(value.unwrap_or(0)), rest);
        }
        b'0'..=b'7' if flavour != Flavour::Echo => {
            let (value, rest) = digits(text, 8, 3);
            return (Escape::Byte(value.unwrap_or(0)), rest);
        }
        _ => return (Escape::None, text),
    };
    (Escape::Byte(byte), rest)
}

/// Up to `most` digits of `radix`; the lowest eight bits of their value.
fn digits(text: &[u8], radix: u32, most: usize) -> (Option<u8>, &[u8]) {
    let is_digit = |byte: &&u8| char::from(**byte).is_digit(radix);
    let count = text.iter().take(most).take_while(is_digit).count();
    let (digits, rest) = text.split_at(count);
    let value = digits.iter().fold(0, |value, byte| {
        value * radix + char::from(*byte).to_digit(radix).unwrap_or(0)
    });
    ((count > 0).then_some(value as u8), rest)
}

/// Adds `text` with its escapes to `output`; `Stop` if it said so.
fn unescape(mut text: &[u8], flavour: Flavour, output: &mut Vec<u8>) -> Result<(), Stop> {
    while let Some((byte, rest)) = text.split_first() {
        text = rest;
        if *byte != b'\\' {
            output.push(*byte);
            continue;
        }
        let (found, rest) = escape(text, flavour);
        text = rest;
        match found {
            Escape::Byte(byte) => output.push(byte),
            Escape::Stop => return Err(Stop),
            Escape::None => output.push(b'\\'),
        }
    }
    Ok(())
}

/// `\c`: no more output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stop;

/// What `$'text'` stands for.
#[must_use]
pub fn unescape_ansi(text: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    // Nothing stops it in this flavour.
    let _ = unescape(text, Flavour::Ansi, &mut output);
    output
}

/// What `echo` prints for these arguments, options among them: `-n` no newline, `-e` escapes, `-E` none.
#[must_use]
pub fn echo(arguments: &[&[u8]]) -> Vec<u8> {
    let is_option = |argument: &&&[u8]| {
        argument.len() > 1
            && argument.starts_with(b"-")
            && argument
                .iter()
                .skip(1)
                .all(|letter| matches!(letter, b'n' | b'e' | b'E'))
    };
    let options: Vec<u8> = arguments
        .iter()
        .take_while(is_option)
        .flat_map(|option| option.iter().copied())
        .collect();
    let count = arguments.iter().take_while(is_option).count();
    let text = arguments.get(count..).unwrap_or(&[]).join(b" ".as_slice());
    let escapes = options.iter().rev().find(|letter| matches!(letter, b'e' | b'E')) == Some(&b'e');
    let mut output = Vec::new();
    if !escapes {
        output = text;
    } else if unescape(&text, Flavour::Echo, &mut output).is_err() {
        return output;
    }
    if !options.contains(&b'n') {
        output.push(b'\n');
    }
    output
}

/// What `printf` prints, and what it complains of.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Printed {
    /// The output.
    pub output: Vec<u8>,
    /// Complaints: the exit code is 1 if there are any.
    pub complaints: Vec<String>,
}

/// `printf FORMAT ARGUMENT...`: the format is used again as long as arguments are left.
#[must_use]
pub fn printf(text: &[u8], arguments: &[&[u8]]) -> Printed {
    let mut printed = Printed::default();
    let mut rest = arguments.iter();
    loop {
        let before = rest.len();
        if once(text, &mut rest, &mut printed).is_err() || rest.len() == 0 || rest.len() == before {
            return printed;
        }
    }
}

/// A conversion: what stands between `%` and the letter.
#[derive(Clone, Copy, Default)]
struct Spec {
    left: bool,
    zero: bool,
    plus: bool,
    blank: bool,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
}

/// Widths and precisions beyond this are not meant.
const WIDEST: usize = 4096;

fn once<'a>(
    text: &[u8],
    arguments: &mut impl Iterator<Item = &'a &'a [u8]>,
    printed: &mut Printed,
) -> Result<(), Stop> {
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'\\' => {
                let (found, after) = escape(rest, Flavour::Printf);
                rest = after;
                match found {
                    Escape::Byte(byte) => printed.output.push(byte),
                    Escape::Stop => return Err(Stop),
                    Escape::None => printed.output.push(b'\\'),
                }
            }
            b'%' if rest.first() == Some(&b'%') => {
                rest = rest.get(1..).unwrap_or(&[]);
                printed.output.push(b'%');
            }
            b'%' => {
                let (spec, after) = spec(rest, arguments);
                let Some((letter, after)) = after.split_first() else {
                    printed
                        .complaints
                        .push(format!("%{}: invalid directive", Text(rest)));
                    return Err(Stop);
                };
                rest = after;
                convert(*letter, spec, arguments.next().copied(), printed)?;
            }
            byte => printed.output.push(*byte),
        }
    }
    Ok(())
}

/// Reads flags, width and precision.
fn spec<'a, 'b>(mut text: &'b [u8], arguments: &mut impl Iterator<Item = &'a &'a [u8]>) -> (Spec, &'b [u8]) {
    let mut spec = Spec::default();
    loop {
        match text.first() {
            Some(b'-') => spec.left = true,
            Some(b'0') => spec.zero = true,
            Some(b'+') => spec.plus = true,
            Some(b' ') => spec.blank = true,
            Some(b'#') => spec.alternate = true,
            _ => break,
        }
        text = text.get(1..).unwrap_or(&[]);
    }
    let mut count = |text: &mut &'b [u8]| -> i64 {
        if let Some(rest) = text.strip_prefix(b"*") {
            *text = rest;
            return arguments
                .next()
                .and_then(|argument| crate::text::number(argument))
                .unwrap_or(0);
        }
        let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = text.split_at(digits);
        *text = rest;
        crate::text::number(number).unwrap_or(0)
    };
    let width = count(&mut text);
    spec.left |= width < 0;
    spec.width = (width.unsigned_abs() as usize).min(WIDEST);
    if let Some(rest) = text.strip_prefix(b".") {
        text = rest;
        spec.precision = usize::try_from(count(&mut text))
            .ok()
            .map(|precision| precision.min(WIDEST));
    }
    (spec, text)
}

fn convert(letter: u8, spec: Spec, argument: Option<&[u8]>, printed: &mut Printed) -> Result<(), Stop> {
    let text = argument.unwrap_or(b"");
    match letter {
        b's' => pad(
            text.get(..spec.precision.unwrap_or(usize::MAX)).unwrap_or(text),
            spec,
            printed,
        ),
        b'c' => pad(text.get(..1).unwrap_or(b""), spec, printed),
        b'b' => {
            let mut output = Vec::new();
            let result = unescape(text, Flavour::Echo, &mut output);
            pad(
                output
                    .get(..spec.precision.unwrap_or(usize::MAX))
                    .unwrap_or(&output),
                spec,
                printed,
            );
            return result;
        }
        b'd' | b'i' | b'u' | b'o' | b'x' | b'X' => {
            let value = integer(argument, printed);
            number(letter, spec, value, printed);
        }
        _ => {
            printed
                .complaints
                .push(format!("%{}: invalid directive", char::from(letter)));
            return Err(Stop);
        }
    }
    Ok(())
}

/// The value of an argument: a number of C, or a character behind a quote.
fn integer(argument: Option<&[u8]>, printed: &mut Printed) -> i64 {
    let text = match argument {
        None | Some(b"") => return 0,
        Some(text) => text.trim_ascii_start(),
    };
    if let [b'\'' | b'"', byte, ..] = text {
        return i64::from(*byte);
    }
    if let Some(value) = arith::number(text) {
        return value;
    }
    let digits = text
        .iter()
        .skip(1)
        .take_while(|byte| byte.is_ascii_digit())
        .count()
        + 1;
    match text.get(..digits).and_then(arith::number) {
        Some(value) => {
            printed
                .complaints
                .push(format!("{}: not completely converted", Text(text)));
            value
        }
        None => {
            printed
                .complaints
                .push(format!("{}: expected numeric value", Text(text)));
            0
        }
    }
}

fn number(letter: u8, spec: Spec, value: i64, printed: &mut Printed) {
    let is_signed = matches!(letter, b'd' | b'i');
    let mut digits = match letter {
        b'd' | b'i' => format!("{}", value.unsigned_abs()),
        b'u' => format!("{}", value as u64),
        b'o' => format!("{value:o}"),
        b'x' => format!("{value:x}"),
        _ => format!("{value:X}"),
    };
    if spec.precision == Some(0) && value == 0 {
        digits.clear();
    }
    let sign = match () {
        () if is_signed && value < 0 => "-",
        () if is_signed && spec.plus => "+",
        () if is_signed && spec.blank => " ",
        () if spec.alternate && letter == b'o' => "0",
        () if spec.alternate && value != 0 && letter == b'x' => "0x",
        () if spec.alternate && value != 0 && letter == b'X' => "0X",
        () => "",
    };
    let wanted = match spec.precision {
        Some(precision) => precision,
        None if spec.zero && !spec.left => spec.width.saturating_sub(sign.len()),
        None => 0,
    };
    let zeros = "0".repeat(wanted.saturating_sub(digits.len()));
    pad(format!("{sign}{zeros}{digits}").as_bytes(), spec, printed);
}

fn pad(text: &[u8], spec: Spec, printed: &mut Printed) {
    let blanks = b" ".repeat(spec.width.saturating_sub(text.len()));
    let (before, after) = if spec.left {
        (&[][..], &blanks[..])
    } else {
        (&blanks[..], &[][..])
    };
    for part in [before, text, after] {
        printed.output.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn printed(text: &str, arguments: &[&str]) -> String {
        let arguments: Vec<&[u8]> = arguments.iter().map(|argument| argument.as_bytes()).collect();
        String::from_utf8(printf(text.as_bytes(), &arguments).output).unwrap()
    }

    #[test]
    fn printf_formats_as_in_c() {
        assert_eq!(printed("%s-%5s|%-5s|\\n", &["a", "b", "c"]), "a-    b|c    |\n");
        assert_eq!(
            printed("%d %i %u %x %X %o\n", &["-5", "+7", "3", "255", "255", "8"]),
            "-5 7 3 ff FF 10\n"
        );
        assert_eq!(
            printed("%05d|%+d|%.3d|%5.1s|", &["42", "7", "5", "xyz"]),
            "00042|+7|005|    x|"
        );
        assert_eq!(printed("%s\n", &["a", "b"]), "a\nb\n");
        assert_eq!(printed("%s %s.", &["a"]), "a .");
        assert_eq!(printed("%b|", &["a\\tb\\0101"]), "a\tbA|");
        assert_eq!(printed("%c%c", &["hello", "x"]), "hx");
        assert_eq!(printed("\\101%%", &[]), "A%");
        assert_eq!(printed("%d", &["'A"]), "65");
        assert_eq!(printed("%*d", &["4", "7"]), "   7");
        assert_eq!(printed("a\\cb", &[]), "a");
        assert_eq!(printed("x", &["unused"]), "x");
    }

    #[test]
    fn what_is_no_number_is_complained_of() {
        let printed = printf(b"%d", &[b"12x"]);
        assert_eq!(printed.output, b"12");
        assert_eq!(printed.complaints, ["12x: not completely converted"]);
        assert_eq!(printf(b"%z", &[]).complaints, ["%z: invalid directive"]);
    }

    #[test]
    fn echo_knows_its_options() {
        assert_eq!(echo(&[b"-n", b"a", b"b"]), b"a b");
        assert_eq!(echo(&[b"-e", b"a\\tb\\0101\\n"]), b"a\tbA\n\n");
        assert_eq!(echo(&[b"a\\tb", b"-n"]), b"a\\tb -n\n");
        assert_eq!(echo(&[b"-x"]), b"-x\n");
        assert_eq!(echo(&[b"-e", b"a\\cb", b"c"]), b"a");
        assert_eq!(echo(&[]), b"\n");
    }

    proptest! {
        #[test]
        fn no_format_panics(text: Vec<u8>, argument: Vec<u8>) {
            let _ = printf(&text, &[&argument]);
            let _ = echo(&[b"-e", &text]);
            let _ = unescape_ansi(&text);
        }
    }
}
