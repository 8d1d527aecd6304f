//! Chains that end well, and those that a guest has made to do something else.
use super::*;
use crate::crash::symbols::tests::module;
use crate::testing::world::{Bench, PAGES, at};
use proptest::prelude::*;

const STACK: u64 = 0xffff_c000_0000_1000;
/// The last word of the address space.
const TOP: u64 = u64::MAX - 7;

/// Frames at places above [`STACK`]: offset, next frame pointer, return address; what is below 0x1000 is code.
struct Frames<'a>(&'a [(u64, u64, u64)]);

impl Stack for Frames<'_> {
    fn frame(&mut self, at: u64) -> Option<[u64; 2]> {
        let frame = self.0.iter().find(|(offset, ..)| STACK + offset == at)?;
        Some([frame.1, frame.2])
    }

    fn is_code(&self, address: u64) -> bool {
        address < 0x1000
    }
}

fn start(rsp: u64, rbp: u64) -> Start {
    Start {
        rip: Some(0x100),
        interrupted: None,
        ring: Ring::Kernel,
        rsp,
        rbp,
    }
}

fn follow(rbp: u64, frames: &[(u64, u64, u64)]) -> Backtrace {
    Backtrace::follow(start(STACK, rbp), &mut Frames(frames))
}

#[test]
fn a_whole_chain_is_followed_to_its_end() {
    let found = follow(
        STACK,
        &[
            (0, STACK + 0x20, 0x200),
            (0x20, STACK + 0x40, 0x300),
            (0x40, 0, 0x400),
        ],
    );
    assert_eq!(found.rip, Some(0x100));
    assert_eq!(found.callers(), [0x200, 0x300, 0x400]);
    assert_eq!(found.end(), End::Outermost);
    let found = follow(STACK, &[(0, STACK + 0x20, 0x200), (0x20, 7, 0)]);
    assert_eq!((found.callers(), found.end()), (&[0x200][..], End::Outermost));
}

#[test]
fn a_chain_that_does_not_rise_ends() {
    let itself = follow(STACK, &[(0, STACK, 0x200)]);
    assert_eq!(
        (itself.callers(), itself.end()),
        (&[0x200][..], End::NoFrame(STACK))
    );
    let two = follow(STACK, &[(0, STACK + 0x20, 0x200), (0x20, STACK, 0x300)]);
    assert_eq!(
        (two.callers(), two.end()),
        (&[0x200, 0x300][..], End::NoFrame(STACK))
    );
}

#[test]
fn what_cannot_be_a_frame_is_not_read() {
    struct Untouchable;
    impl Stack for Untouchable {
        fn frame(&mut self, at: u64) -> Option<[u64; 2]> {
            unreachable!("{at:#x} is read")
        }
        fn is_code(&self, _: u64) -> bool {
            true
        }
    }
    for rbp in [1, 0x1000, STACK - 8, STACK + 1] {
        let found = Backtrace::follow(start(STACK, rbp), &mut Untouchable);
        assert_eq!((found.callers(), found.end()), (&[][..], End::NoFrame(rbp)));
    }
    let program = Start {
        ring: Ring::Program,
        ..start(STACK, STACK)
    };
    let found = Backtrace::follow(program, &mut Untouchable);
    assert_eq!((found.callers(), found.end()), (&[][..], End::Program));
}

#[test]
fn a_chain_to_nothing_and_one_to_data_end() {
    let nothing = follow(STACK, &[(0, STACK + 0x20, 0x200)]);
    assert_eq!(nothing.end(), End::Unreadable(STACK + 0x20));
    let data = follow(STACK, &[(0, STACK + 0x20, 0x200), (0x20, 0, 0x5000)]);
    assert_eq!((data.callers(), data.end()), (&[0x200][..], End::NotCode(0x5000)));
    let top = follow(TOP, &[]);
    assert_eq!(top.end(), End::Unreadable(TOP));
}

#[test]
fn a_recursion_is_cut() {
    let chain = |length: u64| -> Vec<_> {
        let next = |n| if n + 1 < length { STACK + (n + 1) * 16 } else { 0 };
        (0..length).map(|n| (n * 16, next(n), 0x200)).collect()
    };
    let most = MOST_FRAMES as u64;
    for (length, shown, end) in [
        (100, MOST_FRAMES, End::Long),
        (most + 1, MOST_FRAMES, End::Long),
        (most, MOST_FRAMES, End::Outermost),
        (most - 1, MOST_FRAMES - 1, End::Outermost),
    ] {
        let found = follow(STACK, &chain(length));
        assert_eq!((found.callers().len(), found.end()), (shown, end), "{length}");
    }
}

/// A domain whose page 0 holds a frame at its beginning.
fn bench(next: u64, return_address: u64) -> Bench {
    let mut bench = Bench::new(1);
    bench.write(0, at(0, 0), &[next, return_address]);
    bench
}

fn of_guest(bench: &mut Bench, rbp: u64, symbols: Symbols<'_>) -> Backtrace {
    let mut stack = GuestStack {
        frames: &bench.world.frames,
        mem: &mut bench.world.mem,
        domain: &bench.domains[0].memory,
        symbols,
    };
    Backtrace::follow(start(0, rbp), &mut stack)
}

#[test]
fn a_guests_chain_is_read_through_its_tables_and_ends_at_the_slot_at_a_loop_and_at_nothing() {
    let names = module(&[(0x1000, 0x100, "main")]);
    let symbols = Symbols::parse(&names);
    let slot = abi::layout::SLOT_BASE + 0x20_8000;
    for (next, end) in [
        (0, End::Outermost),
        (at(0, 0), End::NoFrame(at(0, 0))),
        (PAGES - 4096, End::NoFrame(PAGES - 4096)),
        (at(4, 0), End::Unreadable(at(4, 0))),
        (0x0000_8000_0000_0000, End::Unreadable(0x0000_8000_0000_0000)),
        (slot, End::Unreadable(slot)),
        (slot - 8, End::Unreadable(slot - 8)),
        (TOP, End::Unreadable(TOP)),
    ] {
        let found = of_guest(&mut bench(next, 0x1010), at(0, 0), symbols);
        assert_eq!((found.callers(), found.end()), (&[0x1010][..], end));
    }
}

#[test]
fn a_return_address_is_one_of_the_kernels_functions_or_where_none_is_known_something_that_runs() {
    let names = module(&[(0x1000, 0x100, "main")]);
    for (address, symbols, end) in [
        (0x1100, Symbols::parse(&names), End::Outermost),
        (0x1000, Symbols::parse(&names), End::NotCode(0x1000)),
        (at(1, 0), Symbols::parse(&names), End::NotCode(at(1, 0))),
        (0x1010, Symbols::NONE, End::NotCode(0x1010)),
        (at(1, 0), Symbols::NONE, End::Outermost),
    ] {
        assert_eq!(of_guest(&mut bench(0, address), at(0, 0), symbols).end(), end);
    }
}

fn registers(rip: u64, cs: u16) -> Registers {
    let mut general = [Some(0); 15];
    general[2] = Some(0x40_0010);
    general[6] = Some(STACK + 0x40);
    Registers {
        general,
        rip: Some(rip),
        cs: Some(u64::from(cs)),
        rflags: Some(2),
        rsp: Some(STACK),
        ss: Some(0),
    }
}

#[test]
fn what_a_handler_that_never_ran_would_have_interrupted_is_read_from_its_frame() {
    let kernel = u64::from(abi::selector::KERNEL_CS);
    let user = u64::from(abi::selector::USER_CS);
    // Below, as the bounce leaves it; above it, as the CPU does.
    let frames = [(0, 0x222, kernel), (8, 0x333, user), (0x40, 0, 0x400)];
    for (arrival, interrupted, ring) in [
        (None, None, Ring::Kernel),
        (Some(Arrival::WithoutErrorCode), Some(0x222), Ring::Kernel),
        (Some(Arrival::WithErrorCode), Some(0x333), Ring::Program),
        (Some(Arrival::Syscall), Some(0x40_0010), Ring::Program),
    ] {
        let found = Start::of(
            &registers(0x100, abi::selector::KERNEL_CS),
            arrival,
            &mut Frames(&frames),
        );
        let expected = Start {
            rip: Some(0x100),
            interrupted,
            ring,
            rsp: STACK,
            rbp: STACK + 0x40,
        };
        assert_eq!(found, Some(expected), "{arrival:?}");
    }
}

#[test]
fn what_is_gone_is_not_made_up() {
    let whole = registers(0x100, abi::selector::KERNEL_CS);
    let mut no_frame_pointer = whole;
    no_frame_pointer.general[6] = None;
    for gone in [
        no_frame_pointer,
        Registers { rsp: None, ..whole },
        Registers { cs: None, ..whole },
    ] {
        assert_eq!(Start::of(&gone, None, &mut Frames(&[])), None);
    }
    let no_rip = Registers { rip: None, ..whole };
    assert_eq!(Start::of(&no_rip, None, &mut Frames(&[])).unwrap().rip, None);
    let text = Backtrace::GONE.lines(Symbols::NONE).to_string();
    assert_eq!(
        text,
        "  backtrace  none: the registers that it would begin with are gone\n"
    );
}

#[test]
fn a_backtrace_is_shown_with_names_and_with_how_it_ended() {
    let names = module(&[
        (0x100, 0x10, "handler"),
        (0x200, 0x80, "work"),
        (0x280, 0x80, "main"),
    ]);
    let backtrace = Backtrace {
        interrupted: Some(0x210),
        ..follow(STACK, &[(0, STACK + 0x20, 0x280), (0x20, 0, 0x290)])
    };
    let expected = "  backtrace  at 0x100 <handler+0x0>
             interrupted 0x210 <work+0x10>
             called from 0x280 <work+0x80>
             called from 0x290 <main+0x10>
             ends: the outermost frame
";
    assert_eq!(backtrace.lines(Symbols::parse(&names)).to_string(), expected);
    let expected = "  backtrace  at 0x100
             interrupted 0x210
             called from 0x280
             called from 0x290
             ends: the outermost frame
";
    assert_eq!(backtrace.lines(Symbols::NONE).to_string(), expected);
    let of_program = Backtrace {
        rip: Some(0x50),
        end: End::Program,
        ..backtrace
    };
    let text = of_program.lines(Symbols::parse(&names)).to_string();
    assert!(
        text.starts_with("  backtrace  at 0x50 (in no function of its executable)\n"),
        "{text}"
    );
    assert!(
        text.contains(" interrupted 0x210, a program in ring 3\n"),
        "{text}"
    );
}

proptest! {
    #[test]
    fn every_chain_ends_and_rises(
        words in prop::collection::vec(any::<[u64; 2]>(), 1..40),
        rsp: u64,
        rbp: u64,
    ) {
        struct Anything<'a> {
            words: &'a [[u64; 2]],
            read: Vec<u64>,
        }
        impl Stack for Anything<'_> {
            fn frame(&mut self, at: u64) -> Option<[u64; 2]> {
                self.read.push(at);
                Some(self.words[self.read.len() % self.words.len()])
            }
            fn is_code(&self, _: u64) -> bool {
                true
            }
        }
        let mut stack = Anything { words: &words, read: Vec::new() };
        let found = Backtrace::follow(start(rsp, rbp), &mut stack);
        prop_assert!(found.callers().len() <= MOST_FRAMES && stack.read.len() <= MOST_FRAMES);
        prop_assert!(stack.read.is_sorted_by(|a, b| a < b) && stack.read.iter().all(|at| *at >= rsp));
    }
}
