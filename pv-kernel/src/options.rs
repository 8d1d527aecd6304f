//! The kernel's command line: words separated by spaces.

const INIT: &[u8] = b"init=";

/// What the command line asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options<'a> {
    /// `quiet`: no messages but bad news.
    pub quiet: bool,
    /// `evict`: page the kernel's pageable code out before every trap that is worked on, so that a handler that needs
    /// it shows at once.
    pub evict: bool,
    /// `balloon=FRAMES`: so many frames are the hypervisor's while the programs run.
    pub balloon: u64,
    /// `init=PATH ARGUMENTS`, the last word of the line: the first process, with its arguments.
    pub init: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    /// Reads a command line up to its first NUL. What it does not know it leaves alone: programs may look there too.
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Self {
        let line = line.split(|byte| *byte == 0).next().unwrap_or(&[]);
        let mut options = Self::default();
        let init = line.windows(INIT.len()).position(|window| window == INIT);
        let line = match init.and_then(|at| line.split_at_checked(at)) {
            Some((before, init)) => {
                options.init = init.strip_prefix(INIT).map(<[u8]>::trim_ascii);
                before
            }
            None => line,
        };
        for word in line.split(u8::is_ascii_whitespace) {
            match word {
                b"quiet" => options.quiet = true,
                b"evict" => options.evict = true,
                _ => {
                    if let Some(frames) = word.strip_prefix(b"balloon=") {
                        options.balloon = number(frames);
                    }
                }
            }
        }
        options
    }
}

/// A decimal number, 0 where it is none.
fn number(digits: &[u8]) -> u64 {
    let text = core::str::from_utf8(digits).unwrap_or_default();
    text.parse().unwrap_or(0)
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
        assert_eq!(Options::parse(b"balloon=300 x").balloon, 300);
        assert_eq!(Options::parse(b"balloon=-1"), Options::default());
        assert_eq!(Options::parse(b""), Options::default());
    }

    #[test]
    fn all_that_follows_init_is_its_command() {
        let options = Options::parse(b"quiet init=/bin/sh -c evict\0");
        assert_eq!(
            options,
            Options {
                quiet: true,
                evict: false,
                balloon: 0,
                init: Some(b"/bin/sh -c evict"),
            }
        );
    }
}
