//! Direct paging: what would give a guest a writable page table, or a frame that is not its own.
use abi::layout::{HYPERVISOR_SLOT, PAGE_SHIFT, PAGE_SIZE, SLOT_BASE, SLOT_END, SWITCHER_RO, SWITCHER_RW};
use abi::mmu::{MmuextCommand, UVMF_INVLPG};
use abi::trap::vector;
use guests::runtime::frame::Frame;
use guests::runtime::memory::{self, A, D, Entry, KERNEL_DATA, NX, P, U, W};
use guests::runtime::trap::attempt;
use guests::runtime::{call, code, start_info, trap};
use guests::{check, check_eq};

use super::Run;

pub(crate) const CASES: &[(&str, Run)] = &[
    ("tables-are-never-writable", never_writable),
    ("a-writable-frame-is-no-table", no_table),
    ("foreign-frames", foreign),
    ("forbidden-bits", forbidden_bits),
    ("the-slot-is-not-the-guests", the_slot),
    ("roots", roots),
    ("pins", pins),
    ("a-second-root-serves", second_root),
    ("a-root-with-slot-256-is-refused", root_with_slot),
    ("one-table-in-two-places", two_places),
    ("user-pages-and-ring-1", user_pages),
    ("stale-translations", stale),
    ("stale-after-retype", stale_after_retype),
    ("fresh-frames-are-zero", fresh),
    ("no-alias-of-the-slot", no_alias),
];

const PINS: [MmuextCommand; 4] = [
    MmuextCommand::PinL1,
    MmuextCommand::PinL2,
    MmuextCommand::PinL3,
    MmuextCommand::PinL4,
];

/// Refused both by update_va_mapping and by mmu_update, and the entry is what it was.
fn refused(va: u64, value: u64) {
    let before = memory::leaf(va);
    let done = memory::try_set(va, value);
    check!(
        done.is_err(),
        "update_va_mapping of {va:#x} to {value:#x} is refused: {done:?}"
    );
    let done = call::mmu_update(before.machine, value);
    check!(
        done.is_err(),
        "mmu_update of {va:#x} to {value:#x} is refused: {done:?}"
    );
    check_eq!(
        memory::leaf(va).value,
        before.value,
        "the entry of {va:#x} after a refusal"
    );
}

fn entry_is_refused(entry: Entry, value: u64) {
    let done = call::mmu_update(entry.machine, value);
    check!(
        done.is_err(),
        "{value:#x} in the entry at {:#x} is refused: {done:?}",
        entry.machine
    );
    check_eq!(memory::peek(entry.at), entry.value, "the entry after a refusal");
}

/// A fresh page with tables, mapped; its entry can be tried with anything.
fn spare() -> u64 {
    memory::kernel_pages(1, KERNEL_DATA)
}

fn never_writable(_: u32) {
    let spare = spare();
    let info = start_info();
    for pfn in info.page_tables_pfn..info.page_tables_pfn + info.nr_page_tables {
        let frame = memory::mfn(pfn) << PAGE_SHIFT;
        refused(memory::physmap(pfn), frame | P | W | NX);
        refused(spare, frame | P | W | NX);
        refused(spare, frame | P | W | U | NX);
    }
    for level in 1..=4 {
        let table = memory::make_table(level);
        refused(
            memory::physmap(memory::pfn(table)),
            table << PAGE_SHIFT | P | W | NX,
        );
        refused(spare, table << PAGE_SHIFT | P | W);
        // Reading one's own tables is no harm.
        memory::set(spare, table << PAGE_SHIFT | P | NX);
        let written = attempt(|| memory::poke(spare, 1));
        check!(
            written.is_err_and(|f| f.vector == 14 && f.error == 3),
            "a store to a table faults"
        );
    }
}

fn no_table(_: u32) {
    let frame = memory::allocate();
    let mfn = memory::mfn(frame);
    let pins_refused = |why: &str| {
        for pin in PINS {
            let done = call::mmuext(pin, mfn, 0);
            check!(done.is_err(), "{} of a frame that {why}: {done:?}", pin.name());
        }
    };
    pins_refused("the physmap has writable");
    let alias = spare();
    memory::set(alias, mfn << PAGE_SHIFT | KERNEL_DATA);
    memory::make_read_only(memory::physmap(frame));
    pins_refused("an alias has writable");
    memory::make_read_only(alias);
    let pinned = call::mmuext(MmuextCommand::PinL1, mfn, 0);
    check!(
        pinned.is_ok(),
        "a frame that is mapped read-only alone: {pinned:?}"
    );
    refused(alias, mfn << PAGE_SHIFT | KERNEL_DATA);
    let unpinned = call::mmuext(MmuextCommand::Unpin, mfn, 0);
    check!(unpinned.is_ok(), "unpin: {unpinned:?}");
    memory::set(alias, mfn << PAGE_SHIFT | KERNEL_DATA);
    memory::poke(alias, 1);
}

fn foreign(_: u32) {
    let spare = spare();
    let own = |mfn: u64| (0..start_info().nr_pages).any(|pfn| memory::mfn(pfn) == mfn);
    let frames = [
        0,
        1,
        8,
        0x9f,
        0xa0,
        0xb8,
        0xf0,
        0xff,
        0x100,
        0x101,
        0x110,
        0x180,
        0x200,
        0x1000,
        0x7fff,
        0xfec00,
        0xfee00,
        0xfffff,
        0x10_0000,
        0x100_0000,
        0x1_0000_0000,
        0xf_ffff_ffff,
        0xff_ffff_ffff,
    ];
    for frame in frames.into_iter().filter(|frame| !own(*frame)) {
        for flags in [P | NX, P | W | NX, P | W | U, P] {
            refused(spare, frame << PAGE_SHIFT | flags);
        }
        for pin in PINS {
            check!(
                call::mmuext(pin, frame, 0).is_err(),
                "{} of {frame:#x}",
                pin.name()
            );
        }
        check!(
            call::mmuext(MmuextCommand::Unpin, frame, 0).is_err(),
            "unpin of {frame:#x}"
        );
        check!(
            call::mmuext(MmuextCommand::NewBaseptr, frame, 0).is_err(),
            "new-baseptr of {frame:#x}"
        );
        check!(
            call::mmu_update(frame << PAGE_SHIFT, 0).is_err(),
            "an entry in frame {frame:#x}"
        );
    }
}

fn forbidden_bits(_: u32) {
    let spare = spare();
    let frame = memory::leaf(spare).mfn() << PAGE_SHIFT;
    const GLOBAL: u32 = 8;
    const LARGE_OR_PAT: u32 = 7;
    for bit in [3, 4, LARGE_OR_PAT, GLOBAL, 59, 60, 61, 62] {
        refused(spare, frame | P | W | 1 << bit);
    }
    for bit in [9, 10, 11, 52, 58] {
        memory::set(spare, frame | P | W | 1 << bit);
        check_eq!(
            memory::leaf(spare).value & 1 << bit,
            1 << bit,
            "bit {bit} is the guest's"
        );
    }
    memory::set(spare, 0xdead_beef_cafe_fff8 & !P);
    check_eq!(
        memory::leaf(spare).value,
        0xdead_beef_cafe_fff8,
        "an absent entry holds anything"
    );
    memory::set(spare, frame | KERNEL_DATA | A | D);
    for level in [2, 3] {
        let Some(entry) = memory::entry(spare, level) else {
            continue;
        };
        for bit in [3, 4, LARGE_OR_PAT, GLOBAL, 59, 60, 61, 62] {
            entry_is_refused(entry, entry.value | 1 << bit);
        }
        // A whole new large page, of frames that are the guest's.
        entry_is_refused(
            Entry::of(entry.machine >> PAGE_SHIFT, 500),
            frame | P | W | 1 << LARGE_OR_PAT,
        );
    }
    // A table of the wrong level.
    let Some(l2) = memory::entry(spare, 2) else { return };
    let Some(l3) = memory::entry(spare, 3) else { return };
    entry_is_refused(
        Entry::of(l2.machine >> PAGE_SHIFT, 501),
        l2.machine & !0xfff | P | W,
    );
    entry_is_refused(
        Entry::of(l3.machine >> PAGE_SHIFT, 501),
        l2.mfn() << PAGE_SHIFT | P | W,
    );
    entry_is_refused(
        Entry::of(l2.machine >> PAGE_SHIFT, 502),
        memory::root_mfn() << PAGE_SHIFT | P | W,
    );
    entry_is_refused(
        Entry::of(memory::root_mfn(), 300),
        memory::root_mfn() << PAGE_SHIFT | P | W,
    );
}

fn the_slot(_: u32) {
    let slot = Entry::of(memory::root_mfn(), HYPERVISOR_SLOT as u64);
    let own_l3 = memory::entry(memory::physmap(0), 4).map_or(0, |entry| entry.value);
    for value in [0, slot.value, slot.value | W, slot.value & !P, own_l3] {
        let done = call::mmu_update(slot.machine, value);
        check!(
            done.is_err(),
            "slot 256 of the root is refused {value:#x}: {done:?}"
        );
    }
    let frame = memory::mfn(memory::allocate()) << PAGE_SHIFT;
    for va in [
        SLOT_BASE,
        SWITCHER_RO,
        SWITCHER_RW,
        SLOT_END - PAGE_SIZE,
        SLOT_BASE + 0x10_0000,
    ] {
        for value in [0, frame | KERNEL_DATA, frame | P] {
            let done = memory::try_set(va, value);
            check!(done.is_err(), "update_va_mapping of {va:#x} is refused: {done:?}");
        }
    }
    // Entries of the tables below slot 256, by the frame that the root names there.
    let l3 = slot.mfn();
    for index in [0, 1, 2, 511] {
        let done = call::mmu_update((l3 << PAGE_SHIFT) + index * 8, frame | KERNEL_DATA);
        check!(done.is_err(), "the slot's L3 is not the guest's: {done:?}");
    }
    check_eq!(
        code::run_in_ring1(&code::UD2).vector,
        u64::from(vector::UD),
        "the switcher works"
    );
    for va in [
        0x0000_8000_0000_0000,
        0x1234_5678_9abc_d000,
        0xffff_7fff_ffff_f000,
    ] {
        check!(
            memory::try_set(va, 0).is_err(),
            "update_va_mapping of {va:#x}, which is no address"
        );
    }
    check!(
        memory::try_set(0x5555_0000_0000, 0).is_err(),
        "update_va_mapping where no L1 table is"
    );
}

fn roots(_: u32) {
    let data = memory::mfn(memory::allocate());
    let l1 = memory::make_table(1);
    let l3 = memory::make_table(3);
    let unpinned = memory::make_table(4);
    let done = call::mmuext(MmuextCommand::Unpin, unpinned, 0);
    check!(done.is_ok(), "unpin: {done:?}");
    let root = memory::root_mfn();
    let shifted = root << PAGE_SHIFT;
    for frame in [
        data,
        l1,
        l3,
        unpinned,
        0,
        0x100,
        1 << 40,
        u64::MAX,
        shifted,
        root | 1 << 52,
        root | 1 << 63,
    ] {
        let done = call::mmuext(MmuextCommand::NewBaseptr, frame, 0);
        check!(done.is_err(), "new-baseptr of {frame:#x} is refused: {done:?}");
    }
    let done = call::mmuext(MmuextCommand::NewBaseptr, root, 8);
    check!(done.is_err(), "a stack that is not aligned is refused: {done:?}");
    let done = call::mmuext(MmuextCommand::NewBaseptr, root, SWITCHER_RW + 0x800);
    check!(done.is_err(), "a stack in the slot is refused: {done:?}");
    let done = call::mmuext(MmuextCommand::NewBaseptr, root, 0);
    check!(done.is_ok(), "the current root may be named again: {done:?}");
    check_eq!(
        code::run_in_ring3(&code::UD2).vector,
        u64::from(vector::UD),
        "traps arrive"
    );
}

fn pins(_: u32) {
    let l1 = memory::make_table(1);
    for pin in PINS {
        check!(call::mmuext(pin, l1, 0).is_err(), "{} of a pinned L1", pin.name());
    }
    check!(call::mmuext(MmuextCommand::Unpin, l1, 0).is_ok(), "unpin");
    check!(call::mmuext(MmuextCommand::Unpin, l1, 0).is_err(), "unpin again");
    for pin in &PINS {
        let done = call::mmuext(*pin, l1, 0);
        check!(
            done.is_ok(),
            "an empty table can be of any level, one after another: {done:?}"
        );
        check!(call::mmuext(MmuextCommand::Unpin, l1, 0).is_ok(), "unpin");
    }
    let data = memory::mfn(memory::allocate());
    check!(
        call::mmuext(MmuextCommand::Unpin, data, 0).is_err(),
        "unpin of a data frame"
    );
    check!(
        call::mmuext(MmuextCommand::PinL1, data, 1).is_err(),
        "a second argument that must be 0"
    );
    // The live root: whatever the pin says, the vCPU holds it.
    for _ in 0..3 {
        let _ = call::mmuext(MmuextCommand::Unpin, memory::root_mfn(), 0);
    }
    let writable = memory::try_set(
        memory::physmap(memory::pfn(memory::root_mfn())),
        memory::root_mfn() << PAGE_SHIFT | KERNEL_DATA,
    );
    check!(writable.is_err(), "the live root is never writable: {writable:?}");
    check_eq!(
        code::run_in_ring3(&code::UD2).vector,
        u64::from(vector::UD),
        "traps arrive"
    );
}

/// A root with the same entries as the current one; `slot_256` goes into the hypervisor's. Not pinned.
fn copied_root(slot_256: u64) -> u64 {
    let frame = memory::allocate();
    for index in 0..512 {
        let value = if index == HYPERVISOR_SLOT as u64 {
            slot_256
        } else {
            Entry::of(memory::root_mfn(), index).value
        };
        memory::poke(memory::physmap(frame) + index * 8, value);
    }
    memory::make_read_only(memory::physmap(frame));
    memory::mfn(frame)
}

fn switch_root(mfn: u64) {
    let done = call::mmuext(MmuextCommand::NewBaseptr, mfn, 0);
    check!(done.is_ok(), "new-baseptr of {mfn:#x}: {done:?}");
    memory::set_root_mfn(mfn);
}

fn second_root(_: u32) {
    // Both roots are to share the tables of the kernel's and the user's areas.
    let _ = (spare(), memory::user_pages(1, memory::USER_DATA));
    let first = memory::root_mfn();
    let second = copied_root(0);
    let done = call::mmuext(MmuextCommand::PinL4, second, 0);
    check!(done.is_ok(), "a copy of the root is a root: {done:?}");
    for _ in 0..3 {
        switch_root(second);
        check!(
            Entry::of(second, HYPERVISOR_SLOT as u64).is_present(),
            "the slot is filled in"
        );
        check_eq!(
            code::run_in_ring1(&code::UD2).vector,
            u64::from(vector::UD),
            "traps from ring 1"
        );
        check_eq!(
            code::run_in_ring3(&code::UD2).vector,
            u64::from(vector::UD),
            "traps from ring 3"
        );
        call::block(2_000_000, 0);
        switch_root(first);
        check_eq!(
            code::run_in_ring1(&code::UD2).vector,
            u64::from(vector::UD),
            "traps on the first root"
        );
    }
    let done = call::mmuext(MmuextCommand::Unpin, second, 0);
    check!(done.is_ok(), "the second root is let go: {done:?}");
    check_eq!(
        Entry::of(second, HYPERVISOR_SLOT as u64).value,
        0,
        "the slot of what is no root any more"
    );
    memory::set(
        memory::physmap(memory::pfn(second)),
        second << PAGE_SHIFT | KERNEL_DATA,
    );
}

fn root_with_slot(_: u32) {
    let own = memory::entry(memory::physmap(0), 4).map_or(0, |entry| entry.value);
    let hypervisors = Entry::of(memory::root_mfn(), HYPERVISOR_SLOT as u64).value;
    for value in [own, hypervisors, 2, 1 << 62, P] {
        let root = copied_root(value);
        let done = call::mmuext(MmuextCommand::PinL4, root, 0);
        check!(
            done.is_err(),
            "a root with {value:#x} in slot 256 is refused: {done:?}"
        );
    }
}

fn two_places(_: u32) {
    let page = spare();
    let Some(l2) = memory::entry(page, 2) else { return };
    let far = Entry::of(l2.machine >> PAGE_SHIFT, 400);
    check!(!far.is_present(), "entry 400 is free");
    let done = call::mmu_update(far.machine, l2.value & !W);
    check!(done.is_ok(), "an L1 table in a second place, read-only: {done:?}");
    let this = page >> 21 & 511;
    let other = page - (this << 21) + (400 << 21);
    memory::poke(page, 0x1234);
    check_eq!(memory::peek(other), 0x1234, "the same frame");
    let stored = attempt(|| memory::poke(other, 1));
    check!(
        stored.is_err_and(|f| f.vector == 14 && f.error == 3 && f.cr2 == other),
        "a store there faults"
    );
    let done = call::mmu_update(far.machine, 0);
    check!(done.is_ok(), "the second place is given up: {done:?}");
    check_eq!(memory::peek(page), 0x1234, "the first one stays");
}

fn user_pages(_: u32) {
    let page = memory::user_pages(1, P | W | U);
    memory::poke(
        page,
        u64::from_le_bytes([0x0f, 0x0b, 0x0f, 0x0b, 0x0f, 0x0b, 0x0f, 0x0b]),
    );
    check_eq!(
        memory::peek_byte(page),
        0x0f,
        "ring 1 reads and writes a user page"
    );
    let found = trap::run(&Frame::ring1(page, memory::stack(1)));
    check_eq!(
        (found.vector, found.error, found.cr2),
        (14, 0x11, page),
        "ring 1 does not execute it"
    );
    let found = trap::run(&Frame::ring3(page, memory::user_stack()));
    check_eq!(found.vector, u64::from(vector::UD), "ring 3 does");
    let kernel = spare();
    let found = trap::run(&Frame::ring3(kernel, memory::user_stack()));
    check_eq!(
        (found.vector, found.error, found.cr2),
        (14, 0x15, kernel),
        "ring 3 does not fetch from kernel pages"
    );
}

fn stale(_: u32) {
    let page = spare();
    memory::poke(page, 1);
    let value = memory::unmap(page);
    let load = attempt(|| {
        let _ = memory::peek(page);
    });
    check!(
        load.is_err_and(|f| f.vector == 14 && f.cr2 == page && f.error == 0),
        "a load after the unmap faults"
    );
    memory::set(page, value);
    memory::poke(page, 2);
    memory::set(page, value & !W);
    let store = attempt(|| memory::poke(page, 3));
    check!(
        store.is_err_and(|f| f.vector == 14 && f.cr2 == page && f.error == 3),
        "a store after W is gone faults"
    );
    memory::set(page, value);
    memory::poke(page, 4);
    let done = call::mmu_update(memory::leaf(page).machine, 0);
    check!(done.is_ok(), "unmap by mmu_update: {done:?}");
    let done = call::mmuext(MmuextCommand::InvlpgLocal, page, 0);
    check!(done.is_ok(), "invlpg: {done:?}");
    let load = attempt(|| {
        let _ = memory::peek(page);
    });
    check!(load.is_err_and(|f| f.vector == 14), "a load after invlpg faults");
    let done = call::update_va_mapping(page, value, UVMF_INVLPG);
    check!(done.is_ok(), "mapped again: {done:?}");
    check_eq!(memory::peek(page), 4, "the page is what it was");
}

fn stale_after_retype(_: u32) {
    for command in PINS {
        let page = spare();
        let frame = memory::leaf(page).mfn();
        let alias = memory::alias(page);
        // Both translations are in the TLB, writable.
        memory::poke(page, 0);
        memory::poke(alias, 0);
        for va in [page, alias] {
            let done = call::update_va_mapping(va, memory::leaf(va).value & !W, abi::mmu::UVMF_NONE);
            check!(done.is_ok(), "read-only, no flush asked for: {done:?}");
        }
        let pinned = call::mmuext(command, frame, 0);
        check!(pinned.is_ok(), "{}: {pinned:?}", command.name());
        for va in [page, alias] {
            let stored = attempt(|| memory::poke(va + 8, P | W));
            check!(
                stored.is_err_and(|f| f.vector == 14 && f.error == 3),
                "a store to the table at {va:#x} faults"
            );
            check_eq!(memory::peek(va + 8), 0, "nothing was stored");
        }
    }
}

fn fresh(_: u32) {
    let info = start_info();
    for pfn in info.first_free_pfn..info.nr_pages {
        for word in 0..PAGE_SIZE / 8 {
            let at = memory::physmap(pfn) + word * 8;
            check_eq!(memory::peek(at), 0, "word {word} of free frame {pfn}");
            memory::poke(at, 0x5ec2_e7ed_0bad_f00d);
        }
    }
}

fn no_alias(_: u32) {
    const FRAMES: u64 = 1 << 15;
    let bitmap = memory::kernel_pages(FRAMES / 8 / PAGE_SIZE, KERNEL_DATA);
    let spare = spare();
    for pfn in 0..start_info().nr_pages {
        let mfn = memory::mfn(pfn);
        if mfn < FRAMES {
            let at = bitmap + mfn / 64 * 8;
            memory::poke(at, memory::peek(at) | 1 << (mfn % 64));
        }
    }
    for mfn in 0..FRAMES {
        if memory::peek(bitmap + mfn / 64 * 8) & 1 << (mfn % 64) == 0 {
            let done = memory::try_set(spare, mfn << PAGE_SHIFT | P | NX);
            check!(done.is_err(), "frame {mfn:#x} is not ours, yet it is mapped");
        }
    }
}
