//! System calls: Linux's numbers, registers and errors, by `int 0x80` or by `syscall`.
//!
//! The number is in rax, arguments in rdi, rsi, rdx, r10, r8, r9; the result in rax, an error negated.
mod io;
mod memory;
mod system;

use crate::cause::Cause;
use crate::errno::Errno;
use crate::kernel::{Kernel, Machine, killed};
use crate::process::{End, Next, Process};
use syscalls::Sysno;

/// Why a call does not return a value now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stop {
    /// It returns an error.
    Error(Errno),
    /// It is tried again later, on one of these conditions.
    Wait(u64),
    /// The program ends itself.
    Exit(u8),
    /// The program is ended.
    Kill(Cause),
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Error(errno)
    }
}

/// A call's arguments.
type Arguments = [u64; 6];

/// Does the call that the process's registers ask for.
pub fn dispatch<M: Machine>(kernel: &mut Kernel<'_, M>, process: &mut Process<'_>) -> Next {
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
    let result = call(kernel, process, number, arguments);
    process.context.rax = match result {
        Ok(value) => value,
        Err(Stop::Error(errno)) => errno.to_rax(),
        Err(Stop::Wait(conditions)) => return Next::Wait(conditions),
        Err(Stop::Exit(code)) => return Next::End(End::Exited(code)),
        Err(Stop::Kill(cause)) => return killed(process, cause),
    };
    Next::Resume
}

fn call<M: Machine>(
    kernel: &mut Kernel<'_, M>,
    process: &mut Process<'_>,
    number: u64,
    arguments: Arguments,
) -> Result<u64, Stop> {
    let known = usize::try_from(number).ok().and_then(Sysno::new);
    let [first, ..] = arguments;
    match known {
        Some(Sysno::read) => io::read(kernel, process, arguments),
        Some(Sysno::write) => io::write(kernel, process, arguments),
        Some(Sysno::writev) => io::writev(kernel, process, arguments),
        Some(Sysno::exit | Sysno::exit_group) => Err(Stop::Exit(first.to_le_bytes()[0])),
        Some(Sysno::brk) => Ok(memory::brk(kernel, process, first)),
        Some(Sysno::mmap) => memory::mmap(kernel, process, arguments),
        Some(Sysno::munmap) => memory::munmap(kernel, process, arguments),
        Some(Sysno::mprotect) => memory::mprotect(kernel, process, arguments),
        Some(Sysno::getpid | Sysno::gettid | Sysno::set_tid_address) => Ok(u64::from(process.pid)),
        Some(Sysno::uname) => system::uname(kernel, process, first),
        Some(Sysno::arch_prctl) => system::arch_prctl(kernel, process, arguments),
        Some(Sysno::sched_yield) => {
            kernel.machine.yield_now();
            Ok(0)
        }
        _ => {
            if kernel.unknown.is_new(number) {
                let name = known.map_or("no such number", |known| known.name());
                let program = &process.name;
                kernel.say(format_args!(
                    "{program}: system call {number} ({name}) is not implemented"
                ));
            }
            Err(Errno::NO_SYSTEM_CALL.into())
        }
    }
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
