//! Traps, stacks, descriptors, segment bases, callbacks, the console.
use super::{Answer, World};
use crate::descriptor::GuestDescriptor;
use crate::domain::Domain;
use crate::guest_mem::{copy_from_guest, copy_to_guest, read_array, read_words};
use crate::platform::PhysMem;
use crate::trap::frame;
use crate::trap::table::{Refused, Registration};
use crate::upcall::Upcall;
use abi::callback::{CallbackOp, CallbackType};
use abi::console::{ConsoleIo, MAX_TRANSFER};
use abi::errno::Errno;
use abi::hypercall::SegmentBase;
use abi::trap::{MAX_ENTRIES, TrapInfo, TrapRefusal};

/// Bytes of the console that are copied at a time.
const CHUNK: usize = 256;

const TRAP_WORDS: usize = size_of::<TrapInfo>() / 8;

/// `set_trap_table(table, count)`.
#[inline(never)]
pub(super) fn set_trap_table(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    pointer: u64,
    count: u64,
) -> Answer {
    if count > MAX_ENTRIES {
        return Answer::refused(Errno::TooBig);
    }
    match register(world, domain, pointer, count as usize) {
        Ok(()) => Answer::DONE,
        Err(refused) => Answer {
            value: refused.errno().to_rax(),
            detail: refused.detail(),
        },
    }
}

/// Copies all entries, checks all, and only then carries them out.
#[inline(always)]
fn register(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    pointer: u64,
    count: usize,
) -> Result<(), Refused> {
    let World {
        mem,
        frames,
        common,
        staging,
        ..
    } = world;
    let words = staging.words(TRAP_WORDS * count).unwrap_or_default();
    if read_words(frames, mem, &domain.memory, pointer, words).is_err() {
        return Err(first_refusal(world, domain, pointer, count));
    }
    let entries = staging.elements::<TRAP_WORDS>(count);
    domain.vcpu.register(mem, common, entries)
}

/// The first entry that is wrong, or cannot be read, of a table that cannot be read whole.
#[cold]
fn first_refusal(
    world: &mut World<'_, impl PhysMem>,
    domain: &Domain,
    pointer: u64,
    count: usize,
) -> Refused {
    let World { mem, frames, .. } = world;
    for index in 0..count {
        let address = pointer.checked_add((index * size_of::<TrapInfo>()) as u64);
        let entry = address.and_then(|address| read_array(frames, mem, &domain.memory, address).ok());
        let reason = match entry {
            Some(entry) => Registration::from_guest(entry).err(),
            None => Some(TrapRefusal::Unreadable),
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
        index: count.saturating_sub(1) as u32,
        reason: TrapRefusal::Unreadable,
    }
}

/// `stack_switch(rsp)`.
#[inline(never)]
pub(super) fn stack_switch(world: &mut World<'_, impl PhysMem>, domain: &mut Domain, rsp: u64) -> Answer {
    match frame::check_stack_pointer(rsp) {
        Ok(()) => {
            domain.vcpu.set_kernel_stack(&mut world.mem, rsp);
            Answer::DONE
        }
        Err(errno) => Answer::refused(errno),
    }
}

/// `update_descriptor(selector, descriptor)`.
#[inline(never)]
pub(super) fn update_descriptor(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    selector: u64,
    descriptor: u64,
) -> Answer {
    match GuestDescriptor::from_guest(selector, descriptor) {
        Ok(GuestDescriptor { index, word }) => {
            domain.vcpu.set.set_descriptor(&mut world.mem, index, word);
            Answer::DONE
        }
        Err(errno) => Answer::refused(errno),
    }
}

/// `set_segment_base(which, base)`: loaded before the guest goes on.
#[inline(never)]
pub(super) fn set_segment_base(world: &mut World<'_, impl PhysMem>, which: u64, base: u64) -> Answer {
    match (SegmentBase::from_raw(which), frame::check_segment_base(base)) {
        (Some(which), Ok(())) => {
            world.after.load_base(which, base);
            Answer::DONE
        }
        _ => Answer::refused(Errno::Invalid),
    }
}

/// `callback_op(command, type, address, region_start, region_end)`.
#[inline(never)]
pub(super) fn callback_op(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    arguments: &[u64; 5],
) -> Answer {
    Answer::of(set_callback(world, domain, *arguments))
}

fn set_callback(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    [command, kind, address, region_start, region_end]: [u64; 5],
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

/// `console_io(command, count, buffer)`.
#[inline(never)]
pub(super) fn console_io(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    command: u64,
    count: u64,
    buffer: u64,
) -> Answer {
    match ConsoleIo::from_raw(command) {
        Some(ConsoleIo::Write) => Answer::of(console_write(world, domain, count, buffer)),
        Some(ConsoleIo::Read) => Answer::of(console_read(world, domain, count, buffer)),
        None => Answer::refused(Errno::NoSys),
    }
}

/// Takes what fits.
fn console_write(
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
                done += domain.console.write(bytes);
                world.after.write();
                world.has_text = true;
            }
            // Nothing accepted is dropped: what was taken before the fault is reported as taken.
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(done as u64)
}

/// Gives what has been typed.
fn console_read(
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

#[cfg(test)]
mod trap_tests;
