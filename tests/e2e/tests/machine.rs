//! A machine of many domains: nobody stops another, whatever he is made of.
use abi::boot_image::MAX_DOMAINS;
use e2e::{Boot, MACHINE, WITNESS, assembled};
use guests::catalogue::{self, End};
use image_builder::machine_line::MachineLine;

fn scene(domains: &[String]) -> String {
    format!("{MACHINE}{WITNESS}{}", domains.concat())
}

fn domain(name: &str, kernel: &str, rest: &str) -> String {
    format!("\n[[domain]]\nname = \"{name}\"\nkernel = \"{kernel}\"\nmemory = \"1M\"\n{rest}\n")
}

fn suite_case(name: &str, cases: &str) -> String {
    domain(
        name,
        "suite",
        &format!("cmdline = \"cases={cases}\"\nexpect = \"shutdown\""),
    )
}

#[test]
fn a_guest_that_never_gives_way_does_not_stop_the_others() {
    let spinner = |mode: &str| {
        domain(
            mode,
            "spinner",
            &format!("cmdline = \"mode={mode}\"\nwitness = true"),
        )
    };
    let domains = [
        spinner("loop"),
        spinner("hlt"),
        spinner("yield"),
        suite_case("a", "block-with-a-timeout-returns"),
        suite_case("b", "registers-survive-preemption"),
        suite_case("c", "vector-state"),
    ];
    let outcome = Boot::qemu("spinners", &scene(&domains)).must_be_good();
    for name in ["loop", "hlt", "yield", "witness"] {
        let alive = outcome
            .lines_about(name)
            .any(|line| line.get("state") == Some("alive"));
        assert!(alive, "{name} is alive at the end");
    }
}

#[test]
fn a_kernel_in_assembly_is_a_guest_like_any_other() {
    let hello = assembled("hello");
    let domains = [domain(
        "asm",
        &hello.display().to_string(),
        "expect = \"shutdown\"",
    )];
    let outcome = Boot::qemu("assembly", &scene(&domains)).must_be_good();
    for text in ["[asm] hello from assembly", "[asm] a trap came and went"] {
        assert!(outcome.console.contains(text), "{text:?} is on the console");
    }
}

#[test]
fn who_dies_in_his_first_instruction_two_hundred_times_leaves_no_trace() {
    const TIMES: u32 = 200;
    let dies = assembled("dies").display().to_string();
    let restart = format!(
        "record = \"line\"\nrestart = {{ policy = \"on-crash\", max = {} }}\nexpect = \"killed:no-handler\"",
        TIMES - 1
    );
    let domains = [
        domain("dies", &dies, &restart),
        suite_case("worker", "yield-returns,vector-state"),
    ];
    let outcome = Boot::qemu("short-lives", &scene(&domains)).must_be_good();
    let killed: Vec<&MachineLine> = outcome
        .lines_about("dies")
        .filter(|line| line.get("state") == Some("killed"))
        .collect();
    assert_eq!(killed.len(), TIMES as usize);
    let owned: Vec<Option<u64>> = outcome
        .machine_lines
        .iter()
        .filter(|line| line.is_event("frames") && line.number("domain") == killed[0].number("domain"))
        .map(|line| line.number("owned"))
        .collect();
    assert!(
        owned.iter().all(|frames| *frames == owned[0]),
        "each life owned as many frames: {owned:?}"
    );
}

#[test]
fn the_counter_example_pages_itself_and_lives() {
    let pager = domain("pager", "pager", "expect = \"shutdown\"").replace("1M", "4M");
    let outcome = Boot::qemu("pager-qemu", &scene(&[pager])).must_be_good();
    let counts = outcome.console.lines().find(|line| line.contains("paged out"));
    println!("{}", counts.expect("the pager says what it did"));
}

#[test]
fn the_counter_example_pages_itself_and_lives_in_bochs_too() {
    let rest = "cmdline = \"visits=600\"\nexpect = \"shutdown\"";
    let pager = domain("pager", "pager", rest).replace("1M", "4M");
    let _ = Boot::bochs("pager-bochs", &scene(&[pager])).must_be_good();
}

/// Every case of the catalogue that ends in a kill, once.
fn bad_kinds() -> Vec<String> {
    let cases = catalogue::GROUPS.iter().flat_map(|group| group.cases);
    cases
        .filter(|case| matches!(case.on_qemu, End::Killed(_)))
        .enumerate()
        .map(|(n, case)| {
            let rest = format!(
                "cmdline = \"cases={}\"\nrecord = \"line\"\nexpect = \"{}\"",
                case.name, case.on_qemu
            );
            domain(&format!("bad{n}"), "suite", &rest)
        })
        .collect()
}

#[test]
fn one_of_each_bad_kind_among_as_many_domains_as_there_can_be() {
    let mut domains = bad_kinds();
    assert!(domains.len() >= 40, "{} kinds", domains.len());
    for (n, case) in [
        "bounced-frames-from-ring-1",
        "roots",
        "forbidden-bits",
        "syscall-words",
    ]
    .iter()
    .enumerate()
    {
        domains.push(suite_case(&format!("good{n}"), case));
    }
    for mode in ["loop", "hlt"] {
        let rest = format!("cmdline = \"mode={mode}\"\nweight = 1\nwitness = true");
        domains.push(domain(mode, "spinner", &rest));
    }
    // The scene's own witness is one more.
    let witnesses = MAX_DOMAINS - 1 - domains.len();
    for n in 0..witnesses {
        let rest = "cmdline = \"quiet=1\"\nwitness = true";
        domains.push(domain(&format!("w{n}"), "witness", rest));
    }
    let scene = scene(&domains).replace("audit = \"each-end\"", "");
    let outcome = Boot::qemu("each-bad-kind", &scene).must_be_good();
    let alive = outcome
        .machine_lines
        .iter()
        .filter(|line| line.get("state") == Some("alive"));
    assert_eq!(alive.count(), witnesses + 3, "every witness is alive at the end");
}
