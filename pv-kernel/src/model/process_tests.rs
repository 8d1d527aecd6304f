//! Several processes on the model.
#![cfg(test)]
use super::tests::{
    DATA, EXIT, MMAP, MPROTECT, MUNMAP, MapErrno, TEXT, WRITE, call, program, run_steps, step,
};
use super::{FIRST_FREE, FRAMES, KERNEL_ROOT, Model, Step};
use crate::addr::{FIRST_KERNEL_SLOT, Pfn};
use crate::kernel::Kernel;
use crate::machine::Tables;
use crate::mm::area::Access;
use crate::mm::frames::{FrameState, FrameTable};
use crate::options::Options;
use crate::proc::{Program, Status};
use crate::resident::walk;
use crate::run::Verdict;
use proptest::prelude::*;

const WAIT4: u64 = 61;
const EXECVE: u64 = 59;
const GETPID: u64 = 39;
const GETPPID: u64 = 110;
const SETPGID: u64 = 109;
const GETPGID: u64 = 121;
const SETSID: u64 = 112;
const YIELD: u64 = 24;
const PAUSE: u64 = 34;
const KILL: u64 = 62;
const UNAME: u64 = 63;
const ANY: u64 = u64::MAX;

fn wait() -> Step {
    call(WAIT4, &[ANY, 0, 0, 0])
}

#[test]
fn a_child_gets_0_and_its_parent_its_number_and_its_code() {
    let outcome = run_steps(&[
        Step::Fork(vec![call(GETPID, &[]), call(GETPPID, &[]), call(EXIT, &[7])]),
        call(WAIT4, &[ANY, DATA, 0, 0]),
        Step::Expect(DATA, 0),
        Step::Expect(DATA + 1, 7),
        wait(),
    ]);
    assert_eq!(outcome.results.map_errno(), [2, 0, 2, 1, 2, -10]);
}

#[test]
fn what_one_writes_the_other_does_not_see() {
    let outcome = run_steps(&[
        Step::Store(DATA, 1),
        Step::Fork(vec![
            Step::Expect(DATA, 1),
            Step::Store(DATA, 2),
            call(YIELD, &[]),
            Step::Expect(DATA, 2),
            // The kernel's own write.
            call(UNAME, &[DATA]),
            Step::Expect(DATA, b'L'),
        ]),
        Step::Store(DATA, 3),
        call(YIELD, &[]),
        Step::Expect(DATA, 3),
        wait(),
        Step::Expect(DATA, 3),
    ]);
    assert_eq!(outcome.printed, "");
}

#[test]
fn a_page_that_only_one_is_left_with_is_written_in_place() {
    run_steps(&[
        Step::Store(DATA, 1),
        Step::Fork(vec![]),
        wait(),
        Step::Store(DATA, 2),
        Step::Expect(DATA, 2),
    ]);
}

#[test]
fn protection_never_makes_a_shared_page_writable() {
    run_steps(&[
        Step::Store(DATA, 1),
        Step::Fork(vec![
            call(MPROTECT, &[DATA, 0x1000, 1]),
            call(MPROTECT, &[DATA, 0x1000, 3]),
            Step::Store(DATA, 2),
        ]),
        wait(),
        Step::Expect(DATA, 1),
    ]);
}

#[test]
fn each_has_vector_registers_of_its_own() {
    run_steps(&[
        Step::FillVectors(1),
        Step::Fork(vec![
            Step::ExpectVectors(1),
            Step::FillVectors(2),
            call(YIELD, &[]),
            Step::ExpectVectors(2),
        ]),
        call(YIELD, &[]),
        Step::ExpectVectors(1),
        wait(),
        Step::ExpectVectors(1),
    ]);
}

fn archive() -> Vec<u8> {
    let mut with_arguments = program();
    let at = with_arguments.len() - super::tests::HELLO.len();
    // In the data of `p`: a path, and a list of one string, itself.
    let mut data = Vec::new();
    data.extend(b"/bin/q\0\0");
    data.extend(DATA.to_le_bytes());
    data.resize(super::tests::HELLO.len(), 0);
    with_arguments[at..].copy_from_slice(&data);
    crate::archive::tests::archive(&[
        ("etc/programs", b"p\n"),
        ("bin/p", &with_arguments),
        ("bin/q", &program()),
    ])
}

#[test]
fn another_program_takes_the_place_of_the_first_and_keeps_the_number() {
    let mut model = Model::new();
    let next = vec![
        Step::ExpectVectors(0),
        Step::Expect(DATA, b'h'),
        call(GETPID, &[]),
        call(WRITE, &[1, DATA, 5]),
    ];
    model.steps.extend([
        Step::FillVectors(1),
        Step::Store(DATA + 0x1000, 1),
        Step::Exec(EXECVE, [DATA, DATA + 8, 0, 0, 0, 0], next),
    ]);
    let outcome = super::tests::run_model(model, &archive());
    assert_eq!(outcome.results, [1, 5]);
    assert_eq!(outcome.printed, "hello");
}

#[test]
fn a_program_that_cannot_be_executed_leaves_the_old_one() {
    let mut model = Model::new();
    let exec = |path, arguments| Step::Exec(EXECVE, [path, arguments, 0, 0, 0, 0], vec![]);
    model.steps.extend([
        exec(DATA + 2, 0),
        exec(DATA + 0x800, 0),
        exec(0, 0),
        exec(DATA, 8),
        exec(TEXT, 0),
        Step::Expect(DATA, b'/'),
    ]);
    let outcome = super::tests::run_model(model, &archive());
    assert_eq!(outcome.results.map_errno(), [-2, -2, -14, -14, -2]);
}

#[test]
fn the_parent_of_a_vfork_goes_on_when_the_child_has_ended() {
    let child = vec![call(YIELD, &[]), call(YIELD, &[]), call(GETPPID, &[])];
    let outcome = run_steps(&[Step::Vfork(child), wait()]);
    assert_eq!(outcome.results.map_errno(), [0, 0, 0, 1, 2, 2]);
}

#[test]
fn the_parent_of_a_vfork_goes_on_when_the_child_has_another_program() {
    let next = vec![call(YIELD, &[]), call(GETPPID, &[])];
    let child = vec![
        call(YIELD, &[]),
        Step::Exec(EXECVE, [DATA, DATA + 8, 0, 0, 0, 0], next),
    ];
    let mut model = Model::new();
    model.steps.extend([Step::Vfork(child), wait()]);
    let outcome = super::tests::run_model(model, &archive());
    // The child's vfork and yield; while its new program yields, its parent goes on.
    assert_eq!(outcome.results.map_errno(), [0, 0, 2, 0, 1, 2]);
}

fn orphan() -> Vec<Step> {
    let grandchild = vec![call(YIELD, &[]), call(YIELD, &[]), call(GETPPID, &[])];
    vec![
        Step::Fork(vec![Step::Fork(grandchild), call(EXIT, &[0])]),
        wait(),
        call(YIELD, &[]),
        call(YIELD, &[]),
        wait(),
    ]
}

#[test]
fn orphans_are_the_first_process_s() {
    let mut model = Model::new();
    model.steps.extend(orphan());
    let archive = crate::archive::tests::archive(&[("sbin/init", &program())]);
    let outcome = super::tests::run_model(model, &archive);
    assert!(outcome.results.contains(&1), "{:?}", outcome.results);
    assert_eq!(outcome.results.last(), Some(&3));
}

#[test]
fn without_a_first_process_orphans_are_the_kernel_s() {
    let outcome = run_steps(&orphan());
    assert!(!outcome.results.contains(&1), "{:?}", outcome.results);
    assert_eq!(outcome.results.map_errno().last(), Some(&-10));
}

#[test]
fn groups_and_sessions_are_kept_as_on_linux() {
    let outcome = run_steps(&[
        Step::Fork(vec![
            call(SETPGID, &[0, 0]),
            call(GETPGID, &[0]),
            call(SETSID, &[]),
            call(SETPGID, &[0, 1]),
            call(SETPGID, &[0, 77]),
            call(SETPGID, &[77, 1]),
            call(GETPGID, &[1]),
            call(EXIT, &[]),
        ]),
        wait(),
        call(SETSID, &[]),
        call(SETPGID, &[0, 0]),
    ]);
    assert_eq!(
        outcome.results.map_errno(),
        [2, 0, 0, 2, -1, 0, -1, -3, 1, 2, -1, -1]
    );
}

#[test]
fn a_program_that_ends_takes_its_children_with_it() {
    let outcome = run_steps(&[Step::Fork(vec![call(0, &[0, DATA, 1])]), call(YIELD, &[])]);
    assert_eq!(outcome.verdict, Verdict::Done);
}

#[test]
fn forking_until_nothing_is_left_ends_in_errors_and_keeps_nothing() {
    fn bomb(depth: usize) -> Vec<Step> {
        if depth == 0 {
            return vec![call(YIELD, &[])];
        }
        let mut steps = vec![Step::Store(DATA, 1), Step::Store(DATA + 0x1000, 1)];
        steps.extend((0..3).map(|_| Step::Fork(bomb(depth - 1))));
        steps.extend((0..3).map(|_| wait()));
        steps
    }
    let outcome = run_steps(&bomb(4));
    assert!(
        outcome.results.map_errno().contains(&-12),
        "no fork was refused: {:?} {}",
        outcome.results.map_errno(),
        outcome.printed
    );
}

/// Every frame has exactly as many uses as there are entries that name it, and tables and roots are used once.
fn audit(kernel: &Kernel<'_, Model>) {
    let mut uses = vec![0; FRAMES as usize];
    let roots: Vec<Pfn> = kernel
        .processes
        .entries()
        .iter()
        .filter_map(|entry| entry.process().map(|process| process.memory.root()))
        .collect();
    for root in roots {
        count(&kernel.machine, root, 4, &mut uses);
    }
    for frame in FIRST_FREE..FRAMES {
        assert_eq!(
            kernel.frames.uses(Pfn(frame)),
            uses[frame as usize],
            "frame {frame}"
        );
    }
}

fn count(model: &Model, table: Pfn, level: u8, uses: &mut [u32]) {
    uses[table.0 as usize] += 1;
    let entries = if level == 4 { FIRST_KERNEL_SLOT } else { 512 };
    for index in 0..entries {
        let entry = model.entry(table, index);
        let named = walk::frame_of(model, entry);
        if level > 1 && walk::is_present(entry) {
            count(model, named, level - 1, uses);
        } else if level == 1 && entry != 0 {
            uses[named.0 as usize] += 1;
        }
    }
}

fn family() -> impl Strategy<Value = Vec<Step>> {
    let leaf = prop_oneof![
        4 => step(),
        2 => (0u64..6).prop_map(|page| Step::Store(DATA + page * 0x800, 9)),
        1 => Just(call(YIELD, &[])),
        1 => Just(wait()),
        1 => Just(call(WAIT4, &[ANY, 0, 1, 0])),
        1 => Just(call(MMAP, &[0x10_0000_0000, 0x4000, 3, 0x32, 0, 0])),
        1 => Just(call(MUNMAP, &[0x10_0000_0000, 0x2000])),
    ];
    let steps = prop::collection::vec(leaf, 0..14);
    steps.prop_recursive(3, 40, 5, |inner| {
        prop::collection::vec(
            prop_oneof![
                2 => step().prop_map(|step| vec![step]),
                2 => inner.prop_map(|child| vec![Step::Fork(child)]),
                1 => Just(vec![wait()]),
                1 => Just(vec![call(YIELD, &[])]),
            ],
            0..8,
        )
        .prop_map(|steps| steps.concat())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn use_counts_are_exact_whatever_a_family_does(steps in family()) {
        let mut model = Model::new();
        model.typed_later.extend([&b"x\n"[..]; 1000]);
        model.steps.extend(steps);
        let mut states = vec![FrameState::default(); (FRAMES - FIRST_FREE) as usize];
        let frames = FrameTable::new(Pfn(FIRST_FREE), &mut states);
        let archive = archive();
        let mut kernel = Kernel::new(model, frames, KERNEL_ROOT, &archive, "guest", Options::default());
        kernel.load_files().unwrap();
        let started = kernel.start(Program::from_list(&[b"p"])).unwrap();
        kernel.started = Some(started);
        while kernel.ended.is_none() {
            kernel.step();
            audit(&kernel);
        }
        kernel.end_all();
        prop_assert_eq!(kernel.frames.free(), kernel.frames.len());
        kernel.machine.assert_as_at_start();
    }
}

#[test]
fn a_first_process_s_code_is_the_kernel_s() {
    let mut model = Model::new();
    model.steps.push_back(call(EXIT, &[5]));
    let archive = crate::archive::tests::archive(&[("sbin/init", &program())]);
    let outcome = super::tests::run_model(model, &archive);
    assert_eq!(outcome.verdict, Verdict::Init(Status::Exited(5)));
    assert_eq!(outcome.verdict.code(), 5);
}

#[test]
fn a_kernel_without_memory_of_its_own_refuses_and_goes_on() {
    let outcome = run_steps(&[
        Step::Fork(vec![call(EXIT, &[3])]),
        Step::FillHeap,
        Step::Fork(vec![]),
        call(MMAP, &[0, 0x1000, 3, 0x22, 0, 0]),
        Step::Exec(EXECVE, [DATA, 0, 0, 0, 0, 0], vec![]),
        call(MUNMAP, &[DATA, 0x1000]),
        wait(),
        Step::Store(DATA + 0x1000, 1),
    ]);
    assert_eq!(outcome.results.map_errno(), [2, -12, -12, -12, -12, 0, 2]);
    assert_eq!(outcome.printed, "");
}

/// Touches so many pages, one every `stride`, and then does the rest.
fn hog(pages: u64, stride: u64, rest: &[Step]) -> Vec<Step> {
    let start = 0x10_0000_0000;
    let map = call(MMAP, &[start, pages * stride, 3, 0x32, u64::MAX, 0]);
    let touches = (0..pages).map(|index| Step::Store(start + index * stride, 1));
    [map]
        .into_iter()
        .chain(touches)
        .chain(rest.iter().cloned())
        .collect()
}

/// Forks a process that has all its memory before the next step.
fn fork_and_let_it_grow(child: Vec<Step>) -> impl Iterator<Item = Step> {
    let turns = child.len() + 1;
    [Step::Fork(child)]
        .into_iter()
        .chain((0..turns).map(|_| call(YIELD, &[])))
}

#[test]
fn the_first_process_lives_when_memory_runs_out_and_the_largest_other_ends() {
    let child = hog(150, 0x1000, &[call(PAUSE, &[])]);
    let mut steps: Vec<Step> = fork_and_let_it_grow(child).collect();
    steps.extend(hog(300, 0x1000, &[]));
    steps.push(call(WAIT4, &[ANY, DATA, 0, 0]));
    steps.push(Step::Expect(DATA, 9));
    let mut model = Model::new();
    model.steps.extend(steps);
    let archive = crate::archive::tests::archive(&[("sbin/init", &program())]);
    let outcome = super::tests::run_model(model, &archive);
    assert_eq!(outcome.printed.matches("killed by out of memory").count(), 1);
    assert_eq!(outcome.verdict, Verdict::Init(Status::Exited(0)));
}

#[test]
fn who_holds_the_most_goes_when_memory_runs_out_and_not_who_comes_next() {
    let mut steps: Vec<Step> = fork_and_let_it_grow(hog(250, 0x1000, &[call(PAUSE, &[])])).collect();
    steps.extend([
        Step::Fork(hog(150, 0x1000, &[call(EXIT, &[7])])),
        call(WAIT4, &[ANY, DATA, 0, 0]),
        Step::Expect(DATA, 9),
        call(WAIT4, &[ANY, DATA, 0, 0]),
        Step::Expect(DATA + 1, 7),
    ]);
    let outcome = run_steps(&steps);
    assert_eq!(outcome.printed.matches("killed by out of memory").count(), 1);
}

#[test]
fn page_tables_weigh_as_much_as_pages() {
    // Each of these pages has a table of its own: 2 frames for each. The other one holds 150 pages.
    let mut steps: Vec<Step> = fork_and_let_it_grow(hog(150, 0x1000, &[call(PAUSE, &[])])).collect();
    steps.extend([
        Step::Fork(hog(200, 0x20_0000, &[call(EXIT, &[7])])),
        call(WAIT4, &[ANY, DATA, 0, 0]),
        Step::Expect(DATA, 9),
        call(KILL, &[2, 9]),
        call(WAIT4, &[2, DATA, 0, 0]),
        Step::Expect(DATA, 9),
    ]);
    let outcome = run_steps(&steps);
    assert_eq!(outcome.printed.matches("killed by out of memory").count(), 1);
    let waited = outcome.results.map_errno();
    assert!(waited.ends_with(&[3, 0, 2]), "{waited:?}");
}

#[test]
fn many_small_ones_of_another_group_go_before_a_larger_one() {
    let child = |group| {
        let mut steps = vec![call(SETPGID, &[0, group])];
        steps.extend(hog(5, 0x1000, &[call(PAUSE, &[])]));
        steps
    };
    let mut steps = vec![Step::Touch(Access::Read, DATA)];
    // Each takes 11 frames, two of three in all; the first makes the group.
    steps.extend(fork_and_let_it_grow(child(0)));
    steps.extend((0..19).flat_map(|_| fork_and_let_it_grow(child(2))));
    steps.extend(hog(180, 0x1000, &[call(WRITE, &[1, DATA, 5])]));
    let outcome = run_steps(&steps);
    assert!(outcome.printed.ends_with("hello"), "{}", outcome.printed);
    let killed = outcome.printed.matches("killed by out of memory").count();
    assert!((1..10).contains(&killed), "{}", outcome.printed);
}

#[test]
fn the_kernels_own_accesses_get_room_too() {
    let start = 0x20_0000_0000;
    let mut steps: Vec<Step> = fork_and_let_it_grow(hog(200, 0x1000, &[call(PAUSE, &[])])).collect();
    steps.push(call(MMAP, &[start, 0x20_0000, 3, 0x32, u64::MAX, 0]));
    let pages = (0..190).map(|page| start + page * 0x1000);
    steps.extend(pages.map(|page| call(UNAME, &[page])));
    steps.push(call(WAIT4, &[ANY, DATA, 0, 0]));
    steps.push(Step::Expect(DATA, 9));
    let outcome = run_steps(&steps);
    let results = outcome.results.map_errno();
    assert!(!results.contains(&-12), "{results:?}");
}

#[test]
fn what_the_hypervisor_has_no_program_gets_and_all_of_it_comes_back() {
    let page = |index: u64| 0x10_0000_0000 + index * 0x1000;
    let mut model = Model::new();
    model
        .steps
        .push_back(call(MMAP, &[page(0), 0x20_0000, 3, 0x32, u64::MAX, 0]));
    model
        .steps
        .extend((0..200).map(|index| Step::Store(page(index), 1)));
    let mut states = vec![FrameState::default(); (FRAMES - FIRST_FREE) as usize];
    let frames = FrameTable::new(Pfn(FIRST_FREE), &mut states);
    let archive = archive();
    let options = Options::parse(b"balloon=250");
    let mut kernel = Kernel::new(model, frames, KERNEL_ROOT, &archive, "guest", options);
    assert_eq!(crate::run::all(&mut kernel), Verdict::Done);
    assert_eq!(kernel.frames.free(), kernel.frames.len());
    kernel.machine.assert_as_at_start();
    let printed = String::from_utf8_lossy(&kernel.machine.printed).into_owned();
    assert!(printed.contains("killed by out of memory"), "{printed}");
    assert!(printed.ends_with("250 frames are back\n"), "{printed}");
    // It never takes the last ones.
    assert_eq!(kernel.balloon(u64::MAX), kernel.frames.len() - 64);
}
