//! The store's compression: literals and back references, one page at a time.
//!
//! A byte below 0x80 announces that many literals and one more; any other announces a copy of its low seven bits plus
//! [`MIN_MATCH`] bytes from as far back as the two bytes after it say. Everything is inlined, since the caller's code is
//! all that is sure to be resident.

const MIN_MATCH: usize = 4;
const MAX_MATCH: usize = MIN_MATCH + 0x7f;
const MAX_LITERALS: usize = 0x80;
/// Entries of the table that remembers where bytes like these were last.
pub const RECENT: usize = 1024;

#[inline(always)]
fn slot(input: &[u8], at: usize) -> usize {
    let word = u32::from(input[at])
        | u32::from(input[at + 1]) << 8
        | u32::from(input[at + 2]) << 16
        | u32::from(input[at + 3]) << 24;
    (word.wrapping_mul(0x9e37_79b1) >> 22) as usize
}

#[inline(always)]
fn put_literals(
    input: &[u8],
    mut from: usize,
    to: usize,
    output: &mut [u8],
    mut used: usize,
) -> Option<usize> {
    while from < to {
        let count = if to - from < MAX_LITERALS {
            to - from
        } else {
            MAX_LITERALS
        };
        if used + 1 + count > output.len() {
            return None;
        }
        output[used] = (count - 1) as u8;
        used += 1;
        let mut n = 0;
        while n < count {
            output[used + n] = input[from + n];
            n += 1;
        }
        used += count;
        from += count;
    }
    Some(used)
}

/// Compresses at most 64 KiB; `None` when the result would not fit `output`.
#[inline(always)]
#[must_use]
pub fn compress(input: &[u8], output: &mut [u8], recent: &mut [u16; RECENT]) -> Option<usize> {
    let mut n = 0;
    while n < RECENT {
        recent[n] = u16::MAX;
        n += 1;
    }
    let (mut at, mut literals, mut used) = (0, 0, 0);
    while at + MIN_MATCH <= input.len() {
        let slot = slot(input, at);
        let candidate = recent[slot] as usize;
        recent[slot] = at as u16;
        let mut length = 0;
        if candidate < at {
            while length < MAX_MATCH
                && at + length < input.len()
                && input[candidate + length] == input[at + length]
            {
                length += 1;
            }
        }
        if length < MIN_MATCH {
            at += 1;
            continue;
        }
        used = put_literals(input, literals, at, output, used)?;
        if used + 3 > output.len() {
            return None;
        }
        let back = at - candidate;
        output[used] = 0x80 | (length - MIN_MATCH) as u8;
        output[used + 1] = back as u8;
        output[used + 2] = (back >> 8) as u8;
        used += 3;
        at += length;
        literals = at;
    }
    put_literals(input, literals, input.len(), output, used)
}

/// Undoes [`compress`]; false when `input` is not what it made for an output of this size.
#[inline(always)]
#[must_use]
pub fn decompress(input: &[u8], output: &mut [u8]) -> bool {
    let (mut at, mut used) = (0, 0);
    while at < input.len() {
        let token = input[at] as usize;
        at += 1;
        let (count, back) = if token < 0x80 {
            (token + 1, 0)
        } else {
            if at + 2 > input.len() {
                return false;
            }
            at += 2;
            (
                token - 0x80 + MIN_MATCH,
                input[at - 2] as usize | (input[at - 1] as usize) << 8,
            )
        };
        let room = used + count <= output.len();
        let source = if back == 0 {
            at + count <= input.len()
        } else {
            back <= used
        };
        if !room || !source || (token >= 0x80 && back == 0) {
            return false;
        }
        let mut n = 0;
        while n < count {
            output[used + n] = if back == 0 {
                input[at + n]
            } else {
                output[used + n - back]
            };
            n += 1;
        }
        used += count;
        if back == 0 {
            at += count;
        }
    }
    used == output.len()
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn round_trip(input: &[u8]) -> Option<usize> {
        let mut packed = [0; 5000];
        let size = compress(input, &mut packed, &mut [0; RECENT])?;
        let mut output = std::vec![0xaa; input.len()];
        assert!(decompress(&packed[..size], &mut output));
        assert_eq!(output, input);
        Some(size)
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        core::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .take(length)
        .collect()
    }

    #[test]
    fn what_is_compressed_comes_back() {
        assert!(round_trip(&[0; 4096]).is_some_and(|size| size < 128));
        let text: Vec<u8> = b"the guest keeps its handlers resident. "
            .iter()
            .copied()
            .cycle()
            .take(4096)
            .collect();
        assert!(round_trip(&text).is_some_and(|size| size < 512));
        assert!(round_trip(&noise(4096)).is_some_and(|size| size > 4096));
        for length in 0..70 {
            assert!(round_trip(&noise(length)).is_some());
            assert!(round_trip(&text[..length]).is_some());
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut packed = [0; 4096];
        assert_eq!(compress(&noise(4096), &mut packed, &mut [0; RECENT]), None);
    }

    #[test]
    fn damaged_input_is_refused_and_never_panics() {
        let mut packed = [0; 5000];
        let text: Vec<u8> = noise(64).iter().copied().cycle().take(4096).collect();
        let size = compress(&text, &mut packed, &mut [0; RECENT]).unwrap();
        let mut output = [0; 4096];
        for cut in 0..size {
            assert!(!decompress(&packed[..cut], &mut output), "cut at {cut}");
        }
        for at in 0..size {
            for value in [0, 0x7f, 0x80, 0xff] {
                let mut damaged = packed;
                damaged[at] = value;
                let _ = decompress(&damaged[..size], &mut output);
            }
        }
    }
}
