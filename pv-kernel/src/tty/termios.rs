//! The settings of the terminal: Linux's `struct termios`.
use linux_raw_sys::general as linux;

/// Bytes of Linux's structure, as `TCGETS` has it.
pub const SIZE: usize = 36;
const KEYS: usize = 19;
/// A key that is set to this is none.
const DISABLED: u8 = 0;

/// The settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Termios {
    /// What is done to keys: `ICRNL`, `INLCR`, `IGNCR`; others are kept and mean nothing.
    pub input: u32,
    /// What is done to output: `OPOST`, `ONLCR`.
    pub output: u32,
    /// Of the line; means nothing.
    pub control: u32,
    /// What keys mean: `ICANON`, `ISIG`, `ECHO` and its like, `IEXTEN`, `NOFLSH`, `TOSTOP`.
    pub local: u32,
    /// The discipline; there is one.
    pub discipline: u8,
    /// The keys that mean something, by Linux's indexes.
    pub keys: [u8; KEYS],
}

/// Keys that mean something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "they have Linux's names")]
pub enum Key {
    Interrupt = linux::VINTR as isize,
    Quit = linux::VQUIT as isize,
    Erase = linux::VERASE as isize,
    Kill = linux::VKILL as isize,
    End = linux::VEOF as isize,
    Suspend = linux::VSUSP as isize,
    Line = linux::VEOL as isize,
    OtherLine = linux::VEOL2 as isize,
    WordErase = linux::VWERASE as isize,
    Literal = linux::VLNEXT as isize,
    Reprint = linux::VREPRINT as isize,
}

impl Default for Termios {
    /// Linux's settings of a console, for text in UTF-8.
    fn default() -> Self {
        Self {
            input: linux::ICRNL | linux::IXON | linux::IUTF8,
            output: linux::OPOST | linux::ONLCR,
            control: linux::B38400 | linux::CS8 | linux::CREAD | linux::HUPCL,
            local: linux::ISIG
                | linux::ICANON
                | linux::ECHO
                | linux::ECHOE
                | linux::ECHOK
                | linux::ECHOCTL
                | linux::ECHOKE
                | linux::IEXTEN,
            discipline: 0,
            keys: [
                0x03, 0x1c, 0x7f, 0x15, 0x04, 0, 1, 0, 0x11, 0x13, 0x1a, 0, 0x12, 0x0f, 0x17, 0x16, 0, 0, 0,
            ],
        }
    }
}

impl Termios {
    /// Whether all of these input flags are set.
    #[must_use]
    pub const fn input_has(&self, flag: u32) -> bool {
        self.input & flag == flag
    }

    /// Whether all of these output flags are set.
    #[must_use]
    pub const fn output_has(&self, flag: u32) -> bool {
        self.output & flag == flag
    }

    /// Whether all of these local flags are set.
    #[must_use]
    pub const fn has(&self, flag: u32) -> bool {
        self.local & flag == flag
    }

    /// Whether keys become lines before they are read.
    #[must_use]
    pub const fn is_canonical(&self) -> bool {
        self.has(linux::ICANON)
    }

    /// Whether `typed` is that key.
    #[must_use]
    pub fn is(&self, key: Key, typed: u8) -> bool {
        typed != DISABLED && self.key(key) == typed
    }

    /// What the key is set to.
    #[must_use]
    pub fn key(&self, key: Key) -> u8 {
        self.keys.get(key as usize).copied().unwrap_or(DISABLED)
    }

    /// Fewest bytes that a read without lines waits for.
    #[must_use]
    pub fn minimum(&self) -> usize {
        self.keys
            .get(linux::VMIN as usize)
            .copied()
            .map_or(1, usize::from)
    }

    /// How long such a read waits, in nanoseconds; 0 for as long as it takes.
    #[must_use]
    pub fn timeout_ns(&self) -> u64 {
        let tenths = self.keys.get(linux::VTIME as usize).copied().unwrap_or(0);
        u64::from(tenths) * 100_000_000
    }

    /// Linux's structure.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        let words = [self.input, self.output, self.control, self.local];
        let flags = words.into_iter().flat_map(u32::to_le_bytes);
        let all = flags.chain([self.discipline]).chain(self.keys);
        for (target, byte) in bytes.iter_mut().zip(all) {
            *target = byte;
        }
        bytes
    }

    /// From Linux's structure.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; SIZE]) -> Self {
        let (words, _) = bytes.as_chunks::<4>();
        let word = |index: usize| words.get(index).map_or(0, |word| u32::from_le_bytes(*word));
        let mut keys = [DISABLED; KEYS];
        for (key, byte) in keys.iter_mut().zip(bytes.iter().skip(17)) {
            *key = *byte;
        }
        Self {
            input: word(0),
            output: word(1),
            control: word(2),
            local: word(3),
            discipline: bytes[16],
            keys,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_linux_s_structure() {
        let mut termios = Termios::default();
        termios.keys[18] = 9;
        termios.discipline = 3;
        assert_eq!(Termios::from_bytes(&termios.to_bytes()), termios);
        assert_eq!(termios.to_bytes()[17], 3, "Ctrl-C");
    }

    #[test]
    fn a_key_that_is_off_is_never_typed() {
        let mut termios = Termios::default();
        assert!(termios.is(Key::End, 4));
        termios.keys[Key::End as usize] = 0;
        assert!(!termios.is(Key::End, 0));
        assert_eq!((termios.minimum(), termios.timeout_ns()), (1, 0));
    }
}
