//! The shell's state.
use crate::flow::{Expanded, Flow};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::fmt;
use userland::process::{self, Pid};
use userland::sh::Bytes;
use userland::sh::ast::{Command, Word};
use userland::sh::expand::{self, Failure};
use userland::sh::getopts::Place;
use userland::sh::history::History;
use userland::sh::is_name;
use userland::sh::jobs::Jobs;
use userland::sh::variables::Variables;
use userland::terminal::Modes;
use userland::text::Text;
use userland::{Arguments, files, io};

/// What `set` turns on and off.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Options {
    /// `-e`: a command that fails ends the shell.
    pub(crate) exit_on_error: bool,
    /// `-u`: an unset variable is an error.
    pub(crate) refuses_unset: bool,
    /// `-x`: commands are shown.
    pub(crate) traces: bool,
    /// `-f`: file names are no patterns.
    pub(crate) no_names: bool,
    /// `-m`: jobs have process groups of their own.
    pub(crate) monitor: bool,
    /// `-i`: somebody types.
    pub(crate) interactive: bool,
}

/// The terminal of an interactive shell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    /// A descriptor that programs do not get.
    pub(crate) fd: files::Fd,
    /// The modes that programs begin with.
    pub(crate) modes: Modes,
    /// The shell's own group.
    pub(crate) group: Pid,
    /// The terminal was told not to show what is typed, for there was something typed ahead.
    pub(crate) hides: bool,
}

/// All of it.
pub(crate) struct Shell {
    pub(crate) name: Bytes,
    pub(crate) variables: Variables,
    pub(crate) functions: BTreeMap<Bytes, Rc<Command>>,
    pub(crate) positional: Vec<Bytes>,
    pub(crate) options: Options,
    /// `$?`
    pub(crate) status: i32,
    /// `$!`
    pub(crate) last_background: Option<Pid>,
    /// `$$`
    pub(crate) pid: Pid,
    pub(crate) jobs: Jobs,
    pub(crate) terminal: Option<Terminal>,
    pub(crate) history: History,
    /// Commands for signals; an empty one: ignored. 0 is the shell's end.
    pub(crate) traps: BTreeMap<u32, Bytes>,
    /// How many conditions we are in: commands may fail there.
    pub(crate) conditions: usize,
    pub(crate) loops: usize,
    pub(crate) functions_running: usize,
    /// This process does nothing after the next command: a program may take its place.
    pub(crate) may_become: bool,
    /// The line of the command that is running.
    pub(crate) line: usize,
    /// Somebody has typed what runs, in a subshell too: messages name no lines.
    pub(crate) is_typed: bool,
    /// The status of the last command substitution of the command that is being expanded.
    pub(crate) substituted: Option<i32>,
    pub(crate) getopts: Place,
    pub(crate) warned_of_jobs: bool,
}

/// The search path, if the environment has none.
const PATH: &[u8] = b"/bin:/usr/bin:/sbin:/usr/sbin";

impl Shell {
    /// A shell with the environment as its variables.
    pub(crate) fn new(arguments: Arguments) -> Self {
        let mut variables = Variables::default();
        // Nothing is read-only yet.
        let mut set = |name: &[u8], value: &[u8]| {
            let _ = variables.set(name, value.to_vec());
        };
        set(b"PATH", PATH);
        set(b"PS1", b"\\w \\$ ");
        set(b"PS2", b"> ");
        set(b"PS4", b"+ ");
        let mut exported = Vec::new();
        for entry in arguments.environment() {
            let Some(sign) = entry.iter().position(|byte| *byte == b'=') else {
                continue;
            };
            let (name, value) = entry.split_at(sign);
            if is_name(name) {
                set(name, value.get(1..).unwrap_or(&[]));
                exported.push(name);
            }
        }
        set(b"IFS", b" \t\n");
        set(b"OPTIND", b"1");
        set(b"PPID", format!("{}", process::parent()).as_bytes());
        if let Ok(directory) = files::current_directory() {
            set(b"PWD", &directory);
        }
        exported.iter().for_each(|name| variables.export(name));
        Self {
            name: arguments.get(0).unwrap_or(b"sh").to_vec(),
            variables,
            functions: BTreeMap::new(),
            positional: Vec::new(),
            options: Options::default(),
            status: 0,
            last_background: None,
            pid: process::id(),
            jobs: Jobs::default(),
            terminal: None,
            history: History::default(),
            traps: BTreeMap::new(),
            conditions: 0,
            loops: 0,
            functions_running: 0,
            may_become: false,
            line: 1,
            is_typed: false,
            substituted: None,
            getopts: Place { index: 1, letters: 0 },
            warned_of_jobs: false,
        }
    }

    /// A message on standard error.
    pub(crate) fn complain(&self, what: impl fmt::Display) {
        let name = Text(&self.name);
        match self.is_typed {
            true => io::print(io::STDERR, format_args!("{name}: {what}\n")),
            false => io::print(io::STDERR, format_args!("{name}: line {}: {what}\n", self.line)),
        }
    }

    /// Where an expansion that failed leads.
    fn failed(&self, failure: Failure<Flow>) -> Flow {
        match failure {
            Failure::Flow(flow) => flow,
            Failure::Message(message) => {
                self.complain(message);
                Flow::Abort(2)
            }
        }
    }

    /// The fields that words become.
    pub(crate) fn fields(&mut self, words: &[Word]) -> Result<Vec<Bytes>, Flow> {
        let expanded: Expanded<_> = expand::fields(self, words);
        expanded.map_err(|failure| self.failed(failure))
    }

    /// The one string that a word becomes.
    pub(crate) fn string(&mut self, word: &Word) -> Result<Bytes, Flow> {
        let expanded: Expanded<_> = expand::string(self, word);
        expanded.map_err(|failure| self.failed(failure))
    }

    /// The pattern that a word becomes.
    pub(crate) fn pattern(&mut self, word: &Word) -> Result<userland::pattern::Pattern, Flow> {
        let expanded: Expanded<_> = expand::pattern(self, word);
        expanded.map_err(|failure| self.failed(failure))
    }

    /// The value of a variable, or nothing.
    pub(crate) fn value(&self, name: &[u8]) -> Bytes {
        self.variables.get(name).cloned().unwrap_or_default()
    }

    /// Sets a variable; a message and the way out if it is read-only.
    pub(crate) fn set(&mut self, name: &[u8], value: Bytes) -> Result<(), Flow> {
        if name == b"OPTIND" {
            let index = userland::text::number(&value).and_then(|index| usize::try_from(index).ok());
            self.getopts = Place {
                index: index.unwrap_or(1).max(1),
                letters: 0,
            };
        }
        self.variables.set(name, value).map_err(|message| {
            self.complain(message);
            Flow::Abort(2)
        })
    }

    /// Whether there is job control.
    pub(crate) fn has_jobs(&self) -> bool {
        self.options.monitor && self.terminal.is_some()
    }
}
