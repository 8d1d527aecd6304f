//! Keys, from the bytes that a terminal sends.

/// A key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    /// A byte of text.
    Text(u8),
    /// Ctrl and a letter, in lower case.
    Ctrl(u8),
    /// Enter.
    Enter,
    /// Tab.
    Tab,
    /// The key that deletes to the left.
    Backspace,
    /// The key that deletes under the cursor.
    Delete,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Arrow left.
    Left,
    /// Arrow right.
    Right,
    /// Home.
    Home,
    /// End.
    End,
}

/// Recognises keys; escape sequences that mean nothing here are passed over.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Keys {
    state: State,
}

#[derive(Clone, Copy, Default, Debug)]
enum State {
    #[default]
    Ground,
    /// After ESC.
    Escape,
    /// After ESC [ or ESC O: the number so far.
    Sequence(u8),
}

impl Keys {
    /// The key that `byte` completes, if it does.
    pub(super) fn feed(&mut self, byte: u8) -> Option<Key> {
        match core::mem::take(&mut self.state) {
            State::Ground => self.ground(byte),
            State::Escape => {
                if matches!(byte, b'[' | b'O') {
                    self.state = State::Sequence(0);
                }
                None
            }
            State::Sequence(number) => self.sequence(number, byte),
        }
    }

    fn ground(&mut self, byte: u8) -> Option<Key> {
        Some(match byte {
            0x1b => {
                self.state = State::Escape;
                return None;
            }
            b'\r' | b'\n' => Key::Enter,
            b'\t' => Key::Tab,
            0x08 | 0x7f => Key::Backspace,
            0 => return None,
            1..0x20 => Key::Ctrl(byte + b'a' - 1),
            byte => Key::Text(byte),
        })
    }

    fn sequence(&mut self, number: u8, byte: u8) -> Option<Key> {
        match (byte, number) {
            (b'A', _) => Some(Key::Up),
            (b'B', _) => Some(Key::Down),
            (b'C', _) => Some(Key::Right),
            (b'D', _) => Some(Key::Left),
            (b'H', _) | (b'~', 1 | 7) => Some(Key::Home),
            (b'F', _) | (b'~', 4 | 8) => Some(Key::End),
            (b'~', 3) => Some(Key::Delete),
            (b'0'..=b'9', _) => {
                let number = number.wrapping_mul(10).wrapping_add(byte - b'0');
                self.state = State::Sequence(number);
                None
            }
            (b';', _) => {
                self.state = State::Sequence(0);
                None
            }
            _ => None,
        }
    }
}
