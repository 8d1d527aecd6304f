//! The line that the console's owner is editing: what stands on the terminal after the prefix, and where the cursor is.
//!
//! Every change goes out as the least that a terminal needs, counted in characters of this line: each has at least one
//! column, so a movement to the left by as many columns as there are characters never reaches the prefix.
use core::fmt::Write;

/// Most characters of a line; the next one begins a new line.
pub(super) const MAX_LINE: usize = 1000;

pub(super) struct Line {
    cells: [char; MAX_LINE],
    len: usize,
    cursor: usize,
}

/// A movement or erasure within the line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Edit {
    /// By so many, at most to the beginning.
    Left(usize),
    /// By so many, at most to the end.
    Right(usize),
    /// To the character with this index, at most to the end.
    To(usize),
    /// From the cursor on.
    EraseToEnd,
    /// Everything; the cursor stays.
    EraseAll,
}

impl Line {
    pub(super) const fn new() -> Self {
        Self {
            cells: [' '; MAX_LINE],
            len: 0,
            cursor: 0,
        }
    }

    pub(super) const fn clear(&mut self) {
        self.len = 0;
        self.cursor = 0;
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the next character would not fit.
    pub(super) const fn is_full(&self) -> bool {
        self.cursor >= MAX_LINE
    }

    pub(super) const fn cursor(&self) -> usize {
        self.cursor
    }

    /// Puts a character where the cursor is.
    pub(super) fn put(&mut self, character: char, out: &mut impl Write) {
        if let Some(cell) = self.cells.get_mut(self.cursor) {
            *cell = character;
            self.cursor += 1;
            self.len = self.len.max(self.cursor);
            let _ = out.write_char(character);
        }
    }

    /// Moves over one character as a tabulator does: none is changed, past the end there are spaces.
    pub(super) fn pass(&mut self, out: &mut impl Write) {
        let character = if self.cursor < self.len {
            self.cells.get(self.cursor).copied()
        } else {
            None
        };
        self.put(character.unwrap_or(' '), out);
    }

    pub(super) fn edit(&mut self, edit: Edit, out: &mut impl Write) {
        match edit {
            Edit::Left(count) => self.move_to(self.cursor.saturating_sub(count), out),
            Edit::Right(count) => self.move_to(self.cursor.saturating_add(count), out),
            Edit::To(index) => self.move_to(index, out),
            Edit::EraseToEnd => {
                self.len = self.cursor;
                let _ = out.write_str("\x1b[K");
            }
            Edit::EraseAll => {
                let cursor = self.cursor;
                self.move_to(0, out);
                self.len = 0;
                let _ = out.write_str("\x1b[K");
                for _ in 0..cursor {
                    self.put(' ', out);
                }
            }
        }
    }

    fn move_to(&mut self, index: usize, out: &mut impl Write) {
        let index = index.min(self.len);
        if index < self.cursor {
            let _ = write!(out, "\x1b[{}D", self.cursor - index);
        } else if index > self.cursor {
            let _ = write!(out, "\x1b[{}C", index - self.cursor);
        }
        self.cursor = index;
    }

    /// Prints the whole line anew, after a prefix that has just been printed.
    pub(super) fn reprint(&self, out: &mut impl Write) {
        for character in self.cells.iter().take(self.len) {
            let _ = out.write_char(*character);
        }
        if self.cursor < self.len {
            let _ = write!(out, "\x1b[{}D", self.len - self.cursor);
        }
    }
}
