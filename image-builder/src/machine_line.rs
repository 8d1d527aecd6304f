//! Lines for machines: what the hypervisor says on the second serial port.
use std::fmt;

/// How each of them starts.
pub const PREFIX: &str = "xen-lite: ";

/// One line: `xen-lite: ` and `key=value` pairs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MachineLine {
    text: String,
    pairs: Vec<(String, String)>,
}

impl MachineLine {
    /// Reads a line without its end; `None` if it is not one of these.
    ///
    /// A word without `=` belongs to the value before it: a panic's message may have spaces.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let rest = line.strip_prefix(PREFIX)?;
        let mut pairs: Vec<(String, String)> = Vec::new();
        for word in rest.split_whitespace() {
            match (word.split_once('='), pairs.last_mut()) {
                (Some((key, value)), _) => pairs.push((key.to_owned(), value.to_owned())),
                (None, Some((_, value))) => {
                    value.push(' ');
                    value.push_str(word);
                }
                (None, None) => return None,
            }
        }
        Some(Self {
            text: line.to_owned(),
            pairs,
        })
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// The value of `key` as a number, decimal or with `0x`.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        let value = self.get(key)?;
        match value.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => value.parse().ok(),
        }
    }

    /// Whether `event` is its event.
    #[must_use]
    pub fn is_event(&self, event: &str) -> bool {
        self.get("event") == Some(event)
    }

    /// Whether it is about the domain called `name`.
    #[must_use]
    pub fn is_about(&self, name: &str) -> bool {
        self.get("name") == Some(name)
    }
}

impl fmt::Display for MachineLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_values_and_values_may_be_numbers() {
        let line = MachineLine::parse("xen-lite: domain=1 name=web state=killed rip=0xff cs=0x11").unwrap();
        assert_eq!(line.get("state"), Some("killed"));
        assert_eq!(line.number("domain"), Some(1));
        assert_eq!(line.number("rip"), Some(255));
        assert_eq!(line.number("name"), None);
        assert_eq!(line.get("reason"), None);
        assert!(line.is_about("web") && !line.is_event("end"));
    }

    #[test]
    fn words_without_a_key_belong_to_the_value_before() {
        let line =
            MachineLine::parse("xen-lite: event=panic at=main.rs:7 message=index out of range").unwrap();
        assert_eq!(line.get("message"), Some("index out of range"));
    }

    #[test]
    fn other_lines_are_none_of_these() {
        assert_eq!(MachineLine::parse("[web] xen-lite: event=end"), None);
        assert_eq!(MachineLine::parse(" xen-lite: event=end"), None);
        assert_eq!(MachineLine::parse("xen-lite: hello"), None);
    }
}
