//! What the kernel asks of the machine. The decisions of this crate run on a model of it on the host, and on the
//! hypervisor in ring 1.
use crate::addr::{Mfn, Pfn};
use crate::context::Context;
use crate::proc::{UserState, VectorLayout};
use abi::layout::PAGE_SIZE;
use abi::mmu::{MmuUpdate, MmuextOp};

/// The bytes of a frame.
pub type Page = [u8; PAGE_SIZE as usize];

/// Page tables.
///
/// A well-formed request that the hypervisor refuses is a mistake of this kernel: the implementation panics.
pub trait Tables {
    /// The machine's number of one of the domain's frames.
    fn mfn_of(&self, frame: Pfn) -> Mfn;

    /// The domain's number of a machine frame.
    fn pfn_of(&self, frame: Mfn) -> Pfn;

    /// Entry `index` of the table in `table`.
    fn entry(&self, table: Pfn, index: u16) -> u64;

    /// The first entry from `index` on, below `end`, that is not 0. Most of most tables is empty.
    fn next_entry(&self, table: Pfn, index: u16, end: u16) -> Option<(u16, u64)> {
        let mut entries = (index..end).map(|index| (index, self.entry(table, index)));
        entries.find(|(_, entry)| *entry != 0)
    }

    /// Writes page-table entries, in order.
    fn mmu_update(&mut self, requests: &[MmuUpdate]);

    /// Pins, unpins, switches, flushes, in order.
    fn mmuext(&mut self, operations: &[MmuextOp]);

    /// Both: the updates, then the operations. A machine may do it in one call.
    fn change_tables(&mut self, updates: &[MmuUpdate], operations: &[MmuextOp]) {
        if !updates.is_empty() {
            self.mmu_update(updates);
        }
        if !operations.is_empty() {
            self.mmuext(operations);
        }
    }
}

/// Page tables, and what is in frames.
pub trait Memory: Tables {
    /// The bytes of a frame that the frame table has handed out and that is no page table.
    fn page(&mut self, frame: Pfn) -> &mut Page;

    /// Copies all bytes of one such frame to another.
    fn copy_page(&mut self, from: Pfn, to: Pfn);
}

/// Frames that the hypervisor may have meanwhile (the paper's balloon).
pub trait Balloon {
    /// Gives up frames that nobody uses; how many, the first of them. They are mapped nowhere then.
    fn give_up(&mut self, frames: &[Pfn]) -> usize;

    /// Gets machine frames for numbers whose frames were given up; for how many, the first of them. They hold zeros.
    fn get_back(&mut self, frames: &[Pfn]) -> usize;
}

/// The domain's console.
pub trait Terminal {
    /// Takes some of `bytes`; how many, perhaps 0.
    fn write(&mut self, bytes: &[u8]) -> usize;

    /// Fills some of `buffer` with what has been typed; how many, perhaps 0.
    fn read(&mut self, buffer: &mut [u8]) -> usize;

    /// Sleeps until there is room to write.
    fn wait_for_room(&mut self);
}

/// What belongs to the CPU and changes with the running program.
pub trait Cpu {
    /// Runs a program from the registers in `context` until its next trap, which `context` then holds.
    fn run_user(&mut self, context: &mut Context);

    /// What images of the vector registers are like.
    fn vector_layout(&self) -> VectorLayout;

    /// Copies what of a program is in the CPU while the kernel runs.
    fn save_user_state(&mut self, state: &mut UserState);

    /// Puts it into the CPU; segments become null.
    fn load_user_state(&mut self, state: &UserState);

    /// What the CPU can do, as `AT_HWCAP` and `AT_HWCAP2` tell it.
    fn features(&self) -> [u64; 2];

    /// Some bytes that are hard to guess.
    fn random(&mut self) -> [u8; 16];

    /// Lets other domains run.
    fn yield_now(&mut self);

    /// Sets the base of FS; the address is canonical and not the hypervisor's.
    fn set_fs_base(&mut self, base: u64);

    /// Sets the base of GS, likewise.
    fn set_gs_base(&mut self, base: u64);

    /// The base of FS.
    fn fs_base(&self) -> u64;

    /// The base of GS.
    fn gs_base(&self) -> u64;
}

/// What has happened outside of the domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Events {
    /// The time that was set has come.
    pub timer: bool,
    /// Keys were typed.
    pub console: bool,
}

/// Time, and waiting for the world.
pub trait Clock {
    /// System time: nanoseconds since the machine started.
    fn now_ns(&self) -> u64;

    /// Nanoseconds since 1970-01-01 UTC at system time 0.
    fn wall_clock_base_ns(&self) -> u64;

    /// [`Events::timer`] happens once, when the system time reaches `deadline_ns`; replaces what was set.
    fn set_timer(&mut self, deadline_ns: u64);

    /// What has happened since the last time, once each. While a program runs, an event leads into the kernel.
    fn take_events(&mut self) -> Events;

    /// Sleeps until an event happens or, if it is given, system time `until_ns` comes.
    fn sleep(&mut self, until_ns: Option<u64>);

    /// The same, and the terminal's having room ends it too.
    fn sleep_for_room(&mut self, until_ns: Option<u64>);
}

/// The kernel's heap, whose pages appear at their first touch, in frames that lie ready for them.
pub trait Heap {
    /// How many more frames may lie ready.
    fn heap_wants(&self) -> usize;

    /// Hands over a frame for it, which it keeps.
    fn grow_heap(&mut self, frame: Pfn);

    /// Whether `bytes` can surely be allocated, in pieces of up to half of that.
    fn heap_has(&self, bytes: usize) -> bool;
}
