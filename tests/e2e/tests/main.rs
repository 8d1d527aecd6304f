//! All end-to-end tests: one program, so that two emulators are busy from beginning to end.
mod attacks;
mod c_guest;
mod counts;
mod demos;
mod documents;
mod events;
mod fuzz;
mod hostile;
mod kernel;
mod kills;
mod lifecycle;
mod linux;
mod lives;
mod loader;
mod machine;
mod monitor;
mod panics;
mod programs;
mod rows;
mod scheduling;
mod shell;
mod survival;
mod terminal;

#[test]
fn every_file_of_tests_is_a_part_of_this_program() {
    let this = include_str!("main.rs");
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for entry in std::fs::read_dir(directory).expect("this directory") {
        let path = entry.expect("its entries").path();
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let is_part = name == "main" || this.contains(&format!("mod {name};"));
        assert!(is_part, "{} is not run: main.rs does not name it", path.display());
    }
}
