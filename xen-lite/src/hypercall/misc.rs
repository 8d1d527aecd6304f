//! Traps, stacks, descriptors, segment bases, callbacks, the console.
use super::{Outcome, World};
use crate::descriptor::GuestDescriptor;
use crate::domain::Domain;
use crate::guest_mem::{copy_from_guest, copy_to_guest};
use crate::platform::PhysMem;
use crate::trap::frame;
use crate::trap::table::{Refused, Registration};
use crate::upcall::Upcall;
use abi::callback::{CallbackOp, CallbackType};
use abi::console::MAX_TRANSFER;
use abi::errno::Errno;
use abi::hypercall::SegmentBase;
use abi::trap::{MAX_ENTRIES, TrapInfo, TrapRefusal};

/// Entries of a trap table that are copied without much ado.
const FEW_ENTRIES: u64 = 32;
const MORE_ENTRIES: u64 = FEW_ENTRIES + 1;
/// Bytes of the console that are copied at a time.
const CHUNK: usize = 256;

/// `set_trap_table(table, count)`.
pub(super) fn set_trap_table(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    pointer: u64,
    count: u64,
) -> Outcome {
    let registered = match count {
        0..=FEW_ENTRIES => register::<{ FEW_ENTRIES as usize }>(world, domain, pointer, count as usize),
        MORE_ENTRIES..=MAX_ENTRIES => {
            register::<{ MAX_ENTRIES as usize }>(world, domain, pointer, count as usize)
        }
        _ => return Outcome::refused(Errno::TooBig),
    };
    match registered {
        Ok(()) => Outcome::DONE,
        Err(refused) => Outcome::Return {
            value: refused.errno().to_rax(),
            detail: refused.detail(),
        },
    }
}

/// Copies up to `N` entries, checks all, and only then carries them out. Most tables are short, and a long copy has its price;
/// not inlined, for the copy would lie on the stack of every call.
#[inline(never)]
fn register<const N: usize>(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    pointer: u64,
    count: usize,
) -> Result<(), Refused> {
    let World {
        mem, frames, common, ..
    } = world;
    let mut copy = [[0_u8; size_of::<TrapInfo>()]; N];
    let entries = copy.get_mut(..count).unwrap_or_default();
    if copy_from_guest(frames, mem, &domain.memory, pointer, entries.as_flattened_mut()).is_err() {
        return Err(first_refusal(world, domain, pointer, entries));
    }
    for (index, entry) in (0_u32..).zip(entries.iter()) {
        Registration::from_guest(*entry).map_err(|reason| Refused { index, reason })?;
    }
    for registration in entries
        .iter()
        .filter_map(|entry| Registration::from_guest(*entry).ok())
    {
        domain.vcpu.traps.set(registration);
        domain
            .vcpu
            .set
            .set_trap(mem, common, &domain.vcpu.traps, registration.vector);
    }
    Ok(())
}

/// The first entry that is wrong, or cannot be read, of a table that cannot be read whole.
fn first_refusal(
    world: &mut World<'_, impl PhysMem>,
    domain: &Domain,
    pointer: u64,
    entries: &[[u8; size_of::<TrapInfo>()]],
) -> Refused {
    let mut entry = [0; size_of::<TrapInfo>()];
    for index in 0..entries.len() {
        let address = pointer.checked_add((index * entry.len()) as u64);
        let read = address.is_some_and(|address| {
            copy_from_guest(&world.frames, &mut world.mem, &domain.memory, address, &mut entry).is_ok()
        });
        let reason = if read {
            Registration::from_guest(entry).err()
        } else {
            Some(TrapRefusal::Unreadable)
        };
        if let Some(reason) = reason {
            return Refused {
                index: index as u32,
                reason,
            };
        }
    }
    // Each entry by itself can be read: then the whole can, unless its range wraps behind the last one.
    Refused {
        index: entries.len().saturating_sub(1) as u32,
        reason: TrapRefusal::Unreadable,
    }
}

/// `stack_switch(rsp)`.
pub(super) fn stack_switch(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    rsp: u64,
) -> Result<u64, Errno> {
    frame::check_stack_pointer(rsp)?;
    domain.vcpu.set_kernel_stack(&mut world.mem, rsp);
    Ok(0)
}

/// `update_descriptor(selector, descriptor)`.
pub(super) fn update_descriptor(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    selector: u64,
    descriptor: u64,
) -> Result<u64, Errno> {
    let GuestDescriptor { index, word } = GuestDescriptor::from_guest(selector, descriptor)?;
    domain.vcpu.set.set_descriptor(&mut world.mem, index, word);
    Ok(0)
}

/// `set_segment_base(which, base)`: loaded before the guest goes on.
pub(super) fn set_segment_base(
    world: &mut World<'_, impl PhysMem>,
    which: u64,
    base: u64,
) -> Result<u64, Errno> {
    let which = SegmentBase::from_raw(which).ok_or(Errno::Invalid)?;
    frame::check_segment_base(base)?;
    let [fs, gs] = &mut world.after.bases;
    match which {
        SegmentBase::Fs => *fs = Some(base),
        SegmentBase::Gs => *gs = Some(base),
    }
    Ok(0)
}

/// `callback_op(command, type, address, region_start, region_end)`.
pub(super) fn callback_op(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    command: u64,
    kind: u64,
    [address, region_start, region_end]: [u64; 3],
) -> Result<u64, Errno> {
    let command = CallbackOp::from_raw(command).ok_or(Errno::NoSys)?;
    let kind = CallbackType::from_raw(kind).ok_or(Errno::Invalid)?;
    let vcpu = &mut domain.vcpu;
    match (command, kind) {
        (CallbackOp::Register, CallbackType::Syscall) => {
            frame::check_entry_point(address)?;
            vcpu.syscall_entry = Some(address);
        }
        (CallbackOp::Unregister, CallbackType::Syscall) => vcpu.syscall_entry = None,
        (CallbackOp::Register, CallbackType::Event) => {
            frame::check_entry_point(address)?;
            if region_start != 0 || region_end != 0 {
                frame::check_entry_point(region_start)?;
                frame::check_entry_point(region_end)?;
                if region_start >= region_end {
                    return Err(Errno::Invalid);
                }
            }
            vcpu.upcall = Some(Upcall {
                address,
                region_start,
                region_end,
            });
            vcpu.set.set_upcall(&mut world.mem, address);
        }
        (CallbackOp::Unregister, CallbackType::Event) => vcpu.upcall = None,
    }
    if kind == CallbackType::Syscall {
        vcpu.set
            .set_syscall_entry(&mut world.mem, &world.common, vcpu.syscall_entry);
    }
    Ok(0)
}

/// `console_io(write, count, buffer)`: takes what fits.
#[inline(never)]
pub(super) fn console_write(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    count: u64,
    buffer: u64,
) -> Result<u64, Errno> {
    let total = transfer(count, domain.console.output.room());
    let mut done = 0;
    let mut chunk = [0_u8; CHUNK];
    while done < total {
        let length = (total - done).min(CHUNK);
        let Some(bytes) = chunk.get_mut(..length) else {
            break;
        };
        let address = buffer.checked_add(done as u64).ok_or(Errno::Fault);
        let copied = address.and_then(|address| {
            copy_from_guest(&world.frames, &mut world.mem, &domain.memory, address, bytes)
                .map_err(|fault| fault.errno())
        });
        match copied {
            Ok(()) => {
                done += domain.console.output.push(bytes);
                world.after.written = true;
            }
            // Nothing accepted is dropped: what was taken before the fault is reported as taken.
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(done as u64)
}

/// `console_io(read, count, buffer)`.
#[inline(never)]
pub(super) fn console_read(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    count: u64,
    buffer: u64,
) -> Result<u64, Errno> {
    let total = transfer(count, domain.console.input.len());
    let mut done = 0;
    let mut chunk = [0_u8; CHUNK];
    while done < total {
        let waiting = domain.console.input.peek();
        let length = (total - done).min(CHUNK).min(waiting.len());
        let (Some(bytes), Some(waiting)) = (chunk.get_mut(..length), waiting.get(..length)) else {
            break;
        };
        bytes.copy_from_slice(waiting);
        let address = buffer.checked_add(done as u64).ok_or(Errno::Fault);
        let copied = address.and_then(|address| copy_out(world, domain, address, bytes));
        match copied {
            Ok(()) => {
                domain.console.input.consume(length);
                done += length;
            }
            // What could not be handed over stays to be read.
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(done as u64)
}

fn transfer(count: u64, available: usize) -> usize {
    usize::try_from(count.min(MAX_TRANSFER))
        .unwrap_or(0)
        .min(available)
}

/// Copies to the calling guest.
pub(super) fn copy_out(
    world: &mut World<'_, impl PhysMem>,
    domain: &Domain,
    address: u64,
    bytes: &[u8],
) -> Result<(), Errno> {
    copy_to_guest(&world.frames, &mut world.mem, &domain.memory, address, bytes)
        .map_err(|fault| fault.errno())
}

#[cfg(test)]
mod tests;
