//! Where the shell is on its way to, when that is not the next command.
use userland::sh::expand::Failure;

/// What ends the commands that are running.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flow {
    /// Out of so many loops.
    Break(usize),
    /// To the next round of a loop, so many out.
    Continue(usize),
    /// Out of a function or a sourced file.
    Return(i32),
    /// Out of the shell.
    Exit(i32),
    /// After an error or Ctrl-C: to the prompt if there is one, else out of the shell.
    Abort(i32),
}

impl Flow {
    /// The exit code of a shell that ends so.
    pub(crate) fn code(self) -> i32 {
        match self {
            Self::Break(_) | Self::Continue(_) => 0,
            Self::Return(code) | Self::Exit(code) | Self::Abort(code) => code,
        }
    }
}

/// An exit code, or another way.
pub(crate) type Outcome = Result<i32, Flow>;
/// Of an expansion.
pub(crate) type Expanded<T> = Result<T, Failure<Flow>>;
