//! `build MANIFEST -o FILE`.
use crate::cli::Build;
use crate::scene::Scene;
use anyhow::Result;
use std::process::ExitCode;

pub(super) fn execute(arguments: &Build) -> Result<ExitCode> {
    let scene = Scene::from_file(&arguments.manifest)?;
    let files = scene.build(&arguments.output)?;
    eprintln!(
        "image-builder: wrote {} ({} domain(s), {} boot module(s))",
        arguments.output.display(),
        scene.manifest().domains.len(),
        files.modules.len(),
    );
    Ok(ExitCode::SUCCESS)
}
