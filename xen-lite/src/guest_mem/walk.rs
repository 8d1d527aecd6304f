//! A walk of a guest's page tables: what an address translates to, and which entry stopped it.
//!
//! Used by the copies, by the kill rule (can this handler be fetched?) and by the crash record.
use crate::addr::{Level, Mfn};
use crate::paging::{FrameTable, PageType, Pte};
use crate::platform::PhysMem;
use abi::layout::{in_hypervisor_slot, is_canonical};
use abi::mmu::PteFlags;

/// Levels in the order in which the CPU walks them.
pub(super) const DOWN: [Level; 4] = [Level::L4, Level::L3, Level::L2, Level::L1];

/// One entry that a walk has read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// The table.
    pub table: Mfn,
    /// The level of the table.
    pub level: Level,
    /// Which entry.
    pub index: usize,
    /// What it held.
    pub entry: u64,
}

/// What all levels of a translation allow together (SDM vol. 3A, 4.6), with CR0.WP = 1 and EFER.NXE = 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rights {
    /// W in every entry.
    pub writable: bool,
    /// U in every entry.
    pub user: bool,
    /// NX in no entry.
    pub executable: bool,
}

/// How a walk ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The address is mapped.
    Mapped {
        /// To this frame.
        mfn: Mfn,
        /// With these rights.
        rights: Rights,
    },
    /// The entry of this level is not present.
    NotPresent(Level),
    /// No such address.
    NonCanonical,
    /// The hypervisor's own part of the address space: not walked.
    HypervisorSlot,
    /// The frame that should be a table of this level is not one. Never so for a root that a domain runs on.
    NotATable(Level),
}

/// What ring 1 wants to do with an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Read data.
    Read,
    /// Write data.
    Write,
    /// Fetch an instruction.
    Fetch(Smep),
}

/// Whether the CPU refuses ring 1 the execution of user pages (CR4.SMEP).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Smep {
    /// It does not.
    Off,
    /// It does.
    On,
}

/// Why ring 1 may not do what it wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The entry of this level is not present.
    NotPresent(Level),
    /// The entry of this level, the first from the root, lacks W.
    ReadOnly(Level),
    /// The entry of this level, the first from the root, has NX.
    NoExecute(Level),
    /// A page that ring 3 can use, and SMEP is on.
    UserPage,
    /// No such address.
    NonCanonical,
    /// The hypervisor's own part of the address space.
    HypervisorSlot,
    /// See [`Outcome::NotATable`].
    NotATable(Level),
}

/// A finished walk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Walk {
    steps: [Option<Step>; 4],
    outcome: Outcome,
}

impl Walk {
    /// The entries that were read, from the root down. The last one stopped a walk that was stopped.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().flatten()
    }

    /// How it ended.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The frame, if ring 1 may access the address so. Ring 1 is supervisor to paging; SMAP is off.
    pub fn check(&self, access: Access) -> Result<Mfn, Refusal> {
        let (mfn, rights) = match self.outcome {
            Outcome::Mapped { mfn, rights } => (mfn, rights),
            Outcome::NotPresent(level) => return Err(Refusal::NotPresent(level)),
            Outcome::NonCanonical => return Err(Refusal::NonCanonical),
            Outcome::HypervisorSlot => return Err(Refusal::HypervisorSlot),
            Outcome::NotATable(level) => return Err(Refusal::NotATable(level)),
        };
        match access {
            Access::Write if !rights.writable => Err(Refusal::ReadOnly(
                self.first_level(|entry| entry & PteFlags::WRITABLE.bits() == 0),
            )),
            Access::Fetch(_) if !rights.executable => Err(Refusal::NoExecute(
                self.first_level(|entry| entry & PteFlags::NO_EXECUTE.bits() != 0),
            )),
            Access::Fetch(Smep::On) if rights.user => Err(Refusal::UserPage),
            Access::Read | Access::Write | Access::Fetch(_) => Ok(mfn),
        }
    }

    fn first_level(&self, wanted: impl Fn(u64) -> bool) -> Level {
        self.steps()
            .find(|step| wanted(step.entry))
            .map_or(Level::L1, |step| step.level)
    }
}

/// Walks the tables under `root`, which must be a root that some domain runs on.
#[inline]
pub fn walk(ft: &FrameTable<'_>, mem: &impl PhysMem, root: Mfn, va: u64) -> Walk {
    let mut walk = Walk {
        steps: [None; 4],
        outcome: Outcome::NonCanonical,
    };
    if !is_canonical(va) {
        return walk;
    }
    if in_hypervisor_slot(va) {
        walk.outcome = Outcome::HypervisorSlot;
        return walk;
    }
    let mut table = root;
    // W and U must be set everywhere, NX nowhere: AND of the entries with NX turned round.
    let mut all = u64::MAX;
    for (level, step) in DOWN.into_iter().zip(&mut walk.steps) {
        if ft.page_type(table) != PageType::table(level) {
            walk.outcome = Outcome::NotATable(level);
            return walk;
        }
        let index = level.index_of(va);
        let entry = mem.read(table, index);
        *step = Some(Step {
            table,
            level,
            index,
            entry,
        });
        let pte = Pte::from_live_table(entry);
        if !pte.is_present() {
            walk.outcome = Outcome::NotPresent(level);
            return walk;
        }
        all &= entry ^ PteFlags::NO_EXECUTE.bits();
        table = pte.frame();
    }
    walk.outcome = Outcome::Mapped {
        mfn: table,
        rights: Rights {
            writable: all & PteFlags::WRITABLE.bits() != 0,
            user: all & PteFlags::USER.bits() != 0,
            executable: all & PteFlags::NO_EXECUTE.bits() != 0,
        },
    };
    walk
}
