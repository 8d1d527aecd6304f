//! Where a program's parts lie.
use crate::addr::USER_END;

/// First address past the stack.
pub const STACK_TOP: u64 = USER_END - 0x1000;
/// How far the stack may grow, in bytes; its pages appear as they are touched.
pub const STACK_LIMIT: u64 = 8 << 20;
/// Lowest address of the stack.
pub const STACK_BOTTOM: u64 = STACK_TOP - STACK_LIMIT;
/// Addresses below the stack that nothing else may use: a stack that overflows is seen to.
pub const STACK_GUARD: u64 = 1 << 20;
/// Mappings without a place of their own are put below this address, the latest lowest.
pub const MAP_TOP: u64 = STACK_BOTTOM - STACK_GUARD;
