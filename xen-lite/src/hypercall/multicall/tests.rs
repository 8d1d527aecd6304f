//! Batches that are badly made, badly placed, or change while they are carried out.
use crate::addr::Mfn;
use crate::platform::PhysMem;
use crate::testing::world::{Bench, at};
use abi::console::ConsoleIo;
use abi::errno::Errno;
use abi::event::EventChannelOp;
use abi::hypercall::Hypercall;
use abi::mmu::{MmuextCommand, PTE_FRAME};
use abi::multicall::MAX_ENTRIES;
use abi::sched::{SchedOp, ShutdownReason};

const PORT: u64 = EventChannelOp::AllocUnbound.raw();

/// An entry's words with results that nobody wrote.
fn entry(number: Hypercall, arguments: [u64; 5]) -> [u64; 8] {
    let [a, b, c, d, e] = arguments;
    [number.raw(), 0xeeee, 0xdddd, a, b, c, d, e]
}

/// One that can be seen: it opens a port.
fn visible() -> [u64; 8] {
    entry(Hypercall::EventChannelOp, [PORT, 0, 0, 0, 0])
}

fn opened(bench: &Bench) -> usize {
    let ports = &bench.domains[0].ports;
    (0..64)
        .filter(|port| ports.get(*port) != crate::event::Port::Closed)
        .count()
}

fn results(bench: &Bench, list: u64, index: u64) -> (u64, u64) {
    let entry = list + 64 * index;
    (bench.read(0, entry + 8), bench.read(0, entry + 16))
}

fn batch(bench: &mut Bench, list: u64, count: u64) -> (Result<u64, Errno>, u64) {
    bench.ask(0, Hypercall::Multicall, &[list, count])
}

#[test]
fn entries_are_carried_out_in_order_and_a_refused_one_stops_nobody() {
    let mut bench = Bench::new(1);
    let list = at(0, 0);
    let status = entry(
        Hypercall::EventChannelOp,
        [EventChannelOp::Status.raw(), 1, 0, 0, 0],
    );
    let unknown = [999, 0xeeee, 0xdddd, 0, 0, 0, 0, 0];
    bench.write(0, list, &[status, visible(), unknown, status].concat());
    assert_eq!(batch(&mut bench, list, 4), (Ok(0), 4));
    let no_sys = Errno::NoSys.to_rax();
    let all: Vec<_> = (0..4).map(|index| results(&bench, list, index)).collect();
    assert_eq!(all, [(0, 0), (1, 0), (no_sys, 0), (1, 0)]);
}

#[test]
fn nothing_and_too_much() {
    let mut bench = Bench::new(1);
    assert_eq!(
        batch(&mut bench, u64::MAX, 0),
        (Ok(0), 0),
        "an empty list is not looked at"
    );
    assert_eq!(
        batch(&mut bench, at(0, 0), MAX_ENTRIES + 1),
        (Err(Errno::TooBig), 0)
    );
    assert_eq!(batch(&mut bench, at(0, 0), u64::MAX), (Err(Errno::TooBig), 0));
}

#[test]
fn a_batch_in_a_batch_and_calls_that_may_not_come_back_are_refused() {
    let mut bench = Bench::new(1);
    let list = at(0, 0);
    let calls = [
        entry(Hypercall::Multicall, [list, 1, 0, 0, 0]),
        entry(Hypercall::SchedOp, [SchedOp::Yield.raw(), 0, 0, 0, 0]),
        entry(Hypercall::SchedOp, [SchedOp::Block.raw(), 0, 0, 0, 0]),
        entry(
            Hypercall::SchedOp,
            [SchedOp::Shutdown.raw(), ShutdownReason::Poweroff.raw(), 0, 0, 0],
        ),
        entry(
            Hypercall::SchedOp,
            [SchedOp::Shutdown.raw(), ShutdownReason::Crash.raw(), 0, 0, 0],
        ),
        visible(),
    ];
    bench.write(0, list, &calls.concat());
    bench.set_shared(0, 0, 0x100);
    assert_eq!(batch(&mut bench, list, 6), (Ok(0), 6));
    for index in 0..5 {
        assert_eq!(results(&bench, list, index), (Errno::Perm.to_rax(), 0));
    }
    assert_eq!(results(&bench, list, 5), (1, 0));
    assert_eq!(
        bench.shared(0, 0),
        0x100,
        "a refused wait has not cleared the mask"
    );
}

#[test]
fn a_list_that_cannot_be_read_does_nothing() {
    for list in [
        0,
        at(4, 0),
        at(0, 0).wrapping_sub(8),
        0x0000_8000_0000_0000,
        u64::MAX - 7,
        u64::MAX,
        abi::layout::SHARED_INFO,
        abi::layout::SWITCHER_RO,
    ] {
        let mut bench = Bench::new(1);
        assert_eq!(batch(&mut bench, list, 2), (Err(Errno::Fault), 0), "{list:#x}");
        assert_eq!(opened(&bench), 0);
    }
}

#[test]
fn a_list_that_ends_early_is_carried_out_until_there() {
    let mut bench = Bench::new(1);
    // Two entries and a half before the absent page; the page before it is a table.
    let list = at(2, 0).wrapping_sub(64);
    bench.write(0, list, &visible());
    assert_eq!(
        batch(&mut bench, list, 2),
        (Err(Errno::Fault), 2),
        "the second lies on the read-only page: carried out, its result not written"
    );
}

#[test]
fn a_list_does_not_go_on_at_address_0() {
    let mut bench = Bench::new(1);
    // The same tables also lead from address 0 to page 0, and from the last page to page 1.
    let mut table = bench.domains[0].memory.root().unwrap();
    let mut updates = Vec::new();
    for _ in 0..3 {
        let entry = bench.world.mem.read(table, 3);
        updates.extend([0, 511].map(|index| [table.address() + 8 * index, entry]));
        table = Mfn::containing(entry & PTE_FRAME).unwrap();
    }
    let last = bench.page(0, at(1, 0)).address() | 3;
    updates.push([table.address() + 8 * 511, last]);
    bench.write(0, at(5, 0), updates.as_flattened());
    let count = updates.len() as u64;
    assert_eq!(
        bench.ask(0, Hypercall::MmuUpdate, &[at(5, 0), count]),
        (Ok(0), count)
    );

    bench.write(0, at(1, 4096 - 64), &visible());
    bench.write(0, at(0, 0), &visible());
    let list = u64::MAX - 63;
    assert_eq!(batch(&mut bench, list, 2), (Err(Errno::Fault), 1));
    assert_eq!(opened(&bench), 1);
}

#[test]
fn a_call_whose_result_cannot_be_written_counts_as_carried_out() {
    let mut bench = Bench::new(1);
    // The read-only page is filled through its frame.
    let list = at(2, 128);
    bench.write(0, list, &[visible(), visible()].concat());
    assert_eq!(batch(&mut bench, list, 2), (Err(Errno::Fault), 1));
    assert_eq!(opened(&bench), 1, "one, and the count says so");
    assert_eq!(results(&bench, list, 0), (0xeeee, 0xdddd));
    // Half on a page that takes it, half on one that does not.
    let list = at(2, 0) - 16;
    bench.write(0, list, &visible());
    assert_eq!(batch(&mut bench, list, 1), (Err(Errno::Fault), 1));
    assert_eq!(opened(&bench), 2);
}

#[test]
fn an_entry_that_takes_the_lists_page_away_ends_the_batch_there() {
    let mut bench = Bench::new(1);
    let list = at(0, 0);
    let unmap = entry(Hypercall::UpdateVaMapping, [list, 0, 0, 0, 0]);
    bench.write(0, list, &[visible(), unmap, visible()].concat());
    assert_eq!(batch(&mut bench, list, 3), (Err(Errno::Fault), 2));
    assert_eq!(opened(&bench), 1);
}

#[test]
fn an_entry_that_turns_the_list_into_a_table_is_refused_and_into_read_only_ends_the_batch() {
    let mut bench = Bench::new(1);
    let list = at(0, 0);
    let page = bench.page(0, list);
    let read_only = entry(Hypercall::UpdateVaMapping, [list, page.address() | 1, 0, 0, 0]);
    bench.write(0, list, &[read_only, visible()].concat());
    assert_eq!(batch(&mut bench, list, 2), (Err(Errno::Fault), 1));
    assert_eq!(results(&bench, list, 0), (0xeeee, 0xdddd));
    assert_eq!(opened(&bench), 0);
}

#[test]
fn an_entry_may_edit_those_after_it_and_what_was_copied_is_what_is_done() {
    let mut bench = Bench::new(1);
    let list = at(0, 0);
    // Typed: the words of another call. Entry 0 reads them over entry 1, and over its own number.
    let other = entry(
        Hypercall::EventChannelOp,
        [EventChannelOp::BindVirq.raw(), 0, 0, 0, 0],
    );
    for word in other {
        assert_eq!(bench.domains[0].console.input.push(&word.to_le_bytes()), 8);
    }
    let read = ConsoleIo::Read.raw();
    let edit = entry(Hypercall::ConsoleIo, [read, 64, list + 64, 0, 0]);
    bench.write(0, list, &[edit, visible()].concat());
    assert_eq!(batch(&mut bench, list, 2), (Ok(0), 2));
    assert_eq!(results(&bench, list, 0), (64, 0));
    assert_eq!(
        bench.domains[0].ports.get(1),
        crate::event::Port::Virq(abi::event::Virq::Timer)
    );
    // Over itself: the result is written last, the arguments are what was read.
    for word in other {
        assert_eq!(bench.domains[0].console.input.push(&word.to_le_bytes()), 8);
    }
    let edit = entry(Hypercall::ConsoleIo, [read, 64, list, 0, 0]);
    bench.write(0, list, &edit);
    assert_eq!(batch(&mut bench, list, 1), (Ok(0), 1));
    assert_eq!(results(&bench, list, 0), (64, 0));
    assert_eq!(bench.read(0, list), Hypercall::EventChannelOp.raw());
}

#[test]
fn results_that_overlap_the_next_entry_are_what_the_next_entry_is() {
    let mut bench = Bench::new(1);
    let list = at(0, 0);
    // Misaligned lists are lists: byte by byte.
    bench.write(0, list, &[0; 24]);
    for odd in [1, 3, 7] {
        let version = entry(Hypercall::XenVersion, [0; 5]);
        let mut bytes = vec![0_u8; odd];
        bytes.extend(version.iter().flat_map(|word| word.to_le_bytes()));
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let words: Vec<u64> = bytes
            .as_chunks::<8>()
            .0
            .iter()
            .map(|word| u64::from_le_bytes(*word))
            .collect();
        bench.write(0, list, &words);
        assert_eq!(batch(&mut bench, list + odd as u64, 1), (Ok(0), 1));
        let shifted = bench.read(0, list + 8) >> (8 * odd) | bench.read(0, list + 16) << (64 - 8 * odd);
        assert_eq!(shifted, crate::hypercall::VERSION);
    }
}

#[test]
fn what_entries_leave_to_be_done_is_left_by_the_batch() {
    let mut bench = Bench::new(1);
    let list = at(0, 0);
    let timer = entry(Hypercall::SetTimerOp, [5, 0, 0, 0, 0]);
    let write = entry(Hypercall::ConsoleIo, [ConsoleIo::Write.raw(), 1, at(1, 0), 0, 0]);
    let base = entry(Hypercall::SetSegmentBase, [1, 0x1000, 0, 0, 0]);
    bench.write(0, list, &[timer, write, base].concat());
    assert_eq!(batch(&mut bench, list, 3), (Ok(0), 3));
    let after = &mut bench.world.after;
    assert_eq!(after.take_bases(), [None, Some(0x1000)]);
    assert!(after.take_notified() && after.take_written());
    assert!(after.is_nothing());
    assert_eq!(bench.domains[0].vcpu.timer_ns, Some(5));
}

#[test]
fn no_timer_is_earlier_than_the_machine_knows() {
    let mut bench = Bench::new(2);
    for (domain, deadline, next) in [(0, 0, u64::MAX), (1, 9, 9), (0, 7, 7), (0, 8, 7), (0, 0, 7)] {
        let answer = bench.ask_quick(domain, Hypercall::SetTimerOp, &[deadline]);
        assert_eq!(answer, (Ok(0), 0));
        assert_eq!(bench.world.next_timer, next);
    }
    assert_eq!(bench.domains[1].vcpu.timer_ns, Some(9));
}

#[test]
fn a_list_that_is_mapped_elsewhere_meanwhile_goes_on_there() {
    let mut bench = Bench::new(1);
    let list = at(0, 0);
    let (old, new) = (bench.page(0, list), bench.page(0, at(5, 0)));
    let remap = entry(Hypercall::UpdateVaMapping, [list, new.address() | 0b11, 0, 0, 0]);
    let status = entry(
        Hypercall::EventChannelOp,
        [EventChannelOp::Status.raw(), 1, 0, 0, 0],
    );
    bench.write(0, list, &[visible(), remap, status, status].concat());
    bench.write(0, at(5, 0), &[visible(), status, visible(), visible()].concat());
    assert_eq!(batch(&mut bench, list, 4), (Ok(0), 4));
    assert_eq!(opened(&bench), 3, "one of the old list, two of the new");
    let word = |mfn, index| bench.world.mem.read(mfn, index);
    assert_eq!(
        word(old, 1),
        1,
        "the first result was written while the old page was there"
    );
    assert_eq!(
        (word(old, 9), word(old, 17), word(old, 25)),
        (0xeeee, 0xeeee, 0xeeee)
    );
    assert_eq!(
        (word(new, 1), word(new, 9), word(new, 17), word(new, 25)),
        (0xeeee, 0, 2, 3)
    );
}

#[test]
fn a_list_under_another_root_goes_on_there() {
    let mut bench = Bench::new(1);
    let list = at(0, 0);
    let old = bench.page(0, list);
    let new = bench.page(0, at(5, 0));
    let root = bench.second_space(
        0,
        &[
            (0, new.address() | 0b11),
            (1, bench.page(0, at(1, 0)).address() | 0b11),
        ],
    );
    bench.write(
        0,
        at(1, 0),
        &[u64::from(MmuextCommand::NewBaseptr.raw()), u64::from(root.0), 0],
    );
    let switch = entry(Hypercall::MmuextOp, [at(1, 0), 1, 0, 0, 0]);
    let none = [0; 8];
    bench.write(0, list, &[switch, none, none].concat());
    bench.write(0, at(5, 0), &[none, visible(), visible()].concat());
    assert_eq!(batch(&mut bench, list, 3), (Ok(0), 3));
    assert_eq!(opened(&bench), 2, "the entries are the new space's");
    let word = |mfn, index| bench.world.mem.read(mfn, index);
    assert_eq!((word(old, 1), word(old, 9), word(old, 17)), (0xeeee, 0, 0));
    assert_eq!((word(new, 1), word(new, 9), word(new, 17)), (0, 1, 2));
}

#[test]
fn an_entry_that_clears_the_accessed_and_dirty_bits_of_its_list_finds_them_set_again() {
    let mut bench = Bench::new(1);
    let list = at(0, 0);
    let page = bench.page(0, list);
    let table = bench.page(0, at(3, 0));
    let clear = entry(Hypercall::UpdateVaMapping, [list, page.address() | 0b11, 0, 0, 0]);
    bench.write(0, list, &[visible(), clear].concat());
    assert_eq!(batch(&mut bench, list, 2), (Ok(0), 2));
    assert_eq!(
        bench.world.mem.read(table, 0),
        page.address() | 0b110_0011,
        "the result was written after"
    );
}
