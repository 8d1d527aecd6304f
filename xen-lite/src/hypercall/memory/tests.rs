//! Page tables by number and by address; the balloon: what may be given up, what is had back, and the machine-to-pfn table.
use crate::addr::Mfn;
use crate::paging::Owner;
use crate::platform::PhysMem;
use crate::testing::world::{Bench, FRAMES, at};
use abi::errno::Errno;
use abi::hypercall::Hypercall;
use abi::layout::{SLOT_BASE, SWITCHER_RW};
use abi::memory::{MAX_FRAMES, MemoryOp};
use abi::mmu::{MAX_BATCH, MMU_MACHPHYS_UPDATE, MmuextCommand};

fn memory(bench: &mut Bench, op: MemoryOp, list: u64, count: u64) -> Result<u64, Errno> {
    bench.ask(0, Hypercall::MemoryOp, &[op.raw(), list, count]).0
}

fn increase(bench: &mut Bench, list: u64, count: u64) -> Result<u64, Errno> {
    memory(bench, MemoryOp::IncreaseReservation, list, count)
}

fn decrease(bench: &mut Bench, frames: &[u64]) -> Result<u64, Errno> {
    bench.write(0, at(1, 0), frames);
    memory(
        bench,
        MemoryOp::DecreaseReservation,
        at(1, 0),
        frames.len() as u64,
    )
}

fn machine_to_pfn(bench: &Bench, frame: u64) -> u64 {
    let table = bench.world.common.machine_to_pfn_table;
    bench.world.mem.read(table, frame as usize)
}

#[test]
fn a_domain_gets_frames_of_zeros_up_to_its_maximum_and_no_more() {
    let mut bench = Bench::new(2);
    let all = memory(&mut bench, MemoryOp::MaximumReservation, 0, 0);
    assert_eq!(all, Ok(u64::from(FRAMES) + 2));
    for frame in 0..256 {
        let table = bench.world.common.machine_to_pfn_table;
        bench.world.mem.write(table, frame, 7);
    }
    assert_eq!(increase(&mut bench, at(0, 0), 512), Ok(2));
    assert_eq!(
        memory(&mut bench, MemoryOp::CurrentReservation, 0, 0),
        Ok(u64::from(FRAMES) + 2)
    );
    for n in 0..2 {
        let frame = bench.read(0, at(0, 8 * n));
        assert_eq!(bench.world.mem.words(Mfn(frame as u32)), &[0; 512]);
        assert_eq!(
            machine_to_pfn(&bench, frame),
            u64::MAX,
            "its owner has no number for it yet"
        );
    }
    assert_eq!(increase(&mut bench, at(0, 0), 1), Err(Errno::NoMemory));
    assert_eq!(increase(&mut bench, at(0, 0), 0), Ok(0));
}

#[test]
fn what_is_given_up_is_scrubbed_and_another_domain_may_have_it() {
    let mut bench = Bench::new(2);
    assert_eq!(increase(&mut bench, at(0, 0), 2), Ok(2));
    let frames = [bench.read(0, at(0, 0)), bench.read(0, at(0, 8))];
    for frame in frames {
        bench.world.mem.write(Mfn(frame as u32), 3, 0x5ec2e7);
        let table = bench.world.common.machine_to_pfn_table;
        bench.world.mem.write(table, frame as usize, 7);
    }
    assert_eq!(decrease(&mut bench, &frames), Ok(2));
    for frame in frames {
        assert_eq!(bench.world.frames.owner(Mfn(frame as u32)), Owner::Free);
        assert_eq!(machine_to_pfn(&bench, frame), u64::MAX);
        assert_eq!(bench.world.mem.words(Mfn(frame as u32)), &[0; 512]);
    }
    assert_eq!(decrease(&mut bench, &frames), Err(Errno::Perm), "twice");
}

#[test]
fn frames_in_use_or_not_ones_own_stay() {
    let mut bench = Bench::new(2);
    let used = u64::from(bench.page(0, at(0, 0)).0);
    let read_only = u64::from(bench.page(0, at(2, 0)).0);
    let table = u64::from(bench.page(0, at(3, 0)).0);
    let root = u64::from(bench.domains[0].memory.root().unwrap().0);
    let foreign = u64::from(bench.page(1, at(0, 0)).0);
    let shared = u64::from(bench.domains[0].vcpu.set.shared_info().0);
    let switcher = u64::from(bench.world.common.text.0);
    for (frame, errno) in [
        (used, Errno::Busy),
        (read_only, Errno::Busy),
        (table, Errno::Busy),
        (root, Errno::Busy),
        (foreign, Errno::Perm),
        (shared, Errno::Perm),
        (switcher, Errno::Perm),
        (0, Errno::Perm),
        (255, Errno::Perm),
        (256, Errno::Perm),
        (u64::from(u32::MAX), Errno::Perm),
        (1 << 32, Errno::Invalid),
        (1 << 32 | used, Errno::Invalid),
        (u64::MAX, Errno::Invalid),
    ] {
        assert_eq!(decrease(&mut bench, &[frame]), Err(errno), "{frame:#x}");
    }
    assert_eq!(increase(&mut bench, at(0, 0), 1), Ok(1));
    let free = bench.read(0, at(0, 0));
    assert_eq!(
        decrease(&mut bench, &[free, foreign, free]),
        Ok(1),
        "all before the first that could not be"
    );
}

#[test]
fn a_list_that_cannot_be_accessed_costs_no_frame() {
    let mut bench = Bench::new(1);
    let free = bench.world.frames.free_count();
    for list in [
        0,
        at(2, 0),
        at(3, 0),
        at(4, 0),
        at(2, 0) - 4,
        u64::MAX,
        abi::layout::MACHINE_TO_PFN,
        abi::layout::SHARED_INFO,
        0x0000_8000_0000_0000,
    ] {
        assert_eq!(increase(&mut bench, list, 1), Err(Errno::Fault), "{list:#x}");
        assert_eq!(
            (bench.world.frames.free_count(), bench.domains[0].memory.owned()),
            (free, FRAMES)
        );
    }
    assert_eq!(
        increase(&mut bench, at(2, 0) - 8, 2),
        Ok(1),
        "the second has no place"
    );
    let read = memory(&mut bench, MemoryOp::DecreaseReservation, at(4, 0), 1);
    assert_eq!(read, Err(Errno::Fault));
}

#[test]
fn too_many_and_unknown_commands_are_refused() {
    let mut bench = Bench::new(1);
    for op in [MemoryOp::IncreaseReservation, MemoryOp::DecreaseReservation] {
        assert_eq!(
            memory(&mut bench, op, at(0, 0), MAX_FRAMES + 1),
            Err(Errno::TooBig)
        );
        assert_eq!(memory(&mut bench, op, at(0, 0), u64::MAX), Err(Errno::TooBig));
    }
    for number in [2, 5, 60, 1 << 32, u64::MAX] {
        let asked = bench.ask(0, Hypercall::MemoryOp, &[number, at(0, 0), 1]).0;
        assert_eq!(asked, Err(Errno::NoSys));
    }
}

#[test]
fn a_domain_writes_the_machine_to_pfn_entries_of_its_own_frames_alone() {
    let mut bench = Bench::new(2);
    let own = bench.page(0, at(0, 0));
    let foreign = bench.page(1, at(0, 0));
    let update = |bench: &mut Bench, address: u64| {
        bench.write(0, at(1, 0), &[address | MMU_MACHPHYS_UPDATE, 0x77]);
        bench.ask(0, Hypercall::MmuUpdate, &[at(1, 0), 1])
    };
    assert_eq!(update(&mut bench, own.address()), (Ok(0), 1));
    assert_eq!(machine_to_pfn(&bench, u64::from(own.0)), 0x77);
    let table = *bench.world.mem.words(bench.world.common.machine_to_pfn_table);
    let hypervisors = bench.world.common.text;
    for (address, errno) in [
        (foreign.address(), Errno::Perm),
        (hypervisors.address(), Errno::Perm),
        (0, Errno::Perm),
        (256 << 12, Errno::Perm),
        (u64::MAX << 12, Errno::Invalid),
        (1 << 52, Errno::Invalid),
    ] {
        assert_eq!(update(&mut bench, address), (Err(errno), 0), "{address:#x}");
    }
    let after = bench.world.mem.words(bench.world.common.machine_to_pfn_table);
    assert!(*after == table);
}

#[test]
fn an_update_is_of_a_known_kind() {
    let mut bench = Bench::new(1);
    let own = bench.page(0, at(0, 0));
    let table = bench.page(0, at(3, 0));
    for command in 2..8 {
        for address in [own.address(), table.address()] {
            bench.write(0, at(1, 0), &[address | command, 0]);
            let asked = bench.ask(0, Hypercall::MmuUpdate, &[at(1, 0), 1]);
            assert_eq!(asked, (Err(Errno::NoSys), 0), "{command}");
        }
    }
    assert_eq!(bench.page(0, at(0, 0)), own);
}

#[test]
fn a_batch_has_512_elements_at_most() {
    let mut bench = Bench::new(1);
    for number in [Hypercall::MmuUpdate, Hypercall::MmuextOp] {
        for count in [MAX_BATCH + 1, 1 << 32, u64::MAX] {
            assert_eq!(bench.ask(0, number, &[at(0, 0), count]), (Err(Errno::TooBig), 0));
        }
    }
}

#[test]
fn an_operation_is_taken_word_by_word_as_it_is() {
    let mut bench = Bench::new(1);
    let table = u64::from(bench.page(0, at(3, 0)).0);
    let root = bench.domains[0].memory.root();
    let pin = u64::from(MmuextCommand::PinL1.raw());
    let new_root = u64::from(MmuextCommand::NewBaseptr.raw());
    let number = u64::from(root.unwrap().0);
    for (words, errno) in [
        ([1 << 32 | pin, table, 0], Errno::NoSys),
        ([8, table, 0], Errno::NoSys),
        ([pin, 1 << 32 | table, 0], Errno::Invalid),
        ([pin, table, 1], Errno::Invalid),
        ([u64::from(MmuextCommand::Unpin.raw()), table, 1], Errno::Invalid),
        (
            [u64::from(MmuextCommand::TlbFlushLocal.raw()), 0, 1],
            Errno::Invalid,
        ),
        ([new_root, 1 << 32 | number, 0], Errno::Invalid),
    ] {
        bench.write(0, at(1, 0), &words);
        let asked = bench.ask(0, Hypercall::MmuextOp, &[at(1, 0), 1]);
        assert_eq!(asked, (Err(errno), 0), "{words:x?}");
    }
    bench.write(0, at(1, 0), &[pin, table, 0]);
    assert_eq!(bench.ask(0, Hypercall::MmuextOp, &[at(1, 0), 1]), (Ok(0), 1));
}

#[test]
fn a_new_root_comes_with_a_good_stack_or_with_none() {
    let mut bench = Bench::new(1);
    let root = bench.domains[0].memory.root().unwrap();
    let new_root = |bench: &mut Bench, stack: u64| {
        let command = u64::from(MmuextCommand::NewBaseptr.raw());
        bench.write(0, at(1, 0), &[command, u64::from(root.0), stack]);
        let (result, _) = bench.ask(0, Hypercall::MmuextOp, &[at(1, 0), 1]);
        (result, bench.domains[0].vcpu.kernel_stack)
    };
    assert_eq!(new_root(&mut bench, 0x7000), (Ok(0), 0x7000));
    assert_eq!(new_root(&mut bench, 0), (Ok(0), 0x7000), "0 leaves it");
    for stack in [0x7008, SLOT_BASE, SWITCHER_RW + 4096, 1 << 47, 16] {
        assert_eq!(
            new_root(&mut bench, stack),
            (Err(Errno::Invalid), 0x7000),
            "{stack:#x}"
        );
    }
}

#[test]
fn a_mapping_by_address_has_known_flags() {
    let mut bench = Bench::new(1);
    let page = bench.page(0, at(0, 0));
    for flags in [3, 4, 1 << 63, u64::MAX] {
        let asked = bench.ask(0, Hypercall::UpdateVaMapping, &[at(0, 0), 0, flags]);
        assert_eq!(asked, (Err(Errno::Invalid), 0));
        assert_eq!(bench.page(0, at(0, 0)), page);
    }
    for flags in [0, 1, 2] {
        let word = page.address() | 3;
        let asked = bench.ask(0, Hypercall::UpdateVaMapping, &[at(0, 0), word, flags]);
        assert_eq!(asked, (Ok(0), 0));
    }
}

#[test]
fn requests_whose_page_is_mapped_elsewhere_meanwhile_are_read_there_from_the_next_lot_on() {
    let mut bench = Bench::new(1);
    let list = at(0, 0);
    let new = bench.page(0, at(5, 0));
    let table = bench.page(0, at(3, 0));
    let marks = |mark: u64| [table.address() + 8 * 100, mark << 12];
    // The first request gives the list's address another page; the 32 of its lot were copied before.
    let remap = [table.address(), new.address() | 0b11];
    let mut requests = vec![remap];
    requests.resize(40, marks(1));
    bench.write(0, list, requests.as_flattened());
    let mut others = vec![marks(2); 32];
    others.resize(40, marks(3));
    bench.write(0, at(5, 0), others.as_flattened());
    assert_eq!(bench.ask(0, Hypercall::MmuUpdate, &[list, 40]), (Ok(0), 40));
    assert_eq!(
        bench.world.mem.read(table, 100),
        3 << 12,
        "the old page's first lot, then what the new page holds"
    );
    assert_eq!(bench.page(0, list), new);
}

#[test]
fn requests_whose_page_is_taken_away_meanwhile_end_the_batch_with_their_lot() {
    let mut bench = Bench::new(1);
    let list = at(0, 0);
    let table = bench.page(0, at(3, 0));
    let mut requests = vec![[table.address(), 0]];
    requests.resize(40, [table.address() + 8 * 100, 1 << 12]);
    bench.write(0, list, requests.as_flattened());
    assert_eq!(
        bench.ask(0, Hypercall::MmuUpdate, &[list, 40]),
        (Err(Errno::Fault), 32)
    );
    assert_eq!(bench.world.mem.read(table, 100), 1 << 12);
}
