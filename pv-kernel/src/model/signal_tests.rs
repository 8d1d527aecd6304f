//! Signals and time on the model.
#![cfg(test)]
use super::tests::{DATA, EXIT, MapErrno, Outcome, READ, TEXT, call, run_model};
use super::{Model, Step, WALL_CLOCK_NS};
use crate::exec::elf::tests::{Load, file};
use crate::mm::area::Access;
use linux_raw_sys::general as linux;
use proptest::prelude::*;

const SIGACTION: u64 = 13;
const SIGPROCMASK: u64 = 14;
const SIGRETURN: u64 = 15;
const PAUSE: u64 = 34;
const NANOSLEEP: u64 = 35;
const ALARM: u64 = 37;
const SETITIMER: u64 = 38;
const GETPID: u64 = 39;
const WAIT4: u64 = 61;
const KILL: u64 = 62;
const SETPGID: u64 = 109;
const SIGPENDING: u64 = 127;
const SIGSUSPEND: u64 = 130;
const SIGALTSTACK: u64 = 131;
const YIELD: u64 = 24;
const CLOCK_GETTIME: u64 = 228;
const ANY: u64 = u64::MAX;

const USR1: u64 = 10;
const TERM: u64 = 15;
const CHLD: u64 = 17;
const CONT: u64 = 18;
const STOP: u64 = 19;
const TSTP: u64 = 20;
const SEGV: u64 = 11;
const ALRM: u64 = 14;
const ILL: u64 = 4;
const HANDLER: u64 = TEXT + 2;

/// What lies in the program's data, by its place: actions, sets, times.
const PLAIN: u64 = DATA;
const RESTARTING: u64 = DATA + 32;
const IGNORED: u64 = DATA + 64;
const ON_STACK: u64 = DATA + 96;
const SET_USR1: u64 = DATA + 128;
const SET_EMPTY: u64 = DATA + 136;
const SECOND: u64 = DATA + 144;
const STACK: u64 = DATA + 160;
const NOWHERE: u64 = DATA + 192;
const NO_TIMER: u64 = DATA + 224;
const MICROSECOND: u64 = DATA + 256;
const SET_ALRM: u64 = DATA + 288;
const NESTING: u64 = DATA + 320;
const SMALL_STACK: u64 = DATA + 352;
/// An address that no processor takes.
const NON_CANONICAL: u64 = 1 << 63;
/// Room for results.
const ROOM: u64 = DATA + 0x800;
const ALTERNATE: u64 = DATA + 0x4000;

fn program() -> Vec<u8> {
    let restorer = u64::from(linux::SA_RESTORER);
    let action = |handler: u64, flags: u32| [handler, u64::from(flags) | restorer, TEXT, 0];
    let words = [
        action(HANDLER, 0),
        action(HANDLER, linux::SA_RESTART),
        action(1, 0),
        action(HANDLER, linux::SA_ONSTACK),
        [1 << (USR1 - 1), 0, 1, 0],
        [ALTERNATE, 0, 0x2000, 0],
        action(NON_CANONICAL, linux::SA_NODEFER | linux::SA_ONSTACK),
        [0; 4],
        [0, 1, 0, 1],
        [1 << (ALRM - 1), 0, 0, 0],
        action(HANDLER, linux::SA_ONSTACK | linux::SA_NODEFER),
        [ALTERNATE, 0, 0x800, 0],
    ];
    let data: Vec<u8> = words
        .concat()
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    let load = |flags, address, bytes, memory_size| Load {
        flags,
        address,
        bytes,
        memory_size,
    };
    file(
        TEXT,
        &[load(5, TEXT, b"code", 0x1800), load(6, DATA, data.leak(), 0x8000)],
    )
}

fn run(steps: &[Step]) -> Outcome {
    let mut model = Model::new();
    model.steps.extend(steps.iter().cloned());
    let program = program();
    let archive = crate::archive::tests::archive(&[("etc/programs", b"p\n"), ("bin/p", &program)]);
    run_model(model, &archive)
}

fn on(signal: u64, action: u64) -> Step {
    call(SIGACTION, &[signal, action, 0, 8])
}

#[test]
fn a_handler_runs_and_the_program_goes_on_where_it_was() {
    let outcome = run(&[
        on(USR1, PLAIN),
        Step::FillVectors(5),
        call(KILL, &[1, USR1]),
        Step::InHandler(USR1),
        Step::FillVectors(6),
        // The signal is blocked in its handler.
        call(KILL, &[1, USR1]),
        call(GETPID, &[]),
        Step::Return,
        Step::InHandler(USR1),
        Step::Return,
        Step::ExpectVectors(5),
        call(GETPID, &[]),
    ]);
    assert_eq!(outcome.printed, "");
    assert_eq!(outcome.results.last(), Some(&1));
}

#[test]
fn without_a_handler_a_signal_ends_its_process_and_the_parent_learns_it() {
    let outcome = run(&[
        Step::Fork(vec![call(PAUSE, &[])]),
        call(YIELD, &[]),
        call(KILL, &[2, TERM]),
        call(WAIT4, &[2, ROOM, 0, 0]),
        Step::Expect(ROOM, 15),
        Step::Expect(ROOM + 1, 0),
        call(KILL, &[2, TERM]),
    ]);
    assert_eq!(outcome.results.map_errno()[4..], [2, -3]);
}

#[test]
fn a_fault_is_its_handler_s_affair() {
    let outcome = run(&[
        on(ILL, PLAIN),
        Step::Trap(6),
        Step::InHandler(ILL),
        Step::Return,
        call(GETPID, &[]),
        // Blocked, it ends the program.
        call(SIGPROCMASK, &[2, STACK - 8, 0, 8]),
        Step::Trap(6),
        Step::InHandler(ILL),
        Step::Trap(6),
    ]);
    assert!(
        outcome
            .printed
            .contains("killed by invalid opcode at rip 0x401002"),
        "{}",
        outcome.printed
    );
}

#[test]
fn a_handler_that_is_no_address_ends_its_process_instead_of_being_called_for_ever() {
    // Each frame would lie below the one before, and the next one at the stack's top again.
    let outcome = run(&[
        on(SEGV, NOWHERE),
        call(SIGALTSTACK, &[STACK, 0]),
        Step::Touch(Access::Read, 8),
    ]);
    assert!(
        outcome.printed.contains("null dereference"),
        "{}",
        outcome.printed
    );
    // Another signal's is a fault of its own, which has a handler that can be called.
    let outcome = run(&[
        on(SEGV, PLAIN),
        on(USR1, NOWHERE),
        call(KILL, &[1, USR1]),
        Step::InHandler(SEGV),
        call(EXIT, &[0]),
    ]);
    assert_eq!(outcome.printed, "");
}

#[test]
fn stopped_children_are_seen_and_go_on() {
    let outcome = run(&[
        Step::Fork(vec![call(YIELD, &[]), call(YIELD, &[]), call(EXIT, &[3])]),
        call(KILL, &[2, STOP]),
        call(WAIT4, &[ANY, ROOM, 2, 0]),
        Step::Expect(ROOM, 0x7f),
        Step::Expect(ROOM + 1, 19),
        call(WAIT4, &[ANY, ROOM, 3, 0]),
        call(KILL, &[2, CONT]),
        call(WAIT4, &[ANY, ROOM, 8, 0]),
        Step::Expect(ROOM, 0xff),
        call(WAIT4, &[ANY, ROOM, 0, 0]),
        Step::Expect(ROOM + 1, 3),
    ]);
    assert_eq!(outcome.printed, "");
    assert_eq!(outcome.results.last(), Some(&2));
}

#[test]
fn a_stopped_process_can_be_killed() {
    run(&[
        Step::Fork(vec![call(PAUSE, &[])]),
        call(KILL, &[2, STOP]),
        call(WAIT4, &[ANY, ROOM, 2, 0]),
        call(KILL, &[2, 9]),
        call(WAIT4, &[ANY, ROOM, 0, 0]),
        Step::Expect(ROOM, 9),
    ]);
}

fn interrupted_wait(action: u64) -> Vec<i64> {
    let child = vec![call(KILL, &[1, USR1]), call(YIELD, &[]), call(YIELD, &[])];
    let steps = [
        on(USR1, action),
        Step::Fork(child),
        call(WAIT4, &[ANY, 0, 0, 0]),
        Step::InHandler(USR1),
        Step::Return,
    ];
    run(&steps).results.map_errno()
}

#[test]
fn a_call_that_waits_ends_with_an_error_or_is_made_again_as_the_handler_says() {
    // sigaction, fork; kill in the child; the handler's beginning; what rax is after it.
    assert!(interrupted_wait(PLAIN).contains(&-4));
    // The model's program does not go back in its steps: what is restored is the call's number.
    assert!(interrupted_wait(RESTARTING).contains(&61));
}

#[test]
fn a_signal_that_comes_to_nothing_does_not_end_a_wait() {
    let child = vec![call(KILL, &[1, CHLD]), call(KILL, &[1, USR1]), call(EXIT, &[4])];
    let outcome = run(&[
        on(USR1, IGNORED),
        Step::Fork(child),
        call(WAIT4, &[ANY, ROOM, 0, 0]),
        Step::Expect(ROOM + 1, 4),
    ]);
    assert_eq!(outcome.results.last(), Some(&2));
}

#[test]
fn children_of_a_parent_that_does_not_care_are_forgotten() {
    let outcome = run(&[
        on(CHLD, IGNORED),
        Step::Fork(vec![]),
        call(WAIT4, &[ANY, 0, 0, 0]),
    ]);
    assert_eq!(outcome.results.map_errno().last(), Some(&-10));
}

#[test]
fn a_blocked_signal_waits() {
    let outcome = run(&[
        on(USR1, PLAIN),
        call(SIGPROCMASK, &[0, SET_USR1, 0, 8]),
        call(KILL, &[1, USR1]),
        call(SIGPENDING, &[ROOM, 8]),
        Step::Expect(ROOM + 1, 2),
        call(SIGSUSPEND, &[SET_EMPTY, 8]),
        Step::InHandler(USR1),
        Step::Return,
        // The mask is the old one again.
        call(KILL, &[1, USR1]),
        call(GETPID, &[]),
    ]);
    assert_eq!(outcome.printed, "");
    assert!(outcome.results.map_errno().contains(&-4));
}

#[test]
fn a_handler_runs_on_the_stack_it_was_given() {
    run(&[
        on(USR1, ON_STACK),
        call(SIGALTSTACK, &[STACK, 0]),
        call(KILL, &[1, USR1]),
        Step::InHandler(USR1),
        Step::ExpectStack(ALTERNATE, ALTERNATE + 0x2000),
        Step::Return,
        Step::ExpectStack(1 << 46, 1 << 47),
    ]);
}

#[test]
fn an_alternate_stack_that_is_used_up_ends_the_program_although_there_is_memory_below() {
    let outcome = run(&[
        on(USR1, NESTING),
        call(SIGALTSTACK, &[SMALL_STACK, 0]),
        call(KILL, &[1, USR1]),
        Step::InHandler(USR1),
        Step::ExpectStack(ALTERNATE, ALTERNATE + 0x800),
        call(KILL, &[1, USR1]),
        Step::InHandler(USR1),
    ]);
    assert!(
        outcome.printed.contains("killed by signal 11"),
        "{}",
        outcome.printed
    );
}

#[test]
fn who_nobody_could_make_go_on_is_not_stopped_by_the_terminal() {
    let outcome = run(&[
        call(KILL, &[1, TSTP]),
        call(GETPID, &[]),
        // Whose parent is of the same session and of another group is.
        Step::Fork(vec![call(SETPGID, &[0, 0]), call(KILL, &[2, TSTP])]),
        call(WAIT4, &[2, ROOM, 2, 0]),
        Step::Expect(ROOM, 0x7f),
        Step::Expect(ROOM + 1, 20),
        call(KILL, &[2, CONT]),
        call(WAIT4, &[2, ROOM, 0, 0]),
    ]);
    assert_eq!(outcome.printed, "");
    assert_eq!(outcome.results.last(), Some(&2));
}

#[test]
fn a_frame_that_cannot_be_written_ends_the_program() {
    for stack in [8, TEXT + 0x1000, 1 << 47, u64::MAX] {
        let outcome = run(&[on(USR1, PLAIN), Step::SetStack(stack), call(KILL, &[1, USR1])]);
        assert!(
            outcome.printed.contains("killed by signal 11"),
            "{stack:#x}: {}",
            outcome.printed
        );
    }
}

#[test]
fn sleep_takes_its_time_and_clocks_show_it() {
    let outcome = run(&[
        call(NANOSLEEP, &[SECOND, 0]),
        call(CLOCK_GETTIME, &[0, ROOM]),
        Step::Expect(ROOM, ((WALL_CLOCK_NS / 1_000_000_000) as u8).wrapping_add(1)),
        call(CLOCK_GETTIME, &[1, ROOM]),
        Step::Expect(ROOM, 1),
        call(CLOCK_GETTIME, &[77, ROOM]),
    ]);
    assert_eq!(outcome.results.map_errno(), [0, 0, 0, -22]);
}

#[test]
fn an_alarm_ends_a_pause() {
    let outcome = run(&[
        on(ALRM, PLAIN),
        call(ALARM, &[2]),
        call(PAUSE, &[]),
        Step::InHandler(ALRM),
        call(CLOCK_GETTIME, &[1, ROOM]),
        Step::Expect(ROOM, 2),
        Step::Return,
        call(ALARM, &[0]),
    ]);
    assert!(outcome.results.map_errno().contains(&-4));
    assert_eq!(outcome.results.last(), Some(&0));
}

/// Sets a timer whose signals come faster than the model's programs can do a step.
fn restless() -> Step {
    call(SETITIMER, &[0, MICROSECOND, 0])
}

#[test]
fn a_timer_without_rest_stops_nobody() {
    let blocked = [
        on(ALRM, PLAIN),
        call(SIGPROCMASK, &[0, SET_ALRM, 0, 8]),
        restless(),
    ];
    let ignored = [on(ALRM, IGNORED), restless()];
    for before in [blocked.as_slice(), &ignored] {
        let child = [before, &[call(KILL, &[2, STOP])]].concat();
        let steps = [
            Step::Fork(child),
            call(WAIT4, &[2, ROOM, 2, 0]),
            Step::Expect(ROOM, 0x7f),
            call(KILL, &[2, 9]),
            call(WAIT4, &[2, ROOM, 0, 0]),
            Step::Expect(ROOM, 9),
        ];
        assert_eq!(run(&steps).results.last(), Some(&2));
        // Nor its own process, which has nothing to do about it.
        let alone = [before, &vec![call(GETPID, &[]); 3]].concat();
        assert_eq!(run(&alone).results.last(), Some(&1));
    }
}

#[test]
fn an_interval_timer_comes_again_when_its_signal_was_delivered() {
    let outcome = run(&[
        on(ALRM, PLAIN),
        restless(),
        Step::InHandler(ALRM),
        Step::Return,
        Step::InHandler(ALRM),
        Step::Return,
        Step::InHandler(ALRM),
        call(SETITIMER, &[0, NO_TIMER, ROOM]),
        // Its signal has come and is blocked: nothing is left of the time, and it would come again.
        Step::Expect(ROOM + 8, 1),
        Step::Expect(ROOM + 24, 0),
    ]);
    assert_eq!(outcome.printed, "");
}

#[test]
fn a_timer_whose_signal_nobody_wanted_goes_on_when_somebody_does() {
    let outcome = run(&[
        on(ALRM, IGNORED),
        restless(),
        call(GETPID, &[]),
        on(ALRM, PLAIN),
        Step::InHandler(ALRM),
        call(EXIT, &[0]),
    ]);
    assert_eq!(outcome.printed, "");
}

#[test]
fn ctrl_c_ends_a_program_that_computes() {
    let mut model = Model::new();
    model.typed_later.push_back(b"\x03");
    // It sleeps until the key is typed, then touches memory for ever, as far as the test goes.
    model.steps.push_back(call(NANOSLEEP, &[SECOND, 0]));
    model.steps.extend((0..1000).map(|_| Step::Store(ROOM, 1)));
    let program = program();
    let archive = crate::archive::tests::archive(&[("etc/programs", b"p\n"), ("bin/p", &program)]);
    let outcome = run_model(model, &archive);
    assert!(
        outcome
            .printed
            .contains("p: killed by interrupt from the keyboard"),
        "{}",
        outcome.printed
    );
}

#[test]
fn two_that_compute_share_the_time() {
    let compute = || (0..100).map(|_| Step::Store(ROOM, 1));
    let child: Vec<Step> = compute().chain([call(EXIT, &[1])]).collect();
    let steps: Vec<Step> = [Step::Fork(child)]
        .into_iter()
        .chain(compute())
        .chain([call(WAIT4, &[ANY, 0, 1, 0])])
        .collect();
    // The child has not come to its end only because it was given its turns.
    assert_eq!(run(&steps).results[..2], [2, 0]);
    assert_eq!(run(&steps).results.len(), 3);
}

#[test]
fn a_process_in_a_read_can_be_killed() {
    run(&[
        Step::Fork(vec![call(READ, &[0, ROOM, 1])]),
        call(YIELD, &[]),
        call(KILL, &[2, 9]),
        call(WAIT4, &[ANY, ROOM, 0, 0]),
        Step::Expect(ROOM, 9),
    ]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn no_frame_gives_a_program_more_than_ring_3_has(
        noise in prop::collection::vec((0u64..500, any::<u8>()), 0..200),
    ) {
        let mut steps = vec![Step::SetStack(ROOM + 8)];
        steps.extend(noise.into_iter().map(|(at, byte)| Step::Store(ROOM + at, byte)));
        // No image of the vector registers, so that the rest is looked at.
        steps.extend((0..8).map(|at| Step::Store(ROOM + 48 + 184 + at, 0)));
        steps.push(call(SIGRETURN, &[]));
        run(&steps);
    }
}
