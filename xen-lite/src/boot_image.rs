//! The records that image-builder has packed, checked: what the rest of the hypervisor knows of the manifest.
//!
//! The bytes are a boot module's. [`BootImage::parse`] checks every record; after that each can be had without an error.
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use abi::boot_image::{
    DomainRecord, FORMAT, Header, MAGIC, MAX_DOMAINS, NO_MODULE, RestartPolicy, domain_flags, machine_flags,
};
use core::fmt;
use core::mem::offset_of;

/// Most frames of one domain: the physmap is one L4 slot.
pub const MAX_FRAMES: u64 = 1 << 27;

/// A checked first boot module.
#[derive(Clone, Copy, Debug)]
pub struct BootImage<'a> {
    records: &'a [u8],
    modules: u32,
    count: u32,
    console: u32,
    flags: u32,
    audit_turns: u32,
    symbols_module: Option<u32>,
}

/// A checked domain of the manifest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DomainSpec<'a> {
    /// 1 to 31 characters of `[a-zA-Z0-9._-]`, its own in this image.
    pub name: &'a str,
    /// Without the NUL; below 1024 bytes.
    pub command_line: &'a [u8],
    /// Memory in frames, 1 to [`MAX_FRAMES`].
    pub memory_frames: u64,
    /// Boot module of the kernel.
    pub kernel_module: u32,
    /// Boot module that is copied into the domain.
    pub guest_module: Option<u32>,
    /// Boot module with the names of the kernel's functions.
    pub symbols_module: Option<u32>,
    /// Share of the CPU, not 0.
    pub weight: u16,
    /// When it is started again.
    pub restart: RestartPolicy,
    /// How often at most.
    pub restart_max: u32,
    /// Only the machine line of a crash record is printed.
    pub record_line: bool,
    /// Not waited for.
    pub witness: bool,
}

impl<'a> BootImage<'a> {
    /// Checks the first boot module; `modules` is how many there are, this one included.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn parse(bytes: &'a [u8], modules: u32) -> Result<Self, ImageError> {
        let at = |field, problem| ImageError {
            record: None,
            field,
            problem,
        };
        let header = bytes
            .get(..size_of::<Header>())
            .ok_or(at("header", Problem::Truncated))?;
        let word = |field, offset| u32_at(header, offset).ok_or(at(field, Problem::Truncated));
        if u64_at(header, offset_of!(Header, magic)) != Some(MAGIC) {
            return Err(at("magic", Problem::Unknown));
        }
        if word("format", offset_of!(Header, format))? != FORMAT {
            return Err(at("format", Problem::Unknown));
        }
        if word("record_size", offset_of!(Header, record_size))? as usize != size_of::<DomainRecord>() {
            return Err(at("record_size", Problem::Unknown));
        }
        let count = word("domain_count", offset_of!(Header, domain_count))?;
        if count == 0 || count as usize > MAX_DOMAINS {
            return Err(at("domain_count", Problem::OutOfRange));
        }
        let console = word("console_domain", offset_of!(Header, console_domain))?;
        if console >= count {
            return Err(at("console_domain", Problem::OutOfRange));
        }
        let flags = word("flags", offset_of!(Header, flags))?;
        if flags & !(machine_flags::UNTIL_OTHERS_ENDED | machine_flags::AUDIT_EACH_END) != 0 {
            return Err(at("flags", Problem::Unknown));
        }
        let audit_turns = word("audit_turns", offset_of!(Header, audit_turns))?;
        let symbols_module = word("symbols_module", offset_of!(Header, symbols_module))?;
        if symbols_module != NO_MODULE && symbols_module >= modules {
            return Err(at("symbols_module", Problem::OutOfRange));
        }
        if word("pad", offset_of!(Header, pad))? != 0 {
            return Err(at("pad", Problem::Unknown));
        }
        let records = bytes
            .get(size_of::<Header>()..)
            .ok_or(at("header", Problem::Truncated))?;
        let image = Self {
            records,
            modules,
            count,
            console,
            flags,
            audit_turns,
            symbols_module: (symbols_module != NO_MODULE).then_some(symbols_module),
        };
        image.check_records()?;
        Ok(image)
    }

    fn check_records(&self) -> Result<(), ImageError> {
        for index in 0..self.count {
            let spec = self.read(index)?;
            let taken = (0..index)
                .filter_map(|other| self.domain(other))
                .any(|other| other.name == spec.name);
            if taken {
                return Err(ImageError {
                    record: Some(index),
                    field: "name",
                    problem: Problem::Taken,
                });
            }
        }
        Ok(())
    }

    /// How many domains there are, 1 to [`MAX_DOMAINS`].
    #[must_use]
    pub const fn domain_count(&self) -> u32 {
        self.count
    }

    /// The domain that gets the user's keys.
    #[must_use]
    pub const fn console_domain(&self) -> u32 {
        self.console
    }

    /// Boot module with the names of the hypervisor's own functions.
    #[must_use]
    pub const fn symbols_module(&self) -> Option<u32> {
        self.symbols_module
    }

    /// The machine ends when all but the witnesses have.
    #[must_use]
    pub const fn until_others_ended(&self) -> bool {
        self.flags & machine_flags::UNTIL_OTHERS_ENDED != 0
    }

    /// Audit after every domain's end.
    #[must_use]
    pub const fn audit_each_end(&self) -> bool {
        self.flags & machine_flags::AUDIT_EACH_END != 0
    }

    /// Audit at every so many turns; 0: at none.
    #[must_use]
    pub const fn audit_turns(&self) -> u32 {
        self.audit_turns
    }

    /// The domain with this index.
    #[must_use]
    pub fn domain(&self, index: u32) -> Option<DomainSpec<'a>> {
        if index < self.count {
            self.read(index).ok()
        } else {
            None
        }
    }

    /// All domains in turn.
    pub fn domains(&self) -> impl Iterator<Item = DomainSpec<'a>> + '_ {
        (0..self.count).filter_map(|index| self.domain(index))
    }

    fn read(&self, index: u32) -> Result<DomainSpec<'a>, ImageError> {
        const SIZE: usize = size_of::<DomainRecord>();
        let at = |field, problem| ImageError {
            record: Some(index),
            field,
            problem,
        };
        let record = (index as usize)
            .checked_mul(SIZE)
            .and_then(|start| self.records.get(start..)?.get(..SIZE))
            .ok_or(at("record", Problem::Truncated))?;
        let word = |field, offset| u32_at(record, offset).ok_or(at(field, Problem::Truncated));

        let name = name_in(part(record, offset_of!(DomainRecord, name), 32))
            .map_err(|problem| at("name", problem))?;
        let command_line = part(record, offset_of!(DomainRecord, command_line), 1024);
        let end = command_line
            .iter()
            .position(|byte| *byte == 0)
            .ok_or(at("command_line", Problem::Unterminated))?;
        let command_line = command_line.get(..end).unwrap_or(&[]);
        let memory_frames = u64_at(record, offset_of!(DomainRecord, memory_frames)).unwrap_or(0);
        if !(1..=MAX_FRAMES).contains(&memory_frames) {
            return Err(at("memory_frames", Problem::OutOfRange));
        }
        let kernel_module = word("kernel_module", offset_of!(DomainRecord, kernel_module))?;
        if kernel_module == NO_MODULE || kernel_module >= self.modules {
            return Err(at("kernel_module", Problem::OutOfRange));
        }
        let guest_module = word("guest_module", offset_of!(DomainRecord, guest_module))?;
        if guest_module != NO_MODULE && guest_module >= self.modules {
            return Err(at("guest_module", Problem::OutOfRange));
        }
        let weight = u16::try_from(word("weight", offset_of!(DomainRecord, weight))?).unwrap_or(0);
        if weight == 0 {
            return Err(at("weight", Problem::OutOfRange));
        }
        let restart = RestartPolicy::from_raw(word("restart", offset_of!(DomainRecord, restart))?)
            .ok_or(at("restart", Problem::Unknown))?;
        let restart_max = word("restart_max", offset_of!(DomainRecord, restart_max))?;
        let flags = word("flags", offset_of!(DomainRecord, flags))?;
        if flags & !(domain_flags::RECORD_LINE | domain_flags::WITNESS) != 0 {
            return Err(at("flags", Problem::Unknown));
        }
        let symbols_module = word("symbols_module", offset_of!(DomainRecord, symbols_module))?;
        if symbols_module != NO_MODULE && symbols_module >= self.modules {
            return Err(at("symbols_module", Problem::OutOfRange));
        }
        if word("pad", offset_of!(DomainRecord, pad))? != 0 {
            return Err(at("pad", Problem::Unknown));
        }
        Ok(DomainSpec {
            name,
            command_line,
            memory_frames,
            kernel_module,
            guest_module: (guest_module != NO_MODULE).then_some(guest_module),
            symbols_module: (symbols_module != NO_MODULE).then_some(symbols_module),
            weight,
            restart,
            restart_max,
            record_line: flags & domain_flags::RECORD_LINE != 0,
            witness: flags & domain_flags::WITNESS != 0,
        })
    }
}

/// Whether a domain may be called so: what appears in logs and records cannot be read as anything else.
#[must_use]
pub fn is_good_name(name: &[u8]) -> bool {
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..32).contains(&name.len()) && name.iter().all(good)
}

fn name_in(padded: &[u8]) -> Result<&str, Problem> {
    let end = padded
        .iter()
        .position(|byte| *byte == 0)
        .ok_or(Problem::Unterminated)?;
    let (name, padding) = padded.split_at_checked(end).ok_or(Problem::Truncated)?;
    if !is_good_name(name) || padding.iter().any(|byte| *byte != 0) {
        return Err(Problem::Characters);
    }
    core::str::from_utf8(name).map_err(|_| Problem::Characters)
}

fn part(bytes: &[u8], offset: usize, size: usize) -> &[u8] {
    bytes
        .get(offset..)
        .and_then(|rest| rest.get(..size))
        .unwrap_or(&[])
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    part(bytes, offset, 4).try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    part(bytes, offset, 8).try_into().ok().map(u64::from_le_bytes)
}

/// Which field is wrong, of which record, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ImageError {
    /// The domain's record, or none for the header.
    pub record: Option<u32>,
    /// Its field.
    pub field: &'static str,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Problem {
    /// The module ends before it.
    Truncated,
    /// A value that this version does not know.
    Unknown,
    /// Too small or too large.
    OutOfRange,
    /// No NUL at its end.
    Unterminated,
    /// Other characters than `[a-zA-Z0-9._-]`, or none, or something after them.
    Characters,
    /// An earlier domain is called so.
    Taken,
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = match self.problem {
            Problem::Truncated => "cut short",
            Problem::Unknown => "has an unknown value",
            Problem::OutOfRange => "out of range",
            Problem::Unterminated => "has no end",
            Problem::Characters => "has characters that are not allowed",
            Problem::Taken => "is taken",
        };
        match self.record {
            Some(record) => write!(f, "domain record {record}: {} {problem}", self.field),
            None => write!(f, "boot image header: {} {problem}", self.field),
        }
    }
}

#[cfg(test)]
mod tests;
