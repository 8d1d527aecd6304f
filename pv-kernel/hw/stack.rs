//! The kernel's stack: resident, with a page below it that is taken out at boot, so that an overflow is seen.
use crate::entry::Shared;
use abi::layout::PAGE_SIZE;

const GUARD: usize = PAGE_SIZE as usize;
const USABLE: usize = 64 * 1024;
/// Size of the stack with its guard page.
pub(crate) const STACK_SIZE: usize = GUARD + USABLE;

/// The stack.
#[repr(C, align(4096))]
pub(crate) struct Stack([u8; STACK_SIZE]);

/// The kernel runs on it from its first instruction on.
pub(crate) static KERNEL_STACK: Shared<Stack> = Shared::new(Stack([0; STACK_SIZE]));

/// The page below the stack.
pub(crate) fn guard_page() -> u64 {
    KERNEL_STACK.get() as u64
}
