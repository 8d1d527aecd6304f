//! The calendar, in UTC: days since 1970 to dates and back, and how dates are written.
use alloc::format;
use alloc::string::String;

/// A moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Date {
    /// The year.
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 0 (Sunday) to 6.
    pub weekday: u8,
    /// 1 to 366.
    pub year_day: u16,
}

const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl Date {
    /// Of seconds since 1970.
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Self {
        let (days, second_of_day) = (seconds.div_euclid(86400), seconds.rem_euclid(86400));
        // Years that begin in March have the leap day at their end; eras of 400 years are all the same.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 {
            shifted_month + 3
        } else {
            shifted_month - 9
        };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        Self {
            year,
            month: month as u8,
            day: day as u8,
            hour: (second_of_day / 3600) as u8,
            minute: (second_of_day / 60 % 60) as u8,
            second: (second_of_day % 60) as u8,
            weekday: (days + 4).rem_euclid(7) as u8,
            year_day: (days - first_of_year(year) + 1) as u16,
        }
    }

    fn day_name(&self) -> &'static str {
        DAYS.get(usize::from(self.weekday)).copied().unwrap_or("")
    }

    fn month_name(&self) -> &'static str {
        MONTHS.get(usize::from(self.month) - 1).copied().unwrap_or("")
    }

    /// As `date +format` writes it; `seconds` is for `%s`.
    #[must_use]
    pub fn format(&self, text: &str, seconds: i64) -> String {
        let mut written = String::new();
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                written.push(letter);
                continue;
            }
            match letters.next() {
                Some(directive) => written.push_str(&self.directive(directive, seconds)),
                None => written.push('%'),
            }
        }
        written
    }

    fn directive(&self, directive: char, seconds: i64) -> String {
        let short = |name: &'static str| String::from(name.get(..3).unwrap_or(name));
        match directive {
            'a' => short(self.day_name()),
            'A' => self.day_name().into(),
            'b' | 'h' => short(self.month_name()),
            'B' => self.month_name().into(),
            'c' => self.format("%a %b %e %H:%M:%S %Y", seconds),
            'd' => format!("{:02}", self.day),
            'D' => self.format("%m/%d/%y", seconds),
            'e' => format!("{:2}", self.day),
            'F' => self.format("%Y-%m-%d", seconds),
            'H' => format!("{:02}", self.hour),
            'I' => format!("{:02}", (self.hour + 11) % 12 + 1),
            'j' => format!("{:03}", self.year_day),
            'm' => format!("{:02}", self.month),
            'M' => format!("{:02}", self.minute),
            'n' => "\n".into(),
            'p' => if self.hour < 12 { "AM" } else { "PM" }.into(),
            'R' => self.format("%H:%M", seconds),
            's' => format!("{seconds}"),
            'S' => format!("{:02}", self.second),
            't' => "\t".into(),
            'T' => self.format("%H:%M:%S", seconds),
            'u' => format!("{}", (self.weekday + 6) % 7 + 1),
            'w' => format!("{}", self.weekday),
            'y' => format!("{:02}", self.year.rem_euclid(100)),
            'Y' => format!("{}", self.year),
            'z' => "+0000".into(),
            'Z' => "UTC".into(),
            '%' => "%".into(),
            other => format!("%{other}"),
        }
    }
}

/// Days from 1970 to the first of January of `year`.
fn first_of_year(year: i64) -> i64 {
    let before = year - 1;
    365 * year + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400) - 719_162 - 365
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "Thu Jan  1 00:00:00 1970 001"),
            (951_782_400, "Tue Feb 29 00:00:00 2000 060"),
            (1_709_251_199, "Thu Feb 29 23:59:59 2024 060"),
            (1_735_689_599, "Tue Dec 31 23:59:59 2024 366"),
            (4_102_444_800, "Fri Jan  1 00:00:00 2100 001"),
            (-1, "Wed Dec 31 23:59:59 1969 365"),
        ] {
            assert_eq!(Date::from_seconds(seconds).format("%c %j", seconds), expected);
        }
        let date = Date::from_seconds(1_709_210_096);
        assert_eq!(
            date.format("%F %T %I%p %y %% %q %s", 5),
            "2024-02-29 12:34:56 12PM 24 % %q 5"
        );
    }
}
