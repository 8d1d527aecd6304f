//! A process's name.
use core::fmt::{self, Write};

/// The name that a process has in messages and lists: the last part of its program's path, or what it asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Name {
    bytes: [u8; Self::LONGEST + 1],
}

impl Name {
    /// Most bytes of a name, as on Linux.
    pub const LONGEST: usize = 15;

    /// The name: `bytes` up to a NUL, cut short where it is too long.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let mut name = Self::default();
        let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or(&[]);
        for (target, byte) in name.bytes.iter_mut().take(Self::LONGEST).zip(bytes) {
            *target = *byte;
        }
        name
    }

    /// The name of a program by its path.
    #[must_use]
    pub fn of_path(path: &[u8]) -> Self {
        Self::new(path.rsplit(|byte| *byte == b'/').next().unwrap_or(path))
    }

    /// Its bytes, padded with NUL, the last one always NUL.
    #[must_use]
    pub const fn padded(&self) -> &[u8; Self::LONGEST + 1] {
        &self.bytes
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.split(|byte| *byte == 0).next().unwrap_or(&[])
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.as_bytes().utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_last_part_of_the_path_and_not_too_long() {
        assert_eq!(Name::of_path(b"/bin/echo").as_bytes(), b"echo");
        assert_eq!(
            Name::of_path(b"a-name-that-is-far-too-long").as_bytes(),
            b"a-name-that-is-"
        );
        assert_eq!(Name::new(b"a\xffb\0c").to_string(), "a\u{fffd}b");
        assert_eq!(Name::new(b"").padded(), &[0; 16]);
    }
}
