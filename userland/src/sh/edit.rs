//! The line editor: keys in, a line out, and what to send to the terminal meanwhile.
//!
//! Of what terminals can do it uses carriage return, the cursor to the right (`ESC [ n C`) and erasing to the right
//! (`ESC [ K`, `ESC [ J`): a line that is longer than the terminal is wide is shown in part. What is added at the end is
//! simply printed, so that a transcript of lines that nobody edits is plain text.
use super::Bytes;
use super::history::History;
use super::keys::{Key, Keys};
use alloc::vec::Vec;

/// What has come of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Nothing that others must know.
    Edited,
    /// The line is complete.
    Line(Bytes),
    /// Ctrl-C: the line is given up.
    Interrupted,
    /// Ctrl-D on an empty line: the end of input.
    End,
    /// The word before the cursor wants to be completed.
    Complete,
}

/// A line that is being edited.
#[derive(Clone, Debug)]
pub struct Editor {
    prompt: Bytes,
    columns: usize,
    line: Bytes,
    cursor: usize,
    keys: Keys,
    /// How many lines back in the history; 0 is the line being typed, which is kept meanwhile.
    back: usize,
    typed: Bytes,
    cut: Bytes,
    /// The first byte that is shown.
    shown_from: usize,
    output: Bytes,
}

impl Editor {
    /// An empty line behind a prompt, on a terminal with so many columns.
    #[must_use]
    pub fn new(prompt: &[u8], columns: usize) -> Self {
        Self {
            prompt: prompt.to_vec(),
            columns,
            line: Bytes::new(),
            cursor: 0,
            keys: Keys::default(),
            back: 0,
            typed: Bytes::new(),
            cut: Bytes::new(),
            shown_from: 0,
            output: prompt.to_vec(),
        }
    }

    /// What to send to the terminal.
    pub fn take_output(&mut self) -> Bytes {
        core::mem::take(&mut self.output)
    }

    /// The part of the line before the cursor.
    #[must_use]
    pub fn before_cursor(&self) -> &[u8] {
        self.line.get(..self.cursor).unwrap_or(&self.line)
    }

    /// Takes a byte from the terminal.
    pub fn feed(&mut self, byte: u8, history: &History) -> Event {
        let Some(key) = self.keys.feed(byte) else {
            return Event::Edited;
        };
        match key {
            Key::Text(byte) => self.insert(&[byte]),
            Key::Enter => return self.finish(b"\n", Event::Line(self.line.clone())),
            Key::Tab => return Event::Complete,
            Key::Ctrl(b'c') => return self.finish(b"^C\n", Event::Interrupted),
            Key::Ctrl(b'd') if self.line.is_empty() => return self.finish(b"\n", Event::End),
            Key::Backspace => self.erase(self.previous(self.cursor), self.cursor),
            Key::Delete | Key::Ctrl(b'd') => self.erase(self.cursor, self.next(self.cursor)),
            Key::Left | Key::Ctrl(b'b') => self.move_to(self.previous(self.cursor)),
            Key::Right | Key::Ctrl(b'f') => self.move_to(self.next(self.cursor)),
            Key::Home | Key::Ctrl(b'a') => self.move_to(0),
            Key::End | Key::Ctrl(b'e') => self.move_to(self.line.len()),
            Key::Ctrl(b'u') => self.cut(0, self.cursor),
            Key::Ctrl(b'k') => self.cut(self.cursor, self.line.len()),
            Key::Ctrl(b'w') => self.cut(self.word_start(), self.cursor),
            Key::Ctrl(b'y') => self.insert(&self.cut.clone()),
            Key::Ctrl(b'l') => {
                self.output.extend_from_slice(b"\r\x1b[J");
                self.show();
            }
            Key::Up | Key::Ctrl(b'p') => self.recall(self.back + 1, history),
            Key::Down | Key::Ctrl(b'n') => {
                if let Some(back) = self.back.checked_sub(1) {
                    self.recall(back, history);
                }
            }
            Key::Ctrl(_) => {}
        }
        Event::Edited
    }

    /// Inserts text at the cursor.
    pub fn insert(&mut self, text: &[u8]) {
        let at_end = self.cursor == self.line.len();
        self.line.splice(self.cursor..self.cursor, text.iter().copied());
        self.cursor += text.len();
        if at_end && self.shown_from == 0 && self.width(0, self.line.len()) < self.room() {
            self.output.extend_from_slice(text);
        } else {
            self.show();
        }
    }

    /// Shows the line again, after something else was printed: `begin` is what came last, a newline say.
    pub fn show_after(&mut self, begin: &[u8]) {
        self.output.extend_from_slice(begin);
        self.show();
    }

    /// Ends the line; all of it is shown now.
    fn finish(&mut self, end: &[u8], event: Event) -> Event {
        if self.shown_from != 0 || self.width(0, self.line.len()) >= self.room() {
            let all = [b"\r\x1b[K", self.prompt.as_slice(), &self.line].concat();
            self.output.extend_from_slice(&all);
        } else if self.cursor != self.line.len() {
            self.move_to(self.line.len());
        }
        self.output.extend_from_slice(end);
        event
    }

    fn erase(&mut self, from: usize, to: usize) {
        if from < to {
            self.line.drain(from..to.min(self.line.len()));
            self.cursor = from;
            self.show();
        }
    }

    fn cut(&mut self, from: usize, to: usize) {
        if let Some(cut) = self.line.get(from..to).filter(|cut| !cut.is_empty()) {
            self.cut = cut.to_vec();
            self.erase(from, to);
        }
    }

    fn move_to(&mut self, place: usize) {
        if place != self.cursor {
            self.cursor = place;
            self.show();
        }
    }

    fn recall(&mut self, back: usize, history: &History) {
        if self.back == 0 {
            self.typed.clone_from(&self.line);
        }
        let line = match back {
            0 => self.typed.clone(),
            back => match history.back(back) {
                Some(line) => line.clone(),
                None => return,
            },
        };
        self.back = back;
        self.line = line;
        self.cursor = self.line.len();
        self.show();
    }

    /// The character that begins before `place`: bytes of UTF-8 belong together.
    fn previous(&self, place: usize) -> usize {
        let before = self.line.get(..place).unwrap_or(&[]);
        before.iter().rposition(|byte| begins_char(*byte)).unwrap_or(0)
    }

    fn next(&self, place: usize) -> usize {
        let mut after = self.line.iter().enumerate().skip(place + 1);
        let next = after.find(|(_, byte)| begins_char(**byte)).map(|(next, _)| next);
        next.unwrap_or(self.line.len())
    }

    /// The beginning of the word before the cursor.
    fn word_start(&self) -> usize {
        let before = self.before_cursor();
        let end = before
            .iter()
            .rposition(|byte| *byte != b' ')
            .map_or(0, |last| last + 1);
        let word = before.get(..end).unwrap_or(&[]);
        word.iter()
            .rposition(|byte| *byte == b' ')
            .map_or(0, |blank| blank + 1)
    }

    /// Columns of a part of the line.
    fn width(&self, from: usize, to: usize) -> usize {
        let part = self.line.get(from..to).unwrap_or(&[]);
        part.iter().filter(|byte| begins_char(**byte)).count()
    }

    /// Columns for the line.
    fn room(&self) -> usize {
        self.columns.saturating_sub(self.prompt.len() + 1).max(8)
    }

    /// Shows the prompt and as much of the line as there is room for, and puts the cursor where it belongs.
    fn show(&mut self) {
        let room = self.room();
        if self.cursor < self.shown_from {
            self.shown_from = self.cursor;
        }
        while self.width(self.shown_from, self.cursor) >= room {
            self.shown_from = self.next(self.shown_from);
        }
        // When there is room again, what is left of the window comes back.
        while self.shown_from > 0 && self.width(self.previous(self.shown_from), self.line.len()) < room {
            self.shown_from = self.previous(self.shown_from);
        }
        let mut end = self.shown_from;
        while end < self.line.len() && self.width(self.shown_from, end) + 1 < room {
            end = self.next(end);
        }
        self.output.extend_from_slice(b"\r\x1b[K");
        self.output.extend_from_slice(&self.prompt);
        self.output
            .extend_from_slice(self.line.get(self.shown_from..end).unwrap_or(&[]));
        if end != self.cursor {
            let column = self.prompt.len() + self.width(self.shown_from, self.cursor);
            self.output.push(b'\r');
            if column > 0 {
                self.output
                    .extend_from_slice(alloc::format!("\x1b[{column}C").as_bytes());
            }
        }
    }
}

fn begins_char(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

/// What can be done about completing a word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Completion {
    /// There is nothing.
    None,
    /// This belongs behind the cursor.
    Insert(Bytes),
    /// There are several that begin so.
    Several,
}

/// Completes `word` from what it might become.
#[must_use]
pub fn complete(word: &[u8], candidates: &[Bytes]) -> Completion {
    let fitting: Vec<&Bytes> = candidates
        .iter()
        .filter(|candidate| candidate.starts_with(word))
        .collect();
    let Some((first, others)) = fitting.split_first() else {
        return Completion::None;
    };
    let same = |other: &Bytes| first.iter().zip(other).take_while(|(a, b)| a == b).count();
    let common = others
        .iter()
        .map(|other| same(other))
        .min()
        .unwrap_or(first.len());
    let mut more = first.get(word.len()..common).unwrap_or(&[]).to_vec();
    if others.is_empty() && !first.ends_with(b"/") {
        more.push(b' ');
    }
    match (more.is_empty(), others.is_empty()) {
        (true, false) => Completion::Several,
        (true, true) => Completion::None,
        (false, _) => Completion::Insert(more),
    }
}
