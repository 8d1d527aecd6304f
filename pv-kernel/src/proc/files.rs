//! The files of a process, and what file operations need of the kernel.
use crate::fs::proc::facts::{ProcessFacts, SystemFacts};
use crate::fs::{Caller, Descriptors, DomainFrames, Facts, LoadError, Node, PageStore, Vfs};
use crate::kernel::{Kernel, Machine};
use crate::proc::table::{Entry, State};
use crate::proc::{Pid, Process, ProcessTable};
use crate::syscall::{RELEASE, VERSION};
use crate::wait::Channel;
use alloc::boxed::Box;

/// Bytes of a program's arguments that the kernel keeps for `/proc`.
const ARGUMENTS_KEPT: usize = 256;

/// What a process has of files.
#[derive(Debug)]
pub struct ProcessFiles {
    /// Its descriptors.
    pub descriptors: Descriptors,
    /// Its working directory, which it is a use of.
    pub directory: Node,
    /// Bits of the mode that its new files do not get.
    pub umask: u16,
}

impl Default for ProcessFiles {
    /// No file, at the root.
    fn default() -> Self {
        Self {
            descriptors: Descriptors::new(),
            directory: Vfs::root(),
            umask: 0o022,
        }
    }
}

/// As much of a program's arguments as is kept, each with a NUL.
#[must_use]
pub(super) fn kept_arguments(arguments: &[alloc::vec::Vec<u8>]) -> Box<[u8]> {
    let bytes = arguments.iter().flat_map(|argument| argument.iter().chain(&[0]));
    bytes.take(ARGUMENTS_KEPT).copied().collect()
}

impl<'a, M: Machine> Kernel<'a, M> {
    /// The time, in nanoseconds since 1970.
    #[must_use]
    pub fn wall_clock_ns(&self) -> u64 {
        let base = self.machine.wall_clock_base_ns();
        base.saturating_add(self.machine.now_ns())
    }

    /// Makes the files: what the archive has, and what is always there.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load_files(&mut self) -> Result<(), LoadError> {
        let archive = self.archive;
        self.with_files_for(None, |vfs, caller, _| {
            vfs.load(archive, caller)?;
            Ok(vfs.make_system_directories(caller)?)
        })
    }

    /// Works on files for `process`.
    pub fn with_files<R>(
        &mut self,
        process: &Process<'a>,
        work: impl FnOnce(&mut Vfs<'a>, &Caller<'_>, &mut dyn PageStore) -> R,
    ) -> R {
        self.with_files_for(Some(process), work)
    }

    /// Works on files for a process, or for the kernel itself.
    pub fn with_files_for<R>(
        &mut self,
        process: Option<&Process<'a>>,
        work: impl FnOnce(&mut Vfs<'a>, &Caller<'_>, &mut dyn PageStore) -> R,
    ) -> R {
        let now = self.wall_clock_ns();
        let facts = KernelFacts {
            processes: &self.processes,
            current: process,
            foreground: self.tty.session.zip(self.tty.foreground),
            system: SystemFacts {
                host_name: self.host_name,
                release: RELEASE,
                version: VERSION,
                uptime: self.machine.now_ns() / TICK_NS,
                idle: self.idle_ns / TICK_NS,
                booted: now.saturating_sub(self.machine.now_ns()) / 1_000_000_000,
                frames: self.frames.len(),
                free_frames: self.frames.free(),
                processes: self.processes.entries().len() as u32,
                runnable: self.processes.runnable(),
                last_pid: self.processes.last().0,
            },
        };
        let caller = Caller {
            facts: &facts,
            umask: process.map_or(0o022, |process| process.files.umask),
            now,
        };
        let mut store = DomainFrames {
            memory: &mut self.machine,
            frames: &mut self.frames,
        };
        work(&mut self.vfs, &caller, &mut store)
    }

    /// Closes what a process that ends has open, and leaves its directory.
    pub fn leave_files(&mut self, files: ProcessFiles) {
        let mut store = DomainFrames {
            memory: &mut self.machine,
            frames: &mut self.frames,
        };
        let ProcessFiles {
            mut descriptors,
            directory,
            ..
        } = files;
        let processes = &mut self.processes;
        descriptors.close_all(&mut self.vfs, &mut store, &mut |pipe| {
            processes.wake(Channel::Pipe(pipe));
        });
        self.vfs.let_go(directory, &mut store);
    }

    /// Closes what does not survive that the process becomes another program.
    pub fn close_on_exec(&mut self, process: &mut Process<'a>) {
        let mut store = DomainFrames {
            memory: &mut self.machine,
            frames: &mut self.frames,
        };
        let processes = &mut self.processes;
        let descriptors = &mut process.files.descriptors;
        descriptors.exec(&mut self.vfs, &mut store, &mut |pipe| {
            processes.wake(Channel::Pipe(pipe));
        });
    }

    /// The files of a process's child.
    pub fn fork_files(&mut self, parent: &ProcessFiles) -> ProcessFiles {
        self.vfs.hold(parent.directory);
        ProcessFiles {
            descriptors: parent.descriptors.fork(&mut self.vfs),
            ..*parent
        }
    }
}

/// Nanoseconds of a hundredth of a second.
const TICK_NS: u64 = 10_000_000;

/// What `/proc` is told.
struct KernelFacts<'k, 'a> {
    processes: &'k ProcessTable<'a>,
    /// The process that asks, if it is one: it is not in the table while it does.
    current: Option<&'k Process<'a>>,
    /// The session that the terminal controls, and the group it listens to.
    foreground: Option<(Pid, Pid)>,
    system: SystemFacts<'k>,
}

impl<'a> KernelFacts<'_, 'a> {
    fn process_of<'s>(&'s self, entry: &'s Entry<'a>) -> Option<&'s Process<'a>> {
        match self.current {
            Some(current) if current.pid == entry.pid => Some(current),
            _ => entry.process(),
        }
    }
}

impl Facts for KernelFacts<'_, '_> {
    fn current(&self) -> u32 {
        self.current.map_or(0, |process| process.pid.0)
    }

    fn first_from(&self, pid: u32) -> Option<u32> {
        let pids = self.processes.entries().iter().map(|entry| entry.pid.0);
        pids.filter(|known| *known >= pid).min()
    }

    fn process(&self, pid: u32) -> Option<ProcessFacts<'_>> {
        let entry = self.processes.entry(Pid(pid))?;
        let process = self.process_of(entry);
        let state = match entry.state() {
            State::Running | State::Ready => 'R',
            State::Waiting(_) => 'S',
            State::Stopped(_) => 'T',
            State::Zombie(_) => 'Z',
        };
        let terminal_group = self
            .foreground
            .and_then(|(session, group)| (session == entry.session).then_some(group.0));
        Some(ProcessFacts {
            name: entry.name.as_bytes(),
            arguments: process.map_or(&[], |process| &process.arguments),
            state,
            parent: entry.parent.0,
            group: entry.group.0,
            session: entry.session.0,
            terminal_group,
            started: 0,
            run_time: entry.cpu_ns / TICK_NS,
            resident: process.map_or(0, |process| process.memory.pages()),
            areas: process.map_or(&[], |process| process.memory.areas().as_slice()),
        })
    }

    fn system(&self) -> SystemFacts<'_> {
        self.system
    }
}
