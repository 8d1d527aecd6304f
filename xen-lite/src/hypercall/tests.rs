//! What one call may cost; how a domain sleeps and ends.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]
use super::{After, Answer, Leave, Outcome, Staging, Work, World, dispatch};
use crate::addr::{DomainId, Level, Mfn};
use crate::boot_image::DomainSpec;
use crate::descriptor::TssState;
use crate::domain::Domain;
use crate::paging::{self, DomainMemory, PageType, audit};
use crate::platform::PhysMem;
use crate::sched::set::Set;
use crate::testing::world::Bench;
use crate::testing::{ArrayMem, frame_table};
use crate::vcpu::{Common, VcpuSet};
use abi::boot_image::RestartPolicy;
use abi::errno::Errno;
use abi::hypercall::Hypercall;
use abi::memory::MemoryOp;
use abi::mmu::{MAX_BATCH, MmuextCommand};
use abi::multicall::MAX_ENTRIES;
use abi::sched::{SchedOp, ShutdownReason, WAKE_DEFAULT, WAKE_EVENT, WAKE_INPUT, WAKE_OUTPUT};

const FRAMES: u32 = 1024;
/// Where the pages of arguments are mapped.
const BASE: u64 = 1 << 39;
const PAGES: usize = 8;

/// A domain that runs, with some pages for arguments and many frames that nothing uses.
struct Guest {
    world: World<'static, ArrayMem>,
    domains: Vec<Domain>,
    pages: [Mfn; PAGES],
    spare: Vec<Mfn>,
}

impl Guest {
    fn new() -> Self {
        let mut mem = ArrayMem::new(FRAMES as usize);
        let mut frames = frame_table(FRAMES as usize);
        frames.add_ram(Mfn(8), FRAMES - 8);
        let common = Common {
            text: Mfn(0),
            text_frames: 1,
            machine_to_pfn: Mfn(1),
            machine_to_pfn_table: Mfn(2),
            stubs: [0; 35],
            masked_stubs: core::array::from_fn(|_| 0),
            no_syscall: 0,
            hypervisor_cr3: 0,
            stack: 0,
            fault_stack: 0,
            nmi_stack: 0,
        };
        let set = [(); VcpuSet::FRAMES].map(|()| frames.alloc_hypervisor(&mut mem).unwrap());
        let set = VcpuSet::new(&mut mem, set, &common, 0, TssState::Busy);
        let vector_state = frames.alloc_hypervisor(&mut mem).unwrap();
        let config = DomainSpec {
            name: "guest",
            command_line: b"",
            memory_frames: u64::from(FRAMES),
            kernel_module: 1,
            guest_module: None,
            symbols_module: None,
            weight: 1,
            restart: RestartPolicy::Never,
            restart_max: 0,
            record_line: false,
            witness: false,
        };
        let mut domain = Domain::new(DomainId(0), config, set, vector_state);
        let world = World {
            mem,
            frames,
            common,
            after: After::default(),
            next_timer: u64::MAX,
            stirred: Set::EMPTY,
            has_text: false,
            work: Work::PER_CALL,
            staging: Staging::EMPTY,
        };
        let mut guest = Self {
            world,
            domains: Vec::new(),
            pages: [Mfn(0); PAGES],
            spare: Vec::new(),
        };
        let memory = &mut domain.memory;
        let mut frame = || guest.world.frames.alloc(&mut guest.world.mem, memory).unwrap();
        let tables = [frame(), frame(), frame(), frame()];
        guest.pages = [(); PAGES].map(|()| frame());
        guest.spare = (0..FRAMES / 2).map(|_| frame()).collect();
        let [l4, l3, l2, l1] = tables;
        for (table, index, below) in [(l4, 1, l3), (l3, 0, l2), (l2, 0, l1)] {
            guest.world.mem.write(table, index, below.address() | 7);
        }
        for (index, page) in guest.pages.into_iter().enumerate() {
            guest.world.mem.write(l1, index, page.address() | 7);
        }
        for (level, table) in Level::ALL.into_iter().zip([l1, l2, l3, l4]) {
            let World { mem, frames, .. } = &mut guest.world;
            paging::pin(frames, mem, &mut domain.memory, table, level)
                .unwrap()
                .by_cr3_write();
        }
        paging::set_root(&mut guest.world.frames, &mut domain.memory, l4)
            .unwrap()
            .by_cr3_write();
        guest.domains.push(domain);
        guest
    }

    fn memory(&mut self) -> &mut DomainMemory {
        &mut self.domains[0].memory
    }

    /// Writes words to the argument pages, from the start of one of them on.
    fn put(&mut self, page: usize, words: impl IntoIterator<Item = u64>) -> u64 {
        for (n, word) in words.into_iter().enumerate() {
            self.world.mem.write(self.pages[page + n / 512], n % 512, word);
        }
        BASE + 4096 * page as u64
    }

    fn call(&mut self, number: Hypercall, arguments: [u64; 3]) -> (Result<u64, Errno>, u64) {
        let [first, second, third] = arguments;
        let arguments = [first, second, third, 0, 0];
        match dispatch(&mut self.world, &mut self.domains, 0, number.raw(), arguments) {
            Outcome::Return(Answer { value, detail }) => {
                (Errno::from_rax(value).map_or(Ok(value), Err), detail)
            }
            other => panic!("{other:?}"),
        }
    }

    fn tables(&self, level: Level) -> usize {
        let is_one = |mfn: &&Mfn| self.world.frames.page_type(**mfn) == PageType::table(level);
        self.spare.iter().filter(is_one).count()
    }

    fn audit(&mut self) {
        let memory = &self.domains[0].memory;
        audit(&mut self.world.frames, &self.world.mem, core::iter::once(memory)).unwrap();
    }
}

/// As many pins of L1 tables as a batch holds.
fn pins(guest: &Guest) -> Vec<u64> {
    let pin = |mfn: &Mfn| [u64::from(MmuextCommand::PinL1.raw()), u64::from(mfn.0), 0];
    let batch = guest.spare.iter().take(MAX_BATCH as usize);
    batch.flat_map(pin).collect()
}

#[test]
fn a_batch_of_pins_stops_when_it_has_done_its_share_and_says_where() {
    let mut guest = Guest::new();
    let words = pins(&guest);
    let at = guest.put(0, words);
    let mut left = MAX_BATCH;
    let mut calls = 0;
    let mut pointer = at;
    while left > 0 {
        let (result, done) = guest.call(Hypercall::MmuextOp, [pointer, left, 0]);
        assert!(done <= 16, "{done} tables in one call");
        calls += 1;
        left -= done;
        pointer += 24 * done;
        assert_eq!(result, if left == 0 { Ok(0) } else { Err(Errno::Again) });
    }
    assert!(calls <= MAX_BATCH / 8, "{calls} calls: a share is worth a call");
    assert_eq!(guest.tables(Level::L1), MAX_BATCH as usize);
    guest.audit();
}

#[test]
fn a_list_of_batches_has_the_share_of_one_call() {
    let mut guest = Guest::new();
    let words = pins(&guest);
    let batch = guest.put(0, words);
    let entry = |n: u64| {
        let arguments = [batch + 24 * 8 * n, 8, 0, 0, 0];
        [Hypercall::MmuextOp.raw(), 0, 0].into_iter().chain(arguments)
    };
    let list: Vec<u64> = (0..MAX_ENTRIES).flat_map(entry).collect();
    let list = guest.put(4, list);
    let (result, done) = guest.call(Hypercall::Multicall, [list, MAX_ENTRIES, 0]);
    assert_eq!(result, Err(Errno::Again));
    assert!((1..=2).contains(&done), "{done} entries");
    assert!(guest.tables(Level::L1) <= 16);
    let (result, _) = guest.call(Hypercall::Multicall, [list + 64 * done, 1, 0]);
    assert_eq!(result, Ok(0), "the rest can be asked for");
    guest.audit();
}

#[test]
fn a_list_of_refused_pins_has_the_share_of_one_call_too() {
    let mut guest = Guest::new();
    let bad = guest.spare[0];
    guest.world.mem.write(bad, 511, 0x81);
    let pin = [u64::from(MmuextCommand::PinL1.raw()), u64::from(bad.0), 0];
    let batch = guest.put(0, pin);
    let entry = [Hypercall::MmuextOp.raw(), 0, 0, batch, 1, 0, 0, 0];
    let list: Vec<u64> = (0..MAX_ENTRIES).flat_map(|_| entry).collect();
    let list = guest.put(4, list);
    let (result, done) = guest.call(Hypercall::Multicall, [list, MAX_ENTRIES, 0]);
    assert_eq!(result, Err(Errno::Again));
    assert!(done <= 16, "{done} entries");
    guest.audit();
}

#[test]
fn frames_given_up_and_taken_in_a_list_have_the_share_of_one_call() {
    let mut guest = Guest::new();
    let numbers: Vec<u64> = guest.spare.iter().map(|mfn| u64::from(mfn.0)).collect();
    let array = guest.put(0, numbers);
    let entry = |n: u64| {
        let command = if n.is_multiple_of(2) {
            MemoryOp::DecreaseReservation
        } else {
            MemoryOp::IncreaseReservation
        };
        let arguments = [command.raw(), array, 512, 0, 0];
        [Hypercall::MemoryOp.raw(), 0, 0].into_iter().chain(arguments)
    };
    let list: Vec<u64> = (0..MAX_ENTRIES).flat_map(entry).collect();
    let list = guest.put(4, list);
    let owned = guest.memory().owned();
    let (result, done) = guest.call(Hypercall::Multicall, [list, MAX_ENTRIES, 0]);
    assert_eq!((result, done), (Err(Errno::Again), 1));
    assert!(owned - guest.memory().owned() <= 512);
    guest.audit();
}

#[test]
fn the_cheapest_calls_fill_a_list() {
    let mut guest = Guest::new();
    let entry = [Hypercall::XenVersion.raw(), 0, 0, 0, 0, 0, 0, 0];
    let list: Vec<u64> = (0..MAX_ENTRIES).flat_map(|_| entry).collect();
    let list = guest.put(4, list);
    assert_eq!(
        guest.call(Hypercall::Multicall, [list, MAX_ENTRIES, 0]),
        (Ok(0), MAX_ENTRIES)
    );
}

#[test]
fn a_balloon_call_in_a_list_ends_with_the_share_of_all() {
    let mut guest = Guest::new();
    let numbers: Vec<u64> = guest.spare.iter().map(|mfn| u64::from(mfn.0)).collect();
    let array = guest.put(0, numbers);
    let list = [
        Hypercall::MemoryOp.raw(),
        0,
        0,
        MemoryOp::DecreaseReservation.raw(),
        array,
        512,
        0,
        0,
    ];
    let list = guest.put(4, list);
    let owned = guest.memory().owned();
    assert_eq!(guest.call(Hypercall::Multicall, [list, 1, 0]), (Ok(0), 1));
    let given = guest.world.mem.read(guest.pages[4], 1);
    // To be in a list has its price too.
    assert!((256..512).contains(&given), "{given} frames");
    assert_eq!(u64::from(owned - guest.memory().owned()), given);
    guest.audit();
}

#[test]
fn a_tree_is_taken_apart_as_far_as_the_share_of_one_call_goes() {
    const TABLES: usize = 64;
    let mut guest = Guest::new();
    let Guest {
        world,
        domains,
        spare,
        ..
    } = &mut guest;
    let (memory, root) = (&mut domains[0].memory, spare[TABLES]);
    for (index, &table) in spare[..TABLES].iter().enumerate() {
        world.mem.write(root, index, table.address() | 7);
        paging::pin(&mut world.frames, &mut world.mem, memory, table, Level::L1)
            .unwrap()
            .by_cr3_write();
    }
    paging::pin(&mut world.frames, &mut world.mem, memory, root, Level::L2)
        .unwrap()
        .by_cr3_write();
    for &table in &spare[..TABLES] {
        paging::unpin(&mut world.frames, memory, table)
            .unwrap()
            .by_cr3_write();
    }
    let unpin = [u64::from(MmuextCommand::Unpin.raw()), u64::from(root.0), 0];
    let batch = guest.put(0, unpin);
    assert_eq!(guest.call(Hypercall::MmuextOp, [batch, 1, 0]), (Ok(0), 1));
    let left = guest.tables(Level::L1);
    assert!(
        (TABLES - 16..TABLES).contains(&left),
        "{left} of {TABLES} are left"
    );
    assert!(guest.memory().has_leaving_tables(), "for the domain's own time");
    guest.audit();
}

fn sched_op(bench: &mut Bench, op: SchedOp, first: u64, second: u64) -> Outcome {
    let arguments = [op.raw(), first, second, 0, 0];
    let number = Hypercall::SchedOp.raw();
    dispatch(&mut bench.world, &mut bench.domains, 0, number, arguments)
}

const REFUSED: Outcome = Outcome::refused(Errno::Invalid);

#[test]
fn a_domain_sleeps_for_known_conditions() {
    let mut bench = Bench::new(1);
    for mask in [8, WAKE_INPUT | 8, 1 << 63, u64::MAX] {
        assert_eq!(
            sched_op(&mut bench, SchedOp::Block, 5, mask),
            REFUSED,
            "{mask:#x}"
        );
    }
    let sleeps = |mask| Outcome::Leave(Leave::Block { timeout_ns: 5, mask });
    assert_eq!(
        sched_op(&mut bench, SchedOp::Block, 5, WAKE_INPUT),
        sleeps(WAKE_INPUT)
    );
    assert_eq!(sched_op(&mut bench, SchedOp::Block, 5, 0), sleeps(WAKE_DEFAULT));
}

#[test]
fn who_would_sleep_for_what_is_there_is_told_at_once() {
    let mut bench = Bench::new(1);
    let holds = |detail| Outcome::Return(Answer { value: 0, detail });
    assert_eq!(
        sched_op(&mut bench, SchedOp::Block, 0, WAKE_OUTPUT | WAKE_INPUT),
        holds(WAKE_OUTPUT)
    );
    bench.domains[0].console.input.push(b"k");
    let typed = WAKE_INPUT | WAKE_OUTPUT;
    assert_eq!(sched_op(&mut bench, SchedOp::Block, 0, 0), holds(typed));
    bench.set_shared(0, 0, 1);
    assert_eq!(
        sched_op(&mut bench, SchedOp::Block, 0, WAKE_EVENT),
        holds(typed | WAKE_EVENT)
    );
}

#[test]
fn who_sleeps_for_events_can_be_told_of_them() {
    const MASKED: u64 = 0x100;
    let mut bench = Bench::new(1);
    bench.set_shared(0, 0, MASKED);
    let outcome = sched_op(&mut bench, SchedOp::Block, 0, WAKE_INPUT);
    assert!(matches!(outcome, Outcome::Leave(Leave::Block { .. })));
    assert_eq!(bench.shared(0, 0), MASKED, "not who sleeps for something else");
    let outcome = sched_op(&mut bench, SchedOp::Block, 0, WAKE_EVENT);
    assert!(matches!(outcome, Outcome::Leave(Leave::Block { .. })));
    assert_eq!(bench.shared(0, 0), 0);
}

#[test]
fn a_domain_ends_for_a_known_reason() {
    let mut bench = Bench::new(1);
    for reason in [2, 4, 7, 1 << 32, u64::MAX] {
        assert_eq!(sched_op(&mut bench, SchedOp::Shutdown, reason, 9), REFUSED);
    }
    let reason = ShutdownReason::Crash;
    assert_eq!(
        sched_op(&mut bench, SchedOp::Shutdown, reason.raw(), 9),
        Outcome::Leave(Leave::Shutdown { reason, code: 9 })
    );
}
