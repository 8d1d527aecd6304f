//! Domains that could run, with all that hypercalls work on, for tests.
use super::{ArrayMem, frame_table};
use crate::addr::{DomainId, Level, Mfn};
use crate::boot_image::DomainSpec;
use crate::descriptor::TssState;
use crate::domain::{Domain, End, Stage};
use crate::hypercall::{After, Answer, Outcome, Staging, Work, World, dispatch};
use crate::paging::{audit, pin, set_root, unpin, update_entry};
use crate::platform::PhysMem;
use crate::sched::set::Set;
use crate::testing::machine::{P, U, W, entry};
use crate::vcpu::{Common, VcpuSet};
use abi::boot_image::RestartPolicy;
use abi::errno::Errno;
use abi::hypercall::Hypercall;
use abi::sched::ShutdownReason;

/// Pages of each domain from here on: 0 and 1 writable, 2 read-only, 3 its own L1 table, 4 absent, 5 writable.
pub(crate) const PAGES: u64 = 3 << 39 | 3 << 30 | 3 << 21;
/// Frames of each domain: four tables and four pages.
pub(crate) const FRAMES: u32 = 8;
const ALL: u32 = 256;
/// No RAM.
const RESERVED: u32 = 2;

pub(crate) struct Bench {
    pub(crate) world: World<'static, ArrayMem>,
    pub(crate) domains: Vec<Domain>,
}

/// Address `offset` of page `page`.
pub(crate) fn at(page: u64, offset: u64) -> u64 {
    PAGES + page * 4096 + offset
}

fn spec(index: u16) -> DomainSpec<'static> {
    DomainSpec {
        name: ["zero", "one", "two", "three"][usize::from(index)],
        command_line: b"",
        memory_frames: u64::from(FRAMES) + 2,
        kernel_module: 0,
        guest_module: None,
        symbols_module: None,
        weight: 1,
        restart: RestartPolicy::Never,
        restart_max: 0,
        record_line: true,
        witness: false,
    }
}

impl Bench {
    pub(crate) fn new(domains: u16) -> Self {
        let mut frames = frame_table(ALL as usize);
        let mut mem = ArrayMem::new(ALL as usize);
        frames.add_ram(Mfn(RESERVED), ALL - RESERVED);
        let mut own = || frames.alloc_hypervisor(&mut mem).unwrap();
        let common = Common {
            text: own(),
            text_frames: 1,
            machine_to_pfn: own(),
            machine_to_pfn_table: own(),
            stubs: [0; 35],
            masked_stubs: [0; 32],
            no_syscall: 0,
            hypervisor_cr3: 0,
            stack: 0,
            fault_stack: 0,
            nmi_stack: 0,
        };
        let mut bench = Self {
            world: World {
                mem,
                frames,
                common,
                after: After::default(),
                next_timer: u64::MAX,
                stirred: Set::EMPTY,
                has_text: false,
                work: Work::PER_CALL,
                staging: Staging::EMPTY,
            },
            domains: Vec::new(),
        };
        for index in 0..domains {
            let domain = bench.domain(index);
            bench.domains.push(domain);
        }
        bench
    }

    fn domain(&mut self, index: u16) -> Domain {
        let World {
            mem, frames, common, ..
        } = &mut self.world;
        let set = [(); VcpuSet::FRAMES].map(|()| frames.alloc_hypervisor(mem).unwrap());
        let set = VcpuSet::new(mem, set, common, 0, TssState::Busy);
        let state = frames.alloc_hypervisor(mem).unwrap();
        let mut domain = Domain::new(DomainId(index), spec(index), set, state);
        domain.stage = Stage::Live;
        let dom = &mut domain.memory;
        let tables = [(); 4].map(|()| frames.alloc(mem, dom).unwrap());
        for pair in tables.windows(2) {
            mem.write(pair[0], 3, entry(pair[1], P | W | U));
        }
        for (level, &table) in Level::ALL.into_iter().zip(tables.iter().rev()) {
            pin(frames, mem, dom, table, level).unwrap().by_cr3_write();
        }
        set_root(frames, dom, tables[0]).unwrap().by_cr3_write();
        for &table in &tables {
            unpin(frames, dom, table).unwrap().by_cr3_write();
        }
        let pages = [(); 4].map(|()| frames.alloc(mem, dom).unwrap());
        for (index, word) in [
            (0, entry(pages[0], P | W)),
            (1, entry(pages[1], P | W)),
            (2, entry(pages[2], P)),
            (3, entry(tables[3], P)),
            (5, entry(pages[3], P | W)),
        ] {
            update_entry(frames, mem, dom, tables[3], index, word)
                .unwrap()
                .by_cr3_write();
        }
        domain
    }

    /// A second root of a domain's, pinned, in which [`PAGES`] has these entries.
    pub(crate) fn second_space(&mut self, domain: usize, entries: &[(usize, u64)]) -> Mfn {
        let World { mem, frames, .. } = &mut self.world;
        let dom = &mut self.domains[domain].memory;
        let tables = [(); 4].map(|()| frames.alloc(mem, dom).unwrap());
        for pair in tables.windows(2) {
            mem.write(pair[0], 3, entry(pair[1], P | W | U));
        }
        for (index, word) in entries {
            mem.write(tables[3], *index, *word);
        }
        for (level, &table) in Level::ALL.into_iter().zip(tables.iter().rev()) {
            pin(frames, mem, dom, table, level).unwrap().by_cr3_write();
        }
        tables[0]
    }

    /// A hypercall that returns: its value, or why it was refused, and its second word. The audit is clean after it.
    pub(crate) fn ask(
        &mut self,
        domain: usize,
        number: Hypercall,
        arguments: &[u64],
    ) -> (Result<u64, Errno>, u64) {
        let answer = self.ask_quick(domain, number, arguments);
        self.audit();
        answer
    }

    /// The same without the audit, for calls that touch no page table.
    pub(crate) fn ask_quick(
        &mut self,
        domain: usize,
        number: Hypercall,
        arguments: &[u64],
    ) -> (Result<u64, Errno>, u64) {
        let mut all = [0; 5];
        all[..arguments.len()].copy_from_slice(arguments);
        match dispatch(&mut self.world, &mut self.domains, domain, number.raw(), all) {
            Outcome::Return(Answer { value, detail }) => {
                (Errno::from_rax(value).map_or(Ok(value), Err), detail)
            }
            other => panic!("{number:?} ends as {other:?}"),
        }
    }

    pub(crate) fn audit(&mut self) {
        let domains = self.domains.iter().map(|domain| &domain.memory);
        if let Err(fault) = audit(&mut self.world.frames, &self.world.mem, domains) {
            panic!("audit: {fault}");
        }
    }

    /// What the guest sees at `va`: a page of [`PAGES`].
    pub(crate) fn page(&self, domain: usize, va: u64) -> Mfn {
        let mut table = self.domains[domain].memory.root().unwrap();
        for level in [Level::L4, Level::L3, Level::L2, Level::L1] {
            let word = self.world.mem.read(table, level.index_of(va));
            assert!(word & P != 0, "{va:#x} is not mapped");
            table = Mfn::containing(word & abi::mmu::PTE_FRAME).unwrap();
        }
        table
    }

    pub(crate) fn read(&self, domain: usize, va: u64) -> u64 {
        let page = self.page(domain, va);
        self.world.mem.read(page, (va % 4096 / 8) as usize)
    }

    pub(crate) fn write(&mut self, domain: usize, va: u64, words: &[u64]) {
        for (va, word) in (va..).step_by(8).zip(words) {
            let page = self.page(domain, va);
            self.world.mem.write(page, (va % 4096 / 8) as usize, *word);
        }
    }

    /// A word of the page of event bits.
    pub(crate) fn shared(&self, domain: usize, offset: usize) -> u64 {
        let page = self.domains[domain].vcpu.set.shared_info();
        self.world.mem.read(page, offset / 8)
    }

    pub(crate) fn set_shared(&mut self, domain: usize, offset: usize, value: u64) {
        let page = self.domains[domain].vcpu.set.shared_info();
        self.world.mem.write(page, offset / 8, value);
    }

    /// A domain is over for good.
    pub(crate) fn end(&mut self, domain: usize) {
        crate::event::close_all(&mut self.domains, domain);
        self.domains[domain].stage = Stage::Ended(End::Shutdown(ShutdownReason::Poweroff, 0));
    }
}
