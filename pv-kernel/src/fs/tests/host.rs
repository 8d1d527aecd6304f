//! Random operations, done on the tree and on the host's own files: the same results, the same errors.
use super::{at, fresh};
use crate::errno::Errno;
use crate::fs::links::{New, Replace};
use crate::fs::list::Listing;
use crate::fs::store::tests::Shelf;
use crate::fs::walk::Follow;
use crate::fs::{FileId, Node, OpenFlags, Vfs, Whence};
use proptest::prelude::*;
use rustix::fs::{self as host, AtFlags, Mode, OFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// How deep the directory lies in which everything happens: more than all `..` on a path, links included, can climb.
const DEPTH: usize = 100;
/// Most files that are open at once.
const FILES: usize = 6;

/// A path, from the base directory or from an open file on.
type Path = (Option<usize>, String);

#[derive(Clone, Debug)]
enum Step {
    Mkdir(Path, u32),
    Open(Path, u32, u32),
    Close(usize),
    Unlink(Path),
    Rmdir(Path),
    Rename(Path, Path, bool),
    Link(Path, Path),
    Symlink(String, Path),
    Readlink(Path),
    Chmod(Path, u32),
    Stat(Path),
    Lstat(Path),
    List(usize),
    Read(usize, usize),
    Write(usize, usize, u8),
    ReadAt(usize, u64, usize),
    WriteAt(usize, u64, usize, u8),
    Seek(usize, i64, u8),
    Truncate(usize, i64),
    FileStat(usize),
}

type Outcome = Result<String, u32>;

struct Host {
    _place: tempfile::TempDir,
    base: OwnedFd,
    files: Vec<OwnedFd>,
    counts_subdirectories: bool,
}

struct Guest {
    vfs: Vfs<'static>,
    store: Shelf,
    base: Node,
    files: Vec<FileId>,
}

fn failed(errno: rustix::io::Errno) -> u32 {
    errno.raw_os_error() as u32
}

fn refused(errno: Errno) -> u32 {
    errno.number()
}

impl Host {
    fn new() -> Self {
        rustix::process::umask(Mode::from_raw_mode(0o022));
        let place = tempfile::tempdir().unwrap();
        let mut path = PathBuf::from(place.path());
        (0..DEPTH).for_each(|_| path.push("0"));
        std::fs::create_dir_all(&path).unwrap();
        let base = host::open(&path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let above = host::statat(&base, "..", AtFlags::empty()).unwrap();
        Self {
            _place: place,
            base,
            files: Vec::new(),
            counts_subdirectories: above.st_nlink == 3,
        }
    }

    fn start(&self, from: Option<usize>) -> BorrowedFd<'_> {
        let file = from.and_then(|index| self.files.get(index));
        file.map_or(self.base.as_fd(), AsFd::as_fd)
    }

    fn about(&self, stat: &host::Stat) -> String {
        let directory = stat.st_mode & 0o170_000 == 0o040_000;
        let links = if directory && !self.counts_subdirectories {
            0
        } else {
            stat.st_nlink
        };
        let size = if directory { 0 } else { stat.st_size };
        format!("{:o} {links} {size}", stat.st_mode)
    }

    fn run(&mut self, step: &Step) -> Result<String, rustix::io::Errno> {
        let none = AtFlags::empty();
        let mode = Mode::from_raw_mode;
        let done = |()| String::new();
        match step {
            Step::Mkdir((from, path), bits) => host::mkdirat(self.start(*from), path, mode(*bits)).map(done),
            Step::Open((from, path), flags, bits) => {
                let flags = OFlags::from_bits_retain(*flags);
                let file = host::openat(self.start(*from), path, flags, mode(*bits))?;
                self.files.push(file);
                Ok(String::new())
            }
            Step::Close(index) => {
                self.files.remove(*index);
                Ok(String::new())
            }
            Step::Unlink((from, path)) => host::unlinkat(self.start(*from), path, none).map(done),
            Step::Rmdir((from, path)) => {
                host::unlinkat(self.start(*from), path, AtFlags::REMOVEDIR).map(done)
            }
            Step::Rename((from, old), (to, new), replace) => {
                let flags = if *replace {
                    host::RenameFlags::empty()
                } else {
                    host::RenameFlags::NOREPLACE
                };
                host::renameat_with(self.start(*from), old, self.start(*to), new, flags).map(done)
            }
            Step::Link((from, old), (to, new)) => {
                host::linkat(self.start(*from), old, self.start(*to), new, none).map(done)
            }
            Step::Symlink(target, (from, path)) => host::symlinkat(target, self.start(*from), path).map(done),
            Step::Readlink((from, path)) => {
                let target = host::readlinkat(self.start(*from), path, Vec::new())?;
                Ok(target.into_string().unwrap())
            }
            Step::Chmod((from, path), bits) => {
                host::chmodat(self.start(*from), path, mode(*bits), none).map(done)
            }
            Step::Stat((from, path)) => Ok(self.about(&host::statat(self.start(*from), path, none)?)),
            Step::Lstat((from, path)) => {
                Ok(self.about(&host::statat(self.start(*from), path, AtFlags::SYMLINK_NOFOLLOW)?))
            }
            Step::List(index) => {
                // Its own position, so that the listing begins at the beginning.
                rustix::fs::seek(&self.files[*index], host::SeekFrom::Start(0))?;
                let mut names = Vec::new();
                let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
                let mut listing = host::RawDir::new(self.files[*index].as_fd(), &mut buffer);
                while let Some(entry) = listing.next() {
                    let entry = entry?;
                    names.push(format!("{:?} {:?}", entry.file_name(), entry.file_type()));
                }
                names.sort();
                // The position behind the last name is the file system's own affair: ext4's is the highest of all, where a
                // read is refused for what it would come to and not for being one of a directory.
                rustix::fs::seek(&self.files[*index], host::SeekFrom::Start(0))?;
                Ok(names.join("\n"))
            }
            Step::Read(index, length) => {
                let mut buffer = vec![0; *length];
                let count = rustix::io::read(&self.files[*index], &mut buffer)?;
                Ok(format!("{:?}", &buffer[..count]))
            }
            Step::Write(index, length, byte) => {
                let count = rustix::io::write(&self.files[*index], &vec![*byte; *length])?;
                Ok(count.to_string())
            }
            Step::ReadAt(index, offset, length) => {
                let mut buffer = vec![0; *length];
                let count = rustix::io::pread(&self.files[*index], &mut buffer, *offset)?;
                Ok(format!("{:?}", &buffer[..count]))
            }
            Step::WriteAt(index, offset, length, byte) => {
                let count = rustix::io::pwrite(&self.files[*index], &vec![*byte; *length], *offset)?;
                Ok(count.to_string())
            }
            Step::Seek(index, by, whence) => {
                let to = match whence {
                    0 => host::SeekFrom::Start(*by as u64),
                    1 => host::SeekFrom::Current(*by),
                    _ => host::SeekFrom::End(*by),
                };
                Ok(host::seek(&self.files[*index], to)?.to_string())
            }
            Step::Truncate(index, size) => host::ftruncate(&self.files[*index], *size as u64).map(done),
            Step::FileStat(index) => Ok(self.about(&host::fstat(&self.files[*index])?)),
        }
    }
}

impl Guest {
    fn new() -> Self {
        let (mut vfs, store) = fresh();
        let mut base = Vfs::root();
        for _ in 0..DEPTH {
            base = vfs.make(base, b"0", New::Directory, 0o755, &at(0)).unwrap();
        }
        vfs.hold(base);
        Self {
            vfs,
            store,
            base,
            files: Vec::new(),
        }
    }

    fn start(&self, from: Option<usize>) -> Node {
        let file = from.and_then(|index| self.files.get(index));
        file.map_or(self.base, |file| self.vfs.node_of(*file).unwrap())
    }

    fn about(&self, node: Node, host: &Host) -> Result<String, Errno> {
        let about = self.vfs.attributes(node, &at(0))?;
        let directory = self.vfs.is_directory(node);
        let links = if directory && !host.counts_subdirectories {
            0
        } else {
            about.links
        };
        let size = if directory { 0 } else { about.size };
        Ok(format!(
            "{:o} {links} {size}",
            about.kind.mode() | u32::from(about.permissions)
        ))
    }

    fn run(&mut self, step: &Step, host: &Host) -> Result<String, Errno> {
        let caller = &at(1);
        let done = |()| String::new();
        let start = |from: &Option<usize>| self.start(*from);
        let find =
            |(from, path): &Path, follow| self.vfs.find(self.start(*from), path.as_bytes(), follow, caller);
        match step {
            Step::Mkdir((from, path), bits) => {
                let (start, bits) = (start(from), *bits as u16);
                let made = self
                    .vfs
                    .make(start, path.as_bytes(), New::Directory, bits, caller);
                made.map(|_| String::new())
            }
            Step::Open((from, path), flags, bits) => {
                let (start, flags) = (start(from), OpenFlags::from_bits_retain(*flags));
                let bits = *bits as u16;
                let file = self
                    .vfs
                    .open(start, path.as_bytes(), flags, bits, caller, &mut self.store)?;
                self.files.push(file);
                Ok(String::new())
            }
            Step::Close(index) => {
                let file = self.files.remove(*index);
                self.vfs.close(file, &mut self.store);
                Ok(String::new())
            }
            Step::Unlink((from, path)) => {
                let start = start(from);
                let unlinked = self.vfs.unlink(start, path.as_bytes(), caller, &mut self.store);
                unlinked.map(done)
            }
            Step::Rmdir((from, path)) => {
                let start = start(from);
                let removed = self
                    .vfs
                    .remove_directory(start, path.as_bytes(), caller, &mut self.store);
                removed.map(done)
            }
            Step::Rename((from, old), (to, new), replace) => {
                let (old, new) = ((start(from), old.as_bytes()), (start(to), new.as_bytes()));
                let replace = if *replace {
                    Replace::Allowed
                } else {
                    Replace::Refused
                };
                let renamed = self.vfs.rename(old, new, replace, caller, &mut self.store);
                renamed.map(done)
            }
            Step::Link(old, (to, new)) => {
                let (node, start) = (find(old, Follow::BeforeSlash)?, start(to));
                self.vfs.link(node, start, new.as_bytes(), caller).map(done)
            }
            Step::Symlink(target, (from, path)) => {
                let (start, new) = (start(from), New::Symlink(target.as_bytes()));
                let made = self.vfs.make(start, path.as_bytes(), new, 0o777, caller);
                made.map(|_| String::new())
            }
            Step::Readlink(path) => {
                let target = self.vfs.target(find(path, Follow::BeforeSlash)?, caller)?;
                Ok(String::from_utf8(target.into_vec()).unwrap())
            }
            Step::Chmod(path, bits) => {
                let node = find(path, Follow::Yes)?;
                self.vfs.set_permissions(node, *bits as u16, caller).map(done)
            }
            Step::Stat(path) => self.about(find(path, Follow::Yes)?, host),
            Step::Lstat(path) => self.about(find(path, Follow::BeforeSlash)?, host),
            Step::List(index) => {
                let file = self.files[*index];
                self.vfs.seek(file, 0, Whence::Start, &mut self.store)?;
                let mut names = Vec::new();
                self.vfs.list(file, caller, &mut |listed| {
                    let name = std::ffi::CString::new(listed.name).unwrap();
                    let kind = host::FileType::from_raw_mode(listed.kind.mode());
                    names.push(format!("{:?} {kind:?}", name.as_c_str()));
                    Listing::More
                })?;
                names.sort();
                self.vfs.seek(file, 0, Whence::Start, &mut self.store)?;
                Ok(names.join("\n"))
            }
            Step::Read(index, length) => {
                let mut buffer = vec![0; *length];
                let count = self
                    .vfs
                    .read(self.files[*index], &mut buffer, caller, &mut self.store)?;
                Ok(format!("{:?}", &buffer[..count]))
            }
            Step::Write(index, length, byte) => {
                let bytes = vec![*byte; *length];
                let count = self
                    .vfs
                    .write(self.files[*index], &bytes, caller, &mut self.store)?;
                Ok(count.to_string())
            }
            Step::ReadAt(index, offset, length) => {
                let mut buffer = vec![0; *length];
                let file = self.files[*index];
                let count = self
                    .vfs
                    .read_at(file, *offset, &mut buffer, caller, &mut self.store)?;
                Ok(format!("{:?}", &buffer[..count]))
            }
            Step::WriteAt(index, offset, length, byte) => {
                let (file, bytes) = (self.files[*index], vec![*byte; *length]);
                let count = self
                    .vfs
                    .write_at(file, *offset, &bytes, caller, &mut self.store)?;
                Ok(count.to_string())
            }
            Step::Seek(index, by, whence) => {
                let whence = [Whence::Start, Whence::Current, Whence::End][usize::from(*whence)];
                Ok(self
                    .vfs
                    .seek(self.files[*index], *by, whence, &mut self.store)?
                    .to_string())
            }
            Step::Truncate(index, size) => {
                let size = u64::try_from(*size).map_err(|_| Errno::INVALID)?;
                let file = self.files[*index];
                self.vfs
                    .set_file_size(file, size, caller, &mut self.store)
                    .map(done)
            }
            Step::FileStat(index) => self.about(self.vfs.node_of(self.files[*index])?, host),
        }
    }

    /// Whether a step asks where in a directory it is: every file system has numbers of its own for that.
    fn seeks_in_directory(&self, step: &Step) -> bool {
        let Step::Seek(index, ..) = step else { return false };
        let file = self.files.get(*index);
        file.is_some_and(|file| self.vfs.is_directory(self.vfs.node_of(*file).unwrap()))
    }

    /// Closes every file and removes all that was made; nothing may be left of it.
    fn clean_up(mut self) {
        for file in std::mem::take(&mut self.files) {
            self.vfs.close(file, &mut self.store);
        }
        self.remove_all(self.base);
        let mut node = self.base;
        self.vfs.let_go(node, &mut self.store);
        while node != Vfs::root() {
            node = self.vfs.above(node).unwrap();
            self.remove_all(node);
        }
        for name in [b"/tmp".as_slice(), b"/dev"] {
            let top = self.vfs.find(Vfs::root(), name, Follow::Never, &at(0)).unwrap();
            self.remove_all(top);
        }
        assert_eq!(self.store.used(), 0);
        // The root, /dev, /tmp and what /proc hides.
        assert_eq!(self.vfs.inodes.used(), 4);
        assert_eq!(self.vfs.files.used(), 0);
        let kept: usize = ["dev", "tmp", "proc"].iter().map(|name| name.len() + 32).sum();
        assert_eq!(self.vfs.names_left, super::LIMITS.names - kept);
    }

    fn remove_all(&mut self, directory: Node) {
        let store = &mut self.store;
        let file = self
            .vfs
            .open(directory, b".", OpenFlags::DIRECTORY, 0, &at(0), store)
            .unwrap();
        let mut names: Vec<Vec<u8>> = Vec::new();
        let listed = self.vfs.list(file, &at(0), &mut |listed| {
            names.push(listed.name.to_vec());
            Listing::More
        });
        self.vfs.close(file, store);
        if listed.is_err() {
            return;
        }
        let is_kept = |name: &[u8]| {
            [b".".as_slice(), b".."].contains(&name)
                || directory == Vfs::root() && [b"dev".as_slice(), b"tmp", b"proc"].contains(&name)
        };
        for name in names.iter().filter(|name| !is_kept(name)) {
            if self.vfs.unlink(directory, name, &at(0), &mut self.store) == Err(Errno::IS_DIRECTORY) {
                let below = self.vfs.find(directory, name, Follow::Never, &at(0)).unwrap();
                self.remove_all(below);
                self.vfs
                    .remove_directory(directory, name, &at(0), &mut self.store)
                    .unwrap();
            }
        }
    }
}

fn plain_path() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        8 => prop::sample::select(vec!["a", "b", "c"]),
        1 => Just("."),
        1 => Just(".."),
    ];
    (
        prop::collection::vec((part, prop_oneof![9 => Just("/"), 1 => Just("//")]), 1..4),
        0u8..8,
    )
        .prop_map(|(parts, end)| {
            let mut path: String = parts
                .iter()
                .map(|(part, slash)| format!("{part}{slash}"))
                .collect();
            if end > 0 {
                path.truncate(path.trim_end_matches('/').len());
            }
            path
        })
}

fn target() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop::sample::select(vec!["a", "b", "c", "a/b", "b/c", "c/", ".", "../a", "a/../b", "b/."])
            .prop_map(str::to_owned),
        1 => Just(String::new()),
    ]
}

fn path() -> impl Strategy<Value = Path> {
    let path = prop_oneof![
        60 => plain_path(),
        1 => Just(String::new()),
        1 => Just("x".repeat(256)),
        1 => Just("a/".repeat(2048)),
    ];
    (prop_oneof![4 => Just(None), 1 => (0..FILES).prop_map(Some)], path)
}

fn flags() -> impl Strategy<Value = u32> {
    let access = prop_oneof![Just(0u32), Just(1), Just(2)];
    let more = prop_oneof![
        4 => Just(0u32),
        6 => Just(0o100),
        2 => Just(0o300),
        2 => Just(0o1100),
        1 => Just(0o1000),
        1 => Just(0o2100),
        2 => Just(0o200_000),
        1 => Just(0o400_000),
        1 => Just(0o400_100),
        1 => Just(0o600_000),
    ];
    (access, more).prop_map(|(access, more)| access | more)
}

fn step() -> impl Strategy<Value = Step> {
    let mode = prop_oneof![Just(0o700u32), Just(0o777), Just(0o755), Just(0o1777)];
    let offset = prop_oneof![0u64..20, 4090u64..4100, 0u64..20_000];
    let length = prop_oneof![0usize..10, 4000usize..5000];
    prop_oneof![
        6 => (path(), mode.clone()).prop_map(|(path, mode)| Step::Mkdir(path, mode)),
        9 => (path(), flags(), mode.clone()).prop_map(|(path, flags, mode)| Step::Open(path, flags, mode)),
        2 => (0..FILES).prop_map(Step::Close),
        3 => path().prop_map(Step::Unlink),
        3 => path().prop_map(Step::Rmdir),
        6 => (path(), path(), any::<bool>()).prop_map(|(old, new, replace)| Step::Rename(old, new, replace)),
        3 => (path(), path()).prop_map(|(old, new)| Step::Link(old, new)),
        4 => (target(), path()).prop_map(|(target, path)| Step::Symlink(target, path)),
        1 => path().prop_map(Step::Readlink),
        1 => (path(), mode).prop_map(|(path, mode)| Step::Chmod(path, mode)),
        3 => path().prop_map(Step::Stat),
        2 => path().prop_map(Step::Lstat),
        2 => (0..FILES).prop_map(Step::List),
        2 => (0..FILES, length.clone()).prop_map(|(file, length)| Step::Read(file, length)),
        3 => (0..FILES, length.clone(), any::<u8>())
            .prop_map(|(file, length, byte)| Step::Write(file, length, byte)),
        2 => (0..FILES, offset.clone(), length.clone())
            .prop_map(|(file, offset, length)| Step::ReadAt(file, offset, length)),
        2 => (0..FILES, offset.clone(), length, any::<u8>())
            .prop_map(|(file, offset, length, byte)| Step::WriteAt(file, offset, length, byte)),
        2 => (0..FILES, -30i64..30, 0u8..3).prop_map(|(file, by, whence)| Step::Seek(file, by, whence)),
        2 => (0..FILES, -1i64..10_000).prop_map(|(file, size)| Step::Truncate(file, size)),
        2 => (0..FILES).prop_map(Step::FileStat),
    ]
}

/// The open file that a step needs.
fn file_of(step: &Step) -> Option<usize> {
    match step {
        Step::Close(index)
        | Step::List(index)
        | Step::Read(index, _)
        | Step::Write(index, ..)
        | Step::ReadAt(index, ..)
        | Step::WriteAt(index, ..)
        | Step::Seek(index, ..)
        | Step::Truncate(index, _)
        | Step::FileStat(index) => Some(*index),
        _ => None,
    }
}

#[test]
fn a_directory_that_was_listed_is_read_as_the_host_s_is() {
    let (mut host, mut guest) = (Host::new(), Guest::new());
    let directory = (None, "a/".to_owned());
    for step in [
        Step::Mkdir(directory.clone(), 0o700),
        Step::Open(directory, 0, 0o700),
        Step::List(0),
        Step::Read(0, 1),
    ] {
        let ours: Outcome = guest.run(&step, &host).map_err(refused);
        assert_eq!(ours, host.run(&step).map_err(failed), "{step:?}");
    }
    guest.clean_up();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]
    #[test]
    fn files_behave_as_the_host_s_do(steps in prop::collection::vec(step(), 1..60)) {
        let mut host = Host::new();
        let mut guest = Guest::new();
        for step in steps {
            if file_of(&step).is_some_and(|index| index >= host.files.len())
                || matches!(step, Step::Open(..)) && host.files.len() == FILES
                || guest.seeks_in_directory(&step)
            {
                continue;
            }
            let ours: Outcome = guest.run(&step, &host).map_err(refused);
            let theirs: Outcome = host.run(&step).map_err(failed);
            prop_assert_eq!(ours, theirs, "{:?}", step);
        }
        guest.clean_up();
    }
}
