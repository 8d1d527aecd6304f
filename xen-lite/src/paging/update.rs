//! Changing one entry of a live page table: the hypercalls `mmu_update` and `update_va_mapping`.
//!
//! The order is what makes it safe: what the new entry needs is taken first, then the entry is written, then
//! what the old one used is let go. A refusal comes before anything has changed.
use super::Flush;
use super::domain::DomainMemory;
use super::error::PagingError;
use super::frame_table::{FrameTable, PageType, State};
use super::pte::Pte;
use crate::addr::{Level, Mfn};
use crate::platform::PhysMem;
use abi::layout::{ENTRIES, HYPERVISOR_SLOT, is_canonical, is_guest_address};

/// Writes `new` into entry `index` of `table`, which may be a live table of any level.
///
/// Work: constant, but for the tables that the old entry kept alive: they go on the domain's worklist.
#[inline(always)]
pub fn update_entry(
    ft: &mut FrameTable<'_>,
    mem: &mut impl PhysMem,
    dom: &mut DomainMemory,
    table: Mfn,
    index: usize,
    new: u64,
) -> Result<Flush, PagingError> {
    let info = ft.owned(dom.id, table)?;
    if info.state == State::Leaving {
        return Err(PagingError::Busy);
    }
    if index >= ENTRIES {
        return Err(PagingError::NoSuchEntry);
    }
    // By far the most frequent; apart, so that the compiler can work out what an L1 entry needs.
    if info.kind == PageType::L1 {
        return change(ft, mem, dom, table, index, new, Level::L1);
    }
    match info.kind.level() {
        Some(level) => change_upper(ft, mem, dom, table, index, new, level),
        None => Err(PagingError::NotATable(info.kind)),
    }
}

#[inline(never)]
fn change_upper(
    ft: &mut FrameTable<'_>,
    mem: &mut impl PhysMem,
    dom: &mut DomainMemory,
    table: Mfn,
    index: usize,
    new: u64,
    level: Level,
) -> Result<Flush, PagingError> {
    if level == Level::L4 && index == HYPERVISOR_SLOT {
        return Err(PagingError::SlotForbidden);
    }
    change(ft, mem, dom, table, index, new, level)
}

#[inline(always)]
fn change(
    ft: &mut FrameTable<'_>,
    mem: &mut impl PhysMem,
    dom: &mut DomainMemory,
    table: Mfn,
    index: usize,
    new: u64,
    level: Level,
) -> Result<Flush, PagingError> {
    let new = Pte::from_guest(new, level)?;
    let old = Pte::from_live_table(mem.read(table, index));
    if new.uses_the_same(old, level) {
        ft.outdate();
        mem.write(table, index, new.raw());
        return Ok(Flush::NEEDED);
    }
    if let Some(wanted) = new.used(level) {
        ft.take(dom.id, wanted)?;
    }
    ft.outdate();
    mem.write(table, index, new.raw());
    if let Some(dropped) = old.used(level) {
        ft.put(dom, dropped);
    }
    Ok(Flush::NEEDED)
}

/// Writes `new` into the L1 entry that translates `va` in the domain's current address space.
#[inline(always)]
pub fn update_va_mapping(
    ft: &mut FrameTable<'_>,
    mem: &mut impl PhysMem,
    dom: &mut DomainMemory,
    va: u64,
    new: u64,
) -> Result<Flush, PagingError> {
    if !is_guest_address(va) {
        return Err(refusal(va));
    }
    let mut table = dom.root.ok_or(PagingError::NoRoot)?;
    for level in [Level::L4, Level::L3, Level::L2] {
        let entry = Pte::from_live_table(mem.read(table, level.index_of(va)));
        if !entry.is_present() {
            return Err(PagingError::NoTable(level));
        }
        table = entry.frame();
    }
    debug_assert_eq!(ft.page_type(table), PageType::L1);
    update_entry(ft, mem, dom, table, Level::L1.index_of(va), new)
}

/// Why an address is not a guest's.
#[cold]
fn refusal(va: u64) -> PagingError {
    if is_canonical(va) {
        PagingError::SlotForbidden
    } else {
        PagingError::NonCanonical
    }
}
