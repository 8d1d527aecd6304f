use super::*;
use proptest::prelude::*;

#[derive(Default)]
struct Shown {
    bytes: Vec<u8>,
    column: usize,
}

impl Screen for Shown {
    fn show(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.column += bytes.len();
    }

    fn column(&self) -> usize {
        self.column
    }
}

#[derive(Default)]
struct Typist {
    discipline: LineDiscipline,
    termios: Termios,
    shown: Shown,
}

impl Typist {
    fn without(flags: u32) -> Self {
        let mut typist = Self::default();
        typist.termios.local &= !flags;
        typist
    }

    fn types(&mut self, keys: &[u8]) -> Option<Signal> {
        let mut signal = None;
        for key in keys {
            let pressed = self.discipline.key(&self.termios, *key, &mut self.shown);
            signal = signal.or(pressed);
        }
        signal
    }

    fn change(&mut self, new: Termios) {
        let old = core::mem::replace(&mut self.termios, new);
        self.discipline.change(&old, &new, &mut self.shown, &mut |_| ());
    }

    fn read(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0; 9000];
        match self.discipline.read_line(&mut buffer) {
            Read::Bytes(count) => Some(buffer[..count].to_vec()),
            Read::End => Some(Vec::new()),
            Read::Nothing => None,
        }
    }

    fn read_keys(&mut self) -> Vec<u8> {
        let mut buffer = [0; 9000];
        let count = self.discipline.read_keys(&mut buffer);
        buffer[..count].to_vec()
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
    assert_eq!(typist.shown.bytes, b"hello\nnext\n");
}

#[test]
fn backspace_erases_a_character_and_stops_at_the_line_s_start() {
    let mut typist = Typist::default();
    typist.types("xé\x7f\x7f\x7fok\n".as_bytes());
    assert_eq!(typist.read().unwrap(), b"ok\n");
    assert_eq!(typist.shown.bytes, "xé\x08 \x08\x08 \x08ok\n".as_bytes());
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
fn ctrl_c_signals_and_forgets_what_was_typed_unless_that_is_off() {
    let mut typist = Typist::default();
    assert_eq!(typist.types(b"done\nabc\x03"), Some(Signal::Interrupt));
    assert_eq!(typist.read(), None);
    assert_eq!(typist.shown.bytes, b"done\nabc^C");
    typist.termios.local |= linux::NOFLSH;
    assert_eq!(typist.types(b"done\n\x1a"), Some(Signal::Suspend));
    assert_eq!(typist.read().unwrap(), b"done\n");
    let mut typist = Typist::without(linux::ISIG);
    assert_eq!(typist.types(b"\x03\n"), None);
    assert_eq!(typist.read().unwrap(), b"\x03\n");
}

#[test]
fn words_and_lines_are_erased_by_their_keys() {
    let mut typist = Typist::default();
    typist.types(b"abc\x15d\n");
    assert_eq!(typist.read().unwrap(), b"d\n");
    typist.types(b"one two \x17\x17x\n");
    assert_eq!(typist.read().unwrap(), b"x\n");
    typist.types(b"one two-three  \x17four\n");
    assert_eq!(typist.read().unwrap(), b"one two-four\n");
}

#[test]
fn a_short_buffer_takes_a_line_in_parts() {
    let mut typist = Typist::default();
    typist.types(b"abcdef\ng\n");
    let mut buffer = [0; 4];
    assert_eq!(typist.discipline.read_line(&mut buffer), Read::Bytes(4));
    assert_eq!(&buffer, b"abcd");
    assert_eq!(typist.discipline.read_line(&mut buffer), Read::Bytes(3));
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

#[test]
fn single_keys_are_read_as_they_are_typed() {
    let mut typist = Typist::without(linux::ICANON | linux::ECHO);
    typist.types(b"ab\x7f\x04");
    assert_eq!(typist.read_keys(), b"ab\x7f\x04");
    assert_eq!(typist.shown.bytes, b"");
}

#[test]
fn what_was_typed_ahead_of_a_change_means_what_it_would_have_meant_after_it() {
    let lines = Termios::default();
    let keys = Termios {
        local: lines.local & !(linux::ICANON | linux::ECHO),
        ..lines
    };
    let mut typist = Typist::default();
    typist.types(b"one\ntw\x04\x04x");
    typist.change(keys);
    assert_eq!(typist.read_keys(), b"one\ntw\x04x", "the end is a key again");
    typist.types(b"cat\nhi\n\x04");
    let mut buffer = [0; 4];
    assert_eq!(typist.discipline.read_keys(&mut buffer), 4);
    typist.change(lines);
    assert_eq!(typist.read().unwrap(), b"hi\n");
    assert_eq!(
        typist.shown.bytes, b"one\ntwx",
        "what was typed without echo is not shown later"
    );
    assert_eq!(typist.read().unwrap(), b"", "and an end again");
    assert_eq!(typist.read(), None);
}

proptest! {
    #[test]
    fn keys_taken_while_there_is_room_never_exceed_the_buffers(
        canonical in any::<bool>(), keys in prop::collection::vec(any::<u8>(), 0..20_000),
    ) {
        let mut typist = Typist::without(if canonical { 0 } else { linux::ICANON });
        for key in keys {
            if typist.discipline.room() > 0 {
                typist.types(&[key]);
            }
        }
        let discipline = &typist.discipline;
        prop_assert!(discipline.ready.len() <= READY_MAX + 1);
        prop_assert!(discipline.records.len() <= RECORDS_MAX + 1);
        if canonical {
            prop_assert_eq!(discipline.records.iter().sum::<usize>(), discipline.ready.len());
        }
    }
}
