//! The end of a kernel that is wrong: it says so and takes its domain with it.
use crate::machine::{console_write, shutdown};
use abi::sched::ShutdownReason;
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

static PANICKING: AtomicBool = AtomicBool::new(false);
/// How often a full console is tried again: a kernel in this state does not wait.
const TRIES: usize = 1000;

/// Prints without anything of the kernel's.
struct Raw;

impl Write for Raw {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text.as_bytes();
        for _ in 0..TRIES {
            rest = rest.get(console_write(rest)..).unwrap_or(&[]);
            if rest.is_empty() {
                break;
            }
        }
        Ok(())
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if !PANICKING.swap(true, Ordering::Relaxed) {
        // Printing cannot fail.
        let _ = writeln!(Raw, "pv-kernel: {info}");
    }
    shutdown(ShutdownReason::Crash, 1)
}
