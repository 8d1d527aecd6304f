//! A process's program: finding it, and putting it in the place of another.
use crate::archive;
use crate::context::Context;
use crate::errno::Errno;
use crate::exec::elf::{self, HEAD};
use crate::exec::{script, stack};
use crate::kernel::{Kernel, Machine};
use crate::mm::layout::STACK_TOP;
use crate::mm::program_file::ProgramFile;
use crate::mm::space::AddressSpace;
use crate::mm::user_mem::UserMemory;
use crate::proc::table::Origin;
use crate::proc::{Name, Pid, Process, Turn, UserState};
use crate::signal::SignalState;
use crate::signal::frame::least_stack;
use crate::wait::Channel;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// How many scripts may be each other's interpreters, as on Linux.
const MAX_SCRIPTS: usize = 4;

/// Why a program could not be started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExecError {
    /// There is no such file.
    NotFound,
    /// The archive is broken.
    BadArchive,
    /// Its file is no program for this kernel.
    Unfit(elf::Unfit),
    /// Its arguments are too long.
    ArgumentsTooLong,
    /// No memory.
    OutOfMemory,
    /// No process more.
    TooManyProcesses,
    /// The file cannot be reached, for this reason.
    Refused(Errno),
}

impl core::fmt::Display for ExecError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotFound => f.write_str("not found"),
            Self::BadArchive => f.write_str("the archive is malformed"),
            Self::Unfit(unfit) => write!(f, "cannot be executed: {unfit}"),
            Self::ArgumentsTooLong => f.write_str("its arguments are too long"),
            Self::OutOfMemory => f.write_str("out of memory"),
            Self::TooManyProcesses => f.write_str("too many processes"),
            Self::Refused(errno) => write!(f, "{errno}"),
        }
    }
}

impl From<ExecError> for Errno {
    fn from(error: ExecError) -> Self {
        match error {
            ExecError::NotFound => Self::NO_ENTRY,
            ExecError::BadArchive => Self::IO,
            ExecError::Unfit(_) => Self::NOT_EXECUTABLE,
            ExecError::ArgumentsTooLong => Self::TOO_BIG,
            ExecError::OutOfMemory => Self::NO_MEMORY,
            ExecError::TooManyProcesses => Self::AGAIN,
            ExecError::Refused(errno) => errno,
        }
    }
}

/// What to run, and how it is called.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its path.
    pub path: Vec<u8>,
    /// Its arguments, its name first.
    pub arguments: Vec<Vec<u8>>,
    /// Its environment.
    pub environment: Vec<Vec<u8>>,
}

impl Program {
    /// The program `bin/NAME` with no environment, as a list of programs names it.
    #[must_use]
    pub fn from_list(arguments: &[&[u8]]) -> Self {
        let name = arguments.first().copied().unwrap_or_default();
        Self {
            path: [b"/bin/", name].concat(),
            arguments: arguments.iter().map(|argument| argument.to_vec()).collect(),
            environment: Vec::new(),
        }
    }
}

/// A program in memory that nobody runs yet.
struct Loaded<'a> {
    memory: UserMemory<'a>,
    context: Context,
    name: Name,
}

impl<'a, M: Machine> Kernel<'a, M> {
    /// The file at `path`. `process` is who asks, nothing for the kernel itself.
    ///
    /// # Errors
    /// [`ExecError`].
    fn program_file(
        &mut self,
        _process: Option<&Process<'a>>,
        path: &[u8],
    ) -> Result<ProgramFile<'a>, ExecError> {
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let found = archive::find(self.archive, path).map_err(|_| ExecError::BadArchive)?;
        found.map(ProgramFile::new).ok_or(ExecError::NotFound)
    }

    /// Begins a process of the kernel's own with a program.
    ///
    /// # Errors
    /// [`ExecError`]; no frame is kept.
    pub fn start(&mut self, program: Program) -> Result<Pid, ExecError> {
        let pid = self
            .processes
            .free_pid()
            .map_err(|_| ExecError::TooManyProcesses)?;
        let loaded = self.load(None, program)?;
        let process = Process {
            pid,
            memory: loaded.memory,
            context: loaded.context,
            user_state: UserState::clean(self.machine.vector_layout().size),
            signals: SignalState::new(),
            turn: Turn::Resume,
            deadline_ns: None,
        };
        self.processes
            .insert(Box::new(process), Pid::KERNEL, loaded.name, None);
        Ok(pid)
    }

    /// Puts `program` in the place of the one that `process` runs.
    ///
    /// # Errors
    /// [`ExecError`]; the process is as it was.
    pub fn exec(&mut self, process: &mut Process<'a>, program: Program) -> Result<(), ExecError> {
        self.check_heap().map_err(ExecError::Refused)?;
        let loaded = self.load(Some(process), program)?;
        self.forget_user_state(process.pid);
        let old = core::mem::replace(&mut process.memory, loaded.memory);
        self.destroy(old);
        process.context = loaded.context;
        process.user_state = UserState::clean(self.machine.vector_layout().size);
        process.signals.exec();
        process.deadline_ns = None;
        if let Some(entry) = self.processes.entry_mut(process.pid) {
            entry.name = loaded.name;
            entry.program = Origin::Executed;
        }
        self.wake(Channel::Departed(process.pid));
        Ok(())
    }

    /// Loads a program, or the interpreter that a script names.
    fn load(&mut self, process: Option<&Process<'a>>, mut program: Program) -> Result<Loaded<'a>, ExecError> {
        let name = Name::of_path(&program.path);
        for _ in 0..=MAX_SCRIPTS {
            let file = self.program_file(process, &program.path)?;
            let mut head = alloc::vec![0; HEAD];
            let length = file.read_at(0, &mut head);
            head.truncate(length);
            match script::read(&head) {
                Some(script) => program = script.interpret(program),
                None => return self.load_elf(&file, &head, &program, name),
            }
        }
        Err(ExecError::Refused(Errno::LOOP))
    }

    fn load_elf(
        &mut self,
        file: &ProgramFile<'a>,
        head: &[u8],
        program: &Program,
        name: Name,
    ) -> Result<Loaded<'a>, ExecError> {
        let image = elf::read(head, file.size()).map_err(ExecError::Unfit)?;
        let arguments: Vec<&[u8]> = program.arguments.iter().map(Vec::as_slice).collect();
        let environment: Vec<&[u8]> = program.environment.iter().map(Vec::as_slice).collect();
        let start = stack::Start {
            arguments: &arguments,
            environment: &environment,
            path: &program.path,
            random: self.machine.random(),
            features: self.machine.features(),
            signal_stack: least_stack(self.machine.vector_layout()),
        };
        let stack = stack::build(&image, &start, STACK_TOP).map_err(|_| ExecError::ArgumentsTooLong)?;

        let space = AddressSpace::new(&mut self.machine, &mut self.frames, self.kernel_root)
            .map_err(|_| ExecError::OutOfMemory)?;
        let made = UserMemory::new(
            space,
            image.areas,
            file.clone(),
            image.end,
            image.stack_protection,
        );
        let mut memory = match made {
            Ok(memory) => memory,
            Err((space, _)) => {
                space.destroy(&mut self.machine, &mut self.frames);
                return Err(ExecError::Unfit(elf::Unfit::Misplaced));
            }
        };
        let written = memory.write(&mut self.machine, &mut self.frames, stack.pointer, &stack.bytes);
        if written.is_err() {
            memory.destroy(&mut self.machine, &mut self.frames);
            return Err(ExecError::OutOfMemory);
        }
        let context = Context::new(image.entry, stack.pointer);
        Ok(Loaded {
            memory,
            context,
            name,
        })
    }
}
