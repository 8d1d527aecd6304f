//! Posting: a signal becomes pending, and wakes whom it should.
use crate::kernel::{Kernel, Machine};
use crate::proc::table::State;
use crate::proc::{News, Pid, Turn};
use crate::signal::{Info, Origin, Signal, SignalSet};

impl<M: Machine> Kernel<'_, M> {
    /// Sends a signal to a process. One that has ended, or is not there, does not mind.
    pub fn signal(&mut self, pid: Pid, info: Info) {
        let is_init = self.is_init(pid);
        let Some(entry) = self.processes.entry_mut(pid) else {
            return;
        };
        if matches!(entry.state(), State::Zombie(_)) {
            return;
        }
        let signal = info.signal;
        if SignalSet::STOPS.has(signal) {
            entry.pending.drop_signal(Signal::CONTINUE);
        }
        if signal == Signal::CONTINUE {
            entry.pending.drop_all(SignalSet::STOPS);
        }
        let was_stopped = matches!(entry.state(), State::Stopped(_));
        let comes_to_nothing = entry.process().is_some_and(|process| {
            let state = &process.signals;
            let defaults = state.action(signal).handler == crate::signal::Handler::Default;
            (state.ignores(signal) || is_init && defaults) && !state.blocked.has(signal)
        });
        if !comes_to_nothing {
            entry.pending.add(info);
        }
        if was_stopped && matches!(signal, Signal::CONTINUE | Signal::KILL) {
            self.continue_stopped(pid, signal);
        }
        self.wake_for_signals(pid);
    }

    /// Sends a signal from the kernel to every process of a group.
    pub fn signal_group(&mut self, group: Pid, signal: Signal) {
        self.signal_all(|entry_group, _| entry_group == group, Info::from_kernel(signal));
    }

    /// Sends a signal to every process that `wanted` picks by group and number; how many.
    pub(crate) fn signal_all(&mut self, wanted: impl Fn(Pid, Pid) -> bool, info: Info) -> usize {
        let mut count = 0;
        let mut index = 0;
        while let Some(entry) = self.processes.entries().get(index) {
            let (group, pid) = (entry.group, entry.pid);
            index += 1;
            if wanted(group, pid) {
                count += 1;
                self.signal(pid, info);
            }
        }
        count
    }

    fn continue_stopped(&mut self, pid: Pid, signal: Signal) {
        self.processes.make_ready(pid);
        if signal == Signal::CONTINUE {
            self.tell_news(pid, News::Continued, Origin::Continued(pid));
        }
    }

    /// Makes a waiting process ready if a signal is to be delivered to it.
    fn wake_for_signals(&mut self, pid: Pid) {
        let Some(entry) = self.processes.entry(pid) else {
            return;
        };
        let (State::Waiting(_), Some(process)) = (entry.state(), entry.process()) else {
            return;
        };
        let pending = entry.pending.set();
        let deliverable = pending.without(process.signals.blocked);
        // Whose call has been made and only pauses, as vfork's, goes on for nothing but its end.
        let wakes = match process.turn {
            Turn::Repeat => !deliverable.is_empty(),
            Turn::Resume => pending.has(Signal::KILL),
        };
        if wakes {
            self.processes.make_ready(pid);
        }
    }

    /// Whether `pid` is the first process, which no default action ends or stops.
    pub(crate) fn is_init(&self, pid: Pid) -> bool {
        self.init == Some(pid)
    }
}
