//! exec: what becomes of a process, and files that are no programs.
use crate::check::{Check, Works, checked_child, child, ends, ends_well, expect, same, scratch, tests};
use crate::raw;
use alloc::ffi::CString;
use alloc::format;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;
use userland::files::{self, File};
use userland::process::{self, Status};
use userland::signal::{self, Action};
use userland::{Arguments, Errno};

tests! {
    exec_passes_arguments_and_environment
    exec_keeps_the_process
    exec_closes_what_it_should
    exec_resets_handlers_and_keeps_the_mask
    exec_gives_clean_memory
    exec_errors
    exec_of_scripts
    exec_with_much
    exec_with_bad_pointers
    exec_of_hostile_files
}

/// This program's file.
fn own_file() -> Vec<u8> {
    let linked = files::read_link(b"/proc/self/exe");
    linked.unwrap_or_else(|_| b"/bin/usertests".to_vec())
}

fn strings(words: &[&[u8]]) -> Vec<CString> {
    words
        .iter()
        .map(|word| CString::new(*word).unwrap_or_default())
        .collect()
}

/// Becomes this program again, as a child with these arguments.
fn again(words: &[&[u8]], environment: &[&[u8]]) -> i32 {
    let arguments = [&[b"usertests".as_slice(), b"--as-child"], words].concat();
    let error = process::execute(&own_file(), &strings(&arguments), &strings(environment));
    userland::eprintln!("usertests: exec: {error}");
    99
}

/// What this program does when a test has started it again.
pub(crate) fn as_child(arguments: Arguments, words: &[&[u8]]) -> i32 {
    let number = |word: &[u8]| userland::text::number(word).unwrap_or(-1);
    let good = match words {
        [b"words", b"", b"a b", last] => {
            let environment: Vec<_> = arguments.environment().collect();
            last.len() == 300 && environment == [b"ONE=1".as_slice(), b"TWO="]
        }
        [b"process", pid, parent, group] => {
            number(pid) == process::id().into()
                && number(parent) == process::parent().into()
                && number(group) == process::group().into()
        }
        [b"open", open, closed] => {
            let is_open = |fd: &[u8]| files::fstat(number(fd) as i32).is_ok();
            is_open(open) && !is_open(closed)
        }
        [b"signals"] => {
            let mask = signal::change_mask(signal::Change::Block, signal::Set::EMPTY);
            signal::is_ignored(signal::SIGUSR1)
                && !signal::is_ignored(signal::SIGUSR2)
                && mask == Ok(signal::Set::of(&[signal::SIGTERM]))
        }
        [b"much", count, rest @ ..] => {
            number(count) == rest.len() as i64 && rest.iter().all(|word| word.len() == 100)
        }
        [b"code", code] => return number(code) as i32,
        _ => false,
    };
    i32::from(!good)
}

fn exec_passes_arguments_and_environment() -> Check {
    let long = [b'x'; 300];
    let pid = child(|| again(&[b"words", b"", b"a b", &long], &[b"ONE=1", b"TWO="]))?;
    ends_well(pid)
}

fn exec_keeps_the_process() -> Check {
    let parent = format!("{}", process::id());
    let group = format!("{}", process::group());
    let pid = child(|| {
        let own = format!("{}", process::id());
        again(
            &[b"process", own.as_bytes(), parent.as_bytes(), group.as_bytes()],
            &[],
        )
    })?;
    ends_well(pid)
}

fn exec_closes_what_it_should() -> Check {
    let open = files::open(b"/dev/null", linux::O_RDONLY, 0).works("open")?;
    let closed = files::open(b"/dev/null", linux::O_RDONLY | linux::O_CLOEXEC, 0).works("open")?;
    let pid = child(|| {
        again(
            &[
                b"open",
                format!("{open}").as_bytes(),
                format!("{closed}").as_bytes(),
            ],
            &[],
        )
    })?;
    ends_well(pid)?;
    // Setting the flag later is the same.
    files::control(open, linux::F_SETFD, linux::FD_CLOEXEC as usize).works("fcntl")?;
    files::control(closed, linux::F_SETFD, 0).works("fcntl")?;
    let pid = child(|| {
        again(
            &[
                b"open",
                format!("{closed}").as_bytes(),
                format!("{open}").as_bytes(),
            ],
            &[],
        )
    })?;
    ends_well(pid)
}

fn exec_resets_handlers_and_keeps_the_mask() -> Check {
    let pid = child(|| {
        let set = [
            signal::set(signal::SIGUSR1, Action::Ignore),
            signal::set(signal::SIGUSR2, Action::Note),
            signal::change_mask(signal::Change::Set, signal::Set::of(&[signal::SIGTERM])).map(|_| ()),
        ];
        if set.iter().all(Result::is_ok) {
            again(&[b"signals"], &[])
        } else {
            98
        }
    })?;
    ends_well(pid)
}

/// A page that was mapped before is not there afterwards, and the program's data is new.
fn exec_gives_clean_memory() -> Check {
    let pid = child(|| {
        let mapped = (0..64).all(|_| process::map_anonymous(1 << 16).is_ok());
        if mapped { again(&[b"code", b"3"], &[]) } else { 98 }
    })?;
    ends(pid, Status::Exited(3))
}

fn exec_errors() -> Check {
    let run = |path: &[u8]| process::execute(path, &strings(&[b"x"]), &[]);
    same(run(b"/no/such/file"), Errno::ENOENT, "no such file")?;
    same(
        run(b"/bin/no-such-file"),
        Errno::ENOENT,
        "no such file in a directory",
    )?;
    same(run(b""), Errno::ENOENT, "an empty name")?;
    same(run(b"/tmp"), Errno::EACCES, "a directory")?;
    let path = scratch("plain");
    let file = File::open(&path, files::CREATE).works("open")?;
    files::write_all(file.fd(), b"true\n").works("write")?;
    drop(file);
    same(run(&path), Errno::EACCES, "a file that may not be run")?;
    files::change_mode(&path, 0o755).works("chmod")?;
    same(run(&path), Errno::ENOEXEC, "a file that is no program")?;
    same(run(&files::join(&path, b"below")), Errno::ENOTDIR, "below a file")?;
    files::unlink(&path).works("unlink")
}

/// Writes a file that may be run.
fn program(name: &str, content: &[u8]) -> Result<Vec<u8>, alloc::string::String> {
    let path = scratch(name);
    let file = File::open(&path, files::CREATE).works("open")?;
    files::write_all(file.fd(), content).works("write")?;
    drop(file);
    files::change_mode(&path, 0o755).works("chmod")?;
    Ok(path)
}

fn exec_of_scripts() -> Check {
    let first_line = [b"#!", own_file().as_slice(), b" --as-child\n"].concat();
    // The interpreter gets its own argument and the script's name, which it does not know: code 1.
    let path = program("script", &first_line)?;
    let pid = child(|| {
        let _ = process::execute(&path, &strings(&[b"script"]), &[]);
        99
    })?;
    ends(pid, Status::Exited(1))?;
    let unknown = program("unknown", b"#! /no/such/interpreter\n")?;
    same(
        process::execute(&unknown, &strings(&[b"x"]), &[]),
        Errno::ENOENT,
        "an interpreter that is not there",
    )?;
    let itself = scratch("itself");
    let itself = program("itself", &[b"#!", itself.as_slice(), b"\n"].concat())?;
    let error = process::execute(&itself, &strings(&[b"x"]), &[]);
    expect(
        matches!(error, Errno::ELOOP | Errno::ENOEXEC),
        "a script that is its own interpreter",
    )?;
    for path in [path, unknown, itself] {
        files::unlink(&path).works("unlink")?;
    }
    Ok(())
}

/// Many arguments arrive; too many are refused, and the process goes on.
fn exec_with_much() -> Check {
    let word = [b'w'; 100];
    let count = 200;
    let pid = child(|| {
        let number = format!("{count}");
        let mut words: Vec<&[u8]> = Vec::from([b"much".as_slice(), number.as_bytes()]);
        words.resize(count + 2, &word);
        again(&words, &[])
    })?;
    ends_well(pid)?;
    let huge = CString::new(alloc::vec![b'x'; 1 << 20]).works("a string")?;
    let all: Vec<CString> = (0..16).map(|_| huge.clone()).collect();
    same(
        process::execute(&own_file(), &all, &[]),
        Errno::E2BIG,
        "16 MiB of arguments",
    )
}

fn exec_with_bad_pointers() -> Check {
    let path = CString::new(own_file()).works("a name")?;
    let none = [0usize; 1];
    for bad in raw::BAD {
        let call = |path: usize, arguments: usize, environment: usize| {
            raw::call(linux::__NR_execve, [path, arguments, environment])
        };
        let (good, list) = (path.as_ptr() as usize, raw::address(&none));
        same(call(bad, list, list), Err(Errno::EFAULT), "the path")?;
        same(call(good, bad, list), Err(Errno::EFAULT), "the arguments")?;
        same(call(good, list, bad), Err(Errno::EFAULT), "the environment")?;
        let holds_bad = [good, bad, 0];
        same(
            call(good, raw::address(&holds_bad), list),
            Err(Errno::EFAULT),
            "an argument",
        )?;
    }
    Ok(())
}

/// A small program file for this machine: its header, and one segment.
fn elf(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut file = alloc::vec![0u8; 4096];
    let mut put = |place: usize, bytes: &[u8]| file[place..place + bytes.len()].copy_from_slice(bytes);
    put(0, b"\x7fELF\x02\x01\x01");
    // An executable for x86-64, version 1.
    put(16, &[2, 0, 62, 0, 1, 0, 0, 0]);
    // The entry, the program headers' place; the sizes and the number of headers.
    put(24, &0x40_0100_u64.to_le_bytes());
    put(32, &64_u64.to_le_bytes());
    put(52, &[64, 0, 56, 0, 1, 0, 64, 0]);
    // One to load, readable and executable: the whole file at 4 MiB.
    put(64, &[1, 0, 0, 0, 5, 0, 0, 0]);
    put(80, &0x40_0000_u64.to_le_bytes());
    put(88, &0x40_0000_u64.to_le_bytes());
    put(96, &4096_u64.to_le_bytes());
    put(104, &4096_u64.to_le_bytes());
    put(112, &4096_u64.to_le_bytes());
    // exit_group(7), by both ways: whichever works.
    put(0x100, &[0xbf, 7, 0, 0, 0, 0xb8, 231, 0, 0, 0, 0x0f, 0x05]);
    change(&mut file);
    file
}

/// Files that lie about themselves end at worst the process that wanted to become one.
fn exec_of_hostile_files() -> Check {
    type Change = fn(&mut [u8]);
    fn put(file: &mut [u8], place: usize, value: u64) {
        file[place..place + 8].copy_from_slice(&value.to_le_bytes());
    }
    let good = program("good", &elf(|_| {}))?;
    let pid = child(|| {
        let _ = process::execute(&good, &strings(&[b"x"]), &[]);
        99
    })?;
    ends(pid, Status::Exited(7))?;
    files::unlink(&good).works("unlink")?;
    let changes: [(&str, Change); 14] = [
        ("headers-beyond", |file| put(file, 32, 1 << 40)),
        ("headers-at-the-end", |file| put(file, 32, u64::MAX - 8)),
        ("many-headers", |file| file[56..58].copy_from_slice(&[255, 255])),
        ("no-headers", |file| file[56..58].copy_from_slice(&[0, 0])),
        ("small-headers", |file| file[54] = 1),
        ("other-machine", |file| file[18] = 40),
        ("other-class", |file| file[4] = 1),
        ("segment-in-the-kernel", |file| {
            put(file, 80, 0xffff_ffff_8000_0000)
        }),
        ("segment-not-canonical", |file| {
            put(file, 80, 0x8000_0000_0000_0000)
        }),
        ("segment-wraps", |file| put(file, 104, u64::MAX)),
        ("file-size-wraps", |file| put(file, 96, u64::MAX - 4095)),
        ("offset-wraps", |file| put(file, 72, u64::MAX - 4095)),
        ("entry-in-the-kernel", |file| put(file, 24, 0xffff_ffff_8000_0000)),
        ("entry-nowhere", |file| put(file, 24, 0x10)),
    ];
    for (name, change) in changes {
        let path = program(name, &elf(change))?;
        let pid = child(|| {
            let _ = process::execute(&path, &strings(&[b"x"]), &[]);
            50
        })?;
        let status = process::wait_for(pid).works("wait")?;
        // Some are not looked at: then it runs, and ends with 7.
        let is_good = matches!(
            status,
            Status::Exited(7 | 50) | Status::Killed(signal::SIGSEGV | signal::SIGKILL)
        );
        expect(is_good, name)?;
        files::unlink(&path).works("unlink")?;
    }
    for length in [0, 1, 4, 16, 63, 64, 100] {
        let path = program("short", &elf(|_| {})[..length])?;
        let pid = checked_child(|| {
            let error = process::execute(&path, &strings(&[b"x"]), &[]);
            expect(
                error == Errno::ENOEXEC || error == Errno::EIO,
                "a file that is cut off",
            )
        })?;
        let status = process::wait_for(pid).works("wait")?;
        let is_good = matches!(
            status,
            Status::Exited(0) | Status::Killed(signal::SIGSEGV | signal::SIGKILL)
        );
        expect(is_good, "a file that is cut off")?;
        files::unlink(&path).works("unlink")?;
    }
    Ok(())
}
