//! Page tables that come to be, are linked, shared, switched to, and cease to be; and frames that come and go.
//!
//! Most of what is asked for here is allowed, so that deep and shared trees arise; the calls of [`super::calls`] do to them what
//! is not.
use abi::hypercall::Hypercall;
use abi::layout::{HYPERVISOR_SLOT, PAGE_SHIFT, PAGE_SIZE};
use abi::memory::MemoryOp;
use abi::mmu::{MMU_MACHPHYS_UPDATE, MmuextCommand};
use guests::fuzz::Finding;
use guests::runtime::memory::{self, A, D, Entry, KERNEL_DATA, NX, P, U, W};
use guests::runtime::trap::attempt;
use guests::runtime::{call, start_info};

use super::calls::Call;
use super::found;
use super::words::{INDICES, SLOTS};
use super::world::World;

const PINS: [MmuextCommand; 4] = [
    MmuextCommand::PinL1,
    MmuextCommand::PinL2,
    MmuextCommand::PinL3,
    MmuextCommand::PinL4,
];

pub(crate) fn step(world: &mut World) {
    match world.lot.below(20) {
        0..4 => {
            let (node, level) = (world.node(), 1 + world.lot.below(4));
            make(world, node, level);
        }
        4..8 => link(world),
        8..11 => link_at_root(world),
        11 | 12 => unlink(world),
        13 | 14 => {
            let _ = call::mmuext(MmuextCommand::Unpin, world.node(), 0);
        }
        15 | 16 => use_them(world),
        17 => switch(world),
        18 => chain(world),
        _ => share(world),
    }
}

fn pin(node: u64, level: u64) -> bool {
    let command = PINS[(level as usize - 1) & 3];
    call::mmuext(command, node, 0).is_ok()
}

fn set_writable(world: &World, node: u64, writable: u64) -> bool {
    memory::try_set(world.window_of(node), node << PAGE_SHIFT | P | NX | writable).is_ok()
}

/// Makes a node a table of this level, with some entries, if it is not in use. Now and then it stays writable, or is not pinned.
fn make(world: &mut World, node: u64, level: u64) -> bool {
    if !set_writable(world, node, W) {
        return false;
    }
    let at = world.window_of(node);
    for word in (at..at + PAGE_SIZE).step_by(8) {
        memory::poke(word, 0);
    }
    for _ in 0..world.lot.below(4) {
        let index = world.lot.of(&INDICES);
        let entry = if world.lot.one_in(12) {
            world.entry()
        } else {
            world.entry_for(level)
        };
        memory::poke(at + index * 8, entry);
    }
    if world.lot.one_in(16) {
        return false;
    }
    set_writable(world, node, 0) && (world.lot.one_in(16) || pin(node, level))
}

/// The machine address of an entry of the root in use.
fn entry_of_root(slot: u64) -> u64 {
    (memory::root_mfn() << PAGE_SHIFT) + slot * 8
}

fn link(world: &mut World) {
    let (parent, index) = (world.node(), world.lot.of(&INDICES));
    let level = 1 + world.lot.below(4);
    let entry = world.entry_for(level);
    let _ = call::mmu_update((parent << PAGE_SHIFT).wrapping_add(index * 8), entry);
}

/// An L3 table becomes part of the address space in use.
fn link_at_root(world: &mut World) {
    let (slot, node) = (world.lot.of(&SLOTS), world.node());
    let user = world.lot.of(&[0, U]);
    let _ = call::mmu_update(entry_of_root(slot), node << PAGE_SHIFT | P | W | user);
}

fn unlink(world: &mut World) {
    let (table, index) = if world.lot.one_in(3) {
        (memory::root_mfn(), world.lot.of(&SLOTS))
    } else {
        (world.node(), world.lot.of(&INDICES))
    };
    let _ = call::mmu_update((table << PAGE_SHIFT).wrapping_add(index * 8), 0);
}

/// Reads and writes through whatever has come to be mapped: the CPU sets its bits in the entries.
fn use_them(world: &mut World) {
    for _ in 0..4 {
        let address = world.slot_address();
        let write = world.lot.one_in(2);
        let _ = attempt(|| {
            let value = memory::peek(address);
            if write {
                memory::poke(address, value);
            }
        });
    }
}

/// Four tables, one below the other, with a page at the end, linked into the root in use; the pins of some of them go.
fn chain(world: &mut World) {
    let mut below = memory::entry(world.pages[0], 1).map_or(0, Entry::mfn);
    let mut flags = P | W | NX;
    let index = world.lot.of(&INDICES);
    for level in 1..4 {
        let node = world.node();
        if !set_writable(world, node, W) {
            return;
        }
        let at = world.window_of(node);
        for word in (at..at + PAGE_SIZE).step_by(8) {
            memory::poke(word, 0);
        }
        memory::poke(at + index * 8, below << PAGE_SHIFT | flags);
        if !set_writable(world, node, 0) || !pin(node, level) {
            return;
        }
        if level > 1 && world.lot.one_in(2) {
            let _ = call::mmuext(MmuextCommand::Unpin, below, 0);
        }
        below = node;
        flags = P | W | U;
    }
    let slot = world.lot.of(&SLOTS);
    let done = call::mmu_update(entry_of_root(slot), below << PAGE_SHIFT | P | W | U);
    if done.is_ok() && world.lot.one_in(2) {
        let _ = call::mmuext(MmuextCommand::Unpin, below, 0);
    }
}

/// One table in as many entries of another as one call changes.
fn share(world: &mut World) {
    let (parent, child) = (world.node(), world.node());
    let entry = if world.lot.one_in(3) {
        0
    } else {
        child << PAGE_SHIFT | P | W
    };
    let count = 1 + world.lot.below(200);
    for n in 0..count {
        memory::poke(
            world.buffer + n * 16,
            (parent << PAGE_SHIFT).wrapping_add((n + 258) % 512 * 8),
        );
        memory::poke(world.buffer + n * 16 + 8, entry);
    }
    Call {
        number: Hypercall::MmuUpdate.raw(),
        arguments: [world.buffer, count, 0, 0, 0],
    }
    .make();
}

/// Whether this guest can stand on a root: all that the first one maps is there.
fn is_good_root(world: &World, root: u64) -> bool {
    let at = world.window_of(root);
    let own = |index: u64| index != HYPERVISOR_SLOT as u64 && !SLOTS.contains(&index);
    (0..512).filter(|index| own(*index)).all(|index| {
        let first = Entry::of(start_info().root_mfn, index).value;
        (memory::peek(at + index * 8) ^ first) & !(A | D) == 0
    })
}

/// Goes on under another root: the first one, or a node that is made one.
fn switch(world: &mut World) {
    let node = world.node();
    let root = if world.lot.one_in(3) {
        start_info().root_mfn
    } else {
        if set_writable(world, node, W) {
            let at = world.window_of(node);
            for index in 0..512 {
                let entry = if index == HYPERVISOR_SLOT as u64 {
                    0
                } else {
                    Entry::of(start_info().root_mfn, index).value
                };
                memory::poke(at + index * 8, entry);
            }
            let _ = set_writable(world, node, 0) && pin(node, 4);
            // Whatever has been said about it: this guest's own walks begin there.
            if let Some(place) = world.nodes.iter().find(|place| place.mfn == node) {
                let _ = call::mmu_update(node << PAGE_SHIFT | MMU_MACHPHYS_UPDATE, place.pfn);
            }
        }
        node
    };
    if (is_good_root(world, root) || world.deadly) && call::mmuext(MmuextCommand::NewBaseptr, root, 0).is_ok()
    {
        memory::set_root_mfn(root);
        if world.lot.one_in(2) {
            // It stays one for as long as it is in use.
            let _ = call::mmuext(MmuextCommand::Unpin, root, 0);
        }
    }
}

fn memory_op(command: MemoryOp, buffer: u64, count: u64) -> u64 {
    call::call(Hypercall::MemoryOp, &[command.raw(), buffer, count])
        .ok()
        .unwrap_or(0)
}

/// Gives up frames, or takes some.
pub(crate) fn balloon(world: &mut World) {
    if world.lot.one_in(2) {
        give_up(world);
    } else {
        take(world);
    }
}

fn give_up(world: &mut World) {
    let first = world.lot.below(world.spares.len() as u64) as usize;
    let count = 1 + world.lot.below(3) as usize;
    let mut asked = 0;
    for spare in world.spares.iter().cycle().skip(first).take(count) {
        if spare.mfn == 0 {
            continue;
        }
        let stays_mapped = world.lot.one_in(8);
        if !stays_mapped && memory::try_set(memory::physmap(spare.pfn), 0).is_err() {
            continue;
        }
        memory::poke(world.buffer + asked * 8, spare.mfn);
        asked += 1;
    }
    let given = memory_op(MemoryOp::DecreaseReservation, world.buffer, asked);
    for n in 0..given {
        let mfn = memory::peek(world.buffer + n * 8);
        if let Some(spare) = world.spares.iter_mut().find(|spare| spare.mfn == mfn) {
            spare.mfn = 0;
        }
    }
    // What was not taken is mapped again.
    for spare in world.spares.iter().filter(|spare| spare.mfn != 0) {
        let _ = memory::try_set(memory::physmap(spare.pfn), spare.mfn << PAGE_SHIFT | KERNEL_DATA);
    }
}

fn take(world: &mut World) {
    let count = 1 + world.lot.below(4);
    let got = memory_op(MemoryOp::IncreaseReservation, world.buffer, count);
    for n in 0..got {
        let mfn = memory::peek(world.buffer + n * 8);
        look_for_traces(world, mfn);
        match world.spares.iter_mut().find(|spare| spare.mfn == 0) {
            Some(spare) => {
                let _ = call::mmu_update(mfn << PAGE_SHIFT | MMU_MACHPHYS_UPDATE, spare.pfn);
                let at = memory::physmap(spare.pfn);
                if memory::try_set(at, mfn << PAGE_SHIFT | KERNEL_DATA).is_ok() {
                    // Something to be found by whoever gets it next, if it is not scrubbed.
                    memory::poke(at + 8 * (n + 3), 0x5eed_5eed_5eed_5eed);
                }
                spare.mfn = mfn;
            }
            None => {
                memory::poke(world.buffer, mfn);
                memory_op(MemoryOp::DecreaseReservation, world.buffer, 1);
            }
        }
    }
}

/// A frame that comes from the hypervisor holds nothing.
fn look_for_traces(world: &World, mfn: u64) {
    if memory::try_set(world.window, mfn << PAGE_SHIFT | P | NX).is_err() {
        return;
    }
    for at in (world.window..world.window + PAGE_SIZE).step_by(8) {
        let value = memory::peek(at);
        if value != 0 {
            found(
                Finding::NotZero,
                format_args!("{value:#x} at {:#x} of frame {mfn:#x}", at % PAGE_SIZE),
            );
        }
    }
    let _ = memory::try_set(world.window, 0);
}
