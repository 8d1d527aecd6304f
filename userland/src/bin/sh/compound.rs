//! Commands with commands inside.
use crate::flow::{Flow, Outcome};
use crate::job_control::Starting;
use crate::redirect::Trouble;
use crate::shell::Shell;
use alloc::rc::Rc;
use alloc::vec::Vec;
use userland::process::Fork;
use userland::sh::Bytes;
use userland::sh::ast::{Command, Compound, List, LoopKind, Mode, Redirect, Word};
use userland::sh::getopts::Place;

/// How many functions may be running: each needs some of the stack.
const FUNCTIONS: usize = 150;

impl Shell {
    /// Runs a command; `text` is how its item was written.
    pub(crate) fn command(&mut self, command: &Command, text: &[u8]) -> Outcome {
        let may_become = core::mem::take(&mut self.may_become);
        let outcome = match command {
            Command::Simple(simple) => {
                self.may_become = may_become;
                self.simple(simple, text)
            }
            Command::Compound(compound, redirects) => self.redirected(redirects, |shell| match compound {
                Compound::Subshell(list) => shell.subshell(list, text),
                compound => shell.compound(compound),
            }),
            Command::Function(name, body) => {
                self.functions.insert(name.clone(), Rc::clone(body));
                Ok(0)
            }
        };
        self.check_signals()?;
        outcome
    }

    /// Runs something in the shell itself with redirections.
    pub(crate) fn redirected(
        &mut self,
        redirects: &[Redirect],
        inner: impl FnOnce(&mut Self) -> Outcome,
    ) -> Outcome {
        match self.redirect(redirects) {
            Ok(saved) => {
                let outcome = inner(self);
                self.put_back(saved);
                outcome
            }
            Err(Trouble::Failed) => self.checked(1),
            Err(Trouble::Flow(flow)) => Err(flow),
        }
    }

    fn subshell(&mut self, list: &List, text: &[u8]) -> Outcome {
        let mut starting = Starting::new(Mode::Foreground);
        match self.spawn(&mut starting) {
            Ok(Fork::Child) => self.run_and_exit(|shell| shell.list(list)),
            Ok(Fork::Parent(_)) => {
                let status = self.wait_for_job(starting, text)?;
                self.checked(status)
            }
            Err(error) => Ok(self.cannot_fork(error)),
        }
    }

    fn compound(&mut self, compound: &Compound) -> Outcome {
        match compound {
            Compound::Group(list) | Compound::Subshell(list) => self.list(list),
            Compound::If { arms, otherwise } => {
                for (condition, body) in arms {
                    if self.condition(|shell| shell.list(condition))? == 0 {
                        return self.list(body);
                    }
                }
                otherwise.as_ref().map_or(Ok(0), |list| self.list(list))
            }
            Compound::For { name, words, body } => {
                let values = match words {
                    Some(words) => self.fields(words)?,
                    None => self.positional.clone(),
                };
                self.for_each(name, values, body)
            }
            Compound::Loop {
                kind,
                condition,
                body,
            } => self.repeat(*kind, condition, body),
            Compound::Case { word, arms } => self.case(word, arms),
        }
    }

    fn for_each(&mut self, name: &[u8], values: Vec<Bytes>, body: &List) -> Outcome {
        let mut status = 0;
        self.loops += 1;
        for value in values {
            let outcome = match self.set(name, value) {
                Ok(()) => self.list(body),
                Err(flow) => Err(flow),
            };
            match self.round(outcome) {
                Ok(Some(code)) => status = code,
                Ok(None) => break,
                Err(flow) => {
                    self.loops -= 1;
                    return Err(flow);
                }
            }
        }
        self.loops -= 1;
        Ok(status)
    }

    fn repeat(&mut self, kind: LoopKind, condition: &List, body: &List) -> Outcome {
        let mut status = 0;
        self.loops += 1;
        let outcome = loop {
            let tested = self.condition(|shell| shell.list(condition));
            let goes_on = match self.round(tested) {
                // What `continue` in a condition leads to is the condition again.
                Ok(Some(code)) => (code == 0) == (kind == LoopKind::While),
                Ok(None) => break Ok(status),
                Err(flow) => break Err(flow),
            };
            if !goes_on {
                break Ok(status);
            }
            let outcome = self.list(body);
            match self.round(outcome) {
                Ok(Some(code)) => status = code,
                Ok(None) => break Ok(0),
                Err(flow) => break Err(flow),
            }
        };
        self.loops -= 1;
        outcome
    }

    /// What the outcome of a loop's body means for the loop: its code, or `None` to leave it.
    fn round(&mut self, outcome: Outcome) -> Result<Option<i32>, Flow> {
        match outcome {
            Ok(code) => Ok(Some(code)),
            Err(Flow::Break(0 | 1)) => Ok(None),
            Err(Flow::Break(levels)) => Err(Flow::Break(levels - 1)),
            Err(Flow::Continue(0 | 1)) => Ok(Some(0)),
            Err(Flow::Continue(levels)) => Err(Flow::Continue(levels - 1)),
            Err(flow) => Err(flow),
        }
    }

    fn case(&mut self, word: &Word, arms: &[(Vec<Word>, List)]) -> Outcome {
        let subject = self.string(word)?;
        for (patterns, body) in arms {
            for pattern in patterns {
                if self.pattern(pattern)?.matches(&subject) {
                    return self.list(body);
                }
            }
        }
        Ok(0)
    }

    /// Calls a function.
    pub(crate) fn call(&mut self, body: &Command, arguments: &[Bytes]) -> Outcome {
        if self.functions_running == FUNCTIONS {
            self.complain("too many functions in functions");
            return Err(Flow::Abort(2));
        }
        self.functions_running += 1;
        let positional = core::mem::replace(&mut self.positional, arguments.to_vec());
        let place = core::mem::replace(&mut self.getopts, Place { index: 1, letters: 0 });
        let loops = core::mem::take(&mut self.loops);
        self.variables.enter();
        let outcome = self.command(body, b"");
        self.variables.leave();
        self.loops = loops;
        self.getopts = place;
        self.positional = positional;
        self.functions_running -= 1;
        match outcome {
            Err(Flow::Return(code)) => Ok(code),
            outcome => outcome,
        }
    }
}
