//! A domain's console: what was typed and what was written, as far as it waits.
use crate::console::ring::Ring;

/// Bytes that wait to be read by a guest.
pub const INPUT_BYTES: usize = 1024;
/// Bytes that a guest has written and no terminal has taken yet.
pub const OUTPUT_BYTES: usize = 4096;

/// What was typed, what was written.
pub struct Console {
    /// Towards the guest.
    pub input: Ring<INPUT_BYTES>,
    /// From the guest.
    pub output: Ring<OUTPUT_BYTES>,
    /// A line in `output` may be whole.
    has_line: bool,
}

impl Console {
    /// Nothing was typed, nothing written.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            input: Ring::new(),
            output: Ring::new(),
            has_line: false,
        }
    }

    /// Takes as much of what the guest writes as there is room for, and says how much.
    pub fn write(&mut self, text: &[u8]) -> usize {
        self.has_line |= text.contains(&b'\n');
        self.output.push(text)
    }

    /// How much of what waits may be passed on as far as `until`, without a look at it where nothing may. A guest can write
    /// the beginning of a line and leave it at that: it is not looked at again and again.
    pub fn due(&mut self, until: Until) -> usize {
        if until == Until::End || self.output.room() == 0 {
            return self.output.len();
        }
        if !self.has_line {
            return 0;
        }
        let due = self.output.whole_lines();
        self.has_line = due > 0;
        due
    }
}

impl Default for Console {
    fn default() -> Self {
        Self::new()
    }
}

/// How much of what a guest has written is passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// Whole lines, unless there is no room for more: two writers do not break each other's lines.
    LineEnd,
    /// Everything.
    End,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_that_is_left_unfinished_waits_for_its_end_or_for_want_of_room() {
        let mut console = Console::new();
        assert_eq!(console.due(Until::End), 0);
        console.write(b"one\ntwo");
        assert_eq!((console.due(Until::LineEnd), console.due(Until::End)), (4, 7));
        console.output.consume(4);
        assert_eq!((console.due(Until::LineEnd), console.has_line), (0, false));
        console.write(b", three\n");
        assert_eq!(console.due(Until::LineEnd), 11);
        console.output.consume(11);
        console.write(&[b'.'; OUTPUT_BYTES - 1]);
        assert_eq!(console.due(Until::LineEnd), 0);
        console.write(b"..");
        assert_eq!(console.due(Until::LineEnd), OUTPUT_BYTES);
    }

    proptest! {
        #[test]
        fn every_whole_line_is_due(
            steps in prop::collection::vec(("[a\n]{0,9}", 0_usize..12, any::<bool>()), 0..80),
        ) {
            let mut console = Console::new();
            for (text, read, looked_at) in steps {
                console.write(text.as_bytes());
                if looked_at {
                    prop_assert_eq!(console.due(Until::LineEnd), console.output.whole_lines());
                }
                console.output.consume(read);
            }
            prop_assert_eq!(console.due(Until::LineEnd), console.output.whole_lines());
        }
    }
}
