//! What is registered is what was checked, as a whole or not at all; what the console takes and gives.
use crate::testing::world::{Bench, at};
use crate::trap::table::Handler;
use abi::callback::{CallbackOp, CallbackType};
use abi::console::ConsoleIo;
use abi::errno::Errno;
use abi::hypercall::{Hypercall, SegmentBase};
use abi::layout::{SLOT_BASE, SLOT_END};
use abi::selector::KERNEL_CS;
use abi::trap::{MAX_ENTRIES, TrapRefusal, vector};

const HANDLER: u64 = 0x40_1000;
/// Addresses that no guest code can have.
const NOWHERE: [u64; 4] = [0, 1 << 47, SLOT_BASE, SLOT_END - 1];

/// The two words of a trap table's entry for a bounced exception.
fn trap(vector: u8, cs: u16, address: u64) -> [u64; 2] {
    [u64::from(vector) | u64::from(cs) << 16, address]
}

fn set_trap_table(bench: &mut Bench, table: u64, count: u64) -> (Result<u64, Errno>, u64) {
    bench.ask(0, Hypercall::SetTrapTable, &[table, count])
}

#[test]
fn a_trap_table_with_one_bad_entry_changes_nothing() {
    let mut bench = Bench::new(1);
    let good = [
        trap(vector::PF, KERNEL_CS, HANDLER),
        trap(vector::GP, KERNEL_CS, HANDLER),
    ];
    bench.write(0, at(0, 0), good.as_flattened());
    assert_eq!(set_trap_table(&mut bench, at(0, 0), 2), (Ok(0), 0));
    let read_only = bench.domains[0].vcpu.set.frames()[3];
    let (table, page) = (
        bench.domains[0].vcpu.traps.clone(),
        *bench.world.mem.words(read_only),
    );
    // The bad one last, first, and with others on both sides.
    for bad in 0..3 {
        let mut entries = [trap(vector::PF, KERNEL_CS, HANDLER + 16); 3];
        entries[bad] = trap(vector::UD, KERNEL_CS, SLOT_BASE);
        bench.write(0, at(0, 0), entries.as_flattened());
        let detail = bad as u64 | u64::from(TrapRefusal::AddressForbidden.raw()) << 32;
        assert_eq!(
            set_trap_table(&mut bench, at(0, 0), 3),
            (Err(Errno::Invalid), detail)
        );
        assert!(bench.domains[0].vcpu.traps == table);
        assert!(*bench.world.mem.words(read_only) == page);
    }
}

#[test]
fn a_trap_table_that_cannot_be_read_whole_changes_nothing() {
    let mut bench = Bench::new(1);
    // Ends on the page that is absent, behind one that is read-only.
    let table = at(4, 0) - 16;
    bench.write(0, table, &[0, 0]);
    let detail = 1 | u64::from(TrapRefusal::Unreadable.raw()) << 32;
    assert_eq!(set_trap_table(&mut bench, table, 2), (Err(Errno::Fault), detail));
    assert_eq!(bench.domains[0].vcpu.traps.handler(0), Handler::None);
}

#[test]
fn a_trap_table_has_256_entries_at_most() {
    let mut bench = Bench::new(1);
    assert_eq!(set_trap_table(&mut bench, at(0, 0), MAX_ENTRIES), (Ok(0), 0));
    for count in [MAX_ENTRIES + 1, 1 << 32, u64::MAX] {
        assert_eq!(
            set_trap_table(&mut bench, at(0, 0), count),
            (Err(Errno::TooBig), 0)
        );
    }
}

#[test]
fn a_refused_stack_leaves_the_last_one() {
    let mut bench = Bench::new(1);
    assert_eq!(bench.ask(0, Hypercall::StackSwitch, &[0x7000]).0, Ok(0));
    for stack in [0, 16, 0x7008, 1 << 47, SLOT_BASE, SLOT_END] {
        let asked = bench.ask(0, Hypercall::StackSwitch, &[stack]).0;
        assert_eq!(asked, Err(Errno::Invalid), "{stack:#x}");
        assert_eq!(bench.domains[0].vcpu.kernel_stack, 0x7000);
    }
}

#[test]
fn a_segment_base_is_an_address_outside_the_slot() {
    let mut bench = Bench::new(1);
    for base in [1 << 47, 1 << 63, SLOT_BASE, SLOT_END - 1] {
        for which in [SegmentBase::Fs, SegmentBase::Gs] {
            let asked = bench.ask(0, Hypercall::SetSegmentBase, &[which.raw(), base]).0;
            assert_eq!(asked, Err(Errno::Invalid), "{base:#x}");
        }
    }
    assert_eq!(
        bench.ask(0, Hypercall::SetSegmentBase, &[2, 0]).0,
        Err(Errno::Invalid)
    );
    assert!(bench.world.after.is_nothing());
    let gs = SegmentBase::Gs.raw();
    assert_eq!(bench.ask(0, Hypercall::SetSegmentBase, &[gs, 0x5000]).0, Ok(0));
    assert_eq!(bench.world.after.take_bases(), [None, Some(0x5000)]);
}

fn register(bench: &mut Bench, kind: CallbackType, addresses: [u64; 3]) -> Result<u64, Errno> {
    let [address, start, end] = addresses;
    let arguments = [CallbackOp::Register.raw(), kind.raw(), address, start, end];
    bench.ask(0, Hypercall::CallbackOp, &arguments).0
}

#[test]
fn a_syscall_enters_where_guest_code_can_be() {
    let mut bench = Bench::new(1);
    assert_eq!(
        register(&mut bench, CallbackType::Syscall, [HANDLER, 0, 0]),
        Ok(0)
    );
    for address in NOWHERE {
        assert_eq!(
            register(&mut bench, CallbackType::Syscall, [address, 0, 0]),
            Err(Errno::Invalid)
        );
        assert_eq!(bench.domains[0].vcpu.syscall_entry, Some(HANDLER));
    }
}

#[test]
fn an_upcall_and_its_region_lie_where_guest_code_can_be() {
    let mut bench = Bench::new(1);
    let good = [HANDLER, HANDLER + 16, HANDLER + 32];
    assert_eq!(register(&mut bench, CallbackType::Event, good), Ok(0));
    let before = bench.domains[0].vcpu.upcall;
    assert!(before.is_some());
    let [address, start, end] = good;
    let elsewhere = NOWHERE.into_iter().flat_map(|bad| {
        [
            [bad, start, end],
            [address, bad, end.max(bad + 1)],
            [address, start, bad],
        ]
    });
    let upside_down = [[address, end, start], [address, start, start]];
    for addresses in elsewhere.chain(upside_down) {
        let asked = register(&mut bench, CallbackType::Event, addresses);
        assert_eq!(asked, Err(Errno::Invalid), "{addresses:x?}");
        assert_eq!(bench.domains[0].vcpu.upcall, before);
    }
    assert_eq!(
        register(&mut bench, CallbackType::Event, [address, 0, 0]),
        Ok(0),
        "no region"
    );
}

fn console(bench: &mut Bench, op: ConsoleIo, count: u64, buffer: u64) -> Result<u64, Errno> {
    bench.ask(0, Hypercall::ConsoleIo, &[op.raw(), count, buffer]).0
}

#[test]
fn the_console_takes_what_fits_and_says_how_much() {
    let mut bench = Bench::new(1);
    let room = bench.domains[0].console.output.room() as u64;
    assert_eq!(
        console(&mut bench, ConsoleIo::Write, room - 5, at(0, 0)),
        Ok(room - 5)
    );
    assert_eq!(console(&mut bench, ConsoleIo::Write, 9, at(0, 0)), Ok(5));
    assert_eq!(console(&mut bench, ConsoleIo::Write, 9, at(0, 0)), Ok(0));
    assert_eq!(
        console(&mut bench, ConsoleIo::Write, u64::MAX, u64::MAX),
        Ok(0),
        "nothing is read for it"
    );
}

#[test]
fn text_up_to_a_hole_is_taken_and_none_from_behind_it() {
    let mut bench = Bench::new(1);
    let text = at(4, 0) - 300;
    assert!(!bench.world.has_text);
    assert_eq!(console(&mut bench, ConsoleIo::Write, 1000, text), Ok(256));
    assert!(bench.world.has_text, "it waits to be passed on");
    let rest = console(&mut bench, ConsoleIo::Write, 744, text + 256);
    assert_eq!(rest, Err(Errno::Fault));
    assert_eq!(bench.domains[0].console.output.len(), 256);
}

#[test]
fn keys_that_could_not_be_handed_over_stay_to_be_read() {
    let mut bench = Bench::new(1);
    bench.domains[0].console.input.push(b"eight by");
    for nowhere in [0, at(2, 0), at(4, 0), SLOT_BASE, u64::MAX] {
        let read = console(&mut bench, ConsoleIo::Read, 8, nowhere);
        assert_eq!(read, Err(Errno::Fault), "{nowhere:#x}");
    }
    assert_eq!(console(&mut bench, ConsoleIo::Read, 100, at(0, 0)), Ok(8));
    assert_eq!(bench.read(0, at(0, 0)).to_le_bytes(), *b"eight by");
    assert_eq!(console(&mut bench, ConsoleIo::Read, 100, at(0, 0)), Ok(0));
}
