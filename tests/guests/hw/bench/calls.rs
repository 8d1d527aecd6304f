//! Counts of hypercalls: the least of several tries, less an empty bracket's. A call's loading of registers is in them.
use abi::callback::{CallbackOp, CallbackType};
use abi::errno::Errno;
use abi::event::{EventChannelOp, Virq};
use abi::hypercall::{Hypercall, SegmentBase};
use abi::layout::{PAGE_SIZE, SHARED_INFO};
use abi::mmu::{MMU_MACHPHYS_UPDATE, MmuUpdate, MmuextCommand, MmuextOp, UVMF_INVLPG, UVMF_NONE};
use abi::multicall::MulticallEntry;
use abi::trap::{TrapInfo, vector};
use core::sync::atomic::{AtomicU64, Ordering};
use guests::runtime::memory::{self, allocate, mfn, physmap};
use guests::runtime::{call, code, trap};
use guests::{check, check_eq, println};

const TRIES: usize = 20;
const WRITABLE: u64 = 0b11;
const READ_ONLY: u64 = 0b01;
const ACCESSED: u64 = 1 << 5;
const NO_EXECUTE: u64 = 1 << 63;

pub(super) fn rdtsc() -> u64 {
    // SAFETY: every CPU with long mode has it, and ring 1 may use it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// The least count of `operation`; `reset` makes it possible again.
#[inline(never)]
fn least(mut operation: impl FnMut(), mut reset: impl FnMut()) -> u64 {
    let mut least = u64::MAX;
    for _ in 0..TRIES {
        let start = rdtsc();
        operation();
        let end = rdtsc();
        least = least.min(end - start);
        reset();
    }
    least
}

fn report(name: &str, units: u64, operation: impl FnMut(), reset: impl FnMut()) {
    let empty = least(|| {}, || {});
    let count = least(operation, reset).saturating_sub(empty);
    println!("bench {name} {}", count / units);
}

fn must(returned: call::Returned) {
    check!(returned.ok().is_ok(), "a measured call: {:?}", returned.ok());
}

/// A call that must succeed, with as little around it as possible: it is looked at in an instruction or two.
#[inline(always)]
fn hypercall<const N: usize>(number: Hypercall, arguments: [u64; N]) {
    let argument = |index: usize| arguments.get(index).copied().unwrap_or(0);
    let all = [argument(0), argument(1), argument(2), argument(3), argument(4)];
    // SAFETY: ring 1 of a xen-lite guest; the calls that are measured change what they are given.
    let returned = unsafe { abi::stub::hypercall(number, all) };
    if returned.value.cast_signed() < 0 {
        refused(returned);
    }
}

#[cold]
#[inline(never)]
fn refused(returned: call::Returned) {
    must(returned);
}

pub(super) fn run() {
    simple();
    tables();
    mappings();
    roots();
    events();
}

fn simple() {
    report(
        "bad-hypercall",
        1,
        || {
            // SAFETY: as for `hypercall`.
            let returned = unsafe { abi::stub::hypercall_raw(999, [0; 5]) };
            if returned.value != Errno::NoSys.to_rax() {
                refused(returned);
            }
        },
        || {},
    );
    report("yield", 1, || hypercall(Hypercall::SchedOp, [0]), || {});
    let stack = memory::stack(1);
    report(
        "stack-switch",
        1,
        || hypercall(Hypercall::StackSwitch, [stack]),
        || {},
    );
    let fs = SegmentBase::Fs.raw();
    report(
        "set-segment-base",
        1,
        || hypercall(Hypercall::SetSegmentBase, [fs, 0x1000]),
        || {},
    );
    let flat = 0x00af_fb00_0000_ffff_u64 & !(0b11 << 45) | 1 << 45;
    report(
        "update-descriptor",
        1,
        || hypercall(Hypercall::UpdateDescriptor, [0x80, flat]),
        || {},
    );
    let mut entries = [MulticallEntry {
        number: Hypercall::XenVersion.raw(),
        ..MulticallEntry::default()
    }; 32];
    let list = entries.as_mut_ptr() as u64;
    report(
        "multicall-null",
        32,
        || hypercall(Hypercall::Multicall, [list, 32]),
        || {},
    );
}

fn tables() {
    let handler = code::kernel(&[0x48, 0xcf]);
    let entry = |vector: u8| TrapInfo {
        vector,
        flags: 0,
        cs: abi::selector::KERNEL_CS,
        pad: 0,
        address: handler,
    };
    let one = [entry(vector::NM)];
    let set = |table: &[TrapInfo]| {
        hypercall(
            Hypercall::SetTrapTable,
            [table.as_ptr() as u64, table.len() as u64],
        );
    };
    report("set-trap-table-1", 1, || set(&one), || {});
    let vectors = [0, 1, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 16, 17, 19, 0, 1, 3, 4, 5];
    let twenty = vectors.map(entry);
    report("set-trap-table-20", 1, || set(&twenty), trap::install);
}

fn mappings() {
    let va = memory::kernel_pages(128, WRITABLE | NO_EXECUTE);
    let entries: [u64; 128] = core::array::from_fn(|page| memory::leaf(va + page as u64 * PAGE_SIZE).value);
    let first = entries[0];
    let set = |value: u64, flags: u64| hypercall(Hypercall::UpdateVaMapping, [va, value, flags]);
    set(0, UVMF_NONE);
    report(
        "update-va-map",
        1,
        || set(first, UVMF_INVLPG),
        || set(0, UVMF_NONE),
    );
    set(first, UVMF_NONE);
    report(
        "update-va-unmap",
        1,
        || set(0, UVMF_INVLPG),
        || set(first, UVMF_NONE),
    );
    report(
        "update-va-read-only",
        1,
        || set(first & !2, UVMF_INVLPG),
        || set(first, UVMF_NONE),
    );
    report(
        "update-va-accessed",
        1,
        || set(first ^ ACCESSED, UVMF_NONE),
        || set(first, UVMF_NONE),
    );
    set(0, UVMF_NONE);
    report(
        "update-va-map-no-flush",
        1,
        || set(first, UVMF_NONE),
        || set(0, UVMF_NONE),
    );
    set(first, UVMF_NONE);
    let other = first & !abi::mmu::PTE_FRAME | entries[1] & abi::mmu::PTE_FRAME;
    report(
        "update-va-other",
        1,
        || set(other, UVMF_INVLPG),
        || set(first, UVMF_NONE),
    );

    batches(va, &entries);
    let frame = first & abi::mmu::PTE_FRAME;
    let machphys = [MmuUpdate {
        pointer: frame | MMU_MACHPHYS_UPDATE,
        value: memory::pfn(frame >> 12),
    }];
    report("mmu-machphys", 1, || update(&machphys), || {});
}

fn update(requests: &[MmuUpdate]) {
    hypercall(
        Hypercall::MmuUpdate,
        [requests.as_ptr() as u64, requests.len() as u64],
    );
}

/// Batches of updates of pages from `va` on, which are mapped by `entries`. The stack is short, so that it has room for two
/// long lists at a time.
#[inline(never)]
fn batches(va: u64, entries: &[u64; 128]) {
    let pointer = |page: usize| memory::leaf(va + page as u64 * PAGE_SIZE).machine;
    let maps: [MmuUpdate; 128] = core::array::from_fn(|page| MmuUpdate {
        pointer: pointer(page),
        value: entries[page],
    });
    let unmaps: [MmuUpdate; 128] = core::array::from_fn(|page| MmuUpdate {
        pointer: pointer(page),
        value: 0,
    });
    update(&unmaps);
    for (name, count) in [
        ("mmu-map-1", 1),
        ("mmu-map-8", 8),
        ("mmu-map-32", 32),
        ("mmu-map-128", 128),
    ] {
        report(
            name,
            count as u64,
            || update(&maps[..count]),
            || update(&unmaps[..count]),
        );
    }
    list_of_updates(va, entries, &unmaps[..32]);
    update(&maps);
    report_changes(&maps, |_| 0, &[("mmu-unmap-1", 1), ("mmu-unmap-128", 128)]);
    report_changes(
        &maps,
        |value| value & !2,
        &[("mmu-read-only-1", 1), ("mmu-read-only-128", 128)],
    );
    report_changes(
        &maps,
        |value| value ^ ACCESSED,
        &[("mmu-accessed-1", 1), ("mmu-accessed-32", 32)],
    );
}

/// Changes the entries of mapped pages, and back.
#[inline(never)]
fn report_changes(maps: &[MmuUpdate; 128], change: fn(u64) -> u64, rows: &[(&str, usize)]) {
    let changed = maps.map(|map| MmuUpdate {
        value: change(map.value),
        ..map
    });
    for &(name, count) in rows {
        report(
            name,
            count as u64,
            || update(&changed[..count]),
            || update(&maps[..count]),
        );
    }
}

/// 32 calls in one, each of which maps a page; `unmaps` takes them away again.
#[inline(never)]
fn list_of_updates(va: u64, entries: &[u64; 128], unmaps: &[MmuUpdate]) {
    let calls: [MulticallEntry; 32] = core::array::from_fn(|page| MulticallEntry {
        number: Hypercall::UpdateVaMapping.raw(),
        arguments: [va + page as u64 * PAGE_SIZE, entries[page], UVMF_NONE, 0, 0],
        ..MulticallEntry::default()
    });
    let list = calls.as_ptr() as u64;
    report(
        "multicall-update-va",
        32,
        || hypercall(Hypercall::Multicall, [list, 32]),
        || update(unmaps),
    );
}

fn roots() {
    let prepared = |command: MmuextCommand, arg1: u64| {
        [MmuextOp {
            command: command.raw(),
            pad: 0,
            arg1,
            arg2: 0,
        }]
    };
    let carry_out = |list: &[MmuextOp]| hypercall(Hypercall::MmuextOp, [list.as_ptr() as u64, 1]);
    let operation = |command: MmuextCommand, arg1: u64| carry_out(&prepared(command, arg1));
    let invlpg = prepared(MmuextCommand::InvlpgLocal, 0x1000);
    report("invlpg", 1, || carry_out(&invlpg), || {});
    let flush = prepared(MmuextCommand::TlbFlushLocal, 0);
    report("tlb-flush", 1, || carry_out(&flush), || {});

    // An L1 table with nothing in it, then one full of read-write pages.
    let table = allocate();
    memory::make_read_only(physmap(table));
    let frame = mfn(table);
    let (pin, unpin) = (MmuextCommand::PinL1, MmuextCommand::Unpin);
    report(
        "pin-empty-l1",
        1,
        || operation(pin, frame),
        || operation(unpin, frame),
    );
    operation(pin, frame);
    report(
        "unpin-empty-l1",
        1,
        || operation(unpin, frame),
        || operation(pin, frame),
    );
    operation(unpin, frame);
    memory::set(physmap(table), frame << 12 | WRITABLE | NO_EXECUTE);
    let page = mfn(allocate());
    for slot in 0..512 {
        memory::poke(physmap(table) + 8 * slot, page << 12 | WRITABLE | NO_EXECUTE);
    }
    memory::set(physmap(table), frame << 12 | READ_ONLY | NO_EXECUTE);
    report(
        "pin-full-l1-per-entry",
        512,
        || operation(pin, frame),
        || operation(unpin, frame),
    );
    operation(pin, frame);
    report(
        "unpin-full-l1-per-entry",
        512,
        || operation(unpin, frame),
        || operation(pin, frame),
    );
    operation(unpin, frame);

    // A second root with the same contents.
    let second = allocate();
    for slot in (0..512).filter(|slot| *slot != abi::layout::HYPERVISOR_SLOT as u64) {
        memory::poke(
            physmap(second) + 8 * slot,
            memory::Entry::of(memory::root_mfn(), slot).value,
        );
    }
    memory::make_read_only(physmap(second));
    operation(MmuextCommand::PinL4, mfn(second));
    let (first, second) = (memory::root_mfn(), mfn(second));
    let [there, back] = [second, first].map(|root| prepared(MmuextCommand::NewBaseptr, root));
    report("new-baseptr", 1, || carry_out(&there), || carry_out(&back));
}

/// The TSC at the upcall's first instructions.
static ENTERED: AtomicU64 = AtomicU64::new(0);

core::arch::global_asm!(
    ".global bench_upcall",
    "bench_upcall:",
    "push rax",
    "push rdx",
    "rdtsc",
    "shl rdx, 32",
    "or rax, rdx",
    "mov [rip + {entered}], rax",
    "mov rax, {shared}",
    "mov byte ptr [rax], 0",
    "mov qword ptr [rax + 8], 0",
    "mov byte ptr [rax + 1], 0",
    "pop rdx",
    "pop rax",
    "add rsp, 8",
    "iretq",
    entered = sym ENTERED,
    shared = const SHARED_INFO,
);

unsafe extern "C" {
    fn bench_upcall();
}

fn events() {
    let op =
        |op: EventChannelOp, argument: u64| call::call(Hypercall::EventChannelOp, &[op.raw(), argument, 0]);
    let own = u64::from(guests::runtime::start_info().domain_id);
    let offered = op(EventChannelOp::AllocUnbound, own);
    let bound = call::call(
        Hypercall::EventChannelOp,
        &[EventChannelOp::BindInterdomain.raw(), own, offered.value],
    );
    must(bound);
    let send = || {
        hypercall(
            Hypercall::EventChannelOp,
            [EventChannelOp::Send.raw(), bound.value, 0],
        );
    };
    // No upcall is registered yet: the event stays pending.
    report("event-send-masked", 1, send, || {});
    memory::poke(SHARED_INFO, 0);
    memory::poke(SHARED_INFO + 8, 0);
    let upcall = bench_upcall as *const () as u64;
    hypercall(
        Hypercall::CallbackOp,
        [CallbackOp::Register.raw(), CallbackType::Event.raw(), upcall],
    );
    let empty = least(|| {}, || {});
    let mut first = u64::MAX;
    for _ in 0..TRIES {
        let start = rdtsc();
        send();
        first = first.min(ENTERED.load(Ordering::Relaxed) - start);
    }
    check!(first != u64::MAX && first > 0, "the upcall was entered");
    println!("bench event-to-upcall {}", first.saturating_sub(empty));
    report("event-round-trip", 1, send, || {});
    check_eq!(
        op(EventChannelOp::BindVirq, Virq::Timer.raw()).ok().is_ok(),
        true,
        "the timer's port"
    );
    report(
        "set-timer",
        1,
        || hypercall(Hypercall::SetTimerOp, [u64::MAX]),
        || {},
    );
    hypercall(Hypercall::SetTimerOp, [0]);
}
