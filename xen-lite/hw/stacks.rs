//! The hypervisor's stacks, each with an unmapped page below.
use core::cell::UnsafeCell;

const PAGE: usize = abi::layout::PAGE_SIZE as usize;
/// Bytes of one stack.
const SIZE: usize = 32 * PAGE;

/// A guard page, and a stack that grows down to it.
#[repr(C, align(4096))]
pub(crate) struct Stack {
    guard: [u8; PAGE],
    memory: UnsafeCell<[u8; SIZE]>,
}

// SAFETY: only the CPU uses the memory, as a stack, one entry at a time.
unsafe impl Sync for Stack {}

impl Stack {
    const fn new() -> Self {
        Self {
            guard: [0; PAGE],
            memory: UnsafeCell::new([0; SIZE]),
        }
    }

    /// The address above the stack.
    pub(crate) fn top(&self) -> u64 {
        self.memory.get() as u64 + SIZE as u64
    }
}

/// For boot and for every entry from a guest.
pub(crate) static MAIN: Stack = Stack::new();
/// For faults in ring 0.
pub(crate) static FAULT: Stack = Stack::new();
/// For NMIs.
pub(crate) static NMI: Stack = Stack::new();

/// Bytes between the start of a stack and its top.
pub(crate) const TOP_OFFSET: usize = PAGE + SIZE;

/// Whether an address lies in a guard page.
pub(crate) fn is_guard(address: u64) -> bool {
    [&MAIN, &FAULT, &NMI].iter().any(|stack| {
        let guard = core::ptr::from_ref(*stack) as u64;
        (guard..guard + PAGE as u64).contains(&address)
    })
}
