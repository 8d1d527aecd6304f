//! Clocks and sleep.
use crate::files::Result;
use crate::sys::ask;
use core::time::Duration;
use linux_raw_sys::general as raw;

/// A clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clock {
    /// Time since 1970.
    Real,
    /// Time since the system began; never goes back.
    Monotonic,
}

/// The time of a clock.
///
/// # Errors
/// The kernel's.
pub fn now(clock: Clock) -> Result<Duration> {
    let clock = match clock {
        Clock::Real => raw::CLOCK_REALTIME,
        Clock::Monotonic => raw::CLOCK_MONOTONIC,
    };
    let mut time = raw::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel fills a structure of ours.
    unsafe { ask(raw::__NR_clock_gettime, [clock as usize, &raw mut time as usize]) }?;
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// Sleeps so long, or until a signal comes.
///
/// # Errors
/// `EINTR` if a signal came first, and the kernel's others.
pub fn sleep(time: Duration) -> Result<()> {
    let time = raw::timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    };
    // SAFETY: the kernel reads a structure of ours.
    unsafe { ask(raw::__NR_nanosleep, [&raw const time as usize, 0]) }.map(|_| ())
}

/// A time in seconds with a fraction, and perhaps a unit (s, m, h, d), as `sleep` takes it.
#[must_use]
pub fn parse(text: &[u8]) -> Option<Duration> {
    let (digits, unit) = match text.split_last() {
        Some((b's', digits)) => (digits, 1),
        Some((b'm', digits)) => (digits, 60),
        Some((b'h', digits)) => (digits, 3600),
        Some((b'd', digits)) => (digits, 86400),
        _ => (text, 1),
    };
    let mut parts = digits.splitn(2, |byte| *byte == b'.');
    let whole = parts.next().unwrap_or(b"");
    let fraction = parts.next().unwrap_or(b"");
    let all_digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let value = |text: &[u8]| -> Option<u64> {
        let mut digits = text.iter();
        digits.try_fold(0u64, |sum, digit| {
            sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        })
    };
    // What is below a nanosecond is nothing.
    let shown = fraction.get(..fraction.len().min(9)).unwrap_or(fraction);
    let nanoseconds = value(shown)? * 10u64.pow(9 - shown.len() as u32);
    Duration::new(value(whole)?, nanoseconds as u32).checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_fractions_and_units() {
        assert_eq!(parse(b"2"), Some(Duration::from_secs(2)));
        assert_eq!(parse(b"0.25"), Some(Duration::from_millis(250)));
        assert_eq!(parse(b".5s"), Some(Duration::from_millis(500)));
        assert_eq!(parse(b"1.5m"), Some(Duration::from_secs(90)));
        assert_eq!(parse(b"0.0000000001"), Some(Duration::ZERO));
        for bad in [b"".as_slice(), b".", b"x", b"1x", b"-1", b"99999999999999999999d"] {
            assert_eq!(parse(bad), None);
        }
    }
}
