//! Several hypercalls for one entry.
use super::{Outcome, Work, World, carry_out};
use crate::domain::Domain;
use crate::guest_mem::{copy_from_guest, copy_to_guest};
use crate::platform::PhysMem;
use abi::errno::Errno;
use abi::hypercall::Hypercall;
use abi::multicall::{MAX_ENTRIES, MulticallEntry};
use core::mem::offset_of;

const SIZE: usize = size_of::<MulticallEntry>();
const RESULT: u64 = offset_of!(MulticallEntry, result) as u64;
const _: () = assert!(offset_of!(MulticallEntry, detail) as u64 == RESULT + 8);

/// `multicall(entries, count)`; not inlined, for it calls what calls it. rdx: how many entries were done.
#[inline(never)]
pub(super) fn multicall(
    world: &mut World<'_, impl PhysMem>,
    domains: &mut [Domain],
    own: usize,
    entries: u64,
    count: u64,
) -> Outcome {
    if count > MAX_ENTRIES {
        return Outcome::refused(Errno::TooBig);
    }
    for done in 0..count {
        if world.work.is_done() && done > 0 {
            return Outcome::Return {
                value: Errno::Again.to_rax(),
                detail: done,
            };
        }
        let stopped = match entries.checked_add(SIZE as u64 * done) {
            Some(address) => one(world, domains, own, address),
            None => Err((Errno::Fault, 0)),
        };
        if let Err((errno, carried_out)) = stopped {
            return Outcome::Return {
                value: errno.to_rax(),
                detail: done + carried_out,
            };
        }
    }
    Outcome::Return {
        value: 0,
        detail: count,
    }
}

/// Carries out the entry at `address` and writes its result.
///
/// # Errors
/// The entry could not be read, or its result not be written; and how many calls were carried out all the same.
fn one(
    world: &mut World<'_, impl PhysMem>,
    domains: &mut [Domain],
    own: usize,
    address: u64,
) -> Result<(), (Errno, u64)> {
    let mut bytes = [0; SIZE];
    {
        let domain = domains.get(own).ok_or((Errno::NoDomain, 0))?;
        copy_from_guest(&world.frames, &mut world.mem, &domain.memory, address, &mut bytes)
            .map_err(|fault| (fault.errno(), 0))?;
    }
    let words = bytes.as_chunks::<8>().0;
    let word = |index: usize| words.get(index).map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let number = word(offset_of!(MulticallEntry, number) / 8);
    let first = offset_of!(MulticallEntry, arguments) / 8;
    let arguments = [
        word(first),
        word(first + 1),
        word(first + 2),
        word(first + 3),
        word(first + 4),
    ];
    let outcome = match Hypercall::from_raw(number) {
        Some(Hypercall::SchedOp | Hypercall::Multicall) => Outcome::refused(Errno::Perm),
        _ => {
            world.work.spend(Work::CALL);
            carry_out(world, domains, own, number, arguments)
        }
    };
    let (value, detail) = match outcome {
        Outcome::Return { value, detail } => (value, detail),
        // None of these comes from any other call.
        Outcome::Yield | Outcome::Block { .. } | Outcome::Shutdown { .. } => (Errno::Perm.to_rax(), 0),
    };
    let domain = domains.get_mut(own).ok_or((Errno::NoDomain, 1))?;
    world.take_apart(domain);
    let address = address.checked_add(RESULT).ok_or((Errno::Fault, 1))?;
    let results = [value, detail].map(u64::to_le_bytes);
    copy_to_guest(
        &world.frames,
        &mut world.mem,
        &domain.memory,
        address,
        results.as_flattened(),
    )
    .map_err(|fault| (fault.errno(), 1))?;
    Ok(())
}

#[cfg(test)]
mod tests;
