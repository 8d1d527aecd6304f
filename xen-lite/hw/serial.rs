//! Two 16550 UARTs: COM1 for people, COM2 for machines. Polled, 115200 baud, 8N1.
use x86_64::instructions::port::Port;
use xen_lite::console::port::{PATIENCE, Serial};

/// Where there is no UART: reads are all ones, as they would be.
const ABSENT: u16 = 0;

const DATA: u16 = 0;
const INTERRUPT_ENABLE: u16 = 1;
/// Reads as the interrupt identification.
const FIFO_CONTROL: u16 = 2;
const LINE_CONTROL: u16 = 3;
const MODEM_CONTROL: u16 = 4;
const LINE_STATUS: u16 = 5;

const DATA_READY: u8 = 1 << 0;
const TRANSMIT_EMPTY: u8 = 1 << 5;
/// What the identification says when the FIFO works, and how much it holds.
const FIFO_WORKS: u8 = 0xc0;
const FIFO_BYTES: usize = 16;
/// What may wait in the receiver before the FIFO is set up: setting it up discards it.
const EARLY_BYTES: usize = 16;

/// One UART.
pub(crate) struct Uart {
    base: u16,
    early: [u8; EARLY_BYTES],
    early_count: usize,
    early_taken: usize,
    /// Bytes that it takes when its transmitter is empty.
    depth: usize,
}

impl Uart {
    /// None yet: what is sent goes nowhere.
    pub(crate) const ABSENT: Self = Self {
        base: ABSENT,
        early: [0; EARLY_BYTES],
        early_count: 0,
        early_taken: 0,
        depth: 1,
    };

    /// Takes the UART at `base` into use. Bytes that wait in its receiver are kept: piped input arrives
    /// before the machine does, and enabling the FIFO would discard it.
    pub(crate) fn new(base: u16) -> Self {
        let mut uart = Self { base, ..Self::ABSENT };
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
        if uart.read(FIFO_CONTROL) & FIFO_WORKS == FIFO_WORKS {
            uart.depth = FIFO_BYTES;
        }
        uart
    }

    fn read(&self, register: u16) -> u8 {
        if self.base == ABSENT {
            return 0xff;
        }
        // SAFETY: the port is this UART's own; reading it has no effect on memory.
        unsafe { Port::new(self.base + register).read() }
    }

    fn write(&self, register: u16, value: u8) {
        if self.base == ABSENT {
            return;
        }
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

    /// Waits until everything has left the UART.
    pub(crate) fn flush(&self) {
        for _ in 0..PATIENCE {
            if self.status() & 0x40 != 0 {
                return;
            }
        }
    }
}

impl Serial for Uart {
    fn is_ready(&mut self) -> bool {
        self.status() & TRANSMIT_EMPTY != 0
    }

    fn depth(&self) -> usize {
        self.depth
    }

    fn put(&mut self, byte: u8) {
        self.write(DATA, byte);
    }
}
