//! A machine of a few frames with two domains, for tests.
use super::{ArrayMem, frame_table};
use crate::addr::{DomainId, Level, Mfn};
use crate::paging::{
    AuditReport, DomainMemory, FrameTable, Owner, PagingError, Progress, Teardown, TeardownProgress, audit,
    pin, set_root, take_apart_one, unpin, update_entry,
};
use crate::platform::PhysMem;

pub(crate) const P: u64 = 1;
pub(crate) const W: u64 = 2;
pub(crate) const U: u64 = 4;
pub(crate) const A: u64 = 1 << 5;
pub(crate) const D: u64 = 1 << 6;
pub(crate) const NX: u64 = 1 << 63;

/// Frames 0 to 3 are reserved (no RAM); the rest is dealt out from the lowest.
pub(crate) const FIRST_RAM: u32 = 4;

pub(crate) struct Machine {
    pub(crate) ft: FrameTable<'static>,
    pub(crate) mem: ArrayMem,
    pub(crate) dom: DomainMemory,
    pub(crate) other: DomainMemory,
}

pub(crate) fn entry(mfn: Mfn, flags: u64) -> u64 {
    mfn.address() | flags
}

impl Machine {
    pub(crate) fn new(frames: u32) -> Self {
        let mut ft = frame_table(frames as usize);
        let mut mem = ArrayMem::new(frames as usize);
        ft.add_ram(Mfn(FIRST_RAM), frames - FIRST_RAM);
        // Each slot entry names a table of the hypervisor's.
        let mut slot = || entry(ft.alloc_hypervisor(&mut mem).unwrap(), P | W | A);
        let (dom, other) = (
            DomainMemory::new(DomainId(1), slot()),
            DomainMemory::new(DomainId(2), slot()),
        );
        Self { ft, mem, dom, other }
    }

    pub(crate) fn alloc(&mut self) -> Mfn {
        self.ft.alloc(&mut self.mem, &mut self.dom).unwrap()
    }

    pub(crate) fn release(&mut self, mfn: Mfn) -> Result<(), PagingError> {
        self.ft.release(&mut self.mem, &mut self.dom, mfn)
    }

    /// What a guest does to a frame that it has mapped writable, or had before.
    pub(crate) fn poke(&mut self, mfn: Mfn, index: usize, value: u64) {
        self.mem.write(mfn, index, value);
    }

    pub(crate) fn pin(&mut self, mfn: Mfn, level: Level) -> Result<(), PagingError> {
        pin(&mut self.ft, &mut self.mem, &mut self.dom, mfn, level).map(|flush| flush.by_cr3_write())
    }

    pub(crate) fn unpin(&mut self, mfn: Mfn) -> Result<(), PagingError> {
        unpin(&mut self.ft, &mut self.dom, mfn).map(|flush| flush.by_cr3_write())
    }

    pub(crate) fn set_root(&mut self, mfn: Mfn) -> Result<(), PagingError> {
        set_root(&mut self.ft, &mut self.dom, mfn).map(|flush| flush.by_cr3_write())
    }

    pub(crate) fn update(&mut self, table: Mfn, index: usize, new: u64) -> Result<(), PagingError> {
        update_entry(&mut self.ft, &mut self.mem, &mut self.dom, table, index, new)
            .map(|flush| flush.by_cr3_write())
    }

    pub(crate) fn take_apart_all(&mut self) -> usize {
        let mut tables = 0;
        while self.dom.has_leaving_tables() {
            let (Progress::More | Progress::Done) =
                take_apart_one(&mut self.ft, &mut self.mem, &mut self.dom);
            tables += 1;
        }
        tables
    }

    /// Four tables, one below the other by entry `index`, pinned; from the root down.
    pub(crate) fn pinned_chain(&mut self, index: usize) -> [Mfn; 4] {
        let tables = [self.alloc(), self.alloc(), self.alloc(), self.alloc()];
        for pair in tables.windows(2) {
            self.poke(pair[0], index, entry(pair[1], P | W | U));
        }
        for (level, &table) in Level::ALL.into_iter().zip(tables.iter().rev()) {
            self.pin(table, level).unwrap();
        }
        tables
    }

    /// The same, with only the root pinned and running.
    pub(crate) fn running_chain(&mut self, index: usize) -> [Mfn; 4] {
        let tables = self.pinned_chain(index);
        for &table in &tables {
            if table == tables[0] {
                self.set_root(table).unwrap();
            }
            self.unpin(table).unwrap();
        }
        tables
    }

    pub(crate) fn audit(&mut self) -> AuditReport {
        match audit(&mut self.ft, &self.mem, [&self.dom, &self.other].into_iter()) {
            Ok(report) => report,
            Err(fault) => panic!("audit: {fault}"),
        }
    }

    /// Tears the domain down; asserts that every frame came back, and came back zero.
    pub(crate) fn tear_down(&mut self) -> u32 {
        let before: Vec<Mfn> = (0..self.ft.frame_count())
            .map(Mfn)
            .filter(|&mfn| self.ft.owner(mfn) == Owner::Domain(self.dom.id()))
            .collect();
        let mut teardown = Teardown::begin(&mut self.ft, &mut self.dom);
        for steps in 0.. {
            assert!(steps < 4 * self.ft.frame_count() + 16, "teardown does not end");
            self.audit();
            if let TeardownProgress::Done { returned, owned } =
                teardown.step(&mut self.ft, &mut self.mem, &mut self.dom)
            {
                assert_eq!((returned, owned), (before.len() as u32, before.len() as u32));
                break;
            }
        }
        assert_eq!((self.dom.owned(), self.dom.pins(), self.dom.root()), (0, 0, None));
        for &mfn in &before {
            assert_eq!(self.mem.words(mfn), &[0; 512], "{mfn} was not scrubbed");
        }
        before.len() as u32
    }
}
