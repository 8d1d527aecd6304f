//! The order of the checks: a call with two faults is refused for the one that `abi/README.md` lists first.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]
use crate::addr::{Level, Mfn};
use crate::paging::{pin, unpin};
use crate::platform::PhysMem;
use crate::testing::world::{Bench, at};
use abi::callback::{CallbackOp, CallbackType};
use abi::errno::Errno;
use abi::event::{EventChannelOp, PORTS, SharedInfo, Virq};
use abi::hypercall::Hypercall;
use abi::layout::{HYPERVISOR_SLOT, SLOT_BASE};
use abi::memory::{MAX_FRAMES, MemoryOp};
use abi::mmu::{MAX_BATCH, MmuextCommand};
use abi::sched::{SchedOp, WAKE_EVENT};
use core::mem::offset_of;

/// The specification.
const PAGE: &str = include_str!("../../../abi/README.md");

/// Nothing is mapped there.
const NOWHERE: u64 = 0x1000;
const NON_CANONICAL: u64 = 1 << 47;
/// A machine address, or frame, that no entry can name.
const BEYOND: u64 = 1 << 44;
const P: u64 = 1;
const W: u64 = 2;
/// A bit that no present entry may carry.
const BAD: u64 = 1 << 3;
/// Not the guest's.
const FOREIGN: u64 = 0;

/// Some of the first domain's frames.
struct Own {
    root: u64,
    l2: u64,
    l1: u64,
    data: u64,
}

fn own(bench: &Bench) -> Own {
    let root = bench.domains[0].memory.root().unwrap();
    let below = |table: Mfn| bench.world.mem.read(table, 3) >> 12 & 0xffff_ffff;
    let l3 = below(root);
    Own {
        root: u64::from(root.0),
        l2: below(Mfn(u32::try_from(l3).unwrap())),
        l1: u64::from(bench.page(0, at(3, 0)).0),
        data: u64::from(bench.page(0, at(0, 0)).0),
    }
}

/// What the page says under a heading of the third level.
fn section(heading: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("\n### {heading}\n")).unwrap();
    rest.split_once("\n### ").map_or(rest, |(section, _)| section)
}

/// Whether the page says that a call can be refused so, where the call or what its text refers to is described.
fn knows(call: Hypercall, errno: Errno) -> bool {
    let text = section(&format!("`{}`, number {}", call.name(), call.raw()));
    let says = |text: &str| text.contains(errno.name());
    says(text)
        || text.contains("(#entries)") && says(section("Entries"))
        || text.contains("as for `mmu_update`") && knows(Hypercall::MmuUpdate, errno)
}

/// The call is refused so, nothing has changed that the audit could see, and the page knows the error.
#[track_caller]
fn refused(bench: &mut Bench, call: Hypercall, arguments: &[u64], errno: Errno) {
    let answer = bench.ask(0, call, arguments).0;
    assert_eq!(answer, Err(errno), "{} {arguments:x?}", call.name());
    assert!(
        knows(call, errno),
        "the page knows no {} of {}",
        errno.name(),
        call.name()
    );
}

/// One element of a batch, which is refused.
#[track_caller]
fn element(bench: &mut Bench, call: Hypercall, words: &[u64], errno: Errno) {
    bench.write(0, at(1, 0), words);
    refused(bench, call, &[at(1, 0), 1], errno);
}

#[test]
fn mmu_update() {
    let mut bench = Bench::new(2);
    let Own { root, l2, l1, data } = own(&bench);
    let call = Hypercall::MmuUpdate;
    refused(&mut bench, call, &[NOWHERE, MAX_BATCH + 1], Errno::TooBig);
    refused(&mut bench, call, &[NOWHERE, MAX_BATCH], Errno::Fault);
    for (pointer, value, errno) in [
        (BEYOND | 2, P | BAD, Errno::NoSys),
        (BEYOND, P | BAD, Errno::Invalid),
        (FOREIGN << 12, P | BAD, Errno::Perm),
        (data << 12, FOREIGN << 12 | P, Errno::Invalid),
        (root << 12 | (HYPERVISOR_SLOT as u64) << 3, P | BAD, Errno::Perm),
        (l1 << 12, FOREIGN << 12 | P | BAD, Errno::Invalid),
        (l1 << 12, FOREIGN << 12 | P | W, Errno::Perm),
        (l1 << 12, BEYOND << 1 | P | W, Errno::Perm),
        (l1 << 12, l1 << 12 | P | W, Errno::Busy),
        (l2 << 12, FOREIGN << 12 | P | 1 << 7, Errno::Invalid),
        (l2 << 12, FOREIGN << 12 | P, Errno::Perm),
        (l2 << 12, data << 12 | P, Errno::Invalid),
        (BEYOND | 1, 0, Errno::Invalid),
        (FOREIGN << 12 | 1, 0, Errno::Perm),
    ] {
        element(&mut bench, call, &[pointer, value], errno);
    }
}

#[test]
fn mmuext_op() {
    let mut bench = Bench::new(2);
    let Own { root, l1, data, .. } = own(&bench);
    let call = Hypercall::MmuextOp;
    refused(&mut bench, call, &[NOWHERE, MAX_BATCH + 1], Errno::TooBig);
    refused(&mut bench, call, &[NOWHERE, MAX_BATCH], Errno::Fault);
    let pin = |level: u64| u64::from(MmuextCommand::PinL1.raw()) + level - 1;
    let (unpin, go) = (
        u64::from(MmuextCommand::Unpin.raw()),
        u64::from(MmuextCommand::NewBaseptr.raw()),
    );
    let flush = u64::from(MmuextCommand::TlbFlushLocal.raw());
    for (words, errno) in [
        ([1 << 32 | flush, 0, 1], Errno::NoSys),
        ([99, 0, 1], Errno::NoSys),
        ([flush, 0, 1], Errno::Invalid),
        ([pin(1), FOREIGN, 1], Errno::Invalid),
        ([pin(1), 1 << 32, 0], Errno::Invalid),
        ([pin(1), FOREIGN, 0], Errno::Perm),
        ([pin(1), data, 0], Errno::Busy),
        ([pin(2), l1, 0], Errno::Busy),
        ([unpin, FOREIGN, 0], Errno::Perm),
        ([unpin, data, 0], Errno::NoEntry),
        ([go, FOREIGN, 8], Errno::Invalid),
        ([go, FOREIGN, 0], Errno::Perm),
        ([go, l1, 0], Errno::Invalid),
    ] {
        element(&mut bench, call, &words, errno);
    }
    bench.write(0, at(1, 0), &[pin(4), root, 0]);
    assert_eq!(bench.ask(0, call, &[at(1, 0), 1]).0, Ok(0));
    element(&mut bench, call, &[pin(4), root, 0], Errno::Exists);
}

#[test]
fn a_pin_looks_at_entry_256_before_all_others() {
    let mut bench = Bench::new(1);
    let (world, memory) = (&mut bench.world, &mut bench.domains[0].memory);
    let frame = world.frames.alloc(&mut world.mem, memory).unwrap();
    world.mem.write(frame, 0, P | BAD);
    world.mem.write(frame, HYPERVISOR_SLOT, P | BAD);
    let pin = [u64::from(MmuextCommand::PinL4.raw()), u64::from(frame.0), 0];
    element(&mut bench, Hypercall::MmuextOp, &pin, Errno::Perm);
    bench.world.mem.write(frame, HYPERVISOR_SLOT, 0);
    element(&mut bench, Hypercall::MmuextOp, &pin, Errno::Invalid);
}

#[test]
fn a_table_that_is_being_taken_apart_is_refused_as_the_page_says() {
    let mut bench = Bench::new(1);
    let Own { root, l2, .. } = own(&bench);
    let (world, memory) = (&mut bench.world, &mut bench.domains[0].memory);
    let frame = world.frames.alloc(&mut world.mem, memory).unwrap();
    pin(&mut world.frames, &mut world.mem, memory, frame, Level::L1)
        .unwrap()
        .by_cr3_write();
    unpin(&mut world.frames, memory, frame).unwrap().by_cr3_write();
    let leaving = u64::from(frame.0);
    let update = Hypercall::MmuUpdate;
    element(&mut bench, update, &[leaving << 12, 0], Errno::Again);
    element(&mut bench, update, &[l2 << 12, leaving << 12 | P], Errno::Again);
    element(
        &mut bench,
        update,
        &[root << 12, leaving << 12 | P],
        Errno::Invalid,
    );
    let map = [at(4, 0), leaving << 12 | P | W, 0];
    refused(&mut bench, Hypercall::UpdateVaMapping, &map, Errno::Busy);
    for (command, errno) in [
        (MmuextCommand::PinL1, Errno::Again),
        (MmuextCommand::PinL2, Errno::Busy),
        (MmuextCommand::Unpin, Errno::NoEntry),
        (MmuextCommand::NewBaseptr, Errno::Invalid),
    ] {
        let operation = [u64::from(command.raw()), leaving, 0];
        element(&mut bench, Hypercall::MmuextOp, &operation, errno);
    }
    bench.write(0, at(1, 0), &[leaving]);
    let give_up = [MemoryOp::DecreaseReservation.raw(), at(1, 0), 1];
    refused(&mut bench, Hypercall::MemoryOp, &give_up, Errno::Busy);
}

#[test]
fn update_va_mapping() {
    let mut bench = Bench::new(2);
    let call = Hypercall::UpdateVaMapping;
    let Own { l1, .. } = own(&bench);
    for (arguments, errno) in [
        ([SLOT_BASE, P | BAD, 3], Errno::Invalid),
        ([NON_CANONICAL, P | BAD, 0], Errno::Invalid),
        ([SLOT_BASE, P | BAD, 0], Errno::Perm),
        ([NOWHERE, P | BAD, 0], Errno::NoEntry),
        ([at(4, 0), FOREIGN << 12 | P | BAD, 0], Errno::Invalid),
        ([at(4, 0), FOREIGN << 12 | P | W, 0], Errno::Perm),
        ([at(4, 0), l1 << 12 | P | W, 0], Errno::Busy),
    ] {
        refused(&mut bench, call, &arguments, errno);
    }
}

#[test]
fn memory_op() {
    let mut bench = Bench::new(2);
    let call = Hypercall::MemoryOp;
    let Own { data, .. } = own(&bench);
    let (more, less) = (
        MemoryOp::IncreaseReservation.raw(),
        MemoryOp::DecreaseReservation.raw(),
    );
    refused(&mut bench, call, &[2, NOWHERE, MAX_FRAMES + 1], Errno::NoSys);
    refused(&mut bench, call, &[more, NOWHERE, 1], Errno::Fault);
    assert_eq!(
        bench.ask(0, call, &[more, at(0, 0), 2]).0,
        Ok(2),
        "all that it may have"
    );
    refused(&mut bench, call, &[more, NOWHERE, MAX_FRAMES + 1], Errno::TooBig);
    refused(&mut bench, call, &[more, NOWHERE, 1], Errno::NoMemory);
    refused(&mut bench, call, &[less, NOWHERE, MAX_FRAMES + 1], Errno::TooBig);
    refused(&mut bench, call, &[less, NOWHERE, 1], Errno::Fault);
    for (frame, errno) in [
        (1 << 32, Errno::Invalid),
        (FOREIGN, Errno::Perm),
        (data, Errno::Busy),
    ] {
        bench.write(0, at(1, 0), &[frame]);
        refused(&mut bench, call, &[less, at(1, 0), 1], errno);
    }
    let current = MemoryOp::CurrentReservation.raw();
    assert_eq!(
        bench.ask(0, call, &[current, NOWHERE, MAX_FRAMES + 1]).0,
        Ok(10),
        "a call that takes nothing looks at nothing"
    );
}

#[test]
fn calls_with_a_command_and_a_pointer() {
    let mut bench = Bench::new(1);
    let over = abi::multicall::MAX_ENTRIES + 1;
    refused(&mut bench, Hypercall::Multicall, &[NOWHERE, over], Errno::TooBig);
    refused(&mut bench, Hypercall::Multicall, &[NOWHERE, 1], Errno::Fault);
    refused(&mut bench, Hypercall::XenVersion, &[2, NOWHERE], Errno::NoSys);
    refused(&mut bench, Hypercall::XenVersion, &[1, NOWHERE], Errno::Fault);
    refused(&mut bench, Hypercall::ConsoleIo, &[2, 1, NOWHERE], Errno::NoSys);
    refused(&mut bench, Hypercall::ConsoleIo, &[0, 1, NOWHERE], Errno::Fault);
    let nothing = bench.ask(0, Hypercall::ConsoleIo, &[0, 0, NOWHERE]).0;
    assert_eq!(nothing, Ok(0), "what would move nothing looks at nothing");
    let over = abi::trap::MAX_ENTRIES + 1;
    refused(
        &mut bench,
        Hypercall::SetTrapTable,
        &[NOWHERE, over],
        Errno::TooBig,
    );
    refused(&mut bench, Hypercall::SetTrapTable, &[NOWHERE, 1], Errno::Fault);
    let nothing = bench.ask(0, Hypercall::SetTrapTable, &[NOWHERE, 0]);
    assert_eq!(nothing, (Ok(0), 0));
}

#[test]
fn console_io_moves_pieces_of_256_bytes_whole_or_not_at_all() {
    let mut bench = Bench::new(1);
    // Page 4 is absent, page 3 before it is there.
    let write = |bench: &mut Bench, before: u64| {
        let arguments = [0, 1000, at(4, 0) - before];
        bench.ask(0, Hypercall::ConsoleIo, &arguments).0
    };
    assert_eq!(write(&mut bench, 255), Err(Errno::Fault));
    assert_eq!(write(&mut bench, 256), Ok(256));
    assert_eq!(write(&mut bench, 767), Ok(512));
}

#[test]
fn callback_op() {
    let mut bench = Bench::new(1);
    let call = Hypercall::CallbackOp;
    let (register, event) = (CallbackOp::Register.raw(), CallbackType::Event.raw());
    for (arguments, errno) in [
        ([2, 1, 0, 0, 0], Errno::NoSys),
        ([register, 1, 0, 0, 0], Errno::Invalid),
        ([register, event, 0, 0, 0], Errno::Invalid),
        ([register, event, 8, 8, 0], Errno::Invalid),
        ([register, event, 8, 16, 16], Errno::Invalid),
        ([register, event, 8, 16, SLOT_BASE], Errno::Invalid),
    ] {
        refused(&mut bench, call, &arguments, errno);
        assert!(bench.domains[0].vcpu.upcall.is_none());
    }
    assert_eq!(bench.ask(0, call, &[register, event, 8, 16, 17]).0, Ok(0));
}

#[test]
fn sched_op() {
    let mut bench = Bench::new(1);
    let mask = offset_of!(SharedInfo, upcall_mask);
    bench.set_shared(0, mask, 1 << 8);
    let block = SchedOp::Block.raw();
    refused(&mut bench, Hypercall::SchedOp, &[3, 0, 8], Errno::NoSys);
    refused(
        &mut bench,
        Hypercall::SchedOp,
        &[block, 0, WAKE_EVENT | 8],
        Errno::Invalid,
    );
    assert_eq!(bench.shared(0, mask), 1 << 8, "a refused call unmasks nothing");
    let shutdown = SchedOp::Shutdown.raw();
    refused(&mut bench, Hypercall::SchedOp, &[shutdown, 2, 0], Errno::Invalid);
}

#[test]
fn a_wait_that_is_over_at_once_names_all_conditions_as_any_wait_does() {
    let mut bench = Bench::new(1);
    bench.set_shared(0, 0, 1);
    let block = [SchedOp::Block.raw(), 0, WAKE_EVENT];
    let all = bench.domains[0].conditions(&bench.world.mem);
    assert_ne!(all, WAKE_EVENT, "there is room for output too");
    assert_eq!(bench.ask(0, Hypercall::SchedOp, &block), (Ok(0), all));
}

#[test]
fn event_channel_op() {
    let mut bench = Bench::new(2);
    let call = Hypercall::EventChannelOp;
    let op = |op: EventChannelOp| op.raw();
    refused(&mut bench, call, &[7, 0, 0], Errno::NoSys);
    let bind_timer = [op(EventChannelOp::BindVirq), Virq::Timer.raw(), 0];
    bench.ask(0, call, &bind_timer).0.unwrap();
    for _ in 2..PORTS {
        let offer = [op(EventChannelOp::AllocUnbound), 0, 0];
        bench.ask_quick(0, call, &offer).0.unwrap();
    }
    for (arguments, errno) in [
        ([op(EventChannelOp::BindInterdomain), 9, 0], Errno::NoDomain),
        ([op(EventChannelOp::BindInterdomain), 1, 1], Errno::Invalid),
        ([op(EventChannelOp::BindInterdomain), 0, 2], Errno::NoSpace),
        ([op(EventChannelOp::BindVirq), 1, 0], Errno::Invalid),
        (bind_timer, Errno::Exists),
        (
            [op(EventChannelOp::BindVirq), Virq::Console.raw(), 0],
            Errno::NoSpace,
        ),
        ([op(EventChannelOp::AllocUnbound), 9, 0], Errno::NoDomain),
        ([op(EventChannelOp::AllocUnbound), 1, 0], Errno::NoSpace),
        ([op(EventChannelOp::Send), 1, 0], Errno::Invalid),
        ([op(EventChannelOp::Status), PORTS as u64, 0], Errno::Invalid),
        ([op(EventChannelOp::Unmask), PORTS as u64, 0], Errno::Invalid),
        ([op(EventChannelOp::Close), 0, 0], Errno::Invalid),
    ] {
        refused(&mut bench, call, &arguments, errno);
    }
}

#[test]
fn calls_with_values_alone() {
    let mut bench = Bench::new(1);
    refused(&mut bench, Hypercall::StackSwitch, &[0], Errno::Invalid);
    refused(
        &mut bench,
        Hypercall::UpdateDescriptor,
        &[0x81, 0],
        Errno::Invalid,
    );
    refused(
        &mut bench,
        Hypercall::UpdateDescriptor,
        &[0x78, 0],
        Errno::Invalid,
    );
    refused(&mut bench, Hypercall::SetSegmentBase, &[2, 0], Errno::Invalid);
    refused(
        &mut bench,
        Hypercall::SetSegmentBase,
        &[0, NON_CANONICAL],
        Errno::Invalid,
    );
}
