//! Taking back all memory of a dead domain, in bounded steps.
//!
//! Uses go first, frames after: the root and the pins are dropped, the worklist is taken apart to its end, and
//! then no frame of the domain has a use left (invariant 5 of [`super::frame_table`]) and each is scrubbed and
//! freed. Whatever held frames beyond page tables (I/O in flight) must have let go before.
use super::domain::DomainMemory;
use super::frame_table::{FrameTable, State};
use super::validate::{Progress, drop_root, take_apart_one, unpin};
use crate::addr::Mfn;
use crate::platform::PhysMem;

/// Most frames that one step looks at.
const SCAN: u32 = 512;

/// How far a teardown is.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TeardownProgress {
    /// There is more to do.
    More,
    /// Nothing is left to do; when the two numbers are equal, every frame came back.
    Done {
        /// How many frames were scrubbed and freed.
        returned: u32,
        /// How many frames the domain owned when it died.
        owned: u32,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Unpin,
    Free,
}

/// The teardown of one domain.
#[derive(Debug)]
pub struct Teardown {
    phase: Phase,
    /// The next frame to look at.
    cursor: u32,
    returned: u32,
    owned: u32,
}

impl Teardown {
    /// Begins: the domain will not run again, and the CPU is on another CR3.
    #[must_use]
    pub fn begin(ft: &mut FrameTable<'_>, dom: &mut DomainMemory) -> Self {
        drop_root(ft, dom).by_cr3_write();
        Self {
            phase: Phase::Unpin,
            cursor: 0,
            returned: 0,
            owned: dom.owned,
        }
    }

    /// Takes apart one table, or scrubs one frame, or looks at 512 frames and finds nothing to do.
    pub fn step(
        &mut self,
        ft: &mut FrameTable<'_>,
        mem: &mut impl PhysMem,
        dom: &mut DomainMemory,
    ) -> TeardownProgress {
        if dom.has_leaving_tables() {
            let (Progress::More | Progress::Done) = take_apart_one(ft, mem, dom);
            return TeardownProgress::More;
        }
        match self.phase {
            Phase::Unpin => {
                if dom.pins == 0 || self.cursor >= ft.frame_count() {
                    self.phase = Phase::Free;
                    self.cursor = 0;
                } else if let Some(mfn) = self.find(ft, State::Pinned, dom)
                    && let Ok(flush) = unpin(ft, dom, mfn)
                {
                    flush.by_cr3_write();
                }
            }
            Phase::Free => {
                if dom.owned == 0 || self.cursor >= ft.frame_count() {
                    return TeardownProgress::Done {
                        returned: self.returned,
                        owned: self.owned,
                    };
                }
                if let Some(mfn) = self.find(ft, State::Owned, dom)
                    && ft.release(mem, dom, mfn).is_ok()
                {
                    self.returned = self.returned.saturating_add(1);
                }
            }
        }
        TeardownProgress::More
    }

    /// The domain's next frame in a state, among the next [`SCAN`]; moves the cursor past what it looked at.
    fn find(&mut self, ft: &FrameTable<'_>, wanted: State, dom: &DomainMemory) -> Option<Mfn> {
        let end = self.cursor.saturating_add(SCAN).min(ft.frame_count());
        for candidate in self.cursor..end {
            let mfn = Mfn(candidate);
            if ft
                .get(mfn)
                .is_some_and(|info| info.is_owned_by(dom.id) && info.state == wanted)
            {
                self.cursor = candidate.saturating_add(1);
                return Some(mfn);
            }
        }
        self.cursor = end;
        None
    }
}
