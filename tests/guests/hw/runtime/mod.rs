//! The runtime of the test guests: entry, console, hypercalls, page tables, traps.
//!
//! A test guest owns its whole machine and breaks it on purpose, so the functions here are safe to call as Rust
//! understands it only while the case that calls them knows what it does to its own memory: an access that faults is
//! a case's subject, not an accident. What the runtime itself relies on: its image, its stack, the page of
//! [`abi::start_info::StartInfo`] and the handlers that [`trap::install`] registers stay mapped.
#![allow(
    unsafe_code,
    reason = "a guest kernel's runtime: it executes privileged instructions and edits page tables"
)]

pub mod call;
pub mod code;
pub mod console;
mod entry;
pub mod event;
pub mod frame;
pub mod memory;
pub mod time;
pub mod trap;
pub mod upcall;

pub use entry::{end, start_info, tcg_null_ss};

/// The shutdown code of a guest that was asked for a case which it does not have.
pub const UNKNOWN_CASE: u64 = 0xEE;
/// The shutdown code after a trap that no case expected.
pub const UNEXPECTED_TRAP: u64 = 0xFD;
/// The shutdown code after a Rust panic.
pub const PANICKED: u64 = 0xFC;

/// The time-stamp counter.
#[must_use]
pub fn tsc() -> u64 {
    // SAFETY: rdtsc is not privileged here and changes nothing.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Makes `main: fn()` the guest's program and gives it a panic handler.
#[macro_export]
macro_rules! program {
    ($main:path) => {
        // SAFETY: the runtime declares this very symbol with this very signature.
        #[unsafe(no_mangle)]
        extern "Rust" fn guest_main() {
            $main()
        }

        #[panic_handler]
        fn panicked(info: &core::panic::PanicInfo<'_>) -> ! {
            $crate::println!("panicked: {info}");
            $crate::runtime::end($crate::runtime::PANICKED)
        }
    };
}

/// Ends the guest with the line's number when the condition is false; prints what was to be true.
#[macro_export]
macro_rules! check {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            $crate::println!("check failed at {}:{}: {}", file!(), line!(), format_args!($($what)+));
            $crate::runtime::end(u64::from(line!()));
        }
    };
}

/// Ends the guest with the line's number when the two differ; prints both.
#[macro_export]
macro_rules! check_eq {
    ($left:expr, $right:expr, $($what:tt)+) => {{
        let (left, right) = ($left, $right);
        if left != right {
            $crate::println!(
                "check failed at {}:{}: {}: {:x?} is not {:x?}",
                file!(), line!(), format_args!($($what)+), left, right
            );
            $crate::runtime::end(u64::from(line!()));
        }
    }};
}
