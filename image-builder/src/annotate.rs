//! Adds source lines to what the hypervisor says of kills and of its own panics, as it passes: behind each
//! `0xADDRESS <function+0xOFFSET>` of a record, ` at file.rs:123`.
//!
//! Only the hypervisor's own lines are touched, which no guest can write, and only by adding to them.
use crate::source_lines::SourceLines;
use crate::symbols::{self, Function};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use xen_lite::console::text::Safe;

/// How the hypervisor's own lines begin.
const OWN: &str = "(xen-lite) ";
/// How the lines of a record go on.
const INSIDE: &str = "  ";

/// What ran: executables with all their sections.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Executables {
    /// The hypervisor.
    pub hypervisor: Arc<[u8]>,
    /// The kernel of each domain, by the domain's name.
    pub kernels: BTreeMap<String, Arc<[u8]>>,
}

/// Reads a console line by line.
pub struct Annotator {
    executables: Executables,
    /// Line tables that were wanted so far, by where the executable's bytes are.
    tables: BTreeMap<usize, Option<SourceLines>>,
    names: BTreeMap<usize, Vec<Function>>,
    /// Whose record the last line of the hypervisor's was part of.
    subject: Option<Arc<[u8]>>,
}

impl Annotator {
    /// Nothing was read yet.
    #[must_use]
    pub fn new(executables: Executables) -> Self {
        Self {
            executables,
            tables: BTreeMap::new(),
            names: BTreeMap::new(),
            subject: None,
        }
    }

    /// A line of the console as it is to be shown.
    pub fn line<'a>(&mut self, line: &'a [u8]) -> Cow<'a, [u8]> {
        let own = std::str::from_utf8(line)
            .ok()
            .and_then(|text| text.strip_prefix(OWN));
        let Some(said) = own else {
            return Cow::Borrowed(line);
        };
        if said.starts_with(INSIDE) {
            return match self.subject.clone() {
                Some(elf) => self.annotated(&elf, said),
                None => Cow::Borrowed(line),
            };
        }
        self.subject = self.subject_of(said);
        Cow::Borrowed(line)
    }

    /// Whose record begins with this line.
    fn subject_of(&self, headline: &str) -> Option<Arc<[u8]>> {
        if headline.starts_with("panic: ") {
            return Some(Arc::clone(&self.executables.hypervisor));
        }
        let (name, rest) = headline
            .strip_prefix("domain ")?
            .split_once(" (")?
            .1
            .split_once(", ")?;
        let is_record = rest.starts_with("incarnation ") && rest.contains(") killed: ");
        is_record
            .then(|| self.executables.kernels.get(name).cloned())
            .flatten()
    }

    fn annotated(&mut self, elf: &Arc<[u8]>, said: &str) -> Cow<'static, [u8]> {
        let mut text = OWN.to_owned();
        let mut rest = said;
        while let Some(found) = next_address(rest) {
            text.push_str(&rest[..found.end]);
            rest = &rest[found.end..];
            // The address that a call returns to is behind the call, and may be another line's.
            let address = match found.kind {
                Kind::Exact => found.address,
                Kind::Return => found.address.wrapping_sub(1),
            };
            if !found.is_named
                && let Some((name, offset)) = self.name(elf, address)
            {
                let offset = offset.wrapping_add(found.address.wrapping_sub(address));
                let name = Safe(name.as_bytes());
                text.push_str(&format!(" <{name}+{offset:#x}>"));
            }
            if let Some(place) = self.place(elf, address) {
                text.push_str(&format!(" at {place}"));
            }
        }
        text.push_str(rest);
        Cow::Owned(text.into_bytes())
    }

    fn place(&mut self, elf: &Arc<[u8]>, address: u64) -> Option<String> {
        let table = self
            .tables
            .entry(elf.as_ptr() as usize)
            .or_insert_with(|| SourceLines::of(elf));
        table.as_ref()?.place(address)
    }

    /// The function at an address, and how far into it that is.
    fn name(&mut self, elf: &Arc<[u8]>, address: u64) -> Option<(String, u64)> {
        let functions = self
            .names
            .entry(elf.as_ptr() as usize)
            .or_insert_with(|| symbols::functions(elf));
        let at = functions.partition_point(|function| function.address <= address);
        let function = functions.get(at.checked_sub(1)?)?;
        let offset = address - function.address;
        (offset < function.size).then(|| (function.name.clone(), offset))
    }
}

/// What an address in a record is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// That of an instruction.
    Exact,
    /// Where a call returns to: the lines of a backtrace that begin with `called from`.
    Return,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Address {
    address: u64,
    kind: Kind,
    is_named: bool,
    /// Where the text goes on behind it.
    end: usize,
}

/// The next address with a name, or the one of a line of a backtrace, which may be without.
fn next_address(text: &str) -> Option<Address> {
    const RETURN: &str = "called from ";
    const AT: &str = "  backtrace  at ";
    const INTERRUPTED: &str = "interrupted 0x";
    let before = text.trim_start();
    let kind = if before.starts_with(RETURN) {
        Kind::Return
    } else {
        Kind::Exact
    };
    let mut from = 0;
    while let Some(found) = text[from..].find("0x") {
        let start = from + found;
        let digits = &text[start + 2..];
        let length = digits
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(digits.len());
        let behind = start + 2 + length;
        from = behind;
        let Ok(address) = u64::from_str_radix(&digits[..length], 16) else {
            continue;
        };
        if let Some(name) = text[behind..].strip_prefix(" <")
            && let Some(length) = end_of_name(name)
        {
            let end = behind + 2 + length;
            return Some(Address {
                address,
                kind,
                is_named: true,
                end,
            });
        }
        let is_frame = kind == Kind::Return || text.starts_with(AT) || before.starts_with(INTERRUPTED);
        if is_frame && text[behind..].is_empty() {
            return Some(Address {
                address,
                kind,
                is_named: false,
                end: behind,
            });
        }
    }
    None
}

/// The length of `name+0x12>`, whatever characters the name is made of.
fn end_of_name(text: &str) -> Option<usize> {
    text.match_indices("+0x").find_map(|(at, _)| {
        let digits = &text[at + 3..];
        let length = digits.find(|c: char| !c.is_ascii_hexdigit())?;
        (length > 0 && digits[length..].starts_with('>')).then_some(at + 3 + length + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An annotator whose only kernel, and hypervisor, is this very program, and the address of a function of it.
    fn of_ourselves() -> (Annotator, u64) {
        let own: Arc<[u8]> = std::fs::read(std::env::current_exe().unwrap()).unwrap().into();
        let function = symbols::functions(&own)
            .into_iter()
            .find(|function| function.name.ends_with("annotate::tests::of_ourselves"))
            .unwrap();
        let kernels = BTreeMap::from([("bad".to_owned(), Arc::clone(&own))]);
        let hypervisor = own;
        (
            Annotator::new(Executables { hypervisor, kernels }),
            function.address,
        )
    }

    fn shown(annotator: &mut Annotator, line: &str) -> String {
        String::from_utf8(annotator.line(line.as_bytes()).into_owned()).unwrap()
    }

    const KILLED: &str = "(xen-lite) domain 2 (bad, incarnation 1) killed: no-handler";

    #[test]
    fn addresses_with_names_get_their_lines() {
        let (mut annotator, address) = of_ourselves();
        assert_eq!(shown(&mut annotator, KILLED), KILLED);
        let line =
            format!("(xen-lite)   delivering #PF to 0x19:{address:#x} <a<b c>+0x0>, frame below 0x9000");
        let shown = shown(&mut annotator, &line);
        assert!(
            shown.contains("<a<b c>+0x0> at image-builder/src/annotate.rs:"),
            "{shown}"
        );
        assert!(shown.ends_with(", frame below 0x9000"), "{shown}");
    }

    #[test]
    fn frames_without_a_name_get_one() {
        let (mut annotator, address) = of_ourselves();
        let _ = shown(&mut annotator, "(xen-lite) panic: cannot start");
        let line = format!("(xen-lite)              called from {:#x}", address + 1);
        let shown = shown(&mut annotator, &line);
        assert!(
            shown.contains("tests::of_ourselves+0x1> at image-builder/src/annotate.rs:"),
            "{shown}"
        );
    }

    #[test]
    fn nothing_is_added_outside_records_and_to_lines_of_guests() {
        let (mut annotator, address) = of_ourselves();
        let named = format!("{address:#x} <f+0x0>");
        for line in [
            format!("(xen-lite)   at {named}"),
            format!("[bad] (xen-lite)   at {named}"),
        ] {
            assert_eq!(shown(&mut annotator, &line), line);
        }
        let _ = shown(&mut annotator, KILLED);
        let guest = format!("[bad]   at {named}");
        assert_eq!(shown(&mut annotator, &guest), guest);
        let _ = shown(&mut annotator, "(xen-lite) all domains have ended: power off");
        let after = format!("(xen-lite)   at {named}");
        assert_eq!(shown(&mut annotator, &after), after);
    }

    #[test]
    fn odd_lines_come_out_as_they_are() {
        let (mut annotator, _) = of_ourselves();
        let _ = shown(&mut annotator, KILLED);
        for line in [
            "(xen-lite)   0x",
            "(xen-lite)   0x1 <",
            "(xen-lite)   0x1 <a+0x>",
            "(xen-lite)   0xfffffffffffffffffff <a+0x1>",
        ] {
            assert_eq!(shown(&mut annotator, line), line);
        }
        assert_eq!(
            annotator.line(b"(xen-lite)   \xff").as_ref(),
            b"(xen-lite)   \xff"
        );
    }
}
