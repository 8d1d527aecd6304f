//! What a hostile guest kernel does to the ways in and out, to the edges of the address space, to others' time.
use e2e::{Boot, MACHINE, WITNESS, groups, groups_with_one_audit};
use image_builder::cases;
use image_builder::emulator::{Machine, Said};
use image_builder::scene::{Options, Scene};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

const GROUPS: &[&str] = &["entries", "edges", "virtual-mode", "backtraces"];

#[test]
fn no_way_in_or_out_gives_a_guest_more_than_it_has_in_qemu() {
    let _ = Boot::qemu("attacks-qemu", &groups(GROUPS, Machine::Qemu)).must_be_good();
}

#[test]
fn no_way_in_or_out_gives_a_guest_more_than_it_has_in_bochs() {
    let _ = Boot::bochs("attacks-bochs", &groups(GROUPS, Machine::Bochs)).must_be_good();
}

#[test]
fn nonsense_harms_nobody_else_in_qemu() {
    let _ = Boot::qemu("nonsense-qemu", &groups(&["nonsense"], Machine::Qemu)).must_be_good();
}

#[test]
fn nonsense_harms_nobody_else_in_bochs() {
    let scene = groups_with_one_audit(&["nonsense"], Machine::Bochs);
    let _ = Boot::bochs("nonsense-bochs", &scene).must_be_good();
}

/// So many domains that run one case.
fn many(count: usize, case: &str, memory: &str, expect: &str) -> String {
    let mut toml = String::new();
    for number in 0..count {
        let _ = write!(
            toml,
            "
            [[domain]]
            name = \"{case}-{number}\"
            kernel = \"suite\"
            cmdline = \"cases={case}\"
            memory = \"{memory}\"
            record = \"line\"
            expect = \"{expect}\"
            "
        );
    }
    toml
}

#[test]
fn a_hundred_and_twenty_guests_that_are_found_dead_one_after_another_are_just_dead() {
    let dead = many(120, "yields-at-the-edge", "1M", "killed:return-frame-invalid");
    let scene = format!("{MACHINE}{WITNESS}{dead}").replace("audit = \"each-end\"", "");
    let _ = Boot::qemu("dead-on-return", &scene).must_be_good();
}

#[test]
fn two_guests_with_different_handlers_for_one_vector_get_each_its_own() {
    let pair = many(2, "direct-gates-are-ones-own", "2M", "shutdown");
    let scene = format!("{MACHINE}{WITNESS}{pair}");
    let _ = Boot::qemu("own-gates-qemu", &scene).must_be_good();
    let _ = Boot::bochs("own-gates-bochs", &scene).must_be_good();
}

#[test]
fn one_call_takes_no_more_than_its_share_of_time() {
    // One boot each: the ticks are the machine's, and those of another domain's turn would count.
    for case in ["prints-newlines", "pins-all-at-once"] {
        let plan = cases::alone(case, Machine::Qemu).expect("a case of the catalogue");
        let _ = Boot::of(&plan, Machine::Qemu).must_be_good();
    }
}

/// Has QEMU raise NMIs until it is gone; returns how many.
fn nmi_storm(socket: &Path) -> std::io::Result<u32> {
    let stream = UnixStream::connect(socket)?;
    let mut answers = BufReader::new(stream.try_clone()?).lines();
    let mut ask = |command: &str| -> std::io::Result<()> {
        writeln!(&stream, "{{\"execute\":\"{command}\"}}")?;
        answers.next().unwrap_or(Ok(String::new())).map(drop)
    };
    // Its greeting is the first answer.
    ask("qmp_capabilities")?;
    let mut sent = 0;
    while ask("inject-nmi").is_ok() {
        sent += 1;
        thread::sleep(Duration::from_micros(200));
    }
    Ok(sent)
}

#[test]
fn nmis_at_all_times_do_no_harm() {
    let socket = std::env::temp_dir().join(format!("xen-lite-{}.qmp", std::process::id()));
    let scene = groups(&["frames", "entries", "calls"], Machine::Qemu);
    let scene = Scene::from_toml(&scene).unwrap();
    let mut options = Options::new("nmis");
    options.limit = Some(Duration::from_secs(180));
    options.extra = vec![
        "-qmp".to_owned(),
        format!("unix:{},server=on,wait=off", socket.display()),
    ];
    let mut storm = None;
    let outcome = scene
        .prepare(&options)
        .unwrap()
        .run(&Arc::new(AtomicBool::new(false)), |said| {
            // Before the hypervisor has its own tables, an NMI resets the machine.
            if matches!(said, Said::Machine(line) if line.is_event("domain-start")) && storm.is_none() {
                let socket = socket.clone();
                storm = Some(thread::spawn(move || nmi_storm(&socket)));
            }
        })
        .unwrap();
    let _ = std::fs::remove_file(&socket);
    assert!(outcome.verdict.is_good(), "{}", outcome.report());
    let sent = storm.expect("a domain has started").join().unwrap().unwrap();
    assert!(sent > 200, "{sent} NMIs");
}
