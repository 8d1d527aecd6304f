//! sleep TIME...: sleeps so long, in seconds (or with s, m, h, d behind the number), fractions too.
#![no_std]
#![no_main]

use core::time::Duration;
use userland::text::Text;
use userland::time::{self, Clock};
use userland::{Arguments, Errno, eprintln};

userland::program!(main);

fn main(arguments: Arguments) -> i32 {
    let list = arguments.list();
    if list.is_empty() {
        eprintln!("sleep: missing operand");
        return 1;
    }
    let mut whole = Duration::ZERO;
    for argument in &list {
        let Some(time) = time::parse(argument) else {
            eprintln!("sleep: invalid time interval '{}'", Text(argument));
            return 1;
        };
        whole = whole.saturating_add(time);
    }
    // A signal that is handled, or a stop, does not make it shorter.
    let Ok(start) = time::now(Clock::Monotonic) else {
        return 1;
    };
    loop {
        let passed = time::now(Clock::Monotonic).unwrap_or(start).saturating_sub(start);
        let Some(left) = whole.checked_sub(passed).filter(|left| !left.is_zero()) else {
            return 0;
        };
        match time::sleep(left) {
            Ok(()) => return 0,
            Err(Errno::EINTR) => {}
            Err(error) => {
                eprintln!("sleep: {error}");
                return 1;
            }
        }
    }
}
