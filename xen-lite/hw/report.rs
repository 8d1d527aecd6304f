//! Lines for machines, on the second serial port, which no guest can reach.
use crate::serial::Uart;
use core::fmt::{self, Write};
use spin::Mutex;
use xen_lite::record::Record;

static MACHINES: Mutex<Option<Uart>> = Mutex::new(None);

/// Takes the second port into use.
pub(crate) fn start(uart: Uart) {
    *MACHINES.lock() = Some(uart);
}

/// Writes one line for machines.
pub(crate) fn line(arguments: fmt::Arguments<'_>) {
    if let Some(uart) = MACHINES.lock().as_mut() {
        // A UART takes everything.
        let _ = uart.write_fmt(arguments);
        let _ = uart.write_str("\r\n");
    }
}

/// Lets a panic write although its own interrupted line holds the port.
///
/// # Safety
/// Nothing that was interrupted goes on.
pub(crate) unsafe fn break_lock() {
    // SAFETY: the caller's duty.
    unsafe { MACHINES.force_unlock() };
}

/// Waits until the port is empty.
pub(crate) fn flush() {
    if let Some(uart) = MACHINES.lock().as_ref() {
        uart.flush();
    }
}

/// Writes a record.
pub(crate) fn record(record: &Record<'_>) {
    line(format_args!("{record}"));
}
