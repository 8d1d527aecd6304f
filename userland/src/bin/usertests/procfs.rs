//! What `/proc` says.
use crate::check::{Check, Works, child, ends, expect, same, tests};
use alloc::format;
use userland::process::{self, Status};
use userland::{files, procfs, signal};

tests! {
    proc_lists_processes
    proc_tells_of_memory
    proc_tells_of_the_system
    proc_knows_oneself
}

fn proc_lists_processes() -> Check {
    let pid = child(|| {
        loop {
            signal::suspend(signal::Set::EMPTY);
        }
    })?;
    let all = procfs::processes().works("/proc")?;
    let find = |pid: i32| all.iter().find(|process| process.pid == i64::from(pid));
    let me = find(process::id()).ok_or("this process is not there")?;
    same(me.name.as_slice(), b"usertests", "its name")?;
    same(me.state, b'R', "its state")?;
    same(me.parent, i64::from(process::parent()), "its parent")?;
    let other = find(pid).ok_or("the child is not there")?;
    same(other.parent, i64::from(process::id()), "its parent")?;
    expect(find(1).is_some(), "process 1")?;
    process::kill(pid, signal::SIGKILL).works("kill")?;
    ends(pid, Status::Killed(signal::SIGKILL))?;
    let gone = files::stat(format!("/proc/{pid}").as_bytes());
    expect(gone.is_err(), "the child is still there")
}

fn proc_tells_of_memory() -> Check {
    let text = files::content(b"/proc/meminfo").works("meminfo")?;
    let value = |name: &[u8]| procfs::memory(&text, name);
    let total = value(b"MemTotal").ok_or("MemTotal")?;
    let free = value(b"MemFree").ok_or("MemFree")?;
    expect(total > 1000 && (0..=total).contains(&free), "the numbers")
}

fn proc_tells_of_the_system() -> Check {
    let uptime = files::content(b"/proc/uptime").works("uptime")?;
    let shown = uptime
        .split(|byte| *byte == b'.')
        .next()
        .and_then(userland::text::number);
    let clock = userland::time::now(userland::time::Clock::Monotonic).works("the clock")?;
    let shown = shown.ok_or("a number")?;
    expect(
        (shown - clock.as_secs() as i64).abs() <= 2,
        "uptime and the clock",
    )?;
    expect(
        !files::content(b"/proc/version").works("version")?.is_empty(),
        "version",
    )
}

fn proc_knows_oneself() -> Check {
    let own = files::content(b"/proc/self/stat").works("stat")?;
    let process = procfs::parse_stat(&own).ok_or("stat makes no sense")?;
    same(process.pid, process::id().into(), "the number")?;
    let line = procfs::command_line(process::id().into());
    expect(userland::text::find(&line, b"usertests").is_some(), "cmdline")
}
