//! Printing, and reading line by line.
use crate::Errno;
use crate::files::{self, Fd, Result};
use alloc::vec::Vec;
use core::fmt::{self, Write};

/// Standard input.
pub const STDIN: Fd = 0;
/// Standard output.
pub const STDOUT: Fd = 1;
/// Standard error.
pub const STDERR: Fd = 2;

const SMALL: usize = 256;
const LARGE: usize = 4096;

/// Gathers what is printed, so that a line is one system call; needs no allocator, for a panic may print.
struct Printer {
    fd: Fd,
    buffer: [u8; SMALL],
    used: usize,
}

impl Printer {
    fn flush(&mut self) {
        // Whoever prints without asking does not want to know.
        let _ = files::write_all(self.fd, self.buffer.get(..self.used).unwrap_or(&[]));
        self.used = 0;
    }
}

impl Write for Printer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.used == SMALL {
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

/// Prints formatted text at once.
pub fn print(fd: Fd, text: fmt::Arguments<'_>) {
    let mut printer = Printer {
        fd,
        buffer: [0; SMALL],
        used: 0,
    };
    // The printer takes everything.
    let _ = printer.write_fmt(text);
    printer.flush();
}

/// Prints to standard output at once.
#[macro_export]
macro_rules! print {
    ($($text:tt)*) => { $crate::io::print($crate::io::STDOUT, format_args!($($text)*)) };
}

/// Prints a line to standard output at once.
#[macro_export]
macro_rules! println {
    ($($text:tt)*) => { $crate::io::print($crate::io::STDOUT, format_args!("{}\n", format_args!($($text)*))) };
}

/// Prints a line to standard error.
#[macro_export]
macro_rules! eprintln {
    ($($text:tt)*) => { $crate::io::print($crate::io::STDERR, format_args!("{}\n", format_args!($($text)*))) };
}

/// Output that is gathered until there is enough of it, [`Output::flush`] is called, or it is dropped.
#[derive(Debug)]
pub struct Output {
    fd: Fd,
    buffer: Vec<u8>,
    error: Option<Errno>,
}

impl Output {
    /// To an open descriptor.
    #[must_use]
    pub fn new(fd: Fd) -> Self {
        let buffer = Vec::with_capacity(LARGE);
        Self {
            fd,
            buffer,
            error: None,
        }
    }

    /// To standard output.
    #[must_use]
    pub fn standard() -> Self {
        Self::new(STDOUT)
    }

    /// Takes bytes; an error is kept for [`Output::flush`].
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= LARGE {
            // Kept in `error`.
            let _ = self.flush();
        }
    }

    /// Takes bytes and the end of a line.
    pub fn line(&mut self, bytes: &[u8]) {
        self.bytes(bytes);
        self.bytes(b"\n");
    }

    /// Writes what was gathered.
    ///
    /// # Errors
    /// The first error of all writing so far.
    pub fn flush(&mut self) -> Result<()> {
        if self.error.is_none() {
            self.error = files::write_all(self.fd, &self.buffer).err();
        }
        self.buffer.clear();
        self.error.map_or(Ok(()), Err)
    }

    /// Whether writing has failed: it is time to stop.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.error.is_some()
    }

    /// Writes what was gathered; a program's exit code: `code`, or 1 after a message if not all could be written.
    #[must_use]
    pub fn finish(mut self, program: &str, code: i32) -> i32 {
        match self.flush() {
            Ok(()) => code,
            Err(error) => {
                eprintln!("{program}: write error: {error}");
                1
            }
        }
    }
}

impl Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Whoever wants to know of an error flushes before.
        let _ = self.flush();
    }
}

/// Input, read in large pieces.
#[derive(Debug)]
pub struct Input {
    fd: Fd,
    buffer: Vec<u8>,
    place: usize,
}

impl Input {
    /// From an open descriptor.
    #[must_use]
    pub fn new(fd: Fd) -> Self {
        let (buffer, place) = (Vec::new(), 0);
        Self { fd, buffer, place }
    }

    /// The next piece; empty at the end.
    fn fill(&mut self) -> Result<&[u8]> {
        if self.place == self.buffer.len() {
            self.place = 0;
            self.buffer.resize(LARGE, 0);
            let count = loop {
                match files::read(self.fd, &mut self.buffer) {
                    Err(Errno::EINTR) => {}
                    Ok(count) => break count,
                    Err(error) => {
                        self.buffer.clear();
                        return Err(error);
                    }
                }
            };
            self.buffer.truncate(count);
        }
        Ok(self.buffer.get(self.place..).unwrap_or(&[]))
    }

    /// The next line with its newline, which the last one may lack; `None` at the end.
    ///
    /// # Errors
    /// The kernel's.
    pub fn line(&mut self) -> Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        loop {
            let piece = self.fill()?;
            if piece.is_empty() {
                return Ok((!line.is_empty()).then_some(line));
            }
            let end = piece.iter().position(|byte| *byte == b'\n');
            let count = end.map_or(piece.len(), |end| end + 1);
            line.extend_from_slice(piece.get(..count).unwrap_or(&[]));
            self.place += count;
            if end.is_some() {
                return Ok(Some(line));
            }
        }
    }

    /// The next piece, of any length; empty at the end.
    ///
    /// # Errors
    /// The kernel's.
    pub fn piece(&mut self) -> Result<Vec<u8>> {
        let piece = self.fill()?.to_vec();
        self.place = self.buffer.len();
        Ok(piece)
    }
}

/// `line` without the newline that ends it.
#[must_use]
pub fn without_newline(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}
