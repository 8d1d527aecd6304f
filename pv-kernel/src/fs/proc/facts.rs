//! What the kernel tells about itself.
use crate::mm::area::Area;

/// What `/proc` asks the kernel.
pub trait Facts {
    /// The process that asks.
    fn current(&self) -> u32;

    /// The process with the lowest number that is not below `pid`.
    fn first_from(&self, pid: u32) -> Option<u32>;

    /// A process.
    fn process(&self, pid: u32) -> Option<ProcessFacts<'_>>;

    /// The whole.
    fn system(&self) -> SystemFacts<'_>;
}

/// A process. Times are in hundredths of a second.
#[derive(Clone, Copy, Debug)]
pub struct ProcessFacts<'f> {
    /// The program's name.
    pub name: &'f [u8],
    /// Its arguments, each with a NUL; as much as the kernel keeps of them.
    pub arguments: &'f [u8],
    /// Linux's letter for what it does: R, S, T, Z.
    pub state: char,
    /// Its parent.
    pub parent: u32,
    /// Its process group.
    pub group: u32,
    /// Its session.
    pub session: u32,
    /// The foreground process group of its terminal, if it has one.
    pub terminal_group: Option<u32>,
    /// When it began, since the kernel did.
    pub started: u64,
    /// How long it has run.
    pub run_time: u64,
    /// Pages that are there.
    pub resident: u64,
    /// What it may touch.
    pub areas: &'f [Area],
}

/// The kernel. Times are in hundredths of a second.
#[derive(Clone, Copy, Debug)]
pub struct SystemFacts<'f> {
    /// The domain's name.
    pub host_name: &'f str,
    /// Linux's version that the interface is like.
    pub release: &'f str,
    /// The kernel's own.
    pub version: &'f str,
    /// Since the kernel began.
    pub uptime: u64,
    /// How long nothing ran.
    pub idle: u64,
    /// When the kernel began, in seconds since 1970.
    pub booted: u64,
    /// Frames for programs and files.
    pub frames: u64,
    /// Free ones.
    pub free_frames: u64,
    /// Processes.
    pub processes: u32,
    /// Those that could run.
    pub runnable: u32,
    /// The last number that was given.
    pub last_pid: u32,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Two processes, the first of which asks.
    pub(crate) struct Two;

    impl Facts for Two {
        fn current(&self) -> u32 {
            1
        }

        fn first_from(&self, pid: u32) -> Option<u32> {
            [1, 7].into_iter().find(|known| *known >= pid)
        }

        fn process(&self, pid: u32) -> Option<ProcessFacts<'_>> {
            [1, 7].contains(&pid).then_some(ProcessFacts {
                name: b"a sh",
                arguments: b"sh\0-c\0ls\0",
                state: 'S',
                parent: 1,
                group: 1,
                session: 1,
                terminal_group: (pid == 7).then_some(7),
                started: 10,
                run_time: 5,
                resident: 3,
                areas: &[],
            })
        }

        fn system(&self) -> SystemFacts<'_> {
            SystemFacts {
                host_name: "guest",
                release: "6.1.0",
                version: "test",
                uptime: 12_345,
                idle: 6_007,
                booted: 1_000_000_000,
                frames: 1000,
                free_frames: 250,
                processes: 2,
                runnable: 1,
                last_pid: 7,
            }
        }
    }
}
