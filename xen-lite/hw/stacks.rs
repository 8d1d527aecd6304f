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

/// The words from an address on a stack to its top; `None` if it is on none. A stack that has grown into its guard page is
/// full.
pub(crate) fn words_above(rsp: u64) -> Option<impl Iterator<Item = u64>> {
    let (start, top) = [&MAIN, &FAULT, &NMI]
        .map(|stack| (stack.top() - SIZE as u64, stack.top()))
        .into_iter()
        .find(|(start, top)| (start - PAGE as u64..*top).contains(&rsp))?;
    let first = rsp.max(start).next_multiple_of(8);
    Some((first..top).step_by(8).map(|at| {
        let word = at as *const u64;
        // SAFETY: an aligned word of a stack, which is mapped for good and of which everything is a number.
        unsafe { word.read_volatile() }
    }))
}

/// Whether an address lies in a guard page.
pub(crate) fn is_guard(address: u64) -> bool {
    [&MAIN, &FAULT, &NMI].iter().any(|stack| {
        let guard = core::ptr::from_ref(*stack) as u64;
        (guard..guard + PAGE as u64).contains(&address)
    })
}
