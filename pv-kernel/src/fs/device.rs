//! Character devices, by Linux's numbers.

/// A device that the kernel has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Device {
    /// Takes everything, holds nothing.
    Null,
    /// Takes everything, holds zeros.
    Zero,
    /// Takes nothing, holds zeros.
    Full,
    /// Bytes that are hard to guess: `/dev/random` and `/dev/urandom`.
    Random,
    /// The terminal: `/dev/tty`, the process's own.
    Terminal,
    /// The terminal: `/dev/console`, whoever asks.
    Console,
}

/// The devices of `/dev`.
pub const DEVICES: [(&[u8], u64); 7] = [
    (b"null", number(1, 3)),
    (b"zero", number(1, 5)),
    (b"full", number(1, 7)),
    (b"random", number(1, 8)),
    (b"urandom", number(1, 9)),
    (b"tty", number(5, 0)),
    (b"console", number(5, 1)),
];

impl Device {
    /// The device with this number, as `stat` has it.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        Some(match (number >> 8, number & 0xff) {
            (1, 3) => Self::Null,
            (1, 5) => Self::Zero,
            (1, 7) => Self::Full,
            (1, 8 | 9) => Self::Random,
            (5, 0) => Self::Terminal,
            (5, 1) => Self::Console,
            _ => return None,
        })
    }
}

/// A device's number, of small ones.
const fn number(major: u64, minor: u64) -> u64 {
    major << 8 | minor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_dev_is_a_device() {
        for (name, number) in DEVICES {
            assert!(Device::from_number(number).is_some(), "{name:?}");
        }
        assert_eq!(Device::from_number(0), None);
        assert_eq!(Device::from_number(u64::MAX), None);
    }
}
