//! Whose turn it is, and for how long: round robin, a slice of time each.
use crate::cause::Cause;
use crate::kernel::{Kernel, Machine};
use crate::proc::{Next, Pid, Process, Status, Turn};
use crate::signal::{Delivered, Info, Signal};
use crate::wait::Restart;
use alloc::boxed::Box;

/// How long a process runs while others are ready.
const SLICE_NS: u64 = 10_000_000;

/// The time of the process that runs, and the timer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slice {
    /// When it began.
    began_ns: u64,
    /// When it ends; looked at only while others are ready.
    end_ns: u64,
    /// It has ended.
    is_over: bool,
    /// What the timer is set to. It may be earlier than needed: it is set again when it has fired.
    timer_ns: Option<u64>,
}

impl<'a, M: Machine> Kernel<'a, M> {
    /// Runs processes until the one that the kernel has started ends.
    pub fn run_until_ended(&mut self) -> Status {
        loop {
            if let Some(status) = self.ended.take() {
                return status;
            }
            self.step();
        }
    }

    /// Gives one process its turn, or waits for something to happen.
    pub(crate) fn step(&mut self) {
        match self.processes.take_next() {
            Some(process) => self.give_turn(process),
            None => self.idle(),
        }
    }

    /// Lets a process go on until it waits or ends, or its time is over.
    fn give_turn(&mut self, process: Box<Process<'a>>) {
        let now_ns = self.machine.now_ns();
        self.slice = Slice {
            began_ns: now_ns,
            end_ns: now_ns.saturating_add(SLICE_NS),
            is_over: false,
            timer_ns: self.slice.timer_ns,
        };
        self.go_on(process);
    }

    /// For how long a process that is worked on has had the CPU.
    #[must_use]
    pub fn cpu_ns(&self, process: &Process<'a>) -> u64 {
        let before = self.processes.entry(process.pid).map_or(0, |entry| entry.cpu_ns);
        let now = self.machine.now_ns().saturating_sub(self.slice.began_ns);
        before.saturating_add(now)
    }

    /// The same of its children that it has waited for.
    #[must_use]
    pub fn children_cpu_ns(&self, process: &Process<'a>) -> u64 {
        let entry = self.processes.entry(process.pid);
        entry.map_or(0, |entry| entry.children_cpu_ns)
    }

    /// The turn of a process ends: it has had so much more of the CPU.
    fn account(&mut self, process: &Process<'a>) {
        let cpu_ns = self.cpu_ns(process);
        if let Some(entry) = self.processes.entry_mut(process.pid) {
            entry.cpu_ns = cpu_ns;
        }
    }

    fn go_on(&mut self, mut process: Box<Process<'a>>) {
        loop {
            self.feed_heap();
            let next = self.advance(&mut process);
            let gives_way = self.slice.is_over && self.processes.anyone_ready();
            if next == Next::Resume && !gives_way {
                continue;
            }
            self.account(&process);
            match next {
                Next::Resume => return self.processes.put_ready(process),
                Next::Yield => return self.processes.put_ready(process),
                Next::Wait(wait) => {
                    process.turn = Turn::Repeat;
                    return self.processes.put_waiting(process, wait);
                }
                Next::Again => {
                    process.turn = Turn::Repeat;
                    self.processes.put_ready(process);
                    return self.serve_events();
                }
                Next::Stop(signal) => return self.stop(process, signal),
                Next::Pause(wait) => return self.processes.put_waiting(process, wait),
                Next::End(end) => return self.exit(process, end),
            }
        }
    }

    /// One step: a call made again, or a program that runs until its next trap, and what that calls for.
    fn advance(&mut self, process: &mut Process<'a>) -> Next {
        if process.turn == Turn::Resume {
            if self.has_signal(process)
                && let Some(next) = after(self.deliver(process, None))
            {
                return next;
            }
            if !process.context.can_resume() {
                return self.fault(process, Cause::GeneralProtection);
            }
            self.run(process);
        } else if self.has_deadly_signal(process)
            && let Some(next) = after(self.deliver(process, None))
        {
            // What came meanwhile is not for a program that ends: another may want it.
            return next;
        }
        process.turn = Turn::Resume;
        match self.trap(process) {
            // What came before the call waits ends the waiting.
            next @ Next::Wait(wait) if self.has_signal(process) => {
                self.interrupt(process, next, wait.restart())
            }
            Next::Again if self.has_signal(process) => {
                self.interrupt(process, Next::Again, Restart::AsHandlerSays)
            }
            next => next,
        }
    }

    /// Delivers signals to a process whose call is to be made again, as `unfinished` says, unless they end it.
    fn interrupt(&mut self, process: &mut Process<'a>, unfinished: Next, restart: Restart) -> Next {
        let delivered = self.deliver(process, Some(restart));
        match after(delivered) {
            Some(next) => next,
            None if process.turn == Turn::Repeat => unfinished,
            None => Next::Resume,
        }
    }

    /// Lets a program run until its next trap.
    fn run(&mut self, process: &mut Process<'a>) {
        self.enter(process);
        if self.processes.anyone_ready() {
            self.need_timer(Some(self.slice.end_ns));
        }
        self.need_timer(self.processes.next_deadline());
        process.context = process.context.sanitised();
        self.machine.run_user(&mut process.context);
        self.serve_events();
    }

    /// Sees to it that the timer fires at `deadline_ns` or before.
    fn need_timer(&mut self, deadline_ns: Option<u64>) {
        if let Some(deadline) = deadline_ns
            && self.slice.timer_ns.is_none_or(|set| deadline < set)
        {
            self.machine.set_timer(deadline);
            self.slice.timer_ns = Some(deadline);
        }
    }

    /// Does what events call for.
    fn serve_events(&mut self) {
        let events = self.machine.take_events();
        if events.console {
            self.keys_typed();
        }
        self.flush_terminal();
        if events.timer {
            self.slice.timer_ns = None;
            let now_ns = self.machine.now_ns();
            self.slice.is_over = now_ns >= self.slice.end_ns;
            self.time_has_come(now_ns);
        }
    }

    /// Wakes and signals those who wanted it by now.
    fn time_has_come(&mut self, now_ns: u64) {
        while let Some(pid) = self.processes.take_alarm(now_ns) {
            self.signal(pid, Info::from_kernel(Signal::ALARM));
        }
        self.processes.wake_until(now_ns);
    }

    /// A handler of a process has got SIGALRM, or wants it again.
    pub(crate) fn resume_alarm(&mut self, pid: Pid) {
        let now_ns = self.machine.now_ns();
        self.processes.resume_alarm(pid, now_ns);
    }

    /// Whether the turn of the process that is worked on is over, be there others or not. A call that may take long asks.
    pub(crate) fn turn_is_over(&self) -> bool {
        self.machine.now_ns() >= self.slice.end_ns
    }

    /// Nobody can go on: waits for the world.
    fn idle(&mut self) {
        let until_ns = self.processes.next_deadline();
        let began_ns = self.machine.now_ns();
        if self.tty.is_pending() {
            self.machine.sleep_for_room(until_ns);
        } else {
            self.machine.sleep(until_ns);
        }
        let slept_ns = self.machine.now_ns().saturating_sub(began_ns);
        self.idle_ns = self.idle_ns.saturating_add(slept_ns);
        self.serve_events();
        if until_ns.is_some() {
            let now_ns = self.machine.now_ns();
            self.time_has_come(now_ns);
        }
    }
}

/// What delivered signals call for, unless the process goes on.
const fn after(delivered: Delivered) -> Option<Next> {
    match delivered {
        Delivered::GoesOn => None,
        Delivered::Stops(signal) => Some(Next::Stop(signal)),
        Delivered::Ends(end) => Some(Next::End(end)),
    }
}
