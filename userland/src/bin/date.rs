//! date [-u] [+FORMAT]: the time, in UTC.
#![no_std]
#![no_main]

use userland::dates::Date;
use userland::text::Text;
use userland::time::{self, Clock};
use userland::{Arguments, eprintln, options, println};

userland::program!(main);

fn main(arguments: Arguments) -> i32 {
    let Some(options) = options::parse(arguments, b"u") else {
        return 1;
    };
    let format = match options.operands.as_slice() {
        [] => Some("%a %b %e %H:%M:%S %Z %Y"),
        [format] => format
            .strip_prefix(b"+")
            .and_then(|format| core::str::from_utf8(format).ok()),
        _ => None,
    };
    let Some(format) = format else {
        let bad = options.operands.first().copied().unwrap_or(b"");
        eprintln!("date: invalid date '{}'", Text(bad));
        return 1;
    };
    match time::now(Clock::Real) {
        Ok(now) => {
            let seconds = now.as_secs() as i64;
            println!("{}", Date::from_seconds(seconds).format(format, seconds));
            0
        }
        Err(error) => {
            eprintln!("date: {error}");
            1
        }
    }
}
