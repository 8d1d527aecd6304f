//! Paths of calls: where they start, what they lead to.
use super::strings;
use crate::errno::Errno;
use crate::fs::{Follow, Node};
use crate::kernel::{Kernel, Machine};
use crate::proc::Process;
use linux_raw_sys::general as linux;

/// Where a path starts that is relative to the descriptor `directory`.
///
/// # Errors
/// `EBADF`, `ENOTDIR`.
pub(super) fn start_at<M>(
    kernel: &Kernel<'_, M>,
    process: &Process<'_>,
    directory: u64,
    path: &[u8],
) -> Result<Node, Errno> {
    if directory as i32 == linux::AT_FDCWD || path.starts_with(b"/") {
        return Ok(process.files.directory);
    }
    let file = process.files.descriptors.get(u64::from(directory as u32))?;
    kernel.vfs.node_of(file)
}

/// The file that the path at `address` leads to, from the descriptor `directory` on.
///
/// # Errors
/// Those of strings, of descriptors and of paths.
pub(super) fn path_at<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    directory: u64,
    address: u64,
    follow: Follow,
) -> Result<Node, Errno> {
    let path = strings::path(kernel, process, address)?;
    let start = start_at(kernel, process, directory, &path)?;
    kernel.with_files(process, |vfs, caller, _| vfs.find(start, &path, follow, caller))
}

/// A path that says where a name is made or taken away: its start and itself.
///
/// # Errors
/// Those of strings and of descriptors.
pub(super) fn place_at<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    directory: u64,
    address: u64,
) -> Result<(Node, alloc::vec::Vec<u8>), Errno> {
    let path = strings::path(kernel, process, address)?;
    let start = start_at(kernel, process, directory, &path)?;
    Ok((start, path))
}
