//! `ioctl`: the terminal, and how much can be read.
use super::io::use_terminal;
use super::{Arguments, Made, Stop};
use crate::errno::Errno;
use crate::fs::descriptors::OnExec;
use crate::fs::device::Device;
use crate::fs::{Endpoint, FileId, OpenFlags, PipeEnd};
use crate::kernel::{Kernel, Machine};
use crate::proc::{Pid, Process, Take};
use crate::tty::termios::{self, Termios};
use crate::tty::{Use, When, Window};
use linux_raw_sys::ioctl as linux;

/// Bytes of `struct winsize`.
const WINDOW: usize = 8;

/// `ioctl(fd, request, argument)`.
pub(super) fn ioctl<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    [descriptor, request, argument, ..]: Arguments,
) -> Made {
    let file = process.files.descriptors.get(descriptor)?;
    let request = request as u32;
    match request {
        linux::FIOCLEX => process.files.descriptors.set_on_exec(descriptor, OnExec::Close)?,
        linux::FIONCLEX => process.files.descriptors.set_on_exec(descriptor, OnExec::Keep)?,
        linux::FIONBIO => set_non_blocking(kernel, process, file, argument)?,
        linux::FIONREAD => {
            let count = readable(kernel, process, file)?;
            kernel.copy_out(process, argument, &count.to_le_bytes())?;
        }
        _ => match kernel.vfs.endpoint(file)? {
            Endpoint::Device(Device::Terminal | Device::Console) => {
                return terminal(kernel, process, request, argument);
            }
            _ => return Err(Errno::NOT_TERMINAL.into()),
        },
    }
    Ok(0)
}

fn set_non_blocking<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    file: FileId,
    argument: u64,
) -> Result<(), Errno> {
    let mut word = [0; 4];
    kernel.copy_in(process, argument, &mut word)?;
    let mut flags = kernel.vfs.flags(file)?;
    flags.set(OpenFlags::NON_BLOCKING, word != [0; 4]);
    kernel.vfs.set_flags(file, flags)
}

/// How many bytes can be read at once.
fn readable<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &Process<'a>,
    file: FileId,
) -> Result<u32, Errno> {
    let count = match kernel.vfs.endpoint(file)? {
        Endpoint::Pipe(number, PipeEnd::Read | PipeEnd::Write) => {
            kernel.vfs.pipe(number).map_or(0, |pipe| pipe.length()) as u64
        }
        Endpoint::Device(Device::Terminal | Device::Console) => {
            kernel.poll_terminal();
            kernel.tty.readable() as u64
        }
        Endpoint::Device(_) => return Err(Errno::NOT_TERMINAL),
        Endpoint::File(_) => kernel.with_files(process, |vfs, caller, store| {
            let size = vfs.file_attributes(file, caller)?.size;
            let at = vfs.seek(file, 0, crate::fs::Whence::Current, store)?;
            Ok::<_, Errno>(size.saturating_sub(at))
        })?,
    };
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

fn terminal<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    request: u32,
    argument: u64,
) -> Made {
    match request {
        linux::TCGETS => {
            let settings = kernel.tty.termios().to_bytes();
            kernel.copy_out(process, argument, &settings)?;
        }
        linux::TCSETS | linux::TCSETSW | linux::TCSETSF => {
            let mut settings = [0; termios::SIZE];
            kernel.copy_in(process, argument, &mut settings)?;
            use_terminal(kernel, process, Use::Change)?;
            let when = if request == linux::TCSETSF {
                When::Flush
            } else {
                When::Now
            };
            kernel.set_termios(Termios::from_bytes(&settings), when);
        }
        linux::TIOCGWINSZ => {
            let Window { rows, columns } = kernel.tty.window;
            let size = u64::from(rows) | u64::from(columns) << 16;
            kernel.copy_out(process, argument, &size.to_le_bytes())?;
        }
        linux::TIOCSWINSZ => {
            let mut size = [0; WINDOW];
            kernel.copy_in(process, argument, &mut size)?;
            let size = u64::from_le_bytes(size);
            let (rows, columns) = (size as u16, (size >> 16) as u16);
            kernel.set_window(Window { rows, columns });
        }
        linux::TIOCGPGRP => {
            let group = own_terminal(kernel, process)?;
            kernel.copy_out(process, argument, &group.0.to_le_bytes())?;
        }
        linux::TIOCSPGRP => set_foreground(kernel, process, argument)?,
        linux::TIOCGSID => {
            own_terminal(kernel, process)?;
            let session = kernel.tty.session.unwrap_or(Pid::KERNEL);
            kernel.copy_out(process, argument, &session.0.to_le_bytes())?;
        }
        linux::TIOCSCTTY => {
            let take = if argument == 1 { Take::Anyway } else { Take::IfFree };
            kernel.take_terminal(process, take)?;
        }
        linux::TIOCNOTTY => give_up_terminal(kernel, process)?,
        linux::TCFLSH => match argument {
            0 | 2 => kernel.tty.flush_input(),
            1 => {}
            _ => return Err(Errno::INVALID.into()),
        },
        linux::TIOCOUTQ => kernel.copy_out(process, argument, &0u32.to_le_bytes())?,
        linux::TCSBRK | linux::TCXONC => {}
        _ => return Err(Errno::NOT_TERMINAL.into()),
    }
    Ok(0)
}

/// The foreground group, if the terminal is that of the process's session.
fn own_terminal<M>(kernel: &Kernel<'_, M>, process: &Process<'_>) -> Result<Pid, Errno> {
    let entry = kernel.processes.entry(process.pid).ok_or(Errno::NO_PROCESS)?;
    if kernel.tty.session != Some(entry.session) {
        return Err(Errno::NOT_TERMINAL);
    }
    Ok(kernel.tty.foreground.unwrap_or(Pid::KERNEL))
}

fn set_foreground<'a, M: Machine>(
    kernel: &mut Kernel<'a, M>,
    process: &mut Process<'a>,
    argument: u64,
) -> Result<(), Stop> {
    let mut word = [0; 4];
    kernel.copy_in(process, argument, &mut word)?;
    let group = i32::from_le_bytes(word);
    own_terminal(kernel, process)?;
    use_terminal(kernel, process, Use::Change)?;
    let group = u32::try_from(group).map_err(|_| Errno::INVALID)?;
    let session = kernel.tty.session;
    let mut members = kernel
        .processes
        .entries()
        .iter()
        .filter(|entry| entry.group == Pid(group));
    match members.next() {
        None => Err(Errno::NO_PROCESS.into()),
        Some(member) if Some(member.session) != session => Err(Errno::NOT_PERMITTED.into()),
        Some(_) => {
            kernel.tty.foreground = Some(Pid(group));
            Ok(())
        }
    }
}

fn give_up_terminal<'a, M: Machine>(kernel: &mut Kernel<'a, M>, process: &Process<'a>) -> Result<(), Errno> {
    own_terminal(kernel, process)?;
    kernel.leave_terminal(process.pid);
    Ok(())
}
