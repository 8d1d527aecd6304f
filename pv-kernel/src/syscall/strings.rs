//! Strings, and lists of them, that a call's arguments lead to.
use crate::addr::page_floor;
use crate::errno::Errno;
use crate::exec::stack;
use crate::kernel::{Kernel, Machine};
use crate::proc::Process;
use abi::layout::PAGE_SIZE;
use alloc::vec::Vec;

/// Most bytes of a path, its NUL included, as on Linux.
pub(super) const PATH_MAX: usize = 4096;
/// Bytes that are read at once.
const CHUNK: usize = 256;
/// What each string of a list takes of the kernel's memory besides its bytes.
const COST: usize = 32;

/// The string at `address` without its NUL, which comes within `limit` bytes.
///
/// # Errors
/// `EFAULT`, `ENOMEM`; `too_long`.
pub(super) fn string<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    address: u64,
    limit: usize,
    too_long: Errno,
) -> Result<Vec<u8>, Errno> {
    let mut string = Vec::new();
    let mut at = address;
    while string.len() < limit {
        // Not beyond the page: the next one may not be there, and the NUL before it.
        let page_end = page_floor(at).checked_add(PAGE_SIZE).ok_or(Errno::FAULT)?;
        let mut chunk = [0; CHUNK];
        let length = CHUNK
            .min(limit - string.len())
            .min(usize::try_from(page_end - at).unwrap_or(CHUNK));
        let chunk = chunk.get_mut(..length).ok_or(Errno::FAULT)?;
        kernel.copy_in(process, at, chunk)?;
        let end = chunk.iter().position(|byte| *byte == 0);
        string.extend_from_slice(chunk.get(..end.unwrap_or(length)).unwrap_or(&[]));
        if end.is_some() {
            return Ok(string);
        }
        at = at.checked_add(length as u64).ok_or(Errno::FAULT)?;
    }
    Err(too_long)
}

/// The first `limit` bytes of the string at `address`, or all up to its NUL.
///
/// # Errors
/// `EFAULT`, `ENOMEM`.
pub(super) fn prefix<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    address: u64,
    limit: usize,
) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::with_capacity(limit);
    for offset in 0..limit as u64 {
        let mut byte = [0];
        let at = address.checked_add(offset).ok_or(Errno::FAULT)?;
        kernel.copy_in(process, at, &mut byte)?;
        match byte {
            [0] => break,
            [byte] => bytes.push(byte),
        }
    }
    Ok(bytes)
}

/// The path at `address`.
///
/// # Errors
/// `EFAULT`, `ENOMEM`, `ENAMETOOLONG`; `ENOENT` if it is empty.
pub(super) fn path<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    address: u64,
) -> Result<Vec<u8>, Errno> {
    let path = string(kernel, process, address, PATH_MAX, Errno::NAME_TOO_LONG)?;
    if path.is_empty() {
        return Err(Errno::NO_ENTRY);
    }
    Ok(path)
}

/// The strings that the pointers at `address` lead to, of which the last is 0. No list at all is an empty one.
///
/// # Errors
/// `EFAULT`, `ENOMEM`, `E2BIG`.
pub(super) fn list<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    address: u64,
) -> Result<Vec<Vec<u8>>, Errno> {
    let mut strings = Vec::new();
    if address == 0 {
        return Ok(strings);
    }
    let mut room = stack::MAX_SIZE;
    let mut at = address;
    loop {
        let mut pointer = [0; 8];
        kernel.copy_in(process, at, &mut pointer)?;
        let pointer = u64::from_le_bytes(pointer);
        if pointer == 0 {
            return Ok(strings);
        }
        let string = string(kernel, process, pointer, room, Errno::TOO_BIG)?;
        room = room.checked_sub(string.len() + COST).ok_or(Errno::TOO_BIG)?;
        strings.push(string);
        at = at.checked_add(8).ok_or(Errno::FAULT)?;
    }
}
