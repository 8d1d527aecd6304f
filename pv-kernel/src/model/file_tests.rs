//! Files, pipes and the terminal, as programs use them on the model.
#![cfg(test)]
use super::tests::{DATA, EXIT, HELLO, MMAP, MapErrno, Outcome, READ, WRITE, call, run_steps, run_with};
use super::{FRAMES, Model, Step};

const OPEN: u64 = 2;
const CLOSE: u64 = 3;
const FSTAT: u64 = 5;
const POLL: u64 = 7;
const LSEEK: u64 = 8;
const READV: u64 = 19;
const WRITEV: u64 = 20;
const KILL: u64 = 62;
const SIGACTION: u64 = 13;
const IOCTL: u64 = 16;
const PREAD: u64 = 17;
const PWRITE: u64 = 18;
const PIPE: u64 = 22;
const DUP2: u64 = 33;
const SENDFILE: u64 = 40;
const EXECVE: u64 = 59;
const WAIT4: u64 = 61;
const FCNTL: u64 = 72;
const GETCWD: u64 = 79;
const CHDIR: u64 = 80;
const RENAME: u64 = 82;
const MKDIR: u64 = 83;
const UNLINK: u64 = 87;
const CHMOD: u64 = 90;
const SETPGID: u64 = 109;
const GETDENTS: u64 = 217;
const SLEEP: u64 = 35;

/// Where the tests keep their strings.
const TEXT_AT: u64 = DATA + 0x800;
/// Where calls put what they return.
const OUT: u64 = DATA + 0x1000;
const ANY: u64 = u64::MAX;
const CREATE: u64 = 0o102;

/// Puts `text` and a NUL at `TEXT_AT + at`.
fn text(at: u64, text: &str) -> Vec<Step> {
    let bytes = text.bytes().chain([0]);
    (TEXT_AT + at..)
        .zip(bytes)
        .map(|(at, byte)| Step::Store(at, byte))
        .collect()
}

fn path(at: u64) -> u64 {
    TEXT_AT + at
}

fn expect(at: u64, bytes: &[u8]) -> Vec<Step> {
    (at..)
        .zip(bytes)
        .map(|(at, byte)| Step::Expect(at, *byte))
        .collect()
}

fn wait() -> Step {
    call(WAIT4, &[ANY, OUT + 0x800, 0, 0])
}

fn run(parts: &[Vec<Step>]) -> Outcome {
    run_steps(&parts.concat())
}

#[test]
fn a_reader_of_a_pipe_waits_for_its_writer_and_sees_its_end() {
    let child = vec![
        call(CLOSE, &[4]),
        call(READ, &[3, OUT, 100]),
        call(WRITE, &[1, OUT, 5]),
        call(READ, &[3, OUT, 100]),
    ];
    let outcome = run(&[
        vec![call(PIPE, &[OUT])],
        expect(OUT, &[3, 0, 0, 0, 4, 0, 0, 0]),
        vec![
            Step::Fork(child),
            call(CLOSE, &[3]),
            call(24, &[]),
            call(WRITE, &[4, DATA, 5]),
            call(CLOSE, &[4]),
            wait(),
        ],
    ]);
    assert_eq!(outcome.printed, "hello");
    let mut results = outcome.results.map_errno();
    results.sort_unstable();
    // pipe, fork, closes and the end of the pipe; the child's number; what was read and written.
    assert_eq!(results, [0, 0, 0, 0, 0, 0, 0, 2, 2, 5, 5, 5]);
}

#[test]
fn a_write_that_does_not_fit_waits_on_the_way_and_is_one_write() {
    const MANY: u64 = 200_000;
    let reads = (0..40)
        .map(|_| call(READ, &[3, 0x10_0000_0000, 8192]))
        .collect::<Vec<_>>();
    let map = call(MMAP, &[0x10_0000_0000, MANY, 3, 0x22, ANY, 0]);
    let child = [vec![call(CLOSE, &[4]), map.clone()], reads].concat();
    let outcome = run_steps(&[
        call(PIPE, &[OUT]),
        Step::Fork(child),
        call(CLOSE, &[3]),
        map,
        call(WRITE, &[4, 0x10_0000_0000, MANY]),
        call(CLOSE, &[4]),
        wait(),
    ]);
    let results = outcome.results.map_errno();
    assert!(results.contains(&(MANY as i64)), "{results:?}");
    let read: i64 = results
        .iter()
        .filter(|result| (1000..=8192).contains(*result))
        .sum();
    assert_eq!(read, MANY as i64);
}

/// Steps that store `words` at `at`.
fn words(at: u64, words: &[u64]) -> Vec<Step> {
    let bytes = words.iter().flat_map(|word| word.to_le_bytes());
    (at..)
        .zip(bytes)
        .map(|(at, byte)| Step::Store(at, byte))
        .collect()
}

/// Bytes of a transfer that takes long.
const LONG: u64 = 200 * 0x1000;

/// A machine on which a page takes a tenth of a turn. Its program has a child that makes one transfer from or to
/// /dev/zero, by the same page again and again, and does `steps` meanwhile.
fn long_transfer(number: u64, steps: &[Step]) -> Outcome {
    const PAGE: u64 = 0x10_0000_0000;
    const BUFFERS: u64 = LONG / 0x1000;
    let records: Vec<u64> = (0..BUFFERS).flat_map(|_| [PAGE + 0x1000, 0x1000]).collect();
    let mut model = Model::new();
    model.page_ns = 1_000_000;
    let child = vec![call(number, &[3, PAGE, BUFFERS]), call(EXIT, &[7])];
    model.steps.extend(text(0, "/dev/zero"));
    model.steps.extend([
        call(OPEN, &[path(0), 2]),
        call(MMAP, &[PAGE, 0x2000, 3, 0x22, ANY, 0]),
    ]);
    model.steps.extend(words(PAGE, &records));
    model.steps.push_back(Step::Fork(child));
    model.steps.extend(steps.iter().cloned());
    model
        .steps
        .extend([call(WAIT4, &[2, OUT, 0, 0]), Step::Expect(OUT + 2, 0)]);
    run_with(model)
}

#[test]
fn a_transfer_that_takes_long_is_one_transfer_and_others_have_their_turns_meanwhile() {
    const GETPGRP: u64 = 111;
    for number in [READV, WRITEV] {
        let others = vec![call(GETPGRP, &[]); 50];
        let results = long_transfer(number, &others).results;
        let is_own = |result: &&u64| **result == 1;
        let until_then = results.iter().take_while(|result| **result != LONG);
        assert_eq!(until_then.filter(is_own).count(), 50, "{results:?}");
        assert!(results.contains(&LONG));
    }
}

#[test]
fn a_transfer_that_takes_long_can_be_killed() {
    for number in [READV, WRITEV] {
        let sleep = words(OUT, &[0, 50_000_000]);
        let steps = [sleep, vec![call(SLEEP, &[OUT, 0]), call(KILL, &[2, 9])]].concat();
        let results = long_transfer(number, &steps).results;
        assert!(!results.contains(&LONG), "{results:?}");
    }
}

#[test]
fn who_writes_to_no_reader_dies_or_is_told() {
    let write = [call(PIPE, &[OUT]), call(CLOSE, &[3]), call(WRITE, &[4, DATA, 5])];
    let outcome = run_steps(&write);
    assert!(outcome.printed.contains("killed by"), "{}", outcome.printed);
    // SIG_IGN.
    let ignore = [text(0, "\u{1}"), vec![call(SIGACTION, &[13, path(0), 0, 8])]].concat();
    let outcome = run_steps(&[ignore, write.to_vec()].concat());
    assert_eq!(outcome.results.map_errno(), [0, 0, 0, -32]);
}

#[test]
fn files_are_made_written_listed_moved_and_removed() {
    let outcome = run(&[
        text(0, "/tmp/d"),
        text(16, "d/f"),
        text(32, "/g"),
        text(48, "/tmp"),
        vec![
            call(MKDIR, &[path(0), 0o755]),
            call(CHDIR, &[path(48)]),
            call(OPEN, &[path(16), CREATE, 0o600]),
            call(WRITE, &[3, DATA, HELLO.len() as u64]),
            call(LSEEK, &[3, 6, 0]),
            call(READ, &[3, OUT, 4]),
            call(PREAD, &[3, OUT + 4, 5, 0]),
        ],
        expect(OUT, b"fromhello"),
        vec![call(FSTAT, &[3, OUT])],
        // st_mode and st_size.
        expect(OUT + 24, &[0x80, 0x81, 0, 0]),
        expect(OUT + 48, &[HELLO.len() as u8, 0]),
        vec![
            call(GETCWD, &[OUT, 100]),
            call(RENAME, &[path(16), path(32)]),
            call(UNLINK, &[path(32)]),
            call(UNLINK, &[path(32)]),
            call(CLOSE, &[3]),
            call(READ, &[3, OUT, 1]),
        ],
        expect(OUT, b"/tmp\0"),
    ]);
    let all = HELLO.len() as i64;
    let expected = [0, 0, 3, all, 6, 4, 5, 0, 5, 0, 0, -2, 0, -9];
    assert_eq!(outcome.results.map_errno(), expected);
}

#[test]
fn a_directory_is_read_as_linux_lays_it_out() {
    run(&[
        text(0, "/proc/sys"),
        vec![call(OPEN, &[path(0), 0, 0]), call(GETDENTS, &[3, OUT, 200])],
        // Records of ".", ".." and "kernel": length, kind, name.
        expect(OUT + 16, &[24, 0, 4, b'.', 0]),
        expect(OUT + 24 + 16, &[24, 0, 4, b'.', b'.', 0]),
        expect(OUT + 48 + 16, &[32, 0, 4, b'k', b'e', b'r', b'n', b'e', b'l', 0]),
        vec![call(GETDENTS, &[3, OUT, 200])],
    ]);
}

#[test]
fn output_goes_where_descriptors_say_and_the_copy_outlives_the_first() {
    let outcome = run(&[
        text(0, "/tmp/o"),
        vec![
            call(OPEN, &[path(0), CREATE, 0o600]),
            call(DUP2, &[3, 1]),
            call(CLOSE, &[3]),
            call(WRITE, &[1, DATA, 5]),
            call(LSEEK, &[1, 0, 0]),
            call(READ, &[1, OUT, 10]),
            call(WRITE, &[2, OUT, 5]),
        ],
    ]);
    assert_eq!(outcome.printed, "hello");
    assert_eq!(outcome.results.map_errno(), [3, 1, 0, 5, 0, 5, 5]);
}

#[test]
fn a_program_runs_from_a_file_that_was_written_and_marked_descriptors_close() {
    let copy = (0..4).map(|_| call(SENDFILE, &[4, 3, 0, 100_000])).collect();
    let next = vec![
        call(WRITE, &[1, DATA, 5]),
        call(READ, &[3, OUT, 1]),
        // Its file can go while it runs.
        Step::Touch(crate::mm::area::Access::Execute, super::tests::TEXT),
        call(EXIT, &[0]),
    ];
    let outcome = run(&[
        text(0, "/bin/p"),
        text(16, "/tmp/x"),
        vec![
            call(OPEN, &[path(0), 0o2_000_000, 0]),
            call(OPEN, &[path(16), CREATE | 0o2_000_000, 0o600]),
        ],
        copy,
        vec![
            call(EXECVE, &[path(16), 0, 0]),
            call(CHMOD, &[path(16), 0o700]),
            Step::Exec(EXECVE, [path(16), 0, 0, 0, 0, 0], next),
        ],
    ]);
    assert_eq!(outcome.printed, "hello");
    let results = outcome.results.map_errno();
    assert_eq!(results[..2], [3, 4]);
    assert_eq!(results[6..], [-13, 0, 5, -9]);
}

#[test]
fn poll_finds_what_is_ready_and_gives_up_in_time() {
    let poll = |events: u8| text(0, &format!("\u{3}\0\0\0{}", events as char));
    let outcome = run(&[
        vec![call(PIPE, &[OUT])],
        poll(1),
        vec![
            call(POLL, &[path(0), 1, 50]),
            call(WRITE, &[4, DATA, 5]),
            call(POLL, &[path(0), 1, ANY]),
        ],
        expect(path(6), &[1, 0]),
        vec![call(CLOSE, &[4]), call(POLL, &[path(0), 1, ANY])],
        expect(path(6), &[0x11, 0]),
        vec![call(CLOSE, &[3]), call(POLL, &[path(0), 1, ANY])],
        expect(path(6), &[0x20, 0]),
    ]);
    assert_eq!(outcome.results.map_errno(), [0, 0, 5, 1, 0, 1, 0, 1]);
}

#[test]
fn who_does_not_wait_is_told_so() {
    let outcome = run_steps(&[
        call(PIPE, &[OUT]),
        call(FCNTL, &[3, 4, 0o4000]),
        call(READ, &[3, OUT, 10]),
        call(FCNTL, &[3, 3]),
        call(FCNTL, &[0, 4, 0o4000]),
        call(READ, &[0, OUT, 10]),
    ]);
    let results = outcome.results.map_errno();
    assert_eq!(results[..3], [0, 0, -11]);
    assert_eq!((results[3] & 0o4003, results[5]), (0o4000, -11));
}

#[test]
fn a_program_that_wants_keys_gets_them_one_by_one() {
    let mut model = Model::new();
    model.typed_later.push_back(b"ab\x04");
    model.steps.extend(
        [
            vec![call(IOCTL, &[0, 0x5401, OUT])],
            // ICANON and ECHO, as they are at the start, and without them.
            expect(OUT + 12, &[0x3b]),
            vec![
                Step::Store(OUT + 12, 0x31),
                call(IOCTL, &[0, 0x5402, OUT]),
                call(READ, &[0, OUT, 10]),
            ],
            expect(OUT, b"ab\x04"),
        ]
        .concat(),
    );
    let outcome = run_with(model);
    assert_eq!(
        (outcome.results.map_errno(), &*outcome.printed),
        (vec![0, 0, 3], "")
    );
}

#[test]
fn who_reads_from_the_background_is_stopped_and_reads_when_it_is_in_front() {
    const UNTRACED: u64 = 2;
    let child = vec![
        call(SETPGID, &[0, 0]),
        call(READ, &[0, OUT, 10]),
        call(WRITE, &[1, OUT, 2]),
    ];
    let mut model = Model::new();
    model.typed_later.push_back(b"x\n");
    model.steps.extend(
        [
            vec![Step::Fork(child), call(WAIT4, &[ANY, OUT, UNTRACED, 0])],
            // Stopped by SIGTTIN.
            expect(OUT, &[0x7f, 21]),
            vec![
                Step::Store(OUT, 2),
                Step::Store(OUT + 1, 0),
                call(IOCTL, &[0, 0x5410, OUT]),
                call(62, &[(-2i64) as u64, 18]),
                wait(),
            ],
        ]
        .concat(),
    );
    let outcome = run_with(model);
    assert_eq!(outcome.printed, "x\nx\n", "{:?}", outcome.results);
}

#[test]
fn a_full_console_holds_up_who_writes_to_it_and_nobody_else() {
    let mut model = Model::new();
    model.room = 0;
    let child = vec![
        call(MMAP, &[0x10_0000_0000, 20_000, 3, 0x22, ANY, 0]),
        call(WRITE, &[1, 0x10_0000_0000, 20_000]),
    ];
    // While the child waits for room, the other one sleeps, wakes and ends.
    model.steps.extend(
        [
            text(0, "\0\0\0\0\0\0\0\0\u{1}"),
            vec![
                Step::Fork(child),
                call(24, &[]),
                call(SLEEP, &[path(0), 0]),
                wait(),
            ],
        ]
        .concat(),
    );
    let outcome = run_with(model);
    let results = outcome.results.map_errno();
    let slept = results.iter().rposition(|result| *result == 0).unwrap();
    let written = results.iter().position(|result| *result == 20_000).unwrap();
    assert!(slept < written, "{results:?}");
    assert_eq!(outcome.printed.len(), 20_000);
}

#[test]
fn a_file_is_mapped_as_it_is_and_writes_go_nowhere_else() {
    const PRIVATE: u64 = 2;
    let at = 0x10_0000_0000;
    let outcome = run(&[
        text(0, "/tmp/m"),
        vec![
            call(OPEN, &[path(0), CREATE, 0o600]),
            call(WRITE, &[3, DATA, 5]),
            call(MMAP, &[at, 10_000, 3, PRIVATE, 3, 0]),
            Step::Expect(at, b'h'),
            Step::Store(at, b'H'),
            Step::Expect(at + 5, 0),
            Step::Expect(at + 9999, 0),
            call(PREAD, &[3, OUT, 5, 0]),
            Step::Expect(OUT, b'h'),
            call(MMAP, &[0, 4096, 1, PRIVATE, 3, 5]),
            call(MMAP, &[0, 4096, 1, PRIVATE, 9, 0]),
            call(MMAP, &[0, 4096, 1, 1, 3, 0]),
        ],
    ]);
    let results = outcome.results.map_errno();
    assert_eq!(results, [3, 5, at as i64, 5, -22, -9, -19]);
}

#[test]
fn select_takes_a_second_of_microseconds_and_leaves_what_is_ready() {
    const SELECT: u64 = 23;
    // Descriptor 3; 1 000 000 microseconds.
    let set = text(0, "\u{8}\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\u{40}\u{42}\u{f}");
    let outcome = run(&[
        vec![call(PIPE, &[OUT])],
        set.clone(),
        vec![
            call(SELECT, &[64, path(0), 0, 0, path(8)]),
            Step::Expect(path(0), 0),
        ],
        set,
        vec![
            call(WRITE, &[4, DATA, 5]),
            call(SELECT, &[64, path(0), 0, 0, path(8)]),
            Step::Expect(path(0), 8),
        ],
    ]);
    assert_eq!(outcome.results.map_errno(), [0, 0, 5, 1]);
}

#[test]
fn files_leave_programs_some_memory_however_much_is_written() {
    let outcome = run(&[
        text(0, "/f"),
        vec![call(OPEN, &[path(0), CREATE, 0o644])],
        (0..FRAMES)
            .map(|page| call(PWRITE, &[3, DATA, 1, page << 12]))
            .collect(),
        // A program can still be started, and a page be touched.
        vec![
            Step::Store(OUT, 1),
            Step::Fork(vec![Step::Store(OUT, 2), call(EXIT, &[7])]),
            wait(),
            Step::Expect(OUT + 0x801, 7),
        ],
    ]);
    let results = outcome.results.map_errno();
    assert!(results.contains(&-28), "{results:?}");
    assert_eq!(outcome.printed, "");
}
