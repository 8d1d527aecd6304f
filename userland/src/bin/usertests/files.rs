//! Files: reading and writing, holes, sizes, names, links.
use crate::check::{Check, Works, expect, same, scratch, tests};
use crate::raw;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;
use userland::Errno;
use userland::files::{self, File};

tests! {
    a_file_keeps_what_is_written
    a_file_can_have_holes
    a_file_can_be_cut_and_grown
    appending_is_at_the_end
    seeking
    opening_has_rules
    reading_and_writing_at_places
    vectors_of_buffers
    an_unlinked_file_lives_while_it_is_open
    hard_links_are_the_same_file
    symbolic_links_lead_on
    renaming_has_rules
    permissions_begin_with_the_mask
    a_file_of_two_mebibytes
}

fn create(name: &str) -> Result<(Vec<u8>, File), alloc::string::String> {
    let path = scratch(name);
    let file = File::open(&path, linux::O_RDWR | linux::O_CREAT | linux::O_TRUNC).works("open")?;
    Ok((path, file))
}

fn a_file_keeps_what_is_written() -> Check {
    let (path, file) = create("keep")?;
    let content: Vec<u8> = (0..20_000u32).map(|index| (index * 13) as u8).collect();
    for piece in content.chunks(777) {
        same(files::write(file.fd(), piece), Ok(piece.len()), "write")?;
    }
    drop(file);
    same(
        files::content(&path).as_ref() == Ok(&content),
        true,
        "what is read",
    )?;
    let stat = files::stat(&path).works("stat")?;
    same(stat.st_size, 20_000, "the size")?;
    expect(
        files::is_kind(stat.st_mode, linux::S_IFREG) && stat.st_nlink == 1,
        "its kind and links",
    )?;
    let file = File::open(&path, files::CREATE).works("open")?;
    same(
        files::fstat(file.fd()).works("fstat")?.st_size,
        0,
        "the size after O_TRUNC",
    )?;
    files::unlink(&path).works("unlink")
}

fn a_file_can_have_holes() -> Check {
    let (path, file) = create("holes")?;
    files::seek(file.fd(), 100_000, linux::SEEK_SET).works("lseek")?;
    files::write_all(file.fd(), b"end").works("write")?;
    files::seek(file.fd(), 50_000, linux::SEEK_SET).works("lseek")?;
    files::write_all(file.fd(), b"middle").works("write")?;
    let content = files::content(&path).works("content")?;
    same(content.len(), 100_003, "the size")?;
    same(&content[50_000..50_006], b"middle", "the middle")?;
    same(&content[100_000..], b"end", "the end")?;
    let rest = content[..50_000].iter().chain(&content[50_006..100_000]);
    expect(rest.into_iter().all(|byte| *byte == 0), "a hole is not zero")?;
    files::unlink(&path).works("unlink")
}

fn a_file_can_be_cut_and_grown() -> Check {
    let (path, file) = create("cut")?;
    files::write_all(file.fd(), &[b'x'; 10_000]).works("write")?;
    files::truncate(file.fd(), 5_000).works("ftruncate")?;
    files::truncate(file.fd(), 9_000).works("ftruncate")?;
    let content = files::content(&path).works("content")?;
    same(content.len(), 9_000, "the size")?;
    expect(content[..5_000].iter().all(|byte| *byte == b'x'), "what was kept")?;
    expect(
        content[5_000..].iter().all(|byte| *byte == 0),
        "what was cut and grown is zero",
    )?;
    let negative = raw::call(linux::__NR_ftruncate, [file.fd() as usize, usize::MAX]);
    same(negative, Err(Errno::EINVAL), "a negative size")?;
    let reader = File::open(&path, files::READ).works("open")?;
    let refused = files::truncate(reader.fd(), 0);
    expect(
        matches!(refused, Err(Errno::EINVAL | Errno::EBADF)),
        "one that is open for reading",
    )?;
    files::unlink(&path).works("unlink")
}

fn appending_is_at_the_end() -> Check {
    let path = scratch("append");
    let first = File::open(&path, files::APPEND).works("open")?;
    let second = File::open(&path, files::APPEND).works("open")?;
    for (file, text) in [(&first, b"one "), (&second, b"two "), (&first, b"3rd ")] {
        files::seek(file.fd(), 0, linux::SEEK_SET).works("lseek")?;
        files::write_all(file.fd(), text).works("write")?;
    }
    same(
        files::content(&path).works("content")?.as_slice(),
        b"one two 3rd ",
        "the file",
    )?;
    files::unlink(&path).works("unlink")
}

fn seeking() -> Check {
    let (path, file) = create("seek")?;
    files::write_all(file.fd(), b"0123456789").works("write")?;
    let fd = file.fd();
    same(files::seek(fd, -3, linux::SEEK_END), Ok(7), "from the end")?;
    same(files::seek(fd, -2, linux::SEEK_CUR), Ok(5), "from here")?;
    let mut byte = [0];
    files::read(fd, &mut byte).works("read")?;
    same(byte, *b"5", "what is there")?;
    same(
        files::seek(fd, -1, linux::SEEK_SET),
        Err(Errno::EINVAL),
        "before the beginning",
    )?;
    same(files::seek(fd, 0, 99), Err(Errno::EINVAL), "an unknown origin")?;
    same(
        files::seek(fd, 0, linux::SEEK_CUR),
        Ok(6),
        "the place is as it was",
    )?;
    same(files::seek(fd, 1000, linux::SEEK_SET), Ok(1000), "beyond the end")?;
    same(files::read(fd, &mut byte), Ok(0), "nothing is there")?;
    files::unlink(&path).works("unlink")
}

fn opening_has_rules() -> Check {
    let (path, file) = create("open")?;
    drop(file);
    let open = |flags| File::open(&path, flags).map(|_| ());
    same(
        open(linux::O_WRONLY | linux::O_CREAT | linux::O_EXCL),
        Err(Errno::EEXIST),
        "O_EXCL",
    )?;
    same(open(linux::O_DIRECTORY), Err(Errno::ENOTDIR), "O_DIRECTORY")?;
    let of = |path: &[u8], flags| File::open(path, flags).map(|_| ());
    same(
        of(b"/tmp", linux::O_WRONLY),
        Err(Errno::EISDIR),
        "writing to a directory",
    )?;
    same(
        of(b"/tmp", linux::O_RDONLY | linux::O_CREAT),
        Err(Errno::EISDIR),
        "making a directory so",
    )?;
    same(
        of(b"/tmp/no/such", files::CREATE),
        Err(Errno::ENOENT),
        "in no directory",
    )?;
    same(
        of(&files::join(&path, b"x"), files::READ),
        Err(Errno::ENOTDIR),
        "below a file",
    )?;
    same(
        of(&[path.as_slice(), b"/"].concat(), files::READ),
        Err(Errno::ENOTDIR),
        "a file with a slash",
    )?;
    same(of(b"", files::READ), Err(Errno::ENOENT), "an empty name")?;
    let directory = File::open(b"/tmp", linux::O_RDONLY).works("open")?;
    same(
        files::read(directory.fd(), &mut [0; 8]),
        Err(Errno::EISDIR),
        "reading a directory",
    )?;
    let reader = File::open(&path, files::READ).works("open")?;
    same(
        files::write(reader.fd(), b"x"),
        Err(Errno::EBADF),
        "writing to one open for reading",
    )?;
    let writer = File::open(&path, linux::O_WRONLY).works("open")?;
    same(
        files::read(writer.fd(), &mut [0; 8]),
        Err(Errno::EBADF),
        "reading from one open for writing",
    )?;
    files::unlink(&path).works("unlink")
}

fn reading_and_writing_at_places() -> Check {
    let (path, file) = create("places")?;
    let at = |number, buffer: usize, length: usize, place: usize| {
        raw::call(number, [file.fd() as usize, buffer, length, place])
    };
    let text = *b"abcd";
    same(
        at(linux::__NR_pwrite64, raw::address(&text), 4, 10),
        Ok(4),
        "pwrite",
    )?;
    let mut buffer = [9u8; 6];
    same(
        at(linux::__NR_pread64, raw::address_mut(&mut buffer), 6, 9),
        Ok(5),
        "pread",
    )?;
    same(buffer, [0, b'a', b'b', b'c', b'd', 9], "what is there")?;
    same(
        files::seek(file.fd(), 0, linux::SEEK_CUR),
        Ok(0),
        "the place is as it was",
    )?;
    let negative = at(linux::__NR_pread64, raw::address_mut(&mut buffer), 6, usize::MAX);
    same(negative, Err(Errno::EINVAL), "a negative place")?;
    files::unlink(&path).works("unlink")
}

fn vectors_of_buffers() -> Check {
    let (path, file) = create("vectors")?;
    let (one, two) = (*b"one,", *b"two");
    let vector = [[raw::address(&one), 4], [0, 0], [raw::address(&two), 3]];
    let fd = file.fd() as usize;
    same(
        raw::call(linux::__NR_writev, [fd, raw::address(&vector), 3]),
        Ok(7),
        "writev",
    )?;
    same(
        files::content(&path).works("content")?.as_slice(),
        b"one,two",
        "the file",
    )?;
    files::seek(file.fd(), 0, linux::SEEK_SET).works("lseek")?;
    let (mut first, mut second) = ([0u8; 2], [0u8; 9]);
    let vector = [
        [raw::address_mut(&mut first), 2],
        [raw::address_mut(&mut second), 9],
    ];
    same(
        raw::call(linux::__NR_readv, [fd, raw::address(&vector), 2]),
        Ok(7),
        "readv",
    )?;
    same(
        (&first, &second[..5]),
        (b"on", b"e,two".as_slice()),
        "the buffers",
    )?;
    let too_many = raw::call(linux::__NR_writev, [fd, raw::address(&vector), 1025]);
    same(too_many, Err(Errno::EINVAL), "too many")?;
    files::unlink(&path).works("unlink")
}

fn an_unlinked_file_lives_while_it_is_open() -> Check {
    let (path, file) = create("unlinked")?;
    files::write_all(file.fd(), b"still here").works("write")?;
    files::unlink(&path).works("unlink")?;
    same(files::stat(&path).map(|_| ()), Err(Errno::ENOENT), "its name")?;
    same(files::fstat(file.fd()).works("fstat")?.st_nlink, 0, "its links")?;
    files::seek(file.fd(), 0, linux::SEEK_SET).works("lseek")?;
    same(
        files::read_to_end(file.fd()).works("read")?.as_slice(),
        b"still here",
        "its content",
    )?;
    let (again, other) = create("unlinked")?;
    same(
        files::fstat(other.fd()).works("fstat")?.st_size,
        0,
        "another of that name",
    )?;
    files::unlink(&again).works("unlink")?;
    same(files::unlink(&again), Err(Errno::ENOENT), "again")?;
    let refused = files::unlink(b"/tmp");
    expect(
        matches!(refused, Err(Errno::EISDIR | Errno::EPERM)),
        "a directory",
    )
}

fn hard_links_are_the_same_file() -> Check {
    let (path, file) = create("linked")?;
    let other = scratch("other-name");
    files::link(&path, &other).works("link")?;
    files::write_all(file.fd(), b"both").works("write")?;
    same(
        files::content(&other).works("content")?.as_slice(),
        b"both",
        "by the other name",
    )?;
    let (one, two) = (
        files::stat(&path).works("stat")?,
        files::stat(&other).works("stat")?,
    );
    same((one.st_ino, one.st_nlink), (two.st_ino, 2), "number and links")?;
    same(
        files::link(&path, &other),
        Err(Errno::EEXIST),
        "a name that is taken",
    )?;
    same(
        files::link(b"/tmp", &scratch("directory")),
        Err(Errno::EPERM),
        "a directory",
    )?;
    files::unlink(&path).works("unlink")?;
    same(
        files::content(&other).works("content")?.as_slice(),
        b"both",
        "one name is gone",
    )?;
    same(files::stat(&other).works("stat")?.st_nlink, 1, "links")?;
    files::unlink(&other).works("unlink")
}

fn symbolic_links_lead_on() -> Check {
    let (path, file) = create("target")?;
    files::write_all(file.fd(), b"content").works("write")?;
    let link = scratch("symbolic");
    files::symlink(&path, &link).works("symlink")?;
    same(files::read_link(&link).as_ref(), Ok(&path), "what it says")?;
    same(
        files::content(&link).works("content")?.as_slice(),
        b"content",
        "what it leads to",
    )?;
    let (stat, link_stat) = (
        files::stat(&link).works("stat")?,
        files::lstat(&link).works("lstat")?,
    );
    expect(files::is_kind(stat.st_mode, linux::S_IFREG), "stat follows")?;
    expect(
        files::is_kind(link_stat.st_mode, linux::S_IFLNK),
        "lstat does not",
    )?;
    same(link_stat.st_size as usize, path.len(), "its size")?;
    same(files::read_link(&path), Err(Errno::EINVAL), "a file that is none")?;
    let no_follow = File::open(&link, linux::O_RDONLY | linux::O_NOFOLLOW).map(|_| ());
    same(no_follow, Err(Errno::ELOOP), "O_NOFOLLOW")?;
    files::unlink(&path).works("unlink")?;
    same(
        files::stat(&link).map(|_| ()),
        Err(Errno::ENOENT),
        "one that leads nowhere",
    )?;
    drop(File::open(&link, files::CREATE).works("open")?);
    same(files::stat(&path).map(|_| ()), Ok(()), "making what it leads to")?;
    files::unlink(&path).works("unlink")?;
    files::unlink(&link).works("unlink")?;
    let (one, two) = (scratch("circle"), scratch("circle2"));
    files::symlink(&one, &two).works("symlink")?;
    files::symlink(&two, &one).works("symlink")?;
    same(files::stat(&one).map(|_| ()), Err(Errno::ELOOP), "a circle")?;
    files::unlink(&one).works("unlink")?;
    files::unlink(&two).works("unlink")
}

fn renaming_has_rules() -> Check {
    let base = scratch("rename");
    files::make_directory(&base, 0o755).works("mkdir")?;
    let at = |name: &[u8]| files::join(&base, name);
    let put = |name: &[u8]| File::open(&at(name), files::CREATE).map(|_| ());
    put(b"a").works("open")?;
    put(b"b").works("open")?;
    let inode = files::stat(&at(b"a")).works("stat")?.st_ino;
    files::rename(&at(b"a"), &at(b"b")).works("rename")?;
    same(files::stat(&at(b"b")).works("stat")?.st_ino, inode, "it replaces")?;
    same(
        files::stat(&at(b"a")).map(|_| ()),
        Err(Errno::ENOENT),
        "the old name",
    )?;
    same(
        files::rename(&at(b"none"), &at(b"c")),
        Err(Errno::ENOENT),
        "what is not there",
    )?;
    same(files::rename(&at(b"b"), &at(b"b")), Ok(()), "onto itself")?;
    for name in [b"d1".as_slice(), b"d2", b"d1/inner"] {
        files::make_directory(&at(name), 0o755).works("mkdir")?;
    }
    same(
        files::rename(&at(b"d1"), &at(b"d1/inner/x")),
        Err(Errno::EINVAL),
        "a directory into itself",
    )?;
    same(
        files::rename(&at(b"b"), &at(b"d2")),
        Err(Errno::EISDIR),
        "a file onto a directory",
    )?;
    same(
        files::rename(&at(b"d2"), &at(b"b")),
        Err(Errno::ENOTDIR),
        "a directory onto a file",
    )?;
    let full = files::rename(&at(b"d2"), &at(b"d1"));
    expect(
        matches!(full, Err(Errno::ENOTEMPTY | Errno::EEXIST)),
        "onto a directory that is not empty",
    )?;
    same(
        files::rename(&at(b"d1"), &at(b"d2")),
        Ok(()),
        "onto an empty directory",
    )?;
    expect(files::is_directory(&at(b"d2/inner")), "what is in it moves too")?;
    for name in [b"d2/inner".as_slice(), b"d2"] {
        files::remove_directory(&at(name)).works("rmdir")?;
    }
    files::unlink(&at(b"b")).works("unlink")?;
    files::remove_directory(&base).works("rmdir")
}

fn permissions_begin_with_the_mask() -> Check {
    let path = scratch("mode");
    let before = userland::process::set_mask(0o027);
    let file = File::from_fd(files::open(&path, files::CREATE, 0o666).works("open")?);
    let mode = files::fstat(file.fd()).works("fstat")?.st_mode & 0o7777;
    same(userland::process::set_mask(before), 0o027, "the mask")?;
    same(mode, 0o640, "the mode")?;
    files::change_mode(&path, 0o751).works("chmod")?;
    same(files::stat(&path).works("stat")?.st_mode & 0o7777, 0o751, "chmod")?;
    same(files::access(&path, 0), Ok(()), "access")?;
    same(
        files::access(b"/no/such", 0),
        Err(Errno::ENOENT),
        "access to nothing",
    )?;
    files::unlink(&path).works("unlink")
}

fn a_file_of_two_mebibytes() -> Check {
    let (path, file) = create("large")?;
    let piece: Vec<u8> = (0..65_536u32).map(|index| (index >> 3) as u8).collect();
    for _ in 0..32 {
        files::write_all(file.fd(), &piece).works("write")?;
    }
    files::seek(file.fd(), 0, linux::SEEK_SET).works("lseek")?;
    let mut buffer = alloc::vec![0; piece.len()];
    for _ in 0..32 {
        same(files::read(file.fd(), &mut buffer), Ok(piece.len()), "read")?;
        expect(buffer == piece, "a byte is wrong")?;
    }
    same(files::read(file.fd(), &mut buffer), Ok(0), "the end")?;
    files::unlink(&path).works("unlink")
}
