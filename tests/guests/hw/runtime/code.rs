//! Instructions by their bytes, in pages of their own: handlers that can be paged out one by one, and snippets
//! that run in either ring.
use abi::layout::PAGE_SIZE;

use super::frame::Frame;
use super::{memory, trap};

/// `ud2`: ends every snippet.
pub const UD2: [u8; 2] = [0x0f, 0x0b];

/// A fresh page of kernel code that begins with `bytes` and goes on with `ud2`.
pub fn kernel(bytes: &[u8]) -> u64 {
    place(memory::kernel_pages(1, memory::KERNEL_CODE), bytes)
}

/// The same for user programs.
pub fn user(bytes: &[u8]) -> u64 {
    place(memory::user_pages(1, memory::USER_CODE), bytes)
}

/// Writes code through the physmap; returns its address.
pub fn place(at: u64, bytes: &[u8]) -> u64 {
    memory::poke_bytes(memory::alias(at), bytes);
    let used = at % PAGE_SIZE + bytes.len() as u64;
    if used + UD2.len() as u64 <= PAGE_SIZE {
        memory::poke_bytes(memory::alias(at) + bytes.len() as u64, &UD2);
    }
    at
}

/// Runs bytes in ring 1 on a stack of their own; returns what the trap that ends them found.
#[must_use]
pub fn run_in_ring1(bytes: &[u8]) -> Frame {
    trap::run(&Frame::ring1(kernel(bytes), memory::stack(1)))
}

/// Runs bytes in ring 3; returns what the trap that ends them found.
#[must_use]
pub fn run_in_ring3(bytes: &[u8]) -> Frame {
    trap::run(&Frame::ring3(user(bytes), memory::user_stack()))
}

/// Whether a trap from ring 1 leaves the error slot by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// Bounced, or a vector with an error code.
    There,
    /// The CPU's own frame without one.
    Missing,
}

/// Bytes of a handler that go wherever they are put: push what is missing, jump to the runtime's handler.
pub struct Handler {
    bytes: [u8; 32],
    used: usize,
}

impl Handler {
    /// A handler of this vector.
    #[must_use]
    pub fn new(vector: u8, slot: Slot) -> Self {
        let mut handler = Self {
            bytes: [0x90; 32],
            used: 0,
        };
        if slot == Slot::Missing {
            handler.push(&[0x6a, 0x00]);
        }
        handler.push(&[0x68, vector, 0, 0, 0]);
        // jmp [rip + 0], then the address.
        handler.push(&[0xff, 0x25, 0, 0, 0, 0]);
        handler.push(&trap::common_address().to_le_bytes());
        handler
    }

    fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.bytes[self.used] = *byte;
            self.used += 1;
        }
    }

    /// What to put in memory.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}

/// A fresh page of kernel code that jumps to an address.
pub fn jump_to(address: u64) -> u64 {
    let mut bytes = [0; 14];
    bytes[..6].copy_from_slice(&[0xff, 0x25, 0, 0, 0, 0]);
    bytes[6..].copy_from_slice(&address.to_le_bytes());
    kernel(&bytes)
}

/// A handler in a page of its own.
pub fn handler(vector: u8, slot: Slot) -> u64 {
    kernel(Handler::new(vector, slot).bytes())
}
