//! What the user asks of the monitor, done: [`xen_lite::console::command`] has read it.
use super::Machine;
use crate::panic;
use crate::terminal::Typed;
use abi::reason::Reason;
use xen_lite::console::command::{Command, HEADING, HELP, find};
use xen_lite::console::monitor::Monitor;
use xen_lite::crash::death::{Death, Obituary};
use xen_lite::domain::build::Builder;
use xen_lite::domain::{End, Next, Stage};
use xen_lite::sched::turn::State;

impl Machine {
    /// Takes what was typed; says which domains have got keys.
    pub(super) fn take_keys(&mut self) -> [Option<usize>; 2] {
        let owner = self.terminal.owner();
        let Typed { keys, is_command } = self.terminal.poll(&mut self.domains);
        if is_command {
            let monitor: Monitor = self.terminal.monitor().clone();
            self.run_command(monitor.line());
            if self.terminal.monitor().is_open() {
                self.terminal.prompt();
            }
        }
        // A new owner's line is shown as far as it has come.
        self.world.has_text |= self.terminal.owner() != owner;
        keys
    }

    fn run_command(&mut self, line: &str) {
        let command = match Command::parse(line) {
            Ok(command) => command,
            Err(error) => return self.terminal.reply(format_args!("{error}")),
        };
        match command {
            Command::List => self.list(),
            Command::Console(word) => self.with(word, Self::give_keys),
            Command::Pause(word) => self.with(word, Self::pause),
            Command::Unpause(word) => self.with(word, Self::unpause),
            Command::Destroy(word) => self.with(word, Self::destroy),
            Command::Restart(word) => self.with(word, Self::restart),
            Command::Dmesg => self.terminal.show_log(),
            Command::Audit => match self.audit() {
                Ok(_) => self.terminal.reply(format_args!("audit: clean")),
                Err(fault) => self.terminal.reply(format_args!("audit: {fault}")),
            },
            Command::Panic(way) => panic::on_purpose(way),
            Command::Help => {
                for line in HELP.lines() {
                    self.terminal.reply(format_args!("{line}"));
                }
            }
            Command::Quit => self.terminal.give_keys(&self.domains, self.terminal.console()),
        }
    }

    /// Does something with the domain that a word names.
    fn with(&mut self, word: &str, act: fn(&mut Self, usize, &'static str)) {
        let names = self
            .domains
            .iter()
            .map(|domain| (domain.id.0, domain.config.name));
        match find(word, names) {
            Ok(index) => {
                let name = self.domains.get(index).map_or("", |domain| domain.config.name);
                act(self, index, name);
            }
            Err(error) => self.terminal.reply(format_args!("{error}")),
        }
    }

    fn list(&mut self) {
        self.terminal.reply(format_args!("{HEADING}"));
        for (index, domain) in self.domains.iter().enumerate() {
            let row = domain.row(&self.scheduler, index);
            self.terminal.reply(format_args!("{row}"));
        }
    }

    fn has_ended(&self, index: usize) -> bool {
        self.domains.get(index).is_none_or(|domain| domain.has_ended())
    }

    fn give_keys(&mut self, index: usize, name: &str) {
        if self.has_ended(index) {
            return self
                .terminal
                .reply(format_args!("{name} has ended: it reads no keys"));
        }
        self.terminal.reply(format_args!("the keys go to {name}"));
        self.terminal.give_keys(&self.domains, index);
    }

    fn pause(&mut self, index: usize, name: &str) {
        match self.domains.get(index).map(|domain| &domain.stage) {
            Some(Stage::Building(_) | Stage::Live) => {
                self.scheduler.pause(index);
                self.terminal.reply(format_args!("{name} is paused"));
            }
            _ => self.terminal.reply(format_args!("{name} has ended")),
        }
    }

    fn unpause(&mut self, index: usize, name: &str) {
        if self.scheduler.is_paused(index) {
            self.scheduler.unpause(index);
            self.terminal.reply(format_args!("{name} goes on"));
        } else {
            self.terminal.reply(format_args!("{name} is not paused"));
        }
    }

    fn destroy(&mut self, index: usize, name: &str) {
        match self.end_by_hand(index, Next::Nothing) {
            Stopped::Now | Stopped::Already => self.terminal.reply(format_args!("{name} is destroyed")),
            Stopped::Long => self.terminal.reply(format_args!("{name} has ended already")),
        }
    }

    fn restart(&mut self, index: usize, name: &str) {
        if self.end_by_hand(index, Next::Restart) == Stopped::Long
            && let Some(domain) = self.domains.get_mut(index)
        {
            domain.incarnation = domain.incarnation.saturating_add(1);
            domain.stage = Stage::Building(Builder::new());
            self.scheduler.set(index, State::Building);
        }
        self.terminal.reply(format_args!("{name} starts anew"));
    }

    /// Ends a domain whatever it does, and says what follows when it has been taken apart.
    fn end_by_hand(&mut self, index: usize, next: Next) -> Stopped {
        let Some(domain) = self.domains.get_mut(index) else {
            return Stopped::Long;
        };
        let stopped = match domain.stage {
            Stage::Ended(_) => return Stopped::Long,
            Stage::Ending(..) | Stage::Dying(..) => Stopped::Already,
            Stage::Building(_) | Stage::Live => Stopped::Now,
        };
        domain.next = next;
        if stopped == Stopped::Now {
            let death = Death::new(Reason::Destroyed);
            self.end(index, End::Killed(Reason::Destroyed), Obituary::Killed(death));
        }
        stopped
    }
}

/// What a domain was doing that is to be ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stopped {
    /// It was built, ran or waited: it has been ended.
    Now,
    /// It was being taken apart.
    Already,
    /// It had ended for good.
    Long,
}
