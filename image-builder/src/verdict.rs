//! Judges a run by what the hypervisor said on the second serial port, and by nothing else: no guest can write there.
use crate::machine_line::MachineLine;
use crate::manifest::{Domain, Expect, Expectation, Manifest};
use abi::reason::Reason;
use std::time::Duration;

/// How a run of an emulator came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// The emulator ended by itself.
    Ended,
    /// A signal ended it that was not ours: a defect of its own (SIGSEGV, SIGABRT), or somebody's kill.
    Crashed(i32),
    /// It was stopped at its time limit.
    TimedOut(Duration),
    /// The user interrupted it.
    Interrupted,
}

/// What came of a run: nothing to say, or what failed, one line each.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    /// Empty if all is well.
    pub failures: Vec<String>,
}

impl Verdict {
    /// Whether every domain ended as expected and every check went well.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.failures.is_empty()
    }
}

/// Judges a run of `manifest`.
#[must_use]
pub fn judge(manifest: &Manifest, lines: &[MachineLine], stop: Stop) -> Verdict {
    let mut failures = Vec::new();
    let has_ended = lines.iter().any(|line| line.is_event("end"));
    failures.extend(hypervisor_faults(lines));
    failures.extend(
        manifest
            .domains
            .iter()
            .flat_map(|domain| judge_domain(domain, lines, has_ended)),
    );
    failures.extend(strangers(manifest, lines));
    failures.extend(lost_frames(lines, has_ended));
    failures.extend(how_it_stopped(manifest, lines, stop));
    Verdict { failures }
}

fn hypervisor_faults(lines: &[MachineLine]) -> Vec<String> {
    let panics = lines.iter().filter(|line| line.is_event("panic"));
    let mut failures: Vec<String> = panics
        .map(|line| format!("the hypervisor panicked: {line}"))
        .collect();
    let audits: Vec<&MachineLine> = lines.iter().filter(|line| line.is_event("audit")).collect();
    let unclean = audits.iter().filter(|line| line.get("result") != Some("clean"));
    failures.extend(unclean.map(|line| format!("the audit found a fault: {line}")));
    if audits.is_empty() && lines.iter().any(|line| line.is_event("end")) {
        failures.push("no audit was reported".to_owned());
    }
    failures
}

/// The ends of a domain, in the order in which they were reported.
pub(crate) fn ends_of<'a>(name: &'a str, lines: &'a [MachineLine]) -> impl Iterator<Item = &'a MachineLine> {
    lines
        .iter()
        .filter(move |line| line.is_about(name) && matches!(line.get("state"), Some("killed" | "shutdown")))
}

fn is_alive(name: &str, lines: &[MachineLine]) -> bool {
    lines
        .iter()
        .any(|line| line.is_about(name) && line.get("state") == Some("alive"))
}

/// The end that a state line tells of.
pub(crate) fn end_of(line: &MachineLine) -> Option<Expect> {
    match (line.get("state")?, line.get("reason")?) {
        ("shutdown", "poweroff") => Some(Expect::Shutdown(line.number("code").unwrap_or(0))),
        ("shutdown", "reboot") => Some(Expect::Reboot),
        ("killed", reason) => Reason::from_name(reason).map(Expect::Killed),
        _ => None,
    }
}

fn judge_domain(domain: &Domain, lines: &[MachineLine], has_ended: bool) -> Vec<String> {
    let name = &domain.name;
    let mut failures = Vec::new();
    let ends: Vec<&MachineLine> = ends_of(name, lines).collect();
    for (incarnation, line) in ends.iter().enumerate() {
        let which = if ends.len() > 1 {
            format!("{name} (start {incarnation})")
        } else {
            name.clone()
        };
        match (domain.expect.of(incarnation), end_of(line)) {
            (Some(expected), Some(got)) if expected.admits(got) => {}
            (Some(expected), _) => failures.push(format!("{which}: expected {expected}, got: {line}")),
            (None, _) if domain.expect == Expectation::Alive => {
                failures.push(format!("{which}: expected to be alive, got: {line}"));
            }
            (None, _) => failures.push(format!("{which}: expected no such start, got: {line}")),
        }
    }
    // What is missing counts only if the machine came to its end: else its stopping is the failure.
    if !has_ended {
        return failures;
    }
    match &domain.expect {
        Expectation::Alive if !is_alive(name, lines) && ends.is_empty() => {
            failures.push(format!(
                "{name}: expected to be alive, but it was not heard of at the end"
            ));
        }
        Expectation::Every(expected) if ends.is_empty() => {
            failures.push(format!("{name}: expected {expected}, but no end was reported"));
        }
        Expectation::Each(list) if ends.len() < list.len() => {
            for (incarnation, expected) in list.iter().enumerate().skip(ends.len()) {
                let what = "but no end was reported";
                failures.push(format!(
                    "{name} (start {incarnation}): expected {expected}, {what}"
                ));
            }
        }
        _ => {}
    }
    failures
}

/// Ends of domains that the manifest does not have: the reports cannot be relied on.
fn strangers(manifest: &Manifest, lines: &[MachineLine]) -> Vec<String> {
    let is_stranger = |line: &&MachineLine| {
        line.get("state").is_some() && !manifest.domains.iter().any(|domain| line.is_about(&domain.name))
    };
    let strangers = lines.iter().filter(is_stranger);
    strangers
        .map(|line| format!("a domain that is not in the manifest: {line}"))
        .collect()
}

/// Every end of a domain must be followed by the return of all its frames.
fn lost_frames(lines: &[MachineLine], has_ended: bool) -> Vec<String> {
    let frames: Vec<&MachineLine> = lines.iter().filter(|line| line.is_event("frames")).collect();
    let lost = frames.iter().filter(|line| {
        let (returned, owned) = (line.number("returned"), line.number("owned"));
        returned.is_none() || returned != owned
    });
    let mut failures: Vec<String> = lost.map(|line| format!("frames were lost: {line}")).collect();
    if has_ended {
        let ends = lines
            .iter()
            .filter(|line| matches!(line.get("state"), Some("killed" | "shutdown")));
        let unreturned = ends.filter(|end| {
            !frames.iter().any(|line| {
                ["domain", "incarnation"]
                    .iter()
                    .all(|key| line.number(key) == end.number(key))
            })
        });
        failures
            .extend(unreturned.map(|line| format!("the frames were not reported as returned after: {line}")));
    }
    failures
}

fn how_it_stopped(manifest: &Manifest, lines: &[MachineLine], stop: Stop) -> Option<String> {
    let has_started = lines.iter().any(|line| line.is_event("start"));
    let has_ended = lines.iter().any(|line| line.is_event("end"));
    let until = match stop {
        Stop::Ended => "the machine stopped".to_owned(),
        Stop::Crashed(signal) => format!("the emulator itself was ended by signal {signal}"),
        Stop::TimedOut(limit) => format!("the time limit of {} s was reached", limit.as_secs()),
        Stop::Interrupted => "the run was interrupted".to_owned(),
    };
    match (has_started, has_ended, stop) {
        (_, true, Stop::Ended) => None,
        (_, true, _) => Some(format!(
            "every domain had ended, but the machine did not power off: {until}"
        )),
        (false, false, _) => Some(format!("{until} before the hypervisor said that it had started")),
        (true, false, _) => {
            let waited_for = manifest.domains.iter().filter(|domain| !domain.witness);
            let missing = waited_for.filter(|domain| ends_of(&domain.name, lines).next().is_none());
            let names: Vec<&str> = missing.map(|domain| domain.name.as_str()).collect();
            match names.as_slice() {
                [] => Some(format!("{until} before the hypervisor said that all had ended")),
                names => Some(format!(
                    "{until} before these domains had ended: {}",
                    names.join(", ")
                )),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "xen-lite: event=start version=0.1 frames=9 self-test=ok";
    const OFF: &str = "xen-lite: domain=0 name=a incarnation=0 state=shutdown reason=poweroff code=0";
    const FRAMES: &str = "xen-lite: event=frames domain=0 incarnation=0 returned=512 owned=512";
    const CLEAN: &str = "xen-lite: event=audit result=clean";
    const END: &str = "xen-lite: event=end domains=1 killed=0 shutdown=1";

    fn manifest(rest: &str) -> Manifest {
        Manifest::parse(&format!(
            "until = \"others-ended\"\n[[domain]]\nname = \"a\"\nkernel = \"k\"\n{rest}"
        ))
        .unwrap()
    }

    fn failures(rest: &str, lines: &[&str], stop: Stop) -> Vec<String> {
        let lines: Vec<MachineLine> = lines
            .iter()
            .map(|line| MachineLine::parse(line).unwrap())
            .collect();
        judge(&manifest(rest), &lines, stop).failures
    }

    fn only_failure(rest: &str, lines: &[&str]) -> String {
        let mut failures = failures(rest, lines, Stop::Ended);
        assert_eq!(failures.len(), 1, "{failures:?}");
        failures.remove(0)
    }

    #[test]
    fn an_emulator_that_crashed_is_told_from_a_machine_that_stopped() {
        let crashed = failures("", &[START], Stop::Crashed(11));
        let what = "the emulator itself was ended by signal 11 before these domains had ended: a";
        assert!(crashed.iter().any(|failure| failure == what), "{crashed:?}");
        let all = [START, OFF, FRAMES, CLEAN, END];
        assert_eq!(failures("", &all, Stop::Crashed(6)).len(), 1);
    }

    #[test]
    fn an_orderly_shutdown_is_what_is_expected_by_default() {
        assert_eq!(
            failures("", &[START, OFF, FRAMES, CLEAN, END], Stop::Ended),
            [""; 0]
        );
    }

    #[test]
    fn another_end_than_the_expected_one_is_a_failure() {
        let all = [START, OFF, FRAMES, CLEAN, END];
        assert!(
            only_failure("expect = \"shutdown:3\"", &all).contains("expected shutdown:3, got: xen-lite:")
        );
        assert!(only_failure("expect = \"killed:no-handler\"", &all).contains("expected killed:no-handler"));
        assert!(only_failure("expect = \"reboot\"", &all).contains("expected reboot"));
    }

    #[test]
    fn a_kill_with_its_reason_can_be_expected() {
        let killed = "xen-lite: domain=0 name=a incarnation=0 state=killed reason=no-handler vector=6";
        assert_eq!(
            failures(
                "expect = \"killed:no-handler\"",
                &[START, killed, FRAMES, CLEAN, END],
                Stop::Ended
            ),
            [""; 0]
        );
        assert!(only_failure("", &[START, killed, FRAMES, CLEAN, END]).contains("expected shutdown, got"));
    }

    #[test]
    fn every_start_is_judged_by_its_own_item() {
        let rest = "restart = \"always\"\nexpect = [\"shutdown:1\", \"shutdown\"]";
        let first = "xen-lite: domain=0 name=a incarnation=0 state=shutdown reason=poweroff code=1";
        let second = "xen-lite: domain=0 name=a incarnation=1 state=shutdown reason=poweroff code=0";
        let frames = "xen-lite: event=frames domain=0 incarnation=1 returned=512 owned=512";
        let all = [START, first, FRAMES, second, frames, CLEAN, END];
        assert_eq!(failures(rest, &all, Stop::Ended), [""; 0]);
        let short = only_failure(rest, &[START, first, FRAMES, CLEAN, END]);
        assert!(
            short.contains("start 1") && short.contains("no end was reported"),
            "{short}"
        );
        let more = failures("", &all, Stop::Ended);
        assert!(
            more[0].starts_with("a (start 0): expected shutdown, got"),
            "{more:?}"
        );
    }

    #[test]
    fn a_witness_must_be_alive_at_the_end() {
        let rest = "[[domain]]\nname = \"w\"\nkernel = \"k\"\nwitness = true";
        let alive = "xen-lite: domain=1 name=w state=alive lines=3";
        let dead = "xen-lite: domain=1 name=w incarnation=0 state=killed reason=no-handler";
        let frames = "xen-lite: event=frames domain=1 incarnation=0 returned=1 owned=1";
        assert_eq!(
            failures(rest, &[START, OFF, FRAMES, CLEAN, alive, END], Stop::Ended),
            [""; 0]
        );
        assert!(only_failure(rest, &[START, OFF, FRAMES, CLEAN, END]).contains("w: expected to be alive"));
        assert!(
            only_failure(rest, &[START, OFF, FRAMES, dead, frames, CLEAN, END]).contains("to be alive, got")
        );
    }

    #[test]
    fn a_panic_a_fault_of_the_audit_and_lost_frames_are_failures() {
        let panic = "xen-lite: event=panic message=index out of range";
        let fault = "xen-lite: event=audit result=frame 7 has count 2, not 1";
        let lost = "xen-lite: event=frames domain=0 incarnation=0 returned=511 owned=512";
        assert!(only_failure("", &[START, OFF, FRAMES, CLEAN, panic, END]).contains("panicked"));
        assert!(only_failure("", &[START, OFF, FRAMES, fault, END]).contains("frame 7 has count 2, not 1"));
        assert!(only_failure("", &[START, OFF, lost, CLEAN, END]).contains("returned=511"));
        assert!(only_failure("", &[START, OFF, CLEAN, END]).contains("not reported as returned"));
        assert!(only_failure("", &[START, OFF, FRAMES, END]).contains("no audit"));
    }

    #[test]
    fn silence_is_a_failure() {
        assert!(only_failure("", &[]).contains("before the hypervisor said that it had started"));
        assert!(only_failure("", &[START]).contains("before these domains had ended: a"));
        assert!(only_failure("", &[START, OFF, FRAMES, CLEAN]).contains("said that all had ended"));
        assert!(only_failure("", &[START, FRAMES, CLEAN, END]).contains("no end was reported"));
    }

    #[test]
    fn the_time_limit_is_named() {
        let stop = Stop::TimedOut(Duration::from_secs(9));
        assert!(failures("", &[START], stop)[0].contains("the time limit of 9 s was reached"));
        assert!(failures("", &[START, OFF, FRAMES, CLEAN, END], stop)[0].contains("did not power off"));
    }

    #[test]
    fn an_unknown_domain_is_a_failure() {
        let stranger = "xen-lite: domain=7 name=z incarnation=0 state=alive";
        assert!(
            only_failure("", &[START, OFF, FRAMES, CLEAN, stranger, END]).contains("not in the manifest")
        );
    }
}
