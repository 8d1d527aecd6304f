//! `getopts`: options of a script, one after another.
use super::Bytes;

/// What comes next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// An option, and its argument if it takes one.
    Option(u8, Option<Bytes>),
    /// One that is not known.
    Unknown(u8),
    /// One whose argument is missing.
    NoArgument(u8),
    /// There are no more.
    End,
}

/// Where the search stands: the argument's index (from 1 on, as in `OPTIND`), and the place in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The argument, from 1 on.
    pub index: usize,
    /// Letters of it that have been seen.
    pub letters: usize,
}

/// The next option of `arguments` by `known` (letters, a colon behind those that take an argument).
pub fn next(known: &[u8], arguments: &[Bytes], place: &mut Place) -> Found {
    let argument_at = |index: usize| index.checked_sub(1).and_then(|index| arguments.get(index));
    let letters = match argument_at(place.index) {
        Some(argument) if argument == b"--" => {
            place.index += 1;
            return Found::End;
        }
        Some(argument) if argument.len() > 1 && argument.starts_with(b"-") => argument,
        _ => return Found::End,
    };
    let Some(letter) = letters.get(1 + place.letters).copied() else {
        *place = Place {
            index: place.index + 1,
            letters: 0,
        };
        return next(known, arguments, place);
    };
    place.letters += 1;
    let rest = letters.get(1 + place.letters..).unwrap_or(&[]);
    let known = known.strip_prefix(b":").unwrap_or(known);
    let at = known
        .iter()
        .position(|option| *option == letter && letter != b':');
    let takes_argument = at.is_some_and(|at| known.get(at + 1) == Some(&b':'));
    let mut argument = None;
    if takes_argument && !rest.is_empty() {
        argument = Some(rest.to_vec());
    } else if takes_argument {
        place.index += 1;
        argument = argument_at(place.index).cloned();
    }
    if rest.is_empty() || takes_argument {
        *place = Place {
            index: place.index + 1,
            letters: 0,
        };
    }
    match (at, takes_argument, argument) {
        (None, _, _) => Found::Unknown(letter),
        (Some(_), true, None) => Found::NoArgument(letter),
        (Some(_), _, argument) => Found::Option(letter, argument),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn options_come_one_after_another() {
        let arguments: Vec<Bytes> = ["-ab", "-cvalue", "-c", "other", "-x", "-c"]
            .map(|text| text.into())
            .into();
        let mut place = Place { index: 1, letters: 0 };
        let mut found = || next(b"abc:", &arguments, &mut place);
        assert_eq!(found(), Found::Option(b'a', None));
        assert_eq!(found(), Found::Option(b'b', None));
        assert_eq!(found(), Found::Option(b'c', Some(b"value".to_vec())));
        assert_eq!(found(), Found::Option(b'c', Some(b"other".to_vec())));
        assert_eq!(found(), Found::Unknown(b'x'));
        assert_eq!(found(), Found::NoArgument(b'c'));
        assert_eq!(found(), Found::End);
    }

    #[test]
    fn two_dashes_and_words_end_the_options() {
        let mut place = Place { index: 1, letters: 0 };
        assert_eq!(
            next(b"a", &[b"--".to_vec(), b"-a".to_vec()], &mut place),
            Found::End
        );
        assert_eq!(place.index, 2);
        let mut place = Place { index: 1, letters: 0 };
        assert_eq!(next(b"a", &[b"word".to_vec()], &mut place), Found::End);
        assert_eq!(place.index, 1);
    }
}
