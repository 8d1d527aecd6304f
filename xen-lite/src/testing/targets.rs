//! What any bytes at all may do, each a function of bytes that panics where a promise is broken: property tests give it random
//! ones, and `fuzz/` those that a coverage-guided fuzzer finds.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a broken promise is told by a panic"
)]
use super::bytes::Bytes;
use super::world::{Bench, PAGES, at};
use crate::addr::Mfn;
use crate::boot_image::{BootImage, is_good_name};
use crate::domain::layout::Layout;
use crate::elf::KernelPlan;
use crate::hypercall::{Answer, Outcome, dispatch};
use crate::paging::{Owner, PageType, Progress, Teardown, TeardownProgress, take_apart_one};
use crate::switcher::Registers;
use crate::trap::frame::{check_entry_point, check_stack_pointer};
use crate::trap::table::Handler;
use crate::upcall::{self, Entry};
use abi::errno::Errno;
use abi::event::SharedInfo;
use abi::hypercall::Hypercall;
use abi::layout::{PHYSMAP, SLOT_BASE, SLOT_END, SWITCHER_RW, in_hypervisor_slot, is_canonical};

/// A boot module, for a machine of as many modules as the first byte says.
pub fn boot_image(bytes: &[u8]) {
    let mut bytes = Bytes::new(bytes);
    let modules = u32::from(bytes.byte());
    let Ok(image) = BootImage::parse(bytes.rest(), modules) else {
        return;
    };
    assert_eq!(image.domains().count(), image.domain_count() as usize);
    assert!(image.console_domain() < image.domain_count());
    for spec in image.domains() {
        assert!(is_good_name(spec.name.as_bytes()) && spec.weight > 0 && spec.memory_frames > 0);
        assert!(spec.kernel_module > 0 && spec.kernel_module < modules);
        assert!(spec.guest_module.is_none_or(|module| module < modules));
        assert!(spec.command_line.len() < 1024);
    }
}

/// A kernel file as it is.
pub fn kernel_file(bytes: &[u8]) {
    if let Ok(plan) = KernelPlan::from_elf(bytes) {
        keeps_its_promises(&plan, bytes);
    }
}

/// A kernel file whose header and program headers are made of choices, so that most are nearly good.
pub fn kernel_headers(bytes: &[u8]) {
    let mut bytes = Bytes::new(bytes);
    let count = 1 + bytes.below(5);
    let mut file = vec![0_u8; 64];
    file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    let put = |file: &mut Vec<u8>, at: usize, value: &[u8]| file[at..at + value.len()].copy_from_slice(value);
    put(&mut file, 16, &2_u16.to_le_bytes());
    put(&mut file, 18, &62_u16.to_le_bytes());
    put(&mut file, 20, &1_u32.to_le_bytes());
    let addresses = [
        0x40_0000,
        0x40_1000,
        0xffff_ffff_8000_0000,
        0xffff_ffff_8000_1000,
        0xffff_ffff_ffff_f000,
        0,
        0x7fff_ffff_f000,
        SLOT_BASE - 0x1000,
        SLOT_BASE,
        SLOT_END - 0x1000,
        PHYSMAP,
        PHYSMAP - 0x1000,
        1 << 47,
    ];
    let near = |bytes: &mut Bytes<'_>, value: u64| {
        let offset = u64::from(bytes.of(&[0_u16, 0, 0, 1, 8, 0xfff, 0x1000]));
        value.wrapping_add(offset)
    };
    let entry = bytes.of(&addresses);
    let entry = near(&mut bytes, entry);
    put(&mut file, 24, &entry.to_le_bytes());
    put(&mut file, 32, &64_u64.to_le_bytes());
    put(&mut file, 52, &64_u16.to_le_bytes());
    put(&mut file, 54, &56_u16.to_le_bytes());
    put(&mut file, 56, &u16::from(count).to_le_bytes());
    for _ in 0..count {
        let mut header = Vec::new();
        header.extend(bytes.of(&[1_u32, 1, 1, 1, 4, 2, 0]).to_le_bytes());
        header.extend(u32::from(bytes.below(8)).to_le_bytes());
        header.extend(u64::from(bytes.of(&[0_u16, 64, 0x100, 0x400, 0xffff])).to_le_bytes());
        let address = bytes.of(&addresses);
        let address = near(&mut bytes, address);
        header.extend(address.to_le_bytes());
        header.extend(address.to_le_bytes());
        let small = u64::from(bytes.byte()) * 16;
        let file_size = bytes.of(&[small, small, small, u64::MAX, 1 << 63]);
        header.extend(file_size.to_le_bytes());
        let more = bytes.of(&[0, 0x1000, 0x3001, 1 << 40, u64::MAX]);
        header.extend(file_size.wrapping_add(more).to_le_bytes());
        header.extend(0x1000_u64.to_le_bytes());
        file.extend(header);
    }
    file.resize(0x1000, 0x90);
    // Any byte of the headers may be any other.
    for _ in 0..bytes.below(4) {
        let (offset, value) = (usize::from(bytes.byte()), bytes.byte());
        file[offset] = value;
    }
    kernel_file(&file);
}

fn keeps_its_promises(plan: &KernelPlan, file: &[u8]) {
    let mut pages: Vec<(u64, u64)> = Vec::new();
    for segment in plan.segments() {
        let (first, last) = (segment.vaddr, segment.last());
        assert!(first < last && segment.pages > 0);
        for address in [first, last] {
            assert!(
                is_canonical(address) && !in_hypervisor_slot(address),
                "{address:#x}"
            );
            assert!(address >> 39 != PHYSMAP >> 39, "{address:#x} is the physmap's");
        }
        for page in [0, 1, segment.pages - 1] {
            let (offset, part) = segment.bytes_of_page(file, page);
            assert!(offset + part.len() <= 4096);
        }
        pages.push((first, last));
    }
    pages.sort_unstable();
    assert!(
        pages.windows(2).all(|pair| pair[0].1 < pair[1].0),
        "two on one page"
    );
    // A domain of any size: the layout refuses, or holds everything.
    for frames in [1, 64, 4096] {
        let Ok(layout) = Layout::new(plan, 5000, frames) else {
            continue;
        };
        for number in 0.. {
            let Some(table) = layout.table(number) else { break };
            for slot in [0, 255, 256, 511] {
                let _ = layout.entry(table, slot);
            }
        }
        for pfn in 0..frames {
            let _ = layout.contents(pfn);
        }
    }
}

/// Hypercalls of two domains, with whatever they write to their memory in between, and returns at any place.
pub fn hypercalls(bytes: &[u8]) {
    let mut bytes = Bytes::new(bytes);
    let mut bench = Bench::new(2);
    let frames: Vec<Mfn> = owned(&bench);
    while !bytes.is_empty() {
        let domain = usize::from(bytes.below(2));
        match bytes.below(8) {
            0..3 => {
                let page = bytes.of(&[0, 1, 5]);
                let offset = u64::from(bytes.byte()) * 8;
                let value = word(&mut bytes, &frames);
                scribble(&mut bench, domain, page, offset, value);
            }
            3 => {
                let offset = usize::from(bytes.byte()) * 8 % size_of::<SharedInfo>();
                let value = bytes.of(&[0, 1, 0x100, 0x101, u64::MAX]);
                bench.set_shared(domain, offset, value);
            }
            4 => come_back(&mut bench, domain, &mut bytes),
            _ => {
                let number = if bytes.below(16) == 0 {
                    bytes.word()
                } else {
                    bytes.of(Hypercall::ALL).raw()
                };
                let arguments = [(); 5].map(|()| word(&mut bytes, &frames));
                call(&mut bench, domain, number, arguments);
            }
        }
    }
    bench.audit();
    for domain in 0..bench.domains.len() {
        take_back(&mut bench, domain);
    }
}

fn owned(bench: &Bench) -> Vec<Mfn> {
    let frames = &bench.world.frames;
    let all = (0..frames.frame_count()).map(Mfn);
    all.filter(|&mfn| matches!(frames.owner(mfn), Owner::Domain(_)))
        .collect()
}

/// A word that may mean something as a number, a pointer, a frame, an entry.
fn word(bytes: &mut Bytes<'_>, frames: &[Mfn]) -> u64 {
    let frame = frames[usize::from(bytes.byte()) % frames.len()];
    match bytes.below(10) {
        0 => u64::from(bytes.byte()),
        1 => u64::from(frame.0),
        2 => frame.address() | bytes.of(&[1, 3, 7, 0x27, 0x8000_0000_0000_0003]),
        3 => {
            frame.address()
                + 8 * u64::from(bytes.of(&[0_u16, 1, 3, 255, 256, 511]))
                + u64::from(bytes.below(2))
        }
        4..7 => at(
            u64::from(bytes.below(7)),
            u64::from(bytes.of(&[0_u16, 8, 64, 0xff0, 0xff8, 0xfff])),
        ),
        7 => bytes.of(&[0, 1, 2, 3, 29, 64, 65, 256, 257, 512, 513, u64::MAX, 1 << 63]),
        8 => {
            let edge = bytes.of(&[
                SLOT_BASE,
                SLOT_END,
                SWITCHER_RW,
                1 << 47,
                0xffff << 47,
                0x19,
                0x80,
            ]);
            edge.wrapping_add(u64::from(bytes.of(&[0_u8, 8, 16, 48])))
                .wrapping_sub(16)
        }
        _ => bytes.word(),
    }
}

/// A guest writes to a page of its own, if it is mapped and no table.
fn scribble(bench: &mut Bench, domain: usize, page: u64, offset: u64, value: u64) {
    let (mem, dom) = (&bench.world.mem, &bench.domains[domain].memory);
    let Some(root) = dom.root() else { return };
    let walk = crate::guest_mem::walk(&bench.world.frames, mem, root, PAGES + page * 4096);
    if walk.check(crate::guest_mem::Access::Write).is_ok() {
        let va = at(page, offset);
        let frame = bench.page(domain, va);
        assert_eq!(
            bench.world.frames.page_type(frame),
            PageType::Writable,
            "what a guest can write is writable"
        );
        bench.write(domain, va, &[value]);
    }
}

fn call(bench: &mut Bench, domain: usize, number: u64, arguments: [u64; 5]) {
    let outcome = dispatch(&mut bench.world, &mut bench.domains, domain, number, arguments);
    if let Outcome::Return(Answer { value, .. }) = outcome {
        let known = value >> 63 == 0 || Errno::from_rax(value).is_some();
        assert!(known, "call {number} returns {value:#x}");
    }
    let mut after = core::mem::take(&mut bench.world.after);
    for base in after.take_bases().into_iter().flatten() {
        assert!(is_canonical(base) && !in_hypervisor_slot(base), "base {base:#x}");
    }
    // Before its caller goes on, all is taken apart.
    let world = &mut bench.world;
    let memory = &mut bench.domains[domain].memory;
    while memory.has_leaving_tables() {
        let (Progress::More | Progress::Done) = take_apart_one(&mut world.frames, &mut world.mem, memory);
    }
    let vcpu = &bench.domains[domain].vcpu;
    assert!(vcpu.kernel_stack == 0 || check_stack_pointer(vcpu.kernel_stack).is_ok());
    let upcall = vcpu.upcall.map(|upcall| upcall.address);
    for address in [vcpu.syscall_entry, upcall].into_iter().flatten() {
        assert!(check_entry_point(address).is_ok(), "entry {address:#x}");
    }
    for (vector, handler) in vcpu.traps.handlers() {
        if let Handler::Bounce { address, .. } | Handler::Direct { address, .. } = handler {
            assert!(
                check_entry_point(address).is_ok(),
                "handler {address:#x} of {vector}"
            );
        }
    }
}

/// The guest was interrupted somewhere, and goes on.
fn come_back(bench: &mut Bench, domain: usize, bytes: &mut Bytes<'_>) {
    let frames = owned(bench);
    let registers = Registers {
        rip: word(bytes, &frames),
        rsp: word(bytes, &frames),
        cs: bytes.of(&[0x19, 0x33, 0x81, 0]),
        ..Registers::default()
    };
    bench.domains[domain].vcpu.registers = registers;
    match upcall::enter(&mut bench.world, &mut bench.domains[domain]) {
        Entry::AsItIs | Entry::Kill(..) => {}
        Entry::Bounce => assert!(bench.domains[domain].vcpu.upcall.is_some()),
    }
}

fn take_back(bench: &mut Bench, domain: usize) {
    let world = &mut bench.world;
    let memory = &mut bench.domains[domain].memory;
    let mut teardown = Teardown::begin(&mut world.frames, memory);
    for steps in 0.. {
        assert!(steps < 10_000, "teardown does not end");
        if let TeardownProgress::Done { returned, owned } =
            teardown.step(&mut world.frames, &mut world.mem, memory)
        {
            assert_eq!(returned, owned, "frames are lost");
            break;
        }
    }
    bench.audit();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_boot_image_or_none(bytes in vec(any::<u8>(), 0..3000)) {
            boot_image(&bytes);
        }

        #[test]
        fn any_bytes_are_a_kernel_or_none(bytes in vec(any::<u8>(), 0..600)) {
            kernel_file(&bytes);
        }

        #[test]
        fn any_headers_are_a_kernels_or_none(bytes in vec(any::<u8>(), 0..120)) {
            kernel_headers(&bytes);
        }

        #[test]
        fn any_calls_leave_the_machine_whole(bytes in vec(any::<u8>(), 0..2000)) {
            hypercalls(&bytes);
        }
    }
}
