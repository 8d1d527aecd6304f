//! Instructions of each primitive: counted, not timed, so the numbers are exact.
use e2e::{Boot, assembled};
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
    ("null-hypercall", "a hypercall that does nothing", 57, "283"),
    ("demand-ring-3", "a demand fault of ring 3", 290, "1690"),
    ("demand-ring-1", "a demand fault of ring 1", 300, "1576"),
    ("update-va-map", "update_va_mapping, a page appears", 250, "851"),
    (
        "mmu-map-128",
        "mmu_update, each of 128 pages that appear",
        116,
        "549",
    ),
    ("pin-empty-l1", "a pin of an empty L1 table", 1715, "9938"),
    (
        "pin-full-l1-per-entry",
        "a pin of a full one, each entry",
        52,
        "185",
    ),
    ("unpin-empty-l1", "its unpin, empty", 1685, "8933"),
    ("new-baseptr", "another root", 233, "1054"),
    ("multicall-null", "each of 32 null calls in one", 105, "211"),
    ("set-trap-table-20", "20 trap handlers", 815, "2123"),
    ("set-segment-base", "a segment base", 190, "256"),
    (
        "event-to-upcall",
        "an event to oneself, until the upcall begins",
        195,
        "580",
    ),
    ("event-round-trip", "the same, and back", 212, "910"),
];

/// The most that a handover to another domain takes. Two that yield to each other: a round has two.
const SWITCH: u64 = 600;

fn counts(name: &str, scene: &str) -> BTreeMap<String, u64> {
    let outcome = Boot::qemu(name, scene).counting().must_be_good();
    outcome
        .console
        .lines()
        .filter_map(|line| {
            let (name, count) = line.split_once("bench ")?.1.split_once(' ')?;
            Some((name.to_owned(), count.trim().parse().ok()?))
        })
        .collect()
}

#[test]
fn every_primitive_is_as_short_as_promised() {
    let scene = "[[domain]]\nname = \"bench\"\nkernel = \"bench\"\nmemory = \"4M\"\n";
    let counts = counts("counts", scene);
    println!(
        "{:<45} {:>12} {:>6} {:>12}",
        "instructions", "here", "most", "Xen"
    );
    for (name, what, most, xen) in WAYS {
        let count = counts.get(*name);
        println!(
            "{what:<45} {:>12} {most:>6} {xen:>12}",
            count.map_or("-".to_owned(), u64::to_string)
        );
    }
    for (name, what, most, _) in WAYS {
        let count = counts
            .get(*name)
            .unwrap_or_else(|| panic!("no line `bench {name}`"));
        assert!(count <= most, "{what}: {count} instructions, {most} at most");
        assert!(*count >= 2, "{what}: {count} instructions cannot be");
    }
}

/// Two that hand over to each other.
const PAIR: &str = "
    [[domain]]
    name = \"bench\"
    kernel = \"bench\"
    cmdline = \"role=switcher\"
    memory = \"1M\"
    [[domain]]
    name = \"peer\"
    kernel = \"bench\"
    cmdline = \"role=peer\"
    memory = \"1M\"
";

#[test]
fn a_handover_between_two_domains_is_as_short_as_promised() {
    let count = counts("switch-counts", PAIR)["vcpu-switch"];
    assert!(count <= SWITCH, "{count} instructions, {SWITCH} at most");
    // More than a call that only looks whether there is somebody: both guests do run.
    assert!(count >= 200, "{count} instructions cannot be");
}

#[test]
fn who_has_ended_takes_no_time_of_others() {
    let dies = assembled("dies").display().to_string();
    let mut scene = String::new();
    for number in 0..60 {
        scene += &format!(
            "
            [[domain]]
            name = \"dead-{number}\"
            kernel = \"{dies}\"
            memory = \"512K\"
            record = \"line\"
            expect = \"killed:no-handler\"
            "
        );
    }
    scene += &PAIR.replace("role=switcher", "role=switcher after=2000");
    let (alone, beside) = (
        counts("switch-of-two", PAIR)["vcpu-switch"],
        counts("switch-after-60", &scene)["vcpu-switch"],
    );
    println!("a handover takes {alone} instructions alone, {beside} when sixty have ended");
    assert!(beside <= alone + 10, "{beside} instructions instead of {alone}");
}

#[test]
fn who_sleeps_takes_no_time_of_others() {
    let mut scene = PAIR.to_owned();
    for number in 0..60 {
        scene += &format!(
            "
            [[domain]]
            name = \"sleeper-{number}\"
            kernel = \"worker\"
            cmdline = \"from=20000 until=20001\"
            memory = \"2M\"
            "
        );
    }
    let (alone, beside) = (
        counts("switch-alone", PAIR)["vcpu-switch"],
        counts("switch-beside-60", &scene)["vcpu-switch"],
    );
    println!("a handover takes {alone} instructions alone, {beside} beside sixty sleepers");
    assert!(beside <= alone + 10, "{beside} instructions instead of {alone}");
}

#[test]
fn a_line_that_is_not_finished_takes_no_time_of_others() {
    let beside = |mode: &str| {
        let third = format!(
            "
            [[domain]]
            name = \"third\"
            kernel = \"worker\"
            cmdline = \"from=2000 until=2001 mode={mode}\"
            memory = \"2M\"
            "
        );
        counts(&format!("switch-beside-{mode}"), &format!("{PAIR}{third}"))["vcpu-switch"]
    };
    // Both sleep; one has begun a line before.
    let (quiet, mumbling) = (beside("spin"), beside("mumbles"));
    println!(
        "a handover takes {quiet} instructions beside a sleeper, {mumbling} beside one that has begun a line"
    );
    assert!(
        mumbling <= quiet + 10,
        "{mumbling} instructions instead of {quiet}"
    );
}
