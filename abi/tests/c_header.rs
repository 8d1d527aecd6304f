//! The header for guests in C is what the crate says, leaves nothing out, and compilers take it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "../examples/c-header/docs.rs"]
mod docs;
#[path = "../examples/c-header/header.rs"]
mod header;
#[path = "../examples/c-header/tables.rs"]
mod tables;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tables::{Item, sections};

/// Of these modules the header has nothing: one is between image-builder and hypervisor, one is the call itself.
const NOT_FOR_C: [&str; 5] = ["boot_image", "lib", "numbered", "stub", "symbols"];
/// Text, which the page gives.
const NOT_NUMBERS: [&str; 1] = ["EXTRA_VERSION"];

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_header_is_what_the_crate_says() {
    let kept = fs::read_to_string(folder().join(header::PATH)).unwrap_or_default();
    assert!(
        kept == header::text(),
        "abi/{} is not what the crate says: run `{}`",
        header::PATH,
        header::COMMAND
    );
}

#[test]
fn the_header_leaves_nothing_out() {
    let sections = sections();
    for entry in fs::read_dir(folder().join("src")).unwrap() {
        let path = entry.unwrap().path();
        let module = path.file_stem().unwrap().to_str().unwrap();
        if NOT_FOR_C.contains(&module) {
            continue;
        }
        let section = sections.iter().find(|section| section.module == module);
        let section = section.unwrap_or_else(|| panic!("nothing of {module}"));
        let has = |wanted: &str| {
            section.items.iter().any(|item| match item {
                Item::Number { rust, .. } => rust == wanted || rust.starts_with(&format!("{wanted}::")),
                Item::Structure { rust, .. } => *rust == wanted,
            })
        };
        for line in fs::read_to_string(&path).unwrap().lines().map(str::trim) {
            let declared = ["pub const ", "pub enum ", "pub struct "]
                .iter()
                .find_map(|keyword| line.strip_prefix(keyword))
                .filter(|rest| !rest.starts_with("fn "));
            let Some(rest) = declared else { continue };
            let name = rest
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .next()
                .unwrap();
            // Its flags are listed by themselves.
            let is_listed = has(name) || name == "PteFlags" || NOT_NUMBERS.contains(&name);
            assert!(is_listed, "{module}::{name} is not in the header");
        }
    }
}

/// The names of all numbers of the header.
fn numbers(header: &str) -> impl Iterator<Item = &str> {
    let defined = header.lines().filter_map(|line| line.strip_prefix("#define "));
    let named = defined.filter_map(|line| line.split_once(' '));
    named.map(|(name, _)| name).filter(|name| !name.contains('('))
}

#[test]
fn no_two_numbers_of_the_header_have_one_name() {
    let text = header::text();
    let mut names: Vec<&str> = numbers(&text).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}

/// Runs the system's compiler on a source of this text; what it said.
fn compile(name: &str, text: &str, arguments: &[&str]) -> Result<PathBuf, String> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let source = directory.join(name);
    fs::write(&source, text).unwrap();
    let object = directory.join(format!("{name}.o"));
    let output = Command::new("gcc")
        .args(arguments)
        .arg("-I")
        .arg(folder().join("include"))
        .arg("-c")
        .args([&source, Path::new("-o"), &object])
        .output()
        .map_err(|error| format!("gcc: {error}"))?;
    if output.status.success() {
        Ok(object)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

const STRICT: [&str; 6] = [
    "-std=c11",
    "-Wall",
    "-Wextra",
    "-pedantic",
    "-Werror",
    "-ffreestanding",
];

#[test]
fn a_strict_compiler_takes_the_header_and_its_assertions_hold() {
    let text = "#include <xen-lite.h>\n#include <xen-lite.h>\n\
        int64_t yield(void);\n\
        int64_t yield(void) { return xl_hypercall(XL_CALL_SCHED_OP, XL_SCHED_YIELD, 0, 0, 0, 0).value; }\n";
    compile("strict.c", text, &STRICT).unwrap();
    let wrong = format!("{text}_Static_assert(sizeof(struct xl_trap_info) == 15, \"\");\n");
    let said = compile("wrong.c", &wrong, &STRICT).expect_err("a wrong size is found");
    assert!(said.contains("static assertion failed"), "{said}");
}

#[test]
fn an_assembler_takes_every_number_of_the_header() {
    let text = header::text();
    let words = numbers(&text).map(|name| format!("    .quad {name}\n"));
    let numbers: String = words.collect();
    let text = format!("#include <xen-lite.h>\n    .data\n{numbers}");
    compile("numbers.S", &text, &["-Wall", "-Werror"]).unwrap();
}
