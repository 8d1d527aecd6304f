//! A machine for the host's tests: frames, page tables with the hypervisor's rules, a console, and programs that are
//! lists of steps. Whatever the hypervisor would refuse panics here.
//!
//! A program is known by its root table. A forked one is told apart by a number in rbx, which fork copies; one that was
//! executed begins with all registers 0 and takes the steps of the oldest `Exec` whose root is gone.
mod file_tests;
mod process_tests;
mod signal_tests;
mod tests;

use crate::addr::{Mfn, Pfn};
use crate::context::{Context, EVENT_VECTOR, INT80_VECTOR};
use crate::machine::{Balloon, Clock, Cpu, Events, Heap, Memory, Page, Tables, Terminal};
use crate::mm::area::Access;
use crate::proc::{UserState, VectorLayout};
use crate::resident::pager::error;
use crate::resident::walk;
use abi::layout::{ENTRIES, HYPERVISOR_SLOT, PAGE_SIZE, PHYSMAP};
use abi::mmu::{MmuUpdate, MmuextCommand, MmuextOp, PTE_FRAME, PteFlags};
use std::collections::{BTreeMap, VecDeque};

/// Frames of the machine; one L1 table maps them all in the physmap.
pub(crate) const FRAMES: u64 = 400;
/// The first frame that is free at start.
pub(crate) const FIRST_FREE: u64 = 4;
pub(crate) const KERNEL_ROOT: Pfn = Pfn(0);
/// What the hypervisor keeps in its slot of every root: a table that is no guest's.
const HYPERVISOR_ENTRY: u64 = 0x7;

/// What a program does.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Uses an address.
    Touch(Access, u64),
    /// Makes a system call.
    Call(u64, [u64; 6]),
    /// Raises an exception.
    Trap(u64),
    /// Calls fork; the child does these steps.
    Fork(Vec<Step>),
    /// The same with vfork.
    Vfork(Vec<Step>),
    /// Makes this system call, which begins another program; that one does these steps.
    Exec(u64, [u64; 6], Vec<Step>),
    /// Stores a byte.
    Store(u64, u8),
    /// Reads a byte, which must be this one.
    Expect(u64, u8),
    /// A handler for this signal must have begun here.
    InHandler(u64),
    /// A handler returns.
    Return,
    /// Moves the stack pointer.
    SetStack(u64),
    /// The stack pointer must lie from the first address to before the second.
    ExpectStack(u64, u64),
    /// From now on the kernel's heap has nothing left.
    FillHeap,
    /// Fills the vector registers with this byte.
    FillVectors(u8),
    /// They must hold this byte.
    ExpectVectors(u8),
}

/// A program in the making.
#[derive(Debug, Default)]
struct Program {
    steps: VecDeque<Step>,
    /// A call has been made whose result comes next.
    in_call: bool,
    /// What it becomes when its root goes away.
    next: Option<Vec<Step>>,
}

pub(crate) struct Model {
    frames: Vec<Box<Page>>,
    pins: BTreeMap<u64, u8>,
    loaded: Pfn,
    /// The steps of the next program that begins.
    pub(crate) steps: VecDeque<Step>,
    programs: BTreeMap<u64, Program>,
    /// Programs that were forked and have not run yet, by the number in rbx.
    born: BTreeMap<u64, Vec<Step>>,
    last_born: u64,
    /// Programs that were executed and have not run yet.
    executed: VecDeque<Vec<Step>>,
    /// The results of all calls of all programs, in the order in which they returned.
    pub(crate) results: Vec<u64>,
    vectors: u8,
    heap_is_full: bool,
    now_ns: u64,
    /// Time that the kernel takes for a page's bytes.
    pub(crate) page_ns: u64,
    /// How often the kernel has used a page's bytes since a program ran, and how often programs were interrupted since one
    /// of them did a step.
    pages_used: u64,
    interrupted: u64,
    timer_ns: Option<u64>,
    keys_came: bool,
    /// What has been typed, and what will be typed while the kernel waits.
    pub(crate) typed: VecDeque<u8>,
    pub(crate) typed_later: VecDeque<&'static [u8]>,
    pub(crate) printed: Vec<u8>,
    /// How many bytes the console takes before the kernel has to wait for it; it always takes more after that.
    pub(crate) room: usize,
}

impl Model {
    pub(crate) fn new() -> Self {
        let mut model = Self {
            frames: (0..FRAMES).map(|_| Box::new([0; PAGE_SIZE as usize])).collect(),
            pins: (0..4).map(|table| (table, 4 - table as u8)).collect(),
            loaded: KERNEL_ROOT,
            steps: VecDeque::new(),
            programs: BTreeMap::new(),
            born: BTreeMap::new(),
            last_born: 0,
            executed: VecDeque::new(),
            results: Vec::new(),
            vectors: 0,
            heap_is_full: false,
            now_ns: 0,
            page_ns: 0,
            pages_used: 0,
            interrupted: 0,
            timer_ns: None,
            keys_came: false,
            typed: VecDeque::new(),
            typed_later: VecDeque::new(),
            printed: Vec::new(),
            room: usize::MAX,
        };
        let table = PteFlags::PRESENT | PteFlags::WRITABLE;
        for (parent, level) in [(0, 4), (1, 3), (2, 2)] {
            let entry = walk::entry_for(&model, Pfn(parent + 1), table);
            model.store(Pfn(parent), walk::index(PHYSMAP, level), entry);
        }
        model.store(KERNEL_ROOT, HYPERVISOR_SLOT as u16, HYPERVISOR_ENTRY);
        for frame in 0..FRAMES {
            let mut flags = PteFlags::PRESENT | PteFlags::NO_EXECUTE;
            flags.set(PteFlags::WRITABLE, frame >= FIRST_FREE);
            let entry = walk::entry_for(&model, Pfn(frame), flags);
            model.store(Pfn(3), frame as u16, entry);
        }
        model
    }

    /// What must hold when no program is left: the tables are those of the start, and every frame is writable again.
    pub(crate) fn assert_as_at_start(&self) {
        assert_eq!(
            self.pins.len(),
            FIRST_FREE as usize,
            "tables are left: {:?}",
            self.pins
        );
        assert_eq!(self.loaded, KERNEL_ROOT);
        for frame in FIRST_FREE..FRAMES {
            assert!(
                self.entry(Pfn(3), frame as u16) & PteFlags::WRITABLE.bits() != 0,
                "frame {frame}"
            );
        }
    }

    fn store(&mut self, table: Pfn, index: u16, entry: u64) {
        let at = usize::from(index) * 8;
        self.frames[table.0 as usize][at..at + 8].copy_from_slice(&entry.to_le_bytes());
    }

    /// The frame that an entry names, as the hypervisor would check it.
    fn checked_target(&self, entry: u64) -> Pfn {
        let allowed = PteFlags::all().bits() | PTE_FRAME;
        assert_eq!(entry & !allowed, 0, "forbidden bits in {entry:#x}");
        let target = walk::frame_of(self, entry);
        assert!(target.0 < FRAMES, "{entry:#x} names a foreign frame");
        target
    }

    fn check_entry(&self, level: u8, entry: u64) {
        if !walk::is_present(entry) {
            return;
        }
        let target = self.checked_target(entry);
        let pinned = self.pins.get(&target.0);
        if level > 1 {
            assert_eq!(
                pinned,
                Some(&(level - 1)),
                "{entry:#x} in a table of level {level}"
            );
        } else if entry & PteFlags::WRITABLE.bits() != 0 {
            assert_eq!(pinned, None, "a table would be writable: {entry:#x}");
        }
    }

    fn entries_of(&self, table: Pfn) -> impl Iterator<Item = u64> {
        (0..ENTRIES as u16).map(move |index| self.entry(table, index))
    }

    fn pin(&mut self, frame: Pfn, level: u8) {
        assert!(!self.pins.contains_key(&frame.0), "{frame:?} is a table already");
        for (table, _) in self.pins.iter().filter(|(_, level)| **level == 1) {
            for entry in self
                .entries_of(Pfn(*table))
                .filter(|entry| walk::is_present(*entry))
            {
                let writable = entry & PteFlags::WRITABLE.bits() != 0;
                assert!(
                    !writable || walk::frame_of(self, entry) != frame,
                    "{frame:?} is writable"
                );
            }
        }
        for (index, entry) in self.entries_of(frame).enumerate() {
            assert!(
                level < 4 || index != HYPERVISOR_SLOT || entry == 0,
                "slot 256 is not empty"
            );
            self.check_entry(level, entry);
        }
        self.pins.insert(frame.0, level);
        if level == 4 {
            self.store(frame, HYPERVISOR_SLOT as u16, HYPERVISOR_ENTRY);
        }
    }

    fn unpin(&mut self, frame: Pfn) {
        assert!(self.pins.remove(&frame.0).is_some(), "{frame:?} is not pinned");
        assert_ne!(self.loaded, frame, "the root is in use");
        if let Some(next) = self.programs.remove(&frame.0).and_then(|program| program.next) {
            self.executed.push_back(next);
        }
        for table in self
            .pins
            .iter()
            .filter(|(_, level)| **level > 1)
            .map(|(table, _)| Pfn(*table))
        {
            let named = self
                .entries_of(table)
                .any(|entry| walk::is_present(entry) && walk::frame_of(self, entry) == frame);
            assert!(!named, "{frame:?} is still in use by {table:?}");
        }
    }

    /// The page fault that an access of the running program raises, if it does.
    fn fault(&self, access: Access, address: u64) -> Option<u64> {
        let forbidden = abi::layout::in_hypervisor_slot(address);
        let slot = walk::walk(self, self.loaded, if forbidden { 0 } else { address });
        let is_set = |flag: PteFlags| slot.entry & flag.bits() != 0;
        let fetch = access == Access::Execute;
        let write = access == Access::Write;
        let kind = error::USER | if fetch { error::FETCH } else { 0 } | if write { error::WRITE } else { 0 };
        let mapped = slot.level == 1 && walk::is_present(slot.entry);
        let denied = !is_set(PteFlags::USER)
            || write && !is_set(PteFlags::WRITABLE)
            || fetch && is_set(PteFlags::NO_EXECUTE);
        match (mapped, denied) {
            (false, _) => Some(kind),
            (true, true) => Some(kind | error::PRESENT),
            (true, false) => None,
        }
    }
}

impl Tables for Model {
    fn mfn_of(&self, frame: Pfn) -> Mfn {
        Mfn(0x1000 + frame.0 * 3)
    }

    fn pfn_of(&self, frame: Mfn) -> Pfn {
        Pfn(frame.0.checked_sub(0x1000).map_or(u64::MAX, |rest| rest / 3))
    }

    fn entry(&self, table: Pfn, index: u16) -> u64 {
        let at = usize::from(index) * 8;
        u64::from_le_bytes(self.frames[table.0 as usize][at..at + 8].try_into().unwrap())
    }

    fn mmu_update(&mut self, requests: &[MmuUpdate]) {
        for MmuUpdate { pointer, value } in requests {
            let table = walk::frame_of(self, *pointer);
            let index = (pointer & 0xfff) / 8;
            let level = *self.pins.get(&table.0).expect("an update of what is no table");
            assert!(
                level < 4 || index as usize != HYPERVISOR_SLOT,
                "an update of slot 256"
            );
            self.check_entry(level, *value);
            self.store(table, index as u16, *value);
        }
    }

    fn mmuext(&mut self, operations: &[MmuextOp]) {
        for operation in operations {
            let frame = || self.pfn_of(Mfn(operation.arg1));
            match MmuextCommand::from_raw(operation.command).unwrap() {
                MmuextCommand::PinL1 => self.pin(frame(), 1),
                MmuextCommand::PinL2 => self.pin(frame(), 2),
                MmuextCommand::PinL3 => self.pin(frame(), 3),
                MmuextCommand::PinL4 => self.pin(frame(), 4),
                MmuextCommand::Unpin => self.unpin(frame()),
                MmuextCommand::NewBaseptr => {
                    let root = frame();
                    assert_eq!(self.pins.get(&root.0), Some(&4), "{root:?} is no root");
                    self.loaded = root;
                }
                MmuextCommand::TlbFlushLocal | MmuextCommand::InvlpgLocal => {}
            }
        }
    }
}

impl Memory for Model {
    fn page(&mut self, frame: Pfn) -> &mut Page {
        assert!(!self.pins.contains_key(&frame.0), "{frame:?} is a table");
        assert!(frame.0 >= FIRST_FREE);
        self.now_ns += self.page_ns;
        self.pages_used += 1;
        assert!(self.pages_used < PATIENCE, "no program has its turn any more");
        &mut self.frames[frame.0 as usize]
    }

    fn copy_page(&mut self, from: Pfn, to: Pfn) {
        let bytes = *self.page(from);
        *self.page(to) = bytes;
    }
}

impl Balloon for Model {
    fn give_up(&mut self, frames: &[Pfn]) -> usize {
        for frame in frames {
            let was_there = self.entry(Pfn(3), frame.0 as u16) != 0;
            assert!(was_there && !self.pins.contains_key(&frame.0), "{frame:?}");
            self.store(Pfn(3), frame.0 as u16, 0);
        }
        frames.len()
    }

    fn get_back(&mut self, frames: &[Pfn]) -> usize {
        for frame in frames {
            let flags = PteFlags::PRESENT | PteFlags::NO_EXECUTE | PteFlags::WRITABLE;
            let entry = walk::entry_for(self, *frame, flags);
            self.store(Pfn(3), frame.0 as u16, entry);
            self.frames[frame.0 as usize].fill(0);
        }
        frames.len()
    }
}

impl Heap for Model {
    fn heap_wants(&self) -> usize {
        0
    }

    fn grow_heap(&mut self, _: Pfn) {}

    fn heap_has(&self, _: usize) -> bool {
        !self.heap_is_full
    }
}

impl Terminal for Model {
    fn write(&mut self, bytes: &[u8]) -> usize {
        // As the hypervisor shows it: a line ends with either.
        let count = bytes.len().min(self.room);
        let taken = bytes[..count].iter().filter(|byte| **byte != b'\r');
        self.printed.extend(taken);
        self.room -= count;
        count
    }

    fn read(&mut self, buffer: &mut [u8]) -> usize {
        let count = buffer.len().min(self.typed.len());
        buffer
            .iter_mut()
            .zip(self.typed.drain(..count))
            .for_each(|(slot, key)| *slot = key);
        count
    }

    fn wait_for_room(&mut self) {
        self.room = ROOM;
    }
}

impl Clock for Model {
    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn wall_clock_base_ns(&self) -> u64 {
        WALL_CLOCK_NS
    }

    fn set_timer(&mut self, deadline_ns: u64) {
        self.timer_ns = Some(deadline_ns);
    }

    fn take_events(&mut self) -> Events {
        let timer = self.timer_ns.is_some_and(|timer| timer <= self.now_ns);
        if timer {
            self.timer_ns = None;
        }
        Events {
            timer,
            console: core::mem::take(&mut self.keys_came),
        }
    }

    fn sleep(&mut self, until_ns: Option<u64>) {
        if let Some(keys) = self.typed_later.pop_front() {
            self.typed.extend(keys);
            self.keys_came = true;
        } else if let Some(until) = until_ns {
            self.now_ns = self.now_ns.max(until);
        } else {
            panic!("the kernel would wait for ever");
        }
    }

    fn sleep_for_room(&mut self, until_ns: Option<u64>) {
        let has_room_ns = self.now_ns + STEP_NS;
        match until_ns {
            Some(until) if until < has_room_ns => self.now_ns = self.now_ns.max(until),
            _ => {
                self.now_ns = has_room_ns;
                self.room = ROOM;
            }
        }
    }
}

/// What a full console takes after a while.
const ROOM: usize = 100;
/// What is taken for a kernel that goes round in circles: pages used, interrupts.
const PATIENCE: u64 = 100_000;
/// Time that a step takes.
const STEP_NS: u64 = 1_000_000;
/// The wall clock at system time 0.
pub(crate) const WALL_CLOCK_NS: u64 = 1_700_000_000_000_000_000;

/// How a program's next step went.
enum Went {
    /// Done: the next one follows.
    On,
    /// It leads into the kernel.
    Trap,
    /// It leads into the kernel, and is tried again afterwards.
    Fault,
}

impl Model {
    /// The program whose root is loaded.
    fn program(&mut self, context: &Context) -> &mut Program {
        let root = self.loaded.0;
        if !self.programs.contains_key(&root) {
            let mut in_call = false;
            let steps = if let Some(steps) = self.born.remove(&context.rbx) {
                in_call = true;
                steps.into()
            } else if let Some(steps) = self.executed.pop_front() {
                steps.into()
            } else {
                core::mem::take(&mut self.steps)
            };
            let program = Program {
                steps,
                in_call,
                next: None,
            };
            self.programs.insert(root, program);
        }
        self.programs.get_mut(&root).unwrap()
    }

    fn step(&mut self, step: &Step, context: &mut Context) -> Went {
        match step {
            // The CPU does not walk the tables for what is no address.
            Step::Touch(_, address) if !abi::layout::is_canonical(*address) => {
                (context.vector, context.error) = (13, 0);
                return Went::Fault;
            }
            Step::Touch(access, address) => {
                return self
                    .access(*access, *address, context)
                    .map_or(Went::On, |()| Went::Fault);
            }
            Step::Store(address, byte) => match self.access(Access::Write, *address, context) {
                Some(()) => return Went::Fault,
                None => *self.byte(*address) = *byte,
            },
            Step::Expect(address, byte) => match self.access(Access::Read, *address, context) {
                Some(()) => return Went::Fault,
                None => assert_eq!(*self.byte(*address), *byte, "at {address:#x}"),
            },
            Step::InHandler(signal) => {
                assert_eq!((context.rdi, context.rsp % 16), (*signal, 8));
                assert_ne!(context.rsi, 0);
            }
            Step::Return => {
                context.rsp += 8;
                return self.call(SIGRETURN, [0; 6], context);
            }
            Step::SetStack(rsp) => context.rsp = *rsp,
            Step::ExpectStack(from, to) => assert!((*from..*to).contains(&context.rsp)),
            Step::FillHeap => self.heap_is_full = true,
            Step::FillVectors(byte) => self.vectors = *byte,
            Step::ExpectVectors(byte) => assert_eq!(self.vectors, *byte),
            Step::Call(number, arguments) => return self.call(*number, *arguments, context),
            Step::Fork(child) => return self.fork(FORK, child, context),
            Step::Vfork(child) => return self.fork(VFORK, child, context),
            Step::Exec(number, arguments, next) => {
                self.program(context).next = Some(next.clone());
                return self.call(*number, *arguments, context);
            }
            Step::Trap(vector) => {
                context.vector = *vector;
                return Went::Trap;
            }
        }
        Went::On
    }

    fn fork(&mut self, number: u64, child: &[Step], context: &mut Context) -> Went {
        self.last_born += 1;
        context.rbx = self.last_born;
        self.born.insert(self.last_born, child.to_vec());
        self.call(number, [0; 6], context)
    }

    fn call(&mut self, number: u64, arguments: [u64; 6], context: &mut Context) -> Went {
        context.vector = INT80_VECTOR;
        context.rax = number;
        [
            context.rdi,
            context.rsi,
            context.rdx,
            context.r10,
            context.r8,
            context.r9,
        ] = arguments;
        self.program(context).in_call = true;
        Went::Trap
    }

    /// An access; something if it faults.
    fn access(&self, access: Access, address: u64, context: &mut Context) -> Option<()> {
        let error = self.fault(access, address)?;
        (context.vector, context.error, context.cr2) = (14, error, address);
        Some(())
    }

    fn byte(&mut self, address: u64) -> &mut u8 {
        let slot = walk::walk(self, self.loaded, address);
        let frame = walk::frame_of(self, slot.entry);
        &mut self.frames[frame.0 as usize][(address & 0xfff) as usize]
    }
}

const SIGRETURN: u64 = 15;
const FORK: u64 = 57;
const VFORK: u64 = 58;
const EXIT_GROUP: u64 = 231;

impl Cpu for Model {
    fn run_user(&mut self, context: &mut Context) {
        assert_ne!(self.loaded, KERNEL_ROOT, "no program's address space is loaded");
        assert_eq!(*context, context.sanitised(), "more than ring 3's rights");
        assert!(context.can_resume());
        if core::mem::take(&mut self.program(context).in_call) {
            self.program(context).next = None;
            self.results.push(context.rax);
        }
        self.pages_used = 0;
        loop {
            self.now_ns += STEP_NS;
            if self.keys_came || self.timer_ns.is_some_and(|timer| timer <= self.now_ns) {
                self.interrupted += 1;
                assert!(self.interrupted < PATIENCE, "no program comes to do a step");
                context.vector = EVENT_VECTOR;
                return;
            }
            self.interrupted = 0;
            let step = self.program(context).steps.pop_front();
            let step = step.unwrap_or(Step::Call(EXIT_GROUP, [0; 6]));
            match self.step(&step, context) {
                Went::On => {}
                Went::Trap => return,
                Went::Fault => return self.program(context).steps.push_front(step),
            }
        }
    }

    fn vector_layout(&self) -> VectorLayout {
        VectorLayout {
            size: 512,
            components: 0,
            mxcsr_mask: 0xffff,
        }
    }

    fn save_user_state(&mut self, state: &mut UserState) {
        state.vectors.write(160, &[self.vectors]);
    }

    fn load_user_state(&mut self, state: &UserState) {
        self.vectors = state.vectors.bytes()[160];
    }

    fn features(&self) -> [u64; 2] {
        [0; 2]
    }

    fn random(&mut self) -> [u8; 16] {
        [7; 16]
    }

    fn yield_now(&mut self) {}

    fn set_fs_base(&mut self, _: u64) {}

    fn set_gs_base(&mut self, _: u64) {}

    fn fs_base(&self) -> u64 {
        0x1234
    }

    fn gs_base(&self) -> u64 {
        0
    }
}
