//! What the kernel runs: the programs of the archive's list one after another, or a first process.
use crate::archive;
use crate::fs::{Follow, Vfs};
use crate::kernel::{Kernel, Machine};
use crate::proc::{ExecError, Name, Program, Status};
use crate::programs;
use alloc::vec::Vec;

/// What the kernel tells the hypervisor at the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Every program was run.
    Done,
    /// A program could not be started, or did not give back all of its memory.
    Failed,
    /// There is nothing that could be run.
    NothingToRun,
    /// The first process ended so.
    Init(Status),
}

impl Verdict {
    /// The code of the shutdown.
    #[must_use]
    pub const fn code(self) -> u64 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::NothingToRun => 2,
            Self::Init(status) => status.to_code() as u64,
        }
    }
}

/// Where a first process is looked for, in this order.
const INITS: [&[u8]; 3] = [b"/sbin/init", b"/bin/init", b"/bin/sh"];
/// The first process's environment, as Linux gives it.
const ENVIRONMENT: [&[u8]; 2] = [b"HOME=/", b"TERM=linux"];

/// Runs what the command line and the archive ask for.
pub fn all<M: Machine>(kernel: &mut Kernel<'_, M>) -> Verdict {
    let verdict = with_balloon(kernel);
    kernel.tty.drain(&mut kernel.machine);
    verdict
}

/// Leaves the frames that the command line says to the hypervisor meanwhile.
fn with_balloon<M: Machine>(kernel: &mut Kernel<'_, M>) -> Verdict {
    let wanted = kernel.options.balloon;
    if wanted == 0 {
        return choose(kernel);
    }
    let given = kernel.balloon(wanted);
    kernel.say(format_args!("{given} frames are the hypervisor's"));
    let verdict = choose(kernel);
    let left = kernel.balloon(0);
    kernel.say(format_args!("{} frames are back", given.saturating_sub(left)));
    verdict
}

fn choose<M: Machine>(kernel: &mut Kernel<'_, M>) -> Verdict {
    if kernel.archive.is_empty() {
        kernel.say(format_args!("no module: there is nothing to run"));
        return Verdict::NothingToRun;
    }
    if let Err(error) = kernel.load_files() {
        kernel.say(format_args!("the module cannot be used: {error}"));
        return Verdict::NothingToRun;
    }
    if let Some(command) = kernel.options.init {
        return init(kernel, command);
    }
    if let Ok(Some(list)) = archive::find(kernel.archive, programs::LIST) {
        return every(kernel, list);
    }
    let found = kernel.with_files_for(None, |vfs, caller, _| {
        INITS.into_iter().find(|path| {
            let node = vfs.find(Vfs::root(), path, Follow::Yes, caller);
            node.is_ok_and(|node| vfs.check_executable(node).is_ok())
        })
    });
    match found {
        Some(path) => init(kernel, path),
        None => {
            kernel.say(format_args!(
                "the module has neither etc/programs nor /sbin/init, /bin/init or /bin/sh"
            ));
            Verdict::NothingToRun
        }
    }
}

/// Runs the first process until it ends, and with it everything.
fn init<M: Machine>(kernel: &mut Kernel<'_, M>, command: &[u8]) -> Verdict {
    let words = command.split(u8::is_ascii_whitespace);
    let arguments: Vec<Vec<u8>> = words
        .filter(|word| !word.is_empty())
        .map(<[u8]>::to_vec)
        .collect();
    let path = arguments.first().cloned().unwrap_or_default();
    let program = Program {
        path,
        arguments,
        environment: ENVIRONMENT.iter().map(|variable| variable.to_vec()).collect(),
    };
    let name = Name::of_path(&program.path);
    match one(kernel, program, Role::First) {
        Ok(status) => Verdict::Init(status),
        Err(Failure::NotStarted(error)) => {
            kernel.say(format_args!("{name}: {error}"));
            Verdict::NothingToRun
        }
        Err(Failure::KeptFrames) => Verdict::Failed,
    }
}

/// Runs every program of a list.
fn every<M: Machine>(kernel: &mut Kernel<'_, M>, list: &[u8]) -> Verdict {
    if let Err(malformed) = programs::check(list) {
        kernel.say(format_args!("etc/programs: {malformed}"));
        return Verdict::NothingToRun;
    }
    let mut verdict = Verdict::Done;
    for arguments in programs::commands(list) {
        let program = Program::from_list(&arguments);
        let name = Name::of_path(&program.path);
        match one(kernel, program, Role::Listed) {
            Ok(_) => {}
            Err(Failure::NotStarted(error)) => {
                kernel.say(format_args!("{name}: {error}"));
                verdict = Verdict::Failed;
            }
            Err(Failure::KeptFrames) => verdict = Verdict::Failed,
        }
    }
    verdict
}

/// What a program that the kernel starts is to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    /// One of a list.
    Listed,
    /// The first process, which takes care of all others.
    First,
}

enum Failure {
    NotStarted(ExecError),
    KeptFrames,
}

/// Runs one program to its end, ends what it has left behind, and checks that all of its memory came back.
fn one<M: Machine>(kernel: &mut Kernel<'_, M>, program: Program, role: Role) -> Result<Status, Failure> {
    let before = kernel.frames_at_rest() + kernel.vfs.frames();
    let started = kernel.start(program);
    let ended = started.map(|pid| {
        kernel.started = Some(pid);
        kernel.init = (role == Role::First).then_some(pid);
        let status = kernel.run_until_ended();
        kernel.end_all();
        (kernel.started, kernel.init) = (None, None);
        status
    });
    // Files stay.
    let after = kernel.frames_at_rest() + kernel.vfs.frames();
    if after != before {
        kernel.say(format_args!(
            "error: {before} frames were free before the program, {after} are after it"
        ));
        return Err(Failure::KeptFrames);
    }
    ended.map_err(Failure::NotStarted)
}
