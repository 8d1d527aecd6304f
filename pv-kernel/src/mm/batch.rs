//! Changes of page tables, gathered for few hypercalls.
use crate::machine::Memory;
use abi::mmu::{MmuUpdate, MmuextOp};

/// Requests of each kind that are gathered for one hypercall.
pub(super) const BATCH: usize = 64;

/// Page-table entries to be written, and operations that come after them.
///
/// All updates that were pushed before an operation are carried out before it; operations keep their order.
pub(super) struct Batch {
    updates: [MmuUpdate; BATCH],
    update_count: usize,
    operations: [MmuextOp; BATCH],
    operation_count: usize,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self {
            updates: [MmuUpdate::default(); BATCH],
            update_count: 0,
            operations: [MmuextOp::default(); BATCH],
            operation_count: 0,
        }
    }

    pub(super) fn update(&mut self, memory: &mut impl Memory, update: MmuUpdate) {
        if self.update_count == BATCH {
            self.flush(memory);
        }
        if let Some(slot) = self.updates.get_mut(self.update_count) {
            *slot = update;
            self.update_count += 1;
        }
    }

    pub(super) fn operation(&mut self, memory: &mut impl Memory, operation: MmuextOp) {
        if self.operation_count == BATCH {
            self.flush(memory);
        }
        if let Some(slot) = self.operations.get_mut(self.operation_count) {
            *slot = operation;
            self.operation_count += 1;
        }
    }

    pub(super) fn flush(&mut self, memory: &mut impl Memory) {
        let updates = self.updates.get(..self.update_count).unwrap_or(&[]);
        let operations = self.operations.get(..self.operation_count).unwrap_or(&[]);
        memory.change_tables(updates, operations);
        self.update_count = 0;
        self.operation_count = 0;
    }
}
