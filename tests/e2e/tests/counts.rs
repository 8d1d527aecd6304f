//! Instructions of each way through the switcher: counted, not timed, so the numbers are exact.
use e2e::Boot;
use std::collections::BTreeMap;

/// Name, what it is, the most that it may take, and what Xen's paravirtual interface takes for the same work.
const WAYS: &[(&str, &str, u64, &str)] = &[
    (
        "direct-int80",
        "int 0x80, direct, from ring 3 and back",
        3,
        "652 to 846",
    ),
    (
        "direct-exception",
        "a direct exception, from ring 3 and back",
        3,
        "652 to 846",
    ),
    (
        "page-fault-ring-3",
        "#PF from ring 3 to ring 1 and back",
        30,
        "841",
    ),
    ("page-fault-ring-1", "#PF in ring 1", 39, "-"),
    ("syscall", "syscall from ring 3 to ring 1 and back", 12, "697"),
    ("null-hypercall", "a hypercall that does nothing", 60, "283"),
];

#[test]
fn every_way_through_the_switcher_is_as_short_as_promised() {
    let scene = "[[domain]]\nname = \"bench\"\nkernel = \"bench\"\nmemory = \"2M\"\n";
    let outcome = Boot::qemu("counts", scene).counting().must_be_good();
    let counts: BTreeMap<&str, u64> = outcome
        .console
        .lines()
        .filter_map(|line| {
            let (name, count) = line.split_once("bench ")?.1.split_once(' ')?;
            Some((name, count.trim().parse().ok()?))
        })
        .collect();
    println!(
        "{:<45} {:>12} {:>6} {:>12}",
        "instructions", "here", "most", "Xen"
    );
    for (name, what, most, xen) in WAYS {
        let count = counts.get(name);
        println!(
            "{what:<45} {:>12} {most:>6} {xen:>12}",
            count.map_or("-".to_owned(), u64::to_string)
        );
    }
    for (name, what, most, _) in WAYS {
        let count = counts
            .get(name)
            .unwrap_or_else(|| panic!("no line `bench {name}`"));
        assert!(count <= most, "{what}: {count} instructions, {most} at most");
        assert!(*count >= 2, "{what}: {count} instructions cannot be");
    }
}
