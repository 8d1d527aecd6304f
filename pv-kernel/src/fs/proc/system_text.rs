//! The files of `/proc` that tell of the whole, as Linux writes them (proc(5)).
use super::Text;
use super::facts::SystemFacts;
use abi::layout::PAGE_SIZE;
use alloc::vec::Vec;
use core::fmt::Write;

/// Which file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "they have the names of the files")]
pub enum OfSystem {
    Meminfo,
    Uptime,
    Stat,
    Loadavg,
    Version,
    Filesystems,
    HostName,
    OsRelease,
    OsType,
    PidMax,
}

impl OfSystem {
    pub(super) const ALL: [Self; 10] = [
        Self::Meminfo,
        Self::Uptime,
        Self::Stat,
        Self::Loadavg,
        Self::Version,
        Self::Filesystems,
        Self::HostName,
        Self::OsRelease,
        Self::OsType,
        Self::PidMax,
    ];

    /// Whether it is in `/proc/sys/kernel`.
    pub(super) const fn is_setting(self) -> bool {
        matches!(
            self,
            Self::HostName | Self::OsRelease | Self::OsType | Self::PidMax
        )
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Meminfo => "meminfo",
            Self::Uptime => "uptime",
            Self::Stat => "stat",
            Self::Loadavg => "loadavg",
            Self::Version => "version",
            Self::Filesystems => "filesystems",
            Self::HostName => "hostname",
            Self::OsRelease => "osrelease",
            Self::OsType => "ostype",
            Self::PidMax => "pid_max",
        }
    }

    pub(super) fn text(self, system: &SystemFacts<'_>) -> Vec<u8> {
        let SystemFacts {
            host_name,
            release,
            version,
            ..
        } = system;
        let text = match self {
            Self::Meminfo => meminfo(system),
            Self::Uptime => {
                let [up, idle] = [system.uptime, system.idle].map(|ticks| (ticks / 100, ticks % 100));
                alloc::format!("{}.{:02} {}.{:02}\n", up.0, up.1, idle.0, idle.1)
            }
            Self::Stat => stat(system),
            Self::Loadavg => {
                let (runnable, processes, last) = (system.runnable, system.processes, system.last_pid);
                alloc::format!("0.00 0.00 0.00 {runnable}/{processes} {last}\n")
            }
            Self::Version => alloc::format!("Linux version {release} ({version})\n"),
            Self::Filesystems => Text::from("nodev\ttmpfs\nnodev\tproc\n"),
            Self::HostName => alloc::format!("{host_name}\n"),
            Self::OsRelease => alloc::format!("{release}\n"),
            Self::OsType => Text::from("Linux\n"),
            Self::PidMax => Text::from("32768\n"),
        };
        text.into_bytes()
    }
}

fn meminfo(system: &SystemFacts<'_>) -> Text {
    let kilobytes = |frames: u64| frames * (PAGE_SIZE >> 10);
    let free = kilobytes(system.free_frames);
    let lines = [
        ("MemTotal:", kilobytes(system.frames)),
        ("MemFree:", free),
        ("MemAvailable:", free),
        ("Buffers:", 0),
        ("Cached:", 0),
        ("SwapCached:", 0),
        ("Active:", 0),
        ("Inactive:", 0),
        ("SwapTotal:", 0),
        ("SwapFree:", 0),
        ("Shmem:", 0),
        ("SReclaimable:", 0),
    ];
    let mut text = Text::new();
    for (name, value) in lines {
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(text, "{name:<14} {value:>9} kB");
    }
    text
}

fn stat(system: &SystemFacts<'_>) -> Text {
    let busy = system.uptime.saturating_sub(system.idle);
    let (idle, booted, runnable, last) = (system.idle, system.booted, system.runnable, system.last_pid);
    let mut text = Text::new();
    for name in ["cpu ", "cpu0"] {
        let _ = writeln!(text, "{name} {busy} 0 0 {idle} 0 0 0 0 0 0");
    }
    let _ = write!(
        text,
        "intr 0\nctxt 0\nbtime {booted}\nprocesses {last}\nprocs_running {runnable}\nprocs_blocked 0\n"
    );
    text
}
