//! What a serial port has yet to send: accepted at once, sent as the port takes it, and nobody waits.
//!
//! 1. What is accepted goes out, once and in its order.
//! 2. Each byte knows who pays for the sending of it, so that it is not at the expense of whoever runs by then.
//! 3. Who has text asks for room first. Who does not (the hypervisor's own few words, the answers to a person's commands)
//!    waits when there is none: the oldest bytes are sent by polling.
//!
//! A guest's text stays in its own ring until little waits here ([`Port::takes_text`]): one writer does not fill the port for
//! all others.
use super::ring::Ring;
use abi::boot_image::MAX_DOMAINS;
use core::fmt;

/// When fewer bytes wait, the next writer's turn has come: some 20 ms at 115200 baud.
pub const LOW_BYTES: usize = 256;
/// Looks at the port before a byte is given up, while somebody waits for room: a port that is not there never has any.
pub const PATIENCE: u32 = 2_000_000;

/// A serial port.
pub trait Serial {
    /// Whether it takes [`Self::depth`] bytes without waiting.
    fn is_ready(&mut self) -> bool;
    /// How many bytes it takes when it is ready.
    fn depth(&self) -> usize;
    /// Gives it a byte.
    fn put(&mut self, byte: u8);
}

/// Nobody pays.
const NOBODY: u8 = u8::MAX;
const _: () = assert!(MAX_DOMAINS <= NOBODY as usize);

/// A serial port with `N` bytes that may wait.
pub struct Port<S, const N: usize> {
    serial: S,
    bytes: Ring<N>,
    payers: Ring<N>,
    payer: u8,
    accepted: u64,
}

impl<S, const N: usize> Port<S, N> {
    /// Nothing waits.
    pub const fn new(serial: S) -> Self {
        Self {
            serial,
            bytes: Ring::new(),
            payers: Ring::new(),
            payer: NOBODY,
            accepted: 0,
        }
    }

    /// The port itself: for what it receives.
    pub const fn serial_mut(&mut self) -> &mut S {
        &mut self.serial
    }

    /// How many bytes wait.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.bytes.len()
    }

    /// How many more it takes at once.
    #[must_use]
    pub const fn room(&self) -> usize {
        self.bytes.room()
    }

    /// Whether so little waits that the next writer is due.
    #[must_use]
    pub const fn takes_text(&self) -> bool {
        self.bytes.len() < LOW_BYTES
    }

    /// Bytes accepted so far.
    #[must_use]
    pub const fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Who pays for what is written from now on.
    pub fn bill(&mut self, domain: Option<usize>) {
        self.payer = domain
            .filter(|domain| *domain < MAX_DOMAINS)
            .and_then(|domain| u8::try_from(domain).ok())
            .unwrap_or(NOBODY);
    }
}

impl<S: Serial, const N: usize> Port<S, N> {
    /// Sends what the port takes without waiting, `most` bytes or a little more; says after each run of one payer's who pays.
    pub fn pump(&mut self, most: usize, mut paid: impl FnMut(Option<usize>)) {
        let mut sent = 0;
        let mut payer = None;
        while sent < most && self.waiting() > 0 && self.serial.is_ready() {
            for _ in 0..self.serial.depth().max(1) {
                let Some((byte, next)) = self.oldest() else { break };
                if let Some(last) = payer.filter(|last| *last != next) {
                    paid(named(last));
                }
                payer = Some(next);
                self.serial.put(byte);
                sent += 1;
            }
        }
        if let Some(last) = payer {
            paid(named(last));
        }
    }

    /// Sends all that waits, by polling.
    pub fn drain(&mut self) {
        while self.send_oldest() {}
    }

    fn oldest(&mut self) -> Option<(u8, u8)> {
        let (mut byte, mut payer) = ([0], [0]);
        self.payers.pop(&mut payer);
        (self.bytes.pop(&mut byte) == 1).then_some((byte[0], payer[0]))
    }

    /// Sends the oldest byte when the port takes it; false if there is none.
    fn send_oldest(&mut self) -> bool {
        let Some((byte, _)) = self.oldest() else {
            return false;
        };
        for _ in 0..PATIENCE {
            if self.serial.is_ready() {
                break;
            }
            core::hint::spin_loop();
        }
        self.serial.put(byte);
        true
    }
}

/// The domain with a payer's number.
fn named(payer: u8) -> Option<usize> {
    (payer != NOBODY).then_some(usize::from(payer))
}

impl<S: Serial, const N: usize> fmt::Write for Port<S, N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.room() == 0 {
                self.send_oldest();
            }
            self.bytes.push_byte(byte);
            self.payers.push_byte(self.payer);
            self.accepted = self.accepted.wrapping_add(1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
