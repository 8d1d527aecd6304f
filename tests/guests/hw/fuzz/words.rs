//! The grammar: words that mean something, or nearly.
use abi::layout::{
    MACHINE_TO_PFN, PAGE_SHIFT, PAGE_SIZE, SHARED_INFO, SLOT_BASE, SLOT_END, SWITCHER_RO, SWITCHER_RW,
    SWITCHER_TEXT, TIME_PAGE,
};
use abi::selector::{FIRST_GUEST_DESCRIPTOR, KERNEL_CS, KERNEL_SS, USER_CS, USER_SS};
use guests::runtime::memory::{self, A, D, NX, P, U, W};
use guests::runtime::{start_info, tcg_null_ss, trap, upcall};

use super::world::World;

/// L4 slots that nothing but steps uses; a user's and two of the kernel's.
pub(crate) const SLOTS: [u64; 3] = [10, 300, 383];
/// Entries of tables that steps use.
pub(crate) const INDICES: [u64; 8] = [0, 1, 2, 10, 255, 257, 300, 511];
/// Present, ring 1, 64-bit code.
pub(crate) const CODE_RING_1: u64 = 0x00af_bb00_0000_ffff;
/// Present, ring 3, 64-bit code.
pub(crate) const CODE_RING_3: u64 = 0x00af_fb00_0000_ffff;
/// Present, ring 1, data.
pub(crate) const DATA_RING_1: u64 = 0x00cf_b300_0000_ffff;
/// Present, ring 3, data.
pub(crate) const DATA_RING_3: u64 = 0x00cf_f300_0000_ffff;

impl World {
    /// A machine frame: mostly one of those that steps play with.
    pub(crate) fn frame(&mut self) -> u64 {
        match self.lot.below(16) {
            0..9 => self.node(),
            9..11 => {
                let page = self.lot.of(&self.pages);
                memory::entry(page, 1).map_or(0, memory::Entry::mfn)
            }
            11..13 => self.lot.of(&self.spares).mfn,
            13 => self.foreign_frame(),
            14 if self.deadly => self.live_frame(),
            _ => self.lot.of(&[
                0,
                1,
                0x100,
                0x400,
                0xfee00,
                1 << 20,
                1 << 32,
                (1 << 32) - 1,
                1 << 40,
                u64::MAX,
            ]),
        }
    }

    /// One that becomes a table now and then; not the root that this guest stands on.
    pub(crate) fn node(&mut self) -> u64 {
        let node = self.lot.of(&self.nodes).mfn;
        if node == memory::root_mfn() && !self.deadly {
            self.lot.of(&self.spares).mfn
        } else {
            node
        }
    }

    /// Most likely another domain's, or the hypervisor's, or nobody's.
    fn foreign_frame(&mut self) -> u64 {
        let near = self.lot.of(&self.nodes).mfn;
        let distance = self.lot.below(2048);
        if self.lot.one_in(2) {
            near.wrapping_add(distance)
        } else {
            near.wrapping_sub(distance)
        }
    }

    /// One that this guest stands on.
    fn live_frame(&mut self) -> u64 {
        let pfn = self.lot.below(start_info().first_free_pfn);
        memory::mfn(pfn)
    }

    /// A page-table entry for a table of this level.
    pub(crate) fn entry_for(&mut self, level: u64) -> u64 {
        let frame = if level > 1 && !self.lot.one_in(10) {
            self.node()
        } else {
            self.frame()
        };
        let flags = self
            .lot
            .of(&[P | W, P | W | U, P | W | U | A, P, P | U, P | W | NX, P | NX]);
        frame << PAGE_SHIFT | flags
    }

    /// Any page-table entry.
    pub(crate) fn entry(&mut self) -> u64 {
        if self.lot.one_in(10) {
            return self.lot.of(&[0, 2, u64::MAX, u64::MAX - 1, P, P | W]);
        }
        let flags = self
            .lot
            .of(&[P, P | W, P | W | NX, P | NX, P | U, P | W | U | A | D, W | U]);
        let strange = if self.lot.one_in(8) {
            1 << self.lot.below(64)
        } else {
            0
        };
        (self.frame() << PAGE_SHIFT | flags) ^ strange
    }

    /// A machine address of a page-table entry, with a command.
    pub(crate) fn entry_address(&mut self) -> u64 {
        let command = if self.lot.one_in(12) { self.lot.below(8) } else { 0 };
        let index = if self.lot.one_in(3) {
            self.lot.below(512)
        } else {
            self.lot.of(&INDICES)
        };
        (self.frame() << PAGE_SHIFT).wrapping_add(index * 8) | command
    }

    /// An address in one of the L4 slots that steps fill.
    pub(crate) fn slot_address(&mut self) -> u64 {
        let mut address = self.lot.of(&SLOTS) << 39;
        if address >> 47 != 0 {
            address |= 0xffff << 48;
        }
        for shift in [30, 21, 12] {
            address |= self.lot.of(&INDICES) << shift;
        }
        address | self.lot.of(&[0, 0, 0, 8, 0x800, 0xff8, 0xffc])
    }

    /// An address: of data, of what is the hypervisor's, of edges.
    pub(crate) fn address(&mut self) -> u64 {
        match self.lot.below(12) {
            0..5 => {
                let inside = self
                    .lot
                    .of(&[0, 8, 0x10, 0x7f8, 0x800, 0xfc0, 0xff0, 0xff8, 0xfff]);
                self.lot.of(&self.pages) + inside
            }
            5..7 => self.slot_address(),
            7 => {
                let node = self.lot.of(&self.nodes);
                memory::physmap(node.pfn) + self.lot.of(&[0, 0x7f8, 0xff8])
            }
            8 if self.deadly => {
                let offset = self.lot.below(0x40_000);
                self.lot.of(&[
                    start_info().stack,
                    start_info().mfn_list,
                    0xffff_ffff_8000_0000 + offset,
                    trap::trap_stack() - 8,
                ])
            }
            _ => self.edge(),
        }
    }

    /// An address where something begins or ends.
    pub(crate) fn edge(&mut self) -> u64 {
        let at = self.lot.of(&[
            0,
            SLOT_BASE,
            SLOT_END,
            SWITCHER_TEXT,
            SWITCHER_RO,
            SWITCHER_RW,
            SWITCHER_RW + 0x100,
            SWITCHER_RW + PAGE_SIZE,
            TIME_PAGE,
            SHARED_INFO,
            SHARED_INFO + PAGE_SIZE,
            MACHINE_TO_PFN,
            0x0000_8000_0000_0000,
            0xffff_ffff_ffff_f000,
            self.buffer_end,
            self.window,
            self.pages[0],
            self.stack_1,
            self.stack_3,
            self.code_1,
            1 << 32,
            0x7fff_f000,
        ]);
        let offset = self
            .lot
            .of(&[0, 0, 0, 1, 2, 7, 8, 15, 16, 24, 48, 64, 128, 176, 0x800]);
        if self.lot.one_in(2) {
            at.wrapping_sub(offset)
        } else {
            at.wrapping_add(offset)
        }
    }

    /// A place to put code's control to that comes back by a trap.
    pub(crate) fn place(&mut self) -> u64 {
        let vector = self.lot.below(32);
        self.lot.of(&[
            self.code_1,
            self.code_1,
            self.code_3,
            trap::bounced_handler(vector as u8),
            trap::syscall_entry_address(),
            super::floor::upcall_address(),
            upcall::address(),
            self.direct_handlers + vector * super::world::HANDLER_BYTES,
        ])
    }

    /// A handler of whatever is registered: one that comes back.
    pub(crate) fn handler(&mut self) -> u64 {
        let vector = self.lot.below(32);
        self.lot.of(&[
            trap::bounced_handler(vector as u8),
            trap::bounced_handler(vector as u8),
            trap::syscall_entry_address(),
            super::floor::upcall_address(),
            self.direct_handlers + vector * super::world::HANDLER_BYTES,
        ])
    }

    /// A region for the upcall. It may hold code that has no frame at rsp, but not this guest's own: what judges has to keep its
    /// head.
    pub(crate) fn region(&mut self) -> [u64; 2] {
        match self.lot.below(6) {
            0 | 1 => [0, 0],
            2 => [self.code_1, self.code_1 + 64],
            3 => [self.code_3, self.code_3 + 64],
            4 => [u64::MAX, 0],
            _ => upcall::region(),
        }
    }

    /// A selector, mostly a good one.
    pub(crate) fn selector(&mut self) -> u64 {
        if self.lot.one_in(3) {
            return self.lot.below(0x110);
        }
        let own = (FIRST_GUEST_DESCRIPTOR as u64 + self.lot.below(16)) << 3;
        let rpl = self.lot.of(&[1, 1, 3, 0, 2]);
        self.lot.of(&[
            u64::from(KERNEL_CS),
            u64::from(KERNEL_SS),
            u64::from(USER_CS),
            u64::from(USER_SS),
            own | rpl,
            own | rpl,
            own | 1,
            self.lot.clone().word() & 0xffff,
        ])
    }

    /// A descriptor, mostly one that is taken.
    pub(crate) fn descriptor(&mut self) -> u64 {
        let good = self.lot.of(&[
            0,
            CODE_RING_1,
            CODE_RING_1,
            CODE_RING_3,
            DATA_RING_1,
            DATA_RING_3,
            // Bases, limits, expand down.
            0x1240_f334_5600_0000,
            0x0000_f700_0000_0000,
            0x00a0_bb00_0000_0000,
        ]);
        if self.lot.one_in(2) {
            good
        } else {
            good ^ 1 << self.lot.below(64)
        }
    }

    /// Flags of a frame: TF, NT, AC, DF, IF, IOPL, RF, VM, ID, VIP.
    pub(crate) fn flags(&mut self) -> u64 {
        let mut flags = 0x202;
        for bit in [8, 9, 10, 12, 13, 14, 16, 17, 18, 19, 20, 21] {
            if self.lot.one_in(5) {
                flags ^= 1 << bit;
            }
        }
        if self.lot.one_in(8) {
            flags = self.lot.word();
        }
        flags
    }

    /// A stack pointer that takes what a trap in ring 1 leaves, at any alignment.
    pub(crate) fn good_stack(&mut self) -> u64 {
        let low = self.stack_1 - 2 * PAGE_SIZE;
        match self.lot.below(4) {
            0 => low + self.lot.below(2 * PAGE_SIZE),
            1 => low + PAGE_SIZE + self.lot.below(300),
            2 => self.stack_3 - self.lot.below(0x800),
            _ => self.stack_1 - 8 * self.lot.below(64),
        }
    }

    /// Any stack pointer.
    pub(crate) fn stack(&mut self) -> u64 {
        match self.lot.below(4) {
            0 => self.good_stack(),
            1 => self.lot.word(),
            // Every offset of the stacks of ring 0.
            2 => SWITCHER_RW + self.lot.below(PAGE_SIZE + 0x200),
            _ => self.edge(),
        }
    }

    /// A register's value.
    pub(crate) fn register(&mut self) -> u64 {
        match self.lot.below(8) {
            0..4 => self.address(),
            4 => self.lot.below(40),
            5 => self.selector(),
            6 => self.lot.of(&[u64::MAX, 0x1b, 0xc000_0080, 1 << 47, 0]),
            _ => self.lot.word(),
        }
    }

    /// Any word for any argument.
    pub(crate) fn word(&mut self) -> u64 {
        match self.lot.below(9) {
            0 => self.frame(),
            1 => self.entry(),
            2 | 3 => self.address(),
            4 => self.lot.below(40),
            5 => self.entry_address(),
            6 => self.selector(),
            7 => self.edge(),
            _ => self.lot.word(),
        }
    }

    /// A word for memory that may come to be a stack: QEMU's TCG takes a 32-bit iret with VM set for a way into
    /// virtual-8086 mode, and what runs there is no guest's doing any more.
    pub(crate) fn tame(word: u64) -> u64 {
        const VM: u64 = 1 << 17 | 1 << 49;
        if tcg_null_ss() { word & !VM } else { word }
    }
}
