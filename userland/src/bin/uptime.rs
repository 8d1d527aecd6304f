//! uptime: the time, how long the system has run, its load.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::string::String;
use userland::dates::Date;
use userland::text::Text;
use userland::time::{self, Clock};
use userland::{Arguments, eprintln, files, println};

userland::program!(main);

fn main(_: Arguments) -> i32 {
    let (now, up) = match (time::now(Clock::Real), time::now(Clock::Monotonic)) {
        (Ok(now), Ok(up)) => (now.as_secs() as i64, up.as_secs()),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("uptime: {error}");
            return 1;
        }
    };
    let (days, hours, minutes) = (up / 86400, up / 3600 % 24, up / 60 % 60);
    let days = match days {
        0 => String::new(),
        1 => "1 day, ".into(),
        days => format!("{days} days, "),
    };
    let ago = if hours == 0 {
        format!("{minutes} min")
    } else {
        format!("{hours}:{minutes:02}")
    };
    let time = Date::from_seconds(now).format("%H:%M:%S", now);
    let load = files::content(b"/proc/loadavg").unwrap_or_default();
    let mut loads = load.split(|byte| *byte == b' ').map(Text);
    match (loads.next(), loads.next(), loads.next()) {
        (Some(one), Some(five), Some(fifteen)) => {
            println!(" {time} up {days}{ago},  load average: {one}, {five}, {fifteen}");
        }
        _ => println!(" {time} up {days}{ago}"),
    }
    0
}
