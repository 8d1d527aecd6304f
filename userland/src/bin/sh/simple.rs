//! Simple commands: assignments, redirections, and a builtin, function or program.
use crate::builtins::{self, Builtin, Class};
use crate::flow::{Flow, Outcome};
use crate::job_control::Starting;
use crate::redirect::Trouble;
use crate::shell::Shell;
use alloc::rc::Rc;
use alloc::vec::Vec;
use userland::process::{self, Fork};
use userland::sh::Bytes;
use userland::sh::ast::{Command, Mode, Simple};

impl Shell {
    /// Runs a simple command.
    pub(crate) fn simple(&mut self, simple: &Simple, text: &[u8]) -> Outcome {
        let may_become = core::mem::take(&mut self.may_become);
        self.line = simple.line;
        self.substituted = None;
        let words = self.fields(&simple.words)?;
        let Some(name) = words.first() else {
            return self.assign_only(simple);
        };
        // Also one with the name of a special builtin, for which POSIX makes no rule.
        if let Some(body) = self.functions.get(name).cloned() {
            return self.function(&body, simple, &words);
        }
        if let Some(builtin) = builtins::find(name).filter(|builtin| builtin.class == Class::Special) {
            return self.special(builtin, simple, &words);
        }
        if let Some(builtin) = builtins::find(name) {
            return self.regular(builtin, simple, &words);
        }
        if may_become {
            let code = self.become_program(simple, &words);
            process::exit(code)
        }
        let status = self.in_child(text, |shell| shell.become_program(simple, &words))?;
        self.checked(status)
    }

    /// Runs something in a child and waits for it.
    fn in_child(&mut self, text: &[u8], inner: impl FnOnce(&mut Self) -> i32) -> Outcome {
        let mut starting = Starting::new(Mode::Foreground);
        match self.spawn(&mut starting) {
            Ok(Fork::Child) => process::exit(inner(self)),
            Ok(Fork::Parent(_)) => self.wait_for_job(starting, text),
            Err(error) => Ok(self.cannot_fork(error)),
        }
    }

    /// Runs a program, not a function or builtin.
    pub(crate) fn run_program(&mut self, words: &[Bytes]) -> Outcome {
        self.in_child(&words.join(b" ".as_slice()), |shell| shell.execute(words))
    }

    /// Assignments and redirections without a command.
    fn assign_only(&mut self, simple: &Simple) -> Outcome {
        self.redirected(&simple.redirects, |shell| {
            shell.assign(simple)?;
            let status = shell.substituted.unwrap_or(0);
            shell.checked(status)
        })
    }

    /// Sets the variables of a command for good.
    fn assign(&mut self, simple: &Simple) -> Result<(), Flow> {
        for (name, word) in &simple.assignments {
            let value = self.string(word)?;
            self.trace(&[[name.as_slice(), b"=", &value].concat()]);
            self.set(name, value)?;
        }
        Ok(())
    }

    /// Sets the variables of a command while `inner` runs; programs that it starts get them.
    fn with_variables(&mut self, simple: &Simple, inner: impl FnOnce(&mut Self) -> Outcome) -> Outcome {
        let names = simple.assignments.iter().map(|(name, _)| name);
        let saved: Vec<_> = names.map(|name| (name, self.variables.save(name))).collect();
        let outcome = self.assign(simple).and_then(|()| {
            for (name, _) in &simple.assignments {
                self.variables.export(name);
            }
            inner(self)
        });
        for (name, before) in saved.into_iter().rev() {
            self.variables.restore(name, before);
        }
        outcome
    }

    /// A builtin whose errors end a script, and whose assignments and redirections (of `exec`) stay.
    fn special(&mut self, builtin: &Builtin, simple: &Simple, words: &[Bytes]) -> Outcome {
        let saved = match self.redirect(&simple.redirects) {
            Ok(saved) => saved,
            Err(Trouble::Failed) => return Err(Flow::Abort(2)),
            Err(Trouble::Flow(flow)) => return Err(flow),
        };
        let outcome = self.assign(simple).and_then(|()| {
            self.trace(words);
            (builtin.run)(self, words)
        });
        if words.first().is_some_and(|name| name == b"exec") && outcome.is_ok() {
            drop(saved);
        } else {
            self.put_back(saved);
        }
        self.checked(outcome?)
    }

    fn regular(&mut self, builtin: &Builtin, simple: &Simple, words: &[Bytes]) -> Outcome {
        let status = self.redirected(&simple.redirects, |shell| {
            shell.with_variables(simple, |shell| {
                shell.trace(words);
                (builtin.run)(shell, words)
            })
        })?;
        self.checked(status)
    }

    fn function(&mut self, body: &Rc<Command>, simple: &Simple, words: &[Bytes]) -> Outcome {
        let status = self.redirected(&simple.redirects, |shell| {
            shell.with_variables(simple, |shell| {
                shell.trace(words);
                shell.call(body, words.get(1..).unwrap_or(&[]))
            })
        })?;
        self.checked(status)
    }

    /// In a child: becomes the program; a code, after a message, if it cannot.
    fn become_program(&mut self, simple: &Simple, words: &[Bytes]) -> i32 {
        // What was there before is not needed again; dropping it closes the copies.
        if self.redirect(&simple.redirects).is_err() {
            return 1;
        }
        if let Err(flow) = self.assign(simple) {
            return flow.code();
        }
        for (name, _) in &simple.assignments {
            self.variables.export(name);
        }
        self.trace(words);
        self.execute(words)
    }
}
