//! A process's program: finding it, and putting it in the place of another.
use crate::context::Context;
use crate::errno::Errno;
use crate::exec::elf::{self, HEAD};
use crate::exec::{script, stack};
use crate::fs::descriptors::OnExec;
use crate::fs::{Follow, Node, OpenFlags, Vfs};
use crate::kernel::{Kernel, Machine};
use crate::mm::layout::STACK_TOP;
use crate::mm::program_file::{MAX_COPY_PAGES, ProgramFile, release_all};
use crate::mm::space::AddressSpace;
use crate::mm::user_mem::UserMemory;
use crate::proc::files::{ProcessFiles, kept_arguments};
use crate::proc::table::Origin;
use crate::proc::{Name, Pid, Process, Turn, UserState};
use crate::signal::SignalState;
use crate::signal::frame::least_stack;
use crate::wait::Channel;
use abi::layout::PAGE_SIZE;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// How many scripts may be each other's interpreters, as on Linux.
const MAX_SCRIPTS: usize = 4;

/// Why a program could not be started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExecError {
    /// There is no such file.
    NotFound,
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
    arguments: Box<[u8]>,
}

impl<'a, M: Machine> Kernel<'a, M> {
    /// The file at `path`. `process` is who asks, nothing for the kernel itself. It has to be released.
    ///
    /// # Errors
    /// [`ExecError`].
    fn program_file(
        &mut self,
        process: Option<&Process<'a>>,
        path: &[u8],
    ) -> Result<ProgramFile<'a>, ExecError> {
        let start = process.map_or(Vfs::root(), |process| process.files.directory);
        let found = self.with_files_for(process, |vfs, caller, _| {
            let node = vfs.find(start, path, Follow::Yes, caller)?;
            vfs.check_executable(node)?;
            Ok((node, vfs.archived(node), vfs.attributes(node, caller)?.size))
        });
        match found {
            Err(Errno::NO_ENTRY) => Err(ExecError::NotFound),
            Err(errno) => Err(ExecError::Refused(errno)),
            Ok((_, Some(bytes), _)) => Ok(ProgramFile::new(bytes)),
            Ok((node, None, size)) => self.copy_of(process, node, size).map_err(ExecError::Refused),
        }
    }

    /// A copy of a file that may change.
    fn copy_of(
        &mut self,
        process: Option<&Process<'a>>,
        node: Node,
        size: u64,
    ) -> Result<ProgramFile<'a>, Errno> {
        let count = size.div_ceil(PAGE_SIZE);
        if count > MAX_COPY_PAGES {
            return Err(Errno::NO_MEMORY);
        }
        self.check_heap()?;
        let mut pages = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
        let copied = self.with_files_for(process, |vfs, caller, store| {
            let mut bytes = [0; PAGE_SIZE as usize];
            for page in 0..count {
                let frame = store.take().map_err(|_| Errno::NO_MEMORY)?;
                pages.push(frame);
                let read = vfs.read_node(node, page * PAGE_SIZE, &mut bytes, caller, store)?;
                for (target, byte) in store.page(frame).iter_mut().zip(bytes.iter().take(read)) {
                    *target = *byte;
                }
            }
            Ok(())
        });
        if let Err(errno) = copied {
            release_all(&mut self.frames, &pages);
            return Err(errno);
        }
        Ok(ProgramFile::copied(size, pages))
    }

    /// Opens the terminal as a process's first three files. Without it, it has none.
    fn open_console(&mut self, process: &mut Process<'a>) {
        let opened = self.with_files_for(None, |vfs, caller, store| {
            vfs.open(
                Vfs::root(),
                b"/dev/console",
                OpenFlags::READ_WRITE,
                0,
                caller,
                store,
            )
        });
        let Ok(file) = opened else { return };
        for _ in 0..3 {
            self.vfs.share(file);
            // An empty table has room.
            let _ = process.files.descriptors.insert(file, 0, OnExec::Keep);
        }
        self.with_files_for(None, |vfs, _, store| vfs.close(file, store));
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
        let mut process = Process {
            pid,
            memory: loaded.memory,
            context: loaded.context,
            user_state: UserState::clean(self.machine.vector_layout().size),
            signals: SignalState::new(),
            turn: Turn::Resume,
            files: ProcessFiles::default(),
            arguments: loaded.arguments,
            progress: 0,
            deadline_ns: None,
        };
        self.open_console(&mut process);
        self.processes
            .insert(Box::new(process), Pid::KERNEL, loaded.name, None);
        // The kernel's own process has the terminal.
        (self.tty.session, self.tty.foreground) = (Some(pid), Some(pid));
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
        process.arguments = loaded.arguments;
        process.deadline_ns = None;
        self.close_on_exec(process);
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
            let length = file.read_at(&mut self.machine, 0, &mut head);
            head.truncate(length);
            let loaded = match script::read(&head) {
                Some(script) => {
                    program = script.interpret(program);
                    None
                }
                None => Some(self.load_elf(&file, &head, &program, name)),
            };
            file.release(&mut self.frames);
            if let Some(loaded) = loaded {
                return loaded;
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
            arguments: kept_arguments(&program.arguments),
        })
    }
}
