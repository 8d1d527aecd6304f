//! A guest kernel in C, built from the header alone: what it does, and every wrong use that `abi/README.md` lists.
use abi::errno::Errno;
use abi::trap::TrapRefusal;
use e2e::{Boot, MACHINE, WITNESS};
use image_builder::c_kernel;
use image_builder::scene::{Options, Outcome, Scene};
use image_builder::workspace;
use std::fmt::Write as _;
use std::process::Command;

const INTERFACE: &str = include_str!("../../../abi/README.md");
const KERNEL: &str = r#"{ c = ["demos/c-guest/kernel.c", "demos/c-guest/memory.c", "demos/c-guest/console.c",
    "demos/c-guest/wrong.c", "demos/c-guest/entry.S"] }"#;

fn says_what_it_should(outcome: &Outcome) {
    for line in [
        "[c-guest] hello from c-guest, a kernel in C",
        "[c-guest] ring 3 says 2016",
        "[c-guest] ring 3 says 1",
        "[c-guest] the program has ended; pages that were brought: 66",
    ] {
        assert!(outcome.console.contains(line), "{line}\n{}", outcome.console);
    }
}

#[test]
fn a_kernel_in_c_pages_its_program_in_and_serves_it_in_qemu() {
    let demo = workspace::root().join("demos/c-guest.toml");
    let outcome = Scene::from_file(&demo)
        .unwrap()
        .boot(&Options::new("c-guest"))
        .unwrap();
    assert!(outcome.verdict.is_good(), "{}", outcome.report());
    says_what_it_should(&outcome);
}

#[test]
fn a_kernel_in_c_pages_its_program_in_and_serves_it_in_bochs() {
    let toml = format!("[[domain]]\nname = \"c-guest\"\nkernel = {KERNEL}\nmemory = \"2M\"\n");
    says_what_it_should(&Boot::bochs("c-guest-bochs", &toml).must_be_good());
}

#[test]
fn the_record_of_a_kernel_in_c_names_functions_files_and_lines() {
    let toml = format!(
        "[[domain]]\nname = \"c\"\nkernel = {KERNEL}\nmemory = \"2M\"\ncmdline = \"wrong=handler_null\"\n\
         expect = \"killed:no-handler\"\n"
    );
    let outcome = Boot::qemu("c-guest-record", &toml).must_be_good();
    // Who called whom, from the bottom up.
    let mut lines = outcome.console.lines();
    for (begins, ends) in [
        ("<handler_null+0x", "demos/c-guest/wrong.c:"),
        ("<wrong+0x", "demos/c-guest/wrong.c:"),
        ("<kernel_main+0x", "demos/c-guest/kernel.c:"),
        ("<_start+0x", "demos/c-guest/entry.S:"),
        ("ends: ", "the outermost frame"),
    ] {
        let is_told = lines.any(|line| line.contains(begins) && line.contains(ends));
        assert!(is_told, "{begins} {ends}\n{}", outcome.console);
    }
}

/// A row of the page's list.
struct Wrong<'a> {
    name: &'a str,
    comes: Comes,
}

enum Comes {
    Answer { rax: i64, rdx: u64 },
    Killed(String),
}

impl Comes {
    /// `EINVAL, index 1, selector-reserved`, `ENOSYS, rdx 1`, or `killed: REASON`.
    fn parse(cell: &str) -> Self {
        let cell = cell.replace('`', "");
        if let Some(reason) = cell.strip_prefix("killed: ") {
            return Self::Killed(reason.to_owned());
        }
        let mut parts = cell.split(", ");
        let errno = parts.next().and_then(Errno::from_name);
        let errno = errno.unwrap_or_else(|| panic!("no error: {cell}"));
        let rdx = parts.map(|part| {
            let number = part.strip_prefix("rdx ").or(part.strip_prefix("index "));
            let refusal = TrapRefusal::from_name(part).map(|refusal| u64::from(refusal.raw()) << 32);
            number
                .and_then(|number| number.parse().ok())
                .or(refusal)
                .unwrap_or_else(|| panic!("neither a number nor a refusal: {part}"))
        });
        Self::Answer {
            rax: -i64::from(errno.raw()),
            rdx: rdx.sum(),
        }
    }
}

fn wrong_uses() -> Vec<Wrong<'static>> {
    let (_, section) = INTERFACE.split_once("\n## Wrong uses\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        Wrong {
            name: cells[0].trim_matches('`'),
            comes: Comes::parse(cells[2]),
        }
    })
    .collect()
}

fn manifest(uses: &[Wrong<'_>]) -> String {
    let ends: Vec<String> = uses
        .iter()
        .map(|wrong| match &wrong.comes {
            Comes::Answer { .. } => "\"shutdown\"".to_owned(),
            Comes::Killed(reason) => format!("\"killed:{reason}\""),
        })
        .collect();
    let mut toml = MACHINE.to_owned();
    toml.push_str(WITNESS);
    let _ = write!(
        toml,
        "
        [[domain]]
        name = \"c\"
        kernel = {KERNEL}
        cmdline = \"wrong=each\"
        memory = \"1M\"
        record = \"line\"
        restart = {{ policy = \"always\", max = {} }}
        expect = [{}]
        ",
        ends.len() - 1,
        ends.join(", ")
    );
    toml
}

fn gets_what_the_page_says(outcome: &Outcome, uses: &[Wrong<'_>]) {
    assert!(uses.len() > 60, "{} rows", uses.len());
    for Wrong { name, comes } in uses {
        if let Comes::Answer { rax, rdx } = comes {
            let line = format!("[c] {name}: rax {rax} rdx {rdx:#x}");
            let is_there = outcome.console.lines().any(|said| said.trim_end() == line);
            assert!(is_there, "no line {line}\n{}", outcome.console);
        }
    }
}

#[test]
fn each_wrong_use_of_the_interface_gets_what_the_page_says_in_qemu() {
    let uses = wrong_uses();
    gets_what_the_page_says(
        &Boot::qemu("c-guest-wrong", &manifest(&uses)).must_be_good(),
        &uses,
    );
}

#[test]
fn each_wrong_use_of_the_interface_gets_what_the_page_says_in_bochs() {
    let uses = wrong_uses();
    // An audit at each end takes longer there than what it follows.
    let toml = manifest(&uses).replace("audit = \"each-end\"", "");
    gets_what_the_page_says(&Boot::bochs("c-guest-wrong-bochs", &toml).must_be_good(), &uses);
}

#[test]
fn the_kernel_in_c_is_compiled_without_a_warning() {
    let directory = workspace::root().join("demos/c-guest");
    let sources = ["kernel.c", "memory.c", "console.c", "wrong.c"].map(|name| directory.join(name));
    let output = Command::new("gcc")
        .args(c_kernel::FLAGS)
        .args(["-Werror", "-fsyntax-only", "-I"])
        .arg(c_kernel::include_directory())
        .args(sources)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_page_gives_the_very_command_that_compiles_a_kernel() {
    let (_, rest) = INTERFACE.split_once("```sh\ngcc ").unwrap();
    let (command, _) = rest.split_once("```").unwrap();
    let words: Vec<&str> = command.split_whitespace().filter(|word| *word != "\\").collect();
    let (flags, rest) = words.split_at(c_kernel::FLAGS.len());
    assert_eq!(flags, c_kernel::FLAGS);
    assert_eq!(rest[..2], ["-I", "abi/include"]);
    assert!(c_kernel::include_directory().ends_with(rest[1]));
}
