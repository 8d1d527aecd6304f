//! From TOML to the checked types; every refusal names its line and column.
use super::memory::{frames_of_integer, frames_of_text};
use super::{
    Audit, Domain, Expect, Expectation, Kernel, Located, Manifest, Module, Packed, Position, Restart,
};
use abi::boot_image::{DomainRecord, MAX_DOMAINS, RestartPolicy};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::mem::offset_of;
use std::num::NonZeroU32;
use std::ops::Range;
use toml::{Spanned, Value};

/// Memory of a domain whose manifest does not say.
const DEFAULT_MEMORY: &str = "32M";
/// Weight of a domain whose manifest does not say.
const DEFAULT_WEIGHT: u32 = 256;
/// Most restarts where neither `max` nor the length of `expect` says.
const DEFAULT_MAX_RESTARTS: u32 = 3;
/// Longest name: its field, less a NUL.
const MAX_NAME: usize = offset_of!(DomainRecord, command_line) - offset_of!(DomainRecord, name) - 1;
/// Longest command line: its field, less a NUL.
const MAX_COMMAND_LINE: usize =
    offset_of!(DomainRecord, memory_frames) - offset_of!(DomainRecord, command_line) - 1;

/// What is wrong with a manifest, and where; one line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ManifestError {
    /// The place, unless it is the manifest as a whole.
    pub at: Option<Position>,
    /// What, and what to do.
    pub what: String,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(f, "{at}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl std::error::Error for ManifestError {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    console: Option<Spanned<String>>,
    until: Option<Spanned<String>>,
    audit: Option<Spanned<String>>,
    #[serde(default)]
    domain: Vec<Spanned<RawDomain>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDomain {
    name: Spanned<String>,
    kernel: Spanned<Value>,
    cmdline: Option<Spanned<String>>,
    memory: Option<Spanned<Value>>,
    weight: Option<Spanned<i64>>,
    programs: Option<Vec<Spanned<Vec<String>>>>,
    tools: Option<Vec<Spanned<String>>>,
    files: Option<BTreeMap<Spanned<String>, Spanned<Value>>>,
    module: Option<Spanned<String>>,
    restart: Option<Spanned<Value>>,
    record: Option<Spanned<String>>,
    witness: Option<Spanned<bool>>,
    expect: Option<Spanned<Value>>,
}

/// Knows the text, so that byte ranges can be shown as lines and columns.
struct Source<'a>(&'a str);

impl Source<'_> {
    fn position(&self, offset: usize) -> Position {
        let before = self.0.get(..offset).unwrap_or(self.0);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position {
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    fn error(&self, span: Range<usize>, what: impl Into<String>) -> ManifestError {
        ManifestError {
            at: Some(self.position(span.start)),
            what: what.into(),
        }
    }

    fn locate<T>(&self, value: Spanned<T>) -> Located<T> {
        let at = self.position(value.span().start);
        Located {
            value: value.into_inner(),
            at,
        }
    }

    fn toml_error(&self, error: &toml::de::Error) -> ManifestError {
        // The message may have several lines; what is expected stands in the later ones.
        let what = error.message().trim().replace('\n', ", ");
        ManifestError {
            at: error.span().map(|span| self.position(span.start)),
            what,
        }
    }
}

type Parsed<T> = Result<T, ManifestError>;

impl Manifest {
    /// Reads and checks a manifest.
    pub fn parse(text: &str) -> Parsed<Self> {
        let source = Source(text);
        let raw: RawManifest = toml::from_str(text).map_err(|error| source.toml_error(&error))?;
        let until_others_ended = flag(&source, raw.until, "until", "others-ended")?;
        let audit = audit(&source, raw.audit)?;

        let mut domains: Vec<Domain> = Vec::new();
        for raw in raw.domain {
            if domains.len() == MAX_DOMAINS {
                let what = format!("a machine has at most {MAX_DOMAINS} domains");
                return Err(source.error(raw.span(), what));
            }
            let raw = raw.into_inner();
            let name_span = raw.name.span();
            if raw.witness.as_ref().is_some_and(|witness| *witness.get_ref()) && !until_others_ended {
                let what = "a witness runs for ever: the machine needs `until = \"others-ended\"`";
                return Err(source.error(name_span, what));
            }
            let domain = domain(&source, raw)?;
            if domains.iter().any(|other| other.name == domain.name) {
                return Err(source.error(name_span, format!("a second domain is called `{}`", domain.name)));
            }
            domains.push(domain);
        }
        if domains.is_empty() {
            let what = "there is no [[domain]]: a machine needs at least one".to_owned();
            return Err(ManifestError { at: None, what });
        }
        if domains.iter().all(|domain| domain.witness) {
            let what = "every domain is a witness: nothing is waited for".to_owned();
            return Err(ManifestError { at: None, what });
        }
        let console = console(&source, raw.console, &domains)?;
        Ok(Self {
            domains,
            console,
            until_others_ended,
            audit,
        })
    }
}

/// A machine key that has one value, or is absent.
fn flag(source: &Source<'_>, value: Option<Spanned<String>>, key: &str, only: &str) -> Parsed<bool> {
    match value {
        None => Ok(false),
        Some(value) if value.get_ref() == only => Ok(true),
        Some(value) => {
            let what = format!("`{key}` can be \"{only}\", not \"{}\"", value.get_ref());
            Err(source.error(value.span(), what))
        }
    }
}

fn audit(source: &Source<'_>, value: Option<Spanned<String>>) -> Parsed<Audit> {
    let Some(value) = value else {
        return Ok(Audit::Last);
    };
    let text = value.get_ref().as_str();
    let turns = match text.split_once(':') {
        None if text == "each-end" => return Ok(Audit::EachEnd),
        None if text == "each-turn" => Some(NonZeroU32::MIN),
        Some(("each-turn", turns)) => turns.parse().ok(),
        _ => None,
    };
    turns.map(Audit::EachTurn).ok_or_else(|| {
        let what = format!("`audit` can be \"each-end\", \"each-turn\" or \"each-turn:N\", not \"{text}\"");
        source.error(value.span(), what)
    })
}

fn console(source: &Source<'_>, name: Option<Spanned<String>>, domains: &[Domain]) -> Parsed<usize> {
    let Some(name) = name else { return Ok(0) };
    domains
        .iter()
        .position(|domain| domain.name == *name.get_ref())
        .ok_or_else(|| {
            source.error(
                name.span(),
                format!("the console goes to `{}`, which is no domain", name.get_ref()),
            )
        })
}

fn domain(source: &Source<'_>, raw: RawDomain) -> Parsed<Domain> {
    let name = name(source, raw.name)?;
    let memory_frames = match raw.memory {
        None => frames_of_text(DEFAULT_MEMORY).map_err(|what| ManifestError { at: None, what })?,
        Some(memory) => match memory.get_ref() {
            Value::String(text) => frames_of_text(text),
            Value::Integer(bytes) => frames_of_integer(*bytes),
            _ => Err("`memory` is a number of bytes, or a string such as \"32M\"".to_owned()),
        }
        .map_err(|what| source.error(memory.span(), what))?,
    };
    let weight = match raw.weight {
        None => DEFAULT_WEIGHT,
        Some(weight) => match u32::try_from(*weight.get_ref()) {
            Ok(number @ 1..=65535) => number,
            _ => return Err(source.error(weight.span(), "`weight` is a number from 1 to 65535")),
        },
    };
    let brief_record = match raw.record {
        None => false,
        Some(record) => match record.get_ref().as_str() {
            "full" => false,
            "line" => true,
            other => {
                let what = format!("`record` can be \"full\" or \"line\", not \"{other}\"");
                return Err(source.error(record.span(), what));
            }
        },
    };
    let witness = raw.witness.is_some_and(|witness| *witness.get_ref());
    let expected = raw.expect.map(|value| expectation(source, value)).transpose()?;
    let restart = restart(source, raw.restart, expected.as_ref())?;
    let expect = match expected {
        Some(expect) if witness => {
            return Err(source.error(
                expect.span,
                "a witness is expected to be alive: leave `expect` out",
            ));
        }
        Some(expect) => {
            fits(&expect.value, restart).map_err(|what| source.error(expect.span, what))?;
            expect.value
        }
        None if witness => Expectation::Alive,
        None => Expectation::Every(Expect::Shutdown(0)),
    };
    Ok(Domain {
        name,
        kernel: kernel(source, raw.kernel)?,
        command_line: command_line(source, raw.cmdline)?,
        memory_frames,
        weight,
        module: module(source, (raw.programs, raw.tools, raw.files), raw.module)?,
        restart,
        brief_record,
        witness,
        expect,
    })
}

fn name(source: &Source<'_>, name: Spanned<String>) -> Parsed<String> {
    let text = name.get_ref();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if text.is_empty() || text.len() > MAX_NAME || !text.bytes().all(allowed) {
        let what = format!("`{text}` is no name: 1 to {MAX_NAME} characters of a-z A-Z 0-9 . _ -");
        return Err(source.error(name.span(), what));
    }
    Ok(name.into_inner())
}

fn command_line(source: &Source<'_>, text: Option<Spanned<String>>) -> Parsed<String> {
    let Some(text) = text else {
        return Ok(String::new());
    };
    if text.get_ref().len() > MAX_COMMAND_LINE {
        let what = format!("the command line is longer than {MAX_COMMAND_LINE} bytes");
        return Err(source.error(text.span(), what));
    }
    if text.get_ref().chars().any(char::is_control) {
        return Err(source.error(text.span(), "the command line has a control character in it"));
    }
    Ok(text.into_inner())
}

fn kernel(source: &Source<'_>, value: Spanned<Value>) -> Parsed<Located<Kernel>> {
    let at = source.position(value.span().start);
    let value = match value.get_ref() {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) if text.contains(['/', '.']) => Some(Kernel::File(text.clone())),
        Value::String(text) => Some(Kernel::Workspace(text.clone())),
        Value::Table(table) if table.len() == 1 => match (table.get("unchecked"), table.get("c")) {
            (Some(Value::String(path)), None) => Some(Kernel::Unchecked(path.clone())),
            (None, Some(Value::String(path))) => Some(Kernel::Sources(vec![path.clone()])),
            (None, Some(Value::Array(paths))) => sources(paths).map(Kernel::Sources),
            _ => None,
        },
        _ => None,
    };
    let what = "`kernel` is the name of a guest kernel of the workspace, a path (with a `/` or `.`), or { c = [\"FILE\", ...] }";
    value.map(|value| Located { value, at }).ok_or(ManifestError {
        at: Some(at),
        what: what.to_owned(),
    })
}

/// At least one file.
fn sources(paths: &[Value]) -> Option<Vec<String>> {
    let paths: Option<Vec<String>> = paths
        .iter()
        .map(|path| path.as_str().map(str::to_owned))
        .collect();
    paths.filter(|paths| !paths.is_empty())
}

/// `programs`, `tools` and `files` of a domain.
type Contents = (
    Option<Vec<Spanned<Vec<String>>>>,
    Option<Vec<Spanned<String>>>,
    Option<BTreeMap<Spanned<String>, Spanned<Value>>>,
);

fn module(source: &Source<'_>, contents: Contents, module: Option<Spanned<String>>) -> Parsed<Module> {
    match (contents, module) {
        ((None, None, None), None) => Ok(Module::None),
        ((None, None, None), Some(path)) => Ok(Module::File(source.locate(path))),
        (_, Some(path)) => {
            let what = "`module` is the whole module: leave out `programs`, `tools` and `files`, or it";
            Err(source.error(path.span(), what))
        }
        ((programs, tools, files), None) => {
            let programs = programs.unwrap_or_default().into_iter();
            let tools = tools.unwrap_or_default().into_iter();
            let files = files.unwrap_or_default().into_iter();
            Ok(Module::Archive {
                programs: programs
                    .map(|line| program(source, line))
                    .collect::<Parsed<_>>()?,
                tools: tools.map(|name| tool(source, name)).collect::<Parsed<_>>()?,
                files: files
                    .map(|(inside, content)| file(source, inside, content))
                    .collect::<Parsed<_>>()?,
            })
        }
    }
}

fn program(source: &Source<'_>, line: Spanned<Vec<String>>) -> Parsed<Located<Vec<String>>> {
    match line.get_ref().first() {
        Some(name) if !name.is_empty() && !name.contains('/') => {}
        _ => return Err(source.error(line.span(), "a program is [\"NAME\", \"ARGUMENT\", ...]")),
    }
    if line
        .get_ref()
        .iter()
        .any(|argument| argument.contains(['\0', '\n']))
    {
        return Err(source.error(line.span(), "an argument cannot hold a NUL or a newline"));
    }
    Ok(source.locate(line))
}

fn tool(source: &Source<'_>, name: Spanned<String>) -> Parsed<Located<String>> {
    if name.get_ref().is_empty() || name.get_ref().contains('/') {
        return Err(source.error(name.span(), "a tool is the name of a program of the workspace"));
    }
    Ok(source.locate(name))
}

fn file(
    source: &Source<'_>,
    inside: Spanned<String>,
    content: Spanned<Value>,
) -> Parsed<(String, Located<Packed>)> {
    let parts_are_plain = inside
        .get_ref()
        .split('/')
        .all(|part| !matches!(part, "" | "." | ".."));
    if !parts_are_plain || inside.get_ref().contains('\0') {
        let what = format!(
            "`{}` is no path in an archive, such as etc/motd",
            inside.get_ref()
        );
        return Err(source.error(inside.span(), what));
    }
    let at = source.position(content.span().start);
    let span = content.span();
    let value = packed(content.into_inner()).map_err(|what| source.error(span, what))?;
    Ok((inside.into_inner(), Located { value, at }))
}

/// What a file of an archive is: a path, or a table that says more.
fn packed(content: Value) -> Result<Packed, String> {
    let what = "a file is a path, { program = \"PATH\", names = [\"NAME\", ...] }, { symlink = \"TARGET\" } or { directory = true }";
    let refused = || Err(what.to_owned());
    let table = match content {
        Value::String(path) => return Ok(Packed::Plain(path)),
        Value::Table(table) => table,
        _ => return refused(),
    };
    let text = |key: &str| table.get(key).and_then(Value::as_str).map(str::to_owned);
    match (
        text("program"),
        text("symlink"),
        table.get("directory"),
        table.len(),
    ) {
        (Some(path), None, None, 1) => Ok(Packed::Program {
            path,
            names: Vec::new(),
        }),
        (Some(path), None, None, 2) => {
            let names = table.get("names").and_then(Value::as_array);
            let names = names.map(|names| names.iter().map(link_name).collect::<Option<Vec<_>>>());
            match names.flatten() {
                Some(names) => Ok(Packed::Program { path, names }),
                None => refused(),
            }
        }
        (None, Some(target), None, 1) if !target.is_empty() && !target.contains('\0') => {
            Ok(Packed::Symlink(target))
        }
        (None, None, Some(Value::Boolean(true)), 1) => Ok(Packed::Directory),
        _ => refused(),
    }
}

/// A name that a file can have in its directory.
fn link_name(name: &Value) -> Option<String> {
    let name = name.as_str()?;
    let is_plain = !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']);
    is_plain.then(|| name.to_owned())
}

struct SpannedExpectation {
    value: Expectation,
    span: Range<usize>,
}

fn expectation(source: &Source<'_>, value: Spanned<Value>) -> Parsed<SpannedExpectation> {
    let span = value.span();
    let item = |value: &Value| match value {
        Value::String(text) => Expect::parse(text),
        _ => Err("`expect` is a string, or a list of strings, one for each start".to_owned()),
    };
    let expected = match value.get_ref() {
        Value::Array(items) if items.is_empty() => Err("`expect` is an empty list".to_owned()),
        Value::Array(items) => items
            .iter()
            .map(item)
            .collect::<Result<_, _>>()
            .map(Expectation::Each),
        single => item(single).map(Expectation::Every),
    };
    match expected {
        Ok(value) => Ok(SpannedExpectation { value, span }),
        Err(what) => Err(source.error(span, what)),
    }
}

fn restart(
    source: &Source<'_>,
    value: Option<Spanned<Value>>,
    expected: Option<&SpannedExpectation>,
) -> Parsed<Restart> {
    let Some(value) = value else {
        return Ok(Restart {
            policy: RestartPolicy::Never,
            max: 0,
        });
    };
    let refuse = |what: &str| Err(source.error(value.span(), what));
    let (policy, max) = match value.get_ref() {
        Value::String(policy) => (Some(policy.as_str()), None),
        Value::Table(table) if table.keys().all(|key| key == "policy" || key == "max") => {
            let max = match table.get("max") {
                None => None,
                Some(Value::Integer(max)) if (0..=i64::from(u32::MAX)).contains(max) => {
                    u32::try_from(*max).ok()
                }
                Some(_) => return refuse("`max` is how often a domain is restarted at most, from 0 up"),
            };
            (table.get("policy").and_then(Value::as_str), max)
        }
        _ => (None, None),
    };
    let Some(policy) = policy.and_then(RestartPolicy::from_name) else {
        return refuse(
            "`restart` is \"never\", \"on-crash\" or \"always\", or { policy = \"...\", max = NUMBER }",
        );
    };
    let of_list = expected.and_then(|expected| match &expected.value {
        Expectation::Each(list) => u32::try_from(list.len().saturating_sub(1)).ok(),
        _ => None,
    });
    let max = match policy {
        RestartPolicy::Never => 0,
        _ => max.or(of_list).unwrap_or(DEFAULT_MAX_RESTARTS),
    };
    Ok(Restart { policy, max })
}

/// Whether a list of ends can come about under a restart policy.
fn fits(expectation: &Expectation, restart: Restart) -> Result<(), String> {
    let Expectation::Each(list) = expectation else {
        return Ok(());
    };
    let starts = u64::from(restart.max) + 1;
    if list.len() as u64 > starts {
        return Err(format!(
            "`expect` lists {} ends, but restart = \"{}\" allows {starts} start(s): shorten it, or raise `max`",
            list.len(),
            restart.policy.name(),
        ));
    }
    let last = list.len().saturating_sub(1);
    let early = list[..last]
        .iter()
        .find(|expect| matches!(expect, Expect::Shutdown(_)));
    match (restart.policy, early) {
        (RestartPolicy::OnCrash, Some(end)) => Err(format!(
            "after `{end}` nothing follows under restart = \"on-crash\": it can only come last"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::reason::Reason;

    const A: &str = "[[domain]]\nname = \"a\"\nkernel = \"k\"\n";

    fn domain_with(rest: &str) -> Domain {
        Manifest::parse(&format!("{A}{rest}")).unwrap().domains.remove(0)
    }

    /// The refusal of a manifest, as a user sees it behind the file's name.
    fn refusal(text: &str) -> String {
        let message = Manifest::parse(text).unwrap_err().to_string();
        assert!(!message.contains('\n'), "{message}");
        message
    }

    /// The refusal of one more line for a domain; it is line 4.
    fn refusal_of(line: &str) -> String {
        refusal(&format!("{A}{line}\n"))
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let domain = domain_with("");
        assert_eq!(domain.memory_frames, 8192);
        assert_eq!(domain.weight, 256);
        assert_eq!(
            domain.restart,
            Restart {
                policy: RestartPolicy::Never,
                max: 0
            }
        );
        assert_eq!(domain.expect, Expectation::Every(Expect::Shutdown(0)));
        assert_eq!(domain.module, Module::None);
        assert!(!domain.witness && !domain.brief_record);
    }

    #[test]
    fn everything_that_is_said_is_kept() {
        let text = r#"
            console = "b"
            until = "others-ended"
            audit = "each-end"
            [[domain]]
            name = "a"
            kernel = "./other/kernel.elf"
            cmdline = "cases=x,y"
            memory = "512K"
            weight = 3
            module = "blob"
            restart = { policy = "always", max = 9 }
            record = "line"
            expect = ["killed:no-handler", "shutdown:2"]
            [[domain]]
            name = "b"
            kernel = "pv-kernel"
            programs = [["echo", "hello"], ["cat"]]
            tools = ["wc"]
            files.'etc/motd' = "motd.txt"
            files.'bin/busybox' = { program = "/bin/busybox", names = ["sh", "["] }
            files.'bin/list' = { program = "list.sh" }
            files.'lib' = { symlink = "usr/lib" }
            files.'var/log' = { directory = true }
            witness = true
        "#;
        let manifest = Manifest::parse(text).unwrap();
        assert!(manifest.until_others_ended && manifest.audit == Audit::EachEnd);
        assert_eq!(manifest.console, 1);
        let a = &manifest.domains[0];
        assert_eq!(a.kernel.value, Kernel::File("./other/kernel.elf".to_owned()));
        assert_eq!((a.memory_frames, a.weight, a.brief_record), (128, 3, true));
        assert_eq!(
            a.restart,
            Restart {
                policy: RestartPolicy::Always,
                max: 9
            }
        );
        assert_eq!(
            a.expect,
            Expectation::Each(vec![Expect::Killed(Reason::NoHandler), Expect::Shutdown(2)])
        );
        let b = &manifest.domains[1];
        assert_eq!(b.kernel.value, Kernel::Workspace("pv-kernel".to_owned()));
        assert_eq!(b.expect, Expectation::Alive);
        let Module::Archive {
            programs,
            tools,
            files,
        } = &b.module
        else {
            panic!("{:?}", b.module)
        };
        assert_eq!(programs[0].value, ["echo", "hello"]);
        assert_eq!(tools[0].value, "wc");
        assert_eq!(files["etc/motd"].value, Packed::Plain("motd.txt".to_owned()));
        let program = |path: &str, names: &[&str]| Packed::Program {
            path: path.to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert_eq!(files["bin/busybox"].value, program("/bin/busybox", &["sh", "["]));
        assert_eq!(files["bin/list"].value, program("list.sh", &[]));
        assert_eq!(files["lib"].value, Packed::Symlink("usr/lib".to_owned()));
        assert_eq!(files["var/log"].value, Packed::Directory);
    }

    #[test]
    fn a_kernel_in_c_is_a_list_of_sources() {
        let kernel = |kernel: &str| {
            let text = format!("[[domain]]\nname = \"a\"\nkernel = {kernel}\n");
            Manifest::parse(&text)
        };
        let of = |text: &str| {
            let manifest = kernel(text).unwrap();
            assert!(manifest.has_sources());
            manifest.domains[0].kernel.value.clone()
        };
        let one = Kernel::Sources(vec!["k.c".to_owned()]);
        assert_eq!(of("{ c = \"k.c\" }"), one);
        assert_eq!(of("{ c = [\"k.c\"] }"), one);
        let two = Kernel::Sources(vec!["k.c".to_owned(), "e.S".to_owned()]);
        assert_eq!(of("{ c = [\"k.c\", \"e.S\"] }"), two);
        for wrong in [
            "{ c = [] }",
            "{ c = 1 }",
            "{ c = [1] }",
            "{ c = \"k.c\", unchecked = \"k\" }",
            "{ d = \"k\" }",
        ] {
            let message = kernel(wrong).unwrap_err().to_string();
            assert!(message.starts_with("3:10: `kernel` is"), "{message}");
        }
        assert!(!kernel("\"pv-kernel\"").unwrap().has_sources());
    }

    #[test]
    fn bad_toml_is_refused_with_its_line_and_column() {
        assert!(
            refusal("[[domain]]\nname = \n").starts_with("2:8: "),
            "{}",
            refusal("[[domain]]\nname = \n")
        );
        assert!(refusal("a = \"\n").starts_with("1:"));
        assert!(refusal_of("weight = \"heavy\"").starts_with("4:10: "));
    }

    #[test]
    fn unknown_keys_are_refused_where_they_stand() {
        let message = refusal_of("memroy = \"1M\"");
        assert!(
            message.starts_with("4:1: ") && message.contains("memroy"),
            "{message}"
        );
        assert!(refusal(&format!("consol = \"a\"\n{A}")).starts_with("1:1: "));
        assert!(refusal_of("restart = { policy = \"always\", min = 1 }").starts_with("4:11: "));
    }

    #[test]
    fn columns_count_characters_and_not_bytes() {
        let message = refusal("[[domain]]\nname = \"a\"\nkernel = \"k\" # äöü\ncmdline = \"äöü\"; x = 1\n");
        assert!(message.starts_with("4:16: "), "{message}");
    }

    #[test]
    fn names_are_plain_and_unlike_each_other() {
        for name in ["", "a b", "a=b", "ä", "a/b", "0123456789012345678901234567890x"] {
            let message = refusal(&format!("[[domain]]\nname = \"{name}\"\nkernel = \"k\"\n"));
            assert!(message.starts_with("2:8: "), "{message}");
        }
        assert!(refusal(&format!("{A}{A}")).starts_with("5:8: a second domain is called `a`"));
    }

    #[test]
    fn a_manifest_needs_a_domain_that_is_waited_for() {
        assert!(refusal("").contains("no [[domain]]"));
        assert!(
            refusal(&format!("until = \"others-ended\"\n{A}witness = true"))
                .contains("nothing is waited for")
        );
        assert!(refusal(&format!("{A}witness = true")).contains("until"));
        assert!(refusal(&A.replace("kernel = \"k\"", "")).contains("kernel"));
    }

    #[test]
    fn values_out_of_range_are_refused_where_they_stand() {
        for line in [
            "memory = 0",
            "memory = \"0M\"",
            "memory = true",
            "memory = -1",
            "weight = 0",
            "weight = 65536",
            "record = \"short\"",
            "restart = \"sometimes\"",
            "restart = { max = 2 }",
            "restart = { policy = \"always\", max = -1 }",
            "expect = \"sleep\"",
            "expect = []",
            "expect = 1",
            "expect = [\"shutdown\", 1]",
            "expect = \"killed:boredom\"",
            "cmdline = \"a\\nb\"",
            "cmdline = \"a\\u0000b\"",
            "programs = [[]]",
            "programs = [[\"\"]]",
            "programs = [[\"../sh\"]]",
            "programs = [[\"echo\", \"a\\nb\"]]",
            "files = { \"/etc/motd\" = \"x\" }",
            "files = { \"../motd\" = \"x\" }",
            "files = { \"motd\" = 1 }",
            "files = { \"motd\" = { symlink = \"\" } }",
            "files = { \"motd\" = { directory = false } }",
            "files = { \"motd\" = { program = \"x\", symlink = \"y\" } }",
            "files = { \"motd\" = { program = \"x\", names = [\"a/b\"] } }",
            "files = { \"motd\" = { program = \"x\", names = \"a\" } }",
            "files = { \"motd\" = { programs = \"x\" } }",
            "tools = [\"bin/sh\"]",
            "kernel_ = \"\"",
        ] {
            let message = refusal_of(line);
            assert!(message.starts_with("4:"), "{line}: {message}");
        }
        assert!(refusal_of(&format!("cmdline = \"{}\"", "x".repeat(1024))).contains("longer than 1023"));
        assert!(refusal(&format!("console = \"z\"\n{A}")).starts_with("1:11: the console goes to `z`"));
        assert!(refusal(&format!("until = \"then\"\n{A}")).starts_with("1:9: "));
        for audit in ["never", "each-turn:0", "each-turn:", "each-turn:-1", "each-end:2"] {
            assert!(
                refusal(&format!("audit = \"{audit}\"\n{A}")).starts_with("1:9: "),
                "{audit}"
            );
        }
    }

    #[test]
    fn turns_are_audited_by_their_number() {
        let audit = |line: &str| Manifest::parse(&format!("{line}\n{A}")).unwrap().audit;
        assert_eq!(audit(""), Audit::Last);
        assert_eq!(audit("audit = \"each-turn\""), Audit::EachTurn(NonZeroU32::MIN));
        let hundred = NonZeroU32::new(100).unwrap();
        assert_eq!(audit("audit = \"each-turn:100\""), Audit::EachTurn(hundred));
    }

    #[test]
    fn a_module_is_one_file_or_an_archive() {
        let message = refusal_of("programs = [[\"cat\"]]\nmodule = \"x\"");
        assert!(
            message.starts_with("5:10: `module` is the whole module"),
            "{message}"
        );
    }

    #[test]
    fn a_list_of_ends_fits_the_restart_policy() {
        assert!(refusal_of("expect = [\"reboot\", \"shutdown\"]").contains("allows 1 start"));
        let message = refusal_of(
            "restart = { policy = \"always\", max = 1 }\nexpect = [\"reboot\", \"reboot\", \"reboot\"]",
        );
        assert!(
            message.starts_with("5:10: ") && message.contains("allows 2 start"),
            "{message}"
        );
        let message = refusal_of("restart = \"on-crash\"\nexpect = [\"shutdown\", \"killed:no-handler\"]");
        assert!(message.contains("can only come last"), "{message}");
    }

    #[test]
    fn the_list_of_ends_says_how_often_a_domain_restarts() {
        let domain = domain_with("restart = \"always\"\nexpect = [\"shutdown\", \"shutdown\", \"shutdown\"]");
        assert_eq!(domain.restart.max, 2);
        assert_eq!(
            domain_with("restart = \"on-crash\"").restart.max,
            DEFAULT_MAX_RESTARTS
        );
        assert_eq!(
            domain_with("restart = { policy = \"never\", max = 5 }")
                .restart
                .max,
            0
        );
    }

    #[test]
    fn a_witness_has_no_expected_end() {
        let text = format!(
            "until = \"others-ended\"\n{A}[[domain]]\nname = \"w\"\nkernel = \"k\"\nwitness = true\nexpect = \"shutdown\"\n"
        );
        assert!(refusal(&text).contains("leave `expect` out"));
    }

    #[test]
    fn no_prefix_of_a_manifest_makes_the_parser_panic() {
        let text = "console = \"ä\"\n[[domain]]\nname = \"a\"\nkernel = { unchecked = \"x\" }\nexpect = [\"reboot\"]\n";
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            let _ = Manifest::parse(&text[..end]);
        }
    }

    /// What a manifest is made of, and what it is not.
    const TOKENS: [&str; 26] = [
        "[[domain]]\n",
        "name",
        "kernel",
        "cmdline",
        "memory",
        "weight",
        "programs",
        "files",
        "module",
        "restart",
        "expect",
        "witness",
        "audit",
        "until",
        "console",
        " = ",
        "\"a\"",
        "\"b\"",
        "\"each-turn:3\"",
        "\"others-ended\"",
        "[\"shutdown\"]",
        "{ policy = \"always\", max = 2 }",
        "true",
        "-1",
        "\"32M\"",
        "\n",
    ];

    proptest::proptest! {
        #[test]
        fn any_text_is_a_manifest_or_is_refused_in_one_line_at_a_place_that_it_has(
            tokens in proptest::collection::vec(proptest::sample::select(TOKENS.as_slice()), 0..40), junk in ".{0,8}",
        ) {
            for text in [tokens.concat(), format!("{A}{}", tokens.concat()), format!("{A}{junk}"), junk] {
                if let Err(error) = Manifest::parse(&text) {
                    proptest::prop_assert!(!error.to_string().contains('\n'), "{error}");
                    let lines = text.split('\n').count();
                    proptest::prop_assert!(error.at.is_none_or(|at| (1..=lines).contains(&at.line)), "{error}: {text}");
                }
            }
        }
    }
}
