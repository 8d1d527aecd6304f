//! Running a test: a process and a group of its own, a time limit, and memory counted before and after.
use crate::check::{Check, Test, Works};
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use userland::process::{self, Fork, Pid, Status};
use userland::signal::{self, Action};
use userland::{Errno, files, procfs, time};

/// Seconds that a test may take, on a slow emulator.
const LIMIT: u32 = 60;
/// How often is looked whether the last of a test's processes has gone, and the pause between.
const PATIENCE: (usize, Duration) = (200, Duration::from_millis(5));
/// KiB that a test may keep.
const TOLERANCE: i64 = 256;

/// Runs a test; when memory is missing afterwards, once more: the kernel's own tables grow once, and a leak goes on.
pub(crate) fn run(test: &Test) -> Check {
    match once(test)? {
        Kept::Little => Ok(()),
        Kept::Much(_) => match once(test)? {
            Kept::Little => Ok(()),
            Kept::Much(amount) => Err(format!(
                "{amount} KiB of memory are missing afterwards, each time"
            )),
        },
    }
}

/// What is missing of the free memory after a test.
enum Kept {
    Little,
    /// So many KiB.
    Much(i64),
}

fn once(test: &Test) -> Result<Kept, String> {
    let free = free_memory();
    let pid = match process::fork().works("fork")? {
        Fork::Child => become_test(test),
        Fork::Parent(pid) => pid,
    };
    // The child does the same; it may have ended already.
    let _ = process::set_group(pid, pid);
    let status = wait_with_limit(pid);
    end_group(pid);
    match status? {
        Status::Exited(0) => {}
        Status::Exited(1) => return Err("see above".into()),
        status => return Err(format!("its process ended with {status:?}")),
    }
    Ok(compare(free, free_memory()))
}

fn become_test(test: &Test) -> ! {
    // See `run`.
    let _ = process::set_group(0, 0);
    // The limit is the runner's.
    let _ = signal::set(signal::SIGALRM, Action::Default);
    let code = match (test.run)() {
        Ok(()) => 0,
        Err(what) => {
            userland::eprintln!("usertests: {}: {what}", test.name);
            1
        }
    };
    process::exit(code)
}

fn wait_with_limit(pid: Pid) -> Result<Status, String> {
    signal::set(signal::SIGALRM, Action::Note).works("sigaction")?;
    signal::alarm(LIMIT);
    let status = loop {
        match process::wait(pid, 0) {
            Ok(Some((_, status))) => break Ok(status),
            Ok(None) => {}
            Err(Errno::EINTR) if signal::take_noted().has(signal::SIGALRM) => {
                // It may end just now.
                let _ = process::kill(-pid, signal::SIGKILL);
                let _ = process::wait(pid, 0);
                break Err(format!("it took more than {LIMIT} s"));
            }
            Err(Errno::EINTR) => {}
            Err(error) => break Err(format!("wait4: {error}")),
        }
    };
    signal::alarm(0);
    status
}

/// Ends what a test has left behind.
fn end_group(group: Pid) {
    let (times, pause) = PATIENCE;
    for _ in 0..times {
        if process::kill(-group, signal::SIGKILL) == Err(Errno::ESRCH) {
            return;
        }
        // A pause that is cut short does no harm.
        let _ = time::sleep(pause);
    }
}

/// KiB of free memory, where nobody else uses any.
fn free_memory() -> Option<i64> {
    if cfg!(feature = "linux") {
        return None;
    }
    procfs::memory(&files::content(b"/proc/meminfo").ok()?, b"MemFree")
}

fn compare(before: Option<i64>, after: Option<i64>) -> Kept {
    match (before, after) {
        (Some(before), Some(after)) if before - after > TOLERANCE => Kept::Much(before - after),
        _ => Kept::Little,
    }
}
