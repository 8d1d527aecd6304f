//! Lines that were typed before.
use super::Bytes;
use alloc::vec::Vec;

const MOST: usize = 256;

/// The lines, the newest last.
#[derive(Clone, Default, Debug)]
pub struct History(Vec<Bytes>);

impl History {
    /// Keeps a line, unless it is empty or the same as the last one.
    pub fn add(&mut self, line: &[u8]) {
        let is_news = self.0.last().is_none_or(|last| last != line);
        if !line.trim_ascii().is_empty() && is_news {
            if self.0.len() == MOST {
                self.0.remove(0);
            }
            self.0.push(line.to_vec());
        }
    }

    /// The line that is `back` lines before the one being typed.
    #[must_use]
    pub fn back(&self, back: usize) -> Option<&Bytes> {
        self.0.get(self.0.len().checked_sub(back)?)
    }

    /// All lines.
    #[must_use]
    pub fn all(&self) -> &[Bytes] {
        &self.0
    }
}
