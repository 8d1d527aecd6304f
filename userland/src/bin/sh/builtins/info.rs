//! Builtins that tell of commands: `type`, `command`, `times`, `history`.
use super::{find, rest};
use crate::flow::Outcome;
use crate::shell::Shell;
use core::time::Duration;
use userland::sh::Bytes;
use userland::text::Text;
use userland::{io, println, process};

const KEYWORDS: [&[u8]; 16] = [
    b"!", b"{", b"}", b"case", b"do", b"done", b"elif", b"else", b"esac", b"fi", b"for", b"if", b"in",
    b"then", b"until", b"while",
];

/// How much is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    /// `command -v`
    Short,
    /// `type`, `command -V`
    Long,
}

fn describe(shell: &Shell, name: &Bytes, detail: Detail) -> bool {
    let shown = Text(name);
    let kind = match () {
        () if KEYWORDS.contains(&name.as_slice()) => Some("a shell keyword"),
        () if shell.functions.contains_key(name) => Some("a shell function"),
        () if find(name).is_some() => Some("a shell builtin"),
        () => None,
    };
    let path = shell
        .find_program(name)
        .ok()
        .filter(|path| userland::files::access(path, 1).is_ok());
    match (kind, path, detail) {
        (Some(_), _, Detail::Short) => println!("{shown}"),
        (Some(kind), _, Detail::Long) => println!("{shown} is {kind}"),
        (None, Some(path), Detail::Short) => println!("{}", Text(&path)),
        (None, Some(path), Detail::Long) => println!("{shown} is {}", Text(&path)),
        (None, None, Detail::Short) => return false,
        (None, None, Detail::Long) => {
            println!("{shown}: not found");
            return false;
        }
    }
    true
}

pub(super) fn type_of(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    let unknown = rest(words)
        .iter()
        .filter(|name| !describe(shell, name, Detail::Long));
    Ok(if unknown.count() == 0 { 0 } else { 127 })
}

pub(super) fn command(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    match rest(words) {
        [option, names @ ..] if option == b"-v" || option == b"-V" => {
            let detail = if option == b"-v" {
                Detail::Short
            } else {
                Detail::Long
            };
            let unknown = names.iter().filter(|name| !describe(shell, name, detail));
            Ok(if unknown.count() == 0 { 0 } else { 127 })
        }
        [option, words @ ..] if option == b"-p" => plain_command(shell, words),
        words => plain_command(shell, words),
    }
}

/// Runs a builtin or program though there may be a function of that name.
fn plain_command(shell: &mut Shell, words: &[Bytes]) -> Outcome {
    let Some(name) = words.first() else { return Ok(0) };
    match find(name) {
        Some(builtin) => (builtin.run)(shell, words),
        None => shell.run_program(words),
    }
}

pub(super) fn times(_: &mut Shell, _: &[Bytes]) -> Outcome {
    let print = |(own, system): (Duration, Duration)| {
        let part = |time: Duration| {
            (
                time.as_secs() / 60,
                time.as_secs() % 60,
                time.subsec_millis() / 10,
            )
        };
        let ((m, s, c), (sm, ss, sc)) = (part(own), part(system));
        println!("{m}m{s}.{c:02}s {sm}m{ss}.{sc:02}s");
    };
    let none = (Duration::ZERO, Duration::ZERO);
    print(process::times(process::Whose::Own).unwrap_or(none));
    print(process::times(process::Whose::Children).unwrap_or(none));
    Ok(0)
}

pub(super) fn history(shell: &mut Shell, _: &[Bytes]) -> Outcome {
    let mut output = io::Output::standard();
    for line in shell.history.all() {
        output.line(line);
    }
    Ok(0)
}
