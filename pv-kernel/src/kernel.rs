//! The kernel: what it has, and what it does about a program's traps.
use crate::addr::Pfn;
use crate::cause::Cause;
use crate::errno::Errno;
use crate::fs::{Limits, Vfs};
use crate::machine::{Balloon, Clock, Cpu, Heap, Memory, Terminal};
use crate::mm::frames::FrameTable;
use crate::mm::space;
use crate::mm::user_mem::UserMemory;
use crate::options::Options;
use crate::proc::{Next, Pid, Process, ProcessTable, Status};
use crate::schedule::Slice;
use crate::syscall::{self, Unknown};
use crate::trap::{self, Trap};
use crate::tty::Tty;
use crate::wait::Channel;
use abi::mmu::MmuextCommand;

/// All that a kernel asks of its machine.
pub trait Machine: Memory + Balloon + Terminal + Cpu + Clock + Heap {}
impl<T: Memory + Balloon + Terminal + Cpu + Clock + Heap> Machine for T {}

/// Bytes of the heap that a call which takes memory for good may not begin without: as much as any one takes.
pub const HEAP_RESERVE: usize = 256 * 1024;
/// The same for a call that gives memory back, and may need some to do so.
pub const HEAP_LAST_RESERVE: usize = 128 * 1024;

/// The kernel.
#[derive(Debug)]
pub struct Kernel<'a, M> {
    /// The machine.
    pub machine: M,
    /// The frames that programs live in.
    pub frames: FrameTable<'a>,
    /// The terminal.
    pub tty: Tty,
    /// The files.
    pub vfs: Vfs<'a>,
    /// The root table that maps the kernel and no program.
    pub kernel_root: Pfn,
    /// The domain's module.
    pub archive: &'a [u8],
    /// The domain's name.
    pub host_name: &'a str,
    /// What the command line says.
    pub options: Options<'a>,
    /// System calls that programs have tried in vain.
    pub unknown: Unknown,
    /// The processes.
    pub processes: ProcessTable<'a>,
    /// Frames that the heap has been given.
    heap_frames: u64,
    /// The running process's time.
    pub(crate) slice: Slice,
    /// The process whose address space and user state are in the CPU.
    loaded: Option<Pid>,
    /// The first process, where the kernel was started with one.
    pub(crate) init: Option<Pid>,
    /// How long nobody could go on.
    pub(crate) idle_ns: u64,
    /// The process that the kernel has started and whose end it waits for.
    pub(crate) started: Option<Pid>,
    /// How that process ended.
    pub(crate) ended: Option<Status>,
}

impl<'a, M: Machine> Kernel<'a, M> {
    /// A kernel that has run nothing yet.
    pub fn new(
        machine: M,
        frames: FrameTable<'a>,
        kernel_root: Pfn,
        archive: &'a [u8],
        host_name: &'a str,
        options: Options<'a>,
    ) -> Self {
        let now = machine.wall_clock_base_ns().saturating_add(machine.now_ns());
        let vfs = Vfs::new(Limits::for_frames(frames.len()), now);
        Self {
            machine,
            frames,
            tty: Tty::on_console_of(host_name),
            vfs,
            kernel_root,
            archive,
            host_name,
            options,
            unknown: Unknown::default(),
            processes: ProcessTable::new(),
            heap_frames: 0,
            slice: Slice::default(),
            loaded: None,
            init: None,
            idle_ns: 0,
            started: None,
            ended: None,
        }
    }

    /// Prints a line of the kernel's own.
    pub fn say(&mut self, line: core::fmt::Arguments<'_>) {
        self.tty
            .say(&mut self.machine, format_args!("pv-kernel: {line}\n"));
    }

    /// Something has happened: whoever waits for it is ready.
    pub fn wake(&mut self, channel: Channel) {
        self.processes.wake(channel);
    }

    /// Refuses a call that takes memory of the kernel's while there is little.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn check_heap(&self) -> Result<(), Errno> {
        if self.machine.heap_has(HEAP_RESERVE) {
            Ok(())
        } else {
            Err(Errno::NO_MEMORY)
        }
    }

    /// Refuses a call that gives memory back only when there is almost none to do it with.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn check_last_heap(&self) -> Result<(), Errno> {
        if self.machine.heap_has(HEAP_LAST_RESERVE) {
            Ok(())
        } else {
            Err(Errno::NO_MEMORY)
        }
    }

    /// Lets the heap have the frames that it wants.
    pub(crate) fn feed_heap(&mut self) {
        for _ in 0..self.machine.heap_wants() {
            let Ok(frame) = self.frames.take() else {
                return;
            };
            self.machine.grow_heap(frame);
            self.heap_frames += 1;
        }
    }

    /// Frames that are free, and those that the heap or the hypervisor has: what is left when all processes have ended.
    pub(crate) const fn frames_at_rest(&self) -> u64 {
        self.frames.free() + self.frames.aside() + self.heap_frames
    }

    /// Puts the process's address space and user state into the CPU.
    pub fn enter(&mut self, process: &Process<'a>) {
        if self.loaded == Some(process.pid) {
            return;
        }
        if let Some(last) = self.loaded.and_then(|last| self.processes.process_mut(last)) {
            self.machine.save_user_state(&mut last.user_state);
        }
        self.load_root(process.memory.root());
        self.machine.load_user_state(&process.user_state);
        self.loaded = Some(process.pid);
    }

    /// Brings `process.user_state` up to date.
    pub fn save_user_state(&mut self, process: &mut Process<'a>) {
        if self.loaded == Some(process.pid) {
            self.machine.save_user_state(&mut process.user_state);
        }
    }

    /// Puts `process.user_state` into the CPU, if the rest of the process is there.
    pub fn load_user_state(&mut self, process: &Process<'a>) {
        if self.loaded == Some(process.pid) {
            self.machine.load_user_state(&process.user_state);
        }
    }

    /// What of the process `pid` is in the CPU is given up; the CPU goes to the kernel's own address space.
    pub fn forget_user_state(&mut self, pid: Pid) {
        if self.loaded == Some(pid) {
            self.loaded = None;
            self.load_root(self.kernel_root);
        }
    }

    /// Gives back a memory that the CPU is not in.
    pub fn destroy(&mut self, memory: UserMemory<'a>) {
        memory.destroy(&mut self.machine, &mut self.frames);
    }

    fn load_root(&mut self, root: Pfn) {
        let root = self.machine.mfn_of(root).0;
        self.machine
            .mmuext(&[space::mmuext(MmuextCommand::NewBaseptr, root)]);
    }

    /// Works on the trap that the process's context holds.
    pub fn trap(&mut self, process: &mut Process<'a>) -> Next {
        match trap::classify(&process.context) {
            Trap::SystemCall => syscall::dispatch(self, process),
            Trap::Event => Next::Resume,
            Trap::PageFault(fault) => {
                let resolved = process.memory.resolve(&mut self.machine, &mut self.frames, fault);
                match resolved {
                    Ok(()) => Next::Resume,
                    // It tries again when another has made room.
                    Err(Cause::OutOfMemory) if self.make_room(process) => Next::Resume,
                    Err(cause) => self.fault(process, cause),
                }
            }
            Trap::GeneralProtection => {
                let cause = self.explain_protection(process);
                self.fault(process, cause)
            }
            Trap::Fatal(cause) => self.fault(process, cause),
        }
    }

    /// What kind of #GP it was, by the instruction.
    fn explain_protection(&mut self, process: &mut Process<'a>) -> Cause {
        let mut code = [0; 8];
        let mut length = 0;
        for (offset, byte) in (0..).zip(code.iter_mut()) {
            let Some(address) = process.context.rip.checked_add(offset) else {
                break;
            };
            if self
                .copy_in(process, address, core::slice::from_mut(byte))
                .is_err()
            {
                break;
            }
            length += 1;
        }
        let name = trap::privileged_instruction(code.get(..length).unwrap_or(&[]));
        name.map_or(Cause::GeneralProtection, Cause::PrivilegedInstruction)
    }

    /// Copies from the program's `address`.
    ///
    /// # Errors
    /// `EFAULT`, `ENOMEM`.
    pub fn copy_in(
        &mut self,
        process: &mut Process<'_>,
        address: u64,
        buffer: &mut [u8],
    ) -> Result<(), Errno> {
        self.with_room(process, |memory, machine, frames| {
            memory.read(machine, frames, address, buffer)
        })
    }

    /// Copies to the program's `address`.
    ///
    /// # Errors
    /// `EFAULT`, `ENOMEM`.
    pub fn copy_out(&mut self, process: &mut Process<'_>, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.with_room(process, |memory, machine, frames| {
            memory.write(machine, frames, address, bytes)
        })
    }

    /// Brings in the pages of the program's that are about to be written.
    ///
    /// # Errors
    /// `EFAULT`, `ENOMEM`.
    pub fn make_writable(
        &mut self,
        process: &mut Process<'_>,
        address: u64,
        length: usize,
    ) -> Result<(), Errno> {
        self.with_room(process, |memory, machine, frames| {
            memory.make_writable(machine, frames, address, length)
        })
    }

    /// Tries an access to a program's memory, and again when another process has made room for it.
    fn with_room<'p>(
        &mut self,
        process: &mut Process<'p>,
        mut access: impl FnMut(&mut UserMemory<'p>, &mut M, &mut FrameTable<'a>) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        loop {
            match access(&mut process.memory, &mut self.machine, &mut self.frames) {
                Err(Errno::NO_MEMORY) if self.make_room(process) => {}
                done => return done,
            }
        }
    }
}
