//! Directories: what is in them, paths through them, the current one.
use crate::check::{Check, Works, checked_child, ends_well, expect, same, scratch, tests};
use crate::raw;
use alloc::format;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;
use userland::files::{self, File};
use userland::{Errno, directory, process};

tests! {
    directories_are_made_and_removed
    directories_are_listed_by_small_buffers
    long_names
    paths_with_dots_and_slashes
    the_current_directory
    a_removed_directory
    directories_too_deep_for_a_path
    links_that_lead_through_themselves
    a_directory_with_many_names
    names_relative_to_a_directory
}

fn make(name: &str) -> Result<Vec<u8>, alloc::string::String> {
    let path = scratch(name);
    files::make_directory(&path, 0o755).works("mkdir")?;
    Ok(path)
}

fn directories_are_made_and_removed() -> Check {
    let path = make("directory")?;
    let stat = files::stat(&path).works("stat")?;
    expect(files::is_kind(stat.st_mode, linux::S_IFDIR), "its kind")?;
    same(files::make_directory(&path, 0o755), Err(Errno::EEXIST), "again")?;
    let inner = files::join(&path, b"inner");
    files::make_directory(&inner, 0o755).works("mkdir")?;
    let refused = files::remove_directory(&path);
    expect(
        matches!(refused, Err(Errno::ENOTEMPTY | Errno::EEXIST)),
        "one that is not empty",
    )?;
    same(
        files::remove_directory(&files::join(&path, b"none")),
        Err(Errno::ENOENT),
        "none",
    )?;
    same(
        files::remove_directory(&files::join(&inner, b".")),
        Err(Errno::EINVAL),
        "a dot",
    )?;
    let file = files::join(&path, b"file");
    drop(File::open(&file, files::CREATE).works("open")?);
    same(files::remove_directory(&file), Err(Errno::ENOTDIR), "a file")?;
    same(
        files::make_directory(&files::join(&file, b"x"), 0o755),
        Err(Errno::ENOTDIR),
        "below a file",
    )?;
    files::unlink(&file).works("unlink")?;
    files::remove_directory(&inner).works("rmdir")?;
    files::remove_directory(&path).works("rmdir")
}

fn directories_are_listed_by_small_buffers() -> Check {
    const COUNT: usize = 60;
    let path = make("listed")?;
    let name = |index: usize| format!("file-with-number-{index:03}").into_bytes();
    for index in 0..COUNT {
        drop(File::open(&files::join(&path, &name(index)), files::CREATE).works("open")?);
    }
    for size in [64, 100, 300, 32_768] {
        let listed = File::open(&path, linux::O_RDONLY | linux::O_DIRECTORY).works("open")?;
        let mut found: Vec<Vec<u8>> = Vec::new();
        let mut buffer = alloc::vec![0; size];
        loop {
            match directory::read_some(&listed, &mut buffer).works("getdents64")? {
                0 => break,
                count => found.extend(directory::parse(&buffer[..count]).map(|entry| entry.name)),
            }
        }
        found.sort();
        let mut expected: Vec<Vec<u8>> = (0..COUNT).map(name).collect();
        expected.extend([b".".to_vec(), b"..".to_vec()]);
        expected.sort();
        expect(found == expected, "the names")?;
        same(directory::read_some(&listed, &mut buffer), Ok(0), "the end again")?;
    }
    let listed = File::open(&path, linux::O_RDONLY).works("open")?;
    same(
        directory::read_some(&listed, &mut [0; 8]),
        Err(Errno::EINVAL),
        "a buffer too small for one",
    )?;
    for index in 0..COUNT {
        files::unlink(&files::join(&path, &name(index))).works("unlink")?;
    }
    files::remove_directory(&path).works("rmdir")
}

fn long_names() -> Check {
    let base = make("long")?;
    let longest = files::join(&base, &[b'n'; 255]);
    drop(File::open(&longest, files::CREATE).works("a name of 255 bytes")?);
    same(files::stat(&longest).map(|_| ()), Ok(()), "it is there")?;
    let longer = files::join(&base, &[b'n'; 256]);
    same(
        File::open(&longer, files::CREATE).map(|_| ()),
        Err(Errno::ENAMETOOLONG),
        "one of 256",
    )?;
    let deep = b"./".repeat(2040);
    same(files::stat(&deep).map(|_| ()), Ok(()), "a path of 4080 bytes")?;
    let deeper = b"./".repeat(2100);
    same(
        files::stat(&deeper).map(|_| ()),
        Err(Errno::ENAMETOOLONG),
        "one of 4200",
    )?;
    files::unlink(&longest).works("unlink")?;
    files::remove_directory(&base).works("rmdir")
}

fn paths_with_dots_and_slashes() -> Check {
    let root = files::stat(b"/").works("stat")?.st_ino;
    for path in [
        b"/..".as_slice(),
        b"/../..",
        b"//",
        b"/.",
        b"/tmp/..",
        b"/tmp/../tmp/./..",
    ] {
        same(files::stat(path).works("stat")?.st_ino, root, "the root")?;
    }
    let base = make("dots")?;
    let inner = [base.as_slice(), b"//inner/"].concat();
    files::make_directory(&inner, 0o755).works("mkdir")?;
    let up = [base.as_slice(), b"/inner/../inner/.."].concat();
    same(
        files::stat(&up).works("stat")?.st_ino,
        files::stat(&base).works("stat")?.st_ino,
        "up again",
    )?;
    files::remove_directory(&inner).works("rmdir")?;
    files::remove_directory(&base).works("rmdir")
}

fn the_current_directory() -> Check {
    let base = make("current")?;
    let pid = checked_child(|| {
        files::change_directory(&base).works("chdir")?;
        same(files::current_directory().as_ref(), Ok(&base), "getcwd")?;
        drop(File::open(b"here", files::CREATE).works("open")?);
        same(
            files::stat(&files::join(&base, b"here")).map(|_| ()),
            Ok(()),
            "a relative name",
        )?;
        files::unlink(b"./here").works("unlink")?;
        same(
            files::change_directory(b"none"),
            Err(Errno::ENOENT),
            "chdir to nothing",
        )?;
        same(
            files::change_directory(b"/dev/null"),
            Err(Errno::ENOTDIR),
            "chdir to a file",
        )?;
        files::change_directory(b"..").works("chdir")?;
        same(
            files::current_directory().as_deref(),
            Ok(b"/tmp".as_slice()),
            "getcwd",
        )?;
        let mut small = [0u8; 3];
        let refused = raw::call(linux::__NR_getcwd, [raw::address_mut(&mut small), 3]);
        same(refused, Err(Errno::ERANGE), "a small buffer")
    })?;
    ends_well(pid)?;
    files::remove_directory(&base).works("rmdir")
}

fn a_removed_directory() -> Check {
    let base = make("removed")?;
    let pid = checked_child(|| {
        files::change_directory(&base).works("chdir")?;
        files::remove_directory(&base).works("rmdir")?;
        same(
            File::open(b"new", files::CREATE).map(|_| ()),
            Err(Errno::ENOENT),
            "a file in it",
        )?;
        same(
            files::make_directory(b"new", 0o755),
            Err(Errno::ENOENT),
            "a directory in it",
        )?;
        same(files::change_directory(b"/"), Ok(()), "out of it")
    })?;
    ends_well(pid)
}

fn names_relative_to_a_directory() -> Check {
    let base = make("relative")?;
    let directory = File::open(&base, linux::O_RDONLY | linux::O_DIRECTORY).works("open")?;
    let at = directory.fd() as usize;
    let name = c"name".as_ptr() as usize;
    let flags = (linux::O_WRONLY | linux::O_CREAT) as usize;
    let opened = raw::call(linux::__NR_openat, [at, name, flags, 0o644]).works("openat")?;
    files::close(opened as i32).works("close")?;
    same(
        files::stat(&files::join(&base, b"name")).map(|_| ()),
        Ok(()),
        "it is there",
    )?;
    let of_file = raw::call(linux::__NR_openat, [0x7777, name, flags, 0o644]);
    same(of_file, Err(Errno::EBADF), "relative to nothing")?;
    same(raw::call(linux::__NR_unlinkat, [at, name, 0]), Ok(0), "unlinkat")?;
    files::remove_directory(&base).works("rmdir")
}

fn directories_too_deep_for_a_path() -> Check {
    const DEPTH: usize = 45;
    let base = make("deep")?;
    let name = [b'd'; 100];
    let pid = checked_child(|| {
        files::change_directory(&base).works("chdir")?;
        for _ in 0..DEPTH {
            files::make_directory(&name, 0o755).works("mkdir")?;
            files::change_directory(&name).works("chdir")?;
        }
        let buffer = process::map_anonymous(8192).works("mmap")? as usize;
        same(
            raw::call(linux::__NR_getcwd, [buffer, 8192]),
            Err(Errno::ENAMETOOLONG),
            "getcwd",
        )?;
        for _ in 0..DEPTH {
            files::change_directory(b"..").works("chdir")?;
            files::remove_directory(&name).works("rmdir")?;
        }
        same(files::current_directory().as_ref(), Ok(&base), "getcwd")
    })?;
    ends_well(pid)?;
    files::remove_directory(&base).works("rmdir")
}

fn links_that_lead_through_themselves() -> Check {
    let base = make("loop")?;
    let link = files::join(&base, b"link");
    let target = [link.as_slice(), &b"/x".repeat(1500)].concat();
    files::symlink(&target, &link).works("symlink")?;
    let found = files::stat(&link).map(|_| ());
    // Linux counts the links alone; POSIX has both.
    expect(
        matches!(found, Err(Errno::ELOOP | Errno::ENAMETOOLONG)),
        "no file is there",
    )?;
    files::unlink(&link).works("unlink")?;
    files::remove_directory(&base).works("rmdir")
}

fn a_directory_with_many_names() -> Check {
    const COUNT: usize = 2000;
    let base = make("many")?;
    let name = |index: usize| files::join(&base, format!("{index:04}").as_bytes());
    drop(File::open(&name(0), files::CREATE).works("open")?);
    for index in 1..COUNT {
        files::link(&name(0), &name(index)).works("link")?;
    }
    let names = directory::names(&base).works("getdents64")?;
    same(names.len(), COUNT, "how many names are listed")?;
    for (index, listed) in names.iter().enumerate() {
        same(listed.as_slice(), files::base_name(&name(index)), "a name")?;
    }
    for index in 0..COUNT {
        files::unlink(&name(index)).works("unlink")?;
    }
    files::remove_directory(&base).works("rmdir")
}
