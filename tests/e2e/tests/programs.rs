//! pv-kernel and its programs: they run one after another, they take what is typed, and each dies alone.
use e2e::{Boot, MACHINE, WITNESS};
use image_builder::emulator::Machine;
use image_builder::qemu::Clock;
use image_builder::scene::{Options, Outcome, Scene};
use image_builder::workspace;

/// What `crash` is told, and what the kernel says then; the addresses of instructions are left out.
const DEATHS: &[(&str, &str)] = &[
    ("divide", "divide error"),
    ("null", "null dereference (read of 0x0)"),
    ("null-write", "null dereference (write to 0x8)"),
    ("null-call", "null dereference (execution of 0x0)"),
    ("privileged", "privileged instruction (hlt)"),
    ("cli", "privileged instruction (cli)"),
    ("port", "privileged instruction (out)"),
    ("cr3", "privileged instruction (mov cr)"),
    ("wrmsr", "privileged instruction (wrmsr)"),
    ("lgdt", "privileged instruction (lgdt)"),
    ("hypercall", "general protection fault"),
    ("software-interrupt", "general protection fault"),
    ("int3", "breakpoint"),
    ("into", "overflow trap"),
    ("ud2", "invalid opcode"),
    ("single-step", "debug trap"),
    ("write-text", "page fault (write to 0x"),
    ("exec-stack", "page fault (execution of 0x7ff"),
    (
        "wild-jump",
        "page fault (execution of 0x500000000: nothing is mapped there)",
    ),
    ("non-canonical", "general protection fault"),
    (
        "kernel-read",
        "page fault (read of 0xffffffff80000000: nothing is mapped there)",
    ),
    (
        "switcher-read",
        "page fault (read of 0xffff800000200000: nothing is mapped there)",
    ),
    (
        "switcher-jump",
        "page fault (execution of 0xffff800000200000: nothing is mapped there)",
    ),
    ("selector", "general protection fault"),
    ("x87", "x87 floating-point error"),
    ("step-int80", "debug trap"),
    ("step-syscall", "debug trap"),
    ("stack-overflow", "stack overflow (at 0x7ff"),
];

/// A domain of pv-kernel that runs these commands.
fn domain(name: &str, memory: &str, cmdline: &str, commands: &[Vec<&str>]) -> String {
    format!(
        "
        [[domain]]
        name = \"{name}\"
        kernel = \"pv-kernel\"
        memory = \"{memory}\"
        cmdline = \"{cmdline}\"
        programs = {commands:?}
        expect = \"shutdown\"
        "
    )
}

/// What a domain printed, line by line, without its prefix; lines that another domain's cut are whole again.
pub(crate) fn lines_of(outcome: &Outcome, name: &str) -> Vec<String> {
    let (prefix, continued) = (format!("[{name}] "), format!("[{name}]+ "));
    let mut lines: Vec<String> = Vec::new();
    for line in outcome.console.lines().map(|line| line.trim_end_matches('\r')) {
        if let Some(line) = line.strip_prefix(&prefix) {
            lines.push(line.to_owned());
        } else if let (Some(rest), Some(last)) = (line.strip_prefix(&continued), lines.last_mut()) {
            last.push_str(rest);
        }
    }
    lines
}

fn deaths(machine: Machine) -> Vec<(&'static str, &'static str)> {
    let more: &[_] = match machine {
        // TCG raises neither #XM nor #AC, and takes a push at an address that is not canonical for a #GP.
        Machine::Qemu => &[("non-canonical-stack", "general protection fault")],
        Machine::Bochs => &[
            ("non-canonical-stack", "stack fault"),
            ("simd", "SIMD floating-point error"),
            ("misaligned", "alignment check"),
        ],
    };
    DEATHS.iter().chain(more).copied().collect()
}

/// Every program that dies does so with its cause and address, and the next one runs; meanwhile another domain's programs
/// use vector registers, memory, and both ways to call the kernel. All pageable code of the first domain's
/// kernel is paged out at every trap: its handlers reach none.
fn programs_die_alone(machine: Machine) {
    let deaths = deaths(machine);
    let mut dying: Vec<Vec<&str>> = vec![vec!["echo", "first", "and  second"]];
    dying.extend(deaths.iter().map(|(kind, _)| vec!["crash", kind]));
    dying.push(vec!["echo", "last"]);
    let living = [
        vec!["vector"],
        vec!["paths"],
        vec!["procs"],
        vec!["signals"],
        vec!["hog", "8"],
        vec!["hog", "30"],
        vec!["hog", "8"],
        vec!["crash", "panic"],
        vec!["vector"],
        vec!["vector"],
    ];
    let scene = [
        MACHINE,
        WITNESS,
        &domain("dying", "16M", "evict", &dying),
        &domain("living", "16M", "quiet", &living),
    ]
    .concat();
    let outcome = match machine {
        Machine::Qemu => Boot::qemu("programs-qemu", &scene),
        Machine::Bochs => Boot::bochs("programs-bochs", &scene),
    }
    .must_be_good();

    let lines = lines_of(&outcome, "dying");
    let (Some(first), Some(last)) = (
        lines.iter().position(|line| *line == "first and  second"),
        lines.iter().position(|line| *line == "last"),
    ) else {
        panic!("echo did not print: {lines:#?}");
    };
    let told = &lines[first + 1..last];
    assert_eq!(told.len(), deaths.len(), "{told:#?}");
    for (line, (kind, cause)) in told.iter().zip(&deaths) {
        let wanted = format!("pv-kernel: crash: killed by {cause}");
        assert!(
            line.starts_with(&wanted) && line.contains(" at rip 0x"),
            "{kind}: {line}"
        );
    }

    let lines = lines_of(&outcome, "living");
    for line in [
        "vector: clean at first, kept afterwards",
        "paths: int 0x80 and syscall do the same",
        "procs: every process is its own",
        "signals: handlers run and come back",
        "hog: 8 MiB touched, every byte is right",
        "pv-kernel: crash: exited with code 101",
    ] {
        assert!(
            lines.iter().any(|printed| printed == line),
            "{line} is not in {lines:#?}"
        );
    }
    let killed = lines.iter().filter(|line| line.contains("killed by"));
    let killed: Vec<_> = killed.collect();
    assert!(
        matches!(killed[..], [line] if line.starts_with("pv-kernel: hog: killed by out of memory")),
        "{killed:#?}"
    );
}

#[test]
fn programs_die_alone_in_qemu() {
    programs_die_alone(Machine::Qemu);
}

#[test]
fn programs_die_alone_in_bochs() {
    programs_die_alone(Machine::Bochs);
}

/// Boots `cat`, `echo between`, `cat` with these keys typed; what the domain printed.
fn typed(name: &str, keys: &str) -> Vec<String> {
    let commands = [vec!["cat"], vec!["echo", "between"], vec!["cat"]];
    let outcome = Boot::qemu(name, &domain("tty", "8M", "quiet", &commands))
        .typing(keys)
        .boot();
    assert!(outcome.verdict.failures.is_empty(), "{}", outcome.report());
    lines_of(&outcome, "tty")
}

#[test]
fn what_is_typed_is_edited_shown_and_read() {
    // A line with a slip and an end of input; a line handed on before its end, its end, an end of input.
    let lines = typed("typed", "helko\x7f\x7flo\n\x04tail\x04\r\x04");
    let shown = |line: &String| line.starts_with("helko") && line.ends_with("lo");
    assert!(lines.iter().any(shown), "{lines:#?}");
    // What is typed is shown when it comes, before or after what the programs print.
    let place = |wanted: &str| lines.iter().rposition(|line| line.ends_with(wanted));
    let places = [place("hello"), place("between"), place("tail")];
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{lines:#?}"
    );
    assert_eq!(lines.last().map(String::as_str), Some("tail"), "{lines:#?}");
}

#[test]
fn ctrl_c_ends_one_program_and_forgets_what_was_typed_before() {
    let lines = typed("interrupted", "never\nread\x03tail\n\x04");
    let killed = "pv-kernel: cat: killed by interrupt from the keyboard at rip 0x";
    assert!(lines.iter().any(|line| line.starts_with(killed)), "{lines:#?}");
    let place = |wanted: &str| lines.iter().rposition(|line| line.ends_with(wanted));
    assert!(
        place("between").is_some() && place("between") < place("tail"),
        "{lines:#?}"
    );
    assert_eq!(
        lines.iter().filter(|line| line.ends_with("never")).count(),
        1,
        "{lines:#?}"
    );
}

/// Children that fork for ever take all processes or all memory, whichever is less; when they have been ended, every
/// frame is back and other programs run. The kernel says so itself: it fails the domain otherwise.
#[test]
fn a_fork_bomb_ends_and_all_is_as_before() {
    let commands = [vec!["bomb"], vec!["procs"]];
    let scene = [
        domain("small", "8M", "quiet", &commands),
        domain("large", "96M", "quiet", &commands),
    ]
    .concat();
    let outcome = Boot::qemu("bomb", &scene).must_be_good();
    for name in ["small", "large"] {
        let lines = lines_of(&outcome, name);
        for line in ["bomb: all is as before", "procs: every process is its own"] {
            assert!(
                lines.iter().any(|printed| printed == line),
                "{name}: {line} is not in {lines:#?}"
            );
        }
    }
    // In the small one memory is what runs out, in the large one processes.
    let starved = |line: &String| line.contains("bomb: killed by out of memory");
    assert!(lines_of(&outcome, "small").iter().any(starved));
    assert!(!lines_of(&outcome, "large").iter().any(starved));
}

/// Processes of which the kernel has much to keep fill its own heap. It refuses what takes more, lives through what takes
/// some for a while, and has all of it to give when they have ended.
#[test]
fn a_kernel_whose_own_memory_runs_out_refuses_and_recovers() {
    let test = "the_kernel_s_own_memory_runs_out";
    let commands = [vec!["usertests", test], vec!["usertests", test], vec!["procs"]];
    let outcome = Boot::qemu("heap", &domain("unix", "16M", "quiet", &commands)).must_be_good();
    let lines = lines_of(&outcome, "unix");
    let is_good = |line: &&String| line.as_str() == "usertests: 1 passed, 0 failed";
    assert_eq!(lines.iter().filter(is_good).count(), 2, "{lines:#?}");
    assert!(
        lines.iter().any(|line| line == "procs: every process is its own"),
        "{lines:#?}"
    );
}

/// With most of its frames at the hypervisor a kernel has less for its programs; in the end it has all of them again.
#[test]
fn frames_go_to_the_hypervisor_and_come_back() {
    let commands = [vec!["hog", "4"], vec!["hog", "24"], vec!["procs"]];
    let scene = domain("unix", "32M", "quiet balloon=5000", &commands);
    let outcome = Boot::qemu("balloon", &scene).must_be_good();
    let lines = lines_of(&outcome, "unix");
    for line in [
        "pv-kernel: 5000 frames are the hypervisor's",
        "hog: 4 MiB touched, every byte is right",
        "procs: every process is its own",
        "pv-kernel: 5000 frames are back",
    ] {
        assert!(
            lines.iter().any(|printed| printed == line),
            "{line} is not in {lines:#?}"
        );
    }
    let starved = |line: &String| line.starts_with("pv-kernel: hog: killed by out of memory");
    assert_eq!(lines.iter().filter(|line| starved(line)).count(), 1, "{lines:#?}");
}

/// The most that things may take, in instructions of kernel and hypervisor together: a tenth above what they took when
/// this was written. Whoever makes them dearer should know.
const COSTS: &[(&str, u64)] = &[
    ("getpid-int80", 420),
    ("getpid-syscall", 425),
    ("fork-exit-wait", 98_300),
    ("fork-exec-exit-wait", 203_000),
    ("exec", 111_600),
    ("switch", 1_290),
    ("pipe-write-read", 3_550),
    ("pipe-round-trip", 11_150),
    ("page-fault-zero", 2_240),
    ("page-fault-copy", 2_830),
    ("map-touch-unmap-16", 48_100),
    ("signal", 5_970),
];

#[test]
fn what_programs_do_all_the_time_takes_no_more_than_it_did() {
    let scene = Scene::from_file(&workspace::root().join("demos/cost.toml")).unwrap();
    let mut options = Options::new("cost");
    options.clock = Clock::Instructions;
    let outcome = scene.boot(&options).unwrap();
    assert!(outcome.verdict.is_good(), "{}", outcome.report());
    let lines = lines_of(&outcome, "unix");
    for (name, most) in COSTS {
        let prefix = format!("cost {name} ");
        let took = lines.iter().find_map(|line| line.strip_prefix(&prefix));
        let took: u64 = took.and_then(|count| count.parse().ok()).unwrap_or(u64::MAX);
        assert!(took <= *most, "{name} took {took} instructions: {lines:#?}");
    }
}

#[test]
fn a_kernel_without_programs_says_so() {
    let scene = "
        [[domain]]
        name = \"idle\"
        kernel = \"pv-kernel\"
        memory = \"1M\"
        expect = \"shutdown:2\"
    ";
    let outcome = Boot::qemu("no-programs", scene).must_be_good();
    let lines = lines_of(&outcome, "idle");
    assert!(
        lines
            .iter()
            .any(|line| line == "pv-kernel: no module: there is nothing to run"),
        "{lines:#?}"
    );
}
