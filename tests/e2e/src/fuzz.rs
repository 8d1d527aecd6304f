//! Boots of the hostile random guest, and what came of them.
//!
//! Two of them run beside a witness, each for many lives; [`Plan`] is a boot, [`Tally`] what it did and what is wrong with it.
//! Every frame is recounted all the time, so that a fault shows near the step that made it.
use guests::fuzz::{Finding, Progress};
use image_builder::emulator::{Machine, Said};
use image_builder::machine_line::MachineLine;
use image_builder::scene::{Options, Outcome, Scene};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Domains that draw lots.
const DOMAINS: u64 = 2;
/// So far are the seeds of a boot's domains apart: more than a boot has lives.
const SEEDS_APART: u64 = 1 << 20;
/// At most so many steps between two audits.
const STEPS_PER_AUDIT: u64 = 1000;
/// At most so many between two beats of the witness, which wants one every fifth of a second.
const STEPS_PER_BEAT: u64 = 20_000;
/// How a domain of this guest may be killed: whatever it does to itself. It is not built badly, nobody destroys it, and there is no
/// virtual-8086 mode.
const NEVER: [&str; 4] = [
    "out-of-memory",
    "kernel-image-invalid",
    "destroyed",
    "virtual-8086-mode",
];

/// A boot to be made.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Of the first life of the first domain; lives of a domain count from its first.
    pub seed: u64,
    /// Lives of each domain.
    pub lives: u32,
    /// Steps of each life that is not cut short.
    pub steps: u64,
    /// Which emulator.
    pub machine: Machine,
    /// For the whole boot.
    pub limit: Duration,
}

impl Plan {
    /// As many steps as a boot of moderate length takes.
    #[must_use]
    pub const fn new(machine: Machine, seed: u64) -> Self {
        match machine {
            Machine::Qemu => Self {
                seed,
                lives: 32,
                steps: 2000,
                machine,
                limit: Duration::from_secs(300),
            },
            Machine::Bochs => Self {
                seed,
                lives: 6,
                steps: 1000,
                machine,
                limit: Duration::from_secs(1800),
            },
        }
    }

    /// The seed after all that this boot uses.
    #[must_use]
    pub const fn next_seed(&self) -> u64 {
        self.seed + DOMAINS * SEEDS_APART
    }

    /// The most steps that it does.
    #[must_use]
    pub const fn most_steps(&self) -> u64 {
        DOMAINS * self.lives as u64 * self.steps
    }

    /// The scene.
    #[must_use]
    pub fn scene(&self) -> String {
        // A turn is about one step; on a faithful emulator an audit takes longer than hundreds of them.
        let turns = match self.machine {
            Machine::Qemu => 200,
            Machine::Bochs => 400,
        };
        let mut toml =
            format!("console = \"witness\"\nuntil = \"others-ended\"\naudit = \"each-turn:{turns}\"\n");
        toml.push_str(crate::WITNESS);
        for domain in 0..DOMAINS {
            let Self {
                seed, lives, steps, ..
            } = self;
            let seed = seed + domain * SEEDS_APART;
            toml.push_str(&format!(
                "
                [[domain]]
                name = \"fuzz-{domain}\"
                kernel = \"fuzz\"
                cmdline = \"fuzz seed={seed} steps={steps}\"
                memory = \"2M\"
                record = \"line\"
                restart = {{ policy = \"always\", max = {} }}
                expect = \"any\"
                ",
                lives - 1
            ));
        }
        toml
    }

    /// Boots it. The first sign of a broken hypervisor ends it, for what follows says nothing more.
    ///
    /// # Errors
    /// The scene cannot be built or started.
    pub fn run(&self) -> anyhow::Result<(Tally, Outcome)> {
        let scene = Scene::from_toml(&self.scene())?;
        let mut options = Options::new(&format!("fuzz-{}", self.seed));
        options.machine = self.machine;
        options.limit = Some(self.limit);
        let enough = Arc::new(AtomicBool::new(false));
        let outcome = scene.prepare(&options)?.run(&enough, |said| {
            if matches!(said, Said::Machine(line) if is_broken(line)) {
                enough.store(true, Ordering::Relaxed);
            }
        })?;
        Ok((Tally::of(&outcome), outcome))
    }
}

fn is_broken(line: &MachineLine) -> bool {
    line.is_event("panic") || (line.is_event("audit") && line.get("result") != Some("clean"))
}

/// Whether a failure is only a guest that has taken its own floor away and noticed it before the hypervisor did.
fn is_lost(failure: &str) -> bool {
    let line = failure.split_once("expected any, got: ").map(|(_, line)| line);
    line.and_then(MachineLine::parse).is_some_and(|line| {
        let code = line.number("code");
        line.get("state") == Some("shutdown") && code.is_some_and(|code| !Finding::is_told_by(code))
    })
}

/// What a boot, or several, did.
#[derive(Clone, Default, Debug)]
pub struct Tally {
    /// Steps done; of a life that was killed, up to its last line.
    pub steps: u64,
    /// Lives begun.
    pub lives: u64,
    /// Kills by their reason.
    pub kills: BTreeMap<String, u64>,
    /// Clean audits.
    pub audits: u64,
    /// Beats of the witness.
    pub beats: u64,
    /// Lives in which the guest found its own floor gone and gave up.
    pub lost: u64,
    /// What is wrong.
    pub failures: Vec<String>,
}

impl Tally {
    /// What is wrong with a boot, by what it said.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Self {
        Self::judged(
            &outcome.console,
            &outcome.machine_lines,
            &outcome.verdict.failures,
        )
    }

    fn judged(console: &str, lines: &[MachineLine], failures: &[String]) -> Self {
        let mut lives: BTreeMap<u64, u64> = BTreeMap::new();
        for progress in console.lines().filter_map(Progress::parse) {
            let steps = lives.entry(progress.seed).or_default();
            *steps = progress.steps.max(*steps);
        }
        let mut kills: BTreeMap<String, u64> = BTreeMap::new();
        for reason in lines.iter().filter(|line| line.get("state") == Some("killed")) {
            *kills
                .entry(reason.get("reason").unwrap_or("?").to_owned())
                .or_default() += 1;
        }
        let clean = |line: &&MachineLine| line.is_event("audit") && line.get("result") == Some("clean");
        let mut tally = Self {
            steps: lives.values().sum(),
            lives: lives.len() as u64,
            kills,
            audits: lines.iter().filter(clean).count() as u64,
            beats: console.lines().filter(|line| line.contains("] beat ")).count() as u64,
            lost: failures.iter().filter(|failure| is_lost(failure)).count() as u64,
            failures: failures
                .iter()
                .filter(|failure| !is_lost(failure))
                .cloned()
                .collect(),
        };
        tally.look_for_more();
        tally
    }

    fn look_for_more(&mut self) {
        let Self {
            steps,
            audits,
            beats,
            kills,
            ..
        } = self;
        let mut failures = Vec::new();
        if *steps > *audits * STEPS_PER_AUDIT {
            failures.push(format!("{audits} audits in {steps} steps"));
        }
        if *steps > *beats * STEPS_PER_BEAT {
            failures.push(format!("{beats} heartbeats in {steps} steps"));
        }
        for reason in kills.keys().filter(|reason| NEVER.contains(&reason.as_str())) {
            failures.push(format!("a kill that no step can have brought about: {reason}"));
        }
        self.failures.extend(failures);
    }

    /// Adds another boot's.
    pub fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.lives += other.lives;
        self.audits += other.audits;
        self.beats += other.beats;
        self.lost += other.lost;
        for (reason, count) in other.kills {
            *self.kills.entry(reason).or_default() += count;
        }
        self.failures.extend(other.failures);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            steps,
            lives,
            audits,
            beats,
            lost,
            ..
        } = self;
        write!(
            f,
            "{steps} steps in {lives} lives, {audits} audits, {beats} heartbeats, {lost} lost"
        )?;
        let kills: u64 = self.kills.values().sum();
        write!(f, ", {kills} kills")?;
        for (reason, count) in &self.kills {
            write!(f, " {reason}:{count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(console: &str, lines: &[&str]) -> Tally {
        let lines: Vec<MachineLine> = lines
            .iter()
            .map(|line| MachineLine::parse(line).unwrap())
            .collect();
        Tally::judged(console, &lines, &[])
    }

    const CLEAN: &str = "xen-lite: event=audit result=clean";

    #[test]
    fn steps_are_those_of_each_lifes_last_line() {
        let console =
            "[a] fuzz seed=1 steps=0\n[a] fuzz seed=1 steps=100\n[b] fuzz seed=9 steps=300\n[w] beat 0\n";
        let found = tally(console, &[CLEAN]);
        assert_eq!(
            (found.steps, found.lives, found.audits, found.beats),
            (400, 2, 1, 1)
        );
        assert!(found.failures.is_empty());
    }

    #[test]
    fn too_few_audits_or_beats_and_strange_kills_are_failures() {
        let killed = "xen-lite: domain=1 name=a incarnation=0 state=killed reason=out-of-memory";
        let found = tally("[a] fuzz seed=1 steps=1100\n", &[CLEAN, killed]);
        assert_eq!(found.failures.len(), 3, "{:?}", found.failures);
        assert_eq!(found.kills.get("out-of-memory"), Some(&1));
    }

    #[test]
    fn a_finding_is_a_failure_and_a_lost_guest_is_not() {
        let end = |code: u64| {
            format!(
                "a (start 3): expected any, got: xen-lite: domain=1 name=a incarnation=3 state=shutdown reason=poweroff code={code}"
            )
        };
        let failures = [end(170), end(Finding::NotZero as u64), "a panic".to_owned()];
        let found = Tally::judged("", &[], &failures);
        assert_eq!((found.lost, found.failures.as_slice()), (1, &failures[1..]));
    }

    #[test]
    fn the_seeds_of_boots_and_domains_do_not_meet() {
        let plan = Plan::new(Machine::Qemu, 5);
        assert!(u64::from(plan.lives) < SEEDS_APART);
        assert!(plan.scene().contains(&format!("seed={} ", 5 + SEEDS_APART)));
        assert_eq!(plan.next_seed(), 5 + 2 * SEEDS_APART);
        assert!(Scene::from_toml(&plan.scene()).is_ok());
    }
}
