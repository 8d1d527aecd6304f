//! Processes: fork, wait, exit, orphans, groups and sessions.
use crate::check::{Check, Works, checked_child, child, ends, ends_well, expect, same, tests};
use crate::raw;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use linux_raw_sys::general::{WCONTINUED, WNOHANG, WUNTRACED};
use userland::process::{self, Status};
use userland::{Errno, files, signal};

tests! {
    fork_copies_memory
    fork_copies_much_memory
    fork_shares_offsets
    exit_codes_arrive
    wait_without_children
    wait_does_not_wait_when_told_so
    wait_chooses_children
    wait_tells_of_stop_and_continue
    orphans_get_another_parent
    a_zombie_stays_until_it_is_waited_for
    many_children
    children_of_children
    process_groups
    sessions
    numbers_of_processes
    fork_bomb_is_bounded
}

static WORD: AtomicU64 = AtomicU64::new(1);

fn fork_copies_memory() -> Check {
    let mut local = 1;
    let (reader, writer) = files::pipe(0).works("pipe")?;
    let pid = checked_child(|| {
        let mut byte = [0];
        files::read(reader.fd(), &mut byte).works("read")?;
        same(WORD.load(Ordering::Relaxed), 1, "the parent's write")?;
        WORD.store(3, Ordering::Relaxed);
        Ok(())
    })?;
    WORD.store(2, Ordering::Relaxed);
    local += 1;
    files::write_all(writer.fd(), b"x").works("write")?;
    ends_well(pid)?;
    same(WORD.load(Ordering::Relaxed), 2, "the child's write")?;
    same(local, 2, "the stack")
}

fn fork_copies_much_memory() -> Check {
    const LENGTH: usize = 1 << 20;
    let mut content: Vec<u8> = (0..LENGTH).map(|index| index as u8).collect();
    let pids: Result<Vec<_>, _> = (1..=3u8)
        .map(|number| {
            checked_child(|| {
                let mut mine = content.clone();
                for (byte, index) in content.iter_mut().zip(0usize..) {
                    *byte = byte.wrapping_add(number);
                    expect(
                        *byte == (index as u8).wrapping_add(number),
                        "a byte is not the child's own",
                    )?;
                }
                mine.clear();
                Ok(())
            })
        })
        .collect();
    for pid in pids? {
        ends_well(pid)?;
    }
    expect(
        (0..LENGTH).all(|index| content[index] == index as u8),
        "a child's write is seen",
    )
}

fn fork_shares_offsets() -> Check {
    let path = crate::check::scratch("offset");
    let file = files::File::open(&path, files::CREATE).works("open")?;
    let pid = child(|| i32::from(files::write_all(file.fd(), b"child").is_err()))?;
    ends_well(pid)?;
    files::write_all(file.fd(), b"parent").works("write")?;
    let content = files::content(&path).works("content")?;
    files::unlink(&path).works("unlink")?;
    same(content.as_slice(), b"childparent", "the file")
}

fn exit_codes_arrive() -> Check {
    for code in [0, 1, 42, 255] {
        let pid = child(|| code)?;
        ends(pid, Status::Exited(code as u8))?;
    }
    // Eight bits of it count.
    let pid = child(|| 0x1_07)?;
    ends(pid, Status::Exited(7))?;
    let pid = child(|| {
        let _ = raw::call(linux_raw_sys::general::__NR_exit, [9]);
        1
    })?;
    ends(pid, Status::Exited(9))
}

fn wait_without_children() -> Check {
    same(process::wait(-1, 0), Err(Errno::ECHILD), "wait for any")?;
    same(process::wait(1, 0), Err(Errno::ECHILD), "wait for another's")?;
    same(process::wait(-1, WNOHANG), Err(Errno::ECHILD), "not waiting")
}

fn wait_does_not_wait_when_told_so() -> Check {
    let (reader, writer) = files::pipe(0).works("pipe")?;
    let pid = child(|| {
        let _ = files::read(reader.fd(), &mut [0]);
        5
    })?;
    same(process::wait(pid, WNOHANG), Ok(None), "a child that runs")?;
    files::write_all(writer.fd(), b"x").works("write")?;
    ends(pid, Status::Exited(5))?;
    same(
        process::wait(pid, WNOHANG),
        Err(Errno::ECHILD),
        "one that was waited for",
    )
}

fn wait_chooses_children() -> Check {
    let first = child(|| 1)?;
    let second = child(|| 2)?;
    ends(second, Status::Exited(2))?;
    ends(first, Status::Exited(1))?;
    let third = child(|| {
        let _ = process::set_group(0, 0);
        3
    })?;
    // It may have done so itself.
    let _ = process::set_group(third, third);
    let found = process::wait(-third, 0).works("wait for a group")?;
    same(found, Some((third, Status::Exited(3))), "the group's end")?;
    let fourth = child(|| 4)?;
    let found = process::wait(0, 0).works("wait for our group")?;
    same(found, Some((fourth, Status::Exited(4))), "our group's end")
}

fn wait_tells_of_stop_and_continue() -> Check {
    let pid = child(|| {
        loop {
            signal::suspend(signal::Set::EMPTY);
        }
    })?;
    process::kill(pid, signal::SIGSTOP).works("stop")?;
    let stopped = process::wait(pid, WUNTRACED).works("wait")?;
    same(stopped, Some((pid, Status::Stopped(signal::SIGSTOP))), "the stop")?;
    same(
        process::wait(pid, WUNTRACED | WNOHANG),
        Ok(None),
        "it is told of once",
    )?;
    process::kill(pid, signal::SIGCONT).works("continue")?;
    let continued = process::wait(pid, WCONTINUED).works("wait")?;
    same(continued, Some((pid, Status::Continued)), "the continuation")?;
    process::kill(pid, signal::SIGKILL).works("kill")?;
    ends(pid, Status::Killed(signal::SIGKILL))
}

fn orphans_get_another_parent() -> Check {
    let (reader, writer) = files::pipe(0).works("pipe")?;
    let (middle_ends, middle) = files::pipe(0).works("pipe")?;
    let pid = child(|| {
        let parent = process::id();
        let orphan = child(|| {
            let _ = files::close(middle.fd());
            // The other end is closed when its parent and ours have let go of it.
            let _ = files::read(middle_ends.fd(), &mut [0]);
            let mut looks = 0;
            while process::parent() == parent && looks < 1000 {
                looks += 1;
                process::give_way();
            }
            let verdict = if process::parent() == parent { b"n" } else { b"y" };
            i32::from(files::write_all(writer.fd(), verdict).is_err())
        });
        i32::from(orphan.is_err())
    })?;
    ends_well(pid)?;
    drop((middle, writer));
    let mut verdict = [0];
    same(files::read(reader.fd(), &mut verdict), Ok(1), "the orphan's word")?;
    same(verdict, *b"y", "the orphan has another parent")?;
    same(process::wait(-1, 0), Err(Errno::ECHILD), "it is not ours")
}

fn a_zombie_stays_until_it_is_waited_for() -> Check {
    let (reader, writer) = files::pipe(0).works("pipe")?;
    let pid = child(|| 6)?;
    drop(writer);
    // The end of the pipe comes when the child has closed it: it has ended, or nearly.
    same(files::read(reader.fd(), &mut [0]), Ok(0), "the end of the pipe")?;
    same(process::kill(pid, 0), Ok(()), "it can be asked for")?;
    ends(pid, Status::Exited(6))?;
    same(process::kill(pid, 0), Err(Errno::ESRCH), "it is gone")
}

fn many_children() -> Check {
    const CHILDREN: i32 = 30;
    let mut pids: Vec<_> = (0..CHILDREN)
        .map(|code| child(|| code))
        .collect::<Result<_, _>>()?;
    let mut codes = 0;
    while let Ok(Some((pid, Status::Exited(code)))) = process::wait(-1, 0) {
        expect(pids.contains(&pid), "a child that is none")?;
        pids.retain(|known| *known != pid);
        codes += i32::from(code);
    }
    expect(pids.is_empty(), "a child is missing")?;
    same(codes, CHILDREN * (CHILDREN - 1) / 2, "the codes' sum")
}

fn children_of_children() -> Check {
    fn generation(depth: i32) -> i32 {
        if depth == 0 {
            return 0;
        }
        match child(|| generation(depth - 1)).and_then(|pid| process::wait_for(pid).works("wait")) {
            Ok(Status::Exited(code)) => i32::from(code) + 1,
            _ => 200,
        }
    }
    let pid = child(|| generation(12))?;
    ends(pid, Status::Exited(12))
}

fn process_groups() -> Check {
    same(process::group(), process::id(), "the runner gave us a group")?;
    let pid = child(|| {
        loop {
            signal::suspend(signal::Set::EMPTY);
        }
    })?;
    same(
        process::group_of(pid),
        Ok(process::id()),
        "a child's group is its parent's",
    )?;
    same(process::set_group(pid, 0), Ok(()), "a group of its own")?;
    same(process::group_of(pid), Ok(pid), "its number is the leader's")?;
    same(
        process::set_group(pid, 0x7fff_0000),
        Err(Errno::EPERM),
        "a group that is not there",
    )?;
    same(process::set_group(1, 0), Err(Errno::ESRCH), "no child of ours")?;
    same(
        process::set_group(pid, -1),
        Err(Errno::EINVAL),
        "a negative group",
    )?;
    same(
        process::group_of(0x7fff_0000),
        Err(Errno::ESRCH),
        "no such process",
    )?;
    same(
        process::kill(-pid, signal::SIGKILL),
        Ok(()),
        "a signal to the group",
    )?;
    ends(pid, Status::Killed(signal::SIGKILL))?;
    same(process::kill(-pid, 0), Err(Errno::ESRCH), "the group is gone")
}

fn sessions() -> Check {
    same(process::new_session(), Err(Errno::EPERM), "a group's leader")?;
    let pid = checked_child(|| {
        same(process::new_session(), Ok(process::id()), "setsid")?;
        same(process::group(), process::id(), "its group")?;
        let session = raw::call(linux_raw_sys::general::__NR_getsid, [0]);
        same(session, Ok(process::id() as usize), "its session")?;
        same(process::new_session(), Err(Errno::EPERM), "again")?;
        same(
            process::set_group(0, 0),
            Err(Errno::EPERM),
            "a session's leader keeps its group",
        )
    })?;
    ends_well(pid)
}

fn numbers_of_processes() -> Check {
    let me = process::id();
    let pid = checked_child(|| {
        same(process::parent(), me, "the parent")?;
        expect(process::id() != me, "the number")
    })?;
    expect(pid > 0 && pid != me, "the child's number")?;
    let thread = raw::call(linux_raw_sys::general::__NR_gettid, []);
    same(thread, Ok(me as usize), "the thread's number")?;
    ends_well(pid)
}

/// Processes are made until it does not work, or there are 200; all end, and one more can be made.
fn fork_bomb_is_bounded() -> Check {
    const MOST: usize = 200;
    let (reader, writer) = files::pipe(0).works("pipe")?;
    let mut made = 0;
    while made < MOST {
        match process::fork() {
            Ok(process::Fork::Child) => {
                drop(writer);
                let _ = files::read(reader.fd(), &mut [0]);
                process::exit(0)
            }
            Ok(process::Fork::Parent(_)) => made += 1,
            Err(Errno::EAGAIN | Errno::ENOMEM) => break,
            Err(error) => return Err(alloc::format!("fork: {error:?}")),
        }
    }
    drop(writer);
    expect(made > 10, "there are too few processes")?;
    for _ in 0..made {
        let ended = process::wait(-1, 0).works("wait")?;
        expect(matches!(ended, Some((_, Status::Exited(0)))), "a child's end")?;
    }
    let pid = child(|| 0)?;
    ends_well(pid)
}
