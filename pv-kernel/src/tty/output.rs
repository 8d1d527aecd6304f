//! Printing: everything gets out, however little the console takes at once.
//!
//! What the console does not take at once waits here, up to [`PENDING_MAX`] bytes. A program whose bytes find no room
//! waits; echo and the kernel's own messages have room kept for them.
use super::line::Screen;
use super::termios::Termios;
use crate::machine::Terminal;
use alloc::collections::VecDeque;
use core::fmt;
use linux_raw_sys::general as linux;

/// Most bytes of programs that wait to get out.
const PENDING_MAX: usize = 4096;
/// Most bytes of any kind: echo of a whole buffer of keys, erased characters included, fits. What a few keys can have shown
/// beyond that, a long line again and again, is not.
const ECHO_MAX: usize = PENDING_MAX + 64 * 1024;

/// What waits to get out, and what is known of the terminal's last line.
#[derive(Debug, Default)]
pub struct Output {
    pending: VecDeque<u8>,
    column: usize,
}

impl Output {
    /// Takes some of a program's bytes, with what the settings say is done to them; how many.
    pub fn write(&mut self, terminal: &mut impl Terminal, termios: &Termios, bytes: &[u8]) -> usize {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let room = PENDING_MAX.saturating_sub(self.pending.len()) / 2;
            let now = rest.get(..room.min(rest.len())).unwrap_or(rest);
            self.push(termios, now);
            done += now.len();
            if !self.flush(terminal) && self.pending.len() >= PENDING_MAX - 1 {
                break;
            }
        }
        done
    }

    /// Whether a program's bytes find room.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.pending.len() < PENDING_MAX / 2
    }

    /// Whether echo finds room.
    #[must_use]
    pub fn has_room_for_echo(&self) -> bool {
        self.pending.len() < ECHO_MAX
    }

    /// Whether anything waits to get out.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    #[cfg(test)]
    pub(super) fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    /// Hands on as much as the console takes; whether that was all.
    pub fn flush(&mut self, terminal: &mut impl Terminal) -> bool {
        while !self.pending.is_empty() {
            let (first, _) = self.pending.as_slices();
            let taken = terminal.write(first).min(first.len());
            if taken == 0 {
                return false;
            }
            self.pending.drain(..taken);
        }
        true
    }

    /// Hands on everything, waiting for room.
    pub fn drain(&mut self, terminal: &mut impl Terminal) {
        while !self.flush(terminal) {
            terminal.wait_for_room();
        }
    }

    /// Ends the line, if one is begun.
    pub fn start_line(&mut self, terminal: &mut impl Terminal) {
        if self.column > 0 {
            self.push(&Termios::default(), b"\n");
            self.drain(terminal);
        }
    }

    fn push(&mut self, termios: &Termios, bytes: &[u8]) {
        let crlf = termios.output_has(linux::OPOST | linux::ONLCR);
        for byte in bytes {
            match byte {
                b'\n' if crlf => {
                    self.pending.extend(b"\r\n");
                    self.column = 0;
                    continue;
                }
                // A line feed alone goes straight down; what follows on a console is a new line all the same.
                b'\n' | b'\r' => self.column = 0,
                b'\x08' => self.column = self.column.saturating_sub(1),
                b'\t' => self.column = (self.column / 8 + 1) * 8,
                byte if byte.is_ascii_control() || byte & 0xc0 == 0x80 => {}
                _ => self.column += 1,
            }
            self.pending.push_back(*byte);
        }
    }
}

/// Keys are shown through the same settings as programs' bytes.
pub(super) struct Echo<'o> {
    pub(super) output: &'o mut Output,
    pub(super) termios: Termios,
}

impl Screen for Echo<'_> {
    fn show(&mut self, bytes: &[u8]) {
        if self.output.has_room_for_echo() {
            self.output.push(&self.termios, bytes);
        }
    }

    fn column(&self) -> usize {
        self.output.column
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
    /// Prints formatted text, waiting for room.
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
        let bytes = self.buffer.get(..self.used).unwrap_or(&[]);
        self.output.push(&Termios::default(), bytes);
        self.output.drain(self.terminal);
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
        assert_eq!(output.write(&mut slow, &Termios::default(), b"0123456789"), 10);
        output.start_line(&mut slow);
        output.start_line(&mut slow);
        assert_eq!(slow.taken, b"0123456789\r\n");
    }

    #[test]
    fn a_program_s_bytes_find_an_end_of_the_room_and_go_on_later() {
        let mut slow = Slow {
            full: true,
            ..Slow::default()
        };
        let (mut output, termios) = (Output::default(), Termios::default());
        let bytes = [b'x'; 3 * PENDING_MAX];
        let mut done = output.write(&mut slow, &termios, &bytes);
        assert!(done > PENDING_MAX / 2 && done < PENDING_MAX && !output.has_room());
        assert_eq!(output.write(&mut slow, &termios, &bytes[done..]), 0);
        while done < bytes.len() {
            output.drain(&mut slow);
            slow.full = true;
            done += output.write(&mut slow, &termios, &bytes[done..]);
        }
        output.drain(&mut slow);
        assert_eq!(slow.taken, bytes);
    }

    #[test]
    fn lines_end_as_the_settings_say() {
        let mut slow = Slow::default();
        let mut output = Output::default();
        let raw = Termios {
            output: 0,
            ..Termios::default()
        };
        output.write(&mut slow, &raw, b"a\nb");
        output.write(&mut slow, &Termios::default(), b"\n");
        output.drain(&mut slow);
        assert_eq!(slow.taken, b"a\nb\r\n");
    }

    #[test]
    fn a_message_of_any_length_is_printed_whole() {
        let mut slow = Slow::default();
        let long = "x".repeat(3 * LINE + 1);
        Output::default().print(&mut slow, format_args!("{long}{}", 1));
        assert_eq!(slow.taken, format!("{long}1").as_bytes());
    }
}
