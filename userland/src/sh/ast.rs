//! What a shell text means: commands, words, redirections.
use super::Bytes;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::OnceCell;

/// Commands one after another.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct List(pub Vec<Item>);

/// One of a list: pipelines with `&&` and `||` between them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// The first pipeline.
    pub first: Pipeline,
    /// What follows, each with what stands before it.
    pub rest: Vec<(Connector, Pipeline)>,
    /// Whether the shell waits.
    pub mode: Mode,
    /// How it was written.
    pub text: Bytes,
}

/// Whether the shell waits for a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// It waits.
    Foreground,
    /// `&`: it does not.
    Background,
}

/// What stands between two pipelines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Connector {
    /// `&&`
    And,
    /// `||`
    Or,
}

/// Commands of which each reads what the one before it writes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pipeline {
    /// How often `!` stands before it.
    pub negations: usize,
    /// At least one.
    pub commands: Vec<Command>,
}

/// A command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// A program, builtin or function, or assignments alone.
    Simple(Simple),
    /// Something with commands inside, and its redirections.
    Compound(Compound, Vec<Redirect>),
    /// The definition of a function.
    Function(Bytes, Rc<Command>),
}

/// Assignments, words and redirections.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Simple {
    /// `NAME=word` before the first word.
    pub assignments: Vec<(Bytes, Word)>,
    /// The command's name and arguments.
    pub words: Vec<Word>,
    /// In the order in which they stand.
    pub redirects: Vec<Redirect>,
    /// The line of the first of it.
    pub line: usize,
}

/// A command with commands inside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Compound {
    /// `{ list; }`
    Group(List),
    /// `( list )`
    Subshell(List),
    /// `if condition; then list; elif ...; else otherwise; fi`
    If {
        /// Conditions and what follows each.
        arms: Vec<(List, List)>,
        /// After `else`.
        otherwise: Option<List>,
    },
    /// `for name in words; do body; done`
    For {
        /// The variable.
        name: Bytes,
        /// `None`: the positional parameters.
        words: Option<Vec<Word>>,
        /// What is done for each.
        body: List,
    },
    /// `while condition; do body; done`, or `until`
    Loop {
        /// Which of the two.
        kind: LoopKind,
        /// What decides.
        condition: List,
        /// What is done.
        body: List,
    },
    /// `case word in (pattern|pattern) list;; ... esac`
    Case {
        /// What is compared.
        word: Word,
        /// Patterns and what follows them.
        arms: Vec<(Vec<Word>, List)>,
    },
}

/// When a loop goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoopKind {
    /// While its condition is true.
    While,
    /// While its condition is false.
    Until,
}

/// A redirection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redirect {
    /// Which descriptor; `None` is 0 or 1, as the kind has it.
    pub fd: Option<i32>,
    /// What becomes of it.
    pub kind: RedirectKind,
}

/// What becomes of a descriptor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RedirectKind {
    /// `< word`
    Read(Word),
    /// `> word`, `>| word`
    Write(Word),
    /// `>> word`
    Append(Word),
    /// `<> word`
    ReadWrite(Word),
    /// `<& word`: a copy of that descriptor, or `-`: closed
    CopyIn(Word),
    /// `>& word`
    CopyOut(Word),
    /// `<< delimiter`: the lines that follow. The body is set when they have been read.
    Here(Rc<OnceCell<Word>>),
}

impl Redirect {
    /// Which descriptor it is about.
    #[must_use]
    pub fn target(&self) -> i32 {
        let usual = match self.kind {
            RedirectKind::Write(_) | RedirectKind::Append(_) | RedirectKind::CopyOut(_) => 1,
            _ => 0,
        };
        self.fd.unwrap_or(usual)
    }
}

/// A word: its parts make one string, or several.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Word(pub Vec<Part>);

/// A part of a word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// Plain text, whose `*`, `?` and `[` are special.
    Plain(Bytes),
    /// Text from `'...'`, `$'...'` or after a backslash: nothing in it is special.
    Quoted(Bytes),
    /// `"..."`
    Quotes(Vec<Part>),
    /// `~` or `~user` where it is special.
    Tilde(Bytes),
    /// `$name`, `${name...}`
    Parameter(Box<Parameter>),
    /// `$(...)`, `` `...` ``
    Command(List),
    /// `$((...))`
    Arithmetic(Word),
}

/// A parameter's value, or what is made of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parameter {
    /// A variable's name, a number, or one of `@ * # ? - $ !`.
    pub name: Bytes,
    /// What is made of it.
    pub change: Change,
}

/// What is made of a parameter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// The value as it is.
    None,
    /// `${#name}`
    Length,
    /// `${name-word}`, `${name:-word}`
    Default(Missing, Word),
    /// `${name=word}`, `${name:=word}`
    Assign(Missing, Word),
    /// `${name+word}`, `${name:+word}`
    Alternative(Missing, Word),
    /// `${name?word}`, `${name:?word}`
    Error(Missing, Word),
    /// `${name%pattern}` (shortest), `${name%%pattern}` (longest)
    RemoveSuffix(Extent, Word),
    /// `${name#pattern}`, `${name##pattern}`
    RemovePrefix(Extent, Word),
}

/// When a parameter counts as missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missing {
    /// When it is unset.
    Unset,
    /// With a colon: when it is unset or empty.
    Empty,
}

/// How much a pattern takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    /// As little as possible.
    Shortest,
    /// As much as possible.
    Longest,
}

impl Word {
    /// The text, if there is nothing in it but plain text.
    #[must_use]
    pub fn plain(&self) -> Option<&[u8]> {
        match self.0.as_slice() {
            [Part::Plain(text)] => Some(text),
            _ => None,
        }
    }
}
