//! Descriptors: copies of them, their flags, how many there may be.
use crate::check::{Check, Works, child, ends_well, expect, same, scratch, tests};
use crate::raw;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;
use userland::Errno;
use userland::files::{self, File};

tests! {
    copies_share_their_place
    dup2_replaces
    the_lowest_free_number_is_taken
    close_on_exec_belongs_to_the_number
    status_flags
    there_is_a_limit
    null_and_zero
    closed_is_closed
}

fn copies_share_their_place() -> Check {
    let path = scratch("share");
    let file = File::open(&path, files::CREATE).works("open")?;
    let copy = File::from_fd(files::duplicate_above(file.fd(), 0).works("dup")?);
    files::write_all(file.fd(), b"ab").works("write")?;
    files::write_all(copy.fd(), b"cd").works("write")?;
    same(files::seek(file.fd(), 0, linux::SEEK_CUR), Ok(4), "the place")?;
    let other = File::open(&path, files::READ).works("open")?;
    same(
        files::seek(other.fd(), 0, linux::SEEK_CUR),
        Ok(0),
        "another opening has its own",
    )?;
    same(
        files::content(&path).works("content")?.as_slice(),
        b"abcd",
        "the file",
    )?;
    files::unlink(&path).works("unlink")
}

fn dup2_replaces() -> Check {
    let (reader, writer) = files::pipe(0).works("pipe")?;
    let null = File::open(b"/dev/null", linux::O_RDWR).works("open")?;
    files::duplicate_to(writer.fd(), null.fd()).works("dup2")?;
    files::write_all(null.fd(), b"x").works("write")?;
    same(files::read(reader.fd(), &mut [0; 4]), Ok(1), "what came through")?;
    same(files::duplicate_to(null.fd(), null.fd()), Ok(()), "onto itself")?;
    same(
        files::duplicate_to(777, null.fd()),
        Err(Errno::EBADF),
        "of what is not open",
    )?;
    same(
        files::duplicate_to(777, 777),
        Err(Errno::EBADF),
        "of what is not open onto itself",
    )?;
    same(
        files::duplicate_to(null.fd(), -1),
        Err(Errno::EBADF),
        "to a negative number",
    )?;
    same(
        files::duplicate_to(null.fd(), 1 << 30),
        Err(Errno::EBADF),
        "to a huge number",
    )?;
    let same_number = raw::call(linux::__NR_dup3, [3, 3, 0]);
    same(same_number, Err(Errno::EINVAL), "dup3 onto itself")
}

fn the_lowest_free_number_is_taken() -> Check {
    let open = || files::open(b"/dev/null", linux::O_RDONLY, 0);
    let (first, second, third) = (
        open().works("open")?,
        open().works("open")?,
        open().works("open")?,
    );
    expect(second == first + 1 && third == second + 1, "one after another")?;
    files::close(second).works("close")?;
    same(open(), Ok(second), "the one that was closed")?;
    same(files::control(first, linux::F_DUPFD, 100), Ok(100), "from 100 on")?;
    same(files::control(first, linux::F_DUPFD, 100), Ok(101), "the next")?;
    same(
        files::control(first, linux::F_DUPFD, usize::MAX),
        Err(Errno::EINVAL),
        "from a negative number on",
    )?;
    for fd in [first, second, third, 100, 101] {
        files::close(fd).works("close")?;
    }
    Ok(())
}

fn close_on_exec_belongs_to_the_number() -> Check {
    let flags = |fd| files::control(fd, linux::F_GETFD, 0);
    let file = File::open(b"/dev/null", linux::O_RDONLY).works("open")?;
    same(flags(file.fd()), Ok(1), "O_CLOEXEC")?;
    let plain = files::control(file.fd(), linux::F_DUPFD, 0).works("dup")?;
    same(flags(plain), Ok(0), "a copy")?;
    let closing = files::duplicate_above(plain, 0).works("dup")?;
    same(flags(closing), Ok(1), "F_DUPFD_CLOEXEC")?;
    same(files::control(plain, linux::F_SETFD, 1), Ok(0), "F_SETFD")?;
    same(flags(plain), Ok(1), "F_SETFD")?;
    files::duplicate_to(file.fd(), plain).works("dup2")?;
    same(flags(plain), Ok(0), "dup2")?;
    files::close(plain).works("close")?;
    files::close(closing).works("close")
}

fn status_flags() -> Check {
    let path = scratch("flags");
    let file = File::open(&path, files::APPEND).works("open")?;
    let flags = files::control(file.fd(), linux::F_GETFL, 0).works("F_GETFL")? as u32;
    expect(
        flags & linux::O_ACCMODE == linux::O_WRONLY && flags & linux::O_APPEND != 0,
        "F_GETFL",
    )?;
    files::control(file.fd(), linux::F_SETFL, 0).works("F_SETFL")?;
    let flags = files::control(file.fd(), linux::F_GETFL, 0).works("F_GETFL")? as u32;
    expect(
        flags & linux::O_ACCMODE == linux::O_WRONLY && flags & linux::O_APPEND == 0,
        "F_SETFL",
    )?;
    same(
        files::control(file.fd(), 0x7777, 0),
        Err(Errno::EINVAL),
        "an unknown command",
    )?;
    files::unlink(&path).works("unlink")
}

fn there_is_a_limit() -> Check {
    let pid = child(|| {
        let mut open = Vec::new();
        let refused = loop {
            match files::open(b"/dev/null", linux::O_RDONLY, 0) {
                Ok(fd) => open.push(fd),
                Err(error) => break error,
            }
            if open.len() > 2_000_000 {
                return 3;
            }
        };
        let closed = open.iter().all(|fd| files::close(*fd).is_ok());
        let again = files::open(b"/dev/null", linux::O_RDONLY, 0).is_ok();
        i32::from(!(matches!(refused, Errno::EMFILE | Errno::ENFILE) && closed && again && open.len() >= 16))
    })?;
    ends_well(pid)
}

fn null_and_zero() -> Check {
    let null = File::open(b"/dev/null", linux::O_RDWR).works("open null")?;
    same(files::write(null.fd(), b"gone"), Ok(4), "writing to null")?;
    same(files::read(null.fd(), &mut [1; 4]), Ok(0), "reading from null")?;
    let zero = File::open(b"/dev/zero", linux::O_RDONLY).works("open zero")?;
    let mut buffer = [1; 100];
    same(files::read(zero.fd(), &mut buffer), Ok(100), "reading from zero")?;
    same(buffer, [0; 100], "what comes")
}

fn closed_is_closed() -> Check {
    let fd = files::open(b"/dev/null", linux::O_RDWR, 0).works("open")?;
    files::close(fd).works("close")?;
    same(files::close(fd), Err(Errno::EBADF), "close")?;
    same(files::read(fd, &mut [0]), Err(Errno::EBADF), "read")?;
    same(files::write(fd, b"x"), Err(Errno::EBADF), "write")?;
    same(files::fstat(fd).map(|_| ()), Err(Errno::EBADF), "fstat")?;
    same(files::control(fd, linux::F_GETFD, 0), Err(Errno::EBADF), "fcntl")
}
