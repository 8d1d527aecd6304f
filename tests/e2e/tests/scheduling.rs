//! Who gets how much of the CPU. Time is the number of executed instructions here, so each run is like the last one.
use e2e::Boot;
use image_builder::scene::Outcome;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const MS: u64 = 1_000_000;

/// What a domain of the guest `worker` said at its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    /// What its whole pieces of work take, in nanoseconds.
    worked: u64,
    /// How long it ran.
    virtual_time: u64,
    /// The longest time for one piece of work, others' turns included.
    pub(crate) longest: u64,
}

impl Report {
    /// How much of the time that it ran was its own work.
    pub(crate) fn rate(self) -> f64 {
        self.worked as f64 / self.virtual_time as f64
    }
}

/// From when to when work counts, in milliseconds of system time.
pub(crate) struct Span {
    pub(crate) from: u64,
    pub(crate) until: u64,
}

impl Span {
    fn ns(&self) -> u64 {
        (self.until - self.from) * MS
    }

    /// A domain that works in this span.
    pub(crate) fn worker(&self, name: &str, weight: u32, mode: &str) -> String {
        let Self { from, until } = self;
        format!(
            "
            [[domain]]
            name = \"{name}\"
            kernel = \"worker\"
            cmdline = \"from={from} until={until} mode={mode}\"
            memory = \"2M\"
            weight = {weight}
            "
        )
    }

    pub(crate) fn share(&self, report: Report) -> f64 {
        report.worked as f64 / self.ns() as f64
    }
}

/// Boots the scene and collects what the workers said, by their names.
fn reports(name: &str, scene: &str) -> BTreeMap<String, Report> {
    reports_of(&Boot::qemu(name, scene).counting().must_be_good())
}

pub(crate) fn reports_of(outcome: &Outcome) -> BTreeMap<String, Report> {
    let parse = |line: &str| {
        let (name, rest) = line.trim_end().strip_prefix('[')?.split_once("] worked ")?;
        let (worked, rest) = rest.split_once(" ns, virtual ")?;
        let (virtual_time, longest) = rest.split_once(" ns, longest ")?;
        let report = Report {
            worked: worked.parse().ok()?,
            virtual_time: virtual_time.parse().ok()?,
            longest: longest.strip_suffix(" ns")?.parse().ok()?,
        };
        Some((name.to_owned(), report))
    };
    outcome.console.lines().filter_map(parse).collect()
}

#[test]
fn eight_domains_share_the_cpu_by_their_weights() {
    let span = Span {
        from: 400,
        until: 4_400,
    };
    let weights = [1, 1, 2, 4, 8, 16, 32, 64];
    let mut scene = String::new();
    for (domain, weight) in weights.iter().enumerate() {
        scene += &span.worker(&format!("w{domain}"), *weight, "spin");
    }
    let reports = reports("shares", &scene);
    let all: u32 = weights.iter().sum();
    let mut table = String::new();
    let mut worst: f64 = 0.0;
    for (domain, weight) in weights.iter().enumerate() {
        let share = span.share(reports[&format!("w{domain}")]);
        let due = f64::from(*weight) / f64::from(all);
        worst = worst.max((share / due - 1.0).abs());
        let _ = writeln!(
            table,
            "weight {weight:2}: {:.3}% of {:.3}%",
            share * 100.0,
            due * 100.0
        );
    }
    assert!(worst <= 0.05, "one is off by {:.1}%:\n{table}", worst * 100.0);
}

const SHORT: Span = Span {
    from: 200,
    until: 700,
};

#[test]
fn neither_naps_nor_yields_take_anything_from_one_that_works() {
    let others = [
        "nap run=490000 sleep=1",
        "nap run=2000 sleep=1",
        "nap run=40000 sleep=10000",
        "nap run=900000 sleep=100000",
        "yield",
    ];
    let mut scene = SHORT.worker("victim", 256, "spin");
    for (number, mode) in others.iter().enumerate() {
        scene += &SHORT.worker(&format!("other{number}"), 256, mode);
    }
    let reports = reports("abuse", &scene);
    let due = 1.0 / (others.len() + 1) as f64;
    let victim = SHORT.share(reports["victim"]);
    assert!(victim >= 0.95 * due, "the victim got {victim:.4} of {due:.4}");
    for (number, mode) in others.iter().enumerate() {
        let share = SHORT.share(reports[&format!("other{number}")]);
        assert!(share <= 1.05 * due, "{mode} got {share:.4} of {due:.4}");
    }
}

#[test]
fn one_that_crashes_for_ever_pays_for_its_building_and_burial() {
    let mut scene = SHORT.worker("victim", 256, "spin");
    scene += "
        [[domain]]
        name = \"crasher\"
        kernel = \"worker\"
        cmdline = \"mode=crash\"
        memory = \"16M\"
        record = \"line\"
        restart = { policy = \"always\", max = 12 }
        expect = \"killed:no-handler\"
    ";
    let victim = SHORT.share(reports("crash-loop", &scene)["victim"]);
    assert!(victim >= 0.95 / 2.0, "the victim got {victim:.4} of a half");
}

#[test]
fn fifty_that_die_in_their_first_instruction_take_nothing_from_one_that_works() {
    const CRASHERS: u32 = 50;
    let mut scene = SHORT.worker("victim", 256 * CRASHERS, "spin");
    let dies = e2e::assembled("dies").display().to_string();
    for number in 0..CRASHERS {
        let _ = write!(
            scene,
            "
            [[domain]]
            name = \"crasher{number}\"
            kernel = \"{dies}\"
            memory = \"512K\"
            restart = {{ policy = \"always\", max = 6 }}
            expect = \"killed:no-handler\"
            "
        );
    }
    let report = reports("fifty-crashers", &scene)["victim"];
    let share = SHORT.share(report);
    println!(
        "fifty crashers: {share:.4} of the CPU, longest wait {} us",
        report.longest / 1000
    );
    assert!(share >= 0.95 / 2.0, "the victim got {share:.4} of a half");
}

#[test]
fn an_antisocial_pair_does_not_slow_the_work_of_a_victim() {
    let victim = |name, others: &[&str]| {
        let mut scene = SHORT.worker("victim", 256, "spin");
        for mode in others {
            scene += &SHORT.worker(mode, 256, mode);
        }
        reports(name, &scene)["victim"]
    };
    let (alone, beside) = (victim("alone", &[]), victim("antisocial", &["calls", "touch"]));
    assert!(
        beside.rate() >= 0.95 * alone.rate(),
        "alone {alone:?}, beside the pair {beside:?}"
    );
    let share = SHORT.share(beside);
    assert!(share >= 0.95 / 3.0, "the victim got {share:.4} of a third");
}

/// What a domain that wakes may borrow, once: it is served sooner than it is due.
const BORROWED_NS: f64 = 2.0 * MS as f64;

/// Half of the CPU is the victim's due, but for what each of the others borrows; what is done to it in its turns costs it
/// no more than a twentieth of that.
fn must_not_notice(name: &str, span: &Span, modes: &[&str]) {
    let mut scene = span.worker("victim", 256 * modes.len() as u32, "spin offers=1");
    for (number, mode) in modes.iter().enumerate() {
        scene += &span.worker(&format!("other{number}"), 256, mode);
    }
    let all = reports(name, &scene);
    let victim = all["victim"];
    let share = span.share(victim);
    println!(
        "{name}: {share:.4} of the CPU, {:.4} of its turns, longest wait {} us",
        victim.rate(),
        victim.longest / 1000
    );
    let borrowed = BORROWED_NS * modes.len() as f64 / span.ns() as f64;
    assert!(share >= 0.95 / 2.0 - borrowed, "{name}: {share:.4}, {all:?}");
    assert!(victim.rate() >= 0.95, "{name}: {victim:?}");
}

#[test]
fn storms_of_timers_cost_those_who_set_them() {
    must_not_notice("timers-past", &SHORT, &["timers delay=0"]);
    must_not_notice("timers-soon", &SHORT, &["timers delay=1", "timers delay=700"]);
}

#[test]
fn many_timers_do_not_cut_anothers_turn_to_pieces() {
    let modes: Vec<String> = (1..=24).map(|n| format!("alarms delay={}", n * 4_000)).collect();
    let modes: Vec<&str> = modes.iter().map(String::as_str).collect();
    let span = Span {
        from: 200,
        until: 2_200,
    };
    must_not_notice("alarms", &span, &modes);
}

#[test]
fn a_tick_that_was_due_in_anothers_call_costs_the_next_guest_nothing() {
    let modes = [
        "ticks delay=1500 sleep=1",
        "ticks delay=2500 sleep=1",
        "ticks delay=4000 sleep=1",
    ];
    must_not_notice("ticks", &SHORT, &modes);
}

#[test]
fn a_storm_of_events_and_a_pair_that_wake_each_other_take_nothing_from_a_third() {
    must_not_notice("event-storm", &SHORT, &["storm peer=0"]);
    must_not_notice("event-pair", &SHORT, &["ping peer=2", "pong peer=1"]);
}

/// The lives of one that dies with a full record, again and again: as many as are explained at once.
const DEATHS: usize = 8;

#[test]
fn records_of_kills_on_a_slow_port_hold_up_nobody_else() {
    // Bochs' serial ports take 87 us for each byte: a record of 2 KiB takes 180 ms. Its CPU is slow, too: what a guest waits
    // for the building of another is 70 ms there, and a look at the ports costs it a hundredth of its time.
    let span = Span {
        from: 1_000,
        until: 3_000,
    };
    let scene = span.worker("victim", 256, "spin")
        + &format!(
            "
            [[domain]]
            name = \"crasher\"
            kernel = \"suite\"
            cmdline = \"cases={}\"
            memory = \"2M\"
            restart = {{ policy = \"always\", max = {} }}
            expect = \"killed:kernel-stack-not-present\"
            ",
            ["stack-absent"; DEATHS / 2].join(","),
            DEATHS - 1
        );
    let outcome = Boot::bochs("slow-port", &scene).must_be_good();
    let victim = reports_of(&outcome)["victim"];
    println!("{victim:?}");
    assert!(span.share(victim) >= 0.9 / 2.0, "{victim:?}");
    assert!(
        victim.longest < 100 * MS,
        "it waited for {} us: {victim:?}",
        victim.longest / 1000
    );
    // Nothing is lost, and nothing changes places.
    let headlines: Vec<&str> = outcome
        .console
        .lines()
        .filter(|line| line.contains("killed: kernel-stack-not-present"))
        .collect();
    assert_eq!(headlines.len(), DEATHS, "{headlines:#?}");
    for (life, line) in headlines.iter().enumerate() {
        assert!(line.contains(&format!("incarnation {life})")), "{life}: {line}");
    }
    let last_registers = outcome.console.lines().filter(|line| line.contains(" r13 0x"));
    assert_eq!(last_registers.count(), DEATHS, "records are whole");
}
