//! The console: what is typed becomes lines, what is printed gets out.
mod line;
mod output;

pub use line::{Key, LineDiscipline, Read};
pub use output::Output;

use crate::machine::Terminal;
use core::fmt;

/// The console of the domain.
#[derive(Debug, Default)]
pub struct Console {
    input: LineDiscipline,
    output: Output,
}

/// Bytes that are taken from the terminal at once.
const CHUNK: usize = 64;

impl Console {
    /// Nothing typed, nothing printed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what has been typed, as far as there is room for it, and shows it.
    pub fn poll(&mut self, terminal: &mut impl Terminal) -> Option<Key> {
        let mut signal = None;
        while self.input.room() >= CHUNK {
            let mut typed = [0; CHUNK];
            let count = terminal.read(&mut typed).min(CHUNK);
            if count == 0 {
                break;
            }
            for byte in typed.into_iter().take(count) {
                let pressed = self
                    .input
                    .key(byte, &mut |shown| self.output.write_all(terminal, shown));
                signal = pressed.or(signal);
            }
        }
        signal
    }

    /// Moves typed bytes into `buffer`.
    pub fn read(&mut self, buffer: &mut [u8]) -> Read {
        self.input.read(buffer)
    }

    /// Prints all of `bytes`, waiting for room.
    pub fn write_all(&mut self, terminal: &mut impl Terminal, bytes: &[u8]) {
        self.output.write_all(terminal, bytes);
    }

    /// Prints a message of the kernel's own, on lines of its own.
    pub fn say(&mut self, terminal: &mut impl Terminal, text: fmt::Arguments<'_>) {
        self.output.start_line(terminal);
        self.output.print(terminal, text);
    }
}
