//! Printing: a line is gathered and written by as few calls as it takes.
use core::fmt;

use super::call;

const GATHERED: usize = 256;

/// Gathers text and writes it to the domain's console.
pub struct Console {
    bytes: [u8; GATHERED],
    used: usize,
}

impl Console {
    /// Nothing gathered yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: [0; GATHERED],
            used: 0,
        }
    }

    /// Writes what is gathered, waiting for room where the ring is full.
    pub fn flush(&mut self) {
        write_all(&self.bytes[..self.used]);
        self.used = 0;
    }
}

impl Default for Console {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.used == GATHERED {
                self.flush();
            }
            self.bytes[self.used] = byte;
            self.used += 1;
        }
        Ok(())
    }
}

/// Writes bytes as they are; gives up when the console refuses them.
pub fn write_all(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match call::console_write(bytes.len() as u64, bytes.as_ptr() as u64) {
            Ok(0) => {
                call::block(0, abi::sched::WAKE_OUTPUT);
            }
            Ok(taken) => bytes = bytes.get(taken as usize..).unwrap_or_default(),
            Err(_) => return,
        }
    }
}

/// Prints a line on the domain's console.
#[macro_export]
macro_rules! println {
    ($($text:tt)*) => {{
        use core::fmt::Write as _;
        let mut console = $crate::runtime::console::Console::new();
        // Writing to the console cannot fail.
        let _ = writeln!(console, $($text)*);
        console.flush();
    }};
}
