//! The guest `fuzz`: its kinds of steps, and the lines by which a judge counts them.
//!
//! A *life* is one incarnation: `seed` plus the restart count, and at most `steps` steps. What a step does depends on seed and
//! number of the step alone, and on what the steps before it have made of the guest.
use core::fmt;

use crate::lot::Lot;

/// What a step is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// One hypercall with arguments of a grammar.
    Call,
    /// A list of such calls.
    Multicall,
    /// A page table is made, filled, linked, unlinked, taken back, switched to.
    Table,
    /// Frames are given up and taken; those that come are zero.
    Balloon,
    /// Trap entries of any kind, and traps that try them.
    Trap,
    /// The upcall and the syscall entry anywhere, and what enters them.
    Callback,
    /// A return to any frame.
    Frame,
    /// A jump to any place of the switcher's text.
    Jump,
    /// Descriptors of any kind, loads of segments, far transfers.
    Segment,
    /// A stack pointer of any kind, and what uses it.
    Stack,
    /// Junk in all that ring 1 can write of the hypervisor's slot.
    Scribble,
    /// Ports, timers, waits, masks.
    Event,
    /// Random bytes run in either ring.
    Code,
    /// An instruction that enters ring 0, with odd flags.
    Entry,
}

impl Kind {
    /// All of them, with the number of lots that each has.
    pub const ALL: [(Self, u64); 14] = [
        (Self::Call, 20),
        (Self::Multicall, 8),
        (Self::Table, 30),
        (Self::Balloon, 6),
        (Self::Trap, 6),
        (Self::Callback, 3),
        (Self::Frame, 5),
        (Self::Jump, 5),
        (Self::Segment, 6),
        (Self::Stack, 4),
        (Self::Scribble, 2),
        (Self::Event, 8),
        (Self::Code, 5),
        (Self::Entry, 6),
    ];

    /// Whether such a step sends control to places of all kinds.
    #[must_use]
    pub const fn is_wild(self) -> bool {
        !matches!(
            self,
            Self::Call | Self::Multicall | Self::Table | Self::Balloon | Self::Event
        )
    }

    /// The kind of a step.
    pub fn draw(lot: &mut Lot) -> Self {
        let all = Self::ALL.iter().map(|(_, lots)| lots).sum();
        let mut drawn = lot.below(all);
        for (kind, lots) in Self::ALL {
            if drawn < lots {
                return kind;
            }
            drawn -= lots;
        }
        Self::Call
    }
}

/// A line that says how far a life has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Of the life.
    pub seed: u64,
    /// Steps done.
    pub steps: u64,
}

impl Progress {
    /// Every so many steps there is a line.
    pub const EVERY: u64 = 100;

    /// What a line of a console says, if it says so. Something else may stand before it.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.rsplit_once("fuzz seed=")?;
        let (seed, rest) = rest.split_once(" steps=")?;
        let steps = rest.trim_end();
        Some(Self {
            seed: seed.parse().ok()?,
            steps: steps.parse().ok()?,
        })
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "fuzz seed={} steps={}", self.seed, self.steps)
    }
}

/// Codes with which a life ends that has found its hypervisor wanting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finding {
    /// A privileged instruction was carried out.
    Privileged = 0x1c0,
    /// A frame that came from the hypervisor was not zero.
    NotZero = 0x1c1,
    /// A page-table entry is not what an accepted update made it, or a refused one has changed it.
    WrongEntry = 0x1c2,
    /// A hypercall has not kept what it has to keep.
    LostRegister = 0x1c3,
    /// A hypercall returned what no hypercall returns.
    WrongResult = 0x1c4,
}

impl Finding {
    /// Whether a life's code says so. Any other but 0 is a guest's that has lost its own floor.
    #[must_use]
    pub const fn is_told_by(code: u64) -> bool {
        code >= Self::Privileged as u64 && code <= Self::WrongResult as u64
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn every_kind_is_drawn() {
        for (kind, _) in Kind::ALL {
            assert!(
                (0..10_000).any(|step| Kind::draw(&mut Lot::new(1, step)) == kind),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn progress_is_read_as_it_is_written() {
        let progress = Progress {
            seed: u64::MAX,
            steps: 1200,
        };
        let line = std::format!("[a] \\x00junk{progress}\r");
        assert_eq!(Progress::parse(&line), Some(progress));
        assert_eq!(progress.to_string().matches(' ').count(), 2);
        for other in ["", "fuzz seed=1", "fuzz seed= steps=2", "fuzz seed=1 steps=2 x"] {
            assert_eq!(Progress::parse(other), None, "{other}");
        }
    }
}
