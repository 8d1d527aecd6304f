//! Expansion: what words become. Whatever it needs to know or to have done, it asks of a [`Host`].
use super::arith;
use super::ast::{Change, Extent, List, Missing, Parameter, Part, Word};
use super::split::{Fields, bytes_of};
use super::{Bytes, glob};
use crate::pattern::{Char, Pattern};
use crate::text::Text;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Why an expansion failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure<Flow> {
    /// What to say.
    Message(String),
    /// The shell is on its way elsewhere.
    Flow(Flow),
}

/// What expansion asks of the shell.
pub trait Host: glob::Directories {
    /// Where the shell may be on its way to.
    type Flow;

    /// The value of a variable, or of a special parameter but `@` and `*`.
    fn get(&self, name: &[u8]) -> Option<Bytes>;
    /// Sets a variable.
    ///
    /// # Errors
    /// What to say.
    fn set(&mut self, name: &[u8], value: Bytes) -> Result<(), String>;
    /// `$1` and those after it.
    fn positional(&self) -> Vec<Bytes>;
    /// What the commands print, without newlines at the end.
    ///
    /// # Errors
    /// The shell is on its way elsewhere.
    fn output_of(&mut self, commands: &List) -> Result<Bytes, Self::Flow>;
    /// A user's home directory.
    fn home_of(&self, user: &[u8]) -> Option<Bytes>;
    /// Whether an unset variable is an error (`set -u`).
    fn refuses_unset(&self) -> bool;
    /// Whether file names are patterns (not after `set -f`).
    fn expands_names(&self) -> bool;
}

type Outcome<T, H> = Result<T, Failure<<H as Host>::Flow>>;

/// How text is used where it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It is split, and names are expanded.
    Open,
    /// The same for a word in `${name-word}`: its plain text is split too.
    Inner,
    /// In double quotes: it is not.
    Quoted,
    /// It makes one string: nothing is split, but what is not quoted may be special in a pattern.
    String,
}

/// The fields that `words` become.
///
/// # Errors
/// See [`Failure`].
pub fn fields<H: Host>(host: &mut H, words: &[Word]) -> Outcome<Vec<Bytes>, H> {
    let mut all = Vec::new();
    for word in words {
        let separators = host.get(b"IFS").unwrap_or_else(|| b" \t\n".to_vec());
        let mut fields = Fields::new(&separators);
        expand(host, &word.0, Place::Open, &mut fields)?;
        for field in fields.finish() {
            match host.expands_names() {
                true => glob::expand(host, &field, &mut all),
                false => all.push(bytes_of(&field)),
            }
        }
    }
    Ok(all)
}

/// The one string that `word` becomes.
///
/// # Errors
/// See [`Failure`].
pub fn string<H: Host>(host: &mut H, word: &Word) -> Outcome<Bytes, H> {
    Ok(bytes_of(&chars(host, word)?))
}

/// The pattern that `word` becomes.
///
/// # Errors
/// See [`Failure`].
pub fn pattern<H: Host>(host: &mut H, word: &Word) -> Outcome<Pattern, H> {
    Ok(Pattern::new(&chars(host, word)?))
}

fn chars<H: Host>(host: &mut H, word: &Word) -> Outcome<Vec<Char>, H> {
    let mut fields = Fields::new(b"");
    fields.begin();
    expand(host, &word.0, Place::String, &mut fields)?;
    Ok(fields.finish().concat())
}

fn expand<H: Host>(host: &mut H, parts: &[Part], place: Place, fields: &mut Fields) -> Outcome<(), H> {
    for part in parts {
        match part {
            Part::Plain(text) if place == Place::Quoted => fields.quoted(text),
            Part::Plain(text) if place == Place::Inner => fields.split(text),
            Part::Plain(text) => fields.plain(text),
            Part::Quoted(text) => fields.quoted(text),
            Part::Quotes(inner) => {
                let is_open = matches!(place, Place::Open | Place::Inner);
                if !(is_open && vanishes(host, inner)) {
                    fields.begin();
                }
                let inner_place = if place == Place::String {
                    Place::String
                } else {
                    Place::Quoted
                };
                match inner_place {
                    Place::Quoted => expand(host, inner, Place::Quoted, fields)?,
                    // One string, in which all of this is quoted.
                    _ => {
                        let mut quoted = Fields::new(b"");
                        quoted.begin();
                        expand(host, inner, Place::String, &mut quoted)?;
                        fields.quoted(&bytes_of(&quoted.finish().concat()));
                    }
                }
            }
            Part::Tilde(user) => {
                let home = match user.as_slice() {
                    b"" => host.get(b"HOME"),
                    user => host.home_of(user),
                };
                fields.quoted(&home.unwrap_or_else(|| [b"~", user.as_slice()].concat()));
            }
            Part::Command(list) => {
                let output = host.output_of(list).map_err(Failure::Flow)?;
                result(fields, &output, place);
            }
            Part::Arithmetic(word) => {
                let expression = string(host, word)?;
                let value = arith::evaluate(&expression, &mut Names(host)).map_err(Failure::Message)?;
                result(fields, format!("{value}").as_bytes(), place);
            }
            Part::Parameter(parameter) => self::parameter(host, parameter, place, fields)?,
        }
    }
    Ok(())
}

/// Adds the result of an expansion.
fn result(fields: &mut Fields, text: &[u8], place: Place) {
    match place {
        Place::Open | Place::Inner => fields.split(text),
        Place::Quoted => fields.quoted(text),
        Place::String => fields.plain(text),
    }
}

/// Whether quotes with this inside make no field at all: `"$@"` without parameters.
fn vanishes<H: Host>(host: &H, parts: &[Part]) -> bool {
    let [Part::Parameter(parameter)] = parts else {
        return false;
    };
    parameter.name == b"@" && parameter.change == Change::None && host.positional().is_empty()
}

/// The value of a parameter, `@` and `*` joined.
fn value_of<H: Host>(host: &H, name: &[u8]) -> Option<Bytes> {
    match name {
        b"@" | b"*" => {
            let all = host.positional();
            (!all.is_empty()).then(|| all.join(joint(host, name).as_slice()))
        }
        _ => host.get(name),
    }
}

/// What stands between the parameters of `$*` and `$@` where they make one string.
fn joint<H: Host>(host: &H, name: &[u8]) -> Bytes {
    match (name, host.get(b"IFS")) {
        (b"*", Some(separators)) => separators.first().copied().into_iter().collect(),
        _ => b" ".to_vec(),
    }
}

/// Adds the value of a parameter as it is.
fn plain_parameter<H: Host>(host: &mut H, name: &[u8], place: Place, fields: &mut Fields) -> Outcome<(), H> {
    let each_alone = match name {
        b"@" => place != Place::String,
        b"*" => matches!(place, Place::Open | Place::Inner),
        _ => false,
    };
    if each_alone {
        for (index, value) in host.positional().iter().enumerate() {
            if index > 0 {
                fields.end();
            }
            result(fields, value, place);
        }
        return Ok(());
    }
    match value_of(host, name) {
        Some(value) => result(fields, &value, place),
        None if host.refuses_unset() && !matches!(name, b"@" | b"*") => {
            return Err(Failure::Message(format!("{}: parameter not set", Text(name))));
        }
        None => {}
    }
    Ok(())
}

fn parameter<H: Host>(
    host: &mut H,
    parameter: &Parameter,
    place: Place,
    fields: &mut Fields,
) -> Outcome<(), H> {
    let name = parameter.name.as_slice();
    let is_missing = |missing: Missing, value: &Option<Bytes>| match missing {
        Missing::Unset => value.is_none(),
        Missing::Empty => value.as_ref().is_none_or(Vec::is_empty),
    };
    let value = value_of(host, name);
    match &parameter.change {
        Change::None => return plain_parameter(host, name, place, fields),
        Change::Length => {
            let length = match (name, &value) {
                (b"@" | b"*", _) => host.positional().len(),
                (_, None) if host.refuses_unset() => {
                    return Err(Failure::Message(format!("{}: parameter not set", Text(name))));
                }
                (_, value) => value.as_ref().map_or(0, Vec::len),
            };
            result(fields, format!("{length}").as_bytes(), place);
        }
        Change::Default(missing, _) | Change::Assign(missing, _) | Change::Error(missing, _)
            if !is_missing(*missing, &value) =>
        {
            return plain_parameter(host, name, place, fields);
        }
        Change::Alternative(missing, _) if is_missing(*missing, &value) => {}
        Change::Default(_, word) | Change::Alternative(_, word) => {
            let inner = if place == Place::Open { Place::Inner } else { place };
            expand(host, &word.0, inner, fields)?;
        }
        Change::Assign(_, word) => {
            if !super::is_name(name) {
                return Err(Failure::Message(format!("{}: bad variable name", Text(name))));
            }
            let value = string(host, word)?;
            host.set(name, value.clone()).map_err(Failure::Message)?;
            result(fields, &value, place);
        }
        Change::Error(missing, word) => {
            let message = match (word.0.is_empty(), missing) {
                (true, Missing::Unset) => b"parameter not set".to_vec(),
                (true, Missing::Empty) => b"parameter not set or null".to_vec(),
                (false, _) => string(host, word)?,
            };
            return Err(Failure::Message(format!("{}: {}", Text(name), Text(&message))));
        }
        Change::RemovePrefix(extent, word) | Change::RemoveSuffix(extent, word) => {
            let pattern = pattern(host, word)?;
            let value = match value {
                None if host.refuses_unset() => {
                    return Err(Failure::Message(format!("{}: parameter not set", Text(name))));
                }
                value => value.unwrap_or_default(),
            };
            let kept = match parameter.change {
                Change::RemovePrefix(..) => without_prefix(&value, &pattern, *extent),
                _ => without_suffix(&value, &pattern, *extent),
            };
            result(fields, kept, place);
        }
    }
    Ok(())
}

/// `value` without what `pattern` matches at its beginning.
#[must_use]
pub fn without_prefix<'a>(value: &'a [u8], pattern: &Pattern, extent: Extent) -> &'a [u8] {
    let mut ends = 0..=value.len();
    let matches = |end: &usize| value.get(..*end).is_some_and(|prefix| pattern.matches(prefix));
    let end = match extent {
        Extent::Shortest => ends.find(matches),
        Extent::Longest => ends.rev().find(matches),
    };
    end.and_then(|end| value.get(end..)).unwrap_or(value)
}

/// `value` without what `pattern` matches at its end.
#[must_use]
pub fn without_suffix<'a>(value: &'a [u8], pattern: &Pattern, extent: Extent) -> &'a [u8] {
    let mut starts = 0..=value.len();
    let matches = |start: &usize| value.get(*start..).is_some_and(|suffix| pattern.matches(suffix));
    let start = match extent {
        Extent::Shortest => starts.rev().find(matches),
        Extent::Longest => starts.find(matches),
    };
    start.and_then(|start| value.get(..start)).unwrap_or(value)
}

/// The variables of arithmetic.
struct Names<'a, H>(&'a mut H);

impl<H: Host> arith::Names for Names<'_, H> {
    fn get(&self, name: &[u8]) -> Result<Bytes, String> {
        match self.0.get(name) {
            None if self.0.refuses_unset() => Err(format!("{}: parameter not set", Text(name))),
            value => Ok(value.unwrap_or_default()),
        }
    }

    fn set(&mut self, name: &[u8], value: i64) -> Result<(), String> {
        self.0.set(name, format!("{value}").into_bytes())
    }
}
