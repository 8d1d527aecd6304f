//! Off.
use crate::ports;
use x86_64::instructions::port::Port;

/// PM1a control registers where QEMU's two chipsets and older versions have them; the value is SLP_EN with type 0.
const PM1A_CONTROL: [u16; 3] = [0x604, 0xb004, 0x4004];
const SLEEP_ENABLE: u16 = 0x2000;
/// Bochs ends when this is written to its port, byte by byte.
const BOCHS_PORT: u16 = 0x8900;
const BOCHS_WORD: &[u8] = b"Shutdown";

/// Powers the machine off; where no known way works, halts it for good.
pub(crate) fn off() -> ! {
    // SAFETY: this is the end.
    unsafe { ports::drain() };
    cut()
}

/// The same, whatever has not been sent.
pub(crate) fn cut() -> ! {
    for byte in BOCHS_WORD {
        // SAFETY: the port means something to Bochs alone.
        unsafe { Port::new(BOCHS_PORT).write(*byte) };
    }
    for port in PM1A_CONTROL {
        // SAFETY: the ports are the power management's where they are anything.
        unsafe { Port::new(port).write(SLEEP_ENABLE) };
    }
    loop {
        // SAFETY: interrupts stay off, so nothing follows.
        unsafe { core::arch::asm!("cli", "hlt") };
    }
}
