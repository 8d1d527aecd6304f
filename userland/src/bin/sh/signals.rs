//! Signals of the shell's own: what it does on them, traps.
use crate::flow::Flow;
use crate::shell::Shell;
use userland::signal::{self, Action};

/// What an interactive shell does not die of.
const IGNORED: [u32; 5] = [
    signal::SIGQUIT,
    signal::SIGTERM,
    signal::SIGTSTP,
    signal::SIGTTIN,
    signal::SIGTTOU,
];

impl Shell {
    /// Signals of a shell that somebody types to.
    pub(crate) fn set_interactive_signals(&self) {
        // All of these can be set.
        for number in IGNORED {
            let _ = signal::set(number, Action::Ignore);
        }
        let _ = signal::set(signal::SIGINT, Action::Note);
    }

    /// In a child: programs find signals as the shell found them, and traps are its parent's.
    pub(crate) fn enter_subshell(&mut self) {
        if self.options.interactive {
            for number in IGNORED.into_iter().chain([signal::SIGINT]) {
                // As above.
                let _ = signal::set(number, Action::Default);
            }
        }
        for (number, command) in core::mem::take(&mut self.traps) {
            if command.is_empty() {
                self.traps.insert(number, command);
            } else if number != 0 {
                let _ = signal::set(number, Action::Default);
            }
        }
        self.options.interactive = false;
        self.options.monitor = false;
        self.terminal = None;
        self.may_become = false;
        self.jobs.clear();
    }

    /// Runs the traps of signals that have come; Ctrl-C at a prompt ends what is running.
    pub(crate) fn check_signals(&mut self) -> Result<(), Flow> {
        if !signal::any_noted() {
            return Ok(());
        }
        let noted = signal::take_noted();
        for number in 1..=signal::LAST {
            if !noted.has(number) {
                continue;
            }
            match self.traps.get(&number).cloned() {
                Some(command) => {
                    let status = self.status;
                    self.text(&command, 1)?;
                    self.status = status;
                }
                None if number == signal::SIGINT => return Err(Flow::Abort(130)),
                None => {}
            }
        }
        Ok(())
    }
}
