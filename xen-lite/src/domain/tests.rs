//! Whole lives: built from a kernel's file, ended wherever a person may end them, taken back to the last frame.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]
use super::build::{self, Build, BuildError, Builder};
use super::*;
use crate::addr::Level;
use crate::descriptor::TssState;
use crate::hypercall::{After, Answer, Outcome, Staging, Work, World, dispatch};
use crate::paging::{TeardownProgress, audit};
use crate::sched::set::Set;
use crate::testing::{ArrayMem, frame_table};
use crate::vcpu::Common;
use abi::boot_image::RestartPolicy;
use abi::hypercall::Hypercall;
use abi::layout::PHYSMAP;

const FRAMES: u32 = 512;
/// No RAM.
const RESERVED: u32 = 2;
/// Of the domain.
const PAGES: u64 = 40;
const KERNEL: u64 = 0xffff_ffff_8010_0000;
/// More steps than any life here takes.
const MANY: usize = 10_000;

struct Machine {
    world: World<'static, ArrayMem>,
    domains: Vec<Domain>,
    modules: Vec<&'static [u8]>,
    /// Frames that are free while no domain has any.
    free: u32,
}

/// A kernel of one page, in an allocation whose address is a multiple of 8.
fn kernel() -> &'static [u8] {
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0];
    file.resize(16, 0);
    file.extend(2u16.to_le_bytes());
    file.extend(62u16.to_le_bytes());
    file.extend(1u32.to_le_bytes());
    for word in [KERNEL, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 1, 64, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1u32.to_le_bytes());
    file.extend(5u32.to_le_bytes());
    for word in [0x200, KERNEL, 0, 0x100, 0x100, 0x1000] {
        file.extend(u64::to_le_bytes(word));
    }
    file.resize(0x300, 0x90);
    let room = Vec::leak(vec![0u8; file.len() + 8]);
    let shift = room.as_ptr().align_offset(8);
    room[shift..shift + file.len()].copy_from_slice(&file);
    &room[shift..shift + file.len()]
}

impl Machine {
    fn new() -> Self {
        let mut frames = frame_table(FRAMES as usize);
        let mut mem = ArrayMem::new(FRAMES as usize);
        frames.add_ram(Mfn(RESERVED), FRAMES - RESERVED);
        let mut own = || frames.alloc_hypervisor(&mut mem).unwrap();
        let common = Common {
            text: own(),
            text_frames: 1,
            machine_to_pfn: own(),
            machine_to_pfn_table: own(),
            stubs: [0; 35],
            masked_stubs: [0; 32],
            no_syscall: 0,
            hypervisor_cr3: 0,
            stack: 0,
            fault_stack: 0,
            nmi_stack: 0,
        };
        let set = [(); VcpuSet::FRAMES].map(|()| frames.alloc_hypervisor(&mut mem).unwrap());
        let vector_state = frames.alloc_hypervisor(&mut mem).unwrap();
        let set = VcpuSet::new(&mut mem, set, &common, 0, TssState::Busy);
        let config = DomainSpec {
            name: "web",
            command_line: b"",
            memory_frames: PAGES,
            kernel_module: 1,
            guest_module: None,
            symbols_module: None,
            weight: 1,
            restart: RestartPolicy::Never,
            restart_max: 0,
            record_line: true,
            witness: false,
        };
        let free = frames.free_count();
        Self {
            world: World {
                mem,
                frames,
                common,
                after: After::default(),
                next_timer: u64::MAX,
                stirred: Set::EMPTY,
                has_text: false,
                work: Work::PER_CALL,
                staging: Staging::EMPTY,
            },
            domains: vec![Domain::new(DomainId(0), config, set, vector_state)],
            modules: vec![&[], kernel()],
            free,
        }
    }

    /// Builds for at most so many steps; the builder if the domain cannot run yet.
    fn build(&mut self, steps: usize) -> Option<Builder> {
        let mut builder = Builder::new();
        for _ in 0..steps {
            match build::step(
                &mut self.world,
                &mut self.domains[0],
                &mut builder,
                &self.modules,
                0,
            ) {
                Build::More => {}
                Build::Done => return None,
                Build::Failed(error) => panic!("{error}"),
            }
        }
        Some(builder)
    }

    fn audit(&mut self) {
        let domains = self.domains.iter().map(|domain| &domain.memory);
        if let Err(fault) = audit(&mut self.world.frames, &self.world.mem, domains) {
            panic!("audit: {fault}");
        }
    }

    /// What destroying does: ports closed, memory taken back step by step, each with a clean audit if `audits`.
    fn destroy(&mut self, audits: bool) {
        event::close_all(&mut self.domains, 0);
        let mut teardown = Teardown::begin(&mut self.world.frames, &mut self.domains[0].memory);
        for _ in 0..MANY {
            if audits {
                self.audit();
            }
            let World { mem, frames, .. } = &mut self.world;
            let progress = teardown.step(frames, mem, &mut self.domains[0].memory);
            if let TeardownProgress::Done { returned, owned } = progress {
                assert_eq!(returned, owned);
                self.audit();
                assert_eq!(self.world.frames.free_count(), self.free, "a frame leaked");
                return;
            }
        }
        panic!("the teardown does not end");
    }

    /// Writes words to the guest's stack page, and says where they are.
    fn put(&mut self, words: &[u64]) -> u64 {
        let va = self.domains[0].vcpu.registers.rsp & !0xfff;
        let va = if va == self.domains[0].vcpu.registers.rsp {
            va - 4096
        } else {
            va
        };
        let page = self.frame_at(va);
        for (index, word) in words.iter().enumerate() {
            self.world.mem.write(page, index, *word);
        }
        va
    }

    fn entry_at(&self, va: u64) -> (Mfn, usize, u64) {
        let mut table = self.domains[0].memory.root().unwrap();
        for level in [Level::L4, Level::L3, Level::L2] {
            let word = self.world.mem.read(table, level.index_of(va));
            table = Mfn::containing(word & abi::mmu::PTE_FRAME).unwrap();
        }
        let index = Level::L1.index_of(va);
        (table, index, self.world.mem.read(table, index))
    }

    fn frame_at(&self, va: u64) -> Mfn {
        let (_, _, word) = self.entry_at(va);
        assert!(word & 1 != 0, "{va:#x} is not mapped");
        Mfn::containing(word & abi::mmu::PTE_FRAME).unwrap()
    }

    fn call(&mut self, number: Hypercall, arguments: &[u64]) -> Outcome {
        let mut all = [0; 5];
        all[..arguments.len()].copy_from_slice(arguments);
        let outcome = dispatch(&mut self.world, &mut self.domains, 0, number.raw(), all);
        if let Outcome::Return(Answer { value, .. }) = outcome {
            assert_eq!(abi::errno::Errno::from_rax(value), None, "{number:?} is refused");
        }
        outcome
    }
}

/// The last page of the domain's memory, where it may be given away.
const SPARE: u64 = PHYSMAP + (PAGES - 1) * 4096;

/// One call of each kind, each with an effect; they are made in this order.
type Call = fn(&mut Machine) -> Outcome;
const CALLS: &[(&str, Call)] = &[
    ("xen_version", |m| m.call(Hypercall::XenVersion, &[0])),
    ("set_trap_table", |m| {
        let table = m.put(&[13 | u64::from(abi::selector::KERNEL_CS) << 16, KERNEL]);
        m.call(Hypercall::SetTrapTable, &[table, 1])
    }),
    ("stack_switch", |m| {
        let stack = m.put(&[]) + 4096;
        m.call(Hypercall::StackSwitch, &[stack])
    }),
    ("callback_op", |m| {
        m.call(Hypercall::CallbackOp, &[0, 2, KERNEL, 0, 0])
    }),
    ("set_segment_base", |m| {
        m.call(Hypercall::SetSegmentBase, &[0, 0x1000])
    }),
    ("set_timer_op", |m| m.call(Hypercall::SetTimerOp, &[1_000_000])),
    ("console_io", |m| {
        let text = m.put(&[u64::from_le_bytes(*b"a line \n")]);
        m.call(Hypercall::ConsoleIo, &[0, 8, text])
    }),
    ("alloc_unbound", |m| m.call(Hypercall::EventChannelOp, &[6, 0])),
    ("bind_virq", |m| m.call(Hypercall::EventChannelOp, &[1, 0])),
    ("update_va_mapping", |m| {
        m.call(Hypercall::UpdateVaMapping, &[SPARE, 0, 0])
    }),
    ("mmu_update", |m| {
        let (table, index, _) = m.entry_at(SPARE - 4096);
        let request = m.put(&[table.address() + 8 * index as u64, 0]);
        m.call(Hypercall::MmuUpdate, &[request, 1])
    }),
    ("mmuext_op pin", |m| {
        let table = m.spare_frame();
        let request = m.put(&[0, u64::from(table.0)]);
        m.call(Hypercall::MmuextOp, &[request, 1])
    }),
    ("mmuext_op unpin", |m| {
        let table = m.spare_frame();
        let request = m.put(&[4, u64::from(table.0)]);
        m.call(Hypercall::MmuextOp, &[request, 1])
    }),
    ("memory_op give up", |m| {
        let frame = m.spare_frame();
        let list = m.put(&[u64::from(frame.0)]);
        m.call(Hypercall::MemoryOp, &[1, list, 1])
    }),
    ("memory_op ask back", |m| {
        let list = m.put(&[0]);
        m.call(Hypercall::MemoryOp, &[0, list, 1])
    }),
    ("multicall", |m| {
        let entry = m.put(&[Hypercall::XenVersion.raw(), 0, 0, 0, 0, 0, 0, 0]);
        m.call(Hypercall::Multicall, &[entry, 1])
    }),
    ("yield", |m| m.call(Hypercall::SchedOp, &[0])),
    ("block", |m| m.call(Hypercall::SchedOp, &[1, 5, 4])),
    ("shutdown", |m| m.call(Hypercall::SchedOp, &[2, 0, 0])),
];

impl Machine {
    /// The frame that belongs to the last page of memory, by the frame list that the guest got.
    fn spare_frame(&self) -> Mfn {
        let pfn = PAGES - 1;
        let table = self.world.common.machine_to_pfn_table;
        let owned = |frame: &u32| {
            self.world.frames.owner(Mfn(*frame)) == crate::paging::Owner::Domain(DomainId(0))
                && self.world.mem.read(table, *frame as usize) == pfn
        };
        Mfn((0..FRAMES).find(owned).unwrap())
    }
}

#[test]
fn a_domain_is_destroyed_after_each_of_its_hypercalls_in_turn_and_leaves_nothing() {
    for count in 0..=CALLS.len() {
        let mut machine = Machine::new();
        assert!(machine.build(MANY).is_none());
        for (_, call) in &CALLS[..count] {
            let _ = call(&mut machine);
            machine.audit();
        }
        machine.destroy(true);
    }
}

#[test]
fn a_domain_is_destroyed_at_each_step_of_its_building_and_leaves_nothing() {
    for steps in 0..MANY {
        let mut machine = Machine::new();
        match machine.build(steps) {
            Some(builder) => build::abandon(&mut machine.world, builder),
            None => return,
        }
        machine.destroy(false);
    }
    panic!("the building does not end");
}

#[test]
fn a_thousand_lives_of_one_domain_leak_no_frame() {
    let mut machine = Machine::new();
    for _ in 0..1000 {
        assert!(machine.build(MANY).is_none());
        machine.destroy(false);
        machine.domains[0].incarnation += 1;
    }
}

#[test]
fn a_domain_begins_with_its_root_pinned_and_nothing_else() {
    let mut machine = Machine::new();
    assert!(machine.build(MANY).is_none());
    assert_eq!(machine.domains[0].memory.pins(), 1);
    machine.audit();
}

#[test]
fn a_domain_that_does_not_fit_is_refused_before_it_has_a_frame() {
    let mut machine = Machine::new();
    machine.domains[0].config.memory_frames = u64::from(machine.free);
    let Machine {
        world,
        domains,
        modules,
        free,
    } = &mut machine;
    let built = build::step(world, &mut domains[0], &mut Builder::new(), modules, 0);
    let free = u64::from(*free);
    assert_eq!(built, Build::Failed(BuildError::NoFrames { wanted: free, free }));
    assert_eq!(u64::from(world.frames.free_count()), free);
}
