//! A vCPU's set: the frames behind slot 256 while it runs, and the words in them that change.
//!
//! ```text
//! l3[0] -> l2[1] -> l1[0..4]   switcher text, shared by all, read and execute
//!                   l1[4]      ReadOnly        l1[8]   ReadWrite
//!                   l1[9]      TimeInfo, read  l1[10]  SharedInfo, read and write
//! l3[1] -> machine-to-pfn table, shared by all, read-only
//! ```
//! The frames are the hypervisor's, so no guest can make an alias of them, and `slot_entry` goes into a root table only
//! while that frame is a validated L4 of the same domain.
use crate::addr::{Level, Mfn};
use crate::descriptor::{self, TssState};
use crate::platform::PhysMem;
use crate::switcher::{
    ENTRY_FLAGS, FIRST_INTERRUPT, IST_TOPS, MISSING_SYSCALL_VECTOR, RSP0, RSP0_OFFSET, RSP1_OFFSET, ReadOnly,
    Registers, TSS_ADDRESS, TSS_OFFSET, Tss,
};
use crate::trap::gates::Gate;
use crate::trap::table::{BounceEntry, Change, Handler, Refused, Registration, TrapTable};
use crate::upcall::Upcall;
use abi::hypercall::HYPERCALL_VECTOR;
use abi::layout::{ENTRIES, MACHINE_TO_PFN, SHARED_INFO, SWITCHER_RO, SWITCHER_RW, SWITCHER_TEXT, TIME_PAGE};
use abi::selector::{KERNEL_CS, KERNEL_SS};
use abi::time::TimeInfo;
use abi::trap::EXCEPTIONS;
use core::mem::offset_of;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const NO_EXECUTE: u64 = 1 << 63;

/// What every set maps alike, and the words of the machine that every [`ReadOnly`] page holds.
#[derive(Clone, Copy)]
pub struct Common {
    /// First frame of the switcher's text.
    pub text: Mfn,
    /// How many frames it has.
    pub text_frames: u32,
    /// The L2 table that maps the machine-to-pfn table.
    pub machine_to_pfn: Mfn,
    /// First frame of that table; its frames follow each other.
    pub machine_to_pfn_table: Mfn,
    /// Stubs: 32 exceptions, hypercall, missing syscall, first interrupt (8 bytes apart).
    pub stubs: [u64; 35],
    /// Stubs of exceptions that also mask events; 0 for those that no guest registers.
    pub masked_stubs: [u64; EXCEPTIONS],
    /// The label that an unregistered `syscall` is led to.
    pub no_syscall: u64,
    /// Root of the hypervisor's address space.
    pub hypervisor_cr3: u64,
    /// Tops of the hypervisor's stacks.
    pub stack: u64,
    /// For faults in ring 0.
    pub fault_stack: u64,
    /// For NMIs.
    pub nmi_stack: u64,
}

impl Common {
    /// Notes in the machine-to-pfn table by which number its owner knows a frame.
    pub fn set_pfn(&self, mem: &mut impl PhysMem, frame: Mfn, pfn: u64) {
        let page = Mfn(self.machine_to_pfn_table.0 + frame.0 / ENTRIES as u32);
        mem.write(page, frame.index() % ENTRIES, pfn);
    }
}

/// The frames of one vCPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VcpuSet {
    l3: Mfn,
    l2: Mfn,
    l1: Mfn,
    read_only: Mfn,
    read_write: Mfn,
    time: Mfn,
    shared_info: Mfn,
}

impl VcpuSet {
    /// Frames that a set takes.
    pub const FRAMES: usize = 7;

    /// Fills zeroed frames. `registers_end` is the end of the vCPU's saved registers. `tss` is `Available` for the one set
    /// with which TR is loaded.
    pub fn new(
        mem: &mut impl PhysMem,
        frames: [Mfn; Self::FRAMES],
        common: &Common,
        registers_end: u64,
        tss: TssState,
    ) -> Self {
        let [l3, l2, l1, read_only, read_write, time, shared_info] = frames;
        for frame in frames {
            mem.zero(frame);
        }
        mem.write(
            l3,
            Level::L3.index_of(SWITCHER_TEXT),
            l2.address() | PRESENT | WRITABLE,
        );
        mem.write(
            l3,
            Level::L3.index_of(MACHINE_TO_PFN),
            common.machine_to_pfn.address() | PRESENT,
        );
        mem.write(
            l2,
            Level::L2.index_of(SWITCHER_TEXT),
            l1.address() | PRESENT | WRITABLE,
        );
        let first = Level::L1.index_of(SWITCHER_TEXT);
        for page in 0..common.text_frames {
            mem.write(
                l1,
                first + page as usize,
                Mfn(common.text.0 + page).address() | PRESENT,
            );
        }
        mem.write(
            l1,
            Level::L1.index_of(SWITCHER_RO),
            read_only.address() | PRESENT | NO_EXECUTE,
        );
        mem.write(
            l1,
            Level::L1.index_of(SWITCHER_RW),
            read_write.address() | PRESENT | WRITABLE | NO_EXECUTE,
        );

        mem.write(
            l1,
            Level::L1.index_of(TIME_PAGE),
            time.address() | PRESENT | NO_EXECUTE,
        );
        mem.write(
            l1,
            Level::L1.index_of(SHARED_INFO),
            shared_info.address() | PRESENT | WRITABLE | NO_EXECUTE,
        );

        let set = Self {
            l3,
            l2,
            l1,
            read_only,
            read_write,
            time,
            shared_info,
        };
        for (index, word) in descriptor::gdt(TSS_ADDRESS, tss).into_iter().enumerate() {
            set.put(mem, offset_of!(ReadOnly, gdt) + 8 * index, word);
        }
        set.put(mem, RSP0_OFFSET, RSP0);
        for (index, top) in IST_TOPS.into_iter().enumerate() {
            set.put(mem, TSS_OFFSET + offset_of!(Tss, ist) + 8 * index, top);
        }
        // reserved3 and io_map: the I/O map lies beyond the limit, so no port is allowed.
        set.put(
            mem,
            TSS_OFFSET + offset_of!(Tss, io_map) - 2,
            (size_of::<Tss>() as u64) << 16,
        );
        set.put(mem, offset_of!(ReadOnly, hypervisor_cr3), common.hypervisor_cr3);
        set.put(mem, offset_of!(ReadOnly, stack), common.stack);
        set.put(mem, offset_of!(ReadOnly, fault_stack), common.fault_stack);
        set.put(mem, offset_of!(ReadOnly, nmi_stack), common.nmi_stack);
        set.put(mem, offset_of!(ReadOnly, registers_end), registers_end);
        set.set_syscall_entry(mem, common, None);
        set.set_traps(mem, common, &TrapTable::EMPTY);
        set
    }

    /// Its frames, to give them back.
    #[must_use]
    pub const fn frames(&self) -> [Mfn; Self::FRAMES] {
        [
            self.l3,
            self.l2,
            self.l1,
            self.read_only,
            self.read_write,
            self.time,
            self.shared_info,
        ]
    }

    /// Physical address of its GDT.
    #[must_use]
    pub const fn gdt_physical(&self) -> u64 {
        self.read_only.address() + offset_of!(ReadOnly, gdt) as u64
    }

    /// Entry 256 of a root table under which this vCPU runs.
    #[must_use]
    pub const fn slot_entry(&self) -> u64 {
        self.l3.address() | PRESENT | WRITABLE
    }

    fn put(&self, mem: &mut impl PhysMem, offset: usize, value: u64) {
        mem.write(self.read_only, offset / 8, value);
    }

    /// The root under which the guest goes on.
    pub fn set_guest_root(&self, mem: &mut impl PhysMem, root: Mfn) {
        self.put(mem, offset_of!(ReadOnly, guest_cr3), root.address());
    }

    /// The stack for traps and syscalls from ring 3; TSS and syscall frame change together.
    pub fn set_kernel_stack(&self, mem: &mut impl PhysMem, rsp: u64) {
        self.put(mem, RSP1_OFFSET, rsp);
        self.put(mem, offset_of!(ReadOnly, syscall_frame) + 24, rsp);
    }

    /// Where `syscall` leads: to the guest's entry, or to a label of ours that comes back into ring 0.
    pub fn set_syscall_entry(&self, mem: &mut impl PhysMem, common: &Common, entry: Option<u64>) {
        let frame = offset_of!(ReadOnly, syscall_frame);
        self.put(mem, frame, entry.unwrap_or(common.no_syscall));
        self.put(mem, frame + 8, u64::from(KERNEL_CS));
        self.put(mem, frame + 16, ENTRY_FLAGS);
        self.put(mem, frame + 32, u64::from(KERNEL_SS));
    }

    /// The page of event bits.
    #[must_use]
    pub const fn shared_info(&self) -> Mfn {
        self.shared_info
    }

    /// Where events are delivered.
    pub fn set_upcall(&self, mem: &mut impl PhysMem, address: u64) {
        self.put(mem, offset_of!(ReadOnly, upcall), address);
        self.put(mem, offset_of!(ReadOnly, upcall) + 8, u64::from(KERNEL_CS));
    }

    /// What the guest reads as the time; its vCPU does not run meanwhile.
    pub fn set_time(&self, mem: &mut impl PhysMem, time: &TimeInfo) {
        for (offset, value) in [
            (offset_of!(TimeInfo, version), time.version),
            (offset_of!(TimeInfo, tsc_timestamp), time.tsc_timestamp),
            (offset_of!(TimeInfo, system_time_ns), time.system_time_ns),
            (offset_of!(TimeInfo, tsc_to_ns_mul), time.tsc_to_ns_mul),
            (offset_of!(TimeInfo, virtual_time_ns), time.virtual_time_ns),
            (offset_of!(TimeInfo, wall_clock_s), time.wall_clock_s),
        ] {
            mem.write(self.time, offset / 8, value);
        }
    }

    /// The trap that [`crate::switcher::Registers`] is injected with.
    pub fn set_inject_slot(&self, mem: &mut impl PhysMem, slot: u64) {
        self.put(mem, offset_of!(ReadOnly, inject_slot), slot);
    }

    /// What the guest reads as CR2.
    pub fn set_cr2(&self, mem: &mut impl PhysMem, cr2: u64) {
        mem.write(self.read_write, 0, cr2);
    }

    /// The stack pointer that the last `syscall` came with; the guest may have overwritten it.
    #[must_use]
    pub fn user_rsp(&self, mem: &impl PhysMem) -> u64 {
        mem.read(self.read_write, 1)
    }

    /// A u64 of the read-write page, for the crash record.
    #[must_use]
    pub fn read_write_word(&self, mem: &impl PhysMem, address: u64) -> Option<u64> {
        let index = usize::try_from(address.checked_sub(SWITCHER_RW)? / 8).ok()?;
        (index < ENTRIES && address.is_multiple_of(8)).then(|| mem.read(self.read_write, index))
    }

    /// A descriptor of the vCPU's GDT.
    pub fn set_descriptor(&self, mem: &mut impl PhysMem, index: usize, word: u64) {
        if index < abi::selector::GDT_ENTRIES {
            self.put(mem, offset_of!(ReadOnly, gdt) + 8 * index, word);
        }
    }

    /// Reads a descriptor back; 0 beyond the table.
    #[must_use]
    pub fn descriptor(&self, mem: &impl PhysMem, index: usize) -> u64 {
        if index < abi::selector::GDT_ENTRIES {
            mem.read(self.read_only, offset_of!(ReadOnly, gdt) / 8 + index)
        } else {
            0
        }
    }

    /// Gates and slots of a whole trap table.
    pub fn set_traps(&self, mem: &mut impl PhysMem, common: &Common, table: &TrapTable) {
        for vector in 0..=HYPERCALL_VECTOR {
            self.set_trap(mem, common, table, vector);
        }
    }

    /// Gate and slot of one vector, as the table has it.
    #[inline(never)]
    pub fn set_trap(&self, mem: &mut impl PhysMem, common: &Common, table: &TrapTable, vector: u8) {
        let masked = match table.handler(vector) {
            Handler::Bounce {
                mask_events: true, ..
            } => common.masked_stubs.get(usize::from(vector)).copied(),
            _ => None,
        };
        let stub = masked.or(stub_address(common, vector)).unwrap_or(0);
        let [low, high] = Gate::of(vector, table).encode(stub);
        let gate = offset_of!(ReadOnly, idt) + 16 * usize::from(vector);
        self.put(mem, gate, low);
        self.put(mem, gate + 8, high);
        if usize::from(vector) < EXCEPTIONS {
            self.set_slot(mem, usize::from(vector), table.bounce_entry(vector));
        }
    }

    /// What the bounce of an exception reads.
    #[inline(always)]
    fn set_slot(&self, mem: &mut impl PhysMem, exception: usize, BounceEntry { address, cs }: BounceEntry) {
        // The iretq that refuses an empty slot's null selector leaves the address for the crash record to read.
        let address = if cs == 0 { exception as u64 } else { address };
        let slot = offset_of!(ReadOnly, traps) + 16 * exception;
        mem.write_array(self.read_only, slot / 8, [address, cs]);
    }
}

/// The stub of a vector that ring 0 takes.
fn stub_address(common: &Common, vector: u8) -> Option<u64> {
    let [hypercall, missing_syscall, interrupts] = [32, 33, 34].map(|index| common.stubs.get(index).copied());
    match vector {
        0..32 => common.stubs.get(usize::from(vector)).copied(),
        FIRST_INTERRUPT..0x40 => Some(interrupts? + 8 * u64::from(vector - FIRST_INTERRUPT)),
        MISSING_SYSCALL_VECTOR => missing_syscall,
        HYPERCALL_VECTOR => hypercall,
        _ => None,
    }
}

/// One virtual CPU: what is kept of it while it does not run.
pub struct Vcpu {
    /// Its registers at the last entry from it.
    pub registers: Registers,
    /// The address behind them, under the hypervisor's root.
    pub registers_end: u64,
    /// Its part of the address space.
    pub set: VcpuSet,
    /// The frame that holds its vector state.
    pub vector_state: Mfn,
    /// FS and GS base.
    pub bases: [u64; 2],
    /// What it has registered.
    pub traps: TrapTable,
    /// Where `syscall` enters.
    pub syscall_entry: Option<u64>,
    /// The stack for traps and syscalls from ring 3.
    pub kernel_stack: u64,
    /// Where events are delivered.
    pub upcall: Option<Upcall>,
    /// When its timer fires, in nanoseconds since boot.
    pub timer_ns: Option<u64>,
    /// Nanoseconds for which it has run.
    pub virtual_time_ns: u64,
    /// Of its time page.
    pub time_version: u64,
}

impl Vcpu {
    /// Back to the state of a vCPU that has run nothing.
    pub fn reset(&mut self, mem: &mut impl PhysMem, common: &Common) {
        self.registers = Registers::default();
        self.set = VcpuSet::new(mem, self.set.frames(), common, self.registers_end, TssState::Busy);
        mem.zero(self.vector_state);
        self.bases = [0; 2];
        self.traps = TrapTable::EMPTY;
        self.syscall_entry = None;
        self.kernel_stack = 0;
        self.upcall = None;
        self.timer_ns = None;
        self.virtual_time_ns = 0;
        self.time_version = 0;
    }

    /// Registers all that the entries of a call ask for, each the two words of a [`abi::trap::TrapInfo`], or nothing.
    ///
    /// # Errors
    /// The first that may not be registered.
    #[inline(always)]
    pub fn register(
        &mut self,
        mem: &mut impl PhysMem,
        common: &Common,
        entries: &[[u64; 2]],
    ) -> Result<(), Refused> {
        match self.traps.check(entries)? {
            Change::Addresses => {
                for entry in entries {
                    let (exception, handler) = self.traps.renew(*entry);
                    self.set.set_slot(mem, exception, handler);
                }
            }
            Change::Any => self.register_any(mem, common, entries),
        }
        Ok(())
    }

    #[inline(never)]
    fn register_any(&mut self, mem: &mut impl PhysMem, common: &Common, entries: &[[u64; 2]]) {
        for entry in entries {
            // All of them were checked.
            if let Ok(registration) = Registration::from_guest(*entry) {
                self.traps.set(registration);
                self.set.set_trap(mem, common, &self.traps, registration.vector);
            }
        }
    }

    /// Sets the stack for traps and syscalls from ring 3, which was checked.
    pub fn set_kernel_stack(&mut self, mem: &mut impl PhysMem, rsp: u64) {
        self.kernel_stack = rsp;
        self.set.set_kernel_stack(mem, rsp);
    }
}

#[cfg(test)]
mod tests;
