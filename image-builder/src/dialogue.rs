//! Somebody at the console who types when something has been said, as a person does.
use std::io::Write;
use std::sync::mpsc::{self, Sender};
use std::thread;

/// What is typed, and after what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Turn {
    /// What the console has to show first, after what was waited for before.
    pub after: String,
    /// What is typed then.
    pub keys: Vec<u8>,
}

impl Turn {
    /// Types `keys` after `after`.
    #[must_use]
    pub fn new(after: &str, keys: &str) -> Self {
        Self {
            after: after.to_owned(),
            keys: keys.as_bytes().to_vec(),
        }
    }
}

/// A dialogue that goes on.
#[derive(Debug)]
pub struct Dialogue {
    turns: std::vec::IntoIter<Turn>,
    /// What was shown and may still be waited for.
    heard: Vec<u8>,
}

impl Dialogue {
    /// Nothing has been shown.
    #[must_use]
    pub fn new(turns: Vec<Turn>) -> Self {
        Self {
            turns: turns.into_iter(),
            heard: Vec::new(),
        }
    }

    /// The console shows this too. What is typed now.
    pub fn hear(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.heard.extend(bytes);
        let mut keys = Vec::new();
        while let Some(turn) = self.turns.as_slice().first() {
            let Some(end) = end_of(&self.heard, turn.after.as_bytes()) else {
                // Only its beginning may have come. Whoever shows much is not listened to twice.
                let kept = turn.after.len().saturating_sub(1);
                self.heard.drain(..self.heard.len().saturating_sub(kept));
                break;
            };
            self.heard.drain(..end);
            keys.extend(&turn.keys);
            self.turns.next();
        }
        keys
    }

    /// What is waited for, if not all has been said.
    #[must_use]
    pub fn awaited(&self) -> Option<&str> {
        self.turns.as_slice().first().map(|turn| turn.after.as_str())
    }
}

/// Somebody who listens to a console and types there.
#[derive(Debug)]
pub struct Talk {
    dialogue: Dialogue,
    keys: Sender<Vec<u8>>,
}

impl Talk {
    /// Types to `to`, in a thread of its own: it may be slow to take the keys.
    #[must_use]
    pub fn start(turns: Vec<Turn>, mut to: impl Write + Send + 'static) -> Self {
        let (sender, keys) = mpsc::channel::<Vec<u8>>();
        thread::spawn(move || {
            keys.into_iter()
                .try_for_each(|keys| to.write_all(&keys).and_then(|()| to.flush()))
        });
        Self {
            dialogue: Dialogue::new(turns),
            keys: sender,
        }
    }

    /// The console shows this.
    pub fn hear(&mut self, bytes: &[u8]) {
        // Nobody may be there any more to be typed to.
        let _ = self.keys.send(self.dialogue.hear(bytes));
    }

    /// As [`Dialogue::awaited`].
    #[must_use]
    pub fn awaited(&self) -> Option<&str> {
        self.dialogue.awaited()
    }
}

/// Where the first `wanted` in `text` ends.
fn end_of(text: &[u8], wanted: &[u8]) -> Option<usize> {
    if wanted.is_empty() {
        return Some(0);
    }
    let start = text.windows(wanted.len()).position(|window| window == wanted)?;
    Some(start + wanted.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_turn_waits_for_its_text_however_it_comes() {
        let turns = || {
            vec![
                Turn::new("# ", "one\n"),
                Turn::new("# ", "two\n"),
                Turn::new("", "at once\n"),
                Turn::new("end", "bye"),
            ]
        };
        let shown = b"login\r\n# one\r\nsaid # and the end";
        for size in 1..=shown.len() {
            let mut dialogue = Dialogue::new(turns());
            let keys: Vec<u8> = shown.chunks(size).flat_map(|part| dialogue.hear(part)).collect();
            assert_eq!(keys, b"one\ntwo\nat once\nbye");
            assert_eq!(dialogue.awaited(), None);
        }
    }

    #[test]
    fn what_was_waited_for_counts_once() {
        let mut dialogue = Dialogue::new(vec![Turn::new("ready", "1"), Turn::new("ready", "2")]);
        assert_eq!(dialogue.hear(b"ready"), b"1");
        assert_eq!(dialogue.hear(b"read"), b"");
        assert_eq!(dialogue.awaited(), Some("ready"));
        assert_eq!(dialogue.hear(b"y"), b"2");
    }
}
