//! What people see: output is read back by a small model of a terminal.
use super::*;
use proptest::prelude::*;

struct Bench {
    terminal: Terminal,
    out: String,
    streams: Vec<Stream>,
}

const OWNER: usize = 1;

impl Bench {
    /// The hypervisor, the owner `sh`, and `web`.
    fn new() -> Self {
        let streams = vec![
            Stream::hypervisor(),
            Stream::domain(0, "sh"),
            Stream::domain(1, "web"),
        ];
        let mut bench = Self {
            terminal: Terminal::new(),
            out: String::new(),
            streams,
        };
        bench.terminal.set_owner(Some(Writer::Domain(0)), &mut bench.out);
        bench
    }

    fn write(&mut self, stream: usize, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.terminal
            .write(&mut self.streams[stream], bytes.as_ref(), &mut self.out);
        self
    }

    fn screen(&self) -> Vec<String> {
        screen(&self.out)
    }
}

/// What an endlessly wide terminal shows. It knows what we send, and nothing else.
fn screen(out: &str) -> Vec<String> {
    let mut rows: Vec<Vec<char>> = vec![Vec::new()];
    let mut column = 0usize;
    let mut characters = out.chars().peekable();
    while let Some(character) = characters.next() {
        let row = rows.last_mut().unwrap();
        match character {
            '\r' => column = 0,
            '\n' => rows.push(Vec::new()),
            '\x1b' => {
                assert_eq!(characters.next(), Some('['));
                let mut digits = String::new();
                while characters.peek().unwrap().is_ascii_digit() {
                    digits.push(characters.next().unwrap());
                }
                let count = digits.parse().unwrap_or(1);
                match characters.next().unwrap() {
                    'C' => column += count,
                    'D' => column = column.checked_sub(count).unwrap(),
                    'K' => row.truncate(column),
                    other => unreachable!("{other}"),
                }
            }
            _ => {
                assert!(is_shown(character), "{character:?}");
                row.resize(row.len().max(column + 1), ' ');
                row[column] = character;
                column += 1;
            }
        }
    }
    rows.into_iter().map(|row| row.into_iter().collect()).collect()
}

fn alone(stream: usize, bytes: impl AsRef<[u8]>) -> Vec<String> {
    Bench::new().write(stream, bytes).screen()
}

#[test]
fn every_line_has_its_writers_prefix() {
    let mut bench = Bench::new();
    bench.write(0, "start\n").write(1, "a\nb\n").write(2, "\nc\r\n");
    assert_eq!(
        bench.out,
        "(xen-lite) start\r\n[sh] a\r\n[sh] b\r\n[web] \r\n[web] c\r\n"
    );
}

#[test]
fn nothing_is_printed_before_there_is_something_to_print() {
    assert_eq!(
        Bench::new()
            .write(2, "")
            .write(1, "\x1b[")
            .write(2, b"\r\xe2\x82")
            .out,
        ""
    );
}

#[test]
fn a_forged_line_stands_behind_its_writers_prefix() {
    let forged = "xen-lite: domain=0 name=x state=killed\n(xen-lite) all is well\n[sh] $ rm\n";
    let expected = [
        "[web] xen-lite: domain=0 name=x state=killed",
        "[web] (xen-lite) all is well",
        "[web] [sh] $ rm",
        "",
    ];
    assert_eq!(alone(2, forged), expected);
}

#[test]
fn escape_sequences_of_others_than_the_owner_are_text() {
    assert_eq!(
        alone(2, "a\x1b[5D\x08b\rc\x1b[K\n"),
        ["[web] a\\x1b[5D\\x08b\\x0dc\\x1b[K", ""]
    );
}

#[test]
fn sequences_that_line_editing_does_not_need_are_text_for_the_owner_too() {
    let sequences = [
        ("\x1b[6n", "\\x1b[6n"),
        ("\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x1b[1;1H", "\\x1b[1;1H"),
        ("\x1b[A", "\\x1b[A"),
        ("\x1b[007A", "\\x1b[007A"),
        ("\x1b[1000D", "\\x1b[1000D"),
        ("\x1b[1K", "\\x1b[1K"),
        ("\x1bc", "\\x1bc"),
        ("\x1b\x1b[A", "\\x1b\\x1b[A"),
        ("\u{9b}5D", "\\u{9b}5D"),
        ("\x1b[\u{9b}", "\\x1b[\\u{9b}"),
        ("\x1b[\n", "\\x1b["),
    ];
    for (sequence, shown) in sequences {
        assert_eq!(alone(OWNER, sequence)[0], format!("[sh] {shown}"));
    }
    assert_eq!(alone(OWNER, b"\x9b5D\x1b\xff")[0], "[sh] \\x9b5D\\x1b\\xff");
}

#[test]
fn the_owner_edits_within_its_line() {
    assert_eq!(alone(OWNER, "abc\x08X"), ["[sh] abX"]);
    assert_eq!(alone(OWNER, "abc\x08 \x08"), ["[sh] ab "]);
    assert_eq!(alone(OWNER, "abc\rX"), ["[sh] Xbc"]);
    assert_eq!(alone(OWNER, "abc\x1b[2DX"), ["[sh] aXc"]);
    assert_eq!(alone(OWNER, "abc\x1b[DX"), ["[sh] abX"]);
    assert_eq!(alone(OWNER, "abc\r\x1b[1CX"), ["[sh] aXc"]);
    assert_eq!(alone(OWNER, "abc\x1b[2GX"), ["[sh] aXc"]);
    assert_eq!(alone(OWNER, "abc\x1b[2D\x1b[K"), ["[sh] a"]);
    assert_eq!(alone(OWNER, "abc\x1b[D\x1b[2KX"), ["[sh]   X"]);
    assert_eq!(alone(OWNER, "a\tb\r\tc"), ["[sh] a       c"]);
}

#[test]
fn a_line_editor_that_redraws_its_line_works() {
    let redraw = |text: &str, cursor: usize| format!("\r$ {text}\x1b[0K\r\x1b[{}C", cursor + 2);
    let mut bench = Bench::new();
    bench
        .write(1, redraw("ecko", 4))
        .write(1, redraw("eco", 2))
        .write(1, redraw("echo", 4))
        .write(1, "\r\n");
    assert_eq!(bench.screen(), ["[sh] $ echo", ""]);
}

#[test]
fn the_cursor_never_reaches_the_prefix() {
    let attempts = [
        "\x08\x08\x08\x08X",
        "\x1b[99DX",
        "a\r\x1b[999D\x08X",
        "\x1b[0GX",
        "\u{301}\u{301}\u{301}\x1b[30DX",
        "\x1b[2KX",
        "中中中\x1b[30DX",
        "🐧\r\x1b[2K\x1b[30D\x08X",
    ];
    for attempt in attempts {
        let screen = alone(OWNER, attempt);
        assert_eq!(screen.len(), 1);
        assert!(screen[0].starts_with("[sh] X"), "{attempt:?}: {screen:?}");
    }
}

#[test]
fn the_cursor_does_not_leave_the_line_to_the_right() {
    assert_eq!(alone(OWNER, "ab\x1b[50CX"), ["[sh] abX"]);
    assert_eq!(alone(OWNER, "ab\x1b[500GX"), ["[sh] abX"]);
}

#[test]
fn a_carriage_return_before_a_newline_costs_nothing() {
    assert_eq!(Bench::new().write(1, "abc\r").write(1, "\n").out, "[sh] abc\r\n");
}

#[test]
fn a_writer_between_two_halves_of_a_line_gets_a_line_of_its_own() {
    let mut bench = Bench::new();
    bench.write(2, "one").write(0, "note\n").write(2, " two\n");
    assert_eq!(
        bench.screen(),
        ["[web] one", "(xen-lite) note", "[web]+  two", ""]
    );
}

#[test]
fn the_owners_line_is_printed_anew_after_an_interruption() {
    let mut bench = Bench::new();
    bench.write(1, "$ ecko\x08").write(2, "tick\n").write(1, "\x08h");
    assert_eq!(bench.screen(), ["[sh] $ ecko", "[web] tick", "[sh] $ echo"]);
    bench.write(2, "tick\ntick\n").write(1, "o\n");
    let tail = ["[sh] $ echo", "[web] tick", "[web] tick", "[sh] $ echo", ""];
    assert_eq!(bench.screen()[2..], tail);
}

#[test]
fn an_interrupted_line_that_then_ends_has_ended() {
    let mut bench = Bench::new();
    bench
        .write(2, "one")
        .write(0, "note\n")
        .write(2, "\ntwo\n")
        .write(1, "$ ")
        .write(0, "note\n")
        .write(1, "\n");
    let expected = [
        "[web] one",
        "(xen-lite) note",
        "[web] two",
        "[sh] $ ",
        "(xen-lite) note",
        "",
    ];
    assert_eq!(bench.screen(), expected);
}

#[test]
fn a_line_without_end_is_broken() {
    for stream in [1, 2] {
        let screen = alone(stream, vec![b'x'; 2500]);
        let name = ["", "sh", "web"][stream];
        let (whole, half) = ("x".repeat(1000), "x".repeat(500));
        assert_eq!(
            screen,
            [
                format!("[{name}] {whole}"),
                format!("[{name}]+ {whole}"),
                format!("[{name}]+ {half}")
            ]
        );
        let exact = alone(stream, [vec![b'x'; 1000], vec![b'\n']].concat());
        assert_eq!(exact.len(), 2);
        let tabs = alone(stream, vec![b'\t'; 1000]);
        assert!(tabs.iter().all(|row| row.len() <= 1000 + 7));
    }
}

#[test]
fn a_dead_writers_line_ends_with_it() {
    let mut bench = Bench::new();
    bench.write(2, b"half\xe2\x82");
    bench.terminal.end(&mut bench.streams[2], &mut bench.out);
    bench.write(2, "new\n").write(1, "$ \x1b[3");
    bench.terminal.end(&mut bench.streams[1], &mut bench.out);
    bench.terminal.end(&mut bench.streams[1], &mut bench.out);
    bench.write(1, "new\n");
    let expected = [
        "[web] half\\xe2\\x82",
        "[web] new",
        "[sh] $ \\x1b[3",
        "[sh] new",
        "",
    ];
    assert_eq!(bench.screen(), expected);
}

#[test]
fn another_owner_begins_on_a_line_of_its_own() {
    let mut bench = Bench::new();
    bench.write(1, "$ l");
    bench.terminal.set_owner(Some(Writer::Domain(1)), &mut bench.out);
    bench.write(2, "> a\x08b").write(1, "s\x08\n");
    assert_eq!(bench.screen(), ["[sh] $ l", "[web] > b", "[sh] s\\x08", ""]);
}

#[test]
fn a_name_cannot_smuggle_anything_into_the_prefix() {
    let mut out = String::new();
    Terminal::new().write(&mut Stream::domain(3, "a]\x1b[2J b\n"), b"x", &mut out);
    assert_eq!(out, "[a2Jb] x");
}

fn nasty() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => "[a-z ]{1,6}".prop_map(String::into_bytes),
        1 => Just(b"\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(b"\t".to_vec()),
        2 => Just(b"\x08".to_vec()),
        3 => (0usize..40, "[A-Za-z]").prop_map(|(count, last)| format!("\x1b[{count}{last}").into_bytes()),
        1 => "\\PC{1,3}".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 1..4),
        1 => Just(vec![b'y'; 700]),
        1 => Just("\u{301}\u{200b}中🐧".as_bytes().to_vec()),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn whatever_is_written_every_row_has_one_prefix_and_no_row_is_endless(
        writes in proptest::collection::vec((1usize..3, nasty()), 0..12), notes: bool,
    ) {
        let mut bench = Bench::new();
        for (stream, bytes) in writes {
            bench.write(stream, bytes);
            if notes {
                bench.write(0, "note\n");
            }
        }
        bench.terminal.close(&mut bench.out);
        let screen = bench.screen();
        let (last, rows) = screen.split_last().unwrap();
        prop_assert_eq!(last, "");
        for row in rows {
            let prefix = ["[sh] ", "[sh]+ ", "[web] ", "[web]+ ", "(xen-lite) note"];
            prop_assert!(prefix.iter().any(|prefix| row.starts_with(prefix)), "{row:?}");
            prop_assert!(row.chars().count() <= 1000 + 7);
        }
        if notes {
            prop_assert!(rows.iter().filter(|row| row.starts_with('(')).all(|row| row == "(xen-lite) note"));
        }
    }
}
