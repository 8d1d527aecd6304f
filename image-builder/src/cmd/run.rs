//! `run [MANIFEST]`.
use super::{FAILED, NOT_TRIED};
use crate::console::{FeedFrom, Input};
use crate::emulator::{Machine, Said};
use crate::qemu::Clock;
use crate::scene::{Keys, Options, Outcome, Scene};
use crate::verdict::Stop;
use crate::workspace;
use crate::{cases, cli};
use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

/// Time limit where nobody is there to end a run.
const HEADLESS_LIMIT: u64 = 120;
/// What a shell returns for a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

pub(super) fn execute(arguments: &cli::Run) -> Result<ExitCode> {
    let (scene, options) = scene(arguments)?;
    let prepared = scene.prepare(&options)?;
    let is_at_terminal = options.keys == Keys::Terminal && options.machine == Machine::Qemu;

    let interrupt = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupt)).context("cannot listen for signals")?;
    }
    eprintln!("image-builder: {}", prepared.command().for_a_shell());
    if is_at_terminal {
        eprintln!("image-builder: the keys go to the machine; Ctrl-] opens its monitor, Ctrl-A X leaves it");
    }
    if options.machine == Machine::Bochs {
        note_unused_input();
    }
    let mut output = io::stdout();
    let outcome = prepared.run(&interrupt, |said| {
        if !is_at_terminal {
            print(&mut output, said);
        }
    })?;
    Ok(conclude(&scene, &outcome))
}

/// What is booted, and how.
fn scene(arguments: &cli::Run) -> Result<(Scene, Options)> {
    let Some(case) = &arguments.case else {
        let manifest = arguments.manifest.clone().unwrap_or_else(default_manifest);
        let name = manifest.file_stem().unwrap_or_default().to_string_lossy();
        return Ok((Scene::from_file(&manifest)?, options(arguments, &name)));
    };
    let machine = Machine::from(arguments.machine);
    let Some((suite, ..)) = cases::place_of(case) else {
        bail!("there is no case {case}{}", cases::meant(case));
    };
    if !cases::runs_on(suite, machine) {
        bail!("{case} does not run in Bochs, which counts no instructions and takes no keys");
    }
    let plan = cases::alone(case, machine).with_context(|| format!("{case} cannot be booted alone"))?;
    let mut options = options(arguments, &plan.name);
    if plan.clock == Clock::Instructions {
        options.clock = Clock::Instructions;
    }
    if !plan.keys.is_empty() {
        options = options.typing(plan.keys.as_str());
    }
    Ok((Scene::from_toml(&plan.toml)?, options))
}

/// `demos/default.toml`, as it is found from here.
fn default_manifest() -> PathBuf {
    let demo = Path::new("demos/default.toml");
    if demo.is_file() {
        demo.to_path_buf()
    } else {
        workspace::root().join(demo)
    }
}

fn options(arguments: &cli::Run, name: &str) -> Options {
    let keys = match (arguments.headless, io::stdin().is_terminal()) {
        (false, true) => Keys::Terminal,
        // Nobody is there to type, and the end of input at once tells the guests so.
        (true, true) => Keys::Fed(Input::Bytes(Vec::new()), FeedFrom::Start),
        (_, false) => Keys::Fed(Input::Stdin, FeedFrom::Start),
    };
    let is_headless = keys != Keys::Terminal || Machine::from(arguments.machine) == Machine::Bochs;
    let seconds = arguments.timeout.or(is_headless.then_some(HEADLESS_LIMIT));
    Options {
        machine: arguments.machine.into(),
        firmware: arguments.firmware.into(),
        accel: arguments.accel.into(),
        clock: if arguments.icount {
            Clock::Instructions
        } else {
            Clock::Real
        },
        limit: seconds.map(Duration::from_secs),
        keys,
        extra: arguments.extra.clone(),
        ..Options::new(name)
    }
}

/// Bochs' serial port has no input: says so if there is any.
fn note_unused_input() {
    if io::stdin().is_terminal() {
        eprintln!("image-builder: in Bochs nothing can be typed: the console is only shown");
        return;
    }
    thread::spawn(|| {
        let mut first = [0];
        if matches!(io::stdin().read(&mut first), Ok(1)) {
            eprintln!("image-builder: standard input is not used: Bochs' console takes none");
        }
    });
}

fn print(output: &mut impl Write, said: &Said) {
    // A reader that went away does not end the run: it is still to be judged.
    let _ = match said {
        Said::Console(line) => output.write_all(line).and_then(|()| output.write_all(b"\n")),
        Said::Machine(line) => writeln!(output, "{line}"),
    };
    let _ = output.flush();
}

fn conclude(scene: &Scene, outcome: &Outcome) -> ExitCode {
    let seconds = outcome.elapsed.as_secs_f64();
    if outcome.verdict.is_good() {
        let count = scene.manifest().domains.len();
        eprintln!("image-builder: good: {count} domain(s) ended as expected, in {seconds:.1} s");
        return ExitCode::SUCCESS;
    }
    let never_ran = outcome.machine_lines.is_empty() && outcome.console.is_empty();
    match outcome.stop {
        Stop::Interrupted => {
            eprintln!("image-builder: interrupted after {seconds:.1} s");
            return ExitCode::from(INTERRUPTED);
        }
        // QEMU refuses bad arguments in this way, and its own message stands above; Bochs writes to its logs.
        Stop::Ended if never_ran && outcome.status.code() != Some(0) => {
            let logs = if outcome.is_bochs() {
                format!("; see bochs.out and bochs.log in {}", outcome.directory.display())
            } else {
                String::new()
            };
            eprintln!(
                "image-builder: the emulator did not start ({}){logs}",
                outcome.status
            );
            return ExitCode::from(NOT_TRIED);
        }
        _ => {}
    }
    for line in outcome.report().lines() {
        eprintln!("image-builder: {line}");
    }
    ExitCode::from(FAILED)
}
