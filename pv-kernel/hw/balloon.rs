//! The balloon by `memory_op`: frames leave the physmap before they are given up, and come back into it.
use crate::tables::{DirectTables, physmap};
use abi::hypercall::Hypercall;
use abi::layout::PAGE_SHIFT;
use abi::memory::{MAX_FRAMES, MemoryOp};
use abi::mmu::{MMU_MACHPHYS_UPDATE, MmuUpdate, MmuextCommand, MmuextOp, PteFlags};
use abi::stub::hypercall;
use pv_kernel::addr::{Mfn, Pfn};
use pv_kernel::machine::Tables;
use pv_kernel::resident::walk;

const FRAMES: usize = 64;
const _: () = assert!(FRAMES as u64 <= MAX_FRAMES);

/// Gives the first of `frames` up; how many.
pub(crate) fn give_up(tables: &mut DirectTables, root: Pfn, frames: &[Pfn]) -> usize {
    let frames = frames.get(..frames.len().min(FRAMES)).unwrap_or(&[]);
    let mut mfns = [0; FRAMES];
    for (mfn, frame) in mfns.iter_mut().zip(frames) {
        *mfn = tables.mfn_of(*frame).0;
    }
    map(tables, root, frames, |_, _| 0);
    let given = memory_op(MemoryOp::DecreaseReservation, &mut mfns, frames.len());
    map(tables, root, frames.get(given..).unwrap_or(&[]), physmap_entry);
    given
}

/// Gets new machine frames for the first of `frames`; for how many.
pub(crate) fn get_back(tables: &mut DirectTables, root: Pfn, frames: &[Pfn]) -> usize {
    let frames = frames.get(..frames.len().min(FRAMES)).unwrap_or(&[]);
    let mut mfns = [0; FRAMES];
    let had = memory_op(MemoryOp::IncreaseReservation, &mut mfns, frames.len());
    let frames = frames.get(..had).unwrap_or(&[]);
    let mut known = [MmuUpdate::default(); FRAMES];
    for ((known, frame), mfn) in known.iter_mut().zip(frames).zip(mfns) {
        tables.set_mfn(*frame, Mfn(mfn));
        *known = MmuUpdate {
            pointer: mfn << PAGE_SHIFT | MMU_MACHPHYS_UPDATE,
            value: frame.0,
        };
    }
    tables.mmu_update(known.get(..had).unwrap_or(&[]));
    map(tables, root, frames, physmap_entry);
    had
}

fn physmap_entry(tables: &DirectTables, frame: Pfn) -> u64 {
    let flags = PteFlags::PRESENT | PteFlags::WRITABLE | PteFlags::NO_EXECUTE;
    walk::entry_for(tables, frame, flags)
}

/// Writes the physmap's entries for `frames`.
fn map(tables: &mut DirectTables, root: Pfn, frames: &[Pfn], entry: impl Fn(&DirectTables, Pfn) -> u64) {
    let mut updates = [MmuUpdate::default(); FRAMES];
    for (update, frame) in updates.iter_mut().zip(frames) {
        let slot = walk::walk(tables, root, physmap(*frame));
        let location = walk::location(tables, slot.table, slot.index);
        *update = walk::update(location, entry(tables, *frame));
    }
    let flush = MmuextOp {
        command: MmuextCommand::TlbFlushLocal.raw(),
        ..MmuextOp::default()
    };
    let updates = updates.get(..frames.len()).unwrap_or(&[]);
    if !updates.is_empty() {
        tables.change_tables(updates, &[flush]);
    }
}

fn memory_op(command: MemoryOp, mfns: &mut [u64; FRAMES], count: usize) -> usize {
    let arguments = [command.raw(), mfns.as_mut_ptr() as u64, count as u64, 0, 0];
    // SAFETY: so many frame numbers are there; what is given up is mapped nowhere, what comes is nobody's.
    let returned = unsafe { hypercall(Hypercall::MemoryOp, arguments) };
    // A refusal is none.
    let done = returned.ok().unwrap_or(0);
    usize::try_from(done).unwrap_or(0).min(count)
}
