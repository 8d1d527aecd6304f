//! Tests of the parser, of expansion over a model of a system, and of the line editor.
use super::ast::{Command, List, Word};
use super::edit::{Completion, Editor, Event, complete};
use super::expand::{self, Failure, Host};
use super::glob::Directories;
use super::history::History;
use super::parse::{Error, Parser};
use super::quote::{always, quote};
use super::{Bytes, variables::Variables};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;

/// A system with a few files, whose commands print their first word.
#[derive(Default)]
struct Model {
    variables: Variables,
    positional: Vec<Bytes>,
}

const FILES: [&str; 5] = ["a.txt", "b.txt", ".hidden", "dir", "dir/c.txt"];

impl Directories for Model {
    fn names_in(&self, directory: &[u8]) -> Vec<Bytes> {
        let inside = FILES
            .iter()
            .filter_map(|path| path.as_bytes().strip_prefix(directory));
        inside
            .filter(|name| !name.contains(&b'/'))
            .map(<[u8]>::to_vec)
            .collect()
    }
    fn exists(&self, path: &[u8]) -> bool {
        FILES.iter().any(|known| known.as_bytes() == path)
    }
}

impl Host for Model {
    type Flow = ();

    fn get(&self, name: &[u8]) -> Option<Bytes> {
        self.variables.get(name).cloned()
    }
    fn set(&mut self, name: &[u8], value: Bytes) -> Result<(), String> {
        self.variables.set(name, value)
    }
    fn positional(&self) -> Vec<Bytes> {
        self.positional.clone()
    }
    fn output_of(&mut self, commands: &List) -> Result<Bytes, ()> {
        Ok(commands
            .0
            .first()
            .map(|item| item.text.clone())
            .unwrap_or_default())
    }
    fn home_of(&self, user: &[u8]) -> Option<Bytes> {
        (user == b"root").then(|| b"/root".to_vec())
    }
    fn refuses_unset(&self) -> bool {
        false
    }
    fn expands_names(&self) -> bool {
        true
    }
}

fn parse(text: &[u8]) -> Result<List, Error> {
    let mut parser = Parser::new(text, 1);
    let mut all = List::default();
    while let Some(line) = parser.next_line()? {
        all.0.extend(line.0);
    }
    Ok(all)
}

fn words(text: &[u8]) -> Vec<Word> {
    let list = parse(text).unwrap();
    match list.0.first().map(|item| item.first.commands.as_slice()) {
        Some([Command::Simple(simple)]) => simple.words.clone(),
        other => panic!("{other:?}"),
    }
}

fn expand(model: &mut Model, text: &str) -> Vec<String> {
    let fields = expand::fields(model, &words(text.as_bytes())).unwrap();
    fields
        .into_iter()
        .map(|field| String::from_utf8(field).unwrap())
        .collect()
}

#[test]
fn words_become_fields() {
    let mut model = Model::default();
    model.set(b"x", b"one two".to_vec()).unwrap();
    model.set(b"e", Bytes::new()).unwrap();
    model.set(b"HOME", b"/home/me".to_vec()).unwrap();
    model.positional = ["a b", "c"].map(Bytes::from).to_vec();
    for (text, expected) in [
        ("$x", ["one", "two"].as_slice()),
        ("\"$x\"", &["one two"]),
        ("a$x'b'", &["aone", "twob"]),
        ("$e", &[]),
        ("\"$e\" ''", &["", ""]),
        ("$@", &["a", "b", "c"]),
        ("\"$@\"", &["a b", "c"]),
        ("-\"$@\"-", &["-a b", "c-"]),
        ("\"$*\"", &["a b c"]),
        ("${u:-d e} ${x+set} ${#x} ${u-}", &["d", "e", "set", "7"]),
        (
            "${x%two} ${x#* } ${x%%o*} \"${x#\"one \"}\"",
            &["one", "two", "two"],
        ),
        ("*.txt", &["a.txt", "b.txt"]),
        ("'*'.txt \\*.txt", &["*.txt", "*.txt"]),
        ("*/c* .h*", &["dir/c.txt", ".hidden"]),
        ("nothing*", &["nothing*"]),
        (
            "~ ~/x ~root '~' a~",
            &["/home/me", "/home/me/x", "/root", "~", "a~"],
        ),
        ("$((1 + 2)) \"$((x = 4))\"", &["3", "4"]),
        ("$(echo hi) \"`echo hi`\"", &["echo", "hi", "echo hi"]),
        ("$'a\\tb' \"\\$x\" '$x'", &["a\tb", "$x", "$x"]),
        ("a\\\nb", &["ab"]),
    ] {
        assert_eq!(expand(&mut model, text), expected, "{text}");
        model.set(b"x", b"one two".to_vec()).unwrap();
    }
    model.positional.clear();
    assert_eq!(expand(&mut model, "x \"$@\" $@"), ["x"]);
    assert_eq!(expand(&mut model, "${n:=new} $n"), ["new", "new"]);
    let failed = expand::fields(&mut model, &words(b"${q:?gone}"));
    assert_eq!(failed, Err(Failure::Message("q: gone".into())));
}

#[test]
fn what_is_not_finished_wants_more() {
    for text in [
        "if true",
        "while true; do",
        "{ echo",
        "( echo",
        "'",
        "\"a",
        "$(echo",
        "${a",
        "a |",
        "a &&",
        "case x in",
        "`echo",
        "cat <<E\nx\n",
        "f()",
        "for i in a b\ndo",
        "$((1 +",
        "case x in a) b",
    ] {
        assert_eq!(parse(text.as_bytes()), Err(Error::Incomplete), "{text}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_its_line() {
    for (text, line, what) in [
        ("true\n)", 2, "\")\" unexpected"),
        ("fi", 1, "\"fi\" unexpected"),
        ("a;;b", 1, "\";;\" unexpected"),
        ("a & & b", 1, "\"&\" unexpected"),
        ("if ; then", 1, "\";\" unexpected"),
        ("a | | b", 1, "\"|\" unexpected"),
        ("\n\nfor 1 in a; do b; done", 3, "Bad for loop variable"),
        ("${a!}", 1, "Bad substitution"),
        ("{ a; } b", 1, "word unexpected"),
    ] {
        assert_eq!(
            parse(text.as_bytes()),
            Err(Error::Syntax(line, what.into())),
            "{text}"
        );
    }
    for deep in ["(", "$(", "{ ", "\"${a-", "if ", "f() ", "$((", "`\\`"] {
        assert!(parse(deep.repeat(100_000).as_bytes()).is_err(), "{deep}");
    }
}

#[test]
fn all_commands_are_read() {
    for text in [
        "a; b & c",
        "! a | b && c || d",
        "if a; then b; elif c; then d; else e; fi > f",
        "for i in a b; do c; done; for i; do c; done; for i\nin a\ndo c\ndone",
        "while a; do b; done; until a\ndo b\ndone",
        "case $x in a|b) c;; (d) ;; *) e; esac",
        "f() { a; }; g() ( b )",
        "cat <<A <<'B' > x\n$1\nA\n$2\nB\necho",
        "a >b 2>&1 <c >>d <>e 2>&- 3<&0 >|f",
        "A=1 B=$x cmd C=3",
        "echo $(case a in a) b;; esac) # comment",
        "echo if then \\\n fi",
        "\r\n\n # nothing\n",
        "$( (a); (b) )",
        "x=$((1)) y=`a`",
    ] {
        assert!(
            parse(text.as_bytes()).is_ok(),
            "{text}: {:?}",
            parse(text.as_bytes())
        );
    }
    assert_eq!(parse(b"").unwrap(), List::default());
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(text: Vec<u8>) {
        let _ = parse(&text);
    }

    /// Texts of shell words find more than bytes at random do.
    #[test]
    fn no_shell_words_make_the_parser_panic(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "if", "then", "fi", "for", "in", "do", "done", "case", "esac", "{", "}", "(", ")", "((", "))", "$(", "${",
                "$((", "`", "'", "\"", "\\", "\n", ";", ";;", "&", "&&", "|", "<<E", "<<-'E'", "E\n", ">", "<&", "a",
                "x=", "$x", "#", "!", "%", "-", " ",
            ]),
            0..40,
        ),
        blanks: bool,
    ) {
        let _ = parse(words.join(if blanks { " " } else { "" }).as_bytes());
    }

    #[test]
    fn what_is_quoted_is_read_back(text in proptest::collection::vec(1u8.., 0..40)) {
        let mut model = Model::default();
        for quoted in [quote(&text), always(&text)] {
            let words = words(&[b"echo ".as_slice(), &quoted].concat());
            prop_assert_eq!(words.len(), 2);
            let fields = expand::fields(&mut model, &words).unwrap();
            prop_assert_eq!(&fields[1], &text);
        }
    }

    #[test]
    fn an_editor_makes_the_line_that_it_shows(keys: Vec<u8>, columns in 0usize..100) {
        let mut editor = Editor::new(b"# ", columns);
        let mut history = History::default();
        history.add(b"an older line");
        for key in keys {
            let event = editor.feed(key, &history);
            prop_assert!(editor.before_cursor().len() < 10_000);
            if matches!(event, Event::Line(_) | Event::Interrupted | Event::End) {
                editor = Editor::new(b"# ", columns);
            }
        }
        // What it sends holds no control but those that every console takes.
        let output = editor.take_output();
        for sequence in output.split(|byte| *byte == 0x1b).skip(1) {
            prop_assert!(sequence.starts_with(b"[") && sequence.iter().any(|byte| matches!(byte, b'K' | b'J' | b'C')));
        }
    }
}

/// What a terminal shows of the last line of `output`.
fn shown(output: &[u8]) -> (String, usize) {
    let mut line: Vec<u8> = Vec::new();
    let mut column = 0;
    let mut rest = output;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'\r' => column = 0,
            b'\n' => line.clear(),
            0x1b => {
                let end = rest.iter().position(u8::is_ascii_alphabetic).unwrap();
                match rest[end] {
                    b'K' => line.truncate(column),
                    b'C' => column += String::from_utf8_lossy(&rest[1..end]).parse::<usize>().unwrap(),
                    other => panic!("{other}"),
                }
                rest = &rest[end + 1..];
            }
            byte => {
                line.resize(line.len().max(column + 1), b' ');
                line[column] = *byte;
                column += 1;
            }
        }
    }
    (String::from_utf8(line).unwrap(), column)
}

fn type_keys(keys: &str, columns: usize) -> (Editor, Vec<u8>, Event) {
    let mut history = History::default();
    history.add(b"first");
    history.add(b"second");
    let mut editor = Editor::new(b"# ", columns);
    let mut event = Event::Edited;
    for byte in keys.bytes() {
        event = editor.feed(byte, &history);
    }
    let output = editor.take_output();
    (editor, output, event)
}

#[test]
fn keys_edit_the_line() {
    for (keys, line) in [
        ("abc\r", "abc"),
        ("abc\x7f\x7fx\r", "ax"),
        ("abc\x01x\x05y\r", "xabcy"),
        ("abc\x1b[D\x1b[Dx\r", "axbc"),
        ("abc\x1b[Hx\x1b[Fy\x1b[1~z\r", "zxabcy"),
        ("one two\x17three\r", "one three"),
        ("one two\x15x\r", "x"),
        ("abc\x02\x02\x0bx\x19\r", "axbc"),
        ("abc\x01\x04\x1b[3~\r", "c"),
        ("\x1b[A\r", "second"),
        ("\x1b[A\x1b[A\x1b[A\r", "first"),
        ("new\x1b[A\x1b[B!\r", "new!"),
        ("a\u{e4}b\x1b[D\x1b[D\x7f\r", "\u{e4}b"),
        ("a\x1b[99Zb\x1bxc\r", "abc"),
    ] {
        let (_, _, event) = type_keys(keys, 80);
        assert_eq!(event, Event::Line(line.as_bytes().to_vec()), "{keys:?}");
    }
    assert_eq!(type_keys("\x04", 80).2, Event::End);
    assert_eq!(type_keys("ab\x03", 80).2, Event::Interrupted);
}

#[test]
fn a_terminal_shows_the_line_and_the_cursor() {
    assert_eq!(type_keys("echo hi\r", 80).1, b"# echo hi\n");
    assert_eq!(shown(&type_keys("abc\x1b[D\x1b[D", 80).1), ("# abc".into(), 3));
    assert_eq!(shown(&type_keys("abcdef\x01\x0b", 80).1), ("# ".into(), 2));
    // A long line is shown in part, around the cursor, and whole at its end.
    let long = "0123456789abcdefghij";
    let (line, column) = shown(&type_keys(long, 14).1);
    assert!(line.len() < 14 && line.ends_with('j') && column < 14, "{line}");
    assert_eq!(shown(&type_keys(&[long, "\x01"].concat(), 14).1).1, 2);
    assert!(
        String::from_utf8_lossy(&type_keys(&[long, "\r"].concat(), 14).1).ends_with(&[long, "\n"].concat())
    );
}

#[test]
fn words_are_completed_as_far_as_they_are_the_same() {
    let candidates = ["cat", "cart", "dog", "dir/"].map(Bytes::from);
    assert_eq!(complete(b"do", &candidates), Completion::Insert(b"g ".to_vec()));
    assert_eq!(complete(b"c", &candidates), Completion::Insert(b"a".to_vec()));
    assert_eq!(complete(b"ca", &candidates), Completion::Several);
    assert_eq!(complete(b"di", &candidates), Completion::Insert(b"r/".to_vec()));
    assert_eq!(complete(b"x", &candidates), Completion::None);
}
