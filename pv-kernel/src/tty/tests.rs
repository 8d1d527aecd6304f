//! The terminal, by example and beside one of the host's.
use super::*;
use proptest::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{self as host, InputModes, LocalModes, OptionalActions, OutputModes};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;

/// A console that takes everything.
#[derive(Default)]
struct Console {
    typed: VecDeque<u8>,
    printed: Vec<u8>,
}

impl Terminal for Console {
    fn write(&mut self, bytes: &[u8]) -> usize {
        self.printed.extend(bytes);
        bytes.len()
    }

    fn read(&mut self, buffer: &mut [u8]) -> usize {
        let count = buffer.len().min(self.typed.len());
        for (target, key) in buffer.iter_mut().zip(self.typed.drain(..count)) {
            *target = key;
        }
        count
    }

    fn wait_for_room(&mut self) {
        panic!("it takes everything");
    }
}

/// A terminal with these settings on which this was typed at time 0.
fn typed(termios: Termios, keys: &[u8]) -> (Tty, Console) {
    let (mut tty, mut console) = (Tty::new(), Console::default());
    tty.set_termios(termios, When::Now, &mut |_| ());
    console.typed.extend(keys);
    tty.poll(&mut console, 0, &mut |_| ());
    (tty, console)
}

fn keys(minimum: u8, tenths: u8) -> Termios {
    let mut termios = Termios::default();
    termios.local &= !linux::ICANON;
    termios.keys[linux::VMIN as usize] = minimum;
    termios.keys[linux::VTIME as usize] = tenths;
    termios
}

/// A console that takes nothing.
struct Full(VecDeque<u8>);

impl Terminal for Full {
    fn write(&mut self, _: &[u8]) -> usize {
        0
    }

    fn read(&mut self, buffer: &mut [u8]) -> usize {
        let count = buffer.len().min(self.0.len());
        buffer
            .iter_mut()
            .zip(self.0.drain(..count))
            .for_each(|(target, key)| *target = key);
        count
    }

    fn wait_for_room(&mut self) {
        panic!("nobody waits for echo");
    }
}

#[test]
fn a_long_line_that_is_shown_again_and_again_does_not_fill_the_kernel() {
    let line = [b'x'; 4000];
    let keys = line.into_iter().chain([0x12; 1000]);
    let (mut tty, mut console) = (Tty::new(), Full(keys.collect()));
    tty.poll(&mut console, 0, &mut |_| ());
    assert!(
        tty.output.pending_bytes() < 100_000,
        "{}",
        tty.output.pending_bytes()
    );
}

#[test]
fn reads_of_keys_wait_as_vmin_and_vtime_say() {
    let mut buffer = [0; 8];
    let mut read = |tty: &mut Tty, now, deadline| tty.read(&mut buffer, now, deadline);
    let (mut tty, _) = typed(keys(3, 0), b"ab");
    assert_eq!(read(&mut tty, 0, None), Read::Later(None));
    let (mut tty, _) = typed(keys(3, 0), b"abc");
    assert_eq!(read(&mut tty, 0, None), Read::Bytes(3));

    let (mut tty, _) = typed(keys(0, 0), b"");
    assert_eq!(read(&mut tty, 0, None), Read::Bytes(0));

    let (mut tty, _) = typed(keys(0, 2), b"");
    assert_eq!(tty.read_timeout_ns(), Some(200_000_000));
    assert_eq!(read(&mut tty, 5, Some(10)), Read::Later(Some(10)));
    assert_eq!(read(&mut tty, 10, Some(10)), Read::Bytes(0));

    let (mut tty, _) = typed(keys(3, 1), b"ab");
    assert_eq!(tty.read_timeout_ns(), None);
    assert_eq!(read(&mut tty, 5, None), Read::Later(Some(100_000_000)));
    assert_eq!(read(&mut tty, 100_000_000, None), Read::Bytes(2));
    assert_eq!(read(&mut tty, 200_000_000, None), Read::Later(None));
}

#[test]
fn who_does_not_wait_gets_what_there_is() {
    let mut buffer = [0; 8];
    let (mut tty, _) = typed(keys(3, 0), b"ab");
    assert!(!tty.is_readable());
    assert_eq!(tty.read_now(&mut buffer), Some(2));
    assert_eq!(tty.read_now(&mut buffer), None);
    let (mut tty, _) = typed(Termios::default(), b"ab\n\x04");
    assert!(tty.is_readable());
    assert_eq!(tty.readable(), 3);
    assert_eq!(tty.read_now(&mut buffer), Some(3));
    assert!(tty.is_readable(), "an end can be read");
    assert_eq!(tty.read_now(&mut buffer), Some(0));
    assert_eq!(tty.read_now(&mut buffer), None);
}

#[test]
fn settings_that_flush_forget_what_was_typed() {
    let (mut tty, _) = typed(Termios::default(), b"ab\n");
    tty.set_termios(Termios::default(), When::Flush, &mut |_| ());
    assert!(!tty.is_readable());
}

#[test]
fn only_the_foreground_reads_and_who_cannot_be_stopped_is_refused() {
    let mut tty = Tty::new();
    let user = User {
        session: Pid(1),
        group: Pid(5),
        ignores: false,
        orphaned: false,
    };
    assert_eq!(tty.leave(&user, Use::Read), Leave::Granted, "it controls nobody");
    tty.session = Some(Pid(1));
    tty.foreground = Some(Pid(4));
    let ignores = User {
        ignores: true,
        ..user
    };
    let orphaned = User {
        orphaned: true,
        ..user
    };
    let foreground = User {
        group: Pid(4),
        ..user
    };
    let stranger = User {
        session: Pid(2),
        ..user
    };
    for (user, read, change) in [
        (user, Leave::Stop, Leave::Stop),
        (ignores, Leave::Refused, Leave::Granted),
        (orphaned, Leave::Refused, Leave::Refused),
        (foreground, Leave::Granted, Leave::Granted),
        (stranger, Leave::Granted, Leave::Granted),
    ] {
        assert_eq!(tty.leave(&user, Use::Read), read, "{user:?}");
        assert_eq!(tty.leave(&user, Use::Change), change, "{user:?}");
        assert_eq!(tty.leave(&user, Use::Write), Leave::Granted, "{user:?}");
    }
    let mut termios = Termios::default();
    termios.local |= linux::TOSTOP;
    tty.set_termios(termios, When::Now, &mut |_| ());
    assert_eq!(tty.leave(&user, Use::Write), Leave::Stop);
}

/// A terminal of the host's: the end where keys are typed, the end that programs have.
struct HostTerminal {
    person: OwnedFd,
    program: OwnedFd,
}

impl HostTerminal {
    fn new(termios: &Termios) -> Self {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let name = ptsname(&person, Vec::new()).unwrap();
        let program =
            rustix::fs::open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let mut settings = host::tcgetattr(&program).unwrap();
        settings.input_modes = InputModes::from_bits_retain(termios.input);
        settings.output_modes = OutputModes::from_bits_retain(termios.output);
        settings.local_modes = LocalModes::from_bits_retain(termios.local);
        host::tcsetattr(&program, OptionalActions::Now, &settings).unwrap();
        Self { person, program }
    }

    fn read(from: &OwnedFd) -> Vec<u8> {
        let mut ready = [PollFd::new(from, PollFlags::IN)];
        let limit = Timespec {
            tv_sec: 20,
            tv_nsec: 0,
        };
        assert_eq!(
            poll(&mut ready, Some(&limit)),
            Ok(1),
            "the host's terminal is silent"
        );
        let mut buffer = [0; 4096];
        let count = rustix::io::read(from, &mut buffer).unwrap();
        buffer[..count].to_vec()
    }
}

/// What ends every test: whatever was typed before it, it is a line of its own.
const LAST: &[u8] = b"##\n";

fn settings() -> impl Strategy<Value = Termios> {
    let flags = [
        linux::ECHO,
        linux::ECHOE,
        linux::ECHOK,
        linux::ECHOKE,
        linux::ECHOCTL,
        linux::ECHONL,
        linux::ISIG,
        linux::IEXTEN,
        linux::NOFLSH,
    ];
    let local = prop::sample::subsequence(flags.to_vec(), 0..=flags.len());
    (prop_oneof![2 => Just(None), 3 => local.prop_map(Some)], 0u8..4).prop_map(|(flags, kind)| {
        let mut termios = Termios::default();
        // No flow control: keys would stop the output.
        termios.input &= !linux::IXON;
        if let Some(flags) = flags {
            termios.local = linux::ICANON | flags.into_iter().fold(0, |all, flag| all | flag);
        }
        if kind == 0 {
            termios.local &= !linux::ICANON;
        }
        termios
    })
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => prop::sample::select(b"ab_ -".to_vec()).prop_map(|key| vec![key]),
        3 => Just(vec![0x7f]),
        4 => prop::sample::select(b"\t\r\n\x15\x17\x16\x12\x04\x01".to_vec()).prop_map(|key| vec![key]),
        1 => prop::sample::select(b"\x03\x1c\x1a".to_vec()).prop_map(|key| vec![key]),
        1 => Just("é".as_bytes().to_vec()),
        1 => Just(vec![0x80]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]
    #[test]
    fn the_same_keys_give_what_a_terminal_of_the_host_s_gives(
        termios in settings(), typed_keys in prop::collection::vec(key(), 0..40),
    ) {
        let mut all: Vec<u8> = typed_keys.concat();
        // Signals throw away echo that the host has not shown yet: how much is not said.
        let signals = termios.has(linux::ISIG) && all.iter().any(|key| b"\x03\x1c\x1a".contains(key));
        all.extend(b"\n\n");
        all.extend(LAST);

        let host = HostTerminal::new(&termios);
        rustix::io::write(&host.person, &all).unwrap();
        let (mut tty, mut console) = typed(termios, &all);
        let mut ours: Vec<Vec<u8>> = Vec::new();
        let mut theirs: Vec<Vec<u8>> = Vec::new();
        let mut buffer = [0; 4096];
        while !ours.concat().ends_with(LAST) {
            let Read::Bytes(count) = tty.read(&mut buffer, 0, None) else {
                panic!("nothing more to read after {ours:?}");
            };
            ours.push(buffer[..count].to_vec());
        }
        while !theirs.concat().ends_with(LAST) {
            theirs.push(HostTerminal::read(&host.program));
        }
        if termios.is_canonical() {
            prop_assert_eq!(&ours, &theirs);
        } else {
            prop_assert_eq!(ours.concat(), theirs.concat());
        }

        // Echo comes out before what a program prints after it.
        rustix::io::write(&host.program, b"printed").unwrap();
        tty.write(&mut console, b"printed");
        let mut shown = Vec::new();
        while !shown.ends_with(b"printed") {
            shown.extend(HostTerminal::read(&host.person));
        }
        if !signals {
            prop_assert_eq!(
                String::from_utf8_lossy(&console.printed),
                String::from_utf8_lossy(&shown)
            );
        }
    }
}

#[test]
fn a_line_has_room_for_what_the_console_puts_before_it() {
    assert_eq!(Tty::new().window.columns, 80);
    assert_eq!(Tty::on_console_of("web").window.columns, 74);
    assert_eq!(Tty::on_console_of(&"x".repeat(31)).window.columns, 46);
}
