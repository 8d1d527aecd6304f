//! Page tables by hypercall.
use super::{Answer, Work, World};
use crate::addr::{Level, Mfn};
use crate::domain::Domain;
use crate::guest_mem::{copy_to_guest, read_array, read_words};
use crate::paging::{self, Owner, PagingError};
use crate::platform::PhysMem;
use crate::trap::frame;
use abi::errno::Errno;
use abi::memory::{MAX_FRAMES, MemoryOp};
use abi::mmu::{
    MAX_BATCH, MMU_MACHPHYS_UPDATE, MMU_NORMAL_PT_UPDATE, MmuUpdate, MmuextCommand, MmuextOp, UVMF_INVLPG,
    UVMF_NONE, UVMF_TLB_FLUSH,
};

/// Requests that are copied from the guest at a time.
const CHUNK: usize = 32;
const COMMAND_MASK: u64 = 7;

/// `mmu_update(requests, count)`.
#[inline(never)]
pub(super) fn mmu_update(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    pointer: u64,
    count: u64,
) -> Answer {
    batch::<Update, 2, _>(world, domain, pointer, count)
}

/// An element of a batch: a request of `N` words.
trait Element<const N: usize> {
    /// Carries out one that was copied.
    fn carry_out<M: PhysMem>(
        world: &mut World<'_, M>,
        domain: &mut Domain,
        words: [u64; N],
    ) -> Result<(), Errno>;
}

/// An [`MmuUpdate`].
struct Update;

impl Element<2> for Update {
    #[inline(always)]
    fn carry_out<M: PhysMem>(
        world: &mut World<'_, M>,
        domain: &mut Domain,
        [pointer, value]: [u64; 2],
    ) -> Result<(), Errno> {
        match pointer & COMMAND_MASK {
            MMU_NORMAL_PT_UPDATE => {}
            MMU_MACHPHYS_UPDATE => return machphys_update(world, domain, pointer, value),
            _ => return Err(Errno::NoSys),
        }
        let table = Mfn::containing(pointer).ok_or(Errno::Invalid)?;
        let index = (pointer >> 3) as usize & (abi::layout::ENTRIES - 1);
        let World { mem, frames, .. } = world;
        paging::update_entry(frames, mem, &mut domain.memory, table, index, value)
            .map_err(PagingError::errno)?
            .by_cr3_write();
        Ok(())
    }
}

const _: () = assert!(size_of::<MmuUpdate>() == 2 * 8);

/// The guest knows a frame of its own by another number from now on.
#[inline(never)]
fn machphys_update(
    world: &mut World<'_, impl PhysMem>,
    domain: &Domain,
    address: u64,
    pfn: u64,
) -> Result<(), Errno> {
    let frame = Mfn::containing(address).ok_or(Errno::Invalid)?;
    if world.frames.owner(frame) != Owner::Domain(domain.id) {
        return Err(Errno::Perm);
    }
    world.common.set_pfn(&mut world.mem, frame, pfn);
    Ok(())
}

/// `mmuext_op(operations, count)`. Other than an [`Update`], a single operation often changes nothing about how its list is
/// found, as when a guest goes from one address space to the other: where it lies is remembered.
#[inline(never)]
pub(super) fn mmuext_op(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    pointer: u64,
    count: u64,
) -> Answer {
    if count != 1 {
        return several::<Extended, 3, _>(world, domain, pointer, count);
    }
    let World { mem, frames, .. } = world;
    let Domain {
        last_page, memory, ..
    } = domain;
    let operation = match last_page.read(frames, mem, memory, pointer) {
        Some(operation) => operation,
        None => match last_page.read_anew(frames, mem, memory, pointer) {
            Ok(operation) => operation,
            Err(fault) => return stopped(fault.errno(), 0),
        },
    };
    one::<Extended, 3, _>(world, domain, operation)
}

/// An [`MmuextOp`].
struct Extended;

impl Element<3> for Extended {
    #[inline(always)]
    fn carry_out<M: PhysMem>(
        world: &mut World<'_, M>,
        domain: &mut Domain,
        words: [u64; 3],
    ) -> Result<(), Errno> {
        mmuext(world, domain, words)
    }
}

const _: () = assert!(size_of::<MmuextOp>() == 3 * 8);

#[inline(always)]
fn mmuext(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    [command, arg1, arg2]: [u64; 3],
) -> Result<(), Errno> {
    // The upper half of the first word is padding that must be 0: such a number is no command.
    let command = u32::try_from(command)
        .ok()
        .and_then(MmuextCommand::from_raw)
        .ok_or(Errno::NoSys)?;
    if arg2 != 0 && command != MmuextCommand::NewBaseptr {
        return Err(Errno::Invalid);
    }
    let frame = || u32::try_from(arg1).map(Mfn).map_err(|_| Errno::Invalid);
    let level = match command {
        MmuextCommand::PinL1 => Level::L1,
        MmuextCommand::PinL2 => Level::L2,
        MmuextCommand::PinL3 => Level::L3,
        MmuextCommand::PinL4 => Level::L4,
        MmuextCommand::Unpin => {
            let flush = paging::unpin(&mut world.frames, &mut domain.memory, frame()?);
            flush.map_err(PagingError::errno)?.by_cr3_write();
            return Ok(());
        }
        MmuextCommand::NewBaseptr => return new_baseptr(world, domain, frame()?, arg2),
        // Every way back to the guest writes CR3, which flushes all: no translation is global.
        MmuextCommand::TlbFlushLocal | MmuextCommand::InvlpgLocal => return Ok(()),
    };
    pin(world, domain, frame()?, level)
}

#[inline(never)]
fn pin(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    frame: Mfn,
    level: Level,
) -> Result<(), Errno> {
    world.work.spend(Work::TABLE);
    paging::pin(
        &mut world.frames,
        &mut world.mem,
        &mut domain.memory,
        frame,
        level,
    )
    .map_err(PagingError::errno)?
    .by_cr3_write();
    Ok(())
}

#[inline(always)]
fn new_baseptr(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    root: Mfn,
    kernel_stack: u64,
) -> Result<(), Errno> {
    if kernel_stack != 0 {
        frame::check_stack_pointer(kernel_stack)?;
    }
    paging::set_root(&mut world.frames, &mut domain.memory, root)
        .map_err(PagingError::errno)?
        .by_cr3_write();
    domain.vcpu.set.set_guest_root(&mut world.mem, root);
    if kernel_stack != 0 {
        domain.vcpu.set_kernel_stack(&mut world.mem, kernel_stack);
    }
    Ok(())
}

/// `update_va_mapping(va, entry, flags)`.
#[inline(never)]
pub(super) fn update_va_mapping(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    va: u64,
    entry: u64,
    flags: u64,
) -> Answer {
    if !matches!(flags, UVMF_NONE | UVMF_TLB_FLUSH | UVMF_INVLPG) {
        return Answer::refused(Errno::Invalid);
    }
    let World { mem, frames, .. } = world;
    match paging::update_va_mapping(frames, mem, &mut domain.memory, va, entry) {
        Ok(flush) => {
            flush.by_cr3_write();
            Answer::DONE
        }
        Err(error) => Answer::refused(error.errno()),
    }
}

/// `memory_op(command, frames, count)`.
#[inline(never)]
pub(super) fn memory_op(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    command: u64,
    frames: u64,
    count: u64,
) -> Answer {
    Answer::of(balloon(world, domain, command, frames, count))
}

/// Returns what is asked for, or how many frames were moved.
fn balloon(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    command: u64,
    frames: u64,
    count: u64,
) -> Result<u64, Errno> {
    let command = MemoryOp::from_raw(command).ok_or(Errno::NoSys)?;
    let step = match command {
        MemoryOp::CurrentReservation => return Ok(u64::from(domain.memory.owned())),
        MemoryOp::MaximumReservation => return Ok(domain.config.memory_frames),
        MemoryOp::IncreaseReservation => increase,
        MemoryOp::DecreaseReservation => decrease,
    };
    if count > MAX_FRAMES {
        return Err(Errno::TooBig);
    }
    for done in 0..count {
        if world.work.is_done() && done > 0 {
            return Ok(done);
        }
        world.work.spend(Work::FRAME);
        let address = frames.checked_add(8 * done).ok_or(Errno::Fault);
        match address.and_then(|address| step(world, domain, address)) {
            Ok(()) => {}
            // What was done stays done and is reported.
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => return Ok(done),
        }
    }
    Ok(count)
}

/// One more frame, whose number goes to `address`.
fn increase(world: &mut World<'_, impl PhysMem>, domain: &mut Domain, address: u64) -> Result<(), Errno> {
    if u64::from(domain.memory.owned()) >= domain.config.memory_frames {
        return Err(Errno::NoMemory);
    }
    let frame = world
        .frames
        .alloc(&mut world.mem, &mut domain.memory)
        .ok_or(Errno::NoMemory)?;
    world.common.set_pfn(&mut world.mem, frame, u64::MAX);
    let number = u64::from(frame.0).to_le_bytes();
    copy_to_guest(&world.frames, &mut world.mem, &domain.memory, address, &number).map_err(|fault| {
        // Nobody knows it yet, so it goes back.
        let _ = world.frames.release(&mut world.mem, &mut domain.memory, frame);
        fault.errno()
    })
}

/// One frame less: the one whose number is at `address`.
fn decrease(world: &mut World<'_, impl PhysMem>, domain: &mut Domain, address: u64) -> Result<(), Errno> {
    let [number] =
        read_array(&world.frames, &mut world.mem, &domain.memory, address).map_err(|fault| fault.errno())?;
    let frame = u32::try_from(number).map(Mfn).map_err(|_| Errno::Invalid)?;
    world
        .frames
        .release(&mut world.mem, &mut domain.memory, frame)
        .map_err(PagingError::errno)?;
    world.common.set_pfn(&mut world.mem, frame, u64::MAX);
    Ok(())
}

/// Carries out `count` elements of `N` words; says how far it came. When the call has done its share of work, the rest has to
/// be asked for again. A single element is not staged.
#[inline(always)]
fn batch<E: Element<N>, const N: usize, M: PhysMem>(
    world: &mut World<'_, M>,
    domain: &mut Domain,
    pointer: u64,
    count: u64,
) -> Answer {
    if count != 1 {
        return several::<E, N, M>(world, domain, pointer, count);
    }
    let World { mem, frames, .. } = world;
    match read_array(frames, mem, &domain.memory, pointer) {
        Ok(element) => one::<E, N, M>(world, domain, element),
        Err(fault) => stopped(fault.errno(), 0),
    }
}

/// Carries out a batch of one that was copied.
#[inline(always)]
fn one<E: Element<N>, const N: usize, M: PhysMem>(
    world: &mut World<'_, M>,
    domain: &mut Domain,
    element: [u64; N],
) -> Answer {
    world.work.spend(Work::ENTRY);
    if let Err(errno) = E::carry_out(world, domain, element) {
        return stopped(errno, 0);
    }
    world.take_apart(domain);
    Answer { value: 0, detail: 1 }
}

/// Carries out a batch of any other length.
#[inline(always)]
fn several<E: Element<N>, const N: usize, M: PhysMem>(
    world: &mut World<'_, M>,
    domain: &mut Domain,
    pointer: u64,
    count: u64,
) -> Answer {
    if count > MAX_BATCH {
        return Answer::refused(Errno::TooBig);
    }
    chunks::<E, N, M>(world, domain, pointer, count)
}

/// Copies elements chunk by chunk and carries each out.
#[inline(never)]
fn chunks<E: Element<N>, const N: usize, M: PhysMem>(
    world: &mut World<'_, M>,
    domain: &mut Domain,
    pointer: u64,
    count: u64,
) -> Answer {
    let mut done = 0;
    while done < count {
        let length = usize::try_from(count - done).unwrap_or(CHUNK).min(CHUNK);
        if let Err(errno) = stage(world, domain, pointer, 8 * N as u64 * done, N * length) {
            return stopped(errno, done);
        }
        for index in 0..length {
            let element = world.staging.element(index);
            world.work.spend(Work::ENTRY);
            if let Err(errno) = E::carry_out(world, domain, element) {
                return stopped(errno, done);
            }
            done += 1;
            world.take_apart(domain);
            if world.work.is_done() && done < count {
                return stopped(Errno::Again, done);
            }
        }
    }
    Answer {
        value: 0,
        detail: done,
    }
}

/// Copies `count` words that begin `offset` bytes behind `pointer`.
fn stage(
    world: &mut World<'_, impl PhysMem>,
    domain: &Domain,
    pointer: u64,
    offset: u64,
    count: usize,
) -> Result<(), Errno> {
    let World {
        mem, frames, staging, ..
    } = world;
    let address = pointer.checked_add(offset).ok_or(Errno::Fault)?;
    let words = staging.words(count).ok_or(Errno::Fault)?;
    read_words(frames, mem, &domain.memory, address, words).map_err(|fault| fault.errno())
}

/// A batch that came so far and no further.
const fn stopped(errno: Errno, done: u64) -> Answer {
    Answer {
        value: errno.to_rax(),
        detail: done,
    }
}

#[cfg(test)]
mod tests;
