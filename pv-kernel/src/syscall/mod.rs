//! System calls: Linux's numbers, registers and errors, by `int 0x80` or by `syscall`.
//!
//! The number is in rax, arguments in rdi, rsi, rdx, r10, r8, r9; the result in rax, an error negated.
mod attributes;
mod io;
mod memory;
mod open;
mod paths;
mod poll;
mod process;
mod segments;
mod signal;
mod strings;
mod system;
pub mod table;
mod terminal;
mod time;
mod tree;
mod user;

pub use system::{RELEASE, VERSION};

use crate::errno::Errno;
use crate::kernel::{Kernel, Machine};
use crate::proc::{End, Next, Process};
use crate::signal::Signal;
use crate::wait::Wait;
use syscalls::Sysno;

/// Why a call does not return a value now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stop {
    /// It returns an error.
    Error(Errno),
    /// It is made again then.
    Wait(Wait),
    /// It has taken long: it is made again after the others.
    Again,
    /// It returns this value, but only then.
    Pause(u64, Wait),
    /// It returns 0 when others have had their turn.
    Yield,
    /// It does not return: the process has another program.
    Replaced,
    /// The program ends itself.
    Exit(u8),
    /// A signal ends the program.
    Signal(Signal),
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Error(errno)
    }
}

/// A call's arguments.
type Arguments = [u64; 6];

/// What a call comes to.
type Made = Result<u64, Stop>;

/// Makes the call that the process's registers ask for.
pub fn dispatch<'a, M: Machine>(kernel: &mut Kernel<'a, M>, process: &mut Process<'a>) -> Next {
    let context = &process.context;
    let number = context.rax;
    let arguments = [
        context.rdi,
        context.rsi,
        context.rdx,
        context.r10,
        context.r8,
        context.r9,
    ];
    let (result, next) = match call(kernel, process, number, arguments) {
        Ok(value) => (value, Next::Resume),
        Err(Stop::Error(errno)) => (errno.to_rax(), Next::Resume),
        Err(Stop::Wait(wait)) => return Next::Wait(wait),
        Err(Stop::Again) => return Next::Again,
        Err(Stop::Pause(value, wait)) => (value, Next::Pause(wait)),
        Err(Stop::Yield) => (0, Next::Yield),
        Err(Stop::Replaced) => return Next::Resume,
        Err(Stop::Signal(signal)) => {
            let rip = process.context.rip;
            return Next::End(End::Signalled { signal, rip });
        }
        Err(Stop::Exit(code)) => return Next::End(End::Exited(code)),
    };
    process.context.rax = result;
    process.deadline_ns = None;
    process.progress = 0;
    next
}

fn call<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    number: u64,
    arguments: Arguments,
) -> Result<u64, Stop> {
    let known = usize::try_from(number).ok().and_then(Sysno::new);
    if let Some(made) = known.and_then(|number| table::call(kernel, process, number, arguments)) {
        return made;
    }
    if kernel.unknown.is_new(number) {
        let name = known.map_or("no such number", |known| known.name());
        let program = kernel.processes.name(process.pid);
        kernel.say(format_args!(
            "{program}: system call {number} ({name}) is not implemented"
        ));
    }
    Err(Errno::NO_SYSTEM_CALL.into())
}

/// The calls that programs have tried in vain, so that each is reported once.
#[derive(Debug, Default)]
pub struct Unknown {
    seen: [u64; 8],
}

impl Unknown {
    /// Whether this is the first time for `number`; numbers from 511 on count as one.
    fn is_new(&mut self, number: u64) -> bool {
        let number = number.min(511);
        let mask = 1 << (number % 64);
        match self.seen.get_mut((number / 64) as usize) {
            Some(word) if *word & mask == 0 => {
                *word |= mask;
                true
            }
            _ => false,
        }
    }
}
