//! pv-kernel as one guest among others, and under other firmware. What its programs do is in `programs.rs`.
use e2e::Boot;
use image_builder::scene::Outcome;

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
fn programs_run_when_the_machine_boots_by_uefi() {
    let scene = kernel("32M", r#"["echo", "hello by uefi"], ["cat"]"#);
    let outcome = Boot::qemu("uefi", &scene).uefi().typing("typed\n").must_be_good();
    has(&outcome, "hello by uefi");
    has(&outcome, "typed");
}

#[test]
fn a_program_may_take_nearly_all_memory_and_every_byte_is_right() {
    let programs = r#"["hog", "16"], ["hog", "1000"], ["echo", "still here"], ["hog", "16"]"#;
    let outcome = Boot::qemu("hog", &kernel("32M", programs)).must_be_good();
    has(&outcome, "16 MiB touched, every byte is right");
    has(&outcome, "still here");
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
