//! What the steps are about: frames, pages, tables, places for code and stacks, all made before the first step.
use abi::layout::{PAGE_SIZE, SWITCHER_RO};
use abi::trap::vector;
use guests::fuzz::Finding;
use guests::lot::Lot;
use guests::runtime::frame::Frame;
use guests::runtime::memory::{self, KERNEL_DATA, USER_DATA};
use guests::runtime::{code, start_info, trap};

/// Pages of data in a row, the first ones of the kernel's.
pub(crate) const PAGES: usize = 6;
/// Frames that become tables of any level, and cease to be.
pub(crate) const NODES: usize = 24;
/// Frames that are given up and taken.
pub(crate) const SPARES: usize = 10;
/// Pages for the arguments of calls.
const BUFFER_PAGES: u64 = 2;

/// A frame, and where the physmap has it: what the machine-to-pfn table says is a step's to change.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) pfn: u64,
    /// 0: it has been given up.
    pub(crate) mfn: u64,
}

impl Place {
    fn new() -> Self {
        let pfn = memory::allocate();
        Self {
            pfn,
            mfn: memory::mfn(pfn),
        }
    }
}

pub(crate) struct World {
    pub(crate) lot: Lot,
    /// This step may do what will probably end the life.
    pub(crate) deadly: bool,
    /// Data that anything may be done to, two user pages at the end.
    pub(crate) pages: [u64; PAGES],
    pub(crate) nodes: [Place; NODES],
    pub(crate) spares: [Place; SPARES],
    /// Arguments of calls: up to the very end of what is mapped there.
    pub(crate) buffer: u64,
    pub(crate) buffer_end: u64,
    /// Nothing is ever mapped here but by steps, one page at a time; it has an L1 table.
    pub(crate) window: u64,
    /// Code and stack (its top) of ring 1.
    pub(crate) code_1: u64,
    pub(crate) stack_1: u64,
    /// The same of ring 3.
    pub(crate) code_3: u64,
    pub(crate) stack_3: u64,
    /// Handlers for direct vectors, one for each exception.
    pub(crate) direct_handlers: u64,
    /// `mov rax, cr3`.
    privileged: Frame,
}

/// Bytes between two of [`World::direct_handlers`].
pub(crate) const HANDLER_BYTES: u64 = 64;

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let area = memory::kernel_area(PAGES as u64);
        let pages = core::array::from_fn(|n| {
            let flags = if n + 2 < PAGES { KERNEL_DATA } else { USER_DATA };
            let va = area + n as u64 * PAGE_SIZE;
            memory::map(va, memory::allocate(), flags);
            va
        });
        let window = memory::kernel_pages(1, KERNEL_DATA);
        memory::unmap(window);
        let direct_handlers = code::kernel(&[]);
        for vector in 0..32 {
            let handler = code::Handler::new(vector, code::Slot::Missing);
            code::place(
                direct_handlers + u64::from(vector) * HANDLER_BYTES,
                handler.bytes(),
            );
        }
        lie_where_ring_0_does();
        let buffer = memory::kernel_pages(BUFFER_PAGES, KERNEL_DATA);
        let stack_1 = memory::stack(3);
        Self {
            lot: Lot::new(seed, u64::MAX),
            deadly: false,
            pages,
            nodes: core::array::from_fn(|_| Place::new()),
            spares: core::array::from_fn(|_| Place::new()),
            buffer,
            buffer_end: buffer + BUFFER_PAGES * PAGE_SIZE,
            window,
            code_1: code::kernel(&[]),
            stack_1,
            code_3: code::user(&[]),
            stack_3: memory::user_stack(),
            direct_handlers,
            privileged: Frame::ring1(code::kernel(&[0x0f, 0x20, 0xd8]), memory::stack(1)),
        }
    }

    /// Where the physmap has the frame of a node; no frame has another.
    pub(crate) fn window_of(&self, node: u64) -> u64 {
        let mut known = self.nodes.iter().chain(&self.spares);
        let place = known.find(|place| place.mfn == node);
        memory::physmap(place.map_or_else(|| memory::pfn(node), |place| place.pfn))
    }

    /// A privileged instruction is not carried out, whatever has been done: what ends it is never the `ud2` behind it. Something else
    /// than its own fault may, the watch's upcall for one.
    pub(crate) fn look_at_privilege(&self) {
        const LENGTH: u64 = 3;
        let end = trap::run(&self.privileged);
        if (end.vector, end.rip) == (u64::from(vector::UD), self.privileged.rip + LENGTH) {
            super::found(Finding::Privileged, format_args!("mov rax, cr3 came to {end:x?}"));
        }
    }

    /// Runs bytes, and `ud2`, in ring 1 from these registers; their rip is set.
    pub(crate) fn run_1(&self, bytes: &[u8], frame: Frame) -> Frame {
        let rip = code::place(self.code_1, bytes);
        trap::run(&Frame { rip, ..frame })
    }

    /// The same in ring 3.
    pub(crate) fn run_3(&self, bytes: &[u8], frame: Frame) -> Frame {
        let rip = code::place(self.code_3, bytes);
        trap::run(&Frame { rip, ..frame })
    }

    /// In either ring, on that ring's stack.
    pub(crate) fn run_somewhere(&mut self, bytes: &[u8]) -> Frame {
        if self.lot.one_in(2) {
            self.run_1(bytes, self.frame_1())
        } else {
            self.run_3(bytes, self.frame_3())
        }
    }

    /// Registers for ring 1: rbx has a stack, whatever becomes of rsp.
    pub(crate) fn frame_1(&self) -> Frame {
        Frame {
            rbx: self.stack_1 - 0x400,
            ..Frame::ring1(self.code_1, self.stack_1 - 0x400)
        }
    }

    /// Registers for ring 3.
    pub(crate) fn frame_3(&self) -> Frame {
        Frame {
            rbx: self.stack_3 - 0x100,
            ..Frame::ring3(self.code_3, self.stack_3 - 0x100)
        }
    }

    /// The number of a domain: this one, others, none.
    pub(crate) fn domain(&mut self) -> u64 {
        let own = u64::from(start_info().domain_id);
        self.lot
            .of(&[own, 0, 1, 2, 3, own ^ 1, 0x7ff0, 0xffff, 1 << 16 | own, u64::MAX])
    }
}

/// Maps data of this guest's own where the hypervisor has its stacks, which the switcher's read-only page tells: what ring 1
/// executes of the switcher finds a stack there, though another one.
fn lie_where_ring_0_does() {
    const STACK: u64 = 2;
    for at in (SWITCHER_RO..SWITCHER_RO + PAGE_SIZE).step_by(8) {
        let word = memory::peek(at);
        let mapped = |va| memory::entry(va, 1).is_some_and(memory::Entry::is_present);
        if word >> 32 != 0xffff_ffff || mapped(word) || mapped(word - 1) {
            continue;
        }
        for page in 0..STACK {
            let va = (word - 1 - page * PAGE_SIZE) & !(PAGE_SIZE - 1);
            if !mapped(va) {
                memory::map(va, memory::allocate(), KERNEL_DATA);
            }
        }
    }
}
