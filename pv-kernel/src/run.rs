//! Running the programs of the list, one after another.
use crate::archive;
use crate::kernel::{Kernel, Machine};
use crate::process::{End, Next, Process, short_name};
use crate::programs;

/// What the kernel tells the hypervisor at the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Verdict {
    /// Every program was run.
    Done = 0,
    /// A program could not be started, or did not give back all of its memory.
    Failed = 1,
    /// There is no list of programs that can be used.
    NoPrograms = 2,
}

impl Verdict {
    /// The code of the shutdown.
    #[must_use]
    pub const fn code(self) -> u64 {
        self as u64
    }
}

/// Runs every program of the archive's list.
pub fn all<M: Machine>(kernel: &mut Kernel<'_, M>) -> Verdict {
    if kernel.archive.is_empty() {
        kernel.say(format_args!("no module: there is nothing to run"));
        return Verdict::NoPrograms;
    }
    let list = match archive::find(kernel.archive, programs::LIST) {
        Ok(Some(list)) => list,
        Ok(None) => {
            kernel.say(format_args!("the module has no file etc/programs"));
            return Verdict::NoPrograms;
        }
        Err(archive::Malformed) => {
            kernel.say(format_args!(
                "the module is no cpio archive (format newc), or is cut short"
            ));
            return Verdict::NoPrograms;
        }
    };
    if let Err(malformed) = programs::check(list) {
        kernel.say(format_args!("etc/programs: {malformed}"));
        return Verdict::NoPrograms;
    }
    let mut verdict = Verdict::Done;
    for arguments in programs::commands(list) {
        if one(kernel, &arguments) == Verdict::Failed {
            verdict = Verdict::Failed;
        }
    }
    verdict
}

/// Runs one program to its end and checks that all of its memory came back.
fn one<M: Machine>(kernel: &mut Kernel<'_, M>, arguments: &[&[u8]]) -> Verdict {
    let before = kernel.frames.free();
    let started = kernel.start(arguments);
    let verdict = match started {
        Err(error) => {
            let name = short_name(arguments.first().copied().unwrap_or_default());
            kernel.say(format_args!("{name}: {error}"));
            Verdict::Failed
        }
        Ok(mut process) => {
            let end = to_its_end(kernel, &mut process);
            report(kernel, &process, end);
            kernel.bury(process);
            Verdict::Done
        }
    };
    let after = kernel.frames.free();
    if after != before {
        kernel.say(format_args!(
            "error: {before} frames were free before the program, {after} are after it"
        ));
        return Verdict::Failed;
    }
    verdict
}

/// Runs a process until it ends.
fn to_its_end<M: Machine>(kernel: &mut Kernel<'_, M>, process: &mut Process<'_>) -> End {
    kernel.switch_to(process);
    kernel.machine.reset_user_state();
    loop {
        process.context = process.context.sanitised();
        kernel.machine.run_user(&mut process.context);
        loop {
            match kernel.trap(process) {
                Next::Resume => break,
                Next::Wait(conditions) => kernel.machine.wait(conditions),
                Next::End(end) => return end,
            }
        }
    }
}

fn report<M: Machine>(kernel: &mut Kernel<'_, M>, process: &Process<'_>, end: End) {
    let name = &process.name;
    match end {
        End::Exited(0) => {}
        End::Exited(code) => kernel.say(format_args!("{name}: exited with code {code}")),
        End::Killed { cause, rip } => kernel.say(format_args!("{name}: killed by {cause} at rip {rip:#x}")),
    }
}
