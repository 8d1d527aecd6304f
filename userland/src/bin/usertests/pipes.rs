//! Pipes: bytes, ends, waiting, many at once.
use crate::check::{Check, Works, checked_child, child, ends, ends_well, expect, same, tests};
use alloc::vec::Vec;
use linux_raw_sys::general::{F_SETFL, O_CLOEXEC, O_NONBLOCK, POLLHUP, POLLIN, POLLNVAL, POLLOUT, S_IFIFO};
use userland::files::{self, File};
use userland::process::{self, PollFd, Status};
use userland::signal::{self, Action};
use userland::{Errno, time};

tests! {
    pipe_carries_bytes_in_order
    pipe_ends_when_its_writers_have
    pipe_without_readers
    pipe_makes_a_reader_wait
    pipe_makes_a_writer_wait
    pipe_writes_are_whole
    pipe_with_many_writers_and_readers
    pipe_that_does_not_wait
    pipe_polls
    poll_times_out
    select_times_out
    pipe_knows_what_it_is
}

fn pipe() -> Result<(File, File), alloc::string::String> {
    files::pipe(O_CLOEXEC).works("pipe")
}

fn pipe_carries_bytes_in_order() -> Check {
    const LENGTH: usize = 300_000;
    let (reader, writer) = pipe()?;
    let byte = |index: usize| (index * 7 + index / 256) as u8;
    let pid = child(|| {
        let all: Vec<u8> = (0..LENGTH).map(byte).collect();
        let pieces = [1, 10, 511, 4096, 5000, 70_000];
        let mut rest = all.as_slice();
        for length in pieces.iter().cycle() {
            let (piece, after) = rest.split_at(rest.len().min(*length));
            if files::write_all(writer.fd(), piece).is_err() {
                return 1;
            }
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        0
    })?;
    drop(writer);
    let content = files::read_to_end(reader.fd()).works("read")?;
    same(content.len(), LENGTH, "the length")?;
    expect(
        content
            .iter()
            .enumerate()
            .all(|(index, found)| *found == byte(index)),
        "a byte is wrong",
    )?;
    ends_well(pid)
}

fn pipe_ends_when_its_writers_have() -> Check {
    let (reader, writer) = pipe()?;
    let again = files::duplicate_above(writer.fd(), 0).works("dup")?;
    files::write_all(writer.fd(), b"x").works("write")?;
    drop(writer);
    files::write_all(again, b"y").works("write")?;
    files::close(again).works("close")?;
    let mut buffer = [0; 8];
    same(files::read(reader.fd(), &mut buffer), Ok(2), "what is left")?;
    same(files::read(reader.fd(), &mut buffer), Ok(0), "the end")?;
    same(files::read(reader.fd(), &mut buffer), Ok(0), "the end again")
}

fn pipe_without_readers() -> Check {
    let (reader, writer) = pipe()?;
    drop(reader);
    let pid = child(|| i32::from(files::write(writer.fd(), b"x").is_ok()))?;
    ends(pid, Status::Killed(signal::SIGPIPE))?;
    signal::set(signal::SIGPIPE, Action::Ignore).works("sigaction")?;
    same(files::write(writer.fd(), b"x"), Err(Errno::EPIPE), "ignored")?;
    signal::set(signal::SIGPIPE, Action::Note).works("sigaction")?;
    same(files::write(writer.fd(), b"x"), Err(Errno::EPIPE), "handled")?;
    expect(signal::take_noted().has(signal::SIGPIPE), "the signal")
}

fn pipe_makes_a_reader_wait() -> Check {
    let (reader, writer) = pipe()?;
    let (answers, answer) = pipe()?;
    let pid = child(|| {
        let mut buffer = [0; 8];
        let count = files::read(reader.fd(), &mut buffer).unwrap_or(9);
        i32::from(files::write_all(answer.fd(), &buffer[..count]).is_err())
    })?;
    // Whatever the order in which the two get the processor, the reader answers what was written.
    for _ in 0..20 {
        process::give_way();
    }
    same(
        userland::process::can_read(answers.fd()),
        false,
        "nothing was read yet",
    )?;
    files::write_all(writer.fd(), b"late").works("write")?;
    let mut buffer = [0; 8];
    same(files::read(answers.fd(), &mut buffer), Ok(4), "the answer")?;
    same(&buffer[..4], b"late", "the answer")?;
    ends_well(pid)
}

fn pipe_makes_a_writer_wait() -> Check {
    const LENGTH: usize = 1 << 20;
    let (reader, writer) = pipe()?;
    let pid = child(|| {
        let all = alloc::vec![b'w'; LENGTH];
        // One call, which waits until all is taken.
        if files::write(writer.fd(), &all) == Ok(LENGTH) {
            0
        } else {
            1
        }
    })?;
    drop(writer);
    let content = files::read_to_end(reader.fd()).works("read")?;
    same(content.len(), LENGTH, "the length")?;
    expect(content.iter().all(|byte| *byte == b'w'), "the bytes")?;
    ends_well(pid)
}

/// Writes of up to 4096 bytes are not mixed with others.
fn pipe_writes_are_whole() -> Check {
    const WRITERS: u8 = 4;
    const ROUNDS: usize = 20;
    const PIECE: usize = 1000;
    let (reader, writer) = pipe()?;
    let mut pids = Vec::new();
    for letter in 0..WRITERS {
        pids.push(child(|| {
            let piece = [b'a' + letter; PIECE];
            let written = (0..ROUNDS).all(|_| files::write(writer.fd(), &piece) == Ok(PIECE));
            i32::from(!written)
        })?);
    }
    drop(writer);
    let content = files::read_to_end(reader.fd()).works("read")?;
    same(content.len(), usize::from(WRITERS) * ROUNDS * PIECE, "the length")?;
    let is_whole = |piece: &[u8]| piece.iter().all(|byte| *byte == piece[0]);
    expect(
        content.chunks(PIECE).all(is_whole),
        "a piece is mixed with another",
    )?;
    pids.into_iter().try_for_each(ends_well)
}

fn pipe_with_many_writers_and_readers() -> Check {
    const EACH: usize = 2000;
    let (reader, writer) = pipe()?;
    let (results, result) = pipe()?;
    let mut pids = Vec::new();
    for _ in 0..5 {
        pids.push(child(|| {
            let _ = files::close(reader.fd());
            let written = (0..EACH / 50).all(|_| files::write_all(writer.fd(), &[1; 50]).is_ok());
            i32::from(!written)
        })?);
    }
    for _ in 0..3 {
        pids.push(child(|| {
            let _ = files::close(writer.fd());
            let count = files::read_to_end(reader.fd()).map_or(0, |content| content.len() as u64);
            i32::from(files::write_all(result.fd(), &count.to_ne_bytes()).is_err())
        })?);
    }
    drop((reader, writer, result));
    pids.into_iter().try_for_each(ends_well)?;
    let counts = files::read_to_end(results.fd()).works("read")?;
    let counts = counts
        .chunks_exact(8)
        .filter_map(|chunk| chunk.try_into().ok().map(u64::from_ne_bytes));
    same(counts.sum::<u64>(), 5 * EACH as u64, "the sum of what was read")
}

fn pipe_that_does_not_wait() -> Check {
    let (reader, writer) = files::pipe(O_NONBLOCK | O_CLOEXEC).works("pipe")?;
    let mut buffer = alloc::vec![0; 4096];
    same(
        files::read(reader.fd(), &mut buffer),
        Err(Errno::EAGAIN),
        "an empty pipe",
    )?;
    let mut taken = 0;
    let refused = loop {
        match files::write(writer.fd(), &buffer) {
            Ok(count) => taken += count,
            Err(error) => break error,
        }
        expect(taken <= 1 << 24, "the pipe has no end")?;
    };
    same(refused, Errno::EAGAIN, "a full pipe")?;
    expect(taken >= 4096, "a pipe takes 4096 bytes at least")?;
    files::control(reader.fd(), F_SETFL, 0).works("fcntl")?;
    same(files::read(reader.fd(), &mut buffer), Ok(4096), "what is in it")
}

fn poll(fd: i32, events: u32) -> (userland::files::Result<usize>, u32) {
    let mut wanted = [PollFd {
        fd,
        events: events as i16,
        revents: 0,
    }];
    let result = process::poll(&mut wanted, 0);
    (result, u32::from(wanted[0].revents as u16))
}

fn pipe_polls() -> Check {
    let (reader, writer) = pipe()?;
    same(poll(reader.fd(), POLLIN), (Ok(0), 0), "an empty pipe")?;
    same(poll(writer.fd(), POLLOUT), (Ok(1), POLLOUT), "room in it")?;
    files::write_all(writer.fd(), b"x").works("write")?;
    same(poll(reader.fd(), POLLIN), (Ok(1), POLLIN), "a byte in it")?;
    same(poll(-1, POLLIN), (Ok(0), 0), "a negative descriptor")?;
    same(poll(777, POLLIN), (Ok(1), POLLNVAL), "one that is not open")?;
    files::read(reader.fd(), &mut [0]).works("read")?;
    let pid = child(|| {
        let mut wanted = [PollFd {
            fd: reader.fd(),
            events: POLLIN as i16,
            revents: 0,
        }];
        i32::from(process::poll(&mut wanted, -1) != Ok(1))
    })?;
    process::give_way();
    files::write_all(writer.fd(), b"x").works("write")?;
    ends_well(pid)?;
    files::read(reader.fd(), &mut [0]).works("read")?;
    drop(writer);
    same(poll(reader.fd(), POLLIN), (Ok(1), POLLHUP), "no writers")
}

fn poll_times_out() -> Check {
    let (reader, _writer) = pipe()?;
    let before = time::now(time::Clock::Monotonic).works("the clock")?;
    let mut wanted = [PollFd {
        fd: reader.fd(),
        events: POLLIN as i16,
        revents: 0,
    }];
    same(process::poll(&mut wanted, 30), Ok(0), "poll")?;
    let passed = time::now(time::Clock::Monotonic)
        .works("the clock")?
        .saturating_sub(before);
    expect(passed.as_millis() >= 30, "it came back too early")?;
    same(process::poll(&mut [], 10), Ok(0), "no descriptors")
}

fn select_times_out() -> Check {
    let (reader, writer) = pipe()?;
    let select = |set: &mut [u64; 16], milliseconds: i64| {
        let mut time = linux_raw_sys::general::timeval {
            tv_sec: 0,
            tv_usec: milliseconds * 1000,
        };
        let set = crate::raw::address_mut(set);
        crate::raw::call(
            linux_raw_sys::general::__NR_select,
            [1024, set, 0, 0, crate::raw::address_mut(&mut time)],
        )
    };
    let mut set = [0u64; 16];
    let fd = reader.fd() as usize;
    set[fd / 64] = 1 << (fd % 64);
    same(select(&mut set, 20), Ok(0), "nothing to read")?;
    same(set, [0; 16], "the set then")?;
    files::write_all(writer.fd(), b"x").works("write")?;
    set[fd / 64] = 1 << (fd % 64);
    same(select(&mut set, 900), Ok(1), "something to read")?;
    same(set[fd / 64], 1 << (fd % 64), "the set then")
}

fn pipe_knows_what_it_is() -> Check {
    let (reader, writer) = pipe()?;
    let stat = files::fstat(reader.fd()).works("fstat")?;
    expect(files::is_kind(stat.st_mode, S_IFIFO), "its kind")?;
    same(files::seek(reader.fd(), 0, 0), Err(Errno::ESPIPE), "seeking")?;
    same(
        files::write(reader.fd(), b"x"),
        Err(Errno::EBADF),
        "writing to the end for reading",
    )?;
    same(
        files::read(writer.fd(), &mut [0]),
        Err(Errno::EBADF),
        "reading from the end for writing",
    )?;
    let pid = checked_child(|| same(files::write(writer.fd(), b""), Ok(0), "writing nothing"))?;
    ends_well(pid)
}
