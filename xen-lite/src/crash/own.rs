//! The hypervisor's own end: what a panic says beside its message.
//!
//! The hypervisor keeps no frame pointers. Its stack is searched instead for addresses that a call returns to: all who
//! called are among them, and perhaps some whose call was over already. The record says so.
use super::death::interrupted;
use super::symbols::{Named, Symbols};
use super::{Identity, write_fault, write_recent, write_registers, write_words};
use crate::recorder::Recorder;
use crate::switcher::Registers;
use crate::trap::frame::ReturnFrame;
use crate::trap::verdict::{Fault, Window};
use core::fmt::{self, Display, Formatter};

/// Most return addresses.
pub const MOST_CALLS: usize = 32;
/// Bytes before a return address that tell whether a call ends there.
pub const CALL_BYTES: usize = 7;

/// Whether a call instruction ends where these bytes end: `call rel32`, or `call r/m64` with any addressing (SDM vol. 2A,
/// CALL).
#[must_use]
pub fn ends_with_call(bytes: &[u8; CALL_BYTES]) -> bool {
    const NEAR: u8 = 0xe8;
    const INDIRECT: u8 = 0xff;
    let [_, _, near, ..] = *bytes;
    let is_indirect = |length: usize| {
        let at = CALL_BYTES.saturating_sub(length);
        let pair = bytes.get(at..at.saturating_add(2));
        // The opcode is longer by its field `reg`: 2 is the call.
        matches!(pair, Some([INDIRECT, modrm]) if modrm >> 3 & 7 == 2)
    };
    near == NEAR || [2, 3, 4, 6, 7].into_iter().any(is_indirect)
}

/// A return address, and how often it stood in a row: a recursion takes one line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// Where the call returns to.
    pub address: u64,
    /// At least 1.
    pub times: u32,
}

/// Addresses that calls return to.
#[derive(Clone, Copy, Debug)]
pub struct Calls {
    found: [Call; MOST_CALLS],
    count: usize,
}

impl Calls {
    /// Those among the words of a stack, the innermost first.
    #[must_use]
    pub fn among(words: impl IntoIterator<Item = u64>, is_return: impl Fn(u64) -> bool) -> Self {
        const NONE: Call = Call { address: 0, times: 0 };
        let mut calls = Self {
            found: [NONE; MOST_CALLS],
            count: 0,
        };
        for address in words.into_iter().filter(|word| is_return(*word)) {
            if !calls.add(address) {
                break;
            }
        }
        calls
    }

    /// False if there is no room.
    fn add(&mut self, address: u64) -> bool {
        let last = self
            .count
            .checked_sub(1)
            .and_then(|last| self.found.get_mut(last));
        if let Some(last) = last.filter(|last| last.address == address) {
            last.times = last.times.saturating_add(1);
            return true;
        }
        let Some(slot) = self.found.get_mut(self.count) else {
            return false;
        };
        *slot = Call { address, times: 1 };
        self.count += 1;
        true
    }

    /// All of them.
    #[must_use]
    pub fn found(&self) -> &[Call] {
        self.found.get(..self.count).unwrap_or(&[])
    }
}

/// A fault in ring 0 that is no guest's doing.
#[derive(Clone, Copy, Debug)]
pub struct OwnFault {
    /// What the CPU says of it.
    pub fault: Fault,
    /// The registers as they were.
    pub saved: Registers,
    /// The root table then.
    pub cr3: u64,
    /// It struck where a guest's fault may (R6).
    pub window: Option<Window>,
}

/// Why the hypervisor ends.
#[derive(Clone, Copy, Debug)]
pub enum Why<'a> {
    /// A check of its own has failed.
    Message(fmt::Arguments<'a>),
    /// A fault.
    Fault(OwnFault),
}

impl Why<'_> {
    /// The line for machines, without its end: `xen-lite: event=panic ...`.
    #[must_use]
    pub const fn machine_line(&self) -> MachineLine<'_> {
        MachineLine(self)
    }
}

impl Display for Why<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let OwnFault {
            fault,
            saved,
            cr3,
            window,
        } = match self {
            Self::Message(message) => return message.fmt(f),
            Self::Fault(fault) => fault,
        };
        write!(
            f,
            "vector={} error={:#x} rip={:#x} cs={:#x} rflags={:#x} rsp={:#x} cr2={:#x} cr3={cr3:#x}",
            fault.vector, fault.error_code, saved.rip, saved.cs, saved.rflags, saved.rsp, fault.cr2
        )?;
        match window {
            Some(window) => write!(f, " window={window:?}"),
            None => Ok(()),
        }
    }
}

/// [`Why::machine_line`].
#[derive(Clone, Copy, Debug)]
pub struct MachineLine<'a>(&'a Why<'a>);

impl Display for MachineLine<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // The message may be of any words, and is the last key's.
        let key = match self.0 {
            Why::Message(_) => "message=",
            Why::Fault(_) => "",
        };
        write!(f, "xen-lite: event=panic {key}{}", self.0)
    }
}

/// The domain that the hypervisor had been entered from.
#[derive(Clone, Copy, Debug)]
pub struct Running<'a> {
    /// Which.
    pub identity: Identity<'a>,
    /// Its last entries.
    pub recent: &'a Recorder,
    /// Where its guest was when it was last entered with a frame.
    pub entered: ReturnFrame,
}

/// What is known beside the message.
#[derive(Clone, Copy, Debug)]
pub struct PanicRecord<'a> {
    /// The fault, if it was one.
    pub fault: Option<OwnFault>,
    /// The root table.
    pub cr3: u64,
    /// The stack pointer.
    pub rsp: u64,
    /// The domain whose turn it was, if it was one's.
    pub running: Option<Running<'a>>,
    /// What was found on the stack; `None` if the stack pointer was on none.
    pub calls: Option<&'a Calls>,
    /// The names of the hypervisor's functions.
    pub symbols: Symbols<'a>,
}

impl Display for PanicRecord<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(own) = self.fault {
            write_fault(f, own.fault)?;
        }
        writeln!(f, "  machine    cr3 {:#x} rsp {:#x}", self.cr3, self.rsp)?;
        match &self.running {
            Some(running) => write_running(f, running)?,
            None => writeln!(f, "  running    no domain")?,
        }
        match &self.fault {
            Some(own) => writeln!(f, "  backtrace  at {}", Named(&self.symbols, own.saved.rip))?,
            None => writeln!(f, "  backtrace  of the message above")?,
        }
        self.write_calls(f)?;
        self.fault.map_or(Ok(()), |own| {
            let ReturnFrame {
                rip,
                cs,
                rflags,
                rsp,
                ss,
            } = own.saved.frame();
            let frame = [rip, cs, rflags, rsp, ss].map(Some);
            write_registers(f, &interrupted(&own.saved, frame))
        })
    }
}

fn write_running(f: &mut Formatter<'_>, running: &Running<'_>) -> fmt::Result {
    writeln!(f, "  running    {}", running.identity)?;
    let guest = running.entered;
    let frame = [
        ("rip", guest.rip),
        ("cs", guest.cs),
        ("flags", guest.rflags),
        ("rsp", guest.rsp),
        ("ss", guest.ss),
    ];
    write_words(f, "entered", &frame.map(|(name, word)| (name, Some(word))))?;
    write_recent(f, running.recent)
}

impl PanicRecord<'_> {
    fn write_calls(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(calls) = self.calls else {
            return writeln!(f, "             ends: rsp was on no stack of the hypervisor's");
        };
        for Call { address, times } in calls.found() {
            write!(f, "             called from {address:#x}")?;
            if let Some(place) = self.symbols.find_caller(*address) {
                write!(f, " {place}")?;
            }
            match times {
                1 => writeln!(f)?,
                _ => writeln!(f, ", {times} times in a row")?,
            }
        }
        let more = if calls.found().len() < MOST_CALLS {
            "nothing more was on the stack"
        } else {
            "there may have been more"
        };
        writeln!(
            f,
            "             ends: {more}; some of these calls may have been over"
        )
    }
}

#[cfg(test)]
mod tests;
