//! The two directions of a console: bytes cut into lines, and input fed to the emulator.
use crate::dialogue::Turn;
use std::io::{self, Read, Write};
use std::time::Duration;

/// End of transmission: what Ctrl-D sends, and what a console's reader takes for the end of its input.
pub const CTRL_D: u8 = 0x04;

/// What a console is to be fed with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// These bytes, then the end.
    Bytes(Vec<u8>),
    /// Our own standard input to its end.
    Stdin,
    /// What somebody types who waits for what is shown; the end is not typed.
    Dialogue(Vec<Turn>),
}

/// When feeding begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FeedFrom {
    /// When the hypervisor has said that it started: firmware and boot loaders, which may read the serial port too,
    /// have done so by then.
    #[default]
    Start,
    /// At once: the first bytes wait in the serial port before anyone has set it up.
    PowerOn,
}

/// Copies all of `from` to `to`, then what a console takes for the end of input.
///
/// A console hands its reader whole lines. Ctrl-D ends the line that is being typed without a newline, and means the
/// end of input only when nothing has been typed: after a last line without a newline it takes two.
pub fn feed(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let mut last = b'\n';
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // A standard input that was closed, or is a directory: it has nothing to say.
            Err(_) => break,
        };
        to.write_all(&buffer[..count])?;
        to.flush()?;
        last = buffer[count - 1];
    }
    if last != b'\n' {
        to.write_all(&[CTRL_D])?;
    }
    to.write_all(&[CTRL_D])?;
    to.flush()
}

/// Cuts a stream of bytes into lines.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Takes more bytes; calls `line` with each line that they complete, without its end.
    pub fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&[u8])) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend(part);
            if part.ends_with(b"\n") {
                line(without_end(&self.partial));
                self.partial.clear();
            }
        }
    }

    /// Calls `line` with what was left without an end.
    pub fn finish(&mut self, line: impl FnOnce(&[u8])) {
        if !self.partial.is_empty() {
            line(without_end(&self.partial));
            self.partial.clear();
        }
    }
}

fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let end = line
        .iter()
        .rposition(|byte| *byte != b'\r')
        .map_or(0, |last| last + 1);
    &line[..end]
}

/// The last `count` lines of a text.
#[must_use]
pub fn tail(text: &str, count: usize) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].to_vec()
}

/// How often files that an emulator writes are looked at.
pub(crate) const POLL: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(input: &[u8]) -> Vec<u8> {
        let mut output = Vec::new();
        feed(input, &mut output).unwrap();
        output
    }

    #[test]
    fn input_is_followed_by_one_end_after_a_newline() {
        assert_eq!(fed(b"hello\n"), b"hello\n\x04");
        assert_eq!(fed(b""), b"\x04");
    }

    #[test]
    fn an_unfinished_line_is_ended_first() {
        assert_eq!(fed(b"hello"), b"hello\x04\x04");
    }

    #[test]
    fn every_byte_is_fed_as_it_is() {
        let all: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
        let output = fed(&all);
        assert_eq!(output[..all.len()], all);
        assert_eq!(output[all.len()..], [CTRL_D, CTRL_D]);
    }

    #[test]
    fn a_reader_that_fails_ends_the_input() {
        struct Closed;
        impl Read for Closed {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::NotConnected.into())
            }
        }
        let mut output = Vec::new();
        feed(Closed, &mut output).unwrap();
        assert_eq!(output, [CTRL_D]);
    }

    #[test]
    fn lines_are_whole_however_the_bytes_come() {
        let text = b"one\r\ntwo\n\nthr\ree";
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let mut seen: Vec<String> = Vec::new();
            let mut keep = |line: &[u8]| seen.push(String::from_utf8_lossy(line).into_owned());
            for chunk in text.chunks(size) {
                lines.push(chunk, &mut keep);
            }
            lines.finish(&mut keep);
            assert_eq!(seen, ["one", "two", "", "thr\ree"]);
        }
    }

    #[test]
    fn the_tail_is_the_last_lines() {
        assert_eq!(tail("a\nb\nc\n", 2), ["b", "c"]);
        assert_eq!(tail("a", 30), ["a"]);
        assert!(tail("", 3).is_empty());
    }
}
