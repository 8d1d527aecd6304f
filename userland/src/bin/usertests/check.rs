//! What a test is, and how it says what is wrong.
use alloc::format;
use alloc::string::String;
use core::fmt::Debug;
use userland::process::{self, Fork, Pid, Status};

/// A test.
#[derive(Debug)]
pub(crate) struct Test {
    /// What should be so, in short.
    pub(crate) name: &'static str,
    /// Finds out.
    pub(crate) run: fn() -> Check,
}

/// What is wrong, if something is.
pub(crate) type Check = Result<(), String>;

/// A table of tests: the functions' names are theirs.
macro_rules! tests {
    ($($function:ident)*) => {
        pub(crate) const TESTS: &[$crate::check::Test] = &[
            $($crate::check::Test { name: stringify!($function), run: $function },)*
        ];
    };
}
pub(crate) use tests;

/// Fails if the condition does not hold.
pub(crate) fn expect(holds: bool, what: &str) -> Check {
    if holds { Ok(()) } else { Err(what.into()) }
}

/// Fails if the two differ.
pub(crate) fn same<T: PartialEq + Debug>(found: T, expected: T, what: &str) -> Check {
    match found == expected {
        true => Ok(()),
        false => Err(format!("{what}: {found:?} in place of {expected:?}")),
    }
}

/// What makes a test fail because it should have worked.
pub(crate) trait Works<T> {
    /// The value; or the test fails, as this does not work.
    fn works(self, what: &str) -> Result<T, String>;
}

impl<T, E: Debug> Works<T> for Result<T, E> {
    fn works(self, what: &str) -> Result<T, String> {
        self.map_err(|error| format!("{what}: {error:?}"))
    }
}

/// Runs something in a child that ends with its code; the child's number.
pub(crate) fn child(body: impl FnOnce() -> i32) -> Result<Pid, String> {
    match process::fork().works("fork")? {
        Fork::Child => process::exit(body()),
        Fork::Parent(pid) => Ok(pid),
    }
}

/// Runs checks in a child; their result is told by its code and, on standard error, in words.
pub(crate) fn checked_child(body: impl FnOnce() -> Check) -> Result<Pid, String> {
    child(|| match body() {
        Ok(()) => 0,
        Err(what) => {
            userland::eprintln!("usertests: in a child: {what}");
            1
        }
    })
}

/// Waits for a child, which must end like this.
pub(crate) fn ends(pid: Pid, expected: Status) -> Check {
    let status = process::wait_for(pid).works("wait4")?;
    same(status, expected, "a child's end")
}

/// Waits for a child whose checks must all have been good.
pub(crate) fn ends_well(pid: Pid) -> Check {
    ends(pid, Status::Exited(0))
}

/// A file of this test's own: its process' number is in the name.
pub(crate) fn scratch(name: &str) -> alloc::vec::Vec<u8> {
    format!("/tmp/usertests-{}-{name}", process::id()).into_bytes()
}
