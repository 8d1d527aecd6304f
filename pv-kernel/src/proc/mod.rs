//! Processes: what one is, which there are, how they begin and end.
mod children;
mod exec;
mod exit;
mod files;
mod fork;
mod name;
mod process;
mod room;
mod status;
pub mod table;
mod terminal;
mod user_state;

pub use children::{Found, Selector, Wanted};
pub use exec::{ExecError, Program};
pub use files::ProcessFiles;
pub use name::Name;
pub use process::{End, Next, Process, Turn};
pub use status::Status;
pub use table::{News, ProcessTable};
pub use terminal::Take;
pub use user_state::{UserState, VectorLayout, VectorState};

/// The number of a process, of a process group or of a session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Pid(pub u32);

impl Pid {
    /// The kernel itself: parent of what it starts, and of orphans that no other process takes.
    pub const KERNEL: Self = Self(0);
    /// The first process.
    pub const INIT: Self = Self(1);
    /// Numbers are below this one, as on Linux by default.
    pub const LIMIT: u32 = 32_768;
}

impl core::fmt::Display for Pid {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}
