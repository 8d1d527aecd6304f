//! Several hypercalls for one entry.
use super::{Answer, Caller, Work, World, carry_out};
use crate::domain::Domain;
use crate::guest_mem::{Window, copy_to_guest, read_array};
use crate::platform::PhysMem;
use abi::errno::Errno;
use abi::hypercall::Hypercall;
use abi::multicall::{MAX_ENTRIES, MulticallEntry};
use core::mem::offset_of;

const SIZE: u64 = size_of::<MulticallEntry>() as u64;
const WORDS: usize = size_of::<MulticallEntry>() / 8;
const RESULT: u64 = offset_of!(MulticallEntry, result) as u64;
const _: () = assert!(offset_of!(MulticallEntry, number) == 0 && RESULT == 8);
const _: () = assert!(offset_of!(MulticallEntry, detail) as u64 == RESULT + 8);
const _: () = assert!(offset_of!(MulticallEntry, arguments) as u64 == RESULT + 16);

/// `multicall(entries, count)`; not inlined, for it calls what calls it. rdx: how many entries were done.
#[inline(never)]
pub(super) fn multicall(
    world: &mut World<'_, impl PhysMem>,
    caller: &mut Caller<'_>,
    entries: u64,
    count: u64,
) -> Answer {
    if count > MAX_ENTRIES {
        return Answer::refused(Errno::TooBig);
    }
    let mut list = Window::NONE;
    for done in 0..count {
        if world.work.is_done() && done > 0 {
            return stopped(Errno::Again, done);
        }
        let Some(address) = entries.checked_add(SIZE * done) else {
            return stopped(Errno::Fault, done);
        };
        if let Err((errno, carried_out)) = one(world, caller, address, &mut list) {
            return stopped(errno, done + carried_out);
        }
    }
    Answer {
        value: 0,
        detail: count,
    }
}

/// Carries out the entry at `address` and writes its result. Most lists lie in one writable page, whose translation `list`
/// keeps from one access to the next, as long as no entry changes anything about page tables.
///
/// # Errors
/// The entry could not be read, or its result not be written; and how many calls were carried out all the same.
#[inline(always)]
fn one(
    world: &mut World<'_, impl PhysMem>,
    caller: &mut Caller<'_>,
    address: u64,
    list: &mut Window,
) -> Result<(), (Errno, u64)> {
    let World { mem, frames, .. } = world;
    let domain = caller.domains.get(caller.own).ok_or((Errno::NoDomain, 0))?;
    let place = list.words(frames, mem, &domain.memory, address, WORDS);
    let words = match place {
        Some((mfn, first)) => mem.read_array(mfn, first),
        None => read_array(frames, mem, &domain.memory, address).map_err(|fault| (fault.errno(), 0))?,
    };
    // As in `MulticallEntry`; result and detail are written, not read.
    let [number, _, _, first, second, third, fourth, fifth] = words;
    world.work.spend(Work::CALL);
    let Answer { value, detail } = carry_out(
        world,
        caller.domains,
        caller.own,
        Hypercall::from_raw(number),
        [first, second, third, fourth, fifth],
    );
    let domain = caller.domains.get_mut(caller.own).ok_or((Errno::NoDomain, 1))?;
    world.take_apart(domain);
    let World { mem, frames, .. } = world;
    match place {
        Some((mfn, first)) if list.is_good(frames) => {
            mem.write_array(mfn, first + 1, [value, detail]);
            Ok(())
        }
        _ => {
            let result = address.checked_add(RESULT).ok_or((Errno::Fault, 1))?;
            write_anew(world, domain, result, [value, detail], list).map_err(|errno| (errno, 1))
        }
    }
}

/// Writes two words where the guest's address leads now.
#[inline(never)]
fn write_anew(
    world: &mut World<'_, impl PhysMem>,
    domain: &Domain,
    address: u64,
    words: [u64; 2],
    list: &mut Window,
) -> Result<(), Errno> {
    let World { mem, frames, .. } = world;
    match list.words(frames, mem, &domain.memory, address, 2) {
        Some((mfn, first)) => {
            mem.write_array(mfn, first, words);
            Ok(())
        }
        None => {
            let bytes = words.map(u64::to_le_bytes);
            copy_to_guest(frames, mem, &domain.memory, address, bytes.as_flattened())
                .map_err(|fault| fault.errno())
        }
    }
}

const fn stopped(errno: Errno, done: u64) -> Answer {
    Answer {
        value: errno.to_rax(),
        detail: done,
    }
}

#[cfg(test)]
mod tests;
