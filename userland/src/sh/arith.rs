//! Arithmetic: the expressions of C with whole numbers of 64 bits that wrap around.
use super::{Bytes, is_name_byte};
use alloc::format;
use alloc::string::String;

/// The variables of an expression.
pub trait Names {
    /// A variable's value; empty if it is unset.
    ///
    /// # Errors
    /// What to say.
    fn get(&self, name: &[u8]) -> Result<Bytes, String>;
    /// Sets a variable.
    ///
    /// # Errors
    /// What to say.
    fn set(&mut self, name: &[u8], value: i64) -> Result<(), String>;
}

/// How deep expressions may be nested.
const DEPTH: usize = 64;

/// The value of an expression; an empty one is 0.
///
/// # Errors
/// What to say.
pub fn evaluate(expression: &[u8], names: &mut dyn Names) -> Result<i64, String> {
    let mut reader = Reader {
        rest: expression,
        names,
        depth: 0,
    };
    reader.blanks();
    if reader.rest.is_empty() {
        return Ok(0);
    }
    let value = reader.assignment(Use::Real)?;
    if reader.rest.is_empty() {
        Ok(value)
    } else {
        Err(reader.error())
    }
}

/// Whether what is read is done: the other side of `&&`, `||` and `?:` is not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Real,
    Skipped,
}

impl Use {
    fn only_if(self, condition: bool) -> Self {
        if condition { self } else { Self::Skipped }
    }
}

/// Operators with two sides, by how tightly they bind.
const BINARY: &[(&[u8], u8)] = &[
    (b"||", 1),
    (b"&&", 2),
    (b"|", 3),
    (b"^", 4),
    (b"&", 5),
    (b"==", 6),
    (b"!=", 6),
    (b"<=", 7),
    (b">=", 7),
    (b"<<", 8),
    (b">>", 8),
    (b"<", 7),
    (b">", 7),
    (b"+", 9),
    (b"-", 9),
    (b"*", 10),
    (b"/", 10),
    (b"%", 10),
];

struct Reader<'a> {
    rest: &'a [u8],
    names: &'a mut dyn Names,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn error(&self) -> String {
        let what = if self.rest.is_empty() {
            "expecting primary"
        } else {
            "expecting EOF"
        };
        format!(
            "arithmetic expression: {what}: \"{}\"",
            crate::text::Text(self.rest)
        )
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn eat(&mut self, text: &[u8]) -> bool {
        let Some(rest) = self.rest.strip_prefix(text) else {
            return false;
        };
        self.rest = rest;
        self.blanks();
        true
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at_checked(count).unwrap_or((self.rest, &[]));
        self.rest = rest;
        self.blanks();
        taken
    }

    fn name(&mut self) -> Option<&'a [u8]> {
        let first = *self.rest.first()?;
        if !(first.is_ascii_alphabetic() || first == b'_') {
            return None;
        }
        let length = self.rest.iter().take_while(|byte| is_name_byte(**byte)).count();
        Some(self.take(length))
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        if self.depth == DEPTH {
            return Err("arithmetic expression: nested too deep".into());
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// `name = value`, `name += value`, ..., or else a condition.
    fn assignment(&mut self, used: Use) -> Result<i64, String> {
        self.deeper(|reader| {
            let start = reader.rest;
            if let Some(name) = reader.name()
                && let Some(operator) = reader.assigning_operator()
            {
                let right = reader.assignment(used)?;
                let value = match operator {
                    b"" => right,
                    operator => {
                        let left = reader.variable(name, used)?;
                        apply(operator, left, right, used)?
                    }
                };
                if used == Use::Real {
                    reader.names.set(name, value)?;
                }
                return Ok(value);
            }
            reader.rest = start;
            reader.condition(used)
        })
    }

    /// The operator before the `=`, if an assignment comes.
    fn assigning_operator(&mut self) -> Option<&'static [u8]> {
        if self.rest.starts_with(b"=") && !self.rest.starts_with(b"==") {
            self.take(1);
            return Some(b"");
        }
        let all: [&[u8]; 10] = [b"<<", b">>", b"*", b"/", b"%", b"+", b"-", b"&", b"^", b"|"];
        let operator = all.into_iter().find(|operator| {
            self.rest
                .strip_prefix(*operator)
                .is_some_and(|rest| rest.starts_with(b"="))
        })?;
        self.take(operator.len() + 1);
        Some(operator)
    }

    fn condition(&mut self, used: Use) -> Result<i64, String> {
        let condition = self.binary(0, used)?;
        if !self.eat(b"?") {
            return Ok(condition);
        }
        let yes = self.assignment(used.only_if(condition != 0))?;
        if !self.eat(b":") {
            return Err(self.error());
        }
        let no = self.deeper(|reader| reader.condition(used.only_if(condition == 0)))?;
        Ok(if condition != 0 { yes } else { no })
    }

    /// Operators that bind tighter than `floor`.
    fn binary(&mut self, floor: u8, used: Use) -> Result<i64, String> {
        let mut left = self.unary(used)?;
        loop {
            let comes = |(operator, _): &&(&[u8], u8)| self.rest.starts_with(operator);
            let Some((operator, strength)) = BINARY
                .iter()
                .find(comes)
                .filter(|(_, strength)| *strength > floor)
            else {
                return Ok(left);
            };
            self.take(operator.len());
            let right_used = match *operator {
                b"||" => used.only_if(left == 0),
                b"&&" => used.only_if(left != 0),
                _ => used,
            };
            let right = self.deeper(|reader| reader.binary(*strength, right_used))?;
            left = apply(operator, left, right, used)?;
        }
    }

    fn unary(&mut self, used: Use) -> Result<i64, String> {
        self.deeper(|reader| {
            if reader.eat(b"!") {
                return Ok(i64::from(reader.unary(used)? == 0));
            }
            if reader.eat(b"~") {
                return Ok(!reader.unary(used)?);
            }
            if reader.eat(b"-") {
                return Ok(reader.unary(used)?.wrapping_neg());
            }
            if reader.eat(b"+") {
                return reader.unary(used);
            }
            reader.primary(used)
        })
    }

    fn primary(&mut self, used: Use) -> Result<i64, String> {
        if self.eat(b"(") {
            let value = self.assignment(used)?;
            return if self.eat(b")") {
                Ok(value)
            } else {
                Err(self.error())
            };
        }
        if let Some(name) = self.name() {
            return self.variable(name, used);
        }
        let length = self
            .rest
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric())
            .count();
        if length == 0 {
            return Err(format!(
                "arithmetic expression: expecting primary: \"{}\"",
                crate::text::Text(self.rest)
            ));
        }
        let digits = self.take(length);
        number(digits).ok_or_else(|| format!("Illegal number: {}", crate::text::Text(digits)))
    }

    fn variable(&mut self, name: &[u8], used: Use) -> Result<i64, String> {
        if used == Use::Skipped {
            return Ok(0);
        }
        let value = self.names.get(name)?;
        match value.trim_ascii() {
            b"" => Ok(0),
            text => number(text).ok_or_else(|| format!("Illegal number: {}", crate::text::Text(text))),
        }
    }
}

fn apply(operator: &[u8], left: i64, right: i64, used: Use) -> Result<i64, String> {
    if matches!(operator, b"/" | b"%") && right == 0 {
        return match used {
            Use::Real => Err("arithmetic expression: division by zero".into()),
            Use::Skipped => Ok(0),
        };
    }
    Ok(match operator {
        b"||" => i64::from(left != 0 || right != 0),
        b"&&" => i64::from(left != 0 && right != 0),
        b"|" => left | right,
        b"^" => left ^ right,
        b"&" => left & right,
        b"==" => i64::from(left == right),
        b"!=" => i64::from(left != right),
        b"<=" => i64::from(left <= right),
        b">=" => i64::from(left >= right),
        b"<" => i64::from(left < right),
        b">" => i64::from(left > right),
        b"<<" => left.wrapping_shl(right as u32),
        b">>" => left.wrapping_shr(right as u32),
        b"+" => left.wrapping_add(right),
        b"-" => left.wrapping_sub(right),
        b"*" => left.wrapping_mul(right),
        b"/" => left.wrapping_div(right),
        _ => left.wrapping_rem(right),
    })
}

/// A number as in C: decimal, octal with `0`, hexadecimal with `0x`; perhaps after a sign.
#[must_use]
pub fn number(text: &[u8]) -> Option<i64> {
    let text = core::str::from_utf8(text).ok()?;
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let lower = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let value = match lower {
        Some(hex) => u64::from_str_radix(hex, 16).ok()? as i64,
        None if digits.len() > 1 && digits.starts_with('0') => u64::from_str_radix(digits, 8).ok()? as i64,
        // As the C library's conversion does it.
        None => digits.parse().unwrap_or(i64::MAX),
    };
    if lower.is_none() && !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(if is_negative { value.wrapping_neg() } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[derive(Default)]
    struct Map(BTreeMap<Vec<u8>, Vec<u8>>);

    impl Names for Map {
        fn get(&self, name: &[u8]) -> Result<Bytes, String> {
            Ok(self.0.get(name).cloned().unwrap_or_default())
        }
        fn set(&mut self, name: &[u8], value: i64) -> Result<(), String> {
            self.0.insert(name.to_vec(), format!("{value}").into_bytes());
            Ok(())
        }
    }

    fn value(expression: &str) -> Result<i64, String> {
        evaluate(expression.as_bytes(), &mut Map::default())
    }

    #[test]
    fn operators_bind_as_in_c() {
        for (expression, expected) in [
            ("", 0),
            ("1 + 2 * 3", 7),
            ("(1 + 2) * 3", 9),
            ("10 - 3 - 2", 5),
            ("7 / 2 % 2", 1),
            ("1 << 4 | 1", 17),
            ("1 < 2 == 1", 1),
            ("!0 && ~0 == -1", 1),
            ("0 ? 1 : 2 ? 3 : 4", 3),
            ("x = y = 5", 5),
            ("0x1f + 010", 39),
            ("- -3", 3),
            ("1 || 1 / 0", 1),
            ("0 && (x = 1)", 0),
            ("-9223372036854775807 - 2", i64::MAX),
        ] {
            assert_eq!(value(expression), Ok(expected), "{expression}");
        }
        for bad in ["1 / 0", "1 +", "(1", "08", "1 2", "$", "a b", "1 ? 2"] {
            assert!(value(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn assignments_change_variables() {
        let mut names = Map::default();
        assert_eq!(evaluate(b"a = 3", &mut names), Ok(3));
        assert_eq!(evaluate(b"a += a * 2", &mut names), Ok(9));
        assert_eq!(evaluate(b"a <<= 1", &mut names), Ok(18));
        assert_eq!(evaluate(b"1 || (a = 0)", &mut names), Ok(1));
        assert_eq!(evaluate(b"a", &mut names), Ok(18));
    }

    #[test]
    fn what_is_nested_too_deep_is_refused() {
        assert!(value(&"(".repeat(100_000)).is_err());
        assert!(value(&"-".repeat(100_000)).is_err());
        assert!(value(&"1?".repeat(100_000)).is_err());
        assert!(value(&"a=".repeat(100_000)).is_err());
    }

    proptest! {
        #[test]
        fn no_expression_panics(expression in "[-0-9a-c+*/%<>=!&|^~?:() ]{0,40}") {
            let _ = value(&expression);
        }

        #[test]
        fn sums_and_products_wrap(left: i64, right: i64) {
            let of = |operator: &str| value(&format!("({left}) {operator} ({right})"));
            if left != i64::MIN && right != i64::MIN {
                prop_assert_eq!(of("+"), Ok(left.wrapping_add(right)));
                prop_assert_eq!(of("*"), Ok(left.wrapping_mul(right)));
            }
        }
    }
}
