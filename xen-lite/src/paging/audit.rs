//! Recomputing all that the frame table claims from what the page tables hold.
//!
//! The trick that needs no memory: every use that is found in the tables is taken off the stored counts; what
//! is then left of any count is the difference between claim and truth; then every use is put back. Bits that
//! the CPU sets by itself (accessed, dirty) are ignored. Cost: two readings of every live table.
use super::domain::DomainMemory;
use super::frame_table::{END, FrameInfo, FrameTable, PageType, State, Use};
use super::pte::Pte;
use crate::addr::{DomainId, Level, Mfn};
use crate::platform::PhysMem;
use abi::layout::{ENTRIES, HYPERVISOR_SLOT};
use abi::mmu::PteFlags;
use core::fmt;

/// What a clean audit saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AuditReport {
    /// Frames that domains own.
    pub owned: u32,
    /// Free frames.
    pub free: u32,
    /// Frames that the hypervisor took from the free list.
    pub hypervisor: u32,
    /// Live page tables.
    pub tables: u32,
    /// Present entries in them, slot 256 not counted.
    pub entries: u32,
}

/// What an audit found wrong: a defect of the hypervisor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuditFault {
    /// A frame's state, type and counts cannot go together.
    Inconsistent(Mfn),
    /// A frame has more or fewer uses than were found.
    Uses {
        /// The frame.
        mfn: Mfn,
        /// What the table says.
        stored: u32,
        /// What the page tables, pins and roots say.
        found: u32,
    },
    /// A frame has more or fewer uses as its type than were found.
    TypeUses {
        /// The frame.
        mfn: Mfn,
        /// What the table says.
        stored: u32,
        /// What the page tables, pins and roots say.
        found: u32,
    },
    /// An entry of a live table that should not be there: its bits, or what it names.
    Entry {
        /// The page table.
        table: Mfn,
        /// Which entry.
        index: usize,
    },
    /// Slot 256 of a root does not hold its domain's entry.
    Slot(Mfn),
    /// A domain's root is not one.
    Root(DomainId),
    /// A frame is owned by a domain that does not exist.
    NoDomain(Mfn),
    /// The free list: a frame on it is not free, it is too short, or it does not end.
    FreeList,
    /// A domain's list of leaving tables, likewise.
    Worklist(DomainId),
    /// The numbers of frames or pins that the domains keep do not add up.
    Totals,
}

impl fmt::Display for AuditFault {
    /// One word without spaces, for the machine's line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Inconsistent(mfn) => write!(f, "inconsistent,mfn:{:#x}", mfn.0),
            Self::Uses { mfn, stored, found } => {
                write!(f, "uses-differ,mfn:{:#x},stored:{stored},found:{found}", mfn.0)
            }
            Self::TypeUses { mfn, stored, found } => {
                write!(
                    f,
                    "type-uses-differ,mfn:{:#x},stored:{stored},found:{found}",
                    mfn.0
                )
            }
            Self::Entry { table, index } => write!(f, "bad-entry,table:{:#x},index:{index}", table.0),
            Self::Slot(mfn) => write!(f, "bad-slot-256,root:{:#x}", mfn.0),
            Self::Root(domain) => write!(f, "bad-root,domain:{}", domain.0),
            Self::NoDomain(mfn) => write!(f, "owner-unknown,mfn:{:#x}", mfn.0),
            Self::FreeList => f.write_str("free-list-broken"),
            Self::Worklist(domain) => write!(f, "worklist-broken,domain:{}", domain.0),
            Self::Totals => f.write_str("totals-differ"),
        }
    }
}

/// Recomputes everything. `domains` yields every domain that owns memory, dead ones that are being torn down
/// included. The frame table is the same afterwards as before, whatever was found.
pub fn audit<'d>(
    ft: &mut FrameTable<'_>,
    mem: &impl PhysMem,
    domains: impl Iterator<Item = &'d DomainMemory> + Clone,
) -> Result<AuditReport, AuditFault> {
    let mut report = check_states(ft, domains.clone())?;
    check_free_list(ft)?;
    check_worklists(ft, domains.clone())?;
    check_entries(ft, mem, domains.clone(), &mut report)?;
    for dom in domains.clone() {
        if dom.root.is_some_and(|root| {
            !is_used_as(
                ft,
                dom.id,
                Use {
                    mfn: root,
                    kind: PageType::L4,
                },
            )
        }) {
            return Err(AuditFault::Root(dom.id));
        }
    }
    add_found_uses(ft, mem, domains.clone(), u32::MAX);
    let difference = first_difference(ft);
    add_found_uses(ft, mem, domains, 1);
    match difference {
        None => Ok(report),
        Some((mfn, uses, type_uses)) => Err(describe_difference(ft, mfn, uses, type_uses)),
    }
}

/// Each frame by itself, and the sums that domains keep.
fn check_states<'d>(
    ft: &FrameTable<'_>,
    domains: impl Iterator<Item = &'d DomainMemory> + Clone,
) -> Result<AuditReport, AuditFault> {
    let mut report = AuditReport::default();
    let mut pins = 0u32;
    for mfn in frames(ft) {
        let Some(info) = ft.get(mfn) else { continue };
        if !is_consistent(info) {
            return Err(AuditFault::Inconsistent(mfn));
        }
        match info.state {
            State::Reserved => {}
            State::Hypervisor => bump(&mut report.hypervisor),
            State::Free | State::FreeDirty => bump(&mut report.free),
            State::Owned | State::Pinned | State::Leaving => {
                bump(&mut report.owned);
                if info.state == State::Pinned {
                    bump(&mut pins);
                }
                if info.kind.level().is_some() {
                    bump(&mut report.tables);
                }
                if !domains.clone().any(|dom| dom.id == info.domain) {
                    return Err(AuditFault::NoDomain(mfn));
                }
            }
        }
    }
    let (owned_claimed, pins_claimed) = domains.fold((0u32, 0u32), |(owned, pins), dom| {
        (owned.wrapping_add(dom.owned), pins.wrapping_add(dom.pins))
    });
    if owned_claimed == report.owned && pins_claimed == pins {
        Ok(report)
    } else {
        Err(AuditFault::Totals)
    }
}

/// Invariant 1 of the frame table, and that nothing uses what no domain owns.
fn is_consistent(info: &FrameInfo) -> bool {
    let is_table = info.kind.level().is_some();
    match info.state {
        State::Reserved | State::Hypervisor | State::Free | State::FreeDirty => {
            info.uses == 0 && info.type_uses == 0 && info.kind == PageType::None
        }
        State::Owned => (info.kind == PageType::None) == (info.type_uses == 0),
        State::Pinned => is_table && info.type_uses > 0,
        State::Leaving => is_table && info.type_uses == 0,
    }
}

fn check_free_list(ft: &FrameTable<'_>) -> Result<(), AuditFault> {
    let mut link = ft.free_head();
    let mut seen = 0u32;
    while link != END {
        let info = ft.get(Mfn(link)).ok_or(AuditFault::FreeList)?;
        if !matches!(info.state, State::Free | State::FreeDirty) || seen == ft.free_count() {
            return Err(AuditFault::FreeList);
        }
        bump(&mut seen);
        link = info.link;
    }
    let free = frames(ft)
        .filter(|&mfn| {
            ft.get(mfn)
                .is_some_and(|info| matches!(info.state, State::Free | State::FreeDirty))
        })
        .count();
    if seen == ft.free_count() && usize::try_from(seen) == Ok(free) {
        Ok(())
    } else {
        Err(AuditFault::FreeList)
    }
}

fn check_worklists<'d>(
    ft: &FrameTable<'_>,
    domains: impl Iterator<Item = &'d DomainMemory>,
) -> Result<(), AuditFault> {
    for dom in domains {
        let leaving = frames(ft)
            .filter(|&mfn| {
                ft.get(mfn)
                    .is_some_and(|info| info.state == State::Leaving && info.domain == dom.id)
            })
            .count();
        let mut link = dom.leaving;
        for _ in 0..leaving {
            let info = ft.get(Mfn(link)).ok_or(AuditFault::Worklist(dom.id))?;
            if info.state != State::Leaving || info.domain != dom.id {
                return Err(AuditFault::Worklist(dom.id));
            }
            link = info.link;
        }
        if link != END {
            return Err(AuditFault::Worklist(dom.id));
        }
    }
    Ok(())
}

/// Every entry of every live table: its bits, what it names, the hypervisor's slot.
fn check_entries<'d>(
    ft: &FrameTable<'_>,
    mem: &impl PhysMem,
    domains: impl Iterator<Item = &'d DomainMemory> + Clone,
    report: &mut AuditReport,
) -> Result<(), AuditFault> {
    let ignored = (PteFlags::ACCESSED | PteFlags::DIRTY).bits();
    for table in frames(ft) {
        let Some((domain, level)) = live_table(ft, table) else {
            continue;
        };
        for index in 0..ENTRIES {
            let raw = mem.read(table, index);
            if level == Level::L4 && index == HYPERVISOR_SLOT {
                let slot_entry = domains
                    .clone()
                    .find(|dom| dom.id == domain)
                    .map(|dom| dom.slot_entry);
                if slot_entry.is_none_or(|ours| (ours ^ raw) & !ignored != 0) {
                    return Err(AuditFault::Slot(table));
                }
                continue;
            }
            let bad = AuditFault::Entry { table, index };
            let entry = Pte::from_guest(raw, level).map_err(|_| bad)?;
            if let Some(used) = entry.used(level) {
                bump(&mut report.entries);
                if !is_used_as(ft, domain, used) {
                    return Err(bad);
                }
            }
        }
    }
    Ok(())
}

fn is_used_as(ft: &FrameTable<'_>, domain: DomainId, used: Use) -> bool {
    ft.owned(domain, used.mfn).is_ok_and(|info| {
        used.kind == PageType::None || (info.kind == used.kind && info.state != State::Leaving)
    })
}

/// Adds `weight` (1, or -1 in two's complement) to the counts for each use that is found.
fn add_found_uses<'d>(
    ft: &mut FrameTable<'_>,
    mem: &impl PhysMem,
    domains: impl Iterator<Item = &'d DomainMemory>,
    weight: u32,
) {
    for dom in domains {
        if let Some(root) = dom.root {
            add_use(
                ft,
                Use {
                    mfn: root,
                    kind: PageType::L4,
                },
                weight,
            );
        }
    }
    for mfn in frames(ft) {
        let Some((_, level)) = live_table(ft, mfn) else {
            continue;
        };
        if ft.is_pinned(mfn) {
            add_use(
                ft,
                Use {
                    mfn,
                    kind: PageType::table(level),
                },
                weight,
            );
        }
        for index in 0..ENTRIES {
            if level == Level::L4 && index == HYPERVISOR_SLOT {
                continue;
            }
            if let Some(used) = Pte::from_live_table(mem.read(mfn, index)).used(level) {
                add_use(ft, used, weight);
            }
        }
    }
}

fn add_use(ft: &mut FrameTable<'_>, used: Use, weight: u32) {
    if let Some(info) = ft.all_mut().get_mut(used.mfn.index()) {
        info.uses = info.uses.wrapping_add(weight);
        if used.kind != PageType::None {
            info.type_uses = info.type_uses.wrapping_add(weight);
        }
    }
}

/// The first frame of which something is left over: by how much claim exceeds truth.
fn first_difference(ft: &FrameTable<'_>) -> Option<(Mfn, u32, u32)> {
    frames(ft).find_map(|mfn| {
        let info = ft.get(mfn)?;
        (info.uses != 0 || info.type_uses != 0).then_some((mfn, info.uses, info.type_uses))
    })
}

fn describe_difference(ft: &FrameTable<'_>, mfn: Mfn, uses: u32, type_uses: u32) -> AuditFault {
    let (stored, stored_type) = (ft.uses(mfn), ft.type_uses(mfn));
    if uses != 0 {
        AuditFault::Uses {
            mfn,
            stored,
            found: stored.wrapping_sub(uses),
        }
    } else {
        AuditFault::TypeUses {
            mfn,
            stored: stored_type,
            found: stored_type.wrapping_sub(type_uses),
        }
    }
}

fn live_table(ft: &FrameTable<'_>, mfn: Mfn) -> Option<(DomainId, Level)> {
    let info = ft.get(mfn)?;
    info.kind.level().map(|level| (info.domain, level))
}

fn frames(ft: &FrameTable<'_>) -> impl Iterator<Item = Mfn> + use<> {
    (0..ft.frame_count()).map(Mfn)
}

fn bump(count: &mut u32) {
    *count = count.wrapping_add(1);
}
