//! The command: see the library.
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    image_builder::cmd::execute(image_builder::cli::Cli::parse())
}
