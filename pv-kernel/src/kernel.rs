//! The kernel: what it has, how it starts a program, and what it does about a program's traps.
use crate::addr::Pfn;
use crate::archive;
use crate::cause::Cause;
use crate::console::{Console, Signal};
use crate::context::Context;
use crate::errno::Errno;
use crate::exec::{elf, stack};
use crate::machine::{Cpu, Memory, Terminal};
use crate::mm::frames::FrameTable;
use crate::mm::layout::STACK_TOP;
use crate::mm::space::{self, AddressSpace};
use crate::mm::user_mem::UserMemory;
use crate::options::Options;
use crate::process::{End, Next, Process, short_name};
use crate::syscall::{self, Unknown};
use crate::trap::{self, Trap};
use abi::mmu::MmuextCommand;

/// All that a kernel asks of its machine.
pub trait Machine: Memory + Terminal + Cpu {}
impl<T: Memory + Terminal + Cpu> Machine for T {}

/// The kernel.
#[derive(Debug)]
pub struct Kernel<'a, M> {
    /// The machine.
    pub machine: M,
    /// The frames that programs live in.
    pub frames: FrameTable<'a>,
    /// The console.
    pub console: Console,
    /// The root table that maps the kernel and no program.
    pub kernel_root: Pfn,
    /// The domain's module.
    pub archive: &'a [u8],
    /// The domain's name.
    pub host_name: &'a str,
    /// What the command line says.
    pub options: Options,
    /// System calls that programs have tried in vain.
    pub unknown: Unknown,
    next_pid: u32,
}

/// Why a program could not be started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartError {
    /// The archive has no such file.
    NotFound,
    /// The archive is broken.
    BadArchive,
    /// Its file is no program for this kernel.
    Unfit(elf::Unfit),
    /// Its arguments are too long.
    ArgumentsTooLong,
    /// No memory.
    OutOfMemory,
}

impl core::fmt::Display for StartError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotFound => f.write_str("not found"),
            Self::BadArchive => f.write_str("the archive is malformed"),
            Self::Unfit(unfit) => write!(f, "cannot be executed: {unfit}"),
            Self::ArgumentsTooLong => f.write_str("its arguments are too long"),
            Self::OutOfMemory => f.write_str("out of memory"),
        }
    }
}

impl<'a, M: Machine> Kernel<'a, M> {
    /// A kernel that has run nothing yet.
    pub fn new(
        machine: M,
        frames: FrameTable<'a>,
        kernel_root: Pfn,
        archive: &'a [u8],
        host_name: &'a str,
        options: Options,
    ) -> Self {
        let console = Console::new();
        let unknown = Unknown::default();
        Self {
            machine,
            frames,
            console,
            kernel_root,
            archive,
            host_name,
            options,
            unknown,
            next_pid: 1,
        }
    }

    /// Prints a line of the kernel's own.
    pub fn say(&mut self, line: core::fmt::Arguments<'_>) {
        self.console
            .say(&mut self.machine, format_args!("pv-kernel: {line}\n"));
    }

    /// Makes a process of the program `arguments[0]`, ready to run its first instruction.
    ///
    /// # Errors
    /// [`StartError`]; no frame is kept.
    pub fn start(&mut self, arguments: &[&[u8]]) -> Result<Process<'a>, StartError> {
        let name = arguments.first().copied().unwrap_or_default();
        let path = [b"bin/", name].concat();
        let file = archive::find(self.archive, &path).map_err(|_| StartError::BadArchive)?;
        let file = file.ok_or(StartError::NotFound)?;
        let image = elf::read(file).map_err(StartError::Unfit)?;
        let stack = stack::build(&image, arguments, &[], self.machine.random(), STACK_TOP)
            .map_err(|_| StartError::ArgumentsTooLong)?;

        let space = AddressSpace::new(&mut self.machine, &mut self.frames, self.kernel_root)
            .map_err(|_| StartError::OutOfMemory)?;
        let mut memory = match UserMemory::new(space, image.areas, file, image.end) {
            Ok(memory) => memory,
            Err((space, _)) => {
                space.destroy(&mut self.machine, &mut self.frames);
                return Err(StartError::Unfit(elf::Unfit::Misplaced));
            }
        };
        let written = memory.write(&mut self.machine, &mut self.frames, stack.pointer, &stack.bytes);
        if written.is_err() {
            memory.destroy(&mut self.machine, &mut self.frames);
            return Err(StartError::OutOfMemory);
        }
        let pid = self.next_pid;
        self.next_pid = pid.wrapping_add(1).max(1);
        let context = Context::new(image.entry, stack.pointer);
        Ok(Process {
            pid,
            name: short_name(name),
            memory,
            context,
        })
    }

    /// Puts the CPU into the process's address space.
    pub fn switch_to(&mut self, process: &Process<'_>) {
        self.load_root(process.memory.root());
    }

    /// Gives back all that a process has; the CPU goes to the kernel's own address space.
    pub fn bury(&mut self, process: Process<'_>) {
        self.load_root(self.kernel_root);
        process.memory.destroy(&mut self.machine, &mut self.frames);
    }

    fn load_root(&mut self, root: Pfn) {
        let root = self.machine.mfn_of(root).0;
        self.machine
            .mmuext(&[space::mmuext(MmuextCommand::NewBaseptr, root)]);
    }

    /// Works on the trap that the process's context holds.
    pub fn trap(&mut self, process: &mut Process<'_>) -> Next {
        let next = match trap::classify(&process.context) {
            Trap::SystemCall => syscall::dispatch(self, process),
            Trap::PageFault(fault) => {
                let resolved = process.memory.resolve(&mut self.machine, &mut self.frames, fault);
                resolved.map_or_else(|cause| killed(process, cause), |()| Next::Resume)
            }
            Trap::GeneralProtection => {
                let cause = self.explain_protection(process);
                killed(process, cause)
            }
            Trap::Fatal(cause) => killed(process, cause),
        };
        if next == Next::Resume && !process.context.can_resume() {
            return killed(process, Cause::GeneralProtection);
        }
        next
    }

    /// Looks for the user's Ctrl-C.
    pub fn interrupted(&mut self) -> bool {
        self.console.poll(&mut self.machine) == Some(Signal::Interrupt)
    }

    /// What kind of #GP it was, by the instruction.
    fn explain_protection(&mut self, process: &mut Process<'_>) -> Cause {
        let mut code = [0; 8];
        let mut length = 0;
        for (offset, byte) in (0..).zip(code.iter_mut()) {
            let Some(address) = process.context.rip.checked_add(offset) else {
                break;
            };
            let byte = core::slice::from_mut(byte);
            if process
                .memory
                .read(&mut self.machine, &mut self.frames, address, byte)
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
        process
            .memory
            .read(&mut self.machine, &mut self.frames, address, buffer)
    }

    /// Copies to the program's `address`.
    ///
    /// # Errors
    /// `EFAULT`, `ENOMEM`.
    pub fn copy_out(&mut self, process: &mut Process<'_>, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        process
            .memory
            .write(&mut self.machine, &mut self.frames, address, bytes)
    }
}

/// The end of a process by the kernel.
pub(crate) fn killed(process: &Process<'_>, cause: Cause) -> Next {
    Next::End(End::Killed {
        cause,
        rip: process.context.rip,
    })
}
