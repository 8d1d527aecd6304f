//! System calls with arguments that no wrapper would pass.
use userland::files::Result;
use userland::sys;

/// An address in the kernel's half, canonical.
pub(crate) const KERNEL: usize = 0xffff_8000_0020_8000;
/// An address that no processor takes.
pub(crate) const NON_CANONICAL: usize = 0x8000_0000_0000_0000;
/// An address where nothing is mapped.
pub(crate) const UNMAPPED: usize = 0x10_0000_0000;
/// Addresses that a program has no right to.
pub(crate) const BAD: [usize; 5] = [1, UNMAPPED, KERNEL, NON_CANONICAL, usize::MAX - 7];

/// Makes a system call. What the kernel may touch of this program's memory is the caller's own and not borrowed: the
/// tests pass buffers of their own, or addresses that the kernel has to refuse.
pub(crate) fn call<const N: usize>(number: u32, arguments: [usize; N]) -> Result<usize> {
    // SAFETY: see above.
    unsafe { sys::ask(number, arguments) }
}

/// A read-write page of this process' own at an address that the kernel chooses.
pub(crate) fn page() -> Result<usize> {
    userland::process::map_anonymous(4096).map(|page| page as usize)
}

/// Reads a byte of the program's memory.
pub(crate) fn peek(address: usize) -> u8 {
    // SAFETY: tests read what they have mapped, or die of it in a child.
    unsafe { (address as *const u8).read_volatile() }
}

/// Writes a byte of the program's memory.
pub(crate) fn poke(address: usize, value: u8) {
    // SAFETY: tests write what they have mapped, or die of it in a child.
    unsafe { (address as *mut u8).write_volatile(value) }
}

/// The address of a value.
pub(crate) fn address<T>(value: &T) -> usize {
    &raw const *value as usize
}

/// The address of a value that the kernel writes to.
pub(crate) fn address_mut<T>(value: &mut T) -> usize {
    &raw mut *value as usize
}
