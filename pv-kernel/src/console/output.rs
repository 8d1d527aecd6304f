//! Printing: everything gets out, however little the console takes at once.
use crate::machine::Terminal;
use core::fmt;

/// What is known of the terminal's last line.
#[derive(Debug, Default)]
pub struct Output {
    mid_line: bool,
}

impl Output {
    /// Prints all of `bytes`, waiting for room.
    pub fn write_all(&mut self, terminal: &mut impl Terminal, bytes: &[u8]) {
        if let Some(last) = bytes.last() {
            self.mid_line = *last != b'\n';
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = terminal.write(rest);
            if taken == 0 {
                terminal.wait_for_room();
            }
            rest = rest.get(taken..).unwrap_or(&[]);
        }
    }

    /// Ends the line, if one is begun.
    pub fn start_line(&mut self, terminal: &mut impl Terminal) {
        if self.mid_line {
            self.write_all(terminal, b"\n");
        }
    }
}

/// Bytes of a message that are printed at once: most lines, so that no other domain's line comes between.
const LINE: usize = 256;

/// Formats onto the terminal.
struct Printer<'a, T> {
    output: &'a mut Output,
    terminal: &'a mut T,
    buffer: [u8; LINE],
    used: usize,
}

impl Output {
    /// Prints formatted text.
    pub fn print(&mut self, terminal: &mut impl Terminal, text: fmt::Arguments<'_>) {
        let mut printer = Printer {
            output: self,
            terminal,
            buffer: [0; LINE],
            used: 0,
        };
        // The printer takes everything.
        let _ = fmt::Write::write_fmt(&mut printer, text);
        printer.flush();
    }
}

impl<T: Terminal> Printer<'_, T> {
    fn flush(&mut self) {
        self.output
            .write_all(self.terminal, self.buffer.get(..self.used).unwrap_or(&[]));
        self.used = 0;
    }
}

impl<T: Terminal> fmt::Write for Printer<'_, T> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.used == LINE {
                self.flush();
            }
            if let Some(slot) = self.buffer.get_mut(self.used) {
                *slot = byte;
                self.used += 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A terminal that takes three bytes, then none until it is waited for.
    #[derive(Default)]
    struct Slow {
        taken: Vec<u8>,
        full: bool,
    }

    impl Terminal for Slow {
        fn write(&mut self, bytes: &[u8]) -> usize {
            let count = if self.full { 0 } else { bytes.len().min(3) };
            self.full = true;
            self.taken.extend(&bytes[..count]);
            count
        }
        fn read(&mut self, _: &mut [u8]) -> usize {
            0
        }
        fn wait_for_room(&mut self) {
            self.full = false;
        }
    }

    #[test]
    fn all_of_it_gets_out_through_a_console_that_takes_little() {
        let mut slow = Slow::default();
        let mut output = Output::default();
        output.write_all(&mut slow, b"0123456789");
        output.start_line(&mut slow);
        output.start_line(&mut slow);
        assert_eq!(slow.taken, b"0123456789\n");
    }

    #[test]
    fn a_message_of_any_length_is_printed_whole() {
        let mut slow = Slow::default();
        let long = "x".repeat(3 * LINE + 1);
        Output::default().print(&mut slow, format_args!("{long}{}", 1));
        assert_eq!(slow.taken, format!("{long}1").as_bytes());
    }
}
