//! xen-lite: the machine. Decisions are in the library; here is what carries them out.
//!
//! `boot` is the order in which the machine is taken over. The rest is entered from guests, through the switcher.
#![no_std]
#![no_main]

extern crate alloc;

mod boot_info;
mod clock;
mod cpu;
mod cpu_test;
mod crash;
mod entry;
mod fpu;
mod machine;
mod memory;
mod panic;
mod ports;
mod power;
mod serial;
mod stacks;
mod switcher;
mod terminal;

use abi::boot_image::{MAX_DOMAINS, NO_MODULE};
use abi::start_info::flags;
use alloc::vec::Vec;
use boot_info::BootInfo;
use buddy_system_allocator::LockedHeap;
use clock::Clock;
use core::cell::UnsafeCell;
use cpu::Features;
use fpu::Fpu;
use machine::{Ends, Loaded, Machine};
use memory::{DIRECT_MAP, DirectMap, Memory};
use serial::Uart;
use terminal::Terminal;
use xen_lite::addr::{DomainId, Level, Mfn};
use xen_lite::boot_image::BootImage;
use xen_lite::console::turns::Turns;
use xen_lite::descriptor::TssState;
use xen_lite::domain::Domain;
use xen_lite::hypercall::{After, Staging, Work, World};
use xen_lite::paging::{FrameInfo, FrameTable, Sampling};
use xen_lite::platform::PhysMem;
use xen_lite::record::{Record, SelfTest};
use xen_lite::sched::set::Set;
use xen_lite::sched::turn::{Scheduler, State};
use xen_lite::switcher::Registers;
use xen_lite::vcpu::{Common, VcpuSet};

const COM1: u16 = 0x3f8;
const COM2: u16 = 0x2f8;
/// The heap holds domain records and what boot reads; nothing on it grows with what guests do. Its blocks are powers of
/// two, and a list that grows needs the old one and the new one at once.
const HEAP_SIZE: u64 = 4 * (MAX_DOMAINS * size_of::<Domain>()).next_power_of_two() as u64;

#[global_allocator]
static HEAP: LockedHeap<32> = LockedHeap::empty();

/// Bytes of the heap that are in use, as its blocks are.
fn heap_used() -> u64 {
    HEAP.lock().stats_alloc_actual() as u64
}

/// Where the boot set saves registers: those of the self-test.
struct IdleRegisters(UnsafeCell<Registers>);
// SAFETY: only the switcher writes it, only `idle_registers` reads it, never at once.
unsafe impl Sync for IdleRegisters {}
static IDLE_REGISTERS: IdleRegisters = IdleRegisters(UnsafeCell::new(Registers::ZERO));

/// What the self-test left in its registers.
fn idle_registers() -> Registers {
    // SAFETY: the switcher is done with it.
    unsafe { IDLE_REGISTERS.0.get().read() }
}

/// Takes the machine over. `address` and `magic` are the boot loader's.
extern "C" fn boot(address: u64, magic: u64) -> ! {
    let people = ports::start(Uart::new(COM1), Uart::new(COM2));
    // SAFETY: the boot code passes on what the loader gave it, under its one-to-one view of memory.
    let info =
        unsafe { BootInfo::read(address, magic as u32) }.unwrap_or_else(|why| panic::cannot_start(why));
    // SAFETY: this is boot, under the boot tables.
    let memory = unsafe { Memory::new(&info, size_of::<FrameInfo>() as u64, HEAP_SIZE) }
        .unwrap_or_else(|why| panic::cannot_start(why));
    // SAFETY: the range is RAM of our own, mapped, used by nothing else.
    unsafe {
        HEAP.lock().init(
            memory.heap.start as usize,
            (memory.heap.end - memory.heap.start) as usize,
        )
    };

    let features = Features::read();
    // SAFETY: this is boot; the root maps the image.
    unsafe { cpu::set_registers(&features) };
    let fpu = features.xcr0.map_or(Fpu::Fxsave, Fpu::Xsave);
    clock::mask_pic();
    // SAFETY: `Memory::new` has mapped the APIC there.
    let clock = unsafe { Clock::new(memory::APIC_ADDRESS) };

    let mut world = World {
        mem: DirectMap,
        frames: frame_table(&memory),
        common: common(&memory),
        after: After::default(),
        next_timer: u64::MAX,
        stirred: Set::EMPTY,
        has_text: false,
        work: Work::PER_CALL,
        staging: Staging::EMPTY,
    };
    world.common.machine_to_pfn = map_machine_to_pfn(&mut world, &memory);
    let registers_end = IDLE_REGISTERS.0.get() as u64 + size_of::<Registers>() as u64;
    let idle_set = new_set(&mut world, registers_end, TssState::Available)
        .unwrap_or_else(|| panic::cannot_start("no memory for the first vCPU set"));

    let modules = modules(&info);
    let image = modules
        .first()
        .map_or(Err("no boot module: nothing to run"), |first| Ok(*first));
    let image = image.unwrap_or_else(|why| panic::cannot_start(why));
    let image = BootImage::parse(image, modules.len() as u32).unwrap_or_else(|why| panic::bad_image(&why));

    // SAFETY: this is boot, and no guest runs yet.
    let machine = unsafe {
        machine::install(Machine {
            world,
            domains: Vec::new(),
            terminal: Terminal::new(people),
            start_flags: start_flags(&features),
            root: Mfn((memory.root / abi::layout::PAGE_SIZE) as u32),
            image,
            modules,
            clock,
            features,
            fpu,
            idle_set,
            loaded: Loaded::NOBODY,
            scheduler: Scheduler::new(),
            ends: Ends::default(),
            cpu_test: None,
            turns: Turns::new(),
            next_key_look: 0,
            running_since: None,
            wall_clock_s: clock::wall_clock_s(),
            sampling: Sampling::new(image.audit_turns()),
            may_be_over: true,
            witness_mark: None,
        })
    };
    machine.show_idle_set();
    // SAFETY: the idle set is complete and shown, its TSS available.
    unsafe { cpu::load_tables(DIRECT_MAP + idle_set.gdt_physical()) };
    machine.start_cpu_test()
}

impl Machine {
    /// The rest of boot: makes the domains and gives the first turn.
    pub(crate) fn start_guests(&mut self, isolates_ring1: bool) -> ! {
        self.terminal
            .say(format_args!("xen-lite 0.1: guest kernels in ring 1, x86-64"));
        let frames = self.world.frames.free_count();
        self.terminal.say(format_args!("{} frames of 4 KiB free", frames));
        let self_test = if isolates_ring1 {
            SelfTest::Ok
        } else {
            SelfTest::NullSsUnsafe
        };
        if !isolates_ring1 {
            self.start_flags |= flags::NULL_SS_UNSAFE;
            self.terminal.say(format_args!(
                "THIS CPU DOES NOT ISOLATE RING 1: a guest kernel that loads a null SS becomes ring 0 (QEMU's TCG does this)"
            ));
        }
        ports::record(&Record::Start {
            frames: u64::from(frames),
            self_test,
        });
        let image = self.image;
        let heap = heap_used();
        self.domains.reserve_exact(image.domain_count() as usize);
        for (number, spec) in image.domains().enumerate() {
            let set = new_set(&mut self.world, 0, TssState::Busy);
            let state = self.world.frames.alloc_hypervisor(&mut self.world.mem);
            let (Some(set), Some(state)) = (set, state) else {
                panic::cannot_start("no memory for the domains' own pages")
            };
            self.domains
                .push(Domain::new(DomainId(number as u16), spec, set, state));
        }
        for domain in &mut self.domains {
            // The vector never grows again, so this address is the domain's for good.
            let end = &raw const domain.vcpu.registers as u64 + size_of::<Registers>() as u64;
            domain.vcpu.registers_end = end;
        }
        ports::record(&Record::Kept {
            domains: self.domains.len() as u64,
            frames: u64::from(frames - self.world.frames.free_count()),
            heap: heap_used() - heap,
        });
        self.terminal
            .introduce(&self.domains, image.console_domain() as usize);
        for (index, domain) in self.domains.iter().enumerate() {
            self.scheduler.add(index, domain.config.weight, State::Building);
        }
        self.next_turn()
    }
}

/// The machine's part of `start_info.flags`.
fn start_flags(features: &Features) -> u64 {
    [
        (features.smep, flags::SMEP),
        (features.fsgsbase, flags::FSGSBASE),
        (features.xcr0.is_some(), flags::XSAVE),
        (features.umip, flags::UMIP),
    ]
    .into_iter()
    .filter_map(|(present, flag)| present.then_some(flag))
    .sum()
}

fn frame_table(memory: &Memory) -> FrameTable<'static> {
    let first = (DIRECT_MAP + memory.frame_table) as *mut FrameInfo;
    // SAFETY: the array is RAM of our own, zeroed, mapped for good; all-zero bytes are a `FrameInfo`.
    let infos = unsafe { core::slice::from_raw_parts_mut(first, memory.frame_limit as usize) };
    let mut frames = FrameTable::new(infos);
    for range in memory.free_frames() {
        frames.add_ram(Mfn(range.start), range.end - range.start);
    }
    frames
}

/// What all sets have in common, but for the L2 table of the machine-to-pfn table, which needs frames first.
fn common(memory: &Memory) -> Common {
    let (text, size) = switcher::text_physical();
    Common {
        text: Mfn((text / abi::layout::PAGE_SIZE) as u32),
        text_frames: (size / abi::layout::PAGE_SIZE) as u32,
        machine_to_pfn: Mfn(0),
        machine_to_pfn_table: Mfn((memory.machine_to_pfn / abi::layout::PAGE_SIZE) as u32),
        stubs: *switcher::stubs(),
        masked_stubs: *switcher::masked_stubs(),
        no_syscall: switcher::text_address(switcher::Label::NoSyscall),
        hypervisor_cr3: memory.root,
        stack: stacks::MAIN.top(),
        fault_stack: stacks::FAULT.top(),
        // The NMI's nine pushes leave it 16-aligned from here.
        nmi_stack: stacks::NMI.top() - 8,
    }
}

/// The L2 table that shows the machine-to-pfn table, read-only, in large pages, to every guest.
fn map_machine_to_pfn(world: &mut World<'static, DirectMap>, memory: &Memory) -> Mfn {
    const LARGE: u64 = 2 << 20;
    let Some(table) = world.frames.alloc_hypervisor(&mut world.mem) else {
        panic::cannot_start("no memory for the machine-to-pfn table's map")
    };
    for index in 0..memory.machine_to_pfn_size / LARGE {
        let page = memory.machine_to_pfn + index * LARGE;
        world
            .mem
            .write(table, index as usize, page | 1 << 63 | 1 << 7 | 1);
    }
    debug_assert!(Level::L2.index_of(abi::layout::MACHINE_TO_PFN) == 0);
    table
}

fn new_set(world: &mut World<'static, DirectMap>, registers_end: u64, tss: TssState) -> Option<VcpuSet> {
    let mut frames = [Mfn(0); VcpuSet::FRAMES];
    for frame in &mut frames {
        *frame = world.frames.alloc_hypervisor(&mut world.mem)?;
    }
    Some(VcpuSet::new(
        &mut world.mem,
        frames,
        &world.common,
        registers_end,
        tss,
    ))
}

/// The boot modules, through the direct map; they stay where they are, for restarts.
fn modules(info: &BootInfo) -> Vec<&'static [u8]> {
    const _: () = assert!(NO_MODULE == 0, "index 0 is the image's own module");
    info.modules()
        .iter()
        .map(|module| {
            let first = (DIRECT_MAP + module.start) as *const u8;
            // SAFETY: the loader put the module there; its frames were kept out of the frame table; nobody writes it.
            unsafe { core::slice::from_raw_parts(first, (module.end - module.start) as usize) }
        })
        .collect()
}
