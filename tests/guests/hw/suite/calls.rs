//! All calls but `set_trap_table` and the page tables', with what a hostile kernel would pass.
use abi::callback::{CallbackOp, CallbackType};
use abi::console::{ConsoleIo, MAX_TRANSFER};
use abi::errno::Errno;
use abi::hypercall::{Hypercall, SegmentBase};
use abi::layout::{MACHINE_TO_PFN, PAGE_SIZE, SHARED_INFO, SLOT_BASE, SLOT_END, SWITCHER_RO, SWITCHER_RW};
use abi::layout::{SWITCHER_TEXT, TIME_PAGE};
use abi::memory::MemoryOp;
use abi::mmu::{MAX_BATCH, MmuUpdate, MmuextCommand, MmuextOp};
use abi::multicall::MulticallEntry;
use abi::sched::{SchedOp, WAKE_INPUT};
use abi::trap::vector;
use abi::version::{EXTRA_VERSION, MAJOR, MINOR, XenVersion};
use core::mem::offset_of;
use guests::runtime::call::Returned;
use guests::runtime::frame::Frame;
use guests::runtime::memory::{self, A, D, KERNEL_DATA};
use guests::runtime::trap::SYSCALL_VECTOR;
use guests::runtime::{call, code, start_info, trap, tsc};
use guests::{check, check_eq};

use super::Run;

pub(crate) const CASES: &[(&str, Run)] = &[
    ("unknown-calls", unknown),
    ("no-debug-registers", no_debug_registers),
    ("hypercall-clobbers-what-it-says", clobbers),
    ("hypercall-from-ring-3", from_ring_3),
    ("bad-in-pointers", bad_in),
    ("bad-out-pointers", bad_out),
    ("good-pointers", good_pointers),
    ("batches-are-bounded", batches),
    ("segment-bases", segment_bases),
    ("gs-base-means-nothing-to-entries", gs_base),
    ("stack-switch-refuses", stack_switch),
    ("callback-refuses", callback),
    ("console-limits", console_limits),
    ("block-with-a-timeout-returns", block),
    ("yield-returns", yields),
    ("multicall", multicall),
    ("multicall-refuses", multicall_refuses),
    ("memory-op", memory_op),
    ("machine-to-pfn", machine_to_pfn),
    ("version", version),
];

const INT_82: [u8; 2] = [0xcd, 0x82];

/// Whether a sub-function exists.
type Known = fn(u64) -> bool;

fn unknown(_: u32) {
    let known = |number| Hypercall::from_raw(number).is_some();
    let far = [64, 1 << 31, 1 << 32, 1 << 63, u64::MAX, u64::MAX - 1];
    for number in (0..64).filter(|number| !known(*number)).chain(far) {
        check_eq!(
            call::raw(number, [0; 5]).ok(),
            Err(Errno::NoSys),
            "hypercall {number:#x}"
        );
    }
    // The low half of a known number is not that number.
    let low = call::raw(1 << 32 | Hypercall::XenVersion.raw(), [0; 5]);
    check_eq!(low.ok(), Err(Errno::NoSys), "a number with a high half");
    let commands: [(Hypercall, Known); 4] = [
        (Hypercall::XenVersion, |n| XenVersion::from_raw(n).is_some()),
        (Hypercall::ConsoleIo, |n| ConsoleIo::from_raw(n).is_some()),
        (Hypercall::SchedOp, |n| SchedOp::from_raw(n).is_some()),
        (Hypercall::CallbackOp, |n| CallbackOp::from_raw(n).is_some()),
    ];
    for (number, known) in commands {
        for command in (0..16)
            .filter(|command| !known(*command))
            .chain([1 << 32, u64::MAX])
        {
            let returned = call::call(number, &[command]).ok();
            check_eq!(returned, Err(Errno::NoSys), "{} {command:#x}", number.name());
        }
    }
    for command in [8, 99, u32::MAX] {
        let operation = [MmuextOp {
            command,
            ..MmuextOp::default()
        }];
        let returned = call::call(Hypercall::MmuextOp, &[operation.as_ptr() as u64, 1]).ok();
        check_eq!(returned, Err(Errno::NoSys), "mmuext_op {command:#x}");
    }
    check!(
        call::shutdown(77, 0).ok().is_err(),
        "an unknown reason does not end the domain"
    );
}

fn no_debug_registers(_: u32) {
    const SET_DEBUGREG: u64 = 8;
    const GET_DEBUGREG: u64 = 9;
    for number in [SET_DEBUGREG, GET_DEBUGREG] {
        check_eq!(
            call::raw(number, [7, 0x400, 0, 0, 0]).ok(),
            Err(Errno::NoSys),
            "debug registers by hypercall"
        );
    }
}

fn clobbers(_: u32) {
    for (number, command) in [
        (Hypercall::XenVersion.raw(), XenVersion::Version.raw()),
        (Hypercall::SchedOp.raw(), SchedOp::Yield.raw()),
        (12345, 0),
    ] {
        let mut before = Frame::ring1(code::kernel(&INT_82), memory::stack(1)).with_pattern(0x5eed);
        before.rax = number;
        before.rdi = command;
        before.rflags |= 0xcd5 & !guests::runtime::frame::TF;
        let after = trap::run(&before);
        check_eq!(after.vector, u64::from(vector::UD), "the call returns");
        let kept = |f: &Frame| [f.rbx, f.rbp, f.rsp, f.r12, f.r13, f.r14, f.r15, f.cs, f.ss];
        check_eq!(kept(&after), kept(&before), "what is kept");
        // TF is clear, RF is the CPU's.
        check_eq!(
            after.rflags & 0xffff,
            before.rflags & 0xffff,
            "the flags are kept"
        );
        let cleared = [
            after.rcx, after.rsi, after.rdi, after.r8, after.r9, after.r10, after.r11,
        ];
        check_eq!(cleared, [0; 7], "what is cleared");
        check_eq!(after.rdx, 0, "the second word of a call that has none");
    }
}

fn from_ring_3(_: u32) {
    let mut user = Frame::ring3(code::user(&INT_82), memory::user_stack());
    user.rax = Hypercall::XenVersion.raw();
    let found = trap::run(&user);
    check_eq!(
        (found.vector, found.cs),
        (u64::from(vector::GP), user.cs),
        "a hypercall from ring 3"
    );
    check_eq!(found.rip, user.rip, "the fault is at the instruction");
    check_eq!(found.rax, user.rax, "nothing was returned");
}

/// Where no buffer of 16 bytes or more may be.
fn nowhere() -> [u64; 14] {
    let page = memory::kernel_pages(1, KERNEL_DATA);
    [
        0,
        page + PAGE_SIZE - 8,
        page - 8,
        memory::kernel_area(1),
        0x0000_7fff_ffff_fff8,
        0x0000_8000_0000_0000,
        0xffff_7fff_ffff_fff8,
        u64::MAX - 7,
        SLOT_BASE,
        SLOT_BASE - 8,
        SLOT_END - 16,
        SLOT_END - 8,
        SWITCHER_RW,
        SHARED_INFO,
    ]
}

fn bad_in(_: u32) {
    for pointer in nowhere()
        .into_iter()
        .chain([SWITCHER_RO, SWITCHER_TEXT, MACHINE_TO_PFN, TIME_PAGE])
    {
        for number in [Hypercall::MmuUpdate, Hypercall::MmuextOp] {
            let returned = call::call(number, &[pointer, 1]);
            check_eq!(
                returned.ok(),
                Err(Errno::Fault),
                "{} of {pointer:#x}",
                number.name()
            );
            check_eq!(returned.detail, 0, "how far it came");
        }
        check_eq!(
            call::console_write(16, pointer),
            Err(Errno::Fault),
            "console write of {pointer:#x}"
        );
    }
}

fn bad_out(_: u32) {
    let read_only = memory::kernel_pages(1, KERNEL_DATA);
    memory::make_read_only(read_only);
    let table = memory::physmap(start_info().page_tables_pfn);
    let leaf_table = memory::leaf(read_only).at & !(PAGE_SIZE - 1);
    let half = memory::kernel_pages(2, KERNEL_DATA);
    memory::make_read_only(half + PAGE_SIZE);
    let code = code::kernel(&[]);
    let mine = [
        read_only,
        table,
        table + 256 * 8,
        leaf_table,
        half + PAGE_SIZE - 8,
        code,
    ];
    let hypervisors = [
        SWITCHER_RO,
        SWITCHER_RO + PAGE_SIZE,
        SWITCHER_TEXT,
        TIME_PAGE,
        MACHINE_TO_PFN,
    ];
    let before = mine.map(memory::peek);
    for buffer in nowhere().into_iter().chain(mine).chain(hypervisors) {
        let returned = call::call(Hypercall::XenVersion, &[XenVersion::ExtraVersion.raw(), buffer]);
        check_eq!(returned.ok(), Err(Errno::Fault), "extraversion into {buffer:#x}");
    }
    check_eq!(mine.map(memory::peek), before, "nothing was written");
    check_eq!(
        memory::peek(memory::alias(half + PAGE_SIZE)),
        0,
        "nothing past the boundary"
    );
    check_eq!(
        memory::peek(memory::alias(half + PAGE_SIZE - 8)),
        0,
        "nothing before it"
    );
}

fn extra_version(buffer: u64) {
    let returned = call::call(Hypercall::XenVersion, &[XenVersion::ExtraVersion.raw(), buffer]);
    check!(
        returned.ok().is_ok(),
        "extraversion into {buffer:#x}: {returned:x?}"
    );
    for (n, byte) in EXTRA_VERSION.iter().enumerate() {
        check_eq!(
            memory::peek_byte(buffer + n as u64),
            *byte,
            "byte {n} of the answer"
        );
    }
}

fn good_pointers(_: u32) {
    // Two pages whose frames are out of order.
    let area = memory::kernel_area(2);
    let (low, high) = (memory::allocate(), memory::allocate());
    memory::map(area, high, KERNEL_DATA);
    memory::map(area + PAGE_SIZE, low, KERNEL_DATA);
    for cut in [1, 7, 8, 15] {
        extra_version(area + PAGE_SIZE - cut);
    }
    extra_version(area + 2 * PAGE_SIZE - 16);
    // The copy marks what it touched, as the CPU would: a pager must see the page as dirty.
    let fresh = memory::kernel_pages(1, KERNEL_DATA);
    memory::set(fresh, memory::leaf(fresh).value & !(A | D));
    extra_version_unread(fresh);
    check_eq!(
        memory::leaf(fresh).value & (A | D),
        A | D,
        "accessed and dirty after a copy"
    );
    extra_version(fresh);
    let user = memory::user_pages(1, memory::USER_DATA);
    extra_version(user);
}

fn extra_version_unread(buffer: u64) {
    let returned = call::call(Hypercall::XenVersion, &[XenVersion::ExtraVersion.raw(), buffer]);
    check!(
        returned.ok().is_ok(),
        "extraversion into {buffer:#x}: {returned:x?}"
    );
}

fn batches(_: u32) {
    let area = memory::kernel_pages(8, KERNEL_DATA);
    let requests = memory::kernel_pages(4, KERNEL_DATA);
    const BAD: u64 = 5;
    for n in 0..8 {
        let entry = memory::leaf(area + n * PAGE_SIZE);
        let at = requests + n * size_of::<MmuUpdate>() as u64;
        memory::poke(at, entry.machine);
        // PWT is refused.
        memory::poke(
            at + 8,
            if n == BAD {
                entry.value | 8
            } else {
                entry.value & !memory::W
            },
        );
    }
    let returned = call::call(Hypercall::MmuUpdate, &[requests, 8]);
    check!(
        returned.ok().is_err(),
        "a batch with a bad element: {returned:x?}"
    );
    check_eq!(returned.detail, BAD, "how far the batch came");
    for n in 0..8 {
        let writable = memory::leaf(area + n * PAGE_SIZE).value & memory::W != 0;
        check_eq!(writable, n >= BAD, "element {n}");
    }
    for number in [Hypercall::MmuUpdate, Hypercall::MmuextOp] {
        for count in [MAX_BATCH + 1, 1 << 32, u64::MAX] {
            let returned = call::call(number, &[requests, count]);
            check_eq!(
                returned.ok(),
                Err(Errno::TooBig),
                "{} of {count:#x}",
                number.name()
            );
        }
        let returned = call::call(number, &[requests, 0]);
        check!(
            returned.ok().is_ok(),
            "{} of nothing: {returned:x?}",
            number.name()
        );
    }
    let flush = MmuextOp {
        command: MmuextCommand::TlbFlushLocal.raw(),
        ..MmuextOp::default()
    };
    let wrong = MmuextOp { pad: 1, ..flush };
    let operations = [flush, flush, wrong, flush];
    let returned = call::call(Hypercall::MmuextOp, &[operations.as_ptr() as u64, 4]);
    check!(
        returned.ok().is_err() && returned.detail == 2,
        "a batch with bad padding at 2: {returned:x?}"
    );
    // A request that names no page table at all, and one with an unknown command.
    let data = memory::mfn(memory::allocate()) << 12;
    check!(call::mmu_update(data, 0).is_err(), "an entry in a data page");
    check!(
        call::mmu_update(memory::leaf(area).machine | 2, 0).is_err(),
        "an unknown command"
    );
    check!(
        call::mmu_update(memory::leaf(area).machine | 4, 0).is_err(),
        "an entry that is not aligned"
    );
    check!(call::mmu_update(!7, 0).is_err(), "an entry beyond all memory");
}

fn bad_bases() -> [u64; 7] {
    [
        0x0000_8000_0000_0000,
        0xffff_7fff_ffff_ffff,
        0x1234_5678_9abc_def0,
        SLOT_BASE,
        SWITCHER_RW,
        SWITCHER_RO,
        SLOT_END - 1,
    ]
}

fn segment_bases(_: u32) {
    let page = memory::kernel_pages(1, KERNEL_DATA);
    memory::poke(page, 0x1111);
    // mov rax, fs:[0]; mov rbx, gs:[0]
    let loads = [
        0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0, 0x65, 0x48, 0x8b, 0x1c, 0x25, 0, 0, 0, 0,
    ];
    for which in [SegmentBase::Fs, SegmentBase::Gs] {
        let done = call::set_segment_base(which, page);
        check!(done.is_ok(), "a good base: {done:?}");
        for base in bad_bases() {
            check_eq!(
                call::set_segment_base(which, base),
                Err(Errno::Invalid),
                "{} = {base:#x}",
                which.name()
            );
        }
    }
    let bytes = code::kernel(&loads);
    let stack = memory::stack(1);
    for _ in 0..3 {
        let found = trap::run(&Frame::ring1(bytes, stack));
        check_eq!(found.vector, u64::from(vector::UD), "loads through FS and GS");
        check_eq!((found.rax, found.rbx), (0x1111, 0x1111), "what they loaded");
        call::block(5_000_000, 0);
    }
    let unknown = call::call(Hypercall::SetSegmentBase, &[2, page]);
    check!(unknown.ok().is_err(), "there is no third base: {unknown:x?}");
}

fn gs_base(_: u32) {
    for base in [0, memory::kernel_area(1), 0xffff_ffff_ffff_fff8] {
        for which in [SegmentBase::Fs, SegmentBase::Gs] {
            let done = call::set_segment_base(which, base);
            check!(done.is_ok(), "base {base:#x}: {done:?}");
        }
        check_eq!(
            code::run_in_ring1(&code::UD2).vector,
            u64::from(vector::UD),
            "a trap from ring 1"
        );
        check_eq!(
            code::run_in_ring3(&code::UD2).vector,
            u64::from(vector::UD),
            "a trap from ring 3"
        );
        check!(call::yield_now().is_ok(), "a hypercall");
        call::block(2_000_000, 0);
    }
}

fn stack_switch(_: u32) {
    let old = memory::stack(1);
    let switched = call::stack_switch(old);
    check!(switched.is_ok(), "a good stack: {switched:?}");
    let bad = [
        8,
        0x0000_8000_0000_0000,
        0xffff_7fff_ffff_fff0,
        0x1234_5678_9abc_def0,
        SLOT_BASE,
        SLOT_BASE + 16,
        SWITCHER_RW + 0x800,
        SLOT_END - 16,
        old + 8,
        old + 1,
    ];
    for rsp in bad {
        check_eq!(
            call::stack_switch(rsp),
            Err(Errno::Invalid),
            "stack_switch to {rsp:#x}"
        );
    }
    let found = code::run_in_ring3(&code::UD2);
    check_eq!(found.at, old - 22 * 8, "the trap came on the old stack");
}

fn callback(_: u32) {
    let done = call::register_syscall(trap::syscall_entry_address());
    check!(done.is_ok(), "a good entry: {done:?}");
    for entry in bad_bases() {
        check_eq!(
            call::register_syscall(entry),
            Err(Errno::Invalid),
            "a syscall entry at {entry:#x}"
        );
    }
    for kind in (0..8)
        .filter(|kind| CallbackType::from_raw(*kind).is_none())
        .chain([99, 1 << 32, u64::MAX])
    {
        for command in [CallbackOp::Register, CallbackOp::Unregister] {
            let arguments = [command.raw(), kind, trap::syscall_entry_address()];
            let returned = call::call(Hypercall::CallbackOp, &arguments);
            check!(returned.ok().is_err(), "callback type {kind:#x}: {returned:x?}");
        }
    }
    check_eq!(
        code::run_in_ring3(&[0x0f, 0x05]).vector,
        SYSCALL_VECTOR,
        "the old entry stands"
    );
    check!(call::unregister_syscall().is_ok(), "the entry can be taken back");
    check_eq!(
        code::run_in_ring3(&[0x0f, 0x05]).vector,
        u64::from(vector::UD),
        "without one it is a #UD"
    );
}

fn console_limits(_: u32) {
    let page = memory::kernel_pages(4, KERNEL_DATA);
    for at in 0..4 * PAGE_SIZE {
        memory::poke_bytes(page + at, if at % 64 == 63 { b"\n" } else { b"." });
    }
    check_eq!(call::console_write(0, page), Ok(0), "nothing");
    check_eq!(call::console_write(0, 0), Ok(0), "nothing from nowhere");
    let taken = call::console_write(3 * PAGE_SIZE, page);
    check!(
        taken.is_ok_and(|taken| taken <= MAX_TRANSFER),
        "more than a call moves: {taken:?}"
    );
    let huge = call::console_write(u64::MAX, page);
    check!(
        huge.is_ok_and(|taken| taken <= MAX_TRANSFER) || huge == Err(Errno::Fault),
        "all of it: {huge:?}"
    );
    // Wait until the ring has room, so that the last line is whole.
    call::block(0, abi::sched::WAKE_OUTPUT);
    check_eq!(call::console_read(0, page), Ok(0), "reading nothing");
    check_eq!(call::console_read(16, page), Ok(0), "no key was typed");
}

fn block(_: u32) {
    for timeout_ms in [1, 5, 20] {
        let before = tsc();
        let returned = call::block(timeout_ms * 1_000_000, WAKE_INPUT);
        check!(returned.ok().is_ok(), "block for {timeout_ms} ms: {returned:x?}");
        check_eq!(returned.detail & WAKE_INPUT, 0, "no key waits");
        check!(tsc() > before, "time went on");
    }
    let room = call::block(0, abi::sched::WAKE_OUTPUT);
    check!(room.ok().is_ok(), "room for output is there: {room:x?}");
    check!(room.detail & abi::sched::WAKE_OUTPUT != 0, "and is named");
}

fn yields(_: u32) {
    for _ in 0..100 {
        check!(call::yield_now().is_ok(), "yield");
    }
}

fn version(_: u32) {
    let version = call::call(Hypercall::XenVersion, &[XenVersion::Version.raw()]).ok();
    check_eq!(version, Ok(MAJOR << 16 | MINOR), "the version");
    check_eq!(version, Ok(start_info().version), "start_info's version");
    check_eq!(start_info().magic, abi::start_info::MAGIC, "start_info's magic");
    extra_version(memory::kernel_pages(1, KERNEL_DATA));
}

fn put_entry(at: u64, number: u64, arguments: &[u64]) {
    for word in 0..8 {
        memory::poke(at + word * 8, 0xdead_0000 + word);
    }
    memory::poke(at, number);
    for n in 0..5 {
        memory::poke(
            at + ARGUMENTS + n * 8,
            arguments.get(n as usize).copied().unwrap_or_default(),
        );
    }
}

/// Result and detail of an entry.
fn entry_results(at: u64) -> (Result<u64, Errno>, u64) {
    let value = memory::peek(at + RESULT);
    let detail = memory::peek(at + DETAIL);
    (Returned { value, detail }.ok(), detail)
}

const ENTRY: u64 = size_of::<MulticallEntry>() as u64;
const RESULT: u64 = offset_of!(MulticallEntry, result) as u64;
const DETAIL: u64 = offset_of!(MulticallEntry, detail) as u64;
const ARGUMENTS: u64 = offset_of!(MulticallEntry, arguments) as u64;

fn multicall(_: u32) {
    let area = memory::kernel_area(2);
    let (low, high) = (memory::allocate(), memory::allocate());
    memory::map(area, high, KERNEL_DATA);
    memory::map(area + PAGE_SIZE, low, KERNEL_DATA);
    let page = memory::kernel_pages(1, KERNEL_DATA);
    let value = memory::leaf(page).value;
    // The second entry lies across the two pages.
    let list = area + PAGE_SIZE - ENTRY - 24;
    put_entry(list, Hypercall::XenVersion.raw(), &[XenVersion::Version.raw()]);
    put_entry(list + ENTRY, 0x7777, &[]);
    put_entry(
        list + 2 * ENTRY,
        Hypercall::UpdateVaMapping.raw(),
        &[page, value & !memory::W, 2],
    );
    put_entry(list + 3 * ENTRY, Hypercall::StackSwitch.raw(), &[8]);
    let returned = call::call(Hypercall::Multicall, &[list, 4]);
    check_eq!((returned.ok(), returned.detail), (Ok(0), 4), "four calls");
    check_eq!(
        entry_results(list),
        (Ok(MAJOR << 16 | MINOR), 0),
        "the first one's result"
    );
    check_eq!(
        entry_results(list + ENTRY).0,
        Err(Errno::NoSys),
        "the second one's"
    );
    check_eq!(entry_results(list + 2 * ENTRY), (Ok(0), 0), "the third one's");
    check_eq!(
        entry_results(list + 3 * ENTRY).0,
        Err(Errno::Invalid),
        "the fourth one's"
    );
    check_eq!(memory::leaf(page).value & memory::W, 0, "the third one was done");
    for count in [abi::multicall::MAX_ENTRIES + 1, 1 << 32, u64::MAX] {
        check_eq!(
            call::call(Hypercall::Multicall, &[list, count]).ok(),
            Err(Errno::TooBig),
            "{count:#x} calls"
        );
    }
    check_eq!(
        call::call(Hypercall::Multicall, &[list, 0]).ok(),
        Ok(0),
        "no calls"
    );
}

fn multicall_refuses(_: u32) {
    let list = memory::kernel_pages(1, KERNEL_DATA);
    put_entry(list, Hypercall::Multicall.raw(), &[list, 1]);
    put_entry(
        list + ENTRY,
        Hypercall::SchedOp.raw(),
        &[SchedOp::Shutdown.raw(), 0, 66],
    );
    put_entry(
        list + 2 * ENTRY,
        Hypercall::SchedOp.raw(),
        &[SchedOp::Block.raw(), 0, 0],
    );
    put_entry(
        list + 3 * ENTRY,
        Hypercall::SchedOp.raw(),
        &[SchedOp::Yield.raw()],
    );
    let returned = call::call(Hypercall::Multicall, &[list, 4]);
    check_eq!((returned.ok(), returned.detail), (Ok(0), 4), "four refusals");
    for n in 0..4 {
        check_eq!(
            entry_results(list + n * ENTRY).0,
            Err(Errno::Perm),
            "call {n} in a batch"
        );
    }
    for pointer in nowhere() {
        check_eq!(
            call::call(Hypercall::Multicall, &[pointer, 1]).ok(),
            Err(Errno::Fault),
            "a list at {pointer:#x}"
        );
    }
    // A list that unmaps itself, and one that makes itself read-only: the result has nowhere to go.
    let value = memory::leaf(list).value;
    for entry in [0, value & !memory::W] {
        put_entry(list, Hypercall::UpdateVaMapping.raw(), &[list, entry, 2]);
        put_entry(list + ENTRY, Hypercall::XenVersion.raw(), &[0]);
        let returned = call::call(Hypercall::Multicall, &[list, 2]);
        check_eq!(
            (returned.ok(), returned.detail),
            (Err(Errno::Fault), 1),
            "a list that goes away"
        );
        memory::set(list, value);
    }
    check_eq!(
        memory::peek(list + ENTRY + 8),
        0xdead_0001,
        "nothing after it was done"
    );
}

fn memory_op(_: u32) {
    let list = memory::kernel_pages(1, KERNEL_DATA);
    let operate = |command: MemoryOp, arguments: &[u64]| {
        let mut all = [command.raw(), 0, 0];
        for (slot, argument) in all[1..].iter_mut().zip(arguments) {
            *slot = *argument;
        }
        call::call(Hypercall::MemoryOp, &all).ok()
    };
    let owned = start_info().nr_pages;
    check_eq!(
        operate(MemoryOp::CurrentReservation, &[]),
        Ok(owned),
        "what the domain has"
    );
    check_eq!(
        operate(MemoryOp::MaximumReservation, &[]),
        Ok(owned),
        "what it may have"
    );
    let more = operate(MemoryOp::IncreaseReservation, &[list, 1]);
    check_eq!(more, Err(Errno::NoMemory), "one more than its share");
    // In use: mapped by the physmap; a table; the root; this list itself; foreign; no frame at all.
    let table = memory::make_table(1);
    let mapped = memory::mfn(memory::allocate());
    let in_use = [mapped, table, memory::root_mfn(), memory::leaf(list).mfn()];
    for frame in in_use
        .into_iter()
        .chain([0, 1, 0x100, 0xfee00, 1 << 32 | mapped, u64::MAX])
    {
        memory::poke(list, frame);
        let done = operate(MemoryOp::DecreaseReservation, &[list, 1]);
        check!(done.is_err(), "giving up frame {frame:#x} is refused: {done:?}");
    }
    // A frame that nothing maps is given up; twice is once too often.
    let pfn = memory::allocate();
    let frame = memory::mfn(pfn);
    memory::poke(memory::physmap(pfn), 0x0dd);
    memory::set(memory::physmap(pfn), 0);
    memory::poke(list, frame);
    memory::poke(list + 8, frame);
    check_eq!(
        operate(MemoryOp::DecreaseReservation, &[list, 2]),
        Ok(1),
        "all before the first that is refused"
    );
    check!(
        operate(MemoryOp::DecreaseReservation, &[list, 1]).is_err(),
        "it is not its own any more"
    );
    check!(
        memory::try_set(memory::physmap(pfn), frame << 12 | KERNEL_DATA).is_err(),
        "and cannot be mapped"
    );
    check_eq!(
        operate(MemoryOp::CurrentReservation, &[]),
        Ok(owned - 1),
        "one less"
    );
    for pointer in nowhere() {
        let done = operate(MemoryOp::IncreaseReservation, &[pointer, 2]);
        // A buffer of which the first word is good takes one frame.
        if let Ok(count) = done {
            check_eq!(count, 1, "frames told at {pointer:#x}");
            memory::poke(list, memory::peek(pointer));
            check_eq!(
                operate(MemoryOp::DecreaseReservation, &[list, 1]),
                Ok(1),
                "given back"
            );
        }
    }
    check_eq!(
        operate(MemoryOp::CurrentReservation, &[]),
        Ok(owned - 1),
        "a failed call keeps nothing"
    );
    check_eq!(
        operate(MemoryOp::IncreaseReservation, &[list, 5]),
        Ok(1),
        "up to its share"
    );
    let again = memory::peek(list);
    memory::set(memory::physmap(pfn), again << 12 | KERNEL_DATA);
    let zero = (0..PAGE_SIZE)
        .step_by(8)
        .all(|at| memory::peek(memory::physmap(pfn) + at) == 0);
    check!(zero, "a new frame is zero");
    for count in [abi::memory::MAX_FRAMES + 1, 1 << 32, u64::MAX] {
        check_eq!(
            operate(MemoryOp::IncreaseReservation, &[list, count]),
            Err(Errno::TooBig),
            "{count:#x} frames"
        );
        check_eq!(
            operate(MemoryOp::DecreaseReservation, &[list, count]),
            Err(Errno::TooBig),
            "{count:#x} frames"
        );
    }
}

fn machine_to_pfn(_: u32) {
    let pfn = memory::allocate();
    let frame = memory::mfn(pfn);
    check_eq!(
        memory::pfn(frame),
        pfn,
        "at start of day the table knows every frame"
    );
    for value in [0, 7, 1 << 63, u64::MAX, pfn] {
        let done = call::mmu_update(frame << 12 | 1, value);
        check!(done.is_ok(), "one's own entry becomes {value:#x}: {done:?}");
        check_eq!(memory::pfn(frame), value, "and says so");
    }
    let before = memory::pfn(1);
    for foreign in [0, 1, 0x100, 0xfee00, 1 << 30, 1 << 40] {
        let done = call::mmu_update(foreign << 12 | 1, 5);
        check!(
            done.is_err(),
            "the entry of frame {foreign:#x} is refused: {done:?}"
        );
    }
    check_eq!(memory::pfn(1), before, "it is what it was");
    let stored = trap::attempt(|| memory::poke(MACHINE_TO_PFN + frame * 8, 5));
    check!(
        stored.is_err_and(|f| f.vector == 14 && f.error == 3),
        "the table itself is read-only"
    );
}
