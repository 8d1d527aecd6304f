//! The first instructions, and the end.
use abi::sched::ShutdownReason;
use abi::start_info::{StartInfo, flags};
use core::sync::atomic::{AtomicU64, Ordering};

use super::call;

// rsi: StartInfo; the stack is 16-aligned, so the call leaves it as the ABI of functions wants it.
core::arch::global_asm!(
    ".pushsection .text.entry, \"ax\"",
    ".global _start",
    "_start:",
    "mov rdi, rsi",
    "call {start}",
    "ud2",
    ".popsection",
    start = sym start,
);

unsafe extern "Rust" {
    /// The program: [`crate::program!`] defines it.
    safe fn guest_main();
}

static START_INFO: AtomicU64 = AtomicU64::new(0);

extern "C" fn start(start_info: u64) -> ! {
    START_INFO.store(start_info, Ordering::Relaxed);
    guest_main();
    end(0)
}

/// What the hypervisor told this guest at its start.
#[must_use]
pub fn start_info() -> &'static StartInfo {
    let address = START_INFO.load(Ordering::Relaxed);
    // SAFETY: the entry stored rsi, which the ABI says points to a StartInfo that nobody else writes.
    unsafe { &*(address as *const StartInfo) }
}

/// Whether this emulator takes ring-1 code that loads a null SS for ring 0: then no case may load one.
#[must_use]
pub fn tcg_null_ss() -> bool {
    start_info().flags & flags::NULL_SS_UNSAFE != 0
}

/// Ends the domain in order: 0 is a pass, anything else names the failed check.
pub fn end(code: u64) -> ! {
    call::shutdown(ShutdownReason::Poweroff.raw(), code);
    loop {
        core::hint::spin_loop();
    }
}
