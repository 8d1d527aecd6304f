//! Printing.
use crate::sys;
use core::fmt::{self, Write};

/// Standard input.
pub const STDIN: usize = 0;
/// Standard output.
pub const STDOUT: usize = 1;
/// Standard error.
pub const STDERR: usize = 2;

const BUFFER: usize = 256;

/// Gathers what is printed, so that a line is one system call.
struct Printer {
    descriptor: usize,
    buffer: [u8; BUFFER],
    used: usize,
}

impl Printer {
    fn flush(&mut self) {
        write_all(self.descriptor, self.buffer.get(..self.used).unwrap_or(&[]));
        self.used = 0;
    }
}

impl Write for Printer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.used == BUFFER {
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

/// Prints formatted text.
pub fn print(descriptor: usize, text: fmt::Arguments<'_>) {
    let mut printer = Printer {
        descriptor,
        buffer: [0; BUFFER],
        used: 0,
    };
    // The printer takes everything.
    let _ = printer.write_fmt(text);
    printer.flush();
}

/// Writes all of `bytes`, or as many as can be written.
pub fn write_all(descriptor: usize, bytes: &[u8]) {
    let mut rest = bytes;
    while !rest.is_empty() {
        match sys::write(descriptor, rest) {
            Ok(0) | Err(_) => return,
            Ok(count) => rest = rest.get(count..).unwrap_or(&[]),
        }
    }
}

/// Prints to standard output.
#[macro_export]
macro_rules! print {
    ($($text:tt)*) => { $crate::io::print($crate::io::STDOUT, format_args!($($text)*)) };
}

/// Prints a line to standard output.
#[macro_export]
macro_rules! println {
    ($($text:tt)*) => { $crate::io::print($crate::io::STDOUT, format_args!("{}\n", format_args!($($text)*))) };
}

/// Prints a line to standard error.
#[macro_export]
macro_rules! eprintln {
    ($($text:tt)*) => { $crate::io::print($crate::io::STDERR, format_args!("{}\n", format_args!($($text)*))) };
}
