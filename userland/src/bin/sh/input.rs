//! Commands that are typed or piped: read line by line, and never further, for the rest belongs to the commands.
use crate::flow::{Flow, Outcome};
use crate::line::Typed;
use crate::shell::{Shell, Terminal};
use userland::sh::Bytes;
use userland::sh::ast::List;
use userland::sh::jobs::State;
use userland::sh::parse::{Error, Parser};
use userland::{Errno, eprintln, files, io, process, signal, terminal};

/// Descriptors from here on are the shell's own.
const OWN: files::Fd = 10;

impl Shell {
    /// Makes the shell one that somebody types to.
    pub(crate) fn begin_interactive(&mut self) {
        self.options.interactive = true;
        self.is_typed = true;
        self.set_interactive_signals();
        self.terminal = self.take_terminal();
        self.options.monitor = self.terminal.is_some();
        if self.terminal.is_none() {
            eprintln!("sh: can't access tty; job control turned off");
        }
    }

    /// Gets the terminal's foreground, in a group of its own.
    fn take_terminal(&self) -> Option<Terminal> {
        let fd = files::duplicate_above(io::STDIN, OWN).ok()?;
        let modes = terminal::modes(fd).ok()?;
        // Whoever started us in the background has to bring us to the foreground first.
        while terminal::foreground(fd).ok()? != process::group() {
            signal::set(signal::SIGTTIN, signal::Action::Default).ok()?;
            process::kill(0, signal::SIGTTIN).ok()?;
            signal::set(signal::SIGTTIN, signal::Action::Ignore).ok()?;
        }
        // The leader of a session is in a group of its own already.
        let _ = process::set_group(0, 0);
        let group = process::group();
        terminal::set_foreground(fd, group).ok()?;
        let hides = false;
        Some(Terminal {
            fd,
            modes,
            group,
            hides,
        })
    }

    /// Runs what is typed or piped, to its end.
    pub(crate) fn input(&mut self) -> Outcome {
        let mut status = 0;
        let mut line_number = 1;
        loop {
            let outcome = self.next_commands(&mut line_number).and_then(|list| match list {
                Some(list) => self.list(&list).map(Some),
                None => Ok(None),
            });
            match outcome {
                Ok(Some(code)) => {
                    status = code;
                    self.status = code;
                }
                Ok(None) if self.may_end() => return Ok(status),
                Ok(None) => {}
                // What only makes sense in a loop or function makes none here.
                Err(Flow::Break(_) | Flow::Continue(_)) => {}
                Err(Flow::Return(code)) => return Ok(code),
                Err(Flow::Abort(code)) if self.options.interactive => {
                    status = code;
                    self.status = code;
                    self.conditions = 0;
                    self.loops = 0;
                    self.functions_running = 0;
                }
                Err(flow) => return Err(flow),
            }
        }
    }

    /// Whether the shell may end; jobs that are stopped keep it once.
    pub(crate) fn may_end(&mut self) -> bool {
        let is_stopped = |state| matches!(state, State::Stopped(_));
        let has_stopped = self.jobs.all().iter().any(|job| is_stopped(job.state()));
        if self.options.interactive && has_stopped && !self.warned_of_jobs {
            eprintln!("You have stopped jobs.");
            self.warned_of_jobs = true;
            return false;
        }
        true
    }

    /// The commands of the next line, with as many more lines as belong to it.
    fn next_commands(&mut self, line_number: &mut usize) -> Result<Option<List>, Flow> {
        let mut text = Bytes::new();
        let first_line = *line_number;
        loop {
            if self.options.interactive && text.is_empty() {
                self.tell_of_jobs();
            }
            let line = match self.options.interactive {
                true => match self.typed_line(if text.is_empty() { b"PS1" } else { b"PS2" }) {
                    Typed::Line(line) => Some(line),
                    Typed::End => None,
                    Typed::Interrupted => return Err(Flow::Abort(130)),
                },
                false => piped_line(io::STDIN),
            };
            let is_end = line.is_none();
            if let Some(line) = line {
                *line_number += 1;
                self.warned_of_jobs &= line.trim_ascii() == b"exit";
                text.extend_from_slice(&line);
            } else if text.is_empty() {
                return Ok(None);
            }
            let mut parser = Parser::new(&text, first_line);
            match parser.next_line() {
                Ok(None) if !is_end => text.clear(),
                Ok(None) => return Ok(None),
                Ok(Some(list)) => {
                    if self.options.interactive {
                        self.history.add(io::without_newline(&text));
                    }
                    return Ok(Some(list));
                }
                Err(Error::Incomplete) if !is_end => {}
                Err(error) => return Err(self.bad_syntax(error)),
            }
        }
    }
}

/// A line with its newline, byte by byte; `None` at the end.
pub(crate) fn piped_line(fd: files::Fd) -> Option<Bytes> {
    let mut line = Bytes::new();
    let mut byte = [0];
    loop {
        match files::read(fd, &mut byte) {
            Ok(1) => {
                line.extend_from_slice(&byte);
                if byte == *b"\n" {
                    return Some(line);
                }
            }
            Err(Errno::EINTR) => {}
            Ok(_) | Err(_) => return (!line.is_empty()).then_some(line),
        }
    }
}
