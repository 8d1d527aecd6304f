//! Which system calls there are: one table, from which both the dispatcher and the README's list are made.
use super::{
    Arguments, Stop, attributes, io, memory, open, poll, process, signal, system, terminal, time, tree, user,
};
use crate::errno::Errno;
use crate::kernel::{Kernel, Machine};
use crate::proc::Process;
use syscalls::Sysno;

/// How much of a call there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// All that Linux's manual says, as far as it applies here.
    Full,
    /// What the note says.
    Part,
    /// It is known and refused, with the error that the note names; programs do without it.
    Refused,
}

/// What is known of a call.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Its number.
    pub number: Sysno,
    /// How much of it there is.
    pub status: Status,
    /// What there is, or is not.
    pub note: &'static str,
}

macro_rules! calls {
    ($($name:ident $status:ident $note:literal $function:expr;)*) => {
        /// Every call that is known, in groups.
        pub const CALLS: &[Call] = &[$(
            Call { number: Sysno::$name, status: Status::$status, note: $note },
        )*];

        /// Makes the call `number`; nothing if there is none.
        pub(super) fn call<'a, M: Machine>(
            kernel: &mut Kernel<'a, M>,
            process: &mut Process<'a>,
            number: Sysno,
            arguments: Arguments,
        ) -> Option<Result<u64, Stop>> {
            match number {
                $(Sysno::$name => Some($function(kernel, process, arguments)),)*
                _ => None,
            }
        }
    };
}

calls! {
    // Processes.
    fork Full "copy-on-write" process::fork;
    vfork Part "a copy of the memory, not the memory itself; the parent waits" process::vfork;
    clone3 Refused "ENOSYS: C libraries use clone" refused;
    clone Part "as fork or vfork: a process with SIGCHLD; no threads" process::clone;
    execve Full "static ELF64, position-independent or not, and `#!` scripts" process::execve;
    exit Full "" process::exit;
    exit_group Full "" process::exit;
    wait4 Full "of the usage there is the time" process::wait4;
    waitid Part "no P_PIDFD" process::waitid;
    getpid Full "" process::getpid;
    gettid Full "" process::getpid;
    getppid Full "" process::getppid;
    getpgid Full "" process::getpgid;
    getpgrp Full "" process::getpgrp;
    setpgid Full "" process::setpgid;
    getsid Full "" process::getsid;
    setsid Full "" process::setsid;
    sched_yield Full "" process::sched_yield;

    // Signals.
    rt_sigaction Full "" signal::rt_sigaction;
    rt_sigprocmask Full "" signal::rt_sigprocmask;
    rt_sigpending Full "" signal::rt_sigpending;
    rt_sigsuspend Full "" signal::rt_sigsuspend;
    rt_sigreturn Full "" signal::rt_sigreturn;
    sigaltstack Part "no SS_AUTODISARM" signal::sigaltstack;
    pause Full "" signal::pause;
    kill Full "" signal::kill;
    tkill Full "" signal::tkill;
    tgkill Full "" signal::tgkill;

    // Time.
    nanosleep Full "" time::nanosleep;
    clock_nanosleep Part "CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME" time::clock_nanosleep;
    clock_gettime Full "" time::clock_gettime;
    clock_getres Full "" time::clock_getres;
    gettimeofday Full "" time::gettimeofday;
    time Full "" time::time;
    alarm Full "" time::alarm;
    setitimer Part "ITIMER_REAL" time::setitimer;
    getitimer Part "ITIMER_REAL" time::getitimer;
    times Part "all time is the program's" time::times;
    getrusage Part "the time, all of it the program's" time::getrusage;

    // Who one is: root, and nobody else.
    getuid Full "" user::root;
    geteuid Full "" user::root;
    getgid Full "" user::root;
    getegid Full "" user::root;
    getresuid Full "" user::three_roots;
    getresgid Full "" user::three_roots;
    getgroups Part "there are none" user::root;
    setuid Part "0" user::become_root;
    setgid Part "0" user::become_root;
    setreuid Part "0" user::become_root;
    setregid Part "0" user::become_root;
    setresuid Part "0" user::become_root;
    setresgid Part "0" user::become_root;
    setgroups Part "there are none" user::root;

    // Memory.
    brk Full "" memory::brk;
    mmap Part "private; a file is copied when it is mapped; hint, MAP_FIXED, MAP_FIXED_NOREPLACE" memory::mmap;
    munmap Full "" memory::munmap;
    mprotect Full "" memory::mprotect;
    mremap Refused "ENOSYS: C libraries copy" refused;

    // Open files.
    open Full "no O_TMPFILE" open::open;
    openat Full "no O_TMPFILE" open::openat;
    creat Full "" open::creat;
    close Full "" open::close;
    close_range Full "" open::close_range;
    read Full "" io::read;
    write Full "" io::write;
    readv Full "" io::readv;
    writev Full "" io::writev;
    pread64 Full "" io::pread64;
    pwrite64 Full "" io::pwrite64;
    sendfile Part "from a regular file, one page at a time" io::sendfile;
    copy_file_range Refused "ENOSYS" refused;
    splice Refused "ENOSYS" refused;
    lseek Full "" io::lseek;
    dup Full "" open::dup;
    dup2 Full "" open::dup2;
    dup3 Full "" open::dup3;
    pipe Full "" open::pipe;
    pipe2 Full "" open::pipe2;
    fcntl Part "F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETPIPE_SZ; locks are granted" open::fcntl;
    flock Part "granted" open::flock;
    ioctl Part "the terminal's settings, window and groups; FIONREAD, FIONBIO, FIOCLEX, FIONCLEX" terminal::ioctl;
    poll Full "" poll::poll;
    ppoll Full "" poll::ppoll;
    select Part "the time-out is not changed" poll::select;
    pselect6 Full "" poll::pselect6;

    // Names.
    mkdir Full "" tree::mkdir;
    mkdirat Full "" tree::mkdirat;
    rmdir Full "" tree::rmdir;
    unlink Full "" tree::unlink;
    unlinkat Full "" tree::unlinkat;
    rename Full "" tree::rename;
    renameat Full "" tree::renameat;
    renameat2 Part "RENAME_NOREPLACE" tree::renameat2;
    link Full "" tree::link;
    linkat Part "AT_SYMLINK_FOLLOW" tree::linkat;
    symlink Full "" tree::symlink;
    symlinkat Full "" tree::symlinkat;
    readlink Full "" tree::readlink;
    readlinkat Full "" tree::readlinkat;
    mknod Part "regular files and character devices" tree::mknod;
    mknodat Part "regular files and character devices" tree::mknodat;
    getdents64 Full "" tree::getdents64;
    chdir Full "" open::chdir;
    fchdir Full "" open::fchdir;
    getcwd Full "" open::getcwd;
    umask Full "" open::umask;

    // What is known of files.
    stat Full "" attributes::stat;
    lstat Full "" attributes::lstat;
    fstat Full "" attributes::fstat;
    newfstatat Full "" attributes::newfstatat;
    statx Full "" attributes::statx;
    access Full "there is one user" attributes::access;
    faccessat Full "there is one user" attributes::faccessat;
    faccessat2 Full "there is one user" attributes::faccessat2;
    chmod Full "" attributes::chmod;
    fchmod Full "" attributes::fchmod;
    fchmodat Full "" attributes::fchmodat;
    chown Full "kept; there is one user" attributes::chown;
    lchown Full "kept; there is one user" attributes::lchown;
    fchown Full "kept; there is one user" attributes::fchown;
    fchownat Full "kept; there is one user" attributes::fchownat;
    utimensat Full "" attributes::utimensat;
    truncate Full "" attributes::truncate;
    ftruncate Full "" attributes::ftruncate;
    fsync Full "there is no disk" attributes::fsync;
    fdatasync Full "there is no disk" attributes::fsync;
    sync Full "there is no disk" attributes::sync;
    statfs Full "" attributes::statfs;
    fstatfs Full "" attributes::fstatfs;

    // The thread and the system.
    arch_prctl Part "the bases of FS and GS" system::arch_prctl;
    set_tid_address Part "returns the number; nothing is written at the end" process::getpid;
    set_robust_list Refused "ENOSYS" refused;
    rseq Refused "ENOSYS" refused;
    prctl Part "PR_SET_NAME, PR_GET_NAME" system::prctl;
    prlimit64 Part "tells the limits; they cannot be changed" system::prlimit64;
    getrlimit Full "" system::getrlimit;
    sched_getaffinity Full "" system::sched_getaffinity;
    getrandom Part "no more random than the time" system::getrandom;
    sysinfo Full "" system::sysinfo;
    uname Full "" system::uname;
}

/// A call that programs do without, and that is not worth a message.
fn refused<M>(_: &mut Kernel<'_, M>, _: &mut Process<'_>, _: Arguments) -> Result<u64, Stop> {
    Err(Errno::NO_SYSTEM_CALL.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    const BEGIN: &str = "<!-- system calls: made from src/syscall/table.rs -->\n";
    const END: &str = "<!-- end of system calls -->\n";

    /// The README's list of calls, by number.
    fn list() -> String {
        let mut calls: Vec<&Call> = CALLS.iter().collect();
        calls.sort_by_key(|call| call.number.id());
        let mut list = String::from("| number | call | | |\n|---|---|---|---|\n");
        for call in calls {
            let status = match call.status {
                Status::Full => "yes",
                Status::Part => "partly",
                Status::Refused => "refused",
            };
            let (number, name) = (call.number.id(), call.number.name());
            writeln!(list, "| {number} | {name} | {status} | {} |", call.note).unwrap();
        }
        list
    }

    /// `UPDATE_README=1` writes the list instead of comparing it.
    #[test]
    fn the_readme_lists_what_the_table_has() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        let readme = std::fs::read_to_string(path).unwrap();
        let (before, rest) = readme.split_once(BEGIN).expect("the list's beginning");
        let (_, after) = rest.split_once(END).expect("the list's end");
        let wanted = [before, BEGIN, &list(), END, after].concat();
        if std::env::var_os("UPDATE_README").is_some() {
            std::fs::write(path, wanted).unwrap();
        } else {
            assert!(
                readme == wanted,
                "the README's list is stale: run this test with UPDATE_README=1"
            );
        }
    }

    #[test]
    fn no_call_is_in_the_table_twice() {
        let mut numbers: Vec<i32> = CALLS.iter().map(|call| call.number.id()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), CALLS.len());
    }
}
