//! The terminal: the domain's console, as programs see it.
mod line;
mod output;
pub mod termios;

pub use line::{LineDiscipline, Signal};
pub use output::Output;
pub use termios::Termios;

use crate::machine::Terminal;
use crate::proc::Pid;
use core::fmt;
use line::Read as LineRead;
use linux_raw_sys::general as linux;
use output::Echo;

/// Size of the window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// Lines.
    pub rows: u16,
    /// Characters of a line.
    pub columns: u16,
}

/// The terminal of the domain.
#[derive(Debug)]
pub struct Tty {
    /// Its settings.
    termios: Termios,
    /// Its size; nobody knows the true one.
    pub window: Window,
    /// The session that it controls.
    pub session: Option<Pid>,
    /// The processes that it listens to.
    pub foreground: Option<Pid>,
    input: LineDiscipline,
    output: Output,
    /// When the last key came.
    last_key_ns: u64,
}

/// Characters of a screen's line.
const SCREEN: u16 = 80;

impl Default for Tty {
    fn default() -> Self {
        Self {
            termios: Termios::default(),
            window: Window {
                rows: 24,
                columns: SCREEN,
            },
            session: None,
            foreground: None,
            input: LineDiscipline::default(),
            output: Output::default(),
            last_key_ns: 0,
        }
    }
}

/// What a read found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Read {
    /// So many bytes; 0 is the end of input, or that nothing came in time.
    Bytes(usize),
    /// Nothing yet: more keys, or this time, may change that.
    Later(Option<u64>),
}

/// When changed settings hold, and what becomes of keys that nobody has read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// At once; they stay.
    Now,
    /// They are forgotten.
    Flush,
}

/// Who uses the terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct User {
    /// The process's session.
    pub session: Pid,
    /// Its group.
    pub group: Pid,
    /// Whether the signal that would stop it is ignored or blocked.
    pub ignores: bool,
    /// Whether nobody of its session, but not of its group, is a parent in it.
    pub orphaned: bool,
}

/// How the terminal is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// Keys are read.
    Read,
    /// Bytes are written.
    Write,
    /// Settings or the foreground group are changed.
    Change,
}

/// What becomes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leave {
    /// It is done.
    Granted,
    /// The process's group is sent SIGTTIN or SIGTTOU, and the call is made again.
    Stop,
    /// `EIO`.
    Refused,
}

/// Bytes that are taken from the console at once.
const CHUNK: usize = 64;

impl Tty {
    /// Nothing typed, nothing printed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The terminal of the domain called `name`: the hypervisor begins every line with `[name] `.
    #[must_use]
    pub fn on_console_of(name: &str) -> Self {
        let prefix = u16::try_from(name.len() + "[] ".len()).unwrap_or(SCREEN);
        let mut tty = Self::new();
        tty.window.columns = SCREEN.saturating_sub(prefix);
        tty
    }

    /// Takes what has been typed, as far as there is room for it, and shows it.
    pub fn poll(&mut self, terminal: &mut impl Terminal, now_ns: u64, signal: &mut dyn FnMut(Signal)) {
        while self.input.room() >= CHUNK && self.output.has_room_for_echo() {
            let mut typed = [0; CHUNK];
            let count = terminal.read(&mut typed).min(CHUNK);
            if count == 0 {
                break;
            }
            self.last_key_ns = now_ns;
            let (output, termios) = (&mut self.output, self.termios);
            let mut echo = Echo { output, termios };
            for key in typed.into_iter().take(count) {
                if let Some(pressed) = self.input.key(&self.termios, key, &mut echo) {
                    signal(pressed);
                }
            }
        }
        self.output.flush(terminal);
    }

    /// How long a read that finds nothing waits before it returns nothing, if it does.
    #[must_use]
    pub fn read_timeout_ns(&self) -> Option<u64> {
        let timeout = self.termios.timeout_ns();
        let timed = !self.termios.is_canonical() && self.termios.minimum() == 0 && timeout > 0;
        timed.then_some(timeout)
    }

    /// Moves typed bytes into `buffer`. `deadline_ns` is when [`Self::read_timeout_ns`] is over.
    pub fn read(&mut self, buffer: &mut [u8], now_ns: u64, deadline_ns: Option<u64>) -> Read {
        if self.termios.is_canonical() {
            return match self.input.read_line(buffer) {
                LineRead::Bytes(count) => Read::Bytes(count),
                LineRead::End => Read::Bytes(0),
                LineRead::Nothing => Read::Later(None),
            };
        }
        let ready = self.input.readable(&self.termios);
        let minimum = self.termios.minimum().min(buffer.len());
        let timeout = self.termios.timeout_ns();
        let until = match (minimum, timeout) {
            _ if ready >= minimum.max(1) => None,
            (0, 0) => None,
            (0, _) => deadline_ns,
            (_, 0) => return Read::Later(None),
            _ if ready == 0 => return Read::Later(None),
            _ => Some(self.last_key_ns.saturating_add(timeout)),
        };
        match until {
            Some(until) if until > now_ns => Read::Later(Some(until)),
            _ => Read::Bytes(self.input.read_keys(buffer)),
        }
    }

    /// Moves bytes into `buffer` that are there, for one who does not wait; nothing if there are none.
    pub fn read_now(&mut self, buffer: &mut [u8]) -> Option<usize> {
        if self.termios.is_canonical() {
            return match self.input.read_line(buffer) {
                LineRead::Bytes(count) => Some(count),
                LineRead::End => Some(0),
                LineRead::Nothing => None,
            };
        }
        Some(self.input.read_keys(buffer)).filter(|count| *count > 0)
    }

    /// Whether a read would not wait.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        if self.termios.is_canonical() {
            self.input.has_record()
        } else {
            self.input.readable(&self.termios) >= self.termios.minimum().max(1)
        }
    }

    /// Bytes that a read would find.
    #[must_use]
    pub fn readable(&self) -> usize {
        self.input.readable(&self.termios)
    }

    /// Takes some of a program's bytes; how many, perhaps 0.
    pub fn write(&mut self, terminal: &mut impl Terminal, bytes: &[u8]) -> usize {
        self.output.write(terminal, &self.termios, bytes)
    }

    /// Whether a write would be taken.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.output.has_room()
    }

    /// Whether something still has to get out.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.output.is_pending()
    }

    /// Hands on what the console takes.
    pub fn flush(&mut self, terminal: &mut impl Terminal) {
        self.output.flush(terminal);
    }

    /// Hands on everything, waiting for room.
    pub fn drain(&mut self, terminal: &mut impl Terminal) {
        self.output.drain(terminal);
    }

    /// Prints a message of the kernel's own, on lines of its own.
    pub fn say(&mut self, terminal: &mut impl Terminal, text: fmt::Arguments<'_>) {
        self.output.start_line(terminal);
        self.output.print(terminal, text);
    }

    /// The settings.
    #[must_use]
    pub const fn termios(&self) -> &Termios {
        &self.termios
    }

    /// Changes the settings.
    pub fn set_termios(&mut self, new: Termios, when: When, signal: &mut dyn FnMut(Signal)) {
        if when == When::Flush {
            self.input.flush();
        }
        let old = core::mem::replace(&mut self.termios, new);
        let (output, termios) = (&mut self.output, new);
        let mut echo = Echo { output, termios };
        self.input.change(&old, &new, &mut echo, signal);
    }

    /// Forgets keys that nobody has read.
    pub fn flush_input(&mut self) {
        self.input.flush();
    }

    /// Whether `user` may use the terminal so (POSIX, 11.1.4).
    #[must_use]
    pub fn leave(&self, user: &User, used: Use) -> Leave {
        let is_background = self.session == Some(user.session)
            && self.foreground.is_some_and(|foreground| foreground != user.group);
        let matters = used != Use::Write || self.termios.has(linux::TOSTOP);
        if !is_background || !matters {
            return Leave::Granted;
        }
        match (used, user.ignores, user.orphaned) {
            (Use::Read, true, _) => Leave::Refused,
            (_, true, _) => Leave::Granted,
            (_, false, true) => Leave::Refused,
            (_, false, false) => Leave::Stop,
        }
    }
}

#[cfg(test)]
mod tests;
