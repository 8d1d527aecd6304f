//! The hypervisor's own end, by the monitor's `panic`: a record like a guest's, and then the machine is off. No guest can
//! reach that command: it is typed at the first serial port.
use e2e::{Boot, WITNESS};
use image_builder::machine_line::MachineLine;
use image_builder::scene::Outcome;
use image_builder::verdict::Stop;

/// More lines than wait for a guest: when the monitor opens, this domain has read some. The other one always has something
/// to do, so that some domain is loaded.
const SCENE: &str = "
[[domain]]
name = \"web\"
kernel = \"pv-kernel\"
memory = \"8M\"
programs = [[\"cat\"]]
[[domain]]
name = \"busy\"
kernel = \"spinner\"
cmdline = \"mode=yield\"
memory = \"1M\"
";

/// The hypervisor's lines from the panic's on, without their prefix.
fn record(outcome: &Outcome) -> Vec<&str> {
    outcome
        .console
        .lines()
        .skip_while(|line| !line.starts_with("(xen-lite) panic: "))
        .map(|line| {
            let line = line.trim_end_matches('\r');
            let said = line.strip_prefix("(xen-lite) ");
            said.unwrap_or_else(|| panic!("the hypervisor's last words are interrupted by {line:?}"))
        })
        .collect()
}

/// Boots, has `panic HOW` typed, and wants that the machine is off by itself after exactly one panic.
fn ends(how: &str) -> Outcome {
    let keys = format!("{}\x1dpanic {how}\n", "a line for web\n".repeat(200));
    let outcome = Boot::qemu(&format!("panic-{how}"), SCENE).typing(&keys).boot();
    assert_eq!(outcome.stop, Stop::Ended, "{}", outcome.report());
    let panics = outcome.machine_lines.iter().filter(|line| line.is_event("panic"));
    assert_eq!(panics.count(), 1, "{:#?}", outcome.machine_lines);
    assert!(
        !outcome.verdict.is_good(),
        "a panic is a failure, whatever was expected"
    );
    outcome
}

/// Wants these texts, each in a line of its own and in this order.
fn tells(record: &[&str], wanted: &[&str]) {
    let mut rest = record.iter();
    for wanted in wanted {
        let is_there = rest.any(|line| line.contains(wanted));
        assert!(
            is_there,
            "no {wanted:?} where it belongs in\n{}",
            record.join("\n")
        );
    }
}

#[test]
fn a_failed_check_ends_with_the_domain_its_last_calls_and_who_called_whom() {
    let outcome = ends("message");
    tells(
        &record(&outcome),
        &[
            "panic: a person has asked for it",
            "  machine    cr3 0x",
            "  running    domain=",
            "  entered    rip 0x",
            "  recently  ",
            "  backtrace  of the message above",
            "<xen_lite::panic::bug+0x",
            "<xen_lite::panic::on_purpose+0x",
            "::next_turn+0x",
            " ends: nothing more was on the stack",
        ],
    );
}

#[test]
fn a_page_fault_in_ring_0_ends_with_its_registers_and_source_lines() {
    let outcome = ends("fault");
    tells(
        &record(&outcome),
        &[
            "panic: vector=14 error=0x2 rip=0xffffffff8",
            "  fault      #PF (vector 14) error 0x2 (write, not present), address 0x1000",
            "  running    domain=",
            "<xen_lite::panic::write_nowhere+0x",
            "<xen_lite::panic::on_purpose+0x",
            "::next_turn+0x",
            "  interrupted rip 0xffffffff8",
            " rax 0x1000 ",
            " r15 0x",
        ],
    );
    let calls: Vec<&str> = record(&outcome)
        .into_iter()
        .filter(|line| line.starts_with("  backtrace ") || line.contains(" called from "))
        .collect();
    let crash = calls
        .iter()
        .filter(|line| line.contains("> at xen-lite/hw/panic.rs:"));
    let machine = calls
        .iter()
        .filter(|line| line.contains("> at xen-lite/hw/machine/"));
    assert!(crash.count() >= 2 && machine.count() >= 2, "{calls:#?}");
}

#[test]
fn a_full_stack_ends_with_the_recursion_in_one_line() {
    let outcome = ends("stack");
    tells(
        &record(&outcome),
        &[
            "panic: vector=8 ",
            "  fault      #DF (vector 8)",
            "  backtrace  at 0xffffffff8",
            "times in a row",
            "<xen_lite::panic::on_purpose+0x",
            "::next_turn+0x",
            "  interrupted rip",
        ],
    );
}

#[test]
fn a_fault_in_the_last_words_ends_them() {
    const CUT_SHORT: &str = "another fault, while this was being said: no more is known";
    let outcome = ends("record");
    assert_eq!(record(&outcome), ["panic: so far", CUT_SHORT]);
    let is_told = |line: &&MachineLine| line.is_event("panic") && line.get("message") == Some(CUT_SHORT);
    assert!(outcome.machine_lines.iter().any(|line| is_told(&line)));
}

#[test]
fn who_cannot_start_says_where() {
    let scene = WITNESS.replace("witness = true", "");
    let outcome = Boot::qemu("panic-early", &scene).given(&["-m", "12"]).boot();
    assert_eq!(outcome.stop, Stop::Ended, "{}", outcome.report());
    tells(
        &record(&outcome),
        &[
            "panic: cannot start: too little contiguous RAM",
            "  running    no domain",
            "<xen_lite::panic::cannot_start+0x",
            "<xen_lite::boot+0x",
        ],
    );
}
