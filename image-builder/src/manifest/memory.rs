//! Sizes of memory: bytes, or a number with K, M or G.
use abi::layout::PAGE_SIZE;

/// Most memory of one domain: what machine frame numbers of 32 bits could name is far more.
const MAX_BYTES: u64 = 1 << 40;

/// The frames that hold `text`, such as `"32M"`.
pub(super) fn frames_of_text(text: &str) -> Result<u64, String> {
    let (number, shift) = match text.char_indices().next_back() {
        Some((at, 'K')) => (&text[..at], 10),
        Some((at, 'M')) => (&text[..at], 20),
        Some((at, 'G')) => (&text[..at], 30),
        _ => (text, 0),
    };
    let digits_only = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| digits_only).ok_or_else(|| {
        format!("`{text}` is no size: write bytes, or a number with K, M or G such as \"32M\"")
    })?;
    frames_of_bytes(
        number.checked_shl(shift).filter(|bytes| bytes >> shift == number),
        text,
    )
}

/// The frames that hold so many bytes.
pub(super) fn frames_of_integer(bytes: i64) -> Result<u64, String> {
    let bytes_u64 = u64::try_from(bytes).map_err(|_| format!("`{bytes}` is no size: it is negative"))?;
    frames_of_bytes(Some(bytes_u64), &bytes.to_string())
}

fn frames_of_bytes(bytes: Option<u64>, text: &str) -> Result<u64, String> {
    match bytes {
        Some(0) => Err("a domain with no memory cannot start: give it some, such as \"32M\"".to_owned()),
        Some(bytes) if bytes <= MAX_BYTES => Ok(bytes.div_ceil(PAGE_SIZE)),
        _ => Err(format!("`{text}` is more memory than a domain can have (1024G)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_up_to_frames() {
        assert_eq!(frames_of_text("32M"), Ok(8192));
        assert_eq!(frames_of_text("512K"), Ok(128));
        assert_eq!(frames_of_text("1G"), Ok(262_144));
        assert_eq!(frames_of_text("4097"), Ok(2));
        assert_eq!(frames_of_integer(1), Ok(1));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "",
            "M",
            "0",
            "0M",
            "-1",
            "+1",
            "1.5M",
            "32MB",
            "32 M",
            "99999999999G",
            "2000G",
        ] {
            assert!(frames_of_text(text).is_err(), "{text}");
        }
        assert!(frames_of_integer(0).is_err());
        assert!(frames_of_integer(-4096).is_err());
        assert!(frames_of_integer(i64::MAX).is_err());
    }
}
