//! The files of a process in `/proc`, as Linux writes them (proc(5)).
use super::Text;
use super::facts::ProcessFacts;
use crate::mm::area::{Area, Backing, Protection, Purpose};
use abi::layout::PAGE_SIZE;
use alloc::vec::Vec;
use core::fmt::Write;

/// The terminal's number: `/dev/tty` of minor 0.
const TERMINAL: u32 = 5 << 8;

/// Which file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "they have the names of the files")]
pub enum OfProcess {
    Stat,
    Statm,
    Status,
    Cmdline,
    Comm,
    Maps,
    Mounts,
}

impl OfProcess {
    pub(super) const ALL: [Self; 7] = [
        Self::Stat,
        Self::Statm,
        Self::Status,
        Self::Cmdline,
        Self::Comm,
        Self::Maps,
        Self::Mounts,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Stat => "stat",
            Self::Statm => "statm",
            Self::Status => "status",
            Self::Cmdline => "cmdline",
            Self::Comm => "comm",
            Self::Maps => "maps",
            Self::Mounts => "mounts",
        }
    }

    pub(super) fn text(self, pid: u32, process: &ProcessFacts<'_>) -> Vec<u8> {
        match self {
            Self::Stat => stat(pid, process),
            Self::Statm => statm(process),
            Self::Status => status(pid, process),
            Self::Cmdline => process.arguments.to_vec(),
            Self::Comm => [process.name, b"\n"].concat(),
            Self::Maps => maps(process.areas),
            Self::Mounts => MOUNTS.to_vec(),
        }
    }
}

const MOUNTS: &[u8] = b"tmpfs / tmpfs rw 0 0\nproc /proc proc ro 0 0\n";

fn size(areas: &[Area]) -> u64 {
    areas.iter().map(|area| area.range.pages()).sum()
}

fn stat(pid: u32, process: &ProcessFacts<'_>) -> Vec<u8> {
    let ProcessFacts {
        state,
        parent,
        group,
        session,
        run_time,
        started,
        resident,
        ..
    } = process;
    let (terminal, foreground) = match process.terminal_group {
        Some(group) => (TERMINAL, i64::from(group)),
        None => (0, -1),
    };
    let bytes = size(process.areas) * PAGE_SIZE;
    let mut text = Text::new();
    // Writing to a string cannot fail, here and below.
    let _ = write!(
        text,
        " {state} {parent} {group} {session} {terminal} {foreground} 0 0 0 0 0 {run_time} 0 0 0 20 0 1 0 {started} \
         {bytes} {resident} 18446744073709551615"
    );
    // Addresses, signals, and what else nothing here keeps.
    for field in 26..=52 {
        let _ = write!(text, " {}", if field == 38 { 17 } else { 0 });
    }
    let mut line = alloc::format!("{pid} (").into_bytes();
    line.extend_from_slice(process.name);
    line.push(b')');
    line.extend_from_slice(text.as_bytes());
    line.push(b'\n');
    line
}

fn statm(process: &ProcessFacts<'_>) -> Vec<u8> {
    let executable = process
        .areas
        .iter()
        .filter(|area| area.protection.contains(Protection::EXECUTE));
    let text: u64 = executable.map(|area| area.range.pages()).sum();
    let all = size(process.areas);
    let resident = process.resident;
    alloc::format!("{all} {resident} 0 {text} 0 {} 0\n", all - text).into_bytes()
}

fn status(pid: u32, process: &ProcessFacts<'_>) -> Vec<u8> {
    let word = match process.state {
        'R' => "running",
        'T' => "stopped",
        'Z' => "zombie",
        _ => "sleeping",
    };
    let mut text = Text::from("Name:\t");
    text.push_str(&Text::from_utf8_lossy(process.name));
    let (state, parent) = (process.state, process.parent);
    let kilobytes = |pages: u64| pages * (PAGE_SIZE >> 10);
    let _ = write!(
        text,
        "\nState:\t{state} ({word})\nTgid:\t{pid}\nPid:\t{pid}\nPPid:\t{parent}\nTracerPid:\t0\nUid:\t0\t0\t0\t0\n\
         Gid:\t0\t0\t0\t0\nVmSize:\t{:8} kB\nVmRSS:\t{:8} kB\nThreads:\t1\n",
        kilobytes(size(process.areas)),
        kilobytes(process.resident)
    );
    text.into_bytes()
}

fn maps(areas: &[Area]) -> Vec<u8> {
    let mut text = Text::new();
    for area in areas {
        let letter = |right, letter| {
            if area.protection.contains(right) {
                letter
            } else {
                '-'
            }
        };
        let offset = match area.backing {
            Backing::Zero => 0,
            Backing::File { offset, .. } => offset & !(PAGE_SIZE - 1),
        };
        let name = match area.purpose {
            Purpose::Stack => "                          [stack]",
            Purpose::Heap => "                          [heap]",
            Purpose::Image | Purpose::Mapping => "",
        };
        let _ = writeln!(
            text,
            "{:08x}-{:08x} {}{}{}p {offset:08x} 00:00 0{name}",
            area.range.start(),
            area.range.end(),
            letter(Protection::READ, 'r'),
            letter(Protection::WRITE, 'w'),
            letter(Protection::EXECUTE, 'x'),
        );
    }
    text.into_bytes()
}
