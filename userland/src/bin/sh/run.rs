//! Lists, pipelines, and commands in processes of their own.
use crate::flow::{Flow, Outcome};
use crate::job_control::Starting;
use crate::shell::Shell;
use alloc::vec::Vec;
use linux_raw_sys::general::O_CLOEXEC;
use userland::files::File;
use userland::process::Fork;
use userland::sh::Bytes;
use userland::sh::ast::{Command, Connector, Item, List, Mode, Pipeline};
use userland::sh::parse::{Error, Parser};
use userland::sh::quote::quote;
use userland::text::Text;
use userland::{Errno, files, io, process};

impl Shell {
    /// Runs a text, command by command.
    pub(crate) fn text(&mut self, text: &[u8], first_line: usize) -> Outcome {
        let mut parser = Parser::new(text, first_line);
        let mut status = 0;
        loop {
            match parser.next_line() {
                Ok(None) => return Ok(status),
                Ok(Some(list)) => status = self.list(&list)?,
                Err(error) => {
                    self.line = parser.line();
                    return Err(self.bad_syntax(error));
                }
            }
        }
    }

    /// The message for a text that makes no sense, and the way out.
    pub(crate) fn bad_syntax(&mut self, error: Error) -> Flow {
        match error {
            Error::Incomplete => self.complain("syntax error: end of file unexpected"),
            Error::Syntax(line, what) => {
                self.line = line;
                self.complain(format_args!("syntax error: {what}"));
            }
        }
        self.status = 2;
        Flow::Abort(2)
    }

    /// Runs commands one after another.
    pub(crate) fn list(&mut self, list: &List) -> Outcome {
        let mut status = 0;
        for item in &list.0 {
            status = match item.mode {
                Mode::Foreground => self.item(item)?,
                Mode::Background => self.background(item),
            };
            self.status = status;
        }
        Ok(status)
    }

    fn item(&mut self, item: &Item) -> Outcome {
        let mut status = match item.rest.is_empty() {
            true => self.pipeline(&item.first, &item.text)?,
            false => self.condition(|shell| shell.pipeline(&item.first, &item.text))?,
        };
        self.status = status;
        for (index, (connector, pipeline)) in item.rest.iter().enumerate() {
            if (*connector == Connector::And) != (status == 0) {
                continue;
            }
            status = match index + 1 == item.rest.len() {
                true => self.pipeline(pipeline, &item.text)?,
                false => self.condition(|shell| shell.pipeline(pipeline, &item.text))?,
            };
            self.status = status;
        }
        Ok(status)
    }

    /// Runs what may fail without ending the shell.
    pub(crate) fn condition(&mut self, inner: impl FnOnce(&mut Self) -> Outcome) -> Outcome {
        self.conditions += 1;
        let outcome = inner(self);
        self.conditions -= 1;
        outcome
    }

    fn pipeline(&mut self, pipeline: &Pipeline, text: &[u8]) -> Outcome {
        let run = |shell: &mut Self| match pipeline.commands.as_slice() {
            [command] => shell.command(command, text),
            commands => {
                let mut starting = Starting::new(Mode::Foreground);
                match shell.start(&mut starting, commands) {
                    Ok(()) => {
                        let status = shell.wait_for_job(starting, text)?;
                        shell.checked(status)
                    }
                    Err(error) => Ok(shell.cannot_fork(error)),
                }
            }
        };
        match pipeline.negations {
            0 => run(self),
            negations => {
                let status = self.condition(run)?;
                let is_false = (status != 0) != (negations % 2 == 1);
                Ok(i32::from(is_false))
            }
        }
    }

    /// `status`, or the way out if it is an error that ends the shell.
    pub(crate) fn checked(&mut self, status: i32) -> Outcome {
        self.status = status;
        if status != 0 && self.options.exit_on_error && self.conditions == 0 {
            return Err(Flow::Exit(status));
        }
        Ok(status)
    }

    pub(crate) fn cannot_fork(&self, error: Errno) -> i32 {
        self.complain(format_args!("cannot fork: {error}"));
        2
    }

    /// Starts the commands of a pipeline, each in a process of its own.
    fn start(&mut self, starting: &mut Starting, commands: &[Command]) -> files::Result<()> {
        let mut input: Option<File> = None;
        for (index, command) in commands.iter().enumerate() {
            let (next_input, output) = match index + 1 == commands.len() {
                true => (None, None),
                false => {
                    let (reader, writer) = files::pipe(O_CLOEXEC)?;
                    (Some(reader), Some(writer))
                }
            };
            if self.spawn(starting)? == Fork::Child {
                for (end, fd) in [(&input, io::STDIN), (&output, io::STDOUT)] {
                    if let Some(end) = end {
                        // What cannot be connected fails when it is used.
                        let _ = files::duplicate_to(end.fd(), fd);
                    }
                }
                drop((input, output, next_input));
                self.may_become = true;
                self.run_and_exit(|shell| shell.command(command, b""))
            }
            input = next_input;
        }
        Ok(())
    }

    /// Starts an item and does not wait for it.
    fn background(&mut self, item: &Item) -> i32 {
        let mut starting = Starting::new(Mode::Background);
        let started = match (item.rest.as_slice(), item.first.commands.as_slice()) {
            ([], commands @ [_, _, ..]) if item.first.negations == 0 => self.start(&mut starting, commands),
            _ => self.spawn(&mut starting).map(|fork| {
                if fork == Fork::Child {
                    self.may_become = item.rest.is_empty() && item.first.negations == 0;
                    self.run_and_exit(|shell| shell.item(item))
                }
            }),
        };
        match started {
            Ok(()) => {
                self.leave_in_background(starting, &item.text);
                0
            }
            Err(error) => self.cannot_fork(error),
        }
    }

    /// Runs `inner` and ends this process, a subshell.
    pub(crate) fn run_and_exit(&mut self, inner: impl FnOnce(&mut Self) -> Outcome) -> ! {
        let code = match inner(self) {
            Ok(code) => code,
            Err(flow) => flow.code(),
        };
        let code = self.finish(code);
        process::exit(code)
    }

    /// The end of the shell: its trap for it.
    pub(crate) fn finish(&mut self, code: i32) -> i32 {
        let Some(command) = self.traps.remove(&0).filter(|command| !command.is_empty()) else {
            return code;
        };
        self.status = code;
        match self.text(&command, 1) {
            Err(Flow::Exit(code)) => code,
            _ => code,
        }
    }

    /// Shows a command before it runs (`set -x`).
    pub(crate) fn trace(&self, words: &[Bytes]) {
        if self.options.traces {
            let words: Vec<Bytes> = words.iter().map(|word| quote(word)).collect();
            let line = [self.value(b"PS4"), words.join(b" ".as_slice())].concat();
            io::print(io::STDERR, format_args!("{}\n", Text(&line)));
        }
    }
}
