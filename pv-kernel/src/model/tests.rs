//! The kernel as a whole, on the model.
#![cfg(test)]
use super::{FIRST_FREE, FRAMES, KERNEL_ROOT, Model, Step};
use crate::addr::Pfn;
use crate::exec::elf::tests::{Load, file};
use crate::kernel::Kernel;
use crate::mm::area::Access;
use crate::mm::frames::{FrameState, FrameTable};
use crate::mm::layout::{STACK_BOTTOM, STACK_TOP};
use crate::options::Options;
use crate::run::{self, Verdict};
use proptest::prelude::*;

pub(super) const TEXT: u64 = 0x40_1000;
pub(super) const DATA: u64 = 0x40_3000;
pub(super) const HELLO: &[u8] = b"hello from the program\n";
pub(super) const READ: u64 = 0;
pub(super) const WRITE: u64 = 1;
const POLL: u64 = 7;
pub(super) const MMAP: u64 = 9;
pub(super) const MPROTECT: u64 = 10;
pub(super) const MUNMAP: u64 = 11;
const BRK: u64 = 12;
const WRITEV: u64 = 20;
pub(super) const EXIT: u64 = 60;

pub(super) struct Outcome {
    pub(super) verdict: Verdict,
    pub(super) printed: String,
    pub(super) results: Vec<u64>,
}

pub(super) fn program() -> Vec<u8> {
    file(
        TEXT,
        &[
            Load {
                flags: 5,
                address: TEXT,
                bytes: b"code",
                memory_size: 0x1800,
            },
            Load {
                flags: 6,
                address: DATA,
                bytes: HELLO,
                memory_size: 0x2000,
            },
        ],
    )
}

pub(super) fn run_model(model: Model, archive: &[u8]) -> Outcome {
    let mut states = vec![FrameState::default(); (FRAMES - FIRST_FREE) as usize];
    let frames = FrameTable::new(Pfn(FIRST_FREE), &mut states);
    let mut kernel = Kernel::new(model, frames, KERNEL_ROOT, archive, "guest", Options::default());
    let verdict = run::all(&mut kernel);
    assert_eq!(kernel.frames.free() + kernel.vfs.frames(), kernel.frames.len());
    kernel.machine.assert_as_at_start();
    let printed = String::from_utf8_lossy(&kernel.machine.printed).into_owned();
    Outcome {
        verdict,
        printed,
        results: kernel.machine.results,
    }
}

pub(super) fn run_steps(steps: &[Step]) -> Outcome {
    let mut model = Model::new();
    model.steps.extend(steps.iter().cloned());
    run_with(model)
}

pub(super) fn run_with(model: Model) -> Outcome {
    let program = program();
    run_model(
        model,
        &crate::archive::tests::archive(&[("etc/programs", b"p\n"), ("bin/p", &program)]),
    )
}

pub(super) fn call(number: u64, arguments: &[u64]) -> Step {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    Step::Call(number, all)
}

#[test]
fn a_program_prints_what_its_file_holds() {
    let outcome = run_steps(&[
        Step::Touch(Access::Execute, TEXT),
        Step::Touch(Access::Read, DATA),
        call(WRITE, &[1, DATA, HELLO.len() as u64]),
    ]);
    assert_eq!(outcome.verdict, Verdict::Done);
    assert_eq!(outcome.printed.as_bytes(), HELLO);
    assert_eq!(outcome.results, [HELLO.len() as u64]);
}

#[test]
fn pages_are_brought_in_for_the_kernel_as_for_the_program() {
    let outcome = run_steps(&[call(WRITE, &[1, DATA, HELLO.len() as u64])]);
    assert_eq!(outcome.printed.as_bytes(), HELLO);
}

#[test]
fn writev_prints_its_buffers_in_order_until_one_is_bad() {
    let record = |address: u64, length: u64| [address.to_le_bytes(), length.to_le_bytes()].concat();
    let text = DATA + 0x800;
    let records = [
        record(text + 6, 5),
        record(text, 5),
        record(8, 5),
        record(text, 5),
    ]
    .concat();
    let mut bytes = records.clone();
    bytes.resize(0x800, 0);
    bytes.extend(b"hello world");
    let program = file(
        TEXT,
        &[
            Load {
                flags: 5,
                address: TEXT,
                bytes: b"code",
                memory_size: 4,
            },
            Load {
                flags: 6,
                address: DATA,
                bytes: bytes.leak(),
                memory_size: 0x1000,
            },
        ],
    );
    let archive = crate::archive::tests::archive(&[("etc/programs", b"p\n"), ("bin/p", &program)]);
    let mut model = Model::new();
    model.steps.extend([
        call(WRITEV, &[1, DATA, 2]),
        call(WRITEV, &[1, DATA, 4]),
        call(WRITEV, &[1, DATA + 32, 1]),
        call(WRITEV, &[1, DATA, 2000]),
        call(WRITEV, &[7, DATA, 1]),
    ]);
    let outcome = run_model(model, &archive);
    assert_eq!(outcome.results.map_errno(), [10, 10, -14, -22, -9]);
    assert_eq!(outcome.printed, "worldhelloworldhello");
}

pub(super) trait MapErrno {
    fn map_errno(&self) -> Vec<i64>;
}
impl MapErrno for Vec<u64> {
    fn map_errno(&self) -> Vec<i64> {
        self.iter().map(|value| *value as i64).collect()
    }
}

#[test]
fn a_program_that_waits_for_a_line_gets_it() {
    let mut model = Model::new();
    model.typed.extend(b"one");
    model.typed_later.extend([&b" line\ntwo"[..], b"\n\x04"]);
    for _ in 0..3 {
        model
            .steps
            .extend([call(READ, &[0, DATA, 100]), call(WRITE, &[1, DATA, 4])]);
    }
    let outcome = run_with(model);
    assert_eq!(outcome.results, [9, 4, 4, 4, 0, 4]);
    assert_eq!(outcome.printed, "one line\ntwoone \ntwo\ntwo\n");
}

#[test]
fn a_buffer_that_cannot_be_written_costs_no_input() {
    let mut model = Model::new();
    model.typed.extend(b"abc\n");
    model
        .steps
        .extend([call(READ, &[0, TEXT, 4]), call(READ, &[0, DATA, 4])]);
    assert_eq!(run_with(model).results.map_errno(), [-14, 4]);
}

#[test]
fn ctrl_c_ends_the_program_that_waits_and_not_the_kernel() {
    let mut model = Model::new();
    model.typed_later.push_back(b"\x03");
    model.steps.push_back(call(READ, &[0, DATA, 100]));
    let outcome = run_with(model);
    assert_eq!(outcome.verdict, Verdict::Done);
    assert!(
        outcome
            .printed
            .contains("p: killed by interrupt from the keyboard"),
        "{}",
        outcome.printed
    );
}

#[test]
fn a_program_that_does_wrong_dies_with_its_cause() {
    for (step, cause) in [
        (Step::Trap(0), "divide error"),
        (Step::Trap(6), "invalid opcode"),
        (Step::Trap(13), "general protection fault"),
        (
            Step::Touch(Access::Read, 8_010_355_624_720_203_776),
            "general protection fault",
        ),
        (Step::Touch(Access::Read, 0), "null dereference (read of 0x0)"),
        (
            Step::Touch(Access::Write, TEXT),
            "page fault (write to 0x401000: not permitted)",
        ),
        (
            Step::Touch(Access::Execute, DATA),
            "page fault (execution of 0x403000: not permitted)",
        ),
        (
            Step::Touch(Access::Execute, STACK_TOP - 8),
            "(execution of 0x7fffffffdff8: not permitted)",
        ),
        (
            Step::Touch(Access::Read, 0x50_0000_0000),
            "(read of 0x5000000000: nothing is mapped there)",
        ),
        (Step::Touch(Access::Write, STACK_BOTTOM - 8), "stack overflow"),
        (
            Step::Touch(Access::Read, 0xffff_8800_0000_0000),
            "nothing is mapped there",
        ),
        (
            Step::Touch(Access::Read, 0xffff_8000_0020_0000),
            "nothing is mapped there",
        ),
    ] {
        let outcome = run_steps(&[Step::Touch(Access::Execute, TEXT), step]);
        assert!(
            outcome.printed.starts_with("pv-kernel: p: killed by "),
            "{}",
            outcome.printed
        );
        assert!(outcome.printed.contains(cause), "{}", outcome.printed);
        assert!(
            outcome.printed.ends_with(" at rip 0x401000\n"),
            "{}",
            outcome.printed
        );
        assert_eq!(outcome.verdict, Verdict::Done);
    }
}

#[test]
fn a_program_that_takes_all_memory_dies_and_all_of_it_comes_back() {
    let page = |index: u64| 0x10_0000_0000 + index * 0x1000;
    let length = 2 << 20;
    let mut steps = vec![call(MMAP, &[page(0), length, 3, 0x32, u64::MAX, 0])];
    steps.extend((0..length >> 12).map(|index| Step::Touch(Access::Write, page(index))));
    let outcome = run_steps(&steps);
    assert_eq!(outcome.results, [page(0)]);
    assert!(
        outcome.printed.contains("killed by out of memory"),
        "{}",
        outcome.printed
    );
}

#[test]
fn memory_that_a_program_gives_back_can_be_had_again() {
    let page = 0x10_0000_0000;
    let mut steps = Vec::new();
    for _ in 0..10 {
        steps.push(call(MMAP, &[page, 0xd_0000, 3, 0x22, u64::MAX, 0]));
        steps.extend((0..0xd0).map(|index| Step::Touch(Access::Write, page + index * 0x1000)));
        steps.push(call(MUNMAP, &[page, 0xd_0000]));
    }
    let outcome = run_steps(&steps);
    assert_eq!(outcome.printed, "");
    assert_eq!(outcome.results.len(), 20);
}

#[test]
fn the_break_moves_up_and_down() {
    let start = 0x40_5000;
    let outcome = run_steps(&[
        call(BRK, &[0]),
        call(BRK, &[start + 0x2800]),
        Step::Touch(Access::Write, start + 0x2fff),
        call(BRK, &[start + 0x100]),
        Step::Touch(Access::Write, start + 0xff),
        call(BRK, &[start - 1]),
        call(BRK, &[u64::MAX]),
        Step::Touch(Access::Write, start + 0x1000),
    ]);
    let end = start + 0x100;
    assert_eq!(outcome.results, [start, start + 0x2800, end, end, end]);
    assert!(
        outcome.printed.contains("page fault (write to 0x406000"),
        "{}",
        outcome.printed
    );
}

#[test]
fn protection_takes_effect_on_pages_that_are_there_and_keeps_their_bytes() {
    let outcome = run_steps(&[
        Step::Touch(Access::Write, DATA),
        call(MPROTECT, &[DATA, 0x1000, 0]),
        call(WRITE, &[1, DATA, 5]),
        call(MPROTECT, &[DATA, 0x1000, 1]),
        call(WRITE, &[1, DATA, 5]),
        Step::Touch(Access::Write, DATA),
    ]);
    assert_eq!(outcome.results.map_errno(), [0, -14, 0, 5]);
    assert!(
        outcome
            .printed
            .starts_with("hello\npv-kernel: p: killed by page fault (write to 0x403000")
    );
}

#[test]
fn exit_codes_other_than_0_are_told() {
    let outcome = run_steps(&[call(EXIT, &[0x103])]);
    assert_eq!(outcome.printed, "pv-kernel: p: exited with code 3\n");
}

#[test]
fn a_call_that_does_not_exist_is_told_once() {
    let outcome = run_steps(&[call(300, &[]), call(300, &[]), call(u64::MAX, &[])]);
    assert_eq!(outcome.results.map_errno(), [-38, -38, -38]);
    assert_eq!(
        outcome
            .printed
            .matches("300 (fanotify_init) is not implemented")
            .count(),
        1
    );
}

#[test]
fn pointers_into_nowhere_are_errors() {
    for address in [
        0,
        0xffff_8000_0020_8000,
        0xffff_ffff_8000_0000,
        u64::MAX,
        0x7fff_ffff_f000,
        1 << 47,
    ] {
        let outcome = run_steps(&[
            call(WRITE, &[1, address, 16]),
            call(READ, &[0, address, 16]),
            call(63, &[address]),
            call(158, &[0x1003, address]),
        ]);
        assert_eq!(outcome.results.map_errno(), [-14; 4], "{address:#x}");
    }
}

#[test]
fn a_module_that_cannot_be_used_is_told() {
    for (archive, message) in [
        (&b""[..], "no module"),
        (b"garbage", "no cpio archive"),
        (
            &crate::archive::tests::archive(&[("bin/p", b"")]),
            "neither etc/programs nor",
        ),
        (
            &crate::archive::tests::archive(&[("etc/programs", b"\n")]),
            "no program in it",
        ),
    ] {
        let outcome = run_model(Model::new(), archive);
        assert_eq!(outcome.verdict, Verdict::NothingToRun);
        assert!(outcome.printed.contains(message), "{}", outcome.printed);
    }
}

#[test]
fn a_program_that_cannot_be_started_is_told_and_the_next_one_runs() {
    let program = program();
    let archive = crate::archive::tests::archive(&[
        ("etc/programs", b"none\nbad\np\n"),
        ("bin/bad", b"no program"),
        ("bin/p", &program),
    ]);
    let mut model = Model::new();
    model.steps.push_back(call(WRITE, &[1, DATA, 5]));
    let outcome = run_model(model, &archive);
    assert_eq!(outcome.verdict, Verdict::Failed);
    assert!(outcome.printed.contains("none: not found"));
    assert!(outcome.printed.contains("bad: cannot be executed: no ELF64 file"));
    assert!(outcome.printed.ends_with("hello"));
}

fn address() -> impl Strategy<Value = u64> {
    prop_oneof![
        (0u64..0x40).prop_map(|page| TEXT - 0x1000 + page * 0x800),
        (0u64..0x10).prop_map(|page| STACK_TOP - page * 0x1000 - 8),
        (0u64..0x40).prop_map(|page| 0x10_0000_0000 + page * 0x1000),
        any::<u64>(),
        Just(0),
        Just(u64::MAX),
    ]
}

/// Calls on files that do not wait: numbers of descriptors, paths in the program's data, anything.
fn file_call() -> impl Strategy<Value = Step> {
    const CALLS: [u64; 44] = [
        0, 1, 2, 3, 4, 5, 6, 8, 16, 17, 18, 19, 20, 21, 32, 33, 40, 72, 73, 74, 76, 77, 79, 80, 82, 83, 84,
        85, 86, 87, 88, 89, 90, 94, 95, 133, 137, 217, 257, 258, 263, 280, 292, 436,
    ];
    let argument = prop_oneof![0u64..8, address(), any::<u64>(), Just(0xffff_ff9c), Just(DATA)];
    let arguments = prop::array::uniform6(argument);
    (prop::sample::select(CALLS.to_vec()), arguments)
        .prop_map(|(number, arguments)| Step::Call(number, arguments))
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let number = prop_oneof![0u64..20, Just(WRITEV), Just(63), Just(158), any::<u64>()];
    let small = prop_oneof![0u64..0x8000, any::<u64>()];
    let access = prop_oneof![Just(Access::Read), Just(Access::Write)];
    prop_oneof![
        4 => (number, address(), address(), small.clone(), small, any::<u64>())
            .prop_map(|(number, first, second, third, fourth, fifth)| {
                let first = if number < 2 || number == WRITEV { first % 4 } else { first };
                // Who polls nothing for ever waits for ever.
                let third = if number == POLL { 0 } else { third };
                Step::Call(number, [first, second, third, fourth, fifth, 0])
            }),
        4 => (address(), 1u64..0x2_0000, 0u64..8).prop_map(|(at, length, bits)| {
            Step::Call(MMAP, [at, length, bits, 0x22, 0, 0])
        }),
        2 => (address(), 1u64..0x2_0000).prop_map(|(at, length)| {
            Step::Call(MUNMAP, [at & !0xfff, length, 0, 0, 0, 0])
        }),
        2 => (address(), 1u64..0x2_0000, 0u64..8).prop_map(|(at, length, bits)| {
            Step::Call(MPROTECT, [at & !0xfff, length, bits, 0, 0, 0])
        }),
        6 => (access, address()).prop_map(|(access, address)| Step::Touch(access, address)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn no_program_breaks_the_kernel_or_keeps_a_frame(steps in prop::collection::vec(step(), 0..60)) {
        let mut model = Model::new();
        model.typed_later.extend([&b"x\n"[..]; 100]);
        model.steps.extend(steps);
        run_with(model);
    }

    #[test]
    fn no_call_on_files_breaks_the_kernel_or_keeps_a_frame(
        steps in prop::collection::vec(prop_oneof![4 => file_call(), 1 => step().boxed()], 0..60),
    ) {
        let mut model = Model::new();
        model.typed_later.extend([&b"x\n"[..]; 100]);
        model.steps.extend(steps);
        run_with(model);
    }
}
