//! What `/proc` tells of processes and memory.
use crate::text::number;
use crate::{directory, files};
use alloc::vec::Vec;

/// A process, as `/proc/PID/stat` has it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Process {
    /// Its number.
    pub pid: i64,
    /// What it was called by.
    pub name: Vec<u8>,
    /// `R` running, `S` waiting, `T` stopped, `Z` ended and not waited for, ...
    pub state: u8,
    /// Its parent's number.
    pub parent: i64,
    /// Processor time of its own and in the kernel, in hundredths of a second.
    pub ticks: i64,
    /// Bytes of addresses.
    pub size: i64,
}

/// Reads `/proc/PID/stat`.
#[must_use]
pub fn parse_stat(text: &[u8]) -> Option<Process> {
    // The name is in brackets, and may hold any bytes, brackets among them.
    let open = text.iter().position(|byte| *byte == b'(')?;
    let close = text.iter().rposition(|byte| *byte == b')')?;
    let name = text.get(open + 1..close)?.to_vec();
    let fields: Vec<&[u8]> = text
        .get(close + 1..)?
        .trim_ascii()
        .split(|byte| *byte == b' ')
        .collect();
    let field = |index: usize| fields.get(index).and_then(|field| number(field));
    Some(Process {
        pid: number(text.get(..open)?.trim_ascii())?,
        name,
        state: *fields.first()?.first()?,
        parent: field(1)?,
        ticks: field(11)?.saturating_add(field(12)?),
        size: field(20)?,
    })
}

/// All processes, by number.
///
/// # Errors
/// The kernel's, if there is no `/proc`.
pub fn processes() -> files::Result<Vec<Process>> {
    let names = directory::names(b"/proc")?;
    let numbers = names.iter().filter(|name| number(name).is_some());
    // One that has ended meanwhile is not there.
    let mut all: Vec<Process> = numbers
        .filter_map(|name| files::content(&[b"/proc/", name.as_slice(), b"/stat"].concat()).ok())
        .filter_map(|text| parse_stat(&text))
        .collect();
    all.sort_by_key(|process| process.pid);
    Ok(all)
}

/// The arguments of a process; empty for one that has none.
#[must_use]
pub fn command_line(pid: i64) -> Vec<u8> {
    let path = alloc::format!("/proc/{pid}/cmdline");
    let mut text = files::content(path.as_bytes()).unwrap_or_default();
    while text.last() == Some(&0) {
        text.pop();
    }
    for byte in &mut text {
        if *byte == 0 {
            *byte = b' ';
        }
    }
    text
}

/// The number, in KiB, that `/proc/meminfo` has for `name` (without the colon).
#[must_use]
pub fn memory(text: &[u8], name: &[u8]) -> Option<i64> {
    let lines = text.split(|byte| *byte == b'\n');
    let mut values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(b":"));
    let value = values.next()?.trim_ascii();
    number(value.split(|byte| *byte == b' ').next()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_name() {
        let text = b"42 (a b) c) S 1 42 42 0 -1 0 0 0 0 0 7 3 0 0 20 0 1 0 100 4096 10";
        let process = parse_stat(text).unwrap();
        assert_eq!((process.pid, process.state, process.parent), (42, b'S', 1));
        assert_eq!(
            (process.name.as_slice(), process.ticks, process.size),
            (b"a b) c".as_slice(), 10, 4096)
        );
        assert!(
            processes()
                .unwrap()
                .iter()
                .any(|process| process.pid == std::process::id().into())
        );
    }

    #[test]
    fn memory_is_read_by_name() {
        let text = b"MemTotal:       100 kB\nMemFree:  50 kB\n";
        assert_eq!(memory(text, b"MemFree"), Some(50));
        assert_eq!(memory(text, b"Mem"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text: Vec<u8>) {
            let _ = parse_stat(&text);
            let _ = memory(&text, b"x");
        }
    }
}
