//! pv-kernel and its programs: they run, they take the user's input, and when one dies the next one runs.
use e2e::Boot;
use image_builder::scene::Outcome;

/// Ways to die of the program `crash`, and what the kernel says of each.
const DEATHS: &[(&str, &str)] = &[
    ("divide", "divide error"),
    ("null", "null"),
    ("null-write", "null"),
    ("null-call", "null"),
    ("privileged", "privileged instruction"),
    ("cli", "privileged instruction"),
    ("port", "privileged instruction"),
    ("cr3", "privileged instruction"),
    ("wrmsr", "privileged instruction"),
    ("lgdt", "privileged instruction"),
    ("hypercall", ""),
    ("software-interrupt", ""),
    ("int3", "breakpoint"),
    ("into", "overflow"),
    ("ud2", "invalid opcode"),
    ("single-step", "debug"),
    ("write-text", "write to"),
    ("exec-stack", "execution of"),
];

fn kernel(memory: &str, programs: &str) -> String {
    format!(
        "[[domain]]\nname = \"web\"\nkernel = \"pv-kernel\"\nmemory = \"{memory}\"\nprograms = [{programs}]\n\
         expect = \"shutdown\"\n"
    )
}

/// The lines that the domain `web` printed, without their prefix.
fn printed(outcome: &Outcome) -> Vec<&str> {
    outcome
        .console
        .lines()
        .filter_map(|line| line.strip_prefix("[web] "))
        .collect()
}

fn has(outcome: &Outcome, wanted: &str) {
    let lines = printed(outcome);
    assert!(
        lines.iter().any(|line| line.contains(wanted)),
        "{wanted:?} is not among {lines:#?}"
    );
}

#[test]
fn programs_run_one_after_another_and_take_the_users_input() {
    let programs = r#"["echo", "hello", "from ring 3"], ["cat"], ["echo", "after cat"]"#;
    let outcome = Boot::qemu("programs", &kernel("32M", programs))
        .typing("one line\nand another\n")
        .must_be_good();
    for text in ["hello from ring 3", "one line", "and another", "after cat"] {
        has(&outcome, text);
    }
}

#[test]
fn programs_run_when_the_machine_boots_by_uefi() {
    let scene = kernel("32M", r#"["echo", "hello by uefi"], ["cat"]"#);
    let outcome = Boot::qemu("uefi", &scene).uefi().typing("typed\n").must_be_good();
    has(&outcome, "hello by uefi");
    has(&outcome, "typed");
}

#[test]
fn every_way_to_die_ends_the_program_and_the_next_one_runs() {
    let programs: Vec<String> = DEATHS
        .iter()
        .map(|(kind, _)| format!("[\"crash\", \"{kind}\"], [\"echo\", \"after {kind}\"]"))
        .collect();
    let outcome = Boot::qemu("crashes", &kernel("16M", &programs.join(", "))).must_be_good();
    let lines = printed(&outcome);
    for (kind, words) in DEATHS {
        let after = format!("after {kind}");
        let place = lines.iter().position(|line| line.contains(&after));
        let place = place.unwrap_or_else(|| panic!("nothing ran after {kind}: {lines:#?}"));
        let death = lines[..place].iter().rev().find(|line| line.contains("crash: "));
        assert!(
            death.is_some_and(|line| line.contains(words)),
            "{kind}: {death:?} does not say {words:?}"
        );
    }
}

#[test]
fn a_program_may_take_nearly_all_memory_and_every_byte_is_right() {
    let programs = r#"["hog", "16"], ["hog", "1000"], ["echo", "still here"], ["hog", "16"]"#;
    let outcome = Boot::qemu("hog", &kernel("32M", programs)).must_be_good();
    has(&outcome, "16 MiB touched, every byte is right");
    has(&outcome, "still here");
}

#[test]
fn both_ways_into_the_kernel_do_the_same_and_vector_registers_stay_private() {
    let programs = r#"["paths"], ["vector"], ["vector"], ["echo", "done"]"#;
    let outcome = Boot::qemu("paths", &kernel("16M", programs)).must_be_good();
    has(&outcome, "done");
    let bad = printed(&outcome)
        .into_iter()
        .find(|line| line.contains("exited with code"));
    assert!(bad.is_none(), "{bad:?}");
}

#[test]
fn the_kernel_runs_with_its_pageable_code_evicted_before_every_trap() {
    let programs = r#"["echo", "paged"], ["paths"], ["crash", "null"], ["hog", "4"], ["echo", "done"]"#;
    let scene = kernel("16M", programs) + "cmdline = \"evict\"\n";
    let outcome = Boot::qemu("evict", &scene).must_be_good();
    has(&outcome, "paged");
    has(&outcome, "done");
}

#[test]
fn the_kernel_and_its_programs_run_in_bochs() {
    let programs = r#"["echo", "hello from ring 3"], ["paths"], ["crash", "divide"], ["crash", "privileged"],
        ["hog", "1"], ["vector"], ["echo", "done"]"#;
    let outcome = Boot::bochs("kernel-bochs", &kernel("8M", programs)).must_be_good();
    has(&outcome, "hello from ring 3");
    has(&outcome, "divide error");
    has(&outcome, "done");
}

#[test]
fn kernels_with_programs_live_beside_kernels_that_die() {
    let mut scene =
        e2e::MACHINE.to_owned() + e2e::WITNESS + &kernel("16M", r#"["echo", "one"], ["crash", "null"]"#);
    scene.push_str(&kernel("16M", r#"["hog", "8"], ["echo", "two"]"#).replace("web", "shop"));
    for (name, case, end) in [
        ("bad", "page-fault-handler-paged-out", "handler-not-present"),
        ("worse", "stack-recursion", "kernel-stack-not-present"),
    ] {
        scene.push_str(&format!(
            "[[domain]]\nname = \"{name}\"\nkernel = \"suite\"\ncmdline = \"cases={case}\"\nmemory = \"2M\"\n\
             expect = \"killed:{end}\"\n"
        ));
    }
    let outcome = Boot::qemu("good-and-bad", &scene).must_be_good();
    has(&outcome, "one");
    assert!(outcome.console.contains("[shop] two"));
}
