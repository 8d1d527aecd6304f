//! A machine for the host's tests: frames, page tables with the hypervisor's rules, a console, and a program that is a
//! list of steps. Whatever the hypervisor would refuse panics here.
mod tests;

use crate::addr::{Mfn, Pfn};
use crate::context::{Context, INT80_VECTOR};
use crate::machine::{Cpu, Memory, Page, Tables, Terminal};
use crate::mm::area::Access;
use crate::resident::pager::error;
use crate::resident::walk;
use abi::layout::{ENTRIES, HYPERVISOR_SLOT, PAGE_SIZE, PHYSMAP};
use abi::mmu::{MmuUpdate, MmuextCommand, MmuextOp, PTE_FRAME, PteFlags};
use std::collections::{BTreeMap, VecDeque};

/// Frames of the machine; one L1 table maps them all in the physmap.
pub(crate) const FRAMES: u64 = 200;
/// The first frame that is free at start.
pub(crate) const FIRST_FREE: u64 = 4;
pub(crate) const KERNEL_ROOT: Pfn = Pfn(0);
/// What the hypervisor keeps in its slot of every root: a table that is no guest's.
const HYPERVISOR_ENTRY: u64 = 0x7;

/// What a program does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Uses an address.
    Touch(Access, u64),
    /// Makes a system call.
    Call(u64, [u64; 6]),
    /// Raises an exception.
    Trap(u64),
}

pub(crate) struct Model {
    frames: Vec<Box<Page>>,
    pins: BTreeMap<u64, u8>,
    loaded: Pfn,
    pub(crate) steps: VecDeque<Step>,
    pub(crate) results: Vec<u64>,
    in_call: bool,
    /// What has been typed, and what will be typed while the kernel waits.
    pub(crate) typed: VecDeque<u8>,
    pub(crate) typed_later: VecDeque<&'static [u8]>,
    pub(crate) printed: Vec<u8>,
}

impl Model {
    pub(crate) fn new() -> Self {
        let mut model = Self {
            frames: (0..FRAMES).map(|_| Box::new([0; PAGE_SIZE as usize])).collect(),
            pins: (0..4).map(|table| (table, 4 - table as u8)).collect(),
            loaded: KERNEL_ROOT,
            steps: VecDeque::new(),
            results: Vec::new(),
            in_call: false,
            typed: VecDeque::new(),
            typed_later: VecDeque::new(),
            printed: Vec::new(),
        };
        let table = PteFlags::PRESENT | PteFlags::WRITABLE;
        for (parent, level) in [(0, 4), (1, 3), (2, 2)] {
            let entry = walk::entry_for(&model, Pfn(parent + 1), table);
            model.store(Pfn(parent), walk::index(PHYSMAP, level), entry);
        }
        model.store(KERNEL_ROOT, HYPERVISOR_SLOT as u16, HYPERVISOR_ENTRY);
        for frame in 0..FRAMES {
            let mut flags = PteFlags::PRESENT | PteFlags::NO_EXECUTE;
            flags.set(PteFlags::WRITABLE, frame >= FIRST_FREE);
            let entry = walk::entry_for(&model, Pfn(frame), flags);
            model.store(Pfn(3), frame as u16, entry);
        }
        model
    }

    /// What must hold when no program is left: the tables are those of the start, and every frame is writable again.
    pub(crate) fn assert_as_at_start(&self) {
        assert_eq!(
            self.pins.len(),
            FIRST_FREE as usize,
            "tables are left: {:?}",
            self.pins
        );
        assert_eq!(self.loaded, KERNEL_ROOT);
        for frame in FIRST_FREE..FRAMES {
            assert!(
                self.entry(Pfn(3), frame as u16) & PteFlags::WRITABLE.bits() != 0,
                "frame {frame}"
            );
        }
    }

    fn store(&mut self, table: Pfn, index: u16, entry: u64) {
        let at = usize::from(index) * 8;
        self.frames[table.0 as usize][at..at + 8].copy_from_slice(&entry.to_le_bytes());
    }

    /// The frame that an entry names, as the hypervisor would check it.
    fn checked_target(&self, entry: u64) -> Pfn {
        let allowed = PteFlags::all().bits() | PTE_FRAME;
        assert_eq!(entry & !allowed, 0, "forbidden bits in {entry:#x}");
        let target = walk::frame_of(self, entry);
        assert!(target.0 < FRAMES, "{entry:#x} names a foreign frame");
        target
    }

    fn check_entry(&self, level: u8, entry: u64) {
        if !walk::is_present(entry) {
            return;
        }
        let target = self.checked_target(entry);
        let pinned = self.pins.get(&target.0);
        if level > 1 {
            assert_eq!(
                pinned,
                Some(&(level - 1)),
                "{entry:#x} in a table of level {level}"
            );
        } else if entry & PteFlags::WRITABLE.bits() != 0 {
            assert_eq!(pinned, None, "a table would be writable: {entry:#x}");
        }
    }

    fn entries_of(&self, table: Pfn) -> impl Iterator<Item = u64> {
        (0..ENTRIES as u16).map(move |index| self.entry(table, index))
    }

    fn pin(&mut self, frame: Pfn, level: u8) {
        assert!(!self.pins.contains_key(&frame.0), "{frame:?} is a table already");
        for (table, _) in self.pins.iter().filter(|(_, level)| **level == 1) {
            for entry in self
                .entries_of(Pfn(*table))
                .filter(|entry| walk::is_present(*entry))
            {
                let writable = entry & PteFlags::WRITABLE.bits() != 0;
                assert!(
                    !writable || walk::frame_of(self, entry) != frame,
                    "{frame:?} is writable"
                );
            }
        }
        for (index, entry) in self.entries_of(frame).enumerate() {
            assert!(
                level < 4 || index != HYPERVISOR_SLOT || entry == 0,
                "slot 256 is not empty"
            );
            self.check_entry(level, entry);
        }
        self.pins.insert(frame.0, level);
        if level == 4 {
            self.store(frame, HYPERVISOR_SLOT as u16, HYPERVISOR_ENTRY);
        }
    }

    fn unpin(&mut self, frame: Pfn) {
        assert!(self.pins.remove(&frame.0).is_some(), "{frame:?} is not pinned");
        assert_ne!(self.loaded, frame, "the root is in use");
        for table in self
            .pins
            .iter()
            .filter(|(_, level)| **level > 1)
            .map(|(table, _)| Pfn(*table))
        {
            let named = self
                .entries_of(table)
                .any(|entry| walk::is_present(entry) && walk::frame_of(self, entry) == frame);
            assert!(!named, "{frame:?} is still in use by {table:?}");
        }
    }

    /// The page fault that an access of the running program raises, if it does.
    fn fault(&self, access: Access, address: u64) -> Option<u64> {
        let forbidden = abi::layout::in_hypervisor_slot(address);
        let slot = walk::walk(self, self.loaded, if forbidden { 0 } else { address });
        let is_set = |flag: PteFlags| slot.entry & flag.bits() != 0;
        let fetch = access == Access::Execute;
        let write = access == Access::Write;
        let kind = error::USER | if fetch { error::FETCH } else { 0 } | if write { error::WRITE } else { 0 };
        let mapped = slot.level == 1 && walk::is_present(slot.entry);
        let denied = !is_set(PteFlags::USER)
            || write && !is_set(PteFlags::WRITABLE)
            || fetch && is_set(PteFlags::NO_EXECUTE);
        match (mapped, denied) {
            (false, _) => Some(kind),
            (true, true) => Some(kind | error::PRESENT),
            (true, false) => None,
        }
    }
}

impl Tables for Model {
    fn mfn_of(&self, frame: Pfn) -> Mfn {
        Mfn(0x1000 + frame.0 * 3)
    }

    fn pfn_of(&self, frame: Mfn) -> Pfn {
        Pfn(frame.0.checked_sub(0x1000).map_or(u64::MAX, |rest| rest / 3))
    }

    fn entry(&self, table: Pfn, index: u16) -> u64 {
        let at = usize::from(index) * 8;
        u64::from_le_bytes(self.frames[table.0 as usize][at..at + 8].try_into().unwrap())
    }

    fn mmu_update(&mut self, requests: &[MmuUpdate]) {
        for MmuUpdate { pointer, value } in requests {
            let table = walk::frame_of(self, *pointer);
            let index = (pointer & 0xfff) / 8;
            let level = *self.pins.get(&table.0).expect("an update of what is no table");
            assert!(
                level < 4 || index as usize != HYPERVISOR_SLOT,
                "an update of slot 256"
            );
            self.check_entry(level, *value);
            self.store(table, index as u16, *value);
        }
    }

    fn mmuext(&mut self, operations: &[MmuextOp]) {
        for operation in operations {
            let frame = || self.pfn_of(Mfn(operation.arg1));
            match MmuextCommand::from_raw(operation.command).unwrap() {
                MmuextCommand::PinL1 => self.pin(frame(), 1),
                MmuextCommand::PinL2 => self.pin(frame(), 2),
                MmuextCommand::PinL3 => self.pin(frame(), 3),
                MmuextCommand::PinL4 => self.pin(frame(), 4),
                MmuextCommand::Unpin => self.unpin(frame()),
                MmuextCommand::NewBaseptr => {
                    let root = frame();
                    assert_eq!(self.pins.get(&root.0), Some(&4), "{root:?} is no root");
                    self.loaded = root;
                }
                MmuextCommand::TlbFlushLocal | MmuextCommand::InvlpgLocal => {}
            }
        }
    }
}

impl Memory for Model {
    fn page(&mut self, frame: Pfn) -> &mut Page {
        assert!(!self.pins.contains_key(&frame.0), "{frame:?} is a table");
        assert!(frame.0 >= FIRST_FREE);
        &mut self.frames[frame.0 as usize]
    }
}

impl Terminal for Model {
    fn write(&mut self, bytes: &[u8]) -> usize {
        self.printed.extend(bytes);
        bytes.len()
    }

    fn read(&mut self, buffer: &mut [u8]) -> usize {
        let count = buffer.len().min(self.typed.len());
        buffer
            .iter_mut()
            .zip(self.typed.drain(..count))
            .for_each(|(slot, key)| *slot = key);
        count
    }

    fn wait(&mut self, _: u64) {
        self.typed.extend(
            self.typed_later
                .pop_front()
                .expect("the kernel would wait for ever"),
        );
    }
}

impl Cpu for Model {
    fn run_user(&mut self, context: &mut Context) {
        assert_ne!(self.loaded, KERNEL_ROOT, "no program's address space is loaded");
        if core::mem::take(&mut self.in_call) {
            self.results.push(context.rax);
        }
        loop {
            let step = self.steps.pop_front().unwrap_or(Step::Call(60, [0; 6]));
            match step {
                // The CPU does not walk the tables for what is no address.
                Step::Touch(_, address) if !abi::layout::is_canonical(address) => {
                    (context.vector, context.error) = (13, 0);
                }
                Step::Touch(access, address) => {
                    let Some(error) = self.fault(access, address) else {
                        continue;
                    };
                    // It is tried again after the fault.
                    self.steps.push_front(step);
                    (context.vector, context.error, context.cr2) = (14, error, address);
                }
                Step::Call(number, arguments) => {
                    context.vector = INT80_VECTOR;
                    context.rax = number;
                    [
                        context.rdi,
                        context.rsi,
                        context.rdx,
                        context.r10,
                        context.r8,
                        context.r9,
                    ] = arguments;
                    self.in_call = true;
                }
                Step::Trap(vector) => context.vector = vector,
            }
            return;
        }
    }

    fn reset_user_state(&mut self) {}

    fn random(&mut self) -> [u8; 16] {
        [7; 16]
    }

    fn yield_now(&mut self) {}

    fn set_fs_base(&mut self, _: u64) {}

    fn set_gs_base(&mut self, _: u64) {}

    fn fs_base(&self) -> u64 {
        0x1234
    }

    fn gs_base(&self) -> u64 {
        0
    }
}
