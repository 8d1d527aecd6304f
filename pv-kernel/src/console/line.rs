//! The line discipline: keys become lines, as a terminal of Unix has them in its canonical mode.
//!
//! Nothing typed is lost: a line too long for its buffer is handed on as it is, and when what has been handed on fills
//! its own buffer, no more keys are taken until it is read.
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Most bytes of a line that is still being typed.
const LINE_MAX: usize = 4096;
/// Most bytes that wait to be read.
const READY_MAX: usize = 8192;
/// Most records that wait to be read.
const RECORDS_MAX: usize = 1024;

/// A key that is meant for the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    /// Ctrl-C: end the program.
    Interrupt,
}

/// What a read found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Read {
    /// So many bytes.
    Bytes(usize),
    /// The end of input: Ctrl-D on an empty line.
    End,
    /// Nothing yet.
    Nothing,
}

/// Keys between being typed and being read.
#[derive(Debug, Default)]
pub struct LineDiscipline {
    line: Vec<u8>,
    ready: VecDeque<u8>,
    /// Lengths of what one read returns at most; 0 is an end of input.
    records: VecDeque<usize>,
}

const INTERRUPT: u8 = 0x03;
const END: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const DELETE: u8 = 0x7f;
const ERASE_LINE: u8 = 0x15;

impl LineDiscipline {
    /// How many more keys can be taken without losing one.
    #[must_use]
    pub fn room(&self) -> usize {
        let bytes = READY_MAX.saturating_sub(self.ready.len() + self.line.len());
        bytes.min(RECORDS_MAX.saturating_sub(self.records.len()))
    }

    /// Takes one key; `show` prints what the person should see.
    pub fn key(&mut self, key: u8, show: &mut impl FnMut(&[u8])) -> Option<Key> {
        match key {
            b'\r' | b'\n' => {
                self.line.push(b'\n');
                self.hand_on();
                show(b"\n");
            }
            END => self.hand_on(),
            INTERRUPT => {
                *self = Self::default();
                show(b"^C\n");
                return Some(Key::Interrupt);
            }
            BACKSPACE | DELETE => self.erase(show),
            ERASE_LINE => {
                while !self.line.is_empty() {
                    self.erase(show);
                }
            }
            b'\t' | b' '..=b'~' | 0x80.. => {
                self.line.push(key);
                show(&[key]);
                if self.line.len() >= LINE_MAX {
                    self.hand_on();
                }
            }
            // Other control characters mean nothing here.
            _ => {}
        }
        None
    }

    /// Moves bytes of the oldest record into `buffer`.
    pub fn read(&mut self, buffer: &mut [u8]) -> Read {
        let Some(record) = self.records.front_mut() else {
            return Read::Nothing;
        };
        if *record == 0 {
            self.records.pop_front();
            return Read::End;
        }
        let count = buffer.len().min(*record);
        for (target, byte) in buffer
            .iter_mut()
            .zip(self.ready.drain(..count.min(self.ready.len())))
        {
            *target = byte;
        }
        *record -= count;
        if *record == 0 {
            self.records.pop_front();
        }
        Read::Bytes(count)
    }

    fn hand_on(&mut self) {
        self.records.push_back(self.line.len());
        self.ready.extend(self.line.drain(..));
    }

    /// Erases the last character, which may be several bytes of UTF-8.
    fn erase(&mut self, show: &mut impl FnMut(&[u8])) {
        if self.line.is_empty() {
            return;
        }
        while let Some(byte) = self.line.pop() {
            if byte & 0xc0 != 0x80 {
                break;
            }
        }
        show(b"\x08 \x08");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Default)]
    struct Typist {
        discipline: LineDiscipline,
        shown: Vec<u8>,
    }

    impl Typist {
        fn types(&mut self, keys: &[u8]) -> Option<Key> {
            let shown = &mut self.shown;
            let mut signal = None;
            for key in keys {
                let pressed = self.discipline.key(*key, &mut |bytes| shown.extend(bytes));
                signal = signal.or(pressed);
            }
            signal
        }

        fn read(&mut self) -> Option<Vec<u8>> {
            let mut buffer = [0; 9000];
            match self.discipline.read(&mut buffer) {
                Read::Bytes(count) => Some(buffer[..count].to_vec()),
                Read::End => Some(Vec::new()),
                Read::Nothing => None,
            }
        }
    }

    #[test]
    fn a_line_is_read_when_it_is_ended_and_not_before() {
        let mut typist = Typist::default();
        typist.types(b"hel");
        assert_eq!(typist.read(), None);
        typist.types(b"lo\rnext\n");
        assert_eq!(typist.read().unwrap(), b"hello\n");
        assert_eq!(typist.read().unwrap(), b"next\n");
        assert_eq!(typist.shown, b"hello\nnext\n");
    }

    #[test]
    fn backspace_erases_a_character_and_stops_at_the_line_s_start() {
        let mut typist = Typist::default();
        typist.types("xé\x7f\x7f\x7fok\n".as_bytes());
        assert_eq!(typist.read().unwrap(), b"ok\n");
        assert_eq!(typist.shown, "xé\x08 \x08\x08 \x08ok\n".as_bytes());
    }

    #[test]
    fn ctrl_d_ends_the_input_on_an_empty_line_and_hands_on_a_begun_one() {
        let mut typist = Typist::default();
        typist.types(b"abc\x04");
        assert_eq!(typist.read().unwrap(), b"abc");
        typist.types(b"\x04x\n");
        assert_eq!(typist.read().unwrap(), b"");
        assert_eq!(typist.read().unwrap(), b"x\n");
    }

    #[test]
    fn ctrl_c_signals_and_forgets_what_was_typed() {
        let mut typist = Typist::default();
        assert_eq!(typist.types(b"done\nabc\x03"), Some(Key::Interrupt));
        assert_eq!(typist.read(), None);
    }

    #[test]
    fn ctrl_u_erases_the_line() {
        let mut typist = Typist::default();
        typist.types(b"abc\x15d\n");
        assert_eq!(typist.read().unwrap(), b"d\n");
    }

    #[test]
    fn a_short_buffer_takes_a_line_in_parts() {
        let mut typist = Typist::default();
        typist.types(b"abcdef\ng\n");
        let mut buffer = [0; 4];
        assert_eq!(typist.discipline.read(&mut buffer), Read::Bytes(4));
        assert_eq!(&buffer, b"abcd");
        assert_eq!(typist.discipline.read(&mut buffer), Read::Bytes(3));
        assert_eq!(&buffer[..3], b"ef\n");
    }

    #[test]
    fn a_line_of_any_length_loses_nothing() {
        let mut typist = Typist::default();
        let long = vec![b'x'; LINE_MAX + 10];
        typist.types(&long);
        typist.types(b"\n");
        let mut read = typist.read().unwrap();
        read.extend(typist.read().unwrap());
        assert_eq!(read.len(), long.len() + 1);
    }

    proptest! {
        #[test]
        fn keys_taken_while_there_is_room_never_exceed_the_buffers(
            keys in prop::collection::vec(any::<u8>(), 0..20_000),
        ) {
            let mut discipline = LineDiscipline::default();
            for key in keys {
                if discipline.room() > 0 {
                    discipline.key(key, &mut |_| ());
                }
            }
            prop_assert!(discipline.ready.len() <= READY_MAX + 1);
            prop_assert!(discipline.records.len() <= RECORDS_MAX + 1);
            prop_assert_eq!(discipline.records.iter().sum::<usize>(), discipline.ready.len());
        }
    }
}
