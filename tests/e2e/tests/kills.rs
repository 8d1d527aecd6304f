//! What a guest is killed for: each case in an incarnation of its own, beside a witness that must not notice.
use abi::reason::Reason;
use e2e::{Boot, MACHINE, WITNESS, groups, groups_with_one_audit};
use guests::catalogue::BAD_CHAINS;
use image_builder::emulator::Machine;
use image_builder::machine_line::MachineLine;
use image_builder::scene::Outcome;

const GROUPS: &[&str] = &["handlers", "segments", "stacks", "exits"];

/// What the line for machines says about a kill agrees with its reason.
fn evidence_fits(outcome: &Outcome) {
    let kills = outcome
        .machine_lines
        .iter()
        .filter(|line| line.get("state") == Some("killed"));
    for line in kills {
        let reason = line.get("reason").and_then(Reason::from_name);
        let reason = reason.unwrap_or_else(|| panic!("a reason that the interface does not have: {line}"));
        assert!(fits(reason, line), "the evidence does not fit the reason: {line}");
    }
}

fn fits(reason: Reason, line: &MachineLine) -> bool {
    const PROTECTION: u64 = 1;
    const WRITE: u64 = 2;
    const FETCH: u64 = 16;
    let number = |key| line.number(key);
    let error = number("error");
    let is_fetch_of_handler = number("cr2").is_some() && number("cr2") == number("handler");
    match reason {
        Reason::HandlerNotPresent => is_fetch_of_handler && error == Some(FETCH),
        Reason::HandlerNotExecutable => is_fetch_of_handler && error == Some(FETCH | PROTECTION),
        Reason::CallbackNotPresent => is_fetch_of_handler && error.is_some_and(|error| error & FETCH != 0),
        Reason::KernelStackNotPresent => number("cr2").is_some() && error == Some(WRITE),
        Reason::KernelStackReadOnly => number("cr2").is_some() && error == Some(WRITE | PROTECTION),
        Reason::HandlerSegmentNotPresent => number("vector") == Some(11) && number("delivering").is_some(),
        Reason::HandlerSegmentInvalid => number("vector") == Some(13) && number("delivering").is_some(),
        Reason::NoHandler => number("delivering").is_some(),
        Reason::GuestPanic => number("code") == Some(7),
        _ => true,
    }
}

#[test]
fn every_bad_delivery_ends_its_guest_with_its_reason_in_qemu() {
    evidence_fits(&Boot::qemu("kills-qemu", &groups(GROUPS, Machine::Qemu)).must_be_good());
}

#[test]
fn every_bad_delivery_ends_its_guest_with_its_reason_in_bochs() {
    let scene = groups_with_one_audit(GROUPS, Machine::Bochs);
    evidence_fits(&Boot::bochs("kills-bochs", &scene).must_be_good());
}

#[test]
fn no_stack_pointer_into_the_slot_is_ever_used_in_qemu() {
    let _ = Boot::qemu("stack-sweep-qemu", &groups(&["stack-sweep"], Machine::Qemu)).must_be_good();
}

#[test]
fn no_stack_pointer_into_the_slot_is_ever_used_in_bochs() {
    let scene = groups_with_one_audit(&["stack-sweep"], Machine::Bochs);
    let _ = Boot::bochs("stack-sweep-bochs", &scene).must_be_good();
}

/// Cases for the long form of the record, and what it has to say beside rule and reason.
const RECORDS: &[(&str, Reason, &[&str])] = &[
    (
        "page-fault-handler-paged-out",
        Reason::HandlerNotPresent,
        &[
            "page walk",
            "not present",
            "#PF (vector 14)",
            "rax 0x",
            " to 0x19:0xffffffff8",
            "<suite::handlers::page_fault_handler+0x0> could not be fetched",
            "interrupted 0xffffffff8",
            "<suite::handlers::touch+0x",
            "<suite::handlers::page_fault_paged_out+0x",
            "ends: the outermost frame",
        ],
    ),
    (
        "handler-no-execute",
        Reason::HandlerNotExecutable,
        // This handler was put together at run time.
        &[
            "page walk",
            "no-execute",
            "fetch",
            "(in no function of its executable) could not be fetched",
        ],
    ),
    (
        "stack-absent",
        Reason::KernelStackNotPresent,
        &["page walk", "not present", "#UD (vector 6)", "write"],
    ),
    (
        "stack-read-only",
        Reason::KernelStackReadOnly,
        &["page walk", "read-only", "rsp 0x"],
    ),
    (
        "handler-segment-removed",
        Reason::HandlerSegmentNotPresent,
        &["#NP (vector 11)", "0x81:"],
    ),
    ("no-handler", Reason::NoHandler, &["#DE (vector 0)"]),
    (
        "own-code-segment-removed",
        Reason::ReturnFrameInvalid,
        &["#NP (vector 11)", "cs 0x81"],
    ),
    (
        "syscall-entry-paged-out",
        Reason::CallbackNotPresent,
        &[", a program in ring 3\n", "ends: a program's calls"],
    ),
    (
        "guest-panic",
        Reason::GuestPanic,
        &[
            "backtrace  at 0xffffffff8",
            "<guests::runtime::call::shutdown+0x",
            "<suite::handlers::guest_panic+0x",
            "> at tests/guests/hw/suite/handlers.rs:",
            "ends: the outermost frame",
            "rax gone rbx 0x",
        ],
    ),
];

/// How the backtrace of each run of `frame-pointers-that-lead-astray` ends.
const ENDS: [&str; BAD_CHAINS as usize] = [
    "points to no frame further up the stack",
    "points to no frame further up the stack",
    "frame pointer 0xffff800000208000 points to no frame further up the stack",
    "000 points to nothing that can be read",
    "frame pointer 0x800000000000 points to no frame further up the stack",
    "frame pointer 0xfffffffffffffff8 points to nothing that can be read",
    "no more than 16 frames are shown",
    "is no code",
];

#[test]
fn a_backtrace_ends_wherever_frame_pointers_lead() {
    let scene = e2e::group_domain("backtraces", Machine::Qemu).replace("record = \"line\"", "");
    let outcome = Boot::qemu("backtraces", &format!("{MACHINE}{WITNESS}{scene}")).must_be_good();
    let ends: Vec<&str> = outcome
        .console
        .lines()
        .filter_map(|line| {
            line.strip_prefix("(xen-lite) ")?
                .trim_start()
                .strip_prefix("ends: ")
        })
        .collect();
    assert_eq!(ends.len(), ENDS.len(), "{ends:#?}");
    for (end, wanted) in ends.iter().zip(ENDS) {
        assert!(end.ends_with(wanted), "{end:?} is not {wanted:?}");
    }
}

#[test]
fn a_crash_record_explains_itself_to_people() {
    let mut scene = MACHINE.to_owned() + WITNESS;
    for (n, (case, reason, _)) in RECORDS.iter().enumerate() {
        scene.push_str(&format!(
            "
            [[domain]]
            name = \"bad-{n}\"
            kernel = \"suite\"
            cmdline = \"cases={case}\"
            memory = \"2M\"
            expect = \"killed:{}\"
            ",
            reason.name()
        ));
    }
    let outcome = Boot::qemu("records", &scene).must_be_good();
    let own: Vec<&str> = outcome
        .console
        .lines()
        .filter_map(|line| line.strip_prefix("(xen-lite) "))
        .collect();
    for (n, (_, reason, words)) in RECORDS.iter().enumerate() {
        let headline = format!("(bad-{n}, incarnation 0) killed: {}", reason.name());
        let start = own.iter().position(|line| line.contains(&headline));
        let start = start.unwrap_or_else(|| panic!("no record says {headline:?}"));
        let record: Vec<&str> = own[start..]
            .iter()
            .enumerate()
            .take_while(|(n, line)| *n == 0 || line.starts_with(' '))
            .map(|(_, line)| *line)
            .collect();
        let text = record.join("\n");
        for wanted in words.iter().copied().chain([reason.rule(), reason.why()]) {
            assert!(
                text.contains(wanted),
                "the record does not say {wanted:?}:\n{text}"
            );
        }
    }
}
