//! The commands.
mod bench;
mod build;
mod cases;
mod run;

use crate::cli::{Cli, Command};
use anyhow::Result;
use std::process::ExitCode;

/// Exit code: a guest or a check failed.
const FAILED: u8 = 1;
/// Exit code: it could not be tried.
const NOT_TRIED: u8 = 2;

/// Carries a command out; returns the process's exit code.
#[must_use]
pub fn execute(cli: Cli) -> ExitCode {
    let result = match cli.command {
        None => run::execute(&crate::cli::Run::default()),
        Some(Command::Run(arguments)) => run::execute(&arguments),
        Some(Command::Build(arguments)) => build::execute(&arguments),
        Some(Command::Cases(arguments)) => cases::execute(&arguments),
        Some(Command::Bench(arguments)) => bench::execute(&arguments),
    };
    conclude(result)
}

fn conclude(result: Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("image-builder: {}", format!("{error:#}").replace('\n', " "));
        ExitCode::from(NOT_TRIED)
    })
}
