//! Page tables by hypercall.
use super::{Outcome, Work, World};
use crate::addr::{Level, Mfn};
use crate::domain::Domain;
use crate::guest_mem::{copy_from_guest, copy_to_guest};
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
/// As many are copied into a small buffer.
const FEW: u64 = 2;
const MORE: u64 = FEW + 1;
const COMMAND_MASK: u64 = 7;

/// `mmu_update(requests, count)`.
pub(super) fn mmu_update(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    pointer: u64,
    count: u64,
) -> Outcome {
    batch::<{ size_of::<MmuUpdate>() }, _>(world, domain, pointer, count, |world, domain, bytes| {
        let [pointer, value] = words(bytes);
        if pointer & COMMAND_MASK == MMU_MACHPHYS_UPDATE {
            let frame = Mfn::containing(pointer).ok_or(Errno::Invalid)?;
            if world.frames.owner(frame) != Owner::Domain(domain.id) {
                return Err(Errno::Perm);
            }
            world.common.set_pfn(&mut world.mem, frame, value);
            return Ok(());
        }
        if pointer & COMMAND_MASK != MMU_NORMAL_PT_UPDATE {
            return Err(Errno::NoSys);
        }
        let table = Mfn::containing(pointer).ok_or(Errno::Invalid)?;
        let index = (pointer >> 3) as usize & (abi::layout::ENTRIES - 1);
        paging::update_entry(
            &mut world.frames,
            &mut world.mem,
            &mut domain.memory,
            table,
            index,
            value,
        )
        .map_err(PagingError::errno)?
        .by_cr3_write();
        Ok(())
    })
}

/// `mmuext_op(operations, count)`.
pub(super) fn mmuext_op(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    pointer: u64,
    count: u64,
) -> Outcome {
    batch::<{ size_of::<MmuextOp>() }, _>(world, domain, pointer, count, |world, domain, bytes| {
        let [command, arg1, arg2] = words(bytes);
        // The upper half of the first word is padding that must be 0: such a number is no command.
        let command = u32::try_from(command)
            .ok()
            .and_then(MmuextCommand::from_raw)
            .ok_or(Errno::NoSys)?;
        mmuext(world, domain, command, arg1, arg2)
    })
}

fn mmuext(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    command: MmuextCommand,
    arg1: u64,
    arg2: u64,
) -> Result<(), Errno> {
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
    world.work.spend(Work::TABLE);
    paging::pin(
        &mut world.frames,
        &mut world.mem,
        &mut domain.memory,
        frame()?,
        level,
    )
    .map_err(PagingError::errno)?
    .by_cr3_write();
    Ok(())
}

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
pub(super) fn update_va_mapping(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    va: u64,
    entry: u64,
    flags: u64,
) -> Result<u64, Errno> {
    if !matches!(flags, UVMF_NONE | UVMF_TLB_FLUSH | UVMF_INVLPG) {
        return Err(Errno::Invalid);
    }
    paging::update_va_mapping(&mut world.frames, &mut world.mem, &mut domain.memory, va, entry)
        .map_err(PagingError::errno)?
        .by_cr3_write();
    Ok(0)
}

/// `memory_op(command, frames, count)`.
pub(super) fn memory_op(
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
    let mut number = [0; 8];
    copy_from_guest(
        &world.frames,
        &mut world.mem,
        &domain.memory,
        address,
        &mut number,
    )
    .map_err(|fault| fault.errno())?;
    let frame = u32::try_from(u64::from_le_bytes(number))
        .map(Mfn)
        .map_err(|_| Errno::Invalid)?;
    world
        .frames
        .release(&mut world.mem, &mut domain.memory, frame)
        .map_err(PagingError::errno)?;
    world.common.set_pfn(&mut world.mem, frame, u64::MAX);
    Ok(())
}

/// Carries out `count` elements of `SIZE` bytes; says how far it came. When the call has done its share of work, the rest has
/// to be asked for again. Single elements are copied without a long buffer.
#[inline]
fn batch<const SIZE: usize, M: PhysMem>(
    world: &mut World<'_, M>,
    domain: &mut Domain,
    pointer: u64,
    count: u64,
    carry_out: impl FnMut(&mut World<'_, M>, &mut Domain, &[u8]) -> Result<(), Errno>,
) -> Outcome {
    match count {
        0..=FEW => chunks::<SIZE, { FEW as usize }, M>(world, domain, pointer, count, carry_out),
        MORE..=MAX_BATCH => chunks::<SIZE, CHUNK, M>(world, domain, pointer, count, carry_out),
        _ => Outcome::refused(Errno::TooBig),
    }
}

/// Copies elements chunk by chunk and carries each out. Not inlined: its buffer would lie on the stack of every call.
#[inline(never)]
fn chunks<const SIZE: usize, const CHUNK: usize, M: PhysMem>(
    world: &mut World<'_, M>,
    domain: &mut Domain,
    pointer: u64,
    count: u64,
    mut carry_out: impl FnMut(&mut World<'_, M>, &mut Domain, &[u8]) -> Result<(), Errno>,
) -> Outcome {
    let mut buffer = [[0_u8; SIZE]; CHUNK];
    let mut done = 0;
    while done < count {
        let length = usize::try_from(count - done).unwrap_or(CHUNK).min(CHUNK);
        let Some(chunk) = buffer.get_mut(..length) else {
            break;
        };
        let address = match (SIZE as u64)
            .checked_mul(done)
            .and_then(|offset| pointer.checked_add(offset))
        {
            Some(address) => address,
            None => {
                return Outcome::Return {
                    value: Errno::Fault.to_rax(),
                    detail: done,
                };
            }
        };
        let bytes = chunk.as_flattened_mut();
        if let Err(fault) = copy_from_guest(&world.frames, &mut world.mem, &domain.memory, address, bytes) {
            return Outcome::Return {
                value: fault.errno().to_rax(),
                detail: done,
            };
        }
        for element in chunk.iter() {
            world.work.spend(Work::ENTRY);
            if let Err(errno) = carry_out(world, domain, element) {
                return Outcome::Return {
                    value: errno.to_rax(),
                    detail: done,
                };
            }
            done += 1;
            world.take_apart(domain);
            if world.work.is_done() && done < count {
                return Outcome::Return {
                    value: Errno::Again.to_rax(),
                    detail: done,
                };
            }
        }
    }
    Outcome::Return {
        value: 0,
        detail: done,
    }
}

/// The little-endian words of an element; words beyond its end are 0.
fn words<const N: usize>(bytes: &[u8]) -> [u64; N] {
    let mut chunks = bytes.as_chunks::<8>().0.iter();
    [(); N].map(|()| chunks.next().map_or(0, |chunk| u64::from_le_bytes(*chunk)))
}

#[cfg(test)]
mod tests;
