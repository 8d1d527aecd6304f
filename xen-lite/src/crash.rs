//! The crash record: one line for machines, then the explanation for people.
//!
//! It is written from facts that were collected at the kill. A fact that does not apply, or that a nested fault has
//! destroyed, is `None` and is left out or called gone: nothing here is invented. Nothing in it can be mistaken for
//! something else: the only words of a guest's are its name, whose characters are restricted, the names of its functions,
//! which are escaped and cut, and numbers. So a record is never longer than [`MOST_BYTES`].
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

pub mod backtrace;
pub mod death;
pub mod own;
pub mod pace;
pub mod symbols;

use crate::addr::Level;
use crate::console::text::Safe;
use crate::recorder::{Event, Recorder};
use crate::switcher::TIMER_VECTOR;
use crate::trap::verdict::{Fault, page_fault};
use abi::hypercall::Hypercall;
use abi::mmu::PteFlags;
use abi::reason::Reason;
use abi::trap::vector;
use backtrace::Backtrace;
use core::fmt::{self, Display, Formatter};
use symbols::{Named, Symbols};

/// More than any record takes on the console, with what stands before each line.
pub const MOST_BYTES: usize = 12 * 1024;

/// Who died: the keys that begin every machine line about a domain.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// Number of the domain.
    pub domain: u16,
    /// Its name.
    pub name: &'a str,
    /// How often it had been restarted.
    pub incarnation: u32,
}

impl Display for Identity<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "domain={} name={} incarnation={}",
            self.domain,
            Safe(self.name.as_bytes()),
            self.incarnation
        )
    }
}

/// The trap that was on its way to the guest kernel.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Delivery {
    /// Its vector.
    pub vector: u8,
    /// Its error code, for vectors that have one.
    pub error_code: Option<u64>,
    /// The handler's address, if one is registered.
    pub handler: Option<u64>,
    /// The handler's code selector.
    pub selector: Option<u16>,
    /// The stack pointer below which its frame was to lie.
    pub stack: Option<u64>,
}

/// One step of a page walk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WalkLine {
    /// Level of the table.
    pub level: Level,
    /// Which entry.
    pub index: u16,
    /// The entry.
    pub entry: u64,
}

/// The walk of an address, made after the kill.
#[derive(Clone, Copy, Debug)]
pub struct Walk<'a> {
    /// The address.
    pub address: u64,
    /// From the root down, as far as it goes.
    pub lines: &'a [WalkLine],
    /// Why it is not good enough, said at the line that stopped it (index into `lines`).
    pub stopped: Option<(usize, &'static str)>,
}

/// The registers of the guest when it was interrupted; `None` is a word that is gone.
#[derive(Clone, Copy, Default, Debug)]
pub struct Registers {
    /// rax rbx rcx rdx rsi rdi rbp r8 to r15.
    pub general: [Option<u64>; 15],
    /// Next instruction.
    pub rip: Option<u64>,
    /// Code selector.
    pub cs: Option<u64>,
    /// Flags.
    pub rflags: Option<u64>,
    /// Stack pointer.
    pub rsp: Option<u64>,
    /// Stack selector.
    pub ss: Option<u64>,
}

const GENERAL: [&str; 15] = [
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
];

/// All that is known of a kill.
#[derive(Clone, Copy)]
pub struct CrashRecord<'a> {
    /// Who.
    pub identity: Identity<'a>,
    /// Why.
    pub reason: Reason,
    /// The fault that ended it.
    pub fault: Option<Fault>,
    /// What was being delivered when it struck.
    pub delivery: Option<Delivery>,
    /// For a fetch fault: the entry point that could not be fetched.
    pub entry_point: Option<u64>,
    /// What it said itself (`shutdown(crash, code)`).
    pub code: Option<u64>,
    /// More about the cause, in our own words.
    pub detail: Option<&'a dyn Display>,
    /// The walk of the address that the fault was about.
    pub walk: Option<Walk<'a>>,
    /// The registers.
    pub registers: Option<Registers>,
    /// Its last entries into the hypervisor.
    pub recent: Option<&'a Recorder>,
    /// Who called whom in its kernel.
    pub backtrace: Option<&'a Backtrace>,
    /// The names of its kernel's functions.
    pub symbols: Symbols<'a>,
}

impl<'a> CrashRecord<'a> {
    /// A record in which nothing but who and why is known.
    #[must_use]
    pub const fn new(identity: Identity<'a>, reason: Reason) -> Self {
        Self {
            identity,
            reason,
            fault: None,
            delivery: None,
            entry_point: None,
            code: None,
            detail: None,
            walk: None,
            registers: None,
            recent: None,
            backtrace: None,
            symbols: Symbols::NONE,
        }
    }

    /// The line for machines, without its end: `xen-lite: domain=... state=killed reason=...`.
    ///
    /// `vector`, `error` and `cr2` are of the fault that ended the guest; `rip` and `cpl` are where the guest was;
    /// `handler` is the entry point concerned; `delivering` is the vector that was on its way.
    #[must_use]
    pub const fn machine_line(&self) -> MachineLine<'_> {
        MachineLine(self)
    }

    /// The explanation for people, several lines, each ended by a newline.
    #[must_use]
    pub const fn explanation(&self) -> Explanation<'_> {
        Explanation(self)
    }

    fn handler(&self) -> Option<u64> {
        self.entry_point
            .or(self.delivery.and_then(|delivery| delivery.handler))
    }

    fn rip(&self) -> Option<u64> {
        self.registers.and_then(|registers| registers.rip)
    }

    fn ring(&self) -> Option<u64> {
        self.registers.and_then(|registers| registers.cs).map(|cs| cs & 3)
    }
}

/// [`CrashRecord::machine_line`].
#[derive(Clone, Copy)]
pub struct MachineLine<'a>(&'a CrashRecord<'a>);

impl Display for MachineLine<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let record = self.0;
        write!(
            f,
            "xen-lite: {} state=killed reason={}",
            record.identity,
            record.reason.name()
        )?;
        let page_fault = record.fault.filter(|fault| fault.vector == vector::PF);
        let error = record
            .fault
            .filter(|fault| abi::trap::has_error_code(fault.vector));
        decimal(f, "vector", record.fault.map(|fault| u64::from(fault.vector)))?;
        hexadecimal(f, "rip", record.rip())?;
        decimal(f, "cpl", record.ring())?;
        hexadecimal(f, "cr2", page_fault.map(|fault| fault.cr2))?;
        hexadecimal(f, "error", error.map(|fault| fault.error_code))?;
        hexadecimal(f, "handler", record.handler())?;
        decimal(
            f,
            "delivering",
            record.delivery.map(|delivery| u64::from(delivery.vector)),
        )?;
        decimal(f, "code", record.code)
    }
}

fn decimal(f: &mut Formatter<'_>, key: &str, value: Option<u64>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, " {key}={value}"))
}

fn hexadecimal(f: &mut Formatter<'_>, key: &str, value: Option<u64>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, " {key}={value:#x}"))
}

/// [`CrashRecord::explanation`].
#[derive(Clone, Copy)]
pub struct Explanation<'a>(&'a CrashRecord<'a>);

impl Display for Explanation<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let record = self.0;
        let Identity {
            domain,
            name,
            incarnation,
        } = record.identity;
        writeln!(
            f,
            "domain {domain} ({}, incarnation {incarnation}) killed: {}",
            Safe(name.as_bytes()),
            record.reason.name()
        )?;
        writeln!(f, "  rule       {}", record.reason.rule())?;
        if !record.reason.why().is_empty() {
            writeln!(f, "  why        {}", record.reason.why())?;
        }
        if let Some(detail) = record.detail {
            writeln!(f, "  cause      {detail}")?;
        }
        if let Some(code) = record.code {
            writeln!(f, "  code       {code}")?;
        }
        if let Some(delivery) = record.delivery {
            write_delivery(f, delivery, &record.symbols)?;
        }
        if let Some(entry_point) = record.entry_point {
            let entry_point = Named(&record.symbols, entry_point);
            writeln!(f, "  entry      {entry_point} could not be fetched")?;
        }
        if let Some(fault) = record.fault {
            write_fault(f, fault)?;
        }
        if let Some(walk) = record.walk {
            write_walk(f, walk)?;
        }
        if let Some(recent) = record.recent {
            write_recent(f, recent)?;
        }
        if let Some(backtrace) = record.backtrace {
            write!(f, "{}", backtrace.lines(record.symbols))?;
        }
        record
            .registers
            .map_or(Ok(()), |registers| write_registers(f, &registers))
    }
}

fn write_delivery(f: &mut Formatter<'_>, delivery: Delivery, symbols: &Symbols<'_>) -> fmt::Result {
    write!(f, "  delivering {}", Vector(delivery.vector))?;
    if let Some(error_code) = delivery.error_code {
        write!(f, " error {error_code:#x}")?;
    }
    match (delivery.selector, delivery.handler) {
        (Some(selector), Some(handler)) => write!(f, " to {selector:#x}:{}", Named(symbols, handler))?,
        (None, Some(handler)) => write!(f, " to {}", Named(symbols, handler))?,
        (_, None) => write!(f, ", no handler is registered")?,
    }
    match delivery.stack {
        Some(stack) => writeln!(f, ", frame below {stack:#x}"),
        None => writeln!(f),
    }
}

fn write_fault(f: &mut Formatter<'_>, fault: Fault) -> fmt::Result {
    write!(f, "  fault      {}", Vector(fault.vector))?;
    if fault.vector == vector::PF {
        let is = |bit| fault.error_code & bit != 0;
        let access = match (is(page_fault::FETCH), is(page_fault::WRITE)) {
            (true, _) => "fetch",
            (false, true) => "write",
            (false, false) => "read",
        };
        let cause = if is(page_fault::PROTECTION) {
            "forbidden"
        } else {
            "not present"
        };
        writeln!(
            f,
            " error {:#x} ({access}, {cause}), address {:#x}",
            fault.error_code, fault.cr2
        )
    } else if abi::trap::has_error_code(fault.vector) {
        writeln!(f, " error {:#x}", fault.error_code)
    } else {
        writeln!(f)
    }
}

fn write_walk(f: &mut Formatter<'_>, walk: Walk<'_>) -> fmt::Result {
    writeln!(f, "  page walk  of {:#x}", walk.address)?;
    for (position, line) in walk.lines.iter().enumerate() {
        let level = line.level as u8;
        write!(
            f,
            "    L{level}[{:>3}] {:#018x}{}",
            line.index,
            line.entry,
            Rights(line.entry)
        )?;
        match walk.stopped {
            Some((at, why)) if at == position => writeln!(f, "  <- {why}")?,
            _ => writeln!(f)?,
        }
    }
    Ok(())
}

/// The bits of an entry, spelled out.
struct Rights(u64);

impl Display for Rights {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let flags = PteFlags::from_bits_truncate(self.0);
        if !flags.contains(PteFlags::PRESENT) {
            return f.write_str(" not present");
        }
        f.write_str(if flags.contains(PteFlags::WRITABLE) {
            " writable"
        } else {
            " read-only"
        })?;
        f.write_str(if flags.contains(PteFlags::USER) {
            " user"
        } else {
            " supervisor"
        })?;
        f.write_str(if flags.contains(PteFlags::NO_EXECUTE) {
            " no-execute"
        } else {
            " executable"
        })
    }
}

/// Hypercalls by name, traps by vector: oldest first, eight a line.
fn write_recent(f: &mut Formatter<'_>, recorder: &Recorder) -> fmt::Result {
    for (position, event) in recorder.events().enumerate() {
        match position {
            0 => f.write_str("  recently  ")?,
            _ if position % 8 == 0 => f.write_str("\n            ")?,
            _ => {}
        }
        match event {
            Event::Hypercall(number) => match Hypercall::from_raw(number) {
                Some(call) => write!(f, " {}", call.name())?,
                None => write!(f, " hypercall:{number:#x}")?,
            },
            Event::Trap(TIMER_VECTOR) => f.write_str(" timer")?,
            Event::Trap(vector) => write!(f, " trap:{vector}")?,
        }
    }
    if recorder.events().next().is_some() {
        writeln!(f)
    } else {
        Ok(())
    }
}

fn write_registers(f: &mut Formatter<'_>, registers: &Registers) -> fmt::Result {
    let frame = [
        ("rip", registers.rip),
        ("cs", registers.cs),
        ("flags", registers.rflags),
        ("rsp", registers.rsp),
        ("ss", registers.ss),
    ];
    let mut words = frame.iter().map(|(_, word)| word).chain(&registers.general);
    if words.all(|word| word.is_none()) {
        return writeln!(f, "  interrupted: all registers are gone");
    }
    write_words(f, "interrupted", &frame)?;
    let mut words = [("", None); 15];
    for ((slot, name), word) in words.iter_mut().zip(GENERAL).zip(registers.general) {
        *slot = (name, word);
    }
    words.chunks(4).try_for_each(|row| write_words(f, "", row))
}

fn write_words(f: &mut Formatter<'_>, title: &str, words: &[(&str, Option<u64>)]) -> fmt::Result {
    write!(f, "  {title:<10}")?;
    for (name, word) in words {
        match word {
            Some(word) => write!(f, " {name} {word:#x}")?,
            None => write!(f, " {name} gone")?,
        }
    }
    writeln!(f)
}

/// A vector by number and name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vector(pub u8);

impl Display for Vector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            vector::DE => "#DE",
            vector::DB => "#DB",
            vector::NMI => "NMI",
            vector::BP => "#BP",
            vector::OF => "#OF",
            vector::BR => "#BR",
            vector::UD => "#UD",
            vector::NM => "#NM",
            vector::DF => "#DF",
            vector::TS => "#TS",
            vector::NP => "#NP",
            vector::SS => "#SS",
            vector::GP => "#GP",
            vector::PF => "#PF",
            vector::MF => "#MF",
            vector::AC => "#AC",
            vector::MC => "#MC",
            vector::XM => "#XM",
            other => return write!(f, "vector {other}"),
        };
        write!(f, "{name} (vector {})", self.0)
    }
}

#[cfg(test)]
mod tests;
