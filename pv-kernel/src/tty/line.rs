//! The line discipline: from keys to what programs read, as Linux's `n_tty` does it.
//!
//! Nothing typed is lost: a line too long for its buffer is handed on as it is, and when what has been handed on fills
//! its own buffer, no more keys are taken until it is read. Two things are kinder than Linux's, for programs that
//! change between lines and single keys while someone types ahead: an end of input that nobody has read becomes the
//! key again when lines end to be made, and keys that nobody has read become lines when they begin.
use super::termios::{Key, Termios};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;

/// Most bytes of a line that is still being typed.
const LINE_MAX: usize = 4096;
/// Most bytes that wait to be read.
const READY_MAX: usize = 8192;
/// Most records that wait to be read.
const RECORDS_MAX: usize = 1024;

/// A key that is meant for the foreground processes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-\.
    Quit,
    /// Ctrl-Z.
    Suspend,
}

/// What a read of a line found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Read {
    /// So many bytes.
    Bytes(usize),
    /// The end of input: Ctrl-D on an empty line.
    End,
    /// Nothing yet.
    Nothing,
}

/// Where keys are shown.
pub trait Screen {
    /// Shows bytes.
    fn show(&mut self, bytes: &[u8]);

    /// How far to the right the next one goes.
    fn column(&self) -> usize;
}

/// Keys between being typed and being read.
#[derive(Debug, Default)]
pub struct LineDiscipline {
    line: Vec<u8>,
    /// Column at which the line begins.
    line_column: usize,
    ready: VecDeque<u8>,
    /// Lengths of what one read returns at most; 0 is an end of input. Without lines there are none.
    records: VecDeque<usize>,
    /// The next key means nothing but itself.
    literal: bool,
}

/// What an erasing key takes away.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    Character,
    Word,
    Line,
}

impl LineDiscipline {
    /// How many more keys can be taken without losing one.
    #[must_use]
    pub fn room(&self) -> usize {
        let bytes = READY_MAX.saturating_sub(self.ready.len() + self.line.len());
        bytes.min(RECORDS_MAX.saturating_sub(self.records.len()))
    }

    /// Bytes that a read would find at once: of the next line, or of all keys where there are no lines.
    #[must_use]
    pub fn readable(&self, termios: &Termios) -> usize {
        if termios.is_canonical() {
            self.records.front().copied().unwrap_or(0)
        } else {
            self.ready.len()
        }
    }

    /// Whether a read of a line would find something, be it the end.
    #[must_use]
    pub fn has_record(&self) -> bool {
        !self.records.is_empty()
    }

    /// Forgets what has not been read.
    pub fn flush(&mut self) {
        *self = Self::default();
    }

    /// Takes one key.
    pub fn key(&mut self, termios: &Termios, key: u8, screen: &mut dyn Screen) -> Option<Signal> {
        if core::mem::take(&mut self.literal) {
            self.put(termios, key, screen);
            return None;
        }
        if termios.has(linux::ISIG)
            && let Some(signal) = signal_of(termios, key)
        {
            if !termios.has(linux::NOFLSH) {
                self.flush();
            }
            echo(termios, key, screen);
            return Some(signal);
        }
        let typed = key;
        let key = match typed {
            b'\r' if termios.input_has(linux::IGNCR) => return None,
            b'\r' if termios.input_has(linux::ICRNL) => b'\n',
            b'\n' if termios.input_has(linux::INLCR) => b'\r',
            key => key,
        };
        let extended = termios.has(linux::IEXTEN);
        if extended && termios.is_canonical() && termios.is(Key::Literal, key) {
            self.literal = true;
            if termios.has(linux::ECHO | linux::ECHOCTL) {
                screen.show(b"^\x08");
            }
        } else if termios.is_canonical() {
            self.canonical_key(termios, key, screen);
        } else {
            // As on Linux, where a line feed of its own is a control character like any other.
            if key == b'\n' && typed == b'\r' && termios.has(linux::ECHO) {
                screen.show(b"\n");
            } else {
                echo(termios, key, screen);
            }
            self.ready.push_back(key);
        }
        None
    }

    fn canonical_key(&mut self, termios: &Termios, key: u8, screen: &mut dyn Screen) {
        let extended = termios.has(linux::IEXTEN);
        if termios.is(Key::Erase, key) {
            self.erase(termios, Extent::Character, screen);
        } else if termios.is(Key::Kill, key) {
            self.erase(termios, Extent::Line, screen);
        } else if extended && termios.is(Key::WordErase, key) {
            self.erase(termios, Extent::Word, screen);
        } else if extended && termios.has(linux::ECHO) && termios.is(Key::Reprint, key) {
            self.reprint(termios, key, screen);
        } else if key == b'\n' {
            if termios.has(linux::ECHO) || termios.has(linux::ECHONL) {
                screen.show(b"\n");
            }
            self.line.push(key);
            self.hand_on();
        } else if termios.is(Key::End, key) {
            self.hand_on();
        } else if termios.is(Key::Line, key) || extended && termios.is(Key::OtherLine, key) {
            echo(termios, key, screen);
            self.line.push(key);
            self.hand_on();
        } else {
            self.put(termios, key, screen);
        }
    }

    /// A key that means itself.
    fn put(&mut self, termios: &Termios, key: u8, screen: &mut dyn Screen) {
        if !termios.is_canonical() {
            echo(termios, key, screen);
            self.ready.push_back(key);
            return;
        }
        if self.line.is_empty() {
            self.line_column = screen.column();
        }
        echo(termios, key, screen);
        self.line.push(key);
        if self.line.len() >= LINE_MAX {
            self.hand_on();
        }
    }

    /// Moves bytes of the oldest line into `buffer`.
    pub fn read_line(&mut self, buffer: &mut [u8]) -> Read {
        let Some(record) = self.records.front_mut() else {
            return Read::Nothing;
        };
        if *record == 0 {
            self.records.pop_front();
            return Read::End;
        }
        let count = buffer.len().min(*record);
        *record -= count;
        if *record == 0 {
            self.records.pop_front();
        }
        self.read_keys(buffer.get_mut(..count).unwrap_or(&mut []));
        Read::Bytes(count)
    }

    /// Moves keys into `buffer`; how many.
    pub fn read_keys(&mut self, buffer: &mut [u8]) -> usize {
        let count = buffer.len().min(self.ready.len());
        for (target, byte) in buffer.iter_mut().zip(self.ready.drain(..count)) {
            *target = byte;
        }
        count
    }

    /// Goes from `old` settings to `new` ones; what keys that wait to be read then mean.
    pub fn change(
        &mut self,
        old: &Termios,
        new: &Termios,
        screen: &mut dyn Screen,
        signal: &mut dyn FnMut(Signal),
    ) {
        match (old.is_canonical(), new.is_canonical()) {
            (true, false) => self.lines_to_keys(old),
            (false, true) => {
                let keys = core::mem::take(&mut self.ready);
                // Showing them was the affair of whoever read keys until now.
                let mut quiet = Silent(screen.column());
                for key in keys {
                    if let Some(pressed) = self.key(new, key, &mut quiet) {
                        signal(pressed);
                    }
                }
            }
            _ => {}
        }
    }

    fn lines_to_keys(&mut self, termios: &Termios) {
        let mut lines = core::mem::take(&mut self.ready);
        for record in core::mem::take(&mut self.records) {
            match record {
                0 => self.ready.push_back(termios.key(Key::End)),
                _ => self.ready.extend(lines.drain(..record.min(lines.len()))),
            }
        }
        self.ready.extend(self.line.drain(..));
    }

    fn hand_on(&mut self) {
        self.records.push_back(self.line.len());
        self.ready.extend(self.line.drain(..));
    }

    fn erase(&mut self, termios: &Termios, extent: Extent, screen: &mut dyn Screen) {
        if self.line.is_empty() {
            return;
        }
        if extent == Extent::Line && !termios.has(linux::ECHO | linux::ECHOK | linux::ECHOKE | linux::ECHOE) {
            self.line.clear();
            echo(termios, termios.key(Key::Kill), screen);
            if termios.has(linux::ECHO | linux::ECHOK) {
                screen.show(b"\n");
            }
            return;
        }
        let mut in_word = false;
        while let Some(start) = last_character(termios, &self.line) {
            let first = self.line.get(start).copied().unwrap_or(0);
            let is_word = is_word(first);
            if extent == Extent::Word && in_word && !is_word {
                break;
            }
            in_word |= is_word;
            if extent == Extent::Character && !termios.has(linux::ECHOE) {
                echo(termios, termios.key(Key::Erase), screen);
            } else if termios.has(linux::ECHO) {
                self.unshow(termios, start, screen);
            }
            self.line.truncate(start);
            if extent == Extent::Character {
                break;
            }
        }
    }

    /// Takes the character at `start`, the last one, off the screen.
    fn unshow(&self, termios: &Termios, start: usize, screen: &mut dyn Screen) {
        let column = |end: usize| {
            let shown = self.line.get(..end).unwrap_or(&[]).iter();
            shown.fold(self.line_column, |column, byte| {
                column + width(termios, *byte, column)
            })
        };
        let wide = column(self.line.len()).saturating_sub(column(start));
        let is_tab = self.line.get(start) == Some(&b'\t');
        for _ in 0..wide {
            screen.show(if is_tab { b"\x08" } else { b"\x08 \x08" });
        }
    }

    fn reprint(&mut self, termios: &Termios, key: u8, screen: &mut dyn Screen) {
        echo(termios, key, screen);
        screen.show(b"\n");
        self.line_column = screen.column();
        for byte in &self.line {
            echo(termios, *byte, screen);
        }
    }
}

/// A screen that shows nothing.
struct Silent(usize);

impl Screen for Silent {
    fn show(&mut self, _: &[u8]) {}

    fn column(&self) -> usize {
        self.0
    }
}

fn signal_of(termios: &Termios, key: u8) -> Option<Signal> {
    [
        (Key::Interrupt, Signal::Interrupt),
        (Key::Quit, Signal::Quit),
        (Key::Suspend, Signal::Suspend),
    ]
    .into_iter()
    .find_map(|(which, signal)| termios.is(which, key).then_some(signal))
}

/// Shows a key, control characters as `^X`.
fn echo(termios: &Termios, key: u8, screen: &mut dyn Screen) {
    if !termios.has(linux::ECHO) {
        return;
    }
    if termios.has(linux::ECHOCTL) && is_control(key) {
        screen.show(&[b'^', key ^ 0x40]);
    } else {
        screen.show(&[key]);
    }
}

/// Whether a key is shown as two characters.
const fn is_control(key: u8) -> bool {
    key.is_ascii_control() && key != b'\t'
}

/// Whether a character that begins so is part of a word; Linux takes bytes for Latin-1, which serves UTF-8 as well.
const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0xc0 && byte != 0xd7 && byte != 0xf7
}

/// Columns that a byte takes which is shown at `column`.
fn width(termios: &Termios, byte: u8, column: usize) -> usize {
    match byte {
        b'\t' => 8 - column % 8,
        _ if is_control(byte) => {
            if termios.has(linux::ECHOCTL) {
                2
            } else {
                0
            }
        }
        _ if is_continuation(termios, byte) => 0,
        _ => 1,
    }
}

/// Whether a byte is part of a character that began before it.
fn is_continuation(termios: &Termios, byte: u8) -> bool {
    termios.input_has(linux::IUTF8) && byte & 0xc0 == 0x80
}

/// Where the last character of a line begins; nothing if there is no whole one.
fn last_character(termios: &Termios, line: &[u8]) -> Option<usize> {
    line.iter().rposition(|byte| !is_continuation(termios, *byte))
}

#[cfg(test)]
mod tests;
