//! A hostile guest that draws lots. `seed=S steps=N` of its command line and the restart count are all that a life depends on;
//! `from=K` begins at a later step, `trace=yes` announces each step, `deadly=D` takes what will probably end it one time in D.
//!
//! What each step does is in a file of its own; what they draw from is in [`words`]. A step ends by itself or by a trap, and the
//! next one follows; one that takes the guest's own floor away ends the life, and the next life has the next seed. The guest
//! judges too, see [`guests::fuzz::Finding`].
#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "its own entry and hypercalls, in assembly")]

use abi::errno::Errno;
use core::fmt::Write as _;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use guests::fuzz::{Finding, Kind, Progress};
use guests::lot::Lot;
use guests::runtime::console::Console;
use guests::runtime::{PANICKED, end, start_info, trap};
use guests::{command_line, println};

use world::World;

mod calls;
mod code;
mod entries;
mod events;
mod floor;
mod segments;
mod stacks;
mod tables;
mod words;
mod world;

/// Steps of a life where the command line does not say.
const STEPS: u64 = 2000;
/// One step in so many may do what will probably end the life.
const DEADLY: u64 = 1500;
/// So often the guest looks whether it is still in ring 1.
const LOOK: u64 = 8;

/// The step that is under way, for the upcall that ends one which does not end.
static STEP: AtomicU64 = AtomicU64::new(0);

/// Whether that step sends control to places of all kinds: what runs afterwards may be any of this guest's code, on any stack, and
/// its judgement is worth nothing.
static IS_WILD: AtomicBool = AtomicBool::new(false);

// SAFETY: the runtime declares this very symbol with this very signature.
#[unsafe(no_mangle)]
extern "Rust" fn guest_main() {
    main();
}

#[panic_handler]
fn panicked(info: &core::panic::PanicInfo<'_>) -> ! {
    println!("panicked: {info}");
    end(judged(PANICKED))
}

/// The code with which a life ends that has come to this one.
fn judged(code: u64) -> u64 {
    if IS_WILD.load(Ordering::Relaxed) { 0 } else { code }
}

fn main() {
    let info = start_info();
    let line = command_line::text(&info.command_line);
    let number = |key, otherwise| {
        command_line::value(line, key)
            .and_then(|text| text.parse().ok())
            .unwrap_or(otherwise)
    };
    let seed = number("seed", 0_u64).wrapping_add(u64::from(info.restart_count));
    let steps = number("steps", STEPS);
    let (first, deadly) = (number("from", 0), number("deadly", DEADLY));
    let traced = command_line::value(line, "trace") == Some("yes");
    trap::install();
    let mut life = Life {
        seed,
        steps,
        deadly: deadly.max(1),
        traced,
        world: World::new(seed),
    };
    floor::lay();
    println!("{}", Progress { seed, steps: first });
    STEP.store(first, Ordering::Relaxed);
    // An upcall that a step has left behind may come between two of them.
    while trap::attempt(|| life.go_on()).is_err() {}
}

struct Life {
    seed: u64,
    steps: u64,
    deadly: u64,
    traced: bool,
    world: World,
}

impl Life {
    fn go_on(&mut self) {
        loop {
            let step = STEP.load(Ordering::Relaxed);
            if step >= self.steps {
                return;
            }
            let taken = trap::attempt(|| self.step(step));
            IS_WILD.store(false, Ordering::Relaxed);
            let done = step + 1;
            STEP.store(done, Ordering::Relaxed);
            if taken.is_err() || done.is_multiple_of(floor::EVERY) {
                floor::lay();
            }
            if done.is_multiple_of(LOOK) {
                self.world.look_at_privilege();
            }
            if done.is_multiple_of(Progress::EVERY) || done == self.steps {
                let seed = self.seed;
                println!("{}", Progress { seed, steps: done });
            }
        }
    }

    fn step(&mut self, step: u64) {
        let world = &mut self.world;
        world.lot = Lot::new(self.seed, step);
        world.deadly = world.lot.one_in(self.deadly);
        let kind = Kind::draw(&mut world.lot);
        if self.traced {
            announce(self.seed, step, kind, world);
        }
        IS_WILD.store(kind.is_wild(), Ordering::Relaxed);
        take(world, kind);
    }
}

fn take(world: &mut World, kind: Kind) {
    match kind {
        Kind::Call => calls::one(world),
        Kind::Multicall => calls::list(world),
        Kind::Table => tables::step(world),
        Kind::Balloon => tables::balloon(world),
        Kind::Trap => entries::traps(world),
        Kind::Callback => entries::callbacks(world),
        Kind::Frame => code::frame(world),
        Kind::Jump => code::jump(world),
        Kind::Segment => segments::step(world),
        Kind::Stack => stacks::step(world),
        Kind::Scribble => events::scribble(world),
        Kind::Event => events::step(world),
        Kind::Code => code::random(world),
        Kind::Entry => code::entry(world),
    }
}

/// Says what comes, and waits until it is out: it may be the last that is heard.
fn announce(seed: u64, step: u64, kind: Kind, world: &World) {
    let mut console = Console::new();
    let deadly = if world.deadly { ", deadly" } else { "" };
    // Writing to the console cannot fail.
    let _ = writeln!(console, "seed {seed} step {step}: {kind:?}{deadly}");
    console.flush();
}

/// Ends the life: the hypervisor is wrong.
fn found(finding: Finding, what: core::fmt::Arguments<'_>) -> ! {
    println!("{finding:?} at step {}: {what}", STEP.load(Ordering::Relaxed));
    end(judged(finding as u64))
}

/// Whether a word is what a hypercall may return: no error number that there is not.
fn is_result(value: u64) -> bool {
    !value.cast_signed().is_negative() || Errno::from_rax(value).is_some()
}
