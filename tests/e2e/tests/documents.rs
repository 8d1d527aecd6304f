//! What the documents say is so: the numbers of `abi/README.md`, its first guest, what is shown of runs, how many tests there
//! are, and every link.
use abi::errno::Errno;
use abi::event::{EventChannelOp, SharedInfo};
use abi::hypercall::Hypercall;
use abi::memory::MemoryOp;
use abi::mmu::MmuextCommand;
use abi::reason::Reason;
use abi::sched::SchedOp;
use abi::start_info::StartInfo;
use abi::time::TimeInfo;
use abi::trap::TrapRefusal;
use e2e::Boot;
use guests::catalogue::GROUPS;
use image_builder::scene::{Options, Scene};
use image_builder::workspace;
use std::collections::BTreeMap;
use std::fs;
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::process::Command;

const INTERFACE: &str = include_str!("../../../abi/README.md");

/// The part of a page from a heading to the next one that is not deeper.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let depth = heading.chars().take_while(|c| *c == '#').count();
    let start = page
        .find(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("no heading {heading}"));
    let body = &page[start + heading.len() + 2..];
    let mut in_code = false;
    let mut length = 0;
    for line in body.split_inclusive('\n') {
        in_code ^= line.starts_with("```");
        let hashes = line.chars().take_while(|c| *c == '#').count();
        if !in_code && (1..=depth).contains(&hashes) {
            break;
        }
        length += line.len();
    }
    &body[..length]
}

/// Whether a table of the text has a row that begins with these cells.
fn has_row(text: &str, cells: &[&str]) -> bool {
    let row = |line: &str| {
        let found = line.trim().trim_start_matches('|').split(" | ").map(str::trim);
        found
            .zip(cells)
            .filter(|(found, wanted)| found == *wanted)
            .count()
            == cells.len()
    };
    text.lines().filter(|line| line.starts_with('|')).any(row)
}

/// The first block of code in a language.
fn code<'a>(page: &'a str, language: &str) -> &'a str {
    let fence = format!("```{language}\n");
    let (_, rest) = page
        .split_once(&fence)
        .unwrap_or_else(|| panic!("no {language} code"));
    rest.split_once("```")
        .unwrap_or_else(|| panic!("{language} code without an end"))
        .0
}

#[test]
fn the_interfaces_page_describes_every_hypercall_under_its_number() {
    let calls = section(INTERFACE, "## Hypercalls");
    for call in Hypercall::ALL {
        let heading = format!("\n### `{}`, number {}\n", call.name(), call.raw());
        assert_eq!(calls.matches(&heading).count(), 1, "{heading}");
        let row = [call.raw().to_string(), format!("`{}`", call.name())];
        assert!(
            has_row(calls, &[&row[0], &row[1]]),
            "{row:?} is not in the list of calls"
        );
    }
    assert_eq!(calls.matches(", number ").count(), Hypercall::ALL.len());
}

#[test]
fn the_interfaces_page_names_every_reason_refusal_error_and_operation_with_its_number() {
    let row = |part: &str, number: String, name: String| {
        assert!(
            has_row(section(INTERFACE, part), &[&number, &name]),
            "{number} {name}"
        );
    };
    let ends = "## What ends a guest, and how not to be ended";
    for reason in Reason::ALL {
        row(ends, reason.raw().to_string(), format!("`{}`", reason.name()));
        let has_rule = |line: &str| {
            let cells: Vec<&str> = line.split(" | ").collect();
            matches!(cells[..], [_, name, cause, rule, cure] if name == format!("`{}`", reason.name())
                && !cause.is_empty() && rule == reason.rule() && cure.len() > " |".len())
        };
        let told = section(INTERFACE, ends).lines().any(has_rule);
        assert!(told, "cause, rule and cure of {}", reason.name());
    }
    for refusal in TrapRefusal::ALL {
        row(
            "### Refusals",
            refusal.raw().to_string(),
            format!("`{}`", refusal.name()),
        );
    }
    for errno in Errno::ALL {
        row("## Hypercalls", errno.raw().to_string(), errno.name().to_owned());
    }
    for command in MmuextCommand::ALL {
        row(
            "### `mmuext_op`, number 26",
            command.raw().to_string(),
            format!("`{}`", command.name()),
        );
    }
}

/// The vectors that a cell names: `3, 4`, `0x40 to 0x80`, `16`.
fn vectors(cell: &str) -> Vec<u8> {
    let number = |text: &str| {
        let hex = text
            .strip_prefix("0x")
            .map(|digits| u8::from_str_radix(digits, 16));
        hex.unwrap_or_else(|| text.parse())
            .unwrap_or_else(|_| panic!("{text} is no vector"))
    };
    match cell.split_once(" to ") {
        Some((first, last)) => (number(first)..=number(last)).collect(),
        None => cell.split(", ").map(number).collect(),
    }
}

#[test]
fn the_interfaces_page_says_of_every_vector_how_it_may_be_registered() {
    let traps = section(INTERFACE, "## Traps");
    let (_, table) = traps
        .split_once("| vector | | error code | bounced | direct |\n|---|---|---|---|---|\n")
        .unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let mut told = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        for vector in vectors(cells[0]) {
            let has = |cell: usize| cells[cell].starts_with("yes");
            let is_software = abi::trap::is_software_vector(vector);
            assert_eq!(has(3), abi::trap::is_guest_exception(vector), "{row}");
            assert_eq!(has(4), abi::trap::may_be_direct(vector), "{row}");
            assert_eq!(cells[3] == "reserved", !has(3) && !is_software, "{row}");
            assert!(!has(3) || has(2) == abi::trap::has_error_code(vector), "{row}");
            told.push(vector);
        }
    }
    assert!(told.into_iter().eq(0..=255), "each vector once, in order");
}

#[test]
fn the_interfaces_page_names_every_operation_of_a_command_with_its_number() {
    let row = |part: &str, number: u64, name: &str| {
        assert!(
            has_row(section(INTERFACE, part), &[&number.to_string(), name]),
            "{part}: {number} {name}"
        );
    };
    for op in EventChannelOp::ALL {
        row("### `event_channel_op`, number 32", op.raw(), op.name());
    }
    let bold = |part: &str, number: u64, name: &str| {
        let item = format!("**{number} {}**", name.split('_').next().unwrap_or(name));
        assert!(section(INTERFACE, part).contains(&item), "{part}: {item}");
    };
    for op in SchedOp::ALL {
        bold("### `sched_op`, number 29", op.raw(), op.name());
    }
    for op in MemoryOp::ALL {
        bold("### `memory_op`, number 12", op.raw(), op.name());
    }
}

#[test]
fn the_interfaces_page_has_every_field_of_the_shared_pages_at_its_offset() {
    let row = |part: &str, name: &str, offset: usize| {
        let found = section(INTERFACE, part).lines().any(|line| {
            line.starts_with(&format!("| {offset} |")) && line.contains(&format!("| `{name}` |"))
        });
        assert!(found, "{name} at {offset}");
    };
    row(
        "## Events",
        "upcall_pending",
        offset_of!(SharedInfo, upcall_pending),
    );
    row("## Events", "upcall_mask", offset_of!(SharedInfo, upcall_mask));
    row("## Events", "pending_sel", offset_of!(SharedInfo, pending_sel));
    row(
        "## Events",
        "evtchn_pending",
        offset_of!(SharedInfo, evtchn_pending),
    );
    row("## Events", "evtchn_mask", offset_of!(SharedInfo, evtchn_mask));
    row("## Time", "version", offset_of!(TimeInfo, version));
    row("## Time", "tsc_timestamp", offset_of!(TimeInfo, tsc_timestamp));
    row("## Time", "system_time_ns", offset_of!(TimeInfo, system_time_ns));
    row("## Time", "tsc_to_ns_mul", offset_of!(TimeInfo, tsc_to_ns_mul));
    row(
        "## Time",
        "virtual_time_ns",
        offset_of!(TimeInfo, virtual_time_ns),
    );
    row("## Time", "wall_clock_s", offset_of!(TimeInfo, wall_clock_s));
}

#[test]
fn the_interfaces_page_has_every_field_of_start_info_at_its_offset() {
    let part = section(INTERFACE, "## Start of day");
    for (name, offset) in [
        ("magic", offset_of!(StartInfo, magic)),
        ("version", offset_of!(StartInfo, version)),
        ("flags", offset_of!(StartInfo, flags)),
        ("domain_id", offset_of!(StartInfo, domain_id)),
        ("restart_count", offset_of!(StartInfo, restart_count)),
        ("nr_pages", offset_of!(StartInfo, nr_pages)),
        ("mfn_list", offset_of!(StartInfo, mfn_list)),
        ("module", offset_of!(StartInfo, module)),
        ("module_size", offset_of!(StartInfo, module_size)),
        ("stack", offset_of!(StartInfo, stack)),
        ("page_tables_pfn", offset_of!(StartInfo, page_tables_pfn)),
        ("nr_page_tables", offset_of!(StartInfo, nr_page_tables)),
        ("root_mfn", offset_of!(StartInfo, root_mfn)),
        ("first_free_pfn", offset_of!(StartInfo, first_free_pfn)),
        ("name", offset_of!(StartInfo, name)),
        ("command_line", offset_of!(StartInfo, command_line)),
    ] {
        let found = part.lines().any(|line| {
            line.starts_with(&format!("| {offset} |")) && line.contains(&format!("| `{name}` |"))
        });
        assert!(found, "{name} at {offset}");
    }
}

#[test]
fn the_interfaces_page_has_the_addresses_and_selectors_of_the_crate() {
    let grouped = |address: u64| {
        let digits = format!("{address:016x}");
        format!(
            "0x{}_{}_{}_{}",
            &digits[..4],
            &digits[4..8],
            &digits[8..12],
            &digits[12..]
        )
    };
    let offset = |address: u64| {
        let digits = format!("{:x}", address - abi::layout::SLOT_BASE);
        let (high, low) = digits.split_at(digits.len() - 4);
        format!("0x{high}_{low}")
    };
    let map = section(INTERFACE, "## Address map");
    for address in [
        abi::layout::SLOT_BASE,
        abi::layout::SLOT_END,
        abi::layout::PHYSMAP,
        abi::layout::CR2_WORD,
        abi::layout::USER_RSP_WORD,
    ] {
        assert!(map.contains(&grouped(address)), "{}", grouped(address));
    }
    for address in [
        abi::layout::SWITCHER_TEXT,
        abi::layout::SWITCHER_RO,
        abi::layout::SWITCHER_RW,
        abi::layout::TIME_PAGE,
        abi::layout::SHARED_INFO,
        abi::layout::MACHINE_TO_PFN,
    ] {
        assert!(has_row(map, &[&offset(address)]), "{}", offset(address));
    }
    let selectors = section(INTERFACE, "## Selectors");
    for (selector, name) in [
        (abi::selector::KERNEL_CS, "`KERNEL_CS`"),
        (abi::selector::KERNEL_SS, "`KERNEL_SS`"),
        (abi::selector::USER_SS, "`USER_SS`"),
        (abi::selector::USER_CS, "`USER_CS`"),
    ] {
        let row = format!(
            "| **{selector:#04x}** | {} | {name}",
            abi::selector::index(selector)
        );
        assert!(selectors.contains(&row), "{row}");
    }
}

#[test]
fn the_first_guest_of_the_interfaces_page_is_built_and_says_hello() {
    let directory = workspace::target_dir().join("e2e").join("first-guest");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("hello.S"), code(INTERFACE, "asm")).unwrap();
    for (program, arguments) in [
        ("as", ["-o", "hello.o", "hello.S"]),
        ("ld", ["-o", "hello", "hello.o"]),
    ] {
        let status = Command::new(program)
            .args(arguments)
            .current_dir(&directory)
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "{program} {arguments:?}"
        );
    }
    let elf = directory.join("hello");
    let manifest = code(INTERFACE, "toml").replace("\"./hello\"", &format!("{elf:?}"));
    let outcome = Boot::qemu("first-guest", &manifest).must_be_good();
    assert!(outcome.console.contains("[hello] hello from ring 1"));
}

/// A stop of the tour: a file, and what to find in it.
struct Stop<'a> {
    file: &'a str,
    name: &'a str,
}

/// The stops, from lines that begin ``1. [file](link), `name`: ``.
fn stops(tour: &str) -> Vec<Stop<'_>> {
    tour.lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()))
        .map(|line| {
            let inside = |open: &str, close: &str| -> Option<&str> {
                line.split_once(open)?
                    .1
                    .split_once(close)
                    .map(|(inside, _)| inside)
            };
            let (Some(file), Some(name)) = (inside("](", ")"), inside("), `", "`:")) else {
                panic!("no stop: {line}");
            };
            Stop { file, name }
        })
        .collect()
}

/// Whether a source file defines something of this name: a function, a type, or a label.
fn defines(source: &str, name: &str) -> bool {
    let follows = |text: &str| !text.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    let after = |prefix: &str| {
        source
            .match_indices(&format!("{prefix}{name}"))
            .any(|(at, found)| follows(&source[at + found.len()..]))
    };
    ["fn ", "struct ", "enum "].into_iter().any(after) || source.contains(&format!("\n{name}:\n"))
}

#[test]
fn the_tour_has_twelve_stops_and_each_leads_to_something_that_is_there() {
    let page = fs::read_to_string(workspace::root().join("README.md")).unwrap();
    let stops = stops(section(&page, "## A tour"));
    assert_eq!(stops.len(), 12);
    for Stop { file, name } in stops {
        let source = fs::read_to_string(workspace::root().join(file));
        let source = source.unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(defines(&source, name), "{name} is not in {file}");
    }
}

#[test]
fn every_folder_and_scene_that_the_front_page_names_is_there() {
    let page = fs::read_to_string(workspace::root().join("README.md")).unwrap();
    // Of what commands print, only the commands count.
    let mut in_code = false;
    let prose = page.lines().filter(|line| {
        in_code ^= line.starts_with("```");
        !in_code || line.starts_with("$ ")
    });
    let prose: Vec<&str> = prose.filter(|line| !line.starts_with("```")).collect();
    let named = prose.iter().flat_map(|line| line.split('`').skip(1).step_by(2));
    let typed = prose.iter().flat_map(|line| line.split_whitespace());
    let paths = named
        .chain(typed)
        .filter(|name| name.starts_with("demos/") || name.starts_with("tests/"));
    for path in paths.filter(|path| !path.contains('*') && !path.contains(char::is_whitespace)) {
        let path = path.trim_matches(|c: char| "`.,;:)".contains(c));
        assert!(workspace::root().join(path).exists(), "{path}");
    }
}

/// The folders that have code and a page.
const MEMBERS: [&str; 6] = [
    "abi",
    "xen-lite",
    "pv-kernel",
    "userland",
    "image-builder",
    "tests",
];

/// The workspace's own pages.
fn pages() -> Vec<PathBuf> {
    [""].into_iter()
        .chain(MEMBERS)
        .map(|folder| workspace::root().join(folder).join("README.md"))
        .chain([workspace::root().join("docs/why-was-my-guest-killed.md")])
        .filter(|page| page.exists())
        .collect()
}

/// What a page shows of a run of a scene.
struct Shown<'a> {
    scene: &'a str,
    lines: Vec<&'a str>,
}

/// The blocks that begin with `$ cargo run -- run demos/NAME.toml --headless`.
fn shown_runs(page: &str) -> Vec<Shown<'_>> {
    let blocks = page.split("```console\n$ cargo run -- run ").skip(1);
    blocks
        .map(|block| {
            let block = block.split_once("\n```").expect("a block has an end").0;
            let (command, lines) = block.split_once('\n').expect("a run prints something");
            let scene = command.strip_suffix(" --headless").expect("runs are headless");
            let lines = lines.lines().filter(|line| *line != "[...]").collect();
            Shown { scene, lines }
        })
        .collect()
}

/// A line without what another build, another machine or another day changes: numbers.
fn without_numbers(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        text.push_str(&rest[..at]);
        text.push('#');
        rest = &rest[at..];
        let digits = rest.strip_prefix("0x").unwrap_or(rest);
        let hex = rest.starts_with("0x");
        let behind = digits.find(|c: char| !(c.is_ascii_digit() || hex && c.is_ascii_hexdigit()));
        rest = &digits[behind.unwrap_or(digits.len())..];
    }
    text.push_str(rest);
    text.replace("[ ", "[").replace("[ ", "[")
}

/// Who says a line: what its first bracket holds.
fn speaker(line: &str) -> &str {
    line.split_inclusive([']', ')', ':']).next().unwrap_or(line)
}

/// The lines of a page that do not come in what was printed, each speaker's in their order. Which of two speakers comes
/// first is up to the scheduler.
fn missing<'a>(wanted: impl Iterator<Item = &'a str>, printed: &[String]) -> Vec<&'a str> {
    let mut unread = BTreeMap::new();
    wanted
        .filter(|wanted| {
            let wanted = without_numbers(wanted);
            let rest = unread
                .entry(speaker(&wanted).to_owned())
                .or_insert_with(|| printed.iter());
            let mut behind = rest.clone();
            let found = behind.any(|line| *line == wanted);
            if found {
                *rest = behind;
            }
            !found
        })
        .collect()
}

#[test]
fn what_the_pages_show_of_runs_is_what_is_printed() {
    let pages = ["README.md", "docs/why-was-my-guest-killed.md"]
        .map(|page| fs::read_to_string(workspace::root().join(page)).unwrap());
    let shown: Vec<Shown<'_>> = pages.iter().flat_map(|page| shown_runs(page)).collect();
    for reason in Reason::ALL {
        let heading = pages[1].lines().find(|line| {
            let words = line.strip_prefix("### ").unwrap_or("").split(", ");
            words.into_iter().any(|word| word == reason.name())
        });
        // The first one has the page's own question.
        let told = heading.is_some() || *reason == Reason::HandlerNotPresent;
        assert!(told, "the page does not tell of {}", reason.name());
    }
    let mut runs = BTreeMap::new();
    for Shown { scene, lines } in &shown {
        let (console, machine): &(Vec<String>, Vec<String>) = runs.entry(*scene).or_insert_with(|| {
            let path = workspace::root().join(scene);
            let name = format!("shown-{}", path.file_stem().unwrap().display());
            let outcome = Scene::from_file(&path)
                .unwrap()
                .boot(&Options::new(&name))
                .unwrap();
            assert!(outcome.verdict.is_good(), "{}", outcome.report());
            let console = outcome.console.lines().map(without_numbers).collect();
            let machine = outcome.machine_lines.iter();
            (
                console,
                machine.map(|line| without_numbers(&line.to_string())).collect(),
            )
        });
        let lines = || lines.iter().copied();
        let of_console = lines().filter(|line| line.starts_with('[') || line.starts_with("(xen-lite) "));
        assert_eq!(missing(of_console, console), [""; 0], "{scene}: {console:#?}");
        let of_machine = lines().filter(|line| line.starts_with("xen-lite: "));
        assert_eq!(missing(of_machine, machine), [""; 0], "{scene}: {machine:#?}");
    }
    assert!(runs.len() > 10, "the pages show {} runs", runs.len());
}

#[test]
fn what_the_page_shows_of_a_panic_is_what_is_printed() {
    const COMMAND: &str =
        "```console\n$ printf '\\035panic fault\\n' | cargo run -- run demos/cat.toml --headless\n";
    let page = fs::read_to_string(workspace::root().join("docs/why-was-my-guest-killed.md")).unwrap();
    let (_, block) = page.split_once(COMMAND).expect("the page shows a panic");
    let (block, _) = block.split_once("\n```").expect("a block has an end");
    let scene = Scene::from_file(&workspace::root().join("demos/cat.toml")).unwrap();
    let outcome = scene
        .boot(&Options::new("shown-panic").typing("\x1dpanic fault\n"))
        .unwrap();
    let printed = outcome.console.lines().map(without_numbers);
    let machine = outcome.machine_lines.iter();
    let printed: Vec<String> = printed
        .chain(machine.map(|line| without_numbers(&line.to_string())))
        .collect();
    // Leftovers of earlier calls are among the calls, and other builds leave others.
    let is_call = |line: &&str| line.contains(" called from ") && !line.contains("on_purpose");
    let wanted = block.lines().filter(|line| !is_call(line));
    assert_eq!(missing(wanted, &printed), [""; 0], "{printed:#?}");
}

#[test]
fn a_shown_line_must_follow_its_speakers_line_before_it_and_nobody_elses() {
    let printed = ["[a] one", "(xen-lite) killed", "[b] begins", "[a] two"].map(str::to_owned);
    let missed = |wanted: &[&'static str]| missing(wanted.iter().copied(), &printed);
    assert_eq!(
        missed(&["[b] begins", "(xen-lite) killed", "[a] one", "[a] two"]),
        [""; 0]
    );
    assert_eq!(missed(&["[a] two", "[a] one"]), ["[a] one"]);
    assert_eq!(missed(&["[a] one", "[a] one"]), ["[a] one"]);
    assert_eq!(missed(&["[c] one"]), ["[c] one"]);
}

#[test]
fn a_shown_line_is_compared_without_its_numbers() {
    assert_eq!(without_numbers("L1[ 65] 0x00ff at a.rs:12"), "L#[#] # at a.rs:#");
}

/// The numbers that stand before `what` on a page; there is one at least.
fn numbers_of(page: &str, what: &str) -> Vec<usize> {
    let numbers: Vec<usize> = page
        .match_indices(what)
        .filter_map(|(at, _)| page[..at].split_whitespace().next_back()?.parse().ok())
        .collect();
    assert!(!numbers.is_empty(), "no number of{what}");
    numbers
}

/// Every file below `folder` whose name ends so.
fn files(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|end| end == extension) {
            found.push(path);
        }
    }
}

/// How many lines of the files below these folders of the workspace begin so.
fn lines(folders: &[&str], extension: &str, beginning: &str) -> usize {
    let mut found = Vec::new();
    for folder in folders {
        files(&workspace::root().join(folder), extension, &mut found);
    }
    let texts = found.iter().map(|file| fs::read_to_string(file).unwrap());
    texts
        .map(|text| {
            let begins = |line: &&str| line.trim_start().starts_with(beginning);
            text.lines().filter(begins).count()
        })
        .sum()
}

#[test]
fn the_pages_say_how_many_tests_cases_and_checks_there_are() {
    let page = fs::read_to_string(workspace::root().join("README.md")).unwrap();
    let tests = lines(&MEMBERS, "rs", "#[test]");
    let checks = lines(&["tests/mutants/lists"], "toml", "[[check]]");
    for (what, there_are) in [(". They take minutes", tests), (" of them, and prints", checks)] {
        for said in numbers_of(&page, what) {
            let is_near = said.abs_diff(there_are) * 20 <= there_are;
            assert!(is_near, "some {said}{what}: there are {there_are}");
        }
    }
    let cases: usize = GROUPS.iter().map(|group| group.cases.len()).sum();
    let of_tests = fs::read_to_string(workspace::root().join("tests/README.md")).unwrap();
    for page in [page, of_tests] {
        for said in numbers_of(&page, " cases, ") {
            assert_eq!(said, cases, "{said} cases");
        }
    }
}

/// How a heading is called in a link to it: in small letters, a hyphen for each space, without other signs.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ => letter.is_alphanumeric().then(|| letter.to_ascii_lowercase()),
    });
    kept.collect()
}

/// The headings of a page, as links name them.
fn anchors(page: &str) -> Vec<String> {
    let mut in_code = false;
    let headings = page.lines().filter(|line| {
        in_code ^= line.starts_with("```");
        !in_code && line.starts_with('#')
    });
    headings
        .map(|heading| anchor(heading.trim_start_matches('#').trim()))
        .collect()
}

#[test]
fn a_heading_is_called_as_links_call_it() {
    let page = "# `mmu_update`, number 1\n```sh\n# no heading\n```\n## Why kill it? Why not page it in?\n";
    assert_eq!(
        anchors(page),
        ["mmu_update-number-1", "why-kill-it-why-not-page-it-in"]
    );
}

/// Targets of the links of a page that are on no other host: a file (none: the page itself), and a heading in it.
fn links(page: &str) -> Vec<(&str, &str)> {
    page.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
        .filter(|target| !target.contains("://"))
        .map(|target| target.split_once('#').unwrap_or((target, "")))
        .collect()
}

#[test]
fn every_link_between_the_documents_leads_to_a_file_and_a_heading() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let folder = page.parent().unwrap_or(Path::new("."));
        for (file, heading) in links(&text) {
            let target = if file.is_empty() {
                page.clone()
            } else {
                folder.join(file)
            };
            assert!(target.exists(), "{}: {file}", page.display());
            if !heading.is_empty() {
                let there = anchors(&fs::read_to_string(&target).unwrap());
                assert!(
                    there.iter().any(|name| name == heading),
                    "{}: {file}#{heading}",
                    page.display()
                );
            }
        }
    }
}
