//! What the CMOS clock's registers mean (MC146818).

/// Register B: binary, not BCD.
const BINARY: u8 = 1 << 2;
/// Register B: 24 hours, not 12.
const HOURS_24: u8 = 1 << 1;
/// Hour register in 12-hour mode: afternoon.
const AFTERNOON: u8 = 1 << 7;

/// Seconds since 1970-01-01 from second, minute, hour, day, month and year of a century that began in 2000.
#[must_use]
pub fn unix_seconds([second, minute, hour, day, month, year]: [u8; 6], register_b: u8) -> u64 {
    let number = |raw: u8| {
        let raw = u64::from(raw);
        if register_b & BINARY != 0 {
            raw
        } else {
            (raw >> 4) * 10 + (raw & 15)
        }
    };
    let hour = if register_b & HOURS_24 != 0 {
        number(hour)
    } else {
        number(hour & !AFTERNOON) % 12 + if hour & AFTERNOON != 0 { 12 } else { 0 }
    };
    let year = 2000 + number(year);
    let days = days_from_civil(year, number(month).clamp(1, 12), number(day).clamp(1, 31));
    ((days * 24 + hour.min(23)) * 60 + number(minute).min(59)) * 60 + number(second).min(59)
}

/// Days since 1970-01-01 of a date in the Gregorian calendar, from 2000 on. Years begin in March, so that the leap day is last.
const fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    // Of 0000-03-01 to 1970-01-01.
    days - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bcd_clock_of_24_hours_is_read() {
        // 2026-11-23 01:02:03, as `date -u -d ... +%s` has it.
        assert_eq!(
            unix_seconds([0x03, 0x02, 0x01, 0x23, 0x11, 0x26], HOURS_24),
            1_795_395_723
        );
    }

    #[test]
    fn the_leap_day_and_the_first_day_are_right() {
        assert_eq!(unix_seconds([0, 0, 0, 1, 1, 0], BINARY | HOURS_24), 946_684_800);
        assert_eq!(
            unix_seconds([0, 0, 0, 29, 2, 24], BINARY | HOURS_24),
            1_709_164_800
        );
    }

    #[test]
    fn an_afternoon_of_12_hours_is_read() {
        let midnight = unix_seconds([0, 0, 12, 1, 1, 0], BINARY);
        assert_eq!(midnight, 946_684_800);
        assert_eq!(
            unix_seconds([0, 0, 12 | AFTERNOON, 1, 1, 0], BINARY),
            midnight + 12 * 3600
        );
    }

    #[test]
    fn nonsense_does_not_panic() {
        for raw in 0..=255 {
            let _ = unix_seconds([raw; 6], raw);
        }
    }
}
