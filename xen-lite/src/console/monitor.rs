//! The monitor's keys: which of the user's are its own, and the line that they edit.
//!
//! Ctrl-] opens the monitor, whatever guests do: it is looked for before any guest gets the key. (Ctrl-A would be an
//! emulator's own.) While the monitor is open all keys are its own, and guests go on running and printing:
//!
//! 1. Ctrl-] again, as the first key, closes the monitor and goes to the guest as it is; later it only closes.
//! 2. Enter runs the line. An empty line closes, and so does Ctrl-D on one; on a line with text Ctrl-D is Enter, so that
//!    piped input may end without a newline.
//! 3. Backspace (8 or 127) erases a character, Ctrl-U and Ctrl-C the line. Sequences that begin with ESC, such as those
//!    of the arrow keys, and all other controls do nothing.
//! 4. A line feed that follows a carriage return belongs to it.
const NEWLINE: u8 = b'\n';
const RETURN: u8 = b'\r';
const ESC: u8 = 0x1b;
const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;
const CTRL_U: u8 = 0x15;

/// Ctrl-], the key that opens the monitor.
pub const ESCAPE: u8 = 0x1d;
/// Most characters of a command line; more are not taken.
pub const MAX_LINE: usize = 100;

/// What a key is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    /// The guest's that has the console.
    Guest(u8),
    /// The monitor has just been opened.
    Opens,
    /// The monitor has just been closed; this byte goes to the guest.
    Closes(Option<u8>),
    /// A character was added to the line.
    Adds(u8),
    /// So many characters at the end of the line were erased.
    Erases(usize),
    /// The line is complete: [`Monitor::line`] is to be run, then [`Monitor::clear`] begins the next one.
    Enter,
    /// Nothing.
    Nothing,
}

/// Where the keys go, and the command line.
#[derive(Clone, Debug)]
pub struct Monitor {
    is_open: bool,
    /// The key before this one opened the monitor.
    is_fresh: bool,
    after_return: bool,
    sequence: Sequence,
    line: [u8; MAX_LINE],
    len: usize,
}

/// How much of a key's sequence of bytes has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sequence {
    None,
    /// ESC.
    Begun,
    /// ESC \[ or ESC O: goes on to a letter or `~`.
    Within,
}

impl Default for Monitor {
    fn default() -> Self {
        Self::new()
    }
}

impl Monitor {
    /// A closed one.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            is_open: false,
            is_fresh: false,
            after_return: false,
            sequence: Sequence::None,
            line: [0; MAX_LINE],
            len: 0,
        }
    }

    /// Whether the keys are the monitor's.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.is_open
    }

    /// The command line so far.
    #[must_use]
    pub fn line(&self) -> &str {
        let line = self.line.get(..self.len).unwrap_or(&[]);
        core::str::from_utf8(line).unwrap_or("")
    }

    /// Begins a new line.
    pub const fn clear(&mut self) {
        self.len = 0;
        self.sequence = Sequence::None;
    }

    /// Gives the keys back to the guest.
    pub const fn close(&mut self) {
        (self.is_open, self.is_fresh) = (false, false);
        self.clear();
    }

    /// Takes a byte that was typed.
    pub fn key(&mut self, byte: u8) -> Key {
        let after_return = core::mem::take(&mut self.after_return);
        if !self.is_open {
            if byte != ESCAPE {
                return Key::Guest(byte);
            }
            self.clear();
            (self.is_open, self.is_fresh) = (true, true);
            return Key::Opens;
        }
        let is_fresh = core::mem::take(&mut self.is_fresh);
        if byte == ESCAPE {
            self.close();
            return Key::Closes(is_fresh.then_some(ESCAPE));
        }
        if self.continues_sequence(byte) {
            return Key::Nothing;
        }
        match byte {
            NEWLINE if after_return => Key::Nothing,
            NEWLINE | RETURN | CTRL_D => {
                self.after_return = byte == RETURN;
                if self.line().trim().is_empty() {
                    self.close();
                    Key::Closes(None)
                } else {
                    Key::Enter
                }
            }
            8 | 127 => self.erase(1),
            CTRL_U | CTRL_C => self.erase(self.len),
            b' '..=b'~' => self.add(byte),
            ESC => {
                self.sequence = Sequence::Begun;
                Key::Nothing
            }
            _ => Key::Nothing,
        }
    }

    fn continues_sequence(&mut self, byte: u8) -> bool {
        let (next, belongs) = match (self.sequence, byte) {
            (Sequence::Begun, b'[' | b'O') => (Sequence::Within, true),
            (Sequence::Within, b' '..=b'?') => (Sequence::Within, true),
            (Sequence::Within, b'@'..=b'~') => (Sequence::None, true),
            _ => (Sequence::None, false),
        };
        self.sequence = next;
        belongs
    }

    fn add(&mut self, byte: u8) -> Key {
        let Some(slot) = self.line.get_mut(self.len) else {
            return Key::Nothing;
        };
        *slot = byte;
        self.len += 1;
        Key::Adds(byte)
    }

    const fn erase(&mut self, count: usize) -> Key {
        let count = if count < self.len { count } else { self.len };
        self.len -= count;
        if count == 0 {
            Key::Nothing
        } else {
            Key::Erases(count)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What goes to the guest, and the lines that were run.
    fn typed(keys: &[u8]) -> (Vec<u8>, Vec<String>) {
        let mut monitor = Monitor::new();
        let (mut guest, mut lines) = (Vec::new(), Vec::new());
        for byte in keys {
            match monitor.key(*byte) {
                Key::Guest(byte) | Key::Closes(Some(byte)) => guest.push(byte),
                Key::Enter => {
                    lines.push(monitor.line().to_owned());
                    monitor.clear();
                }
                _ => {}
            }
        }
        (guest, lines)
    }

    fn lines(keys: &[u8]) -> Vec<String> {
        typed(keys).1
    }

    #[test]
    fn a_closed_monitor_passes_every_key_but_its_own() {
        let all: Vec<u8> = (0..=255).filter(|byte| *byte != ESCAPE).collect();
        assert_eq!(typed(&all), (all, vec![]));
    }

    #[test]
    fn the_escape_key_typed_twice_reaches_the_guest_once() {
        assert_eq!(typed(b"a\x1d\x1db").0, b"a\x1db");
        assert_eq!(typed(b"\x1d\x1d\x1d\x1d").0, b"\x1d\x1d");
    }

    #[test]
    fn the_escape_key_later_only_closes() {
        assert_eq!(typed(b"\x1dli\x1dx"), (b"x".to_vec(), vec![]));
        assert_eq!(
            typed(b"\x1dlist\n\x1dx"),
            (b"x".to_vec(), vec!["list".to_owned()])
        );
    }

    #[test]
    fn keys_are_the_monitors_until_an_empty_line() {
        let (guest, lines) = typed(b"in\x1dlist\nhelp\n\nout\n");
        assert_eq!(
            (guest.as_slice(), lines.join(",").as_str()),
            (&b"inout\n"[..], "list,help")
        );
        assert_eq!(typed(b"\x1d  \nout").0, b"out", "spaces are an empty line");
    }

    #[test]
    fn a_line_can_be_corrected() {
        assert_eq!(lines(b"\x1dlisx\x7ft\n"), ["list"]);
        assert_eq!(lines(b"\x1dlisx\x08t\n"), ["list"]);
        assert_eq!(lines(b"\x1ddestroy web\x15list\n"), ["list"]);
        assert_eq!(lines(b"\x1ddestroy web\x03list\n"), ["list"]);
        assert_eq!(lines(b"\x1d\x7f\x7flist\n"), ["list"], "nothing to erase");
    }

    #[test]
    fn keys_that_mean_nothing_do_nothing() {
        assert_eq!(
            lines(b"\x1d\x1b[Ali\x1b[1;5Cst\x1bOP\x1b[3~\t\x00\xff\n"),
            ["list"]
        );
        assert_eq!(lines(b"\x1d\x1blist\n"), ["list"], "ESC alone");
    }

    #[test]
    fn the_end_of_input_runs_the_line_and_then_closes() {
        assert_eq!(
            typed(b"\x1dlist\x04\x04\x04"),
            (vec![CTRL_D], vec!["list".to_owned()])
        );
    }

    #[test]
    fn a_carriage_return_and_its_newline_are_one_enter() {
        assert_eq!(typed(b"\x1dlist\r\nhelp\r\n\r\nout").1, ["list", "help"]);
        assert_eq!(typed(b"\x1dlist\r\rout").0, b"out");
    }

    proptest! {
        #[test]
        fn the_line_is_printable_and_short_and_nothing_goes_to_the_guest_while_it_is_typed(keys in proptest::collection::vec(prop_oneof![any::<u8>(), Just(ESCAPE)], 0..400)) {
            let mut monitor = Monitor::new();
            monitor.key(ESCAPE);
            for byte in keys {
                let before = monitor.line().len();
                let is_open = monitor.is_open();
                let key = monitor.key(byte);
                prop_assert!(!is_open || !matches!(key, Key::Guest(_)));
                match key {
                    Key::Adds(_) => prop_assert_eq!(monitor.line().len(), before + 1),
                    Key::Erases(count) => prop_assert_eq!(monitor.line().len(), before - count),
                    _ => {}
                }
                prop_assert!(monitor.line().len() <= MAX_LINE);
                prop_assert!(monitor.line().bytes().all(|byte| matches!(byte, b' '..=b'~')));
            }
        }
    }
}
