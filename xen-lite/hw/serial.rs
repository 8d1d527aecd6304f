//! Two 16550 UARTs: COM1 for people, COM2 for machines. Polled, 115200 baud, 8N1.
use core::fmt;
use x86_64::instructions::port::Port;

const DATA: u16 = 0;
const INTERRUPT_ENABLE: u16 = 1;
const FIFO_CONTROL: u16 = 2;
const LINE_CONTROL: u16 = 3;
const MODEM_CONTROL: u16 = 4;
const LINE_STATUS: u16 = 5;

const DATA_READY: u8 = 1 << 0;
const TRANSMIT_EMPTY: u8 = 1 << 5;
/// Looks at the line status before a byte is given up: a UART that is not there never becomes ready.
const PATIENCE: u32 = 2_000_000;
/// What may wait in the receiver before the FIFO is set up: setting it up discards it.
const EARLY_BYTES: usize = 16;

/// One UART.
pub(crate) struct Uart {
    base: u16,
    early: [u8; EARLY_BYTES],
    early_count: usize,
    early_taken: usize,
    sent: u64,
}

impl Uart {
    /// Takes the UART at `base` into use. Bytes that wait in its receiver are kept: piped input arrives
    /// before the machine does, and enabling the FIFO would discard it.
    pub(crate) fn new(base: u16) -> Self {
        let mut uart = Self {
            base,
            early: [0; EARLY_BYTES],
            early_count: 0,
            early_taken: 0,
            sent: 0,
        };
        while uart.early_count < EARLY_BYTES && uart.status() & DATA_READY != 0 && uart.status() != 0xff {
            uart.early[uart.early_count] = uart.read(DATA);
            uart.early_count += 1;
        }
        uart.write(INTERRUPT_ENABLE, 0);
        uart.write(LINE_CONTROL, 0x80); // the divisor is at 0 and 1 while this bit is set
        uart.write(DATA, 1);
        uart.write(INTERRUPT_ENABLE, 0);
        uart.write(LINE_CONTROL, 0x03);
        uart.write(FIFO_CONTROL, 0x01); // enable without clearing
        uart.write(MODEM_CONTROL, 0x03);
        uart
    }

    fn read(&self, register: u16) -> u8 {
        // SAFETY: the port is this UART's own; reading it has no effect on memory.
        unsafe { Port::new(self.base + register).read() }
    }

    fn write(&self, register: u16, value: u8) {
        // SAFETY: the port is this UART's own; writing it has no effect on memory.
        unsafe { Port::new(self.base + register).write(value) }
    }

    fn status(&self) -> u8 {
        self.read(LINE_STATUS)
    }

    /// A received byte, if one waits.
    pub(crate) fn receive(&mut self) -> Option<u8> {
        if self.early_taken < self.early_count {
            self.early_taken += 1;
            return self.early.get(self.early_taken - 1).copied();
        }
        let status = self.status();
        (status != 0xff && status & DATA_READY != 0).then(|| self.read(DATA))
    }

    /// Whether a byte can be sent without waiting.
    pub(crate) fn ready(&self) -> bool {
        self.status() & TRANSMIT_EMPTY != 0
    }

    /// Bytes that were to be sent so far.
    pub(crate) const fn sent(&self) -> u64 {
        self.sent
    }

    /// Sends a byte, waiting for room; gives up on a UART that never has any.
    pub(crate) fn send(&mut self, byte: u8) {
        self.sent = self.sent.wrapping_add(1);
        for _ in 0..PATIENCE {
            if self.ready() {
                self.write(DATA, byte);
                return;
            }
            core::hint::spin_loop();
        }
    }

    /// Waits until everything has left the UART.
    pub(crate) fn flush(&self) {
        for _ in 0..PATIENCE {
            if self.status() & 0x40 != 0 {
                return;
            }
        }
    }
}

impl fmt::Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.send(byte);
        }
        Ok(())
    }
}
