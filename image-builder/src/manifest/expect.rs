//! How a domain is expected to end.
use abi::reason::Reason;
use std::fmt;

/// One end of a domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// `"shutdown"` or `"shutdown:CODE"`: it powers itself off with this code.
    Shutdown(u64),
    /// `"reboot"`: it asks to be started again.
    Reboot,
    /// `"killed:REASON"`.
    Killed(Reason),
    /// `"any"`: it powers itself off with code 0, or is killed for whatever reason.
    Any,
}

impl Expect {
    /// Reads the form of the manifest; the error says which forms there are.
    pub fn parse(text: &str) -> Result<Self, String> {
        let forms = "\"shutdown\", \"shutdown:CODE\", \"killed:REASON\", \"reboot\" or \"any\"";
        match text.split_once(':') {
            None if text == "shutdown" => Ok(Self::Shutdown(0)),
            None if text == "reboot" => Ok(Self::Reboot),
            None if text == "any" => Ok(Self::Any),
            Some(("shutdown", code)) => {
                let code = code
                    .parse()
                    .map_err(|_| format!("`{code}` is no shutdown code (a number)"))?;
                Ok(Self::Shutdown(code))
            }
            Some(("killed", reason)) => Reason::from_name(reason).map(Self::Killed).ok_or_else(|| {
                let all: Vec<&str> = Reason::ALL.iter().map(|reason| reason.name()).collect();
                format!("`{reason}` is no reason for a kill (one of {})", all.join(", "))
            }),
            _ => Err(format!("`{text}` is no way to end: write {forms}")),
        }
    }

    /// Whether an end is as expected.
    #[must_use]
    pub fn admits(self, end: Self) -> bool {
        self == end || (self == Self::Any && matches!(end, Self::Shutdown(0) | Self::Killed(_)))
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shutdown(0) => f.write_str("shutdown"),
            Self::Shutdown(code) => write!(f, "shutdown:{code}"),
            Self::Reboot => f.write_str("reboot"),
            Self::Any => f.write_str("any"),
            Self::Killed(reason) => write!(f, "killed:{}", reason.name()),
        }
    }
}

/// Number of a domain's life: 0, and one more for each restart.
pub type Incarnation = usize;

/// What is expected of all of a domain's lives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expectation {
    /// Every incarnation, however many there are, ends like this.
    Every(Expect),
    /// There are exactly as many incarnations, and they end like this.
    Each(Vec<Expect>),
    /// It never ends: a witness.
    Alive,
}

impl Expectation {
    /// The end expected of `incarnation`; `None` if there should be no such end.
    #[must_use]
    pub fn of(&self, incarnation: Incarnation) -> Option<Expect> {
        match self {
            Self::Every(expect) => Some(*expect),
            Self::Each(list) => list.get(incarnation).copied(),
            Self::Alive => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_written_alike() {
        for text in [
            "shutdown",
            "shutdown:7",
            "reboot",
            "any",
            "killed:handler-not-present",
            "killed:guest-panic",
        ] {
            assert_eq!(Expect::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Expect::parse("shutdown:0"), Ok(Expect::Shutdown(0)));
    }

    #[test]
    fn what_is_no_way_to_end_is_refused() {
        for text in [
            "",
            "killed",
            "killed:",
            "killed:bored",
            "shutdown:",
            "shutdown:x",
            "reboot:1",
            "any:1",
            "alive",
        ] {
            assert!(Expect::parse(text).is_err(), "{text}");
        }
    }
}
