//! `bench`: the guest of that name under QEMU's instruction clock.
//!
//! One instruction is one tick of the guest's time-stamp counter, so the counts are exact and the same every time. Xen's
//! figures are of Xen 4.17 with paravirtual 64-bit guests on the same emulator, counted in the same way.
use super::FAILED;
use crate::cli;
use crate::machine_line::MachineLine;
use crate::qemu::Clock;
use crate::scene::{Options, Scene};
use anyhow::{Result, bail};
use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

const SCENE: &str = "[[domain]]\nname = \"bench\"\nkernel = \"bench\"\nmemory = \"4M\"\n";
/// Two guests that do nothing but yield to each other.
const SWITCH_SCENE: &str = "\
    [[domain]]\nname = \"bench\"\nkernel = \"bench\"\ncmdline = \"role=switcher\"\nmemory = \"1M\"\n\
    [[domain]]\nname = \"peer\"\nkernel = \"bench\"\ncmdline = \"role=peer\"\nmemory = \"1M\"\n";
/// A row that is no count of instructions, and comes from the hypervisor's own record.
const MEMORY: &str = "memory-per-domain";
const LIMIT: Duration = Duration::from_secs(300);

/// Name in the guest's output, what it is, and Xen's count where Xen has the same primitive.
const PRIMITIVES: &[(&str, &str, Option<u64>)] = &[
    (
        "direct-int80",
        "int 0x80 from ring 3, direct, and back",
        Some(680),
    ),
    (
        "direct-exception",
        "exception from ring 3, direct, and back",
        Some(778),
    ),
    ("page-fault-ring-3", "#PF from ring 3 and back", Some(841)),
    ("page-fault-ring-1", "#PF from ring 1 and back", Some(727)),
    (
        "bounced-int3-ring-3",
        "int3 from ring 3, bounced, and back",
        Some(778),
    ),
    ("int3-ring-1", "int3 from ring 1, direct, and back", Some(652)),
    (
        "direct-int-ring-1",
        "int 0x41 from ring 1, direct, and back",
        Some(661),
    ),
    (
        "bounced-int3-ring-1",
        "int3 from ring 1, bounced, and back",
        Some(652),
    ),
    ("syscall", "syscall from ring 3 and back", Some(697)),
    (
        "demand-ring-3",
        "demand fault from ring 3: #PF, mapped, and back",
        Some(1690),
    ),
    (
        "demand-ring-1",
        "demand fault from ring 1: #PF, mapped, and back",
        Some(1576),
    ),
    ("null-hypercall", "null hypercall (xen_version)", Some(283)),
    ("bad-hypercall", "hypercall with a bad number", Some(239)),
    (
        "multicall-null",
        "multicall of 32 null calls, per call",
        Some(211),
    ),
    ("yield", "sched_op yield, nobody else runnable", Some(2031)),
    (
        "update-va-map",
        "update_va_mapping, empty to RW, invlpg",
        Some(851),
    ),
    (
        "update-va-map-no-flush",
        "update_va_mapping, empty to RW, no flush",
        Some(785),
    ),
    (
        "multicall-update-va",
        "multicall of 32 update_va_mapping, per entry",
        Some(713),
    ),
    (
        "update-va-unmap",
        "update_va_mapping, RW to empty, invlpg",
        Some(790),
    ),
    (
        "update-va-other",
        "update_va_mapping, to another frame, invlpg",
        Some(1013),
    ),
    (
        "update-va-read-only",
        "update_va_mapping, RW to RO, invlpg",
        Some(963),
    ),
    (
        "update-va-accessed",
        "update_va_mapping, only the A bit",
        Some(660),
    ),
    (
        "mmu-map-1",
        "mmu_update empty to RW, batch of 1, per entry",
        Some(963),
    ),
    (
        "mmu-map-8",
        "mmu_update empty to RW, batch of 8, per entry",
        Some(598),
    ),
    (
        "mmu-map-32",
        "mmu_update empty to RW, batch of 32, per entry",
        Some(559),
    ),
    (
        "mmu-map-128",
        "mmu_update empty to RW, batch of 128, per entry",
        Some(549),
    ),
    (
        "mmu-unmap-1",
        "mmu_update RW to empty, batch of 1, per entry",
        Some(894),
    ),
    (
        "mmu-unmap-128",
        "mmu_update RW to empty, batch of 128, per entry",
        Some(481),
    ),
    (
        "mmu-read-only-1",
        "mmu_update RW to RO, batch of 1, per entry",
        Some(1075),
    ),
    (
        "mmu-read-only-128",
        "mmu_update RW to RO, batch of 128, per entry",
        Some(661),
    ),
    (
        "mmu-accessed-1",
        "mmu_update only the A bit, batch of 1, per entry",
        Some(772),
    ),
    (
        "mmu-accessed-32",
        "mmu_update only the A bit, batch of 32, per entry",
        Some(368),
    ),
    ("mmu-machphys", "mmu_update MACHPHYS, 1 entry", Some(535)),
    ("invlpg", "mmuext_op invlpg", Some(490)),
    ("tlb-flush", "mmuext_op tlb flush", Some(504)),
    ("set-trap-table-1", "set_trap_table, 1 entry", Some(417)),
    ("set-trap-table-20", "set_trap_table, 20 entries", Some(2123)),
    ("update-descriptor", "update_descriptor", Some(553)),
    ("stack-switch", "stack_switch", Some(249)),
    ("set-segment-base", "set_segment_base (FS)", Some(256)),
    ("set-timer", "set_timer_op", None),
    ("pin-empty-l1", "pin an empty L1 table", Some(9938)),
    ("unpin-empty-l1", "unpin an empty L1 table", Some(8933)),
    (
        "pin-full-l1-per-entry",
        "pin a full L1 table, per RW entry",
        Some(185),
    ),
    (
        "unpin-full-l1-per-entry",
        "unpin a full L1 table, per RW entry",
        Some(162),
    ),
    ("new-baseptr", "mmuext_op new_baseptr", Some(1054)),
    ("event-send-masked", "event to self, no upcall", Some(490)),
    (
        "event-to-upcall",
        "event to self until the upcall's first instruction",
        Some(580),
    ),
    ("event-round-trip", "event to self, upcall, and back", Some(910)),
    (
        "vcpu-switch",
        "yield to another vCPU until it runs (half a round)",
        Some(2902),
    ),
    (
        MEMORY,
        "hypervisor's memory per domain beyond its own, KiB",
        Some(84),
    ),
];

pub(super) fn execute(arguments: &cli::Bench) -> Result<ExitCode> {
    let mut all = Vec::new();
    for (name, scene) in [("bench", SCENE), ("bench-switch", SWITCH_SCENE)] {
        let mut options = Options::new(name);
        options.clock = Clock::Instructions;
        options.limit = Some(LIMIT);
        let outcome = Scene::from_toml(scene)?.boot(&options)?;
        if !outcome.verdict.is_good() {
            eprintln!("{}", outcome.report());
            return Ok(ExitCode::from(FAILED));
        }
        all.extend(counts(&outcome.console));
        let kept = outcome.machine_lines.iter().find_map(kept_kib);
        all.extend(kept.map(|kib| (MEMORY.to_owned(), kib)));
    }
    let counts = all;
    let missing: Vec<&str> = PRIMITIVES
        .iter()
        .map(|(name, ..)| *name)
        .filter(|name| count_of(&counts, name).is_none())
        .collect();
    if !missing.is_empty() {
        bail!("the guest counted nothing for {}", missing.join(", "));
    }
    print!(
        "{}",
        if arguments.json {
            json(&counts)
        } else {
            table(&counts)
        }
    );
    Ok(ExitCode::SUCCESS)
}

/// The lines `bench NAME COUNT` of a console.
fn counts(console: &str) -> Vec<(String, u64)> {
    let parse = |line: &str| {
        let (_, words) = line.split_once("] bench ")?;
        let (name, count) = words.trim().split_once(' ')?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    console.lines().filter_map(parse).collect()
}

/// What the hypervisor keeps for each domain, in KiB, by its record.
fn kept_kib(line: &MachineLine) -> Option<u64> {
    let number = |key| line.get(key)?.parse::<u64>().ok();
    let bytes = 4096 * number("frames")? + number("heap")?;
    let domains = number("domains")?.max(1);
    (line.get("event") == Some("kept")).then(|| bytes.div_ceil(domains * 1024))
}

fn count_of(counts: &[(String, u64)], wanted: &str) -> Option<u64> {
    counts
        .iter()
        .find(|(name, _)| name == wanted)
        .map(|(_, count)| *count)
}

fn table(counts: &[(String, u64)]) -> String {
    let mut text = format!(
        "{:<54} {:>9} {:>9} {:>7}\n",
        "instructions", "xen-lite", "Xen 4.17", "ratio"
    );
    for (name, what, xen) in PRIMITIVES {
        let Some(count) = count_of(counts, name) else {
            continue;
        };
        let (xen, ratio) = match xen {
            Some(xen) => (xen.to_string(), format!("{:.2}", count as f64 / *xen as f64)),
            None => ("-".to_owned(), "-".to_owned()),
        };
        // A String takes everything.
        let _ = writeln!(text, "{what:<54} {count:>9} {xen:>9} {ratio:>7}");
    }
    text
}

fn json(counts: &[(String, u64)]) -> String {
    let one = |(name, what, xen): &(&str, &str, Option<u64>)| {
        let count = count_of(counts, name)?;
        let xen = xen.map_or("null".to_owned(), |xen| xen.to_string());
        Some(format!(
            "  {name:?}: {{ \"what\": {what:?}, \"instructions\": {count}, \"xen\": {xen} }}"
        ))
    };
    let lines: Vec<String> = PRIMITIVES.iter().filter_map(one).collect();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_the_guests_lines_alone() {
        let console = "(xen-lite) bench x 1\n[bench] bench null-hypercall 57\r\n[bench] bench done\n";
        assert_eq!(counts(console), [("null-hypercall".to_owned(), 57)]);
    }

    #[test]
    fn the_table_and_the_json_name_what_was_counted_and_xens_figure() {
        let counts = [("null-hypercall".to_owned(), 57)];
        assert!(
            table(&counts)
                .lines()
                .nth(1)
                .unwrap()
                .ends_with(" 57       283    0.20")
        );
        assert_eq!(
            json(&counts),
            "{\n  \"null-hypercall\": { \"what\": \"null hypercall (xen_version)\", \"instructions\": 57, \"xen\": 283 }\n}\n"
        );
    }
}
