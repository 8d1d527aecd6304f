//! What ring 1 can do with each page of the slot, what its words say, and what a new life begins with.
use super::*;
use crate::testing::world::Bench;
use abi::layout::PAGE_SIZE;

const USER: u64 = 1 << 2;

/// What paging lets ring 1 do with a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rights {
    Read,
    Write,
    Execute,
    WriteAndExecute,
}

fn rights(writable: bool, executable: bool) -> Rights {
    match (writable, executable) {
        (false, false) => Rights::Read,
        (true, false) => Rights::Write,
        (false, true) => Rights::Execute,
        (true, true) => Rights::WriteAndExecute,
    }
}

/// The present entries of a table.
fn entries(bench: &Bench, table: Mfn) -> Vec<(usize, u64)> {
    let words = bench.world.mem.words(table).iter().copied().enumerate();
    words.filter(|(_, word)| word & PRESENT != 0).collect()
}

fn frame(entry: u64) -> Mfn {
    Mfn::containing(entry & abi::mmu::PTE_FRAME).unwrap()
}

/// A word of the read-only page.
fn word(bench: &Bench, offset: usize) -> u64 {
    assert!(offset.is_multiple_of(8));
    let page = bench.domains[0].vcpu.set.read_only;
    bench.world.mem.read(page, offset / 8)
}

#[test]
fn ring_1_writes_two_pages_of_its_own_and_executes_the_text_alone() {
    let bench = Bench::new(1);
    let set = bench.domains[0].vcpu.set;
    let common = &bench.world.common;
    let top = entries(&bench, set.l3);
    let [(text, l2), (machine_to_pfn, shared)] = top[..] else {
        panic!("{top:x?}")
    };
    assert_eq!(text, Level::L3.index_of(SWITCHER_TEXT));
    assert_eq!(machine_to_pfn, Level::L3.index_of(MACHINE_TO_PFN));
    assert_eq!(frame(shared), common.machine_to_pfn);
    assert_eq!(shared & (WRITABLE | USER), 0, "all guests share this table");

    let middle = entries(&bench, frame(l2));
    let [(_, l1)] = middle[..] else {
        panic!("{middle:x?}")
    };
    let first = SWITCHER_TEXT & !(ENTRIES as u64 * PAGE_SIZE - 1);
    let pages: Vec<(u64, Mfn, Rights)> = entries(&bench, frame(l1))
        .into_iter()
        .map(|(index, entry)| {
            let writable = set.slot_entry() & l2 & l1 & entry & WRITABLE != 0;
            let executable = (set.slot_entry() | l2 | l1 | entry) & NO_EXECUTE == 0;
            assert_eq!(entry & USER, 0);
            let address = first + index as u64 * PAGE_SIZE;
            (address, frame(entry), rights(writable, executable))
        })
        .collect();
    let expected = [
        (SWITCHER_TEXT, common.text, Rights::Execute),
        (SWITCHER_RO, set.read_only, Rights::Read),
        (SWITCHER_RW, set.read_write, Rights::Write),
        (TIME_PAGE, set.time, Rights::Read),
        (SHARED_INFO, set.shared_info, Rights::Write),
    ];
    assert_eq!(pages, expected);
}

#[test]
fn no_port_is_allowed() {
    let bench = Bench::new(1);
    let io_map = word(&bench, TSS_OFFSET + offset_of!(Tss, io_map) - 2) >> 16 & 0xffff;
    assert!(io_map > descriptor::TSS_LIMIT);
}

#[test]
fn a_vector_without_a_handler_has_no_selector() {
    let bench = Bench::new(1);
    for vector in 0..EXCEPTIONS {
        let slot = offset_of!(ReadOnly, traps) + 16 * vector;
        assert_eq!(
            [word(&bench, slot), word(&bench, slot + 8)],
            [vector as u64, 0],
            "the address is for the crash record"
        );
    }
}

#[test]
fn traps_and_system_calls_enter_on_the_same_stack() {
    let mut bench = Bench::new(1);
    bench.domains[0]
        .vcpu
        .set_kernel_stack(&mut bench.world.mem, 0x7000);
    let frame = offset_of!(ReadOnly, syscall_frame);
    assert_eq!(word(&bench, frame + 24), 0x7000);
    assert_eq!(word(&bench, RSP1_OFFSET), 0x7000);
}

#[test]
fn a_new_life_finds_nothing_of_the_last() {
    let mut bench = Bench::new(1);
    let Bench { world, domains } = &mut bench;
    let vcpu = &mut domains[0].vcpu;
    let before = vcpu.set.frames().map(|frame| *world.mem.words(frame));
    for frame in [
        vcpu.set.read_only,
        vcpu.set.read_write,
        vcpu.set.time,
        vcpu.set.shared_info,
        vcpu.vector_state,
    ] {
        for index in 0..ENTRIES {
            world.mem.write(frame, index, 0x5ec2e7);
        }
    }
    let entry = [
        u64::from(abi::trap::vector::PF) | u64::from(KERNEL_CS) << 16,
        0x40_1000,
    ];
    vcpu.traps = TrapTable::EMPTY.with_entries([Some(entry)]).unwrap();
    vcpu.syscall_entry = Some(1);
    vcpu.upcall = Some(Upcall {
        address: 1,
        region_start: 0,
        region_end: 0,
    });
    vcpu.timer_ns = Some(1);
    vcpu.bases = [1, 2];
    vcpu.kernel_stack = 1;
    vcpu.registers.rbx = 0x5ec2e7;

    vcpu.reset(&mut world.mem, &world.common);
    let after = vcpu.set.frames().map(|frame| *world.mem.words(frame));
    assert!(before == after);
    assert_eq!(world.mem.words(vcpu.vector_state), &[0; ENTRIES]);
    assert!(vcpu.traps == TrapTable::EMPTY);
    assert_eq!(
        (vcpu.syscall_entry, vcpu.upcall, vcpu.timer_ns),
        (None, None, None)
    );
    assert_eq!(
        (vcpu.bases, vcpu.kernel_stack, vcpu.registers.rbx),
        ([0; 2], 0, 0)
    );
}
