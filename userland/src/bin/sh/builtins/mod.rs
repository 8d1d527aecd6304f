//! Commands that the shell runs itself.
mod control;
mod files;
mod info;
mod jobs;
mod text;
mod variables;

use crate::flow::Outcome;
use crate::shell::Shell;
use userland::sh::Bytes;

/// How errors and assignments count (POSIX, 2.14).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    /// Errors end a script; assignments before it stay.
    Special,
    /// It is like a program.
    Regular,
}

/// A command of the shell's own. Its words begin with its name.
pub(crate) struct Builtin {
    name: &'static [u8],
    pub(crate) class: Class,
    pub(crate) run: fn(&mut Shell, &[Bytes]) -> Outcome,
}

const fn special(name: &'static str, run: fn(&mut Shell, &[Bytes]) -> Outcome) -> Builtin {
    let (name, class) = (name.as_bytes(), Class::Special);
    Builtin { name, class, run }
}

const fn regular(name: &'static str, run: fn(&mut Shell, &[Bytes]) -> Outcome) -> Builtin {
    let (name, class) = (name.as_bytes(), Class::Regular);
    Builtin { name, class, run }
}

static BUILTINS: &[Builtin] = &[
    special(":", |_, _| Ok(0)),
    special(".", control::source),
    special("break", control::leave_loop),
    special("continue", control::continue_loop),
    special("eval", control::eval),
    special("exec", control::exec),
    special("exit", control::exit),
    special("export", variables::export),
    special("readonly", variables::readonly),
    special("return", control::leave_function),
    special("set", variables::set),
    special("shift", variables::shift),
    special("times", info::times),
    special("trap", control::trap),
    special("unset", variables::unset),
    regular("[", text::test),
    regular("bg", jobs::background),
    regular("cd", files::change_directory),
    regular("command", info::command),
    regular("echo", text::echo),
    regular("false", |_, _| Ok(1)),
    regular("fg", jobs::foreground),
    regular("getopts", variables::getopts),
    regular("hash", |_, _| Ok(0)),
    regular("history", info::history),
    regular("jobs", jobs::list),
    regular("kill", jobs::kill),
    regular("local", variables::local),
    regular("printf", text::printf),
    regular("pwd", files::print_directory),
    regular("read", text::read),
    regular("test", text::test),
    regular("true", |_, _| Ok(0)),
    regular("type", info::type_of),
    regular("umask", files::mask),
    regular("wait", jobs::wait),
];

/// The builtin called `name`.
pub(crate) fn find(name: &[u8]) -> Option<&'static Builtin> {
    BUILTINS.iter().find(|builtin| builtin.name == name)
}

/// The names of all.
pub(crate) fn names() -> impl Iterator<Item = &'static [u8]> {
    BUILTINS.iter().map(|builtin| builtin.name)
}

/// The words after the name.
fn rest(words: &[Bytes]) -> &[Bytes] {
    words.get(1..).unwrap_or(&[])
}

/// Without a `--` at the beginning.
fn operands(words: &[Bytes]) -> &[Bytes] {
    match rest(words) {
        [dashes, operands @ ..] if dashes == b"--" => operands,
        operands => operands,
    }
}
