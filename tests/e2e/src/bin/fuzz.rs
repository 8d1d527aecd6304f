//! As many steps of the hostile random guest as one likes: boots with one seed after another, and a sum.
use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use e2e::fuzz::{Plan, Tally};
use image_builder::emulator::Machine;
use image_builder::workspace;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;

/// Runs the hostile random guest until it has done so many steps; fails where the hypervisor does.
#[derive(Parser, Debug)]
#[command(name = "fuzz")]
struct Cli {
    /// Steps in all.
    #[arg(long, default_value_t = 100_000)]
    steps: u64,
    /// Seed of the first boot.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Steps of a life.
    #[arg(long)]
    life: Option<u64>,
    /// The emulator.
    #[arg(long, value_enum, default_value = "qemu")]
    machine: Emulator,
    /// Boots at a time.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
}

#[derive(Clone, Copy, ValueEnum, Debug)]
enum Emulator {
    Qemu,
    Bochs,
}

/// What all boots share.
struct Progress {
    next_seed: u64,
    total: Tally,
    /// Boots that did nothing: a second one in a row would not end.
    idle: u32,
}

impl Cli {
    fn plan(&self, seed: u64) -> Plan {
        let machine = match self.machine {
            Emulator::Qemu => Machine::Qemu,
            Emulator::Bochs => Machine::Bochs,
        };
        let mut plan = Plan::new(machine, seed);
        plan.steps = self.life.unwrap_or(plan.steps).max(1);
        plan
    }

    /// Boots until there are enough steps, or something is wrong.
    fn boots(&self, progress: &Mutex<Progress>) -> Result<()> {
        loop {
            let plan = {
                let mut progress = lock(progress);
                if progress.total.steps >= self.steps || !progress.total.failures.is_empty() {
                    return Ok(());
                }
                let plan = self.plan(progress.next_seed);
                progress.next_seed = plan.next_seed();
                plan
            };
            let (tally, outcome) = plan.run()?;
            println!("seed {}: {tally}", plan.seed);
            if !tally.failures.is_empty() {
                println!("{}", outcome.report());
                println!(
                    "again: --seed {} --life {}; or one life, each step announced, by the scene\n{}",
                    plan.seed,
                    plan.steps,
                    plan.scene()
                );
                println!("the console was {}", kept(&plan, &outcome.console)?);
            }
            let mut progress = lock(progress);
            progress.idle = if tally.steps == 0 { progress.idle + 1 } else { 0 };
            if progress.idle > 1 {
                bail!("no step was done");
            }
            progress.total.add(tally);
            println!("so far: {}", progress.total);
        }
    }
}

fn lock(progress: &Mutex<Progress>) -> std::sync::MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Keeps a console for whoever wants to know; says where.
fn kept(plan: &Plan, console: &str) -> Result<String> {
    let directory = workspace::target_dir().join("e2e");
    std::fs::create_dir_all(&directory)?;
    let file = directory.join(format!("fuzz-{}.log", plan.seed));
    std::fs::write(&file, console)?;
    Ok(file.display().to_string())
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let progress = Mutex::new(Progress {
        next_seed: cli.seed,
        total: Tally::default(),
        idle: 0,
    });
    thread::scope(|scope| {
        let jobs: Vec<_> = (0..cli.jobs.max(1))
            .map(|_| scope.spawn(|| cli.boots(&progress)))
            .collect();
        jobs.into_iter().try_for_each(|job| match job.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    let total = progress
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .total;
    for failure in &total.failures {
        println!("failed: {failure}");
    }
    println!("in all: {total}");
    Ok(if total.failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
