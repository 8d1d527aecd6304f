//! The monitor's commands: their words, the domains that they name, and the table that `list` prints. Names and columns are
//! those of Xen's `xl`.
use core::fmt::{self, Display, Formatter};

/// Most characters of a wrong word that a message repeats.
const MOST_REPEATED: usize = 32;
/// Most domains that a message names.
const MOST_NAMED: usize = 8;

/// What `help` prints.
pub const HELP: &str = "\
list                 the domains: memory in MiB, state, seconds of CPU time\n\
console DOMAIN       the keys go to that domain, and the monitor closes\n\
pause DOMAIN         it gets no CPU time until unpaused; its timers and events wait\n\
unpause DOMAIN       it goes on\n\
destroy DOMAIN       ends it at once, for good\n\
restart DOMAIN       ends it if it lives, and starts it anew\n\
dmesg                the latest lines of the hypervisor\n\
audit                recomputes every reference count from all live page tables\n\
panic HOW            ends the machine as a bug of the hypervisor's would, with its record\n\
help                 this\n\
quit                 closes the monitor; so does an empty line\n\
DOMAIN is a name or an ID; HOW is message, fault, stack or record. Ctrl-] opens the monitor; typed twice it goes to the domain.\n";

/// A command; domains are as they were typed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command<'a> {
    /// Shows the domains.
    List,
    /// Gives the keys to a domain.
    Console(&'a str),
    /// Takes the CPU from a domain.
    Pause(&'a str),
    /// Gives it back.
    Unpause(&'a str),
    /// Ends a domain for good.
    Destroy(&'a str),
    /// Ends a domain and starts it anew.
    Restart(&'a str),
    /// Shows the hypervisor's latest lines.
    Dmesg,
    /// Recomputes all counts.
    Audit,
    /// Ends the machine on purpose.
    Panic(Way),
    /// Shows the commands.
    Help,
    /// Closes the monitor.
    Quit,
}

/// What the hypervisor's own end comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// A check of its own that fails.
    Message,
    /// A page fault in ring 0.
    Fault,
    /// A stack that is full.
    Stack,
    /// A page fault while the end is being told.
    Record,
}

impl Way {
    fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "message" => Self::Message,
            "fault" => Self::Fault,
            "stack" => Self::Stack,
            "record" => Self::Record,
            _ => return None,
        })
    }
}

/// Why a line is no command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CommandError<'a> {
    /// Nothing but spaces.
    Empty,
    /// No command has this name.
    Unknown(&'a str),
    /// It wants a domain.
    NoDomain(&'a str),
    /// It wants a way to end.
    NoWay,
    /// It takes no such word.
    TooMuch(&'a str),
}

impl Display for CommandError<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("nothing was typed"),
            Self::Unknown(word) => write!(f, "no command {:?}: try help", Short(word)),
            Self::NoDomain(command) => write!(f, "{command} which domain? {command} NAME, or {command} ID"),
            Self::NoWay => f.write_str("panic how? message, fault, stack or record"),
            Self::TooMuch(word) => write!(f, "{:?} is too much: try help", Short(word)),
        }
    }
}

/// A word that a message repeats, not too long.
struct Short<'a>(&'a str);

impl fmt::Debug for Short<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(MOST_REPEATED) {
            Some((end, _)) => write!(f, "'{}...'", self.0.get(..end).unwrap_or_default()),
            None => write!(f, "'{}'", self.0),
        }
    }
}

impl<'a> Command<'a> {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it, in words for the user.
    pub fn parse(line: &'a str) -> Result<Self, CommandError<'a>> {
        let mut words = line.split_ascii_whitespace();
        let command = words.next().ok_or(CommandError::Empty)?;
        let mut domain = || words.next().ok_or(CommandError::NoDomain(command));
        let parsed = match command {
            "list" => Self::List,
            "console" => Self::Console(domain()?),
            "pause" => Self::Pause(domain()?),
            "unpause" => Self::Unpause(domain()?),
            "destroy" => Self::Destroy(domain()?),
            "restart" => Self::Restart(domain()?),
            "dmesg" => Self::Dmesg,
            "audit" => Self::Audit,
            "panic" => Self::Panic(words.next().and_then(Way::from_word).ok_or(CommandError::NoWay)?),
            "help" | "?" => Self::Help,
            "quit" | "exit" => Self::Quit,
            _ => return Err(CommandError::Unknown(command)),
        };
        match words.next() {
            None => Ok(parsed),
            Some(word) => Err(CommandError::TooMuch(word)),
        }
    }
}

/// Why no domain was found.
#[derive(Clone, Copy, Debug)]
pub enum NotFound<'a, I> {
    /// No domain has this name or ID.
    Unknown(&'a str, I),
    /// It is the name of one domain and the ID of another.
    Ambiguous(&'a str, I),
}

/// The index of the domain that a word names, among those that exist: an exact name, or an ID.
///
/// # Errors
/// There is none, or more than one; the message names those that exist.
pub fn find<'a, 'n, I>(word: &'a str, domains: I) -> Result<usize, NotFound<'a, I>>
where
    I: Iterator<Item = (u16, &'n str)> + Clone,
{
    let id = word.parse::<u16>().ok();
    let mut found = domains
        .clone()
        .enumerate()
        .filter(|(_, (number, name))| *name == word || id == Some(*number));
    match (found.next(), found.next()) {
        (Some((index, _)), None) => Ok(index),
        (Some(_), Some(_)) => Err(NotFound::Ambiguous(word, domains)),
        (None, _) => Err(NotFound::Unknown(word, domains)),
    }
}

impl<'n, I: Iterator<Item = (u16, &'n str)> + Clone> Display for NotFound<'_, I> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let domains = match self {
            Self::Unknown(word, domains) => {
                write!(f, "no domain {:?}: there is", Short(word))?;
                domains
            }
            Self::Ambiguous(word, domains) => {
                write!(
                    f,
                    "{:?} is the name of one domain and the ID of another: there is",
                    Short(word)
                )?;
                domains
            }
        };
        let mut separator = " ";
        for (id, name) in domains.clone().take(MOST_NAMED) {
            write!(f, "{separator}{name} ({id})")?;
            separator = ", ";
        }
        match domains.clone().count() {
            0..=MOST_NAMED => Ok(()),
            count => write!(f, ", and {} more: try list", count - MOST_NAMED),
        }
    }
}

/// The heading of the table of domains.
pub const HEADING: &str = "Name                              ID   Mem VCPUs      State     Time(s)";

/// A domain in the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its number.
    pub id: u16,
    /// Memory, of 4 KiB frames; shown in MiB, rounded up.
    pub frames: u64,
    /// What it is doing.
    pub state: Flags,
    /// CPU time, shown in tenths of seconds.
    pub time_ns: u64,
}

/// A domain's state in `xl`'s letters.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Flags {
    /// `r`: it runs, or could.
    pub running: bool,
    /// `b`: it sleeps.
    pub blocked: bool,
    /// `p`: a person has paused it.
    pub paused: bool,
    /// `s`: it has ended in order.
    pub shut_down: bool,
    /// `c`: it was killed.
    pub crashed: bool,
    /// `d`: it is being taken apart.
    pub dying: bool,
}

impl Display for Flags {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let letters = [
            (self.running, "r"),
            (self.blocked, "b"),
            (self.paused, "p"),
            (self.shut_down, "s"),
            (self.crashed, "c"),
            (self.dying, "d"),
        ];
        letters
            .into_iter()
            .try_for_each(|(holds, letter)| f.write_str(if holds { letter } else { "-" }))
    }
}

impl Display for Row<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            id,
            frames,
            state,
            time_ns,
        } = self;
        let mem = frames.div_ceil(256);
        let tenths = time_ns / 100_000_000;
        let (seconds, tenth) = (tenths / 10, tenths % 10);
        write!(
            f,
            "{name:<31} {id:>4} {mem:>5} {:>5}     {state} {seconds:>9}.{tenth}",
            1
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DOMAINS: [(u16, &str); 4] = [(0, "web"), (1, "shop"), (2, "3"), (3, "last")];

    fn found(word: &str) -> Result<usize, String> {
        find(word, DOMAINS.into_iter()).map_err(|error| error.to_string())
    }

    #[test]
    fn every_command_has_its_words() {
        let table = [
            ("list", Command::List),
            ("  list  ", Command::List),
            ("console web", Command::Console("web")),
            ("pause 3", Command::Pause("3")),
            ("unpause web", Command::Unpause("web")),
            ("destroy\tweb", Command::Destroy("web")),
            ("restart web", Command::Restart("web")),
            ("dmesg", Command::Dmesg),
            ("audit", Command::Audit),
            ("panic message", Command::Panic(Way::Message)),
            ("panic fault", Command::Panic(Way::Fault)),
            ("panic stack", Command::Panic(Way::Stack)),
            ("panic record", Command::Panic(Way::Record)),
            ("help", Command::Help),
            ("quit", Command::Quit),
        ];
        for (line, command) in table {
            assert_eq!(Command::parse(line), Ok(command));
        }
    }

    #[test]
    fn every_command_is_in_the_help() {
        for line in HELP.lines().take(11) {
            let usage = line.get(..20).unwrap().replace("HOW", "message");
            assert!(Command::parse(&usage).is_ok(), "{usage}");
        }
    }

    #[test]
    fn what_is_no_command_is_told_so() {
        let message = |line| Command::parse(line).unwrap_err().to_string();
        assert_eq!(message("lsit"), "no command 'lsit': try help");
        assert_eq!(
            message("destroy"),
            "destroy which domain? destroy NAME, or destroy ID"
        );
        for line in ["panic", "panic now"] {
            assert_eq!(message(line), "panic how? message, fault, stack or record");
        }
        assert_eq!(message("list all"), "'all' is too much: try help");
        assert_eq!(message("pause a b"), "'b' is too much: try help");
        assert_eq!(
            message(&"x".repeat(90)).len(),
            "no command '...': try help".len() + MOST_REPEATED
        );
    }

    #[test]
    fn a_domain_is_named_by_its_name_or_its_number() {
        assert_eq!(found("web"), Ok(0));
        assert_eq!(found("1"), Ok(1));
        assert_eq!(found("0001"), Ok(1));
    }

    #[test]
    fn a_name_that_is_anothers_number_is_ambiguous() {
        let message = found("3").unwrap_err();
        assert_eq!(
            message,
            "'3' is the name of one domain and the ID of another: there is web (0), shop (1), 3 (2), last (3)"
        );
    }

    #[test]
    fn an_unknown_domain_is_answered_with_those_that_exist() {
        let message = found("wbe").unwrap_err();
        assert_eq!(
            message,
            "no domain 'wbe': there is web (0), shop (1), 3 (2), last (3)"
        );
        let many = (0..100).map(|id| (id, "x"));
        let message = find("y", many).map_err(|error| error.to_string()).unwrap_err();
        assert!(message.ends_with("x (7), and 92 more: try list"), "{message}");
    }

    #[test]
    fn the_table_stands_in_columns() {
        let row = Row {
            name: "web",
            id: 0,
            frames: 8192,
            state: Flags {
                running: true,
                ..Flags::default()
            },
            time_ns: 12_345_678_901,
        };
        let text = row.to_string();
        assert_eq!(
            text,
            "web                                0    32     1     r-----        12.3"
        );
        assert_eq!(text.len(), HEADING.len());
        let small = Row {
            frames: 128,
            state: Flags {
                blocked: true,
                paused: true,
                ..Flags::default()
            },
            ..row
        };
        assert!(small.to_string().contains("     1     1     -bp---"), "{small}");
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_a_panic(line in "[ -~]{0,100}") {
            match Command::parse(&line) {
                Ok(Command::Console(word) | Command::Pause(word)) => {
                    let _ = found(word);
                }
                Ok(_) => {}
                Err(error) => prop_assert!(error.to_string().len() < 100),
            }
        }
    }
}
