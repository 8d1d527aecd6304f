//! `/proc`: files that are written when they are read.
//!
//! A file of it is no more than a value that says which one it is; nothing of it is kept.
pub mod facts;
mod process_text;
mod system_text;

use crate::errno::Errno;
use crate::fs::attributes::{Attributes, Kind};
use crate::fs::list::{Listed, Listing};
use crate::fs::{Caller, Facts};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
pub use process_text::OfProcess;
pub use system_text::OfSystem;

/// A file or directory of `/proc`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProcNode {
    /// `/proc`.
    Root,
    /// `/proc/self`.
    Current,
    /// `/proc/mounts`, as Linux has it: a link.
    Mounts,
    /// A file that tells of the whole.
    System(OfSystem),
    /// `/proc/sys`.
    Sys,
    /// `/proc/sys/kernel`.
    SysKernel,
    /// A process's directory.
    Process(u32),
    /// A file of it.
    Of(u32, OfProcess),
}

/// The longest number of a process, in digits.
const PID_DIGITS: usize = 10;

impl ProcNode {
    /// Whether names are in it.
    #[must_use]
    pub const fn is_directory(self) -> bool {
        matches!(self, Self::Root | Self::Sys | Self::SysKernel | Self::Process(_))
    }

    /// Whether it leads elsewhere.
    #[must_use]
    pub const fn is_symlink(self) -> bool {
        matches!(self, Self::Current | Self::Mounts)
    }

    /// Where a link leads.
    #[must_use]
    pub fn target(self, facts: &dyn Facts) -> Option<Box<[u8]>> {
        match self {
            Self::Current => Some(alloc::format!("{}", facts.current()).into_bytes().into()),
            Self::Mounts => Some(b"self/mounts".as_slice().into()),
            _ => None,
        }
    }

    /// What `name` is in this directory.
    #[must_use]
    pub fn child(self, name: &[u8], facts: &dyn Facts) -> Option<Self> {
        if self == Self::Root
            && let Some(pid) = number(name)
        {
            return facts.process(pid).map(|_| Self::Process(pid));
        }
        self.fixed_children().find(|child| child.name() == name)
    }

    /// The directory above; nothing for `/proc` itself.
    #[must_use]
    pub const fn above(self) -> Option<Self> {
        match self {
            Self::Root => None,
            Self::Current | Self::Mounts | Self::Sys | Self::Process(_) => Some(Self::Root),
            Self::System(file) if file.is_setting() => Some(Self::SysKernel),
            Self::System(_) => Some(Self::Root),
            Self::SysKernel => Some(Self::Sys),
            Self::Of(pid, _) => Some(Self::Process(pid)),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> Vec<u8> {
        match self {
            Self::Root => b"proc".to_vec(),
            Self::Current => b"self".to_vec(),
            Self::Mounts => b"mounts".to_vec(),
            Self::Sys => b"sys".to_vec(),
            Self::SysKernel => b"kernel".to_vec(),
            Self::System(file) => file.name().as_bytes().to_vec(),
            Self::Process(pid) => alloc::format!("{pid}").into_bytes(),
            Self::Of(_, file) => file.name().as_bytes().to_vec(),
        }
    }

    /// What is always there in this directory.
    fn fixed_children(self) -> impl Iterator<Item = Self> {
        let links = [Self::Current, Self::Mounts, Self::Sys];
        let system = OfSystem::ALL.into_iter().filter(move |file| match self {
            Self::Root => !file.is_setting(),
            Self::SysKernel => file.is_setting(),
            _ => false,
        });
        let of_process = OfProcess::ALL.into_iter().filter_map(move |file| match self {
            Self::Process(pid) => Some(Self::Of(pid, file)),
            _ => None,
        });
        let links = links.into_iter().filter(move |_| self == Self::Root);
        let kernel = (self == Self::Sys).then_some(Self::SysKernel);
        links
            .chain(kernel)
            .chain(system.map(Self::System))
            .chain(of_process)
    }

    /// Its number: the process above, which of its files below.
    const fn number(self) -> u64 {
        match self {
            Self::Root => 1,
            Self::Current => 2,
            Self::Mounts => 3,
            Self::Sys => 4,
            Self::SysKernel => 5,
            Self::System(file) => 0x10 + file as u64,
            Self::Process(pid) => (pid as u64) << 8,
            Self::Of(pid, file) => (pid as u64) << 8 | (1 + file as u64),
        }
    }

    const fn kind(self) -> Kind {
        if self.is_directory() {
            Kind::Directory
        } else if self.is_symlink() {
            Kind::Symlink
        } else {
            Kind::File
        }
    }

    /// What `stat` tells.
    #[must_use]
    pub fn attributes(self, caller: &Caller<'_>) -> Attributes {
        let kind = self.kind();
        let permissions = match kind {
            Kind::Directory => 0o555,
            Kind::Symlink => 0o777,
            _ => 0o444,
        };
        Attributes {
            device: 2,
            number: self.number(),
            kind,
            permissions,
            links: if kind == Kind::Directory { 2 } else { 1 },
            owner: 0,
            group: 0,
            which: 0,
            size: 0,
            held: 0,
            accessed: caller.now,
            modified: caller.now,
            changed: caller.now,
        }
    }

    /// Copies the text from `offset` on into `buffer`; how many bytes.
    ///
    /// # Errors
    /// `EISDIR`, `EINVAL`; `ESRCH`: the process has gone.
    pub fn read(self, facts: &dyn Facts, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let text = match self {
            Self::Of(pid, file) => file.text(pid, &facts.process(pid).ok_or(Errno::NO_PROCESS)?),
            Self::System(file) => file.text(&facts.system()),
            _ if self.is_directory() => return Err(Errno::IS_DIRECTORY),
            _ => return Err(Errno::INVALID),
        };
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = text.get(offset..).unwrap_or(&[]);
        let count = rest.len().min(buffer.len());
        for (target, byte) in buffer.iter_mut().zip(rest) {
            *target = *byte;
        }
        Ok(count)
    }

    /// Shows the names from `from` on. Positions below [`PROCESSES`] are names that are always there, those above it
    /// processes.
    pub(super) fn list(self, from: u64, caller: &Caller<'_>, show: &mut dyn FnMut(Listed<'_>) -> Listing) {
        let above = self.above().map_or(1, Self::number);
        let dots = [
            (b".".to_vec(), self.number(), Kind::Directory),
            (b"..".to_vec(), above, Kind::Directory),
        ];
        let fixed = self
            .fixed_children()
            .map(|child| (child.name(), child.number(), child.kind()));
        for ((name, number, kind), position) in dots.into_iter().chain(fixed).zip(0u64..) {
            let listed = Listed {
                name: &name,
                number,
                kind,
                next: position + 1,
            };
            if position >= from && show(listed) == Listing::Full {
                return;
            }
        }
        if self == Self::Root {
            list_processes(from, caller.facts, show);
        }
    }
}

/// The position of process 0, if there were one.
const PROCESSES: u64 = 0x100;

fn list_processes(from: u64, facts: &dyn Facts, show: &mut dyn FnMut(Listed<'_>) -> Listing) {
    let mut pid = u32::try_from(from.saturating_sub(PROCESSES)).unwrap_or(u32::MAX);
    while let Some(found) = facts.first_from(pid) {
        let name = alloc::format!("{found}");
        let listed = Listed {
            name: name.as_bytes(),
            number: ProcNode::Process(found).number(),
            kind: Kind::Directory,
            next: PROCESSES + u64::from(found) + 1,
        };
        if show(listed) == Listing::Full {
            return;
        }
        match found.checked_add(1) {
            Some(next) => pid = next,
            None => return,
        }
    }
}

/// A process's number as Linux takes it: digits without a zero before them.
fn number(name: &[u8]) -> Option<u32> {
    let is_plain = name.first().is_some_and(|digit| *digit != b'0') && name.len() <= PID_DIGITS;
    let digits = core::str::from_utf8(name).ok().filter(|_| is_plain)?;
    digits
        .bytes()
        .all(|digit| digit.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

/// A text under construction.
type Text = String;

#[cfg(test)]
mod tests {
    use super::facts::tests::Two;
    use super::*;

    fn text(path: &[&str]) -> String {
        let mut node = ProcNode::Root;
        for part in path {
            node = node.child(part.as_bytes(), &Two).unwrap();
        }
        let mut buffer = [0; 4096];
        let count = node.read(&Two, 0, &mut buffer).unwrap();
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    }

    #[test]
    fn every_name_that_is_listed_is_found_and_says_where_it_is() {
        let caller = Caller {
            facts: &Two,
            umask: 0,
            now: 0,
        };
        let mut numbers = Vec::new();
        let mut directories = vec![ProcNode::Root];
        while let Some(directory) = directories.pop() {
            let mut names: Vec<Vec<u8>> = Vec::new();
            directory.list(0, &caller, &mut |listed| {
                names.push(listed.name.to_vec());
                Listing::More
            });
            for name in &names[2..] {
                let child = directory.child(name, &Two).unwrap();
                assert_eq!(child.above(), Some(directory));
                assert_eq!(&child.name(), name);
                assert!(!numbers.contains(&child.number()), "{child:?}");
                numbers.push(child.number());
                match child.kind() {
                    Kind::Directory => directories.push(child),
                    Kind::Symlink => assert!(child.target(&Two).is_some()),
                    _ => assert!(child.read(&Two, 0, &mut [0; 10]).is_ok(), "{child:?}"),
                }
            }
        }
        assert!(numbers.len() > 25);
    }

    #[test]
    fn a_listing_goes_on_where_it_stopped() {
        let caller = Caller {
            facts: &Two,
            umask: 0,
            now: 0,
        };
        let list = |room: usize| {
            let mut names = Vec::new();
            let mut from = 0;
            loop {
                let mut taken = 0;
                ProcNode::Root.list(from, &caller, &mut |listed| {
                    if taken == room {
                        return Listing::Full;
                    }
                    taken += 1;
                    from = listed.next;
                    names.push(listed.name.to_vec());
                    Listing::More
                });
                if taken == 0 {
                    return names;
                }
            }
        };
        assert_eq!(list(1), list(1000));
        assert!(list(1).ends_with(&[b"1".to_vec(), b"7".to_vec()]));
    }

    #[test]
    fn processes_are_found_by_their_numbers_alone() {
        for name in ["01", "+1", "1 ", "4294967297", "2", ""] {
            assert_eq!(ProcNode::Root.child(name.as_bytes(), &Two), None, "{name:?}");
        }
    }

    #[test]
    fn texts_are_what_ps_and_free_read() {
        let stat = text(&["7", "stat"]);
        assert!(stat.starts_with("7 (a sh) S 1 1 1 1280 7 0 "), "{stat}");
        assert_eq!(stat.trim_end().rsplit(')').next().unwrap().split(' ').count(), 51);
        assert_eq!(text(&["1", "cmdline"]), "sh\0-c\0ls\0");
        assert_eq!(text(&["uptime"]), "123.45 60.07\n");
        assert!(text(&["meminfo"]).contains("MemFree:            1000 kB\n"));
        assert!(text(&["1", "status"]).contains("\nPPid:\t1\n"));
        assert_eq!(text(&["sys", "kernel", "hostname"]), "guest\n");
    }

    #[test]
    fn a_text_is_read_in_parts() {
        let node = ProcNode::Root.child(b"uptime", &Two).unwrap();
        let mut buffer = [0; 4];
        assert_eq!(node.read(&Two, 5, &mut buffer), Ok(4));
        assert_eq!(&buffer, b"5 60");
        assert_eq!(node.read(&Two, u64::MAX, &mut buffer), Ok(0));
    }
}
