//! The files as a whole: by example, and against the host's own.
mod examples;
mod host;

use super::proc::facts::tests::Two;
use super::store::tests::Shelf;
use super::{Caller, Limits, Vfs};

const LIMITS: Limits = Limits {
    inodes: 200,
    names: 20_000,
    open_files: 50,
    pipes: 10,
};

fn at(now: u64) -> Caller<'static> {
    Caller {
        facts: &Two,
        umask: 0o022,
        now,
    }
}

/// An empty tree with `/dev`, `/proc` and `/tmp`, and memory for its files.
fn fresh<'a>() -> (Vfs<'a>, Shelf) {
    let mut vfs = Vfs::new(LIMITS, 0);
    vfs.make_system_directories(&at(0)).unwrap();
    (vfs, Shelf::new(300))
}
