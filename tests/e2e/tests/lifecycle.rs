//! Many domains, many lives.
use e2e::{Boot, assembled};

/// Domains of the biggest boot: as many as there can be.
const DOMAINS: usize = abi::boot_image::MAX_DOMAINS;
/// Restarts of a domain that crashes.
const RESTARTS: usize = 1000;

#[test]
fn as_many_domains_as_there_can_be_boot_and_each_prints_its_line_from_ring_3() {
    let domain = |index| {
        format!(
            "[[domain]]\nname = \"d{index}\"\nkernel = \"pv-kernel\"\nmemory = \"8M\"\n\
             programs = [[\"echo\", \"line of {index}\"]]\nexpect = \"shutdown\"\n"
        )
    };
    let scene: String = (0..DOMAINS).map(domain).collect();
    let outcome = Boot::qemu("hundred", &scene).must_be_good();
    for index in 0..DOMAINS {
        let line = format!("[d{index}] line of {index}");
        assert!(
            outcome.console.lines().any(|found| found.trim_end() == line),
            "{line}"
        );
    }
}

#[test]
fn a_thousand_restarts_of_a_crashing_domain_leak_no_frame() {
    let kernel = assembled("dies").display().to_string();
    let scene = format!(
        "[[domain]]\nname = \"dies\"\nkernel = \"{kernel}\"\nmemory = \"512K\"\nrecord = \"line\"\n\
         restart = {{ policy = \"on-crash\", max = {RESTARTS} }}\nexpect = \"killed:no-handler\"\n"
    );
    // The verdict wants all frames back after each end. Virtual time makes the waits between the lives free.
    let outcome = Boot::qemu("thousand", &scene).counting().must_be_good();
    let ends = outcome
        .lines_about("dies")
        .filter(|line| line.get("state") == Some("killed"));
    assert_eq!(ends.count(), RESTARTS + 1);
}
