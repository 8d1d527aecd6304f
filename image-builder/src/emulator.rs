//! Runs an emulator: feeds its console, collects both serial ports, watches the time, and leaves no process behind.
use crate::console::{FeedFrom, Input, Lines, POLL, feed};
use crate::dialogue::Talk;
use crate::machine_line::{MachineLine, PREFIX};
use crate::setup::find_program;
use crate::verdict::Stop;
use crate::workspace::{self, Lock};
use anyhow::{Context, Result};
use std::cell::Cell;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long an emulator that was asked to end may take.
const GRACE: Duration = Duration::from_secs(3);
/// How long a machine may take to power off once every domain has ended.
const POWER_OFF: Duration = Duration::from_secs(20);

/// Which machine runs the image.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Machine {
    /// QEMU.
    #[default]
    Qemu,
    /// Bochs, which is slower and more exact.
    Bochs,
}

/// A command line, ready to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommandLine {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl CommandLine {
    /// The command as a shell would take it.
    #[must_use]
    pub fn for_a_shell(&self) -> String {
        let words = [self.program.as_os_str()]
            .into_iter()
            .chain(self.arguments.iter().map(OsString::as_os_str));
        words
            .map(|word| quoted(&word.to_string_lossy()))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Where the first serial port, the console, ends up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConsoleEnd {
    /// The emulator's standard input and output, which we keep.
    Pipes {
        /// What to feed.
        input: Input,
        /// When.
        from: FeedFrom,
    },
    /// The user's terminal.
    Terminal,
    /// A file; nothing can be fed. The emulator's own output goes to the second file.
    File(PathBuf, PathBuf),
}

/// A run to be made.
#[derive(Debug)]
pub struct Run {
    /// What to start.
    pub command: CommandLine,
    /// The console.
    pub console: ConsoleEnd,
    /// The file to which the emulator writes the second serial port.
    pub machine_port: PathBuf,
    /// Counted from the emulator's start.
    pub limit: Option<Duration>,
    /// Set by someone else to end the run.
    pub interrupt: Arc<AtomicBool>,
}

/// Something that a run said.
#[derive(Debug)]
pub enum Said {
    /// A line on the console, without its end.
    Console(Vec<u8>),
    /// A line on the second serial port.
    Machine(MachineLine),
}

/// How a run ended.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// Why.
    pub stop: Stop,
    /// What the emulator returned.
    pub status: ExitStatus,
    /// How long it took.
    pub elapsed: Duration,
}

/// Waits until fewer than two emulators run, of all processes together; the lock is the place of one.
pub fn turn() -> Result<Lock> {
    loop {
        for name in ["emulator-1", "emulator-2"] {
            if let Some(lock) = workspace::try_lock(name)? {
                return Ok(lock);
            }
        }
        thread::sleep(POLL);
    }
}

/// Picks the machine lines out of what comes through the second serial port.
///
/// Until the hypervisor starts the port is the firmware's: UEFI uses it as a console, and may leave its last line
/// unfinished before the hypervisor's first one.
#[derive(Default)]
struct MachinePort {
    lines: Lines,
    has_started: bool,
}

impl MachinePort {
    fn push(&mut self, bytes: &[u8], mut take: impl FnMut(MachineLine)) {
        let Self { lines, has_started } = self;
        lines.push(bytes, |line| {
            let text = String::from_utf8_lossy(line);
            let start = if *has_started {
                0
            } else {
                text.find(PREFIX).unwrap_or_default()
            };
            if let Some(line) = text.get(start..).and_then(MachineLine::parse) {
                *has_started = true;
                take(line);
            }
        });
    }
}

enum Chunk {
    Console(Vec<u8>),
    Machine(Vec<u8>),
}

/// Runs it to its end; `said` is called with each line as it comes.
pub fn run(run: &Run, mut said: impl FnMut(Said)) -> Result<End> {
    // What an earlier run left must not be taken for this one's.
    truncate(&run.machine_port)?;
    let mut command = without_orphans(&run.command);
    connect(&mut command, &run.console)?;
    let terminal = Terminal::remember();
    let spawned = command.spawn();
    let mut child =
        Running(spawned.with_context(|| format!("cannot run {}", run.command.program.display()))?);
    let started = Instant::now();

    let (sender, chunks) = mpsc::channel();
    let is_over = Arc::new(AtomicBool::new(false));
    let readers = start_readers(run, &mut child.0, &is_over, sender);
    let (mut start_feeding, mut talk) = start_typing(&mut child.0, &run.console);
    let (mut console, mut machine) = (Lines::default(), MachinePort::default());
    let limit = Cell::new(run.limit);
    let mut take = |chunk: Chunk| match chunk {
        Chunk::Console(bytes) => {
            if let Some(talk) = &mut talk {
                talk.hear(&bytes);
            }
            console.push(&bytes, |line| said(Said::Console(line.to_vec())));
        }
        Chunk::Machine(bytes) => machine.push(&bytes, |line| {
            if line.is_event("start") {
                start_feeding = None; // dropping the sender is the signal
            }
            if line.is_event("end") {
                let by_then = started.elapsed() + POWER_OFF;
                limit.set(Some(limit.get().map_or(by_then, |limit| limit.min(by_then))));
            }
            said(Said::Machine(line));
        }),
    };
    let mut stop = Stop::Ended;
    let status = loop {
        match chunks.recv_timeout(POLL) {
            Ok(chunk) => take(chunk),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => thread::sleep(POLL),
        }
        if let Some(status) = child.0.try_wait().context("cannot wait for the emulator")? {
            if let Some(signal) = status.signal() {
                stop = Stop::Crashed(signal);
            }
            break status;
        }
        let elapsed = started.elapsed();
        if let Some(limit) = limit.get().filter(|limit| elapsed >= *limit) {
            stop = Stop::TimedOut(limit);
        } else if run.interrupt.load(Ordering::Relaxed) {
            stop = Stop::Interrupted;
        } else {
            continue;
        }
        break end(&mut child.0, &run.console)?;
    };
    let elapsed = started.elapsed();
    terminal.restore();
    is_over.store(true, Ordering::Release);
    chunks.into_iter().for_each(&mut take);
    for reader in readers {
        let _ = reader.join();
    }
    console.finish(|line| said(Said::Console(line.to_vec())));
    if let Some(awaited) = talk.as_ref().and_then(Talk::awaited) {
        said(Said::Console(
            format!("image-builder: nothing was typed, for {awaited:?} did not come").into(),
        ));
    }
    Ok(End {
        stop,
        status,
        elapsed,
    })
}

/// Gives the emulator its standard input and output.
fn connect(command: &mut Command, console: &ConsoleEnd) -> Result<()> {
    match console {
        ConsoleEnd::Pipes { .. } => {
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
        }
        ConsoleEnd::Terminal => {}
        ConsoleEnd::File(console, output) => {
            truncate(console)?;
            let output = truncate(output)?;
            let errors = output
                .try_clone()
                .context("cannot share the log of the emulator")?;
            command.stdin(Stdio::null()).stdout(output).stderr(errors);
        }
    }
    Ok(())
}

/// Threads that send on what the emulator writes.
fn start_readers(
    run: &Run,
    child: &mut Child,
    is_over: &Arc<AtomicBool>,
    to: Sender<Chunk>,
) -> Vec<JoinHandle<()>> {
    let mut readers = vec![follow(run.machine_port.clone(), is_over, &to, Chunk::Machine)];
    if let ConsoleEnd::File(console, _) = &run.console {
        readers.push(follow(console.clone(), is_over, &to, Chunk::Console));
    }
    readers.extend(child.stdout.take().map(|output| drain(output, to)));
    readers
}

/// The command, made so that the kernel ends it when we are ended without notice.
fn without_orphans(line: &CommandLine) -> Command {
    let mut command = match find_program("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(&line.program);
            command
        }
        None => Command::new(&line.program),
    };
    command.args(&line.arguments).env_remove("LD_LIBRARY_PATH");
    command
}

fn truncate(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}

/// A child that does not outlive this value, whatever fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Ends a child. One that has the terminal is asked first: it puts the terminal's settings back.
fn end(child: &mut Child, console: &ConsoleEnd) -> Result<ExitStatus> {
    if *console == ConsoleEnd::Terminal
        && let Some(pid) = i32::try_from(child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
    {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    let asked = Instant::now();
    while *console == ConsoleEnd::Terminal && asked.elapsed() < GRACE {
        if let Some(status) = child.try_wait().context("cannot wait for the emulator")? {
            return Ok(status);
        }
        thread::sleep(POLL);
    }
    child.kill().context("cannot end the emulator")?;
    child.wait().context("cannot wait for the emulator")
}

/// The terminal's settings, which an emulator that was killed does not put back.
struct Terminal(Option<rustix::termios::Termios>);

impl Terminal {
    fn remember() -> Self {
        Self(rustix::termios::tcgetattr(io::stdin()).ok())
    }

    fn restore(&self) {
        if let Some(settings) = &self.0 {
            let when = rustix::termios::OptionalActions::Drain;
            let _ = rustix::termios::tcsetattr(io::stdin(), when, settings);
        }
    }
}

/// Who types at the console: what starts feeding when it is dropped, or somebody who listens.
fn start_typing(child: &mut Child, console: &ConsoleEnd) -> (Option<Sender<()>>, Option<Talk>) {
    let (ConsoleEnd::Pipes { input, from }, Some(to)) = (console, child.stdin.take()) else {
        return (None, None);
    };
    match input {
        Input::Bytes(bytes) => (Some(start_feeder(Cursor::new(bytes.clone()), to, *from)), None),
        Input::Stdin => (Some(start_feeder(io::stdin(), to, *from)), None),
        Input::Dialogue(turns) => (None, Some(Talk::start(turns.clone(), to))),
    }
}

/// Feeds in a thread of its own, which waits for the returned sender to be dropped.
///
/// The thread is never joined: it may wait for a user who types nothing more.
fn start_feeder(input: impl Read + Send + 'static, to: ChildStdin, from: FeedFrom) -> Sender<()> {
    let (signal, start) = mpsc::channel::<()>();
    thread::spawn(move || {
        if from == FeedFrom::Start {
            let _ = start.recv();
        }
        // The emulator may end before it has read everything: that is its affair.
        let _ = feed(input, to);
    });
    signal
}

/// Sends on what comes out of a pipe, to its end.
fn drain(mut from: impl Read + Send + 'static, to: Sender<Chunk>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if to.send(Chunk::Console(buffer[..count].to_vec())).is_err() {
                return;
            }
        }
    })
}

/// Sends on what is written to a file, until `is_over` is set and its end is reached.
fn follow(
    path: PathBuf,
    is_over: &Arc<AtomicBool>,
    to: &Sender<Chunk>,
    wrap: fn(Vec<u8>) -> Chunk,
) -> JoinHandle<()> {
    let (to, is_over) = (to.clone(), Arc::clone(is_over));
    thread::spawn(move || {
        let mut file: Option<File> = None;
        let mut buffer = [0; 4096];
        loop {
            // Asked before reading: what is written after the answer is read in the next round.
            let last_round = is_over.load(Ordering::Acquire);
            file = file.or_else(|| File::open(&path).ok());
            while let Some(Ok(count @ 1..)) = file.as_mut().map(|file| file.read(&mut buffer)) {
                if to.send(wrap(buffer[..count].to_vec())).is_err() {
                    return;
                }
            }
            if last_round {
                return;
            }
            thread::sleep(POLL);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialogue::Turn;

    fn shell(script: &str, input: Input, limit: Duration) -> (End, Vec<String>, Vec<MachineLine>) {
        let port = tempfile::NamedTempFile::new().unwrap();
        let (mut console, mut machine) = (Vec::new(), Vec::new());
        let script = script.replace("COM2", &quoted(&port.path().to_string_lossy()));
        let plan = Run {
            command: CommandLine {
                program: "/bin/sh".into(),
                arguments: vec!["-c".into(), script.into()],
            },
            console: ConsoleEnd::Pipes {
                input,
                from: FeedFrom::Start,
            },
            machine_port: port.path().to_path_buf(),
            limit: Some(limit),
            interrupt: Arc::default(),
        };
        let end = run(&plan, |said| match said {
            Said::Console(line) => console.push(String::from_utf8(line).unwrap()),
            Said::Machine(line) => machine.push(line),
        })
        .unwrap();
        (end, console, machine)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn both_ports_are_read_to_their_end() {
        let script =
            "echo one; echo 'xen-lite: event=start' >> COM2; printf two; echo 'xen-lite: event=end' >> COM2";
        let (end, console, machine) = shell(script, Input::Bytes(Vec::new()), LONG);
        assert_eq!(end.stop, Stop::Ended);
        assert_eq!(console, ["one", "two"]);
        assert!(machine[0].is_event("start") && machine[1].is_event("end"));
    }

    #[test]
    fn an_emulator_that_a_signal_ended_is_no_machine_that_stopped() {
        let (end, ..) = shell("kill -SEGV $$", Input::Bytes(Vec::new()), LONG);
        assert_eq!(end.stop, Stop::Crashed(11));
    }

    #[test]
    fn input_waits_for_the_start_and_arrives_whole() {
        // A line that came before the start is read by the first `read`, which must time out instead.
        let script = "echo ready; echo 'xen-lite: event=start' >> COM2; head -c 7 | od -An -tx1";
        let (_, console, _) = shell(script, Input::Bytes(b"hello\n".to_vec()), LONG);
        assert_eq!(console, ["ready", " 68 65 6c 6c 6f 0a 04"]);
    }

    #[test]
    fn somebody_types_when_something_has_been_shown() {
        let turns = || vec![Turn::new("name? ", "me\n"), Turn::new("sure? ", "yes\n")];
        let script = "printf 'name? '; read name; printf 'sure? '; read answer; echo $name $answer";
        let (_, console, _) = shell(script, Input::Dialogue(turns()), LONG);
        assert_eq!(console, ["name? sure? me yes"]);
        let (_, console, _) = shell("printf 'name? '; read name", Input::Dialogue(turns()), LONG);
        let last = "image-builder: nothing was typed, for \"sure? \" did not come";
        assert_eq!(console.last().map(String::as_str), Some(last));
    }

    #[test]
    fn the_time_limit_ends_the_run() {
        let (end, console, _) = shell(
            "echo here; exec sleep 600",
            Input::Bytes(Vec::new()),
            Duration::from_millis(200),
        );
        assert!(matches!(end.stop, Stop::TimedOut(_)));
        assert_eq!(console, ["here"]);
        assert!(end.elapsed < LONG);
    }

    #[test]
    fn what_firmware_leaves_on_the_machine_port_is_passed_over() {
        let mut port = MachinePort::default();
        let mut seen = Vec::new();
        let text = b"BdsDxe: loading\r\n\x1b[37mWelcome xen-lite: event=start\nnoise xen-lite: event=end\n";
        port.push(text, |line| seen.push(line.to_string()));
        assert_eq!(seen, ["xen-lite: event=start"]);
    }

    #[test]
    fn a_command_can_be_copied_into_a_shell() {
        let line = CommandLine {
            program: "qemu".into(),
            arguments: vec!["a b".into(), "it's".into(), "x=1".into()],
        };
        assert_eq!(line.for_a_shell(), r"qemu 'a b' 'it'\''s' x=1");
    }
}
