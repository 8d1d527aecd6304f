//! Which processes there are, and whose turn it is.
//!
//! Each has an [`Entry`] from its birth until its parent has taken note of its end. The [`Process`] in it is taken out
//! while it is worked on; then, and once it has ended, the entry is all there is.
//!
//! Invariants: a process is in the run queue exactly when its state is ready; an entry holds a process exactly when it
//! is ready, waiting or stopped; there are at most [`MAX_PROCESSES`] entries.
use crate::errno::Errno;
use crate::proc::{Name, Pid, Process, Status};
use crate::signal::{Pending, Signal};
use crate::wait::{Channel, Wait};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Most processes at a time, those included that have ended and wait for their parent.
pub const MAX_PROCESSES: usize = 128;

/// What a process does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It has the CPU, or the kernel works for it.
    Running,
    /// It waits for the CPU.
    Ready,
    /// It waits for something to happen.
    Waiting(Wait),
    /// It is stopped by this signal.
    Stopped(Signal),
    /// It has ended; its parent has not taken note.
    Zombie(Status),
}

/// What is known of a process at all times.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Its number.
    pub pid: Pid,
    /// The process that learns of its end.
    pub parent: Pid,
    /// Its process group.
    pub group: Pid,
    /// Its session.
    pub session: Pid,
    /// Its name.
    pub name: Name,
    /// Whether it has taken another program since it was forked.
    pub program: Origin,
    /// Signals that wait to be delivered.
    pub pending: Pending,
    /// What its parent has not been told, besides its end.
    pub news: Option<News>,
    /// Its timer.
    pub alarm: Option<Alarm>,
    /// For how long it has had the CPU, in nanoseconds.
    pub cpu_ns: u64,
    /// The same of its children that have ended and were waited for.
    pub children_cpu_ns: u64,
    state: State,
    process: Option<Box<Process<'a>>>,
}

/// What a parent can learn of a child that lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum News {
    /// This signal has stopped it.
    Stopped(Signal),
    /// It goes on.
    Continued,
}

/// A timer that sends SIGALRM.
///
/// One that comes again rests until its signal has been delivered to a handler, as on Linux: so it takes time from nobody
/// but its own process, however short its interval is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Alarm {
    /// The system time of the next one; while it rests, of the last one.
    pub at_ns: u64,
    /// Time between it and those that follow; 0: there are none.
    pub interval_ns: u64,
    /// What it does.
    pub phase: Phase,
}

/// What a timer does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Its time comes.
    Running,
    /// Its signal has been posted, and no handler has got it.
    Resting,
}

/// Where a process's program comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// It is its parent's.
    Forked,
    /// It was executed.
    Executed,
}

impl<'a> Entry<'a> {
    /// What it does.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// The process, unless it is being worked on or has ended.
    #[must_use]
    pub fn process(&self) -> Option<&Process<'a>> {
        self.process.as_deref()
    }
}

/// The processes.
#[derive(Debug)]
pub struct ProcessTable<'a> {
    entries: Vec<Entry<'a>>,
    ready: VecDeque<Pid>,
    last: u32,
    /// No one waits for an earlier time.
    next_deadline_ns: Option<u64>,
}

impl Default for ProcessTable<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> ProcessTable<'a> {
    /// No process.
    #[must_use]
    pub fn new() -> Self {
        Self {
            entries: Vec::with_capacity(MAX_PROCESSES),
            ready: VecDeque::with_capacity(MAX_PROCESSES),
            last: 0,
            next_deadline_ns: None,
        }
    }

    /// All entries, in no order.
    #[must_use]
    pub fn entries(&self) -> &[Entry<'a>] {
        &self.entries
    }

    /// The entry of `pid`.
    #[must_use]
    pub fn entry(&self, pid: Pid) -> Option<&Entry<'a>> {
        self.entries.iter().find(|entry| entry.pid == pid)
    }

    /// The entry of `pid`, to be changed.
    pub fn entry_mut(&mut self, pid: Pid) -> Option<&mut Entry<'a>> {
        self.entries.iter_mut().find(|entry| entry.pid == pid)
    }

    /// The name of `pid`.
    #[must_use]
    pub fn name(&self, pid: Pid) -> Name {
        self.entry(pid).map_or(Name::default(), |entry| entry.name)
    }

    /// How many have the CPU or wait for it.
    #[must_use]
    pub fn runnable(&self) -> u32 {
        let mut count = 0;
        for entry in &self.entries {
            if matches!(entry.state, State::Running | State::Ready) {
                count += 1;
            }
        }
        count
    }

    /// The number that was given last.
    #[must_use]
    pub const fn last(&self) -> Pid {
        Pid(self.last)
    }

    /// A number for a new process: the next one that names no process, group or session.
    ///
    /// # Errors
    /// `EAGAIN`: there are as many processes as may be.
    pub fn free_pid(&mut self) -> Result<Pid, Errno> {
        if self.entries.len() >= MAX_PROCESSES {
            return Err(Errno::AGAIN);
        }
        loop {
            self.last = if self.last + 1 < Pid::LIMIT {
                self.last + 1
            } else {
                2
            };
            let pid = Pid(self.last);
            let taken = |entry: &Entry<'_>| [entry.pid, entry.group, entry.session].contains(&pid);
            if !self.entries.iter().any(taken) {
                return Ok(pid);
            }
        }
    }

    /// Adds a process that is ready; `like` says whose group, session and name it has, itself none.
    pub fn insert(&mut self, process: Box<Process<'a>>, parent: Pid, name: Name, like: Option<Pid>) {
        let pid = process.pid;
        let like = like.and_then(|like| self.entry(like));
        let (group, session) = like.map_or((pid, pid), |like| (like.group, like.session));
        let program = like.map_or(Origin::Executed, |_| Origin::Forked);
        self.entries.push(Entry {
            pid,
            parent,
            group,
            session,
            name,
            program,
            pending: Pending::default(),
            news: None,
            alarm: None,
            cpu_ns: 0,
            children_cpu_ns: 0,
            state: State::Ready,
            process: Some(process),
        });
        self.ready.push_back(pid);
    }

    /// Takes out the process whose turn it is; it runs from now on.
    pub fn take_next(&mut self) -> Option<Box<Process<'a>>> {
        let pid = self.ready.pop_front()?;
        let entry = self.entry_mut(pid)?;
        entry.state = State::Running;
        entry.process.take()
    }

    /// Whether some process waits for the CPU.
    #[must_use]
    pub fn anyone_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Puts a process back that waits for the CPU.
    pub fn put_ready(&mut self, process: Box<Process<'a>>) {
        let pid = process.pid;
        if let Some(entry) = self.entry_mut(pid) {
            entry.state = State::Ready;
            entry.process = Some(process);
            self.ready.push_back(pid);
        }
    }

    /// Puts a process back that waits for something to happen.
    pub fn put_waiting(&mut self, process: Box<Process<'a>>, wait: Wait) {
        self.next_deadline_ns = earlier(self.next_deadline_ns, wait.until_ns());
        if let Some(entry) = self.entry_mut(process.pid) {
            entry.state = State::Waiting(wait);
            entry.process = Some(process);
        }
    }

    /// Puts a process back that a signal has stopped.
    pub fn put_stopped(&mut self, process: Box<Process<'a>>, signal: Signal) {
        if let Some(entry) = self.entry_mut(process.pid) {
            entry.state = State::Stopped(signal);
            entry.process = Some(process);
        }
    }

    /// A process that waits or is stopped goes on.
    pub fn make_ready(&mut self, pid: Pid) {
        if let Some(entry) = self.entry_mut(pid)
            && matches!(entry.state, State::Waiting(_) | State::Stopped(_))
        {
            entry.state = State::Ready;
            self.ready.push_back(pid);
        }
    }

    /// Sets the timer of a process.
    pub fn set_alarm(&mut self, pid: Pid, alarm: Option<Alarm>) {
        self.next_deadline_ns = earlier(self.next_deadline_ns, alarm.and_then(Alarm::due_ns));
        if let Some(entry) = self.entry_mut(pid) {
            entry.alarm = alarm;
        }
    }

    /// A process whose timer has come by `now_ns`; its timer rests.
    pub fn take_alarm(&mut self, now_ns: u64) -> Option<Pid> {
        let due_ns = |entry: &Entry<'_>| entry.alarm.and_then(Alarm::due_ns);
        let mut entries = self.entries.iter_mut();
        let entry = entries.find(|entry| due_ns(entry).is_some_and(|due_ns| due_ns <= now_ns))?;
        entry.alarm = entry.alarm.and_then(Alarm::rest);
        Some(entry.pid)
    }

    /// The timer of `pid` goes on, if it rests.
    pub fn resume_alarm(&mut self, pid: Pid, now_ns: u64) {
        let alarm = self.entry(pid).and_then(|entry| entry.alarm);
        if let Some(alarm) = alarm.filter(|alarm| alarm.phase == Phase::Resting) {
            self.set_alarm(pid, alarm.next(now_ns));
        }
    }

    /// Everyone who waits for `channel` is ready.
    pub fn wake(&mut self, channel: Channel) {
        self.wake_if(|wait| wait.is_for(channel));
    }

    /// Everyone who waits for a time until `now_ns` is ready.
    pub fn wake_until(&mut self, now_ns: u64) {
        self.wake_if(|wait| wait.until_ns().is_some_and(|until| until <= now_ns));
        let deadlines = self.entries.iter().map(|entry| {
            let wait = match entry.state {
                State::Waiting(wait) => wait.until_ns(),
                State::Running | State::Ready | State::Stopped(_) | State::Zombie(_) => None,
            };
            earlier(wait, entry.alarm.and_then(Alarm::due_ns))
        });
        self.next_deadline_ns = deadlines.fold(None, earlier);
    }

    fn wake_if(&mut self, wanted: impl Fn(&Wait) -> bool) {
        for entry in &mut self.entries {
            if let State::Waiting(wait) = &entry.state
                && wanted(wait)
            {
                entry.state = State::Ready;
                self.ready.push_back(entry.pid);
            }
        }
    }

    /// A time that is not later than any that someone waits for; nothing if no one does.
    #[must_use]
    pub const fn next_deadline(&self) -> Option<u64> {
        self.next_deadline_ns
    }

    /// The process of `pid` itself, unless it is being worked on or has ended.
    pub fn process_mut(&mut self, pid: Pid) -> Option<&mut Process<'a>> {
        self.entry_mut(pid)?.process.as_deref_mut()
    }

    /// Takes a process out that is not being worked on, to be ended.
    pub fn take(&mut self, pid: Pid) -> Option<Box<Process<'a>>> {
        self.ready.retain(|ready| *ready != pid);
        let entry = self.entry_mut(pid)?;
        let process = entry.process.take()?;
        entry.state = State::Running;
        Some(process)
    }

    /// The process that was taken out has ended.
    pub fn ended(&mut self, pid: Pid, status: Status) {
        if let Some(entry) = self.entry_mut(pid) {
            (entry.alarm, entry.news) = (None, None);
            entry.state = State::Zombie(status);
        }
    }

    /// Forgets a process that has ended.
    pub fn remove(&mut self, pid: Pid) {
        self.entries
            .retain(|entry| entry.pid != pid || !matches!(entry.state, State::Zombie(_)));
    }
}

impl Alarm {
    /// When it fires next; nothing while it rests.
    #[must_use]
    pub fn due_ns(self) -> Option<u64> {
        (self.phase == Phase::Running).then_some(self.at_ns)
    }

    /// The timer after it has fired; nothing if it does not come again.
    fn rest(self) -> Option<Self> {
        let phase = Phase::Resting;
        (self.interval_ns > 0).then_some(Self { phase, ..self })
    }

    /// The timer after it has rested: the first of its times after `now_ns`.
    fn next(self, now_ns: u64) -> Option<Self> {
        let missed = now_ns.saturating_sub(self.at_ns).checked_div(self.interval_ns)?;
        let steps = self.interval_ns.saturating_mul(missed.saturating_add(1));
        Some(Self {
            at_ns: self.at_ns.saturating_add(steps),
            phase: Phase::Running,
            ..self
        })
    }
}

fn earlier(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
