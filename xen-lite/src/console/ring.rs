//! A queue of bytes of a fixed size: takes what fits and says how much, loses nothing that it took.

/// Up to `N` bytes, first in first out.
#[derive(Clone, Debug)]
pub struct Ring<const N: usize> {
    bytes: [u8; N],
    /// Index of the oldest byte, below `N`.
    start: usize,
    len: usize,
}

impl<const N: usize> Default for Ring<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Ring<N> {
    /// An empty ring.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: [0; N],
            start: 0,
            len: 0,
        }
    }

    /// How many bytes wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether none waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many more bytes it takes.
    #[must_use]
    pub const fn room(&self) -> usize {
        N - self.len
    }

    /// Forgets all.
    pub const fn clear(&mut self) {
        self.start = 0;
        self.len = 0;
    }

    /// Takes as many bytes from the front of `from` as fit, and says how many.
    pub fn push(&mut self, from: &[u8]) -> usize {
        let taken = from.len().min(self.room());
        let (first, second) = self.split(self.len);
        let free = first.iter_mut().chain(second);
        for (slot, byte) in free.zip(from.iter().take(taken)) {
            *slot = *byte;
        }
        self.len += taken;
        taken
    }

    /// Takes one byte; false if there is no room.
    pub fn push_byte(&mut self, byte: u8) -> bool {
        self.push(&[byte]) == 1
    }

    /// Gives out the oldest bytes, as many as wait and `into` holds, and says how many.
    pub fn pop(&mut self, into: &mut [u8]) -> usize {
        let given = into.len().min(self.len);
        let (first, second) = self.split(0);
        let waiting = first.iter().chain(second.iter());
        for (slot, byte) in into.iter_mut().zip(waiting.take(given)) {
            *slot = *byte;
        }
        self.consume(given);
        given
    }

    /// The oldest bytes that lie side by side: not empty unless the ring is.
    #[must_use]
    pub fn peek(&self) -> &[u8] {
        let end = self.start.saturating_add(self.len).min(N);
        self.bytes.get(self.start..end).unwrap_or(&[])
    }

    /// All that waits, from the oldest on, in two pieces.
    #[must_use]
    pub fn parts(&self) -> [&[u8]; 2] {
        let first = self.peek();
        let second = self.bytes.get(..self.len - first.len()).unwrap_or(&[]);
        [first, second]
    }

    /// How many of the waiting bytes are whole lines: all up to the last newline.
    ///
    /// Who passes on only these, except for the console's owner, for a ring without room and for a writer that has
    /// ended, has no line of one writer broken by another's.
    #[must_use]
    pub fn whole_lines(&self) -> usize {
        let [first, second] = self.parts();
        let is_newline = |byte: &u8| *byte == b'\n';
        match second.iter().rposition(is_newline) {
            Some(last) => first.len() + last + 1,
            None => first.iter().rposition(is_newline).map_or(0, |last| last + 1),
        }
    }

    /// Drops the `count` oldest bytes, or all if there are fewer.
    pub fn consume(&mut self, count: usize) {
        let count = count.min(self.len);
        self.start = (self.start + count) % N.max(1);
        self.len -= count;
    }

    /// All slots from the one `offset` after the oldest byte on, around to the oldest byte.
    fn split(&mut self, offset: usize) -> (&mut [u8], &mut [u8]) {
        let at = (self.start + offset) % N.max(1);
        let (low, high) = self.bytes.split_at_mut(at.min(N));
        (high, low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    #[test]
    fn it_takes_what_fits_and_says_how_much() {
        let mut ring = Ring::<4>::new();
        assert_eq!(ring.push(b"abc"), 3);
        assert_eq!(ring.push(b"def"), 1);
        assert_eq!(ring.push(b"g"), 0);
        assert!(!ring.push_byte(b'g'));
        let mut out = [0; 8];
        assert_eq!(ring.pop(&mut out), 4);
        assert_eq!(&out[..4], b"abcd");
        assert_eq!(ring.pop(&mut out), 0);
    }

    #[test]
    fn a_ring_of_no_size_takes_nothing() {
        let mut ring = Ring::<0>::new();
        assert_eq!(ring.push(b"a"), 0);
        assert_eq!(ring.pop(&mut [0; 4]), 0);
        assert_eq!(ring.peek(), b"");
    }

    #[test]
    fn whole_lines_end_with_the_last_newline_wherever_it_lies() {
        let mut ring = Ring::<8>::new();
        assert_eq!(ring.whole_lines(), 0);
        ring.push(b"ab\nc\nde");
        assert_eq!(ring.whole_lines(), 5);
        ring.consume(5);
        assert_eq!(ring.whole_lines(), 0);
        ring.push(b"fg\nh");
        assert_eq!(ring.whole_lines(), 5, "de fg newline, around the end");
        ring.consume(5);
        assert_eq!(ring.whole_lines(), 0);
    }

    proptest! {
        #[test]
        fn it_is_a_queue(steps in proptest::collection::vec((any::<bool>(), 0usize..9), 0..100)) {
            let mut ring = Ring::<7>::new();
            let mut model = VecDeque::new();
            let mut next = 0u8;
            for (push, count) in steps {
                if push {
                    let bytes: Vec<u8> = (0..count).map(|offset| next.wrapping_add(offset as u8)).collect();
                    let taken = ring.push(&bytes);
                    prop_assert_eq!(taken, count.min(7 - model.len()));
                    model.extend(&bytes[..taken]);
                    next = next.wrapping_add(taken as u8);
                } else {
                    let side_by_side = ring.peek().to_vec();
                    prop_assert_eq!(side_by_side.is_empty(), model.is_empty());
                    prop_assert!(side_by_side.iter().eq(model.iter().take(side_by_side.len())));
                    let mut out = vec![0; count];
                    let given = ring.pop(&mut out);
                    prop_assert_eq!(given, count.min(model.len()));
                    prop_assert!(model.drain(..given).eq(out[..given].iter().copied()));
                }
                prop_assert_eq!((ring.len(), ring.room()), (model.len(), 7 - model.len()));
                prop_assert_eq!(ring.whole_lines(), model.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1));
            }
        }
    }
}
