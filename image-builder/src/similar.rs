//! A name that is not there: which of those that are may have been meant.

/// How like two names must be, where 1 is the same and each letter that is missing, wrong or in its neighbour's place
/// takes away one part in the length of the longer one.
const ALIKE: f64 = 0.6;

/// Of `names`, the one most like `typed`, if any is like it.
#[must_use]
pub fn similar<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |name: &str| strsim::normalized_damerau_levenshtein(typed, name);
    names
        .into_iter()
        .map(|name| (likeness(name), name))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::similar;

    #[test]
    fn a_slip_of_the_hand_is_known_and_another_name_is_not() {
        let scenes = ["cat", "two", "default", "dies-panic"];
        assert_eq!(similar("tow", scenes), Some("two"));
        assert_eq!(similar("two", scenes), Some("two"));
        assert_eq!(similar("defualt", scenes), Some("default"));
        assert_eq!(similar("dies-panics", scenes), Some("dies-panic"));
        assert_eq!(similar("busybox", scenes), None);
        assert_eq!(similar("", scenes), None);
    }
}
