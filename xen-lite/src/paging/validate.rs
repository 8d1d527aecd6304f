//! How a frame becomes a page table, and stops being one.
//!
//! Up: [`pin`] validates exactly one table, whose children must be tables already. There is no recursion and
//! no half-validated state: it succeeds or has changed nothing.
//! Down: a table that loses its last type use waits on its domain's worklist, untouched and live, until
//! [`take_apart_one`] drops what its entries use; a child that thereby loses its last type use joins the
//! worklist in turn. Each call works on one table, 512 entries at most.
//! Meanwhile the leaving table is [`PagingError::Busy`] to whoever wants to use it again as what it was, and in
//! use to whoever wants it as something else.
use super::Flush;
use super::domain::DomainMemory;
use super::error::PagingError;
use super::frame_table::{FrameTable, PageType, State, Use};
use super::pte::Pte;
use crate::addr::{Level, Mfn};
use crate::platform::PhysMem;
use abi::layout::{ENTRIES, HYPERVISOR_SLOT};
use abi::mmu::PteFlags;
use core::convert::Infallible;

/// Whether a worklist is empty.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// There is more to do.
    More,
    /// All is done.
    Done,
}

/// Makes a frame a table of `level`, if it is not one yet, and keeps it one until [`unpin`].
///
/// The hypervisor's slot of a new root must be 0; it gets the domain's slot entry.
pub fn pin(
    ft: &mut FrameTable<'_>,
    mem: &mut impl PhysMem,
    dom: &mut DomainMemory,
    mfn: Mfn,
    level: Level,
) -> Result<Flush, PagingError> {
    let kind = PageType::table(level);
    let info = ft.owned(dom.id, mfn)?;
    if info.kind == PageType::None {
        validate(ft, mem, dom, mfn, level)?;
    } else if info.kind != kind {
        return Err(PagingError::InUseAs(info.kind));
    } else if info.state == State::Pinned {
        return Err(PagingError::AlreadyPinned);
    } else {
        ft.take(dom.id, Use { mfn, kind })?;
    }
    ft.set_state(mfn, State::Pinned);
    dom.pins = dom.pins.saturating_add(1);
    Ok(Flush::NEEDED)
}

/// Undoes a [`pin`]. If nothing else uses the table, it is to be taken apart.
pub fn unpin(ft: &mut FrameTable<'_>, dom: &mut DomainMemory, mfn: Mfn) -> Result<Flush, PagingError> {
    let info = ft.owned(dom.id, mfn)?;
    if info.state != State::Pinned {
        return Err(PagingError::NotPinned);
    }
    let kind = info.kind;
    ft.set_state(mfn, State::Owned);
    ft.put(dom, Use { mfn, kind });
    dom.pins = dom.pins.saturating_sub(1);
    Ok(Flush::NEEDED)
}

/// Makes `mfn`, which must be a root already, the one that the domain runs on, and lets go of the last one.
#[inline(always)]
pub fn set_root(ft: &mut FrameTable<'_>, dom: &mut DomainMemory, mfn: Mfn) -> Result<Flush, PagingError> {
    ft.take(
        dom.id,
        Use {
            mfn,
            kind: PageType::L4,
        },
    )?;
    let flush = drop_root(ft, dom);
    dom.root = Some(mfn);
    Ok(flush)
}

/// The domain runs on no root any more. The CPU must be on another CR3.
#[inline(always)]
pub fn drop_root(ft: &mut FrameTable<'_>, dom: &mut DomainMemory) -> Flush {
    ft.outdate_root();
    if let Some(mfn) = dom.root.take() {
        ft.put(
            dom,
            Use {
                mfn,
                kind: PageType::L4,
            },
        );
    }
    Flush::NEEDED
}

/// Takes apart one table of the domain's worklist, if there is one.
pub fn take_apart_one(ft: &mut FrameTable<'_>, mem: &mut impl PhysMem, dom: &mut DomainMemory) -> Progress {
    let Some((mfn, level)) = ft.pop_leaving(dom) else {
        return Progress::Done;
    };
    if level == Level::L4 {
        // No guest may find our entry in a frame that it can write, and pass it off as its own later.
        mem.write(mfn, HYPERVISOR_SLOT, 0);
    }
    put_entries(ft, mem, dom, mfn, level, ENTRIES);
    ft.end_table(mfn);
    if dom.has_leaving_tables() {
        Progress::More
    } else {
        Progress::Done
    }
}

fn validate(
    ft: &mut FrameTable<'_>,
    mem: &mut impl PhysMem,
    dom: &mut DomainMemory,
    mfn: Mfn,
    level: Level,
) -> Result<(), PagingError> {
    if level == Level::L4 && mem.read(mfn, HYPERVISOR_SLOT) != 0 {
        return Err(PagingError::SlotForbidden);
    }
    // First of all: an entry that maps the table itself writable must find that it is a table.
    ft.begin_table(dom.id, mfn, level)?;
    let taken = each_present(mem, mfn, ENTRIES, |index, raw| {
        take_entry(ft, dom, level, raw).map_err(|error| (index, error))
    });
    if let Err((index, error)) = taken {
        put_entries(ft, mem, dom, mfn, level, index);
        ft.abandon_table(mfn);
        return Err(error);
    }
    if level == Level::L4 {
        mem.write(mfn, HYPERVISOR_SLOT, dom.slot_entry);
    }
    Ok(())
}

#[inline(always)]
fn take_entry(
    ft: &mut FrameTable<'_>,
    dom: &DomainMemory,
    level: Level,
    raw: u64,
) -> Result<(), PagingError> {
    let entry = Pte::from_guest(raw, level)?;
    entry.used(level).map_or(Ok(()), |wanted| ft.take(dom.id, wanted))
}

/// Drops what the first `count` entries of a table use. For the undoing of a pin: each child was a table
/// before, with a use of its own, so that none of them leaves.
fn put_entries(
    ft: &mut FrameTable<'_>,
    mem: &impl PhysMem,
    dom: &mut DomainMemory,
    mfn: Mfn,
    level: Level,
    count: usize,
) {
    let Ok(()) = each_present(mem, mfn, count, |_, raw| {
        if let Some(dropped) = Pte::from_live_table(raw).used(level) {
            ft.put(dom, dropped);
        }
        Ok::<(), Infallible>(())
    });
}

/// Entries that are looked at together: in most tables most are not present.
const BLOCK: usize = 16;
const _: () = assert!(ENTRIES.is_multiple_of(BLOCK));

/// Calls `each` with the present entries among the first `count` of a table, in their order; passes over blocks without any.
/// What `each` refuses ends it. Nobody else changes the table meanwhile, so a second look sees what the first one saw.
#[inline(always)]
fn each_present<E>(
    mem: &impl PhysMem,
    table: Mfn,
    count: usize,
    mut each: impl FnMut(usize, u64) -> Result<(), E>,
) -> Result<(), E> {
    const PRESENT: u64 = PteFlags::PRESENT.bits();
    for first in (0..count).step_by(BLOCK) {
        let block: [u64; BLOCK] = mem.read_array(table, first);
        if block.into_iter().fold(0, |all, raw| all | raw) & PRESENT == 0 {
            continue;
        }
        for index in (first..count).take(BLOCK) {
            let raw = mem.read(table, index);
            if raw & PRESENT != 0 {
                each(index, raw)?;
            }
        }
    }
    Ok(())
}
