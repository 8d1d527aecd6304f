//! The kernel's command line: words separated by spaces.

/// What the command line asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// `quiet`: no messages but bad news.
    pub quiet: bool,
    /// `evict`: page the kernel's pageable code out before every trap that is worked on, so that a handler that needs
    /// it shows at once.
    pub evict: bool,
}

impl Options {
    /// Reads a command line up to its first NUL. What it does not know it leaves alone: programs may look there too.
    #[must_use]
    pub fn parse(line: &[u8]) -> Self {
        let line = line.split(|byte| *byte == 0).next().unwrap_or(&[]);
        let mut options = Self::default();
        for word in line.split(u8::is_ascii_whitespace) {
            match word {
                b"quiet" => options.quiet = true,
                b"evict" => options.evict = true,
                _ => {}
            }
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_options_and_unknown_ones_are_left_alone() {
        let options = Options::parse(b"  root=/dev/x quiet\0evict");
        assert_eq!(
            options,
            Options {
                quiet: true,
                ..Options::default()
            }
        );
        assert_eq!(Options::parse(b""), Options::default());
    }
}
