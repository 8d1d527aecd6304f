//! The hypervisor's latest words, for `dmesg`: whole lines, the oldest ones dropped for room.
use super::ring::Ring;

/// Up to `N` bytes of text.
#[derive(Clone, Debug, Default)]
pub struct Log<const N: usize> {
    bytes: Ring<N>,
}

impl<const N: usize> Log<N> {
    /// An empty log.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Ring::new() }
    }

    /// Adds text; what does not fit drops the oldest lines. Of one longer than all the room, the end is kept.
    pub fn add(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let kept = bytes.get(bytes.len().saturating_sub(N)..).unwrap_or(bytes);
        while self.bytes.room() < kept.len() {
            self.drop_line();
        }
        self.bytes.push(kept);
    }

    /// Drops the oldest line, or the beginning of it that lies before the ring's end.
    fn drop_line(&mut self) {
        loop {
            let oldest = self.bytes.peek();
            let end = oldest.iter().position(|byte| *byte == b'\n');
            let count = end.map_or(oldest.len(), |end| end + 1);
            self.bytes.consume(count);
            if end.is_some() || self.bytes.is_empty() {
                return;
            }
        }
    }

    /// The text, from the oldest byte on, in two pieces.
    #[must_use]
    pub fn parts(&self) -> [&[u8]; 2] {
        self.bytes.parts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text<const N: usize>(log: &Log<N>) -> String {
        String::from_utf8(log.parts().concat()).unwrap()
    }

    #[test]
    fn the_oldest_lines_make_room() {
        let mut log = Log::<10>::new();
        for line in ["ab\n", "cd\n", "ef\n"] {
            log.add(line);
        }
        assert_eq!(text(&log), "ab\ncd\nef\n");
        log.add("gh\n");
        assert_eq!(text(&log), "cd\nef\ngh\n");
        log.add("a line too long\n");
        assert_eq!(text(&log), " too long\n");
    }

    proptest! {
        #[test]
        fn it_holds_the_last_lines(lines in proptest::collection::vec("[a-z]{0,9}", 0..30)) {
            let mut log = Log::<40>::new();
            let mut all = String::new();
            for line in &lines {
                log.add(line);
                log.add("\n");
                all.push_str(line);
                all.push('\n');
            }
            let kept = text(&log);
            prop_assert!(all.ends_with(&kept));
            prop_assert!(all.len() == kept.len() || kept.len() > 40 - 11, "{} bytes are kept", kept.len());
            prop_assert!(all.len() == kept.len() || all[..all.len() - kept.len()].ends_with('\n'));
        }
    }
}
