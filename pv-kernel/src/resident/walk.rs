//! Reading page tables (SDM vol. 3A, 4.5). Entries hold machine frames; the machine-to-pfn table leads back.
use crate::addr::{Mfn, PageRange, Pfn};
use crate::machine::Tables;
use abi::layout::{ENTRIES, PAGE_SHIFT, PAGE_SIZE};
use abi::mmu::{MMU_NORMAL_PT_UPDATE, MmuUpdate, PTE_FRAME, PteFlags};
use x86_64::VirtAddr;
use x86_64::structures::paging::page_table::PageTableLevel;

/// The root table's level; 1 is that of the tables whose entries map pages.
pub const ROOT_LEVEL: u8 = 4;

/// Which entry of a table of `level` the walk of `address` uses.
#[must_use]
pub fn index(address: u64, level: u8) -> u16 {
    let level = match level {
        1 => PageTableLevel::One,
        2 => PageTableLevel::Two,
        3 => PageTableLevel::Three,
        _ => PageTableLevel::Four,
    };
    VirtAddr::new_truncate(address).page_table_index(level).into()
}

/// How many bytes of addresses one entry of a table of `level` stands for.
#[must_use]
pub const fn span(level: u8) -> u64 {
    PAGE_SIZE << (9 * (level - 1))
}

/// The frame that an entry names.
pub fn frame_of(memory: &impl Tables, entry: u64) -> Pfn {
    memory.pfn_of(Mfn((entry & PTE_FRAME) >> PAGE_SHIFT))
}

/// Whether the CPU would use the entry.
#[must_use]
pub const fn is_present(entry: u64) -> bool {
    entry & PteFlags::PRESENT.bits() != 0
}

/// Machine address of an entry: how hypercalls name it.
pub fn location(memory: &impl Tables, table: Pfn, index: u16) -> u64 {
    (memory.mfn_of(table).0 << PAGE_SHIFT) | (u64::from(index) * 8)
}

/// The request that writes `entry` at machine address `location`.
#[must_use]
pub const fn update(location: u64, entry: u64) -> MmuUpdate {
    MmuUpdate {
        pointer: location | MMU_NORMAL_PT_UPDATE,
        value: entry,
    }
}

/// The entry that names `frame`.
pub fn entry_for(memory: &impl Tables, frame: Pfn, flags: PteFlags) -> u64 {
    (memory.mfn_of(frame).0 << PAGE_SHIFT) | flags.bits()
}

/// Where the walk of an address ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot {
    /// The last table of the walk.
    pub table: Pfn,
    /// Its level: 1 when all tables are there.
    pub level: u8,
    /// The entry in it.
    pub index: u16,
    /// What the entry holds; not present when `level` is above 1.
    pub entry: u64,
}

/// Walks from `root` as far as there are tables.
pub fn walk(memory: &impl Tables, root: Pfn, address: u64) -> Slot {
    let mut table = root;
    let mut level = ROOT_LEVEL;
    loop {
        let index = index(address, level);
        let entry = memory.entry(table, index);
        if level == 1 || !is_present(entry) {
            return Slot {
                table,
                level,
                index,
                entry,
            };
        }
        table = frame_of(memory, entry);
        level -= 1;
    }
}

/// The L1 entry for `address`, if the tables for it are there.
pub fn leaf(memory: &impl Tables, root: Pfn, address: u64) -> Option<Slot> {
    let slot = walk(memory, root, address);
    (slot.level == 1).then_some(slot)
}

/// The first page of `range` that has an L1 entry other than 0.
pub fn first_leaf(memory: &impl Tables, root: Pfn, range: PageRange) -> Option<(u64, Slot)> {
    let mut address = range.start();
    while address < range.end() {
        let slot = walk(memory, root, address);
        if slot.level == 1 && slot.entry != 0 {
            return Some((address, slot));
        }
        // A program may have many tables with nothing in them: what follows is looked for a table at a time.
        let table_start = address & !(span(slot.level + 1) - 1);
        let next = memory.next_entry(slot.table, slot.index + 1, ENTRIES as u16);
        let index = next.map_or(ENTRIES as u64, |(index, _)| u64::from(index));
        address = table_start + index * span(slot.level);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_nine_bits_each() {
        let address = (1u64 << 39) | (2 << 30) | (3 << 21) | (4 << 12) | 5;
        assert_eq!([4, 3, 2, 1].map(|level| index(address, level)), [1, 2, 3, 4]);
        assert_eq!(index(0xffff_ffff_8000_0000, 4), 511);
        assert_eq!(span(1), 4096);
        assert_eq!(span(4), 1 << 39);
    }

    /// Tables by number, 0 the root's, which count how often a walk begins.
    #[derive(Default)]
    struct Counted {
        entries: std::collections::BTreeMap<(u64, u16), u64>,
        walks: core::cell::Cell<u32>,
    }

    impl Tables for Counted {
        fn mfn_of(&self, frame: Pfn) -> Mfn {
            Mfn(frame.0)
        }

        fn pfn_of(&self, frame: Mfn) -> Pfn {
            Pfn(frame.0)
        }

        fn entry(&self, table: Pfn, index: u16) -> u64 {
            if table == Pfn(0) {
                self.walks.update(|walks| walks + 1);
            }
            self.entries.get(&(table.0, index)).copied().unwrap_or(0)
        }

        fn next_entry(&self, table: Pfn, index: u16, end: u16) -> Option<(u16, u64)> {
            let mut entries = self.entries.range((table.0, index)..(table.0, end));
            entries.next().map(|((_, index), entry)| (*index, *entry))
        }

        fn mmu_update(&mut self, _: &[MmuUpdate]) {}

        fn mmuext(&mut self, _: &[abi::mmu::MmuextOp]) {}
    }

    #[test]
    fn tables_with_nothing_in_them_are_passed_over() {
        const TABLES: u64 = 200;
        let mut tables = Counted::default();
        let flags = PteFlags::PRESENT;
        let mut link = |table: u64, index: u64, to: u64| {
            let entry = entry_for(&Counted::default(), Pfn(to), flags);
            tables.entries.insert((table, index as u16), entry);
        };
        link(0, 0, 1);
        link(1, 0, 2);
        // A program that has used each 2 MiB of addresses once; only the last page is there still.
        (0..TABLES).for_each(|index| link(2, index, 10 + index));
        link(10 + TABLES - 1, 77, 5000);
        let last = (TABLES - 1) * span(2) + 77 * PAGE_SIZE;
        let all = PageRange::new(0x1_0000, crate::addr::USER_END).unwrap();
        let found = first_leaf(&tables, Pfn(0), all).map(|(address, _)| address);
        assert_eq!(found, Some(last));
        let walks = tables.walks.replace(0);
        assert!(walks <= TABLES as u32 + 1, "{walks} walks");
        let below = PageRange::new(0x1_0000, last).unwrap();
        assert!(first_leaf(&tables, Pfn(0), below).is_none());
        let above = PageRange::new(last + PAGE_SIZE, crate::addr::USER_END).unwrap();
        assert!(first_leaf(&tables, Pfn(0), above).is_none());
    }
}
