//! Arguments that no good program passes: bad pointers and descriptors to every call, huge sizes, calls that do not exist.
use crate::check::{Check, Works, expect, same, tests};
use crate::raw;
use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;
use userland::files::{self, File};
use userland::{Errno, process, signal};

tests! {
    bad_pointers_to_files
    bad_pointers_to_processes_and_signals
    bad_pointers_to_clocks
    bad_descriptors
    huge_sizes
    buffers_that_end_in_nothing
    names_that_end_in_nothing
    calls_that_do_not_exist
    random_calls_do_no_harm
    the_kernel_s_own_memory_runs_out
}

fn all_fail(what: &str, call: impl Fn(usize) -> files::Result<usize>) -> Check {
    for bad in raw::BAD {
        same(call(bad), Err(Errno::EFAULT), &format!("{what} with {bad:#x}"))?;
    }
    Ok(())
}

/// A descriptor with something to read.
fn zero() -> Result<File, String> {
    File::open(b"/dev/zero", linux::O_RDWR).works("open")
}

fn bad_pointers_to_files() -> Check {
    let zero = zero()?;
    let (reader, writer) = files::pipe(0).works("pipe")?;
    files::write_all(writer.fd(), b"something").works("write")?;
    let directory = File::open(b"/", linux::O_RDONLY).works("open")?;
    let (pipe_in, pipe_out, dir) = (
        reader.fd() as usize,
        writer.fd() as usize,
        directory.fd() as usize,
    );
    let name = c"/tmp".as_ptr() as usize;
    all_fail("read", |bad| raw::call(linux::__NR_read, [pipe_in, bad, 8]))?;
    all_fail("write", |bad| raw::call(linux::__NR_write, [pipe_out, bad, 8]))?;
    all_fail("readv", |bad| {
        raw::call(linux::__NR_readv, [zero.fd() as usize, bad, 1])
    })?;
    all_fail("writev", |bad| raw::call(linux::__NR_writev, [pipe_out, bad, 1]))?;
    for (what, number) in [
        ("open", linux::__NR_open),
        ("access", linux::__NR_access),
        ("mkdir", linux::__NR_mkdir),
        ("rmdir", linux::__NR_rmdir),
        ("unlink", linux::__NR_unlink),
        ("chdir", linux::__NR_chdir),
        ("chmod", linux::__NR_chmod),
    ] {
        all_fail(what, |bad| raw::call(number, [bad, 0, 0]))?;
    }
    for (what, number) in [
        ("rename", linux::__NR_rename),
        ("link", linux::__NR_link),
        ("symlink", linux::__NR_symlink),
    ] {
        all_fail(what, |bad| raw::call(number, [bad, name]))?;
        all_fail(what, |bad| raw::call(number, [name, bad]))?;
    }
    all_fail("stat", |bad| raw::call(linux::__NR_stat, [name, bad]))?;
    all_fail("stat", |bad| raw::call(linux::__NR_stat, [bad, 0]))?;
    all_fail("fstat", |bad| raw::call(linux::__NR_fstat, [dir, bad]))?;
    all_fail("getdents64", |bad| {
        raw::call(linux::__NR_getdents64, [dir, bad, 4096])
    })?;
    all_fail("getcwd", |bad| raw::call(linux::__NR_getcwd, [bad, 4096]))?;
    all_fail("pipe2", |bad| raw::call(linux::__NR_pipe2, [bad, 0]))?;
    all_fail("poll", |bad| raw::call(linux::__NR_poll, [bad, 1, 0]))?;
    let mut buffer = [0; 16];
    same(
        files::read(reader.fd(), &mut buffer),
        Ok(9),
        "what was there is there",
    )
}

fn bad_pointers_to_processes_and_signals() -> Check {
    let pid = crate::check::child(|| 0)?;
    all_fail("wait4", |bad| {
        // A child is lost to the first that has looked at it; the others find none.
        match raw::call(linux::__NR_wait4, [usize::MAX, bad, 0, 0]) {
            Err(Errno::ECHILD) => Err(Errno::EFAULT),
            result => result,
        }
    })?;
    // It may have stayed.
    let _ = process::wait(pid, 0);
    all_fail("rt_sigaction", |bad| {
        raw::call(linux::__NR_rt_sigaction, [10, bad, 0, 8])
    })?;
    all_fail("rt_sigaction", |bad| {
        raw::call(linux::__NR_rt_sigaction, [10, 0, bad, 8])
    })?;
    all_fail("rt_sigprocmask", |bad| {
        raw::call(linux::__NR_rt_sigprocmask, [0, bad, 0, 8])
    })?;
    all_fail("rt_sigprocmask", |bad| {
        raw::call(linux::__NR_rt_sigprocmask, [0, 0, bad, 8])
    })?;
    all_fail("rt_sigpending", |bad| {
        raw::call(linux::__NR_rt_sigpending, [bad, 8])
    })?;
    all_fail("rt_sigsuspend", |bad| {
        raw::call(linux::__NR_rt_sigsuspend, [bad, 8])
    })?;
    all_fail("sigaltstack", |bad| raw::call(linux::__NR_sigaltstack, [bad, 0]))?;
    all_fail("sigaltstack", |bad| raw::call(linux::__NR_sigaltstack, [0, bad]))?;
    all_fail("uname", |bad| raw::call(linux::__NR_uname, [bad]))?;
    all_fail("sysinfo", |bad| raw::call(linux::__NR_sysinfo, [bad]))?;
    all_fail("getrusage", |bad| raw::call(linux::__NR_getrusage, [0, bad]))
}

fn bad_pointers_to_clocks() -> Check {
    all_fail("nanosleep", |bad| raw::call(linux::__NR_nanosleep, [bad, 0]))?;
    all_fail("clock_gettime", |bad| {
        raw::call(linux::__NR_clock_gettime, [1, bad])
    })?;
    all_fail("gettimeofday", |bad| {
        raw::call(linux::__NR_gettimeofday, [bad, 0])
    })?;
    all_fail("setitimer", |bad| raw::call(linux::__NR_setitimer, [0, bad, 0]))
}

fn bad_descriptors() -> Check {
    let mut buffer = [0u8; 256];
    let buffer = raw::address_mut(&mut buffer);
    for bad in [777, usize::MAX, 1 << 31, 1 << 20] {
        for (what, number) in [
            ("read", linux::__NR_read),
            ("write", linux::__NR_write),
            ("close", linux::__NR_close),
            ("fstat", linux::__NR_fstat),
            ("lseek", linux::__NR_lseek),
            ("getdents64", linux::__NR_getdents64),
            ("dup", linux::__NR_dup),
            ("fcntl", linux::__NR_fcntl),
            ("ftruncate", linux::__NR_ftruncate),
            ("ioctl", linux::__NR_ioctl),
            ("fsync", linux::__NR_fsync),
            ("fchdir", linux::__NR_fchdir),
        ] {
            let second = if what == "fcntl" {
                1
            } else if what == "ioctl" {
                0x5401
            } else {
                buffer
            };
            let third = if what == "lseek" { 0 } else { 256 };
            let second = if matches!(what, "lseek" | "ftruncate") {
                0
            } else {
                second
            };
            same(raw::call(number, [bad, second, third]), Err(Errno::EBADF), what)?;
        }
    }
    Ok(())
}

fn huge_sizes() -> Check {
    let zero = zero()?;
    // What is taken of it must not make us wait.
    let (_reader, writer) = files::pipe(linux::O_NONBLOCK).works("pipe")?;
    let page = raw::page().works("mmap")?;
    for size in [usize::MAX, 1 << 63, 1 << 48] {
        let read = raw::call(linux::__NR_read, [zero.fd() as usize, page, size]);
        let is_good = match read {
            Ok(count) => count <= 1 << 31,
            Err(error) => error == Errno::EFAULT || error == Errno::EINVAL,
        };
        expect(is_good, "read")?;
        let vector = [[page, size], [page, size]];
        let written = raw::call(
            linux::__NR_writev,
            [writer.fd() as usize, raw::address(&vector), 2],
        );
        let is_good = match written {
            Ok(count) => count <= 1 << 31,
            Err(error) => matches!(error, Errno::EINVAL | Errno::EFAULT | Errno::EAGAIN),
        };
        expect(is_good, "writev")?;
    }
    let many = raw::call(linux::__NR_poll, [page, u32::MAX as usize, 0]);
    expect(matches!(many, Err(Errno::EINVAL | Errno::EFAULT)), "poll")
}

/// The last page before nothing: its address.
fn edge() -> Result<usize, String> {
    let start = process::map_anonymous(8192).works("mmap")? as usize;
    raw::call(linux::__NR_munmap, [start + 4096, 4096]).works("munmap")?;
    Ok(start)
}

fn buffers_that_end_in_nothing() -> Check {
    let end = edge()? + 4096;
    let path = crate::check::scratch("edge");
    let file = File::open(&path, linux::O_RDWR | linux::O_CREAT).works("open")?;
    for (place, value) in (end - 4..end).zip(*b"edge") {
        raw::poke(place, value);
    }
    same(
        raw::call(linux::__NR_write, [file.fd() as usize, end - 4, 4]),
        Ok(4),
        "to the edge",
    )?;
    let beyond = raw::call(linux::__NR_write, [file.fd() as usize, end - 4, 8]);
    expect(matches!(beyond, Ok(4) | Err(Errno::EFAULT)), "beyond it")?;
    files::seek(file.fd(), 0, linux::SEEK_SET).works("lseek")?;
    let beyond = raw::call(linux::__NR_read, [file.fd() as usize, end - 2, 4]);
    expect(matches!(beyond, Ok(2) | Err(Errno::EFAULT)), "reading beyond it")?;
    same(
        raw::call(linux::__NR_fstat, [file.fd() as usize, end - 100]),
        Err(Errno::EFAULT),
        "a structure",
    )?;
    files::unlink(&path).works("unlink")
}

fn names_that_end_in_nothing() -> Check {
    let end = edge()? + 4096;
    for (place, value) in (end - 5..end).zip(*b"/tmp\0") {
        raw::poke(place, value);
    }
    same(
        raw::call(linux::__NR_access, [end - 5, 0]),
        Ok(0),
        "a name to the edge",
    )?;
    raw::poke(end - 1, b'/');
    same(
        raw::call(linux::__NR_access, [end - 5, 0]),
        Err(Errno::EFAULT),
        "a name beyond it",
    )?;
    let endless = process::map_anonymous(16 * 4096).works("mmap")? as usize;
    (endless..endless + 16 * 4096).for_each(|place| raw::poke(place, b'n'));
    let result = raw::call(linux::__NR_access, [endless, 0]);
    same(result, Err(Errno::ENAMETOOLONG), "a name without an end")
}

fn calls_that_do_not_exist() -> Check {
    for number in [999, 5000, 0x7fff_ffff, u32::MAX] {
        same(raw::call(number, [0; 6]), Err(Errno::ENOSYS), "an unknown number")?;
    }
    Ok(())
}

/// Calls with nonsense, chosen by a fixed rule; those that would stop or end this process are left out.
fn random_calls_do_no_harm() -> Check {
    let numbers = [
        linux::__NR_read,
        linux::__NR_write,
        linux::__NR_open,
        linux::__NR_close,
        linux::__NR_stat,
        linux::__NR_fstat,
        linux::__NR_lseek,
        linux::__NR_readv,
        linux::__NR_writev,
        linux::__NR_access,
        linux::__NR_dup,
        linux::__NR_fcntl,
        linux::__NR_getcwd,
        linux::__NR_getdents64,
        linux::__NR_rt_sigprocmask,
        linux::__NR_uname,
        linux::__NR_readlink,
        linux::__NR_getrusage,
        linux::__NR_sysinfo,
        linux::__NR_clock_gettime,
        linux::__NR_getpgid,
        linux::__NR_openat,
        linux::__NR_pread64,
    ];
    // What they happen to make is made in a directory that is gone: there it cannot be.
    let nowhere = crate::check::scratch("random");
    files::make_directory(&nowhere, 0o755).works("mkdir")?;
    let pid = crate::check::checked_child(|| {
        files::change_directory(&nowhere).works("chdir")?;
        files::remove_directory(&nowhere).works("rmdir")?;
        let buffer = process::map_anonymous(4096).works("mmap")? as usize;
        let values = [
            0,
            1,
            2,
            100,
            777,
            4095,
            4096,
            buffer,
            buffer + 4090,
            buffer + 4096,
            raw::KERNEL,
            raw::NON_CANONICAL,
            usize::MAX,
            1 << 31,
            1 << 63,
        ];
        let mut state = 12345u64;
        let mut next = |limit: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % limit
        };
        // Nothing may be read from standard input, and nothing may be printed.
        for fd in 0..3 {
            let _ = files::close(fd);
        }
        for _ in 0..3000 {
            let number = numbers[next(numbers.len())];
            let arguments: [usize; 6] = core::array::from_fn(|_| values[next(values.len())]);
            let _ = raw::call(number, arguments);
        }
        Ok(())
    })?;
    crate::check::ends_well(pid)
}

/// More children than this are not needed to find out.
const CHILDREN: usize = 130;

/// Makes the kernel keep as much about this process as it does of one: mappings that are not alike, descriptors.
fn weigh_heavily() -> Check {
    for index in 0..240 {
        let start = process::map_anonymous(8192).works("mmap")? as usize;
        let protection = [linux::PROT_NONE, linux::PROT_READ][index % 2] as usize;
        raw::call(linux::__NR_mprotect, [start, 4096, protection]).works("mprotect")?;
    }
    raw::call(linux::__NR_dup2, [0, 255]).map(|_| ()).works("dup2")
}

/// What calls are made with when there is no more memory to be had.
struct Ready {
    base: CString,
    link: CString,
    maps: CString,
    null: CString,
    /// As long as an argument may be, or nearly so.
    argument: CString,
    /// A page that 1024 records each name a byte of, and 256 descriptors to be looked at, none of which is one.
    buffer: usize,
    vectors: Vec<[usize; 2]>,
    polled: Vec<u64>,
}

impl Ready {
    fn new(base: &[u8], link: &[u8]) -> Result<Self, String> {
        const SIZE: usize = 0x1_0000;
        let name = |bytes: &[u8]| CString::new(bytes).works("a name");
        let buffer = process::map_anonymous(SIZE).works("mmap")? as usize;
        (buffer..buffer + SIZE)
            .step_by(4096)
            .for_each(|page| raw::poke(page, 1));
        Ok(Self {
            base: name(base)?,
            link: name(link)?,
            maps: name(b"/proc/self/maps")?,
            null: name(b"/dev/null")?,
            argument: name(&[b'a'; 60_000])?,
            buffer,
            vectors: alloc::vec![[buffer, 1]; 1024],
            polled: alloc::vec![u64::from(u32::MAX); 256],
        })
    }

    /// Calls that take memory of the kernel's only while they last. They may be refused.
    fn make_many_calls(&self) {
        let at = |name: &CString| name.as_ptr() as usize;
        let buffer = self.buffer;
        let open = |name: &CString, flags: u32| raw::call(linux::__NR_open, [at(name), flags as usize, 0]);
        let _ = raw::call(linux::__NR_stat, [at(&self.link), buffer]);
        let _ = raw::call(linux::__NR_readlink, [at(&self.link), buffer, 4096]);
        let _ = raw::call(linux::__NR_getcwd, [buffer, 4096]);
        let _ = raw::call(linux::__NR_poll, [self.polled.as_ptr() as usize, 256, 0]);
        for (name, number) in [
            (&self.maps, linux::__NR_read),
            (&self.base, linux::__NR_getdents64),
        ] {
            if let Ok(file) = open(name, linux::O_RDONLY) {
                while raw::call(number, [file, buffer, 0x1_0000]).is_ok_and(|count| count > 0) {}
                let _ = raw::call(linux::__NR_close, [file]);
            }
        }
        if let Ok(null) = open(&self.null, linux::O_WRONLY) {
            let vectors = self.vectors.as_ptr() as usize;
            let _ = raw::call(linux::__NR_writev, [null, vectors, 1024]);
            let _ = raw::call(linux::__NR_close, [null]);
        }
        let arguments = [at(&self.argument), 0];
        let arguments = raw::address(&arguments);
        let _ = raw::call(linux::__NR_execve, [at(&self.null), arguments, arguments]);
        let _ = process::kill(process::id(), signal::SIGUSR1);
    }
}

/// Children are made until there can be no more. All the kernel may do about it is to refuse.
fn the_kernel_s_own_memory_runs_out() -> Check {
    let base = crate::check::scratch("heavy");
    files::make_directory(&base, 0o755).works("mkdir")?;
    let link = files::join(&base, b"link");
    let target = [link.as_slice(), &b"/x".repeat(1900)].concat();
    files::symlink(&target, &link).works("symlink")?;
    for index in 0..1000 {
        files::link(&link, &files::join(&base, format!("{index}").as_bytes())).works("link")?;
    }
    let ready = Ready::new(&base, &link)?;
    let mut children = Vec::with_capacity(CHILDREN);
    crate::handlers::count(signal::SIGUSR1)?;
    for _ in 0..CHILDREN {
        let child = crate::check::child(|| {
            // Whatever fails of it: the others are still to come.
            let _ = weigh_heavily();
            loop {
                signal::suspend(signal::Set::EMPTY);
            }
        });
        let Ok(child) = child else { break };
        children.push(child);
        process::give_way();
    }
    for _ in 0..3 {
        ready.make_many_calls();
    }
    for child in children {
        process::kill(child, signal::SIGKILL).works("kill")?;
        process::wait(child, 0).works("wait4")?;
    }
    same(crate::handlers::counted(), 3, "how many signals came")?;
    for name in userland::directory::names(&base).works("getdents64")? {
        files::unlink(&files::join(&base, &name)).works("unlink")?;
    }
    files::remove_directory(&base).works("rmdir")
}
