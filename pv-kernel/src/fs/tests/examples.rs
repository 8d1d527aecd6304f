//! By example: what the host cannot show.
use super::{LIMITS, at, fresh};
use crate::archive::tests::archive_with_modes;
use crate::errno::Errno;
use crate::fs::pipe::Transfer;
use crate::fs::store::tests::Shelf;
use crate::fs::{
    Descriptors, Endpoint, FileId, Follow, Kind, LoadError, New, Node, OpenFlags, PageStore, PipeEnd,
    Replace, Vfs,
};

const READ: OpenFlags = OpenFlags::empty();
const WRITE: OpenFlags = OpenFlags::READ_WRITE;

fn open(vfs: &mut Vfs<'_>, store: &mut Shelf, path: &str, flags: OpenFlags) -> Result<FileId, Errno> {
    vfs.open(Vfs::root(), path.as_bytes(), flags, 0o666, &at(5), store)
}

fn find(vfs: &Vfs<'_>, path: &str) -> Result<Node, Errno> {
    vfs.find(Vfs::root(), path.as_bytes(), Follow::Yes, &at(5))
}

fn make(vfs: &mut Vfs<'_>, path: &str, new: New<'_>) -> Result<Node, Errno> {
    vfs.make(Vfs::root(), path.as_bytes(), new, 0o777, &at(5))
}

fn read(vfs: &mut Vfs<'_>, store: &mut Shelf, path: &str) -> Vec<u8> {
    let node = find(vfs, path).unwrap();
    let mut buffer = [0; 4096];
    let count = vfs.read_node(node, 0, &mut buffer, &at(5), store).unwrap();
    buffer[..count].to_vec()
}

#[test]
fn the_archive_becomes_a_tree_that_costs_no_frame_until_it_is_written() {
    let archive = archive_with_modes(&[
        ("bin/busybox", 0o100_755, b"program"),
        ("bin/sh", 0o120_777, b"busybox"),
        ("etc", 0o040_700, b""),
        ("./etc/motd", 0o100_600, b"hello\n"),
        ("/etc/motd", 0o100_640, b"later\n"),
    ]);
    let (mut vfs, mut store) = fresh();
    vfs.load(&archive, &at(0)).unwrap();
    assert_eq!(read(&mut vfs, &mut store, "/bin/sh"), b"program");
    assert_eq!(read(&mut vfs, &mut store, "/etc/motd"), b"later\n");
    let about = vfs.attributes(find(&vfs, "/etc/motd").unwrap(), &at(0)).unwrap();
    assert_eq!((about.kind, about.permissions), (Kind::File, 0o640));
    assert_eq!(store.used(), 0);
    let file = open(&mut vfs, &mut store, "/bin/sh", WRITE).unwrap();
    assert_eq!(vfs.write(file, b"PRO", &at(5), &mut store), Ok(3));
    assert_eq!(read(&mut vfs, &mut store, "/bin/busybox"), b"PROgram");
    assert_eq!(store.used(), 1);
    assert!(vfs.archived(find(&vfs, "/bin/busybox").unwrap()).is_none());
}

#[test]
fn a_bad_archive_is_refused_with_its_reason() {
    let (mut vfs, _) = fresh();
    assert_eq!(vfs.load(b"no archive", &at(0)), Err(LoadError::Malformed));
    let through_file = archive_with_modes(&[("a", 0o100_644, b""), ("a/b", 0o100_644, b"")]);
    assert_eq!(
        vfs.load(&through_file, &at(0)),
        Err(LoadError::Refused(Errno::NOT_DIRECTORY))
    );
    let names: Vec<String> = (0..LIMITS.inodes).map(|number| number.to_string()).collect();
    let files: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), 0o100_644, &b""[..]))
        .collect();
    let many = vfs.load(&archive_with_modes(&files), &at(0)).unwrap_err();
    assert_eq!(many, LoadError::Refused(Errno::NO_SPACE));
}

#[test]
fn data_of_an_unlinked_file_stay_until_the_last_close() {
    let (mut vfs, mut store) = fresh();
    let file = open(&mut vfs, &mut store, "/f", WRITE | OpenFlags::CREATE).unwrap();
    vfs.write(file, b"still here", &at(5), &mut store).unwrap();
    vfs.share(file);
    vfs.unlink(Vfs::root(), b"/f", &at(5), &mut store).unwrap();
    assert_eq!(find(&vfs, "/f"), Err(Errno::NO_ENTRY));
    vfs.close(file, &mut store);
    let mut buffer = [0; 10];
    assert_eq!(vfs.read_at(file, 0, &mut buffer, &at(5), &mut store), Ok(10));
    assert_eq!((&buffer, store.used()), (b"still here", 1));
    vfs.close(file, &mut store);
    assert_eq!(store.used(), 0);
    assert_eq!(
        vfs.read_at(file, 0, &mut buffer, &at(5), &mut store),
        Err(Errno::BAD_FILE)
    );
}

#[test]
fn a_removed_working_directory_still_knows_the_way_up_and_takes_no_new_names() {
    let (mut vfs, mut store) = fresh();
    let before = vfs.usage().used;
    make(&mut vfs, "/a", New::Directory).unwrap();
    let inner = make(&mut vfs, "/a/b", New::Directory).unwrap();
    assert_eq!(vfs.path_of(inner).unwrap(), b"/a/b");
    vfs.hold(inner);
    vfs.remove_directory(Vfs::root(), b"/a/b", &at(5), &mut store)
        .unwrap();
    vfs.remove_directory(Vfs::root(), b"/a", &at(5), &mut store)
        .unwrap();
    assert_eq!(vfs.path_of(inner), Err(Errno::NO_ENTRY));
    let caller = &at(5);
    assert_eq!(
        vfs.make(inner, b"x", New::Directory, 0, caller),
        Err(Errno::NO_ENTRY)
    );
    assert_eq!(
        vfs.find(inner, b"../../tmp", Follow::Yes, caller),
        find(&vfs, "/tmp")
    );
    vfs.let_go(inner, &mut store);
    assert_eq!(vfs.usage().used, before);
}

#[test]
fn what_programs_can_fill_is_bounded_and_says_so() {
    let (mut vfs, mut store) = fresh();
    let mut made = 0;
    let full = loop {
        match make(&mut vfs, &format!("/tmp/{made}"), New::Directory) {
            Ok(_) => made += 1,
            Err(errno) => break errno,
        }
    };
    assert_eq!((full, vfs.usage().used), (Errno::NO_SPACE, LIMITS.inodes));
    vfs.remove_directory(Vfs::root(), b"/tmp/0", &at(5), &mut store)
        .unwrap();
    make(&mut vfs, "/tmp/again", New::File).unwrap();
    let again = find(&vfs, "/tmp/again").unwrap();
    let mut links = 0;
    while vfs
        .link(again, Vfs::root(), format!("/{links:0>200}").as_bytes(), &at(5))
        .is_ok()
    {
        links += 1;
    }
    assert!(links > 10 && vfs.names_left < 232, "{links}");

    let mut files = Vec::new();
    while let Ok(file) = open(&mut vfs, &mut store, "/tmp/again", READ) {
        files.push(file);
    }
    assert_eq!(files.len(), LIMITS.open_files);
    assert_eq!(vfs.make_pipe(OpenFlags::empty()), Err(Errno::FILE_TABLE_FULL));
    for file in files {
        vfs.close(file, &mut store);
    }
    for _ in 0..LIMITS.pipes {
        vfs.make_pipe(OpenFlags::empty()).unwrap();
    }
    assert_eq!(vfs.make_pipe(OpenFlags::empty()), Err(Errno::FILE_TABLE_FULL));
    assert_eq!(
        vfs.files.used(),
        2 * LIMITS.pipes,
        "a refused pipe leaves no file"
    );
}

#[test]
fn a_full_domain_refuses_bytes_and_a_deleted_file_gives_them_back() {
    let (mut vfs, mut store) = fresh();
    let file = open(&mut vfs, &mut store, "/f", WRITE | OpenFlags::CREATE).unwrap();
    while vfs.write(file, &[1; 4096], &at(5), &mut store).is_ok() {}
    let mut left = Vec::new();
    while let Ok(frame) = store.take() {
        left.push(frame);
    }
    assert_eq!(vfs.write(file, b"x", &at(5), &mut store), Err(Errno::NO_SPACE));
    vfs.unlink(Vfs::root(), b"/f", &at(5), &mut store).unwrap();
    vfs.close(file, &mut store);
    assert_eq!(store.used(), left.len());
}

#[test]
fn proc_is_there_and_cannot_be_changed() {
    let (mut vfs, mut store) = fresh();
    assert_eq!(read(&mut vfs, &mut store, "/proc/self/comm"), b"a sh\n");
    assert_eq!(
        read(&mut vfs, &mut store, "/proc/../proc/self/../7/comm"),
        b"a sh\n"
    );
    let inside = find(&vfs, "/proc/sys/kernel").unwrap();
    assert_eq!(vfs.path_of(inside).unwrap(), b"/proc/sys/kernel");
    let (caller, root) = (&at(5), Vfs::root());
    assert_eq!(
        vfs.remove_directory(root, b"/proc", caller, &mut store),
        Err(Errno::BUSY)
    );
    for path in ["/proc", "/proc/self"] {
        let moved = vfs.rename(
            (root, path.as_bytes()),
            (root, b"/x"),
            Replace::Allowed,
            caller,
            &mut store,
        );
        assert!(
            matches!(moved, Err(Errno::BUSY | Errno::CROSS_DEVICE)),
            "{path} {moved:?}"
        );
    }
    assert_eq!(make(&mut vfs, "/proc/x", New::File), Err(Errno::ACCESS));
    assert_eq!(
        vfs.unlink(root, b"/proc/uptime", caller, &mut store),
        Err(Errno::NOT_PERMITTED)
    );
    assert_eq!(
        open(&mut vfs, &mut store, "/proc/uptime", WRITE),
        Err(Errno::ACCESS)
    );
    let uptime = find(&vfs, "/proc/uptime").unwrap();
    assert_eq!(vfs.link(uptime, root, b"/x", caller), Err(Errno::CROSS_DEVICE));
}

#[test]
fn a_link_that_leads_through_itself_does_not_make_paths_grow() {
    let (mut vfs, _) = fresh();
    let junk = "x".repeat(200);
    let long = |first: &str, parts: usize| first.to_owned() + &format!("/{junk}").repeat(parts);
    make(&mut vfs, "/loop", New::Symlink(long("/loop", 19).as_bytes())).unwrap();
    assert_eq!(find(&vfs, "/loop"), Err(Errno::NAME_TOO_LONG));
    make(&mut vfs, "/short", New::Symlink(b"/short/x")).unwrap();
    assert_eq!(find(&vfs, "/short"), Err(Errno::LOOP));
    // One that is as long as may be, and as much after it.
    let target = "/tmp/".to_owned() + &"./".repeat(2000);
    make(&mut vfs, "/long", New::Symlink(target.as_bytes())).unwrap();
    let path = "/long/".to_owned() + &"./".repeat(2000);
    assert_eq!(find(&vfs, &path), find(&vfs, "/tmp"));
}

#[test]
fn a_directory_s_path_is_told_as_long_as_a_path_may_be() {
    let (mut vfs, _) = fresh();
    let name = [b'd'; 255];
    let mut above = Vfs::root();
    // 15 names of 255 bytes and one of 254, each with its slash: with a NUL, just as long as a path may be.
    for depth in 1..=16 {
        let name = if depth < 16 { &name[..] } else { &name[..254] };
        above = vfs.make(above, name, New::Directory, 0o777, &at(5)).unwrap();
    }
    let path = vfs.path_of(above).unwrap();
    assert_eq!(path.len(), 4095);
    assert_eq!(find(&vfs, std::str::from_utf8(&path).unwrap()), Ok(above));
    let deeper = vfs.make(above, b"d", New::Directory, 0o777, &at(5)).unwrap();
    assert_eq!(vfs.path_of(deeper), Err(Errno::NAME_TOO_LONG));
    let longer = vfs
        .make(Node::Tree(0), b"x", New::Directory, 0o777, &at(5))
        .unwrap();
    assert_eq!(vfs.path_of(longer).as_deref(), Ok(b"/x".as_slice()));
    assert_eq!(vfs.path_of(Vfs::root()).as_deref(), Ok(b"/".as_slice()));
}

#[test]
fn devices_do_what_their_names_say() {
    let (mut vfs, mut store) = fresh();
    let mut buffer = [1; 8];
    for (path, bytes, written) in [
        ("/dev/null", Ok(0), Ok(3)),
        ("/dev/zero", Ok(8), Ok(3)),
        ("/dev/full", Ok(8), Err(Errno::NO_SPACE)),
    ] {
        let file = open(&mut vfs, &mut store, path, WRITE).unwrap();
        assert_eq!(vfs.read(file, &mut buffer, &at(5), &mut store), bytes, "{path}");
        assert_eq!(vfs.write(file, b"abc", &at(5), &mut store), written, "{path}");
    }
    assert_eq!(buffer, [0; 8]);
    let null = find(&vfs, "/dev/null").unwrap();
    assert_eq!(vfs.attributes(null, &at(0)).unwrap().permissions, 0o666);
    make(&mut vfs, "/dev/odd", New::Device(0x1234)).unwrap();
    assert_eq!(
        open(&mut vfs, &mut store, "/dev/odd", READ),
        Err(Errno::NO_SUCH_DEVICE)
    );
}

#[test]
fn times_and_modes_follow_what_is_done() {
    let (mut vfs, mut store) = fresh();
    let file = open(&mut vfs, &mut store, "/f", WRITE | OpenFlags::CREATE).unwrap();
    let node = vfs.node_of(file).unwrap();
    let times = |vfs: &Vfs<'_>| {
        let about = vfs.attributes(node, &at(0)).unwrap();
        (about.accessed, about.modified, about.changed)
    };
    assert_eq!(vfs.attributes(node, &at(0)).unwrap().permissions, 0o644);
    vfs.write(file, b"x", &at(10), &mut store).unwrap();
    assert_eq!(times(&vfs), (5, 10, 10));
    vfs.read_at(file, 0, &mut [0], &at(11), &mut store).unwrap();
    vfs.set_permissions(node, 0o4700, &at(12)).unwrap();
    assert_eq!(times(&vfs), (11, 10, 12));
    vfs.set_times(node, None, Some(3), &at(13)).unwrap();
    assert_eq!(times(&vfs), (11, 3, 13));
    assert_eq!(vfs.attributes(Vfs::root(), &at(0)).unwrap().modified, 5);
}

#[test]
fn forked_descriptors_share_their_position_and_exec_closes_what_is_marked() {
    let (mut vfs, mut store) = fresh();
    let mut parent = Descriptors::new();
    let file = open(&mut vfs, &mut store, "/f", WRITE | OpenFlags::CREATE).unwrap();
    parent
        .insert(file, 0, crate::fs::descriptors::OnExec::Keep)
        .unwrap();
    let (read, write) = vfs.make_pipe(OpenFlags::empty()).unwrap();
    parent
        .insert(read, 0, crate::fs::descriptors::OnExec::Close)
        .unwrap();
    parent
        .insert(write, 0, crate::fs::descriptors::OnExec::Keep)
        .unwrap();
    let mut child = parent.fork(&mut vfs);
    vfs.write(file, b"abc", &at(5), &mut store).unwrap();
    let mut pipes = Vec::new();
    child.exec(&mut vfs, &mut store, &mut |pipe| pipes.push(pipe));
    assert_eq!(child.get(1), Err(Errno::BAD_FILE));
    assert!(pipes.is_empty(), "the parent has it still");
    parent.close_all(&mut vfs, &mut store, &mut |pipe| pipes.push(pipe));
    assert_eq!(pipes.len(), 1, "its only reader has gone");
    assert_eq!(vfs.endpoint(write), Ok(Endpoint::Pipe(pipes[0], PipeEnd::Write)));
    let pipe = vfs.pipe(pipes[0]).unwrap();
    assert_eq!(pipe.write(&mut store, b"x"), Err(Errno::BROKEN_PIPE));
    vfs.write(file, b"def", &at(5), &mut store).unwrap();
    assert_eq!(super::super::Vfs::size_of(&vfs, find(&vfs, "/f").unwrap()), 6);
    child.close_all(&mut vfs, &mut store, &mut |_| ());
    assert_eq!((vfs.files.used(), vfs.pipes.used()), (0, 0));
}

#[test]
fn a_pipe_s_frames_come_back_with_its_last_end() {
    let (mut vfs, mut store) = fresh();
    let (read, write) = vfs.make_pipe(OpenFlags::empty()).unwrap();
    let Ok(Endpoint::Pipe(number, PipeEnd::Write)) = vfs.endpoint(write) else {
        panic!("no pipe");
    };
    let pipe = vfs.pipe(number).unwrap();
    assert_eq!(pipe.write(&mut store, &[1; 9000]), Ok(Transfer::Bytes(9000)));
    assert_eq!(vfs.node_of(read), Err(Errno::NOT_DIRECTORY));
    assert_eq!(vfs.close(write, &mut store).pipe, Some(number));
    assert_eq!(store.used(), 3);
    vfs.close(read, &mut store);
    assert_eq!((store.used(), vfs.pipe(number).is_none()), (0, true));
}
